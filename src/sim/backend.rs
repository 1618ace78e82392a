//! The customer's backend in virtual time: checks signatures with arithmetic of its own, and
//! answers as the run's plan says.

use std::collections::BTreeMap;

use hmac::{KeyInit as _, Mac as _};
use md5::Digest as _;

use super::options::{Answer, Reply};
use super::scene;
use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};

/// A callback as the backend receives it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Where it was sent.
    pub url: &'r str,
    /// Headers, names in lower case.
    pub headers: &'r [(&'static str, String)],
    /// The body.
    pub body: &'r [u8],
}

/// What the backend does with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answers after a while.
    Reply {
        /// How long after.
        after: Duration,
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
    },
    /// Never answers.
    Silence,
    /// The connection is refused.
    Refused,
}

/// The backend.
#[derive(Debug, Default)]
pub struct Backend {
    plans: BTreeMap<String, (Reply, Reply)>,
    /// Numbers dialled, by call.
    calls: BTreeMap<String, String>,
    /// DiCE events received, by call.
    dices: BTreeMap<String, u32>,
    /// DiCE bodies, to see that a repeated event is the same event.
    bodies: BTreeMap<String, Vec<u8>>,
    dead: Vec<(Instant, Instant)>,
    faults: Vec<String>,
    received: u64,
}

impl Backend {
    /// What is said about calls to `number`.
    pub fn plan(&mut self, number: &str, ice: Reply, ace: Reply) {
        let digits = number.trim_start_matches('+');
        self.plans.insert(digits.to_owned(), (ice, ace));
    }

    /// The primary URL is dead from `from` until `until`.
    pub fn dead_between(&mut self, from: Instant, until: Instant) {
        self.dead.push((from, until));
    }

    /// Takes a callback.
    pub fn receive(&mut self, now: Instant, request: Request<'_>) -> Outcome {
        self.received += 1;
        if let Err(fault) = verify(request) {
            self.faults.push(fault);
        }
        let is_primary = request.url == scene::PRIMARY_URL;
        if is_primary && self.dead.iter().any(|(from, until)| (*from..*until).contains(&now)) {
            return Outcome::Refused;
        }
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(request.body) else {
            self.faults.push("a callback that is no JSON".to_owned());
            return Outcome::Silence;
        };
        let field = |name: &str| event.get(name).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let (kind, call) = (field("event"), field("callid"));
        match kind.as_str() {
            "ice" => {
                let to = event.pointer("/to/endpoint").and_then(|v| v.as_str()).unwrap_or("");
                let number = to.trim_start_matches('+').to_owned();
                self.calls.insert(call, number.clone());
                let plan = self.plans.get(&number).map(|(ice, _)| ice.clone());
                self.answer(plan, &number)
            }
            "ace" => {
                let number = self.calls.get(&call).cloned().unwrap_or_default();
                let plan = self.plans.get(&number).map(|(_, ace)| ace.clone());
                self.answer(plan, &number)
            }
            "dice" => self.dice(call, request.body),
            "notify" => ok(Duration::from_millis(5), String::new()),
            other => {
                self.faults.push(format!("a callback of unknown kind {other:?}"));
                Outcome::Silence
            }
        }
    }

    /// DiCE events received, by call.
    pub const fn dices(&self) -> &BTreeMap<String, u32> {
        &self.dices
    }

    /// Whether ICE came for this call.
    pub fn was_asked(&self, call: &str) -> bool {
        self.calls.contains_key(call)
    }

    /// What was wrong with callbacks.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Callbacks received.
    pub const fn received(&self) -> u64 {
        self.received
    }

    fn dice(&mut self, call: String, body: &[u8]) -> Outcome {
        if let Some(earlier) = self.bodies.get(&call)
            && earlier != body
        {
            self.faults.push(format!("call {call} has two different DiCE events"));
        }
        self.bodies.insert(call.clone(), body.to_vec());
        *self.dices.entry(call).or_insert(0) += 1;
        ok(Duration::from_millis(5), String::new())
    }

    fn answer(&mut self, plan: Option<Reply>, number: &str) -> Outcome {
        let Some(Reply { after, what }) = plan else {
            self.faults.push(format!("a question about {number}, which nobody called"));
            return Outcome::Silence;
        };
        let action = match what {
            Answer::ConnectPstn(seconds, suppress) => {
                let most = seconds.map(|s| format!(",\"maxDuration\":{s}")).unwrap_or_default();
                let quiet = if suppress { ",\"suppressCallbacks\":true" } else { "" };
                format!("{{\"name\":\"connectPstn\"{most}{quiet}}}")
            }
            Answer::ConnectSip(transport) => {
                let host = scene::ELSEWHERE;
                let over = if transport == Transport::Tcp { "TCP" } else { "UDP" };
                format!(
                    "{{\"name\":\"connectSip\",\"transport\":\"{over}\",\"destination\":\
                     {{\"type\":\"sip\",\"endpoint\":\"+{number}@{host}\"}}}}"
                )
            }
            Answer::HangUp => "{\"name\":\"hangup\"}".to_owned(),
            Answer::Continue => "{\"name\":\"continue\"}".to_owned(),
            Answer::Illegal => "{\"name\":\"runMenu\"}".to_owned(),
            Answer::Garbage => return ok(after, "<html>".to_owned()),
            Answer::Error => {
                return Outcome::Reply { after, status: 500, body: String::new() };
            }
            Answer::Silence => return Outcome::Silence,
        };
        let cookie = "{\"name\":\"setCookie\",\"key\":\"k\",\"value\":\"v\"}";
        ok(after, format!("{{\"instructions\":[{cookie}],\"action\":{action}}}"))
    }
}

fn ok(after: Duration, body: String) -> Outcome {
    Outcome::Reply { after, status: 200, body }
}

/// Checks the signature as the public documentation describes it.
fn verify(request: Request<'_>) -> Result<(), String> {
    let header = |name: &str| {
        let found = request.headers.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("a callback without {name}"))
    };
    let (authorization, at, kind) =
        (header("authorization")?, header("x-timestamp")?, header("content-type")?);
    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let sum = base64_text(&md5::Md5::digest(request.body));
    let text = format!("POST\n{sum}\n{kind}\nx-timestamp:{at}\n/{path}");
    let key = b"canary-application-secret";
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key)
        .map_err(|_| "no such key length".to_owned())?;
    mac.update(text.as_bytes());
    let signature = base64_text(&mac.finalize().into_bytes());
    let expected = format!("application {}:{signature}", scene::APPLICATION);
    if authorization == expected {
        Ok(())
    } else {
        Err(format!("a callback is signed {authorization}, not {expected}"))
    }
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_callbacks_are_faults_and_repeated_dices_are_counted() {
        let mut backend = Backend::default();
        let body = b"{\"event\":\"dice\",\"callid\":\"c\"}";
        let request = Request { url: scene::PRIMARY_URL, headers: &[], body };
        for _ in 0..2 {
            backend.receive(Instant::ZERO, request);
        }
        assert_eq!(backend.dices().get("c"), Some(&2));
        assert_eq!(backend.faults().len(), 2, "{:?}", backend.faults());
        let other = Request { body: b"{\"event\":\"dice\",\"callid\":\"c\",\"x\":1}", ..request };
        backend.receive(Instant::ZERO, other);
        assert!(backend.faults().iter().any(|fault| fault.contains("two different")));
    }
}
