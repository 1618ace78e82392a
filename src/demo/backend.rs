//! The customer's backend: a real HTTP server that believes nothing without a right signature.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::Happening;
use super::scenario;
use super::world::{APPLICATION, SECRET};
use crate::base::time::Instant;
use crate::crypto::callback_signature::{Signed, SigningKey, split_authorization};
use crate::sys::clock;

/// Name and value of the private header that the backend adds.
pub(super) const PRIVATE_HEADER: (&str, &str) = ("X-Ticket", "4711");

/// A callback, or the answer to one, as the backend saw it.
#[derive(Clone, Debug)]
pub(super) struct CallbackLine {
    pub(super) at: Instant,
    /// Call-ID of the caller's leg; empty where it is not known.
    pub(super) sip_call_id: String,
    /// The edge's name of the call.
    pub(super) call_id: String,
    /// `ice`, `ace`, `dice`, `notify`.
    pub(super) kind: String,
    /// The question, or the answer.
    pub(super) is_question: bool,
    /// Of a question: whether its signature is right.
    pub(super) is_signed: bool,
    /// What the answer says; of DiCE's question result and reason.
    pub(super) text: String,
    /// DiCE's result and reason.
    pub(super) end: Option<(String, String)>,
}

/// The running server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    key: SigningKey,
    /// Where `connectSip` leads to.
    callee: SocketAddr,
    happenings: Sender<Happening>,
    /// Call-ID of the caller's leg and the dialled number, by the edge's name of the call.
    calls: Mutex<HashMap<String, (String, String)>>,
}

impl Backend {
    /// Starts the server on a thread of its own, which also passes on the wish to stop.
    pub(super) fn start(callee: SocketAddr, happenings: Sender<Happening>) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("starting the backend: {error}");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        listener.set_nonblocking(true).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let (stop, stopped) = oneshot::channel();
        let key = SigningKey::from_secret(SECRET).map_err(|error| failed(&error))?;
        let signals = happenings.clone();
        let shared = Arc::new(Shared { key, callee, happenings, calls: Mutex::default() });
        let thread = std::thread::Builder::new()
            .name("demo-backend".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(signalled(signals));
                    tokio::select! {
                        () = serve(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(|error| failed(&error))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // A server that ended already needs no word.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// SIGINT and SIGTERM are wishes to stop.
async fn signalled(happenings: Sender<Happening>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // The main thread may be gone already.
        let _ = happenings.send(Happening::Interrupted);
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(callback).with_state(shared);
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("demo: the backend ended: {error}");
            }
        }
        Err(error) => eprintln!("demo: the backend has no listener: {error}"),
    }
}

async fn callback(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let at = clock::now();
    let is_signed = is_signed(&shared.key, (&method, &uri, &headers), &body);
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |path: &str| event.pointer(path).and_then(|v| v.as_str()).unwrap_or("").to_owned();
    let (kind, call_id) = (field("/event"), field("/callid"));
    let end = (kind == "dice").then(|| (field("/result"), field("/reason")));
    let (sip_call_id, number) = shared.remember(&kind, &call_id, &event);
    let text = end.as_ref().map(|(result, reason)| format!("{result} {reason}"));
    let question = CallbackLine {
        at,
        sip_call_id,
        call_id,
        kind: kind.clone(),
        is_question: true,
        is_signed,
        text: text.unwrap_or_default(),
        end,
    };
    let say = |line| {
        // The main thread may be gone already.
        let _ = shared.happenings.send(Happening::Callback(line));
    };
    say(question.clone());
    let answered = |text: &str| CallbackLine {
        at: clock::now(),
        is_question: false,
        text: text.to_owned(),
        ..question.clone()
    };
    if !is_signed {
        say(answered("403"));
        return (StatusCode::FORBIDDEN, String::new());
    }
    if kind == "ice" && scenario::stays_silent(&number) {
        std::future::pending::<()>().await;
    }
    let (word, body) = shared.answer(&kind, &number);
    say(answered(word));
    (StatusCode::OK, body)
}

impl Shared {
    /// The caller's Call-ID and the dialled number of a call, which ICE tells.
    fn remember(&self, kind: &str, call_id: &str, event: &serde_json::Value) -> (String, String) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |path: &str| event.pointer(path).and_then(|v| v.as_str()).unwrap_or("");
        if kind == "ice" {
            let number = format!("+{}", text("/to/endpoint").trim_start_matches('+'));
            calls.insert(call_id.to_owned(), (text("/sip/callId").to_owned(), number));
        }
        match kind {
            // Nothing comes after it.
            "dice" => calls.remove(call_id),
            _ => calls.get(call_id).cloned(),
        }
        .unwrap_or_default()
    }

    /// A word for the ladder, and the answer.
    fn answer(&self, kind: &str, number: &str) -> (&'static str, String) {
        let (name, value) = PRIVATE_HEADER;
        let answer = match kind {
            "ice" if scenario::connects_to_sip(number) => serde_json::json!({
                "instructions": [{ "name": "setCookie", "key": "shown", "value": "in ACE" }],
                "action": {
                    "name": "connectSip",
                    "destination": { "type": "sip", "endpoint": format!("{number}@{}", self.callee) },
                    "callHeaders": [{ "key": name, "value": value }],
                },
            }),
            "ice" => serde_json::json!({ "action": { "name": "connectPstn", "number": number } }),
            "ace" => serde_json::json!({ "action": { "name": "continue" } }),
            _ => return ("200", String::new()),
        };
        let word = match kind {
            "ice" if scenario::connects_to_sip(number) => "200 connectSip",
            "ice" => "200 connectPstn",
            _ => "200 continue",
        };
        (word, answer.to_string())
    }
}

/// Whether the request carries the application's signature over exactly these bytes.
fn is_signed(
    key: &SigningKey,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    body: &[u8],
) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some((name, signature)) = header("authorization").and_then(split_authorization) else {
        return false;
    };
    let signed = Signed {
        method: method.as_str(),
        body,
        content_type: header("content-type").unwrap_or(""),
        timestamp: header("x-timestamp").unwrap_or(""),
        path: uri.path(),
    };
    name == APPLICATION && key.verify(&signed, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_application_signs() {
        let key = SigningKey::from_secret(SECRET).expect("base64");
        let (method, uri) = (Method::POST, Uri::from_static("/calls"));
        let (body, timestamp) = (b"{}".as_slice(), "2026-11-23T20:40:26Z");
        let content_type = "application/json";
        let signed = Signed { method: "POST", body, content_type, timestamp, path: "/calls" };
        let headers = |key_name: &str| {
            let mut headers = HeaderMap::new();
            let value = key.authorization(key_name, &signed);
            headers.insert("authorization", value.parse().expect("a value"));
            headers.insert("x-timestamp", timestamp.parse().expect("a value"));
            headers.insert("content-type", content_type.parse().expect("a value"));
            headers
        };
        let right = headers(APPLICATION);
        assert!(is_signed(&key, (&method, &uri, &right), body));
        assert!(!is_signed(&key, (&method, &uri, &right), b"{ }"));
        assert!(!is_signed(&key, (&method, &uri, &headers("another")), body));
        assert!(!is_signed(&key, (&method, &Uri::from_static("/"), &right), body));
        assert!(!is_signed(&key, (&method, &uri, &HeaderMap::new()), body));
    }
}
