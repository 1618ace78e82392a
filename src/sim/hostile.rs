//! A stranger who means harm: it listens to what it can, and sends what it should not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::options::between;
use super::scene;
use super::text::{SipText, Style};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// Where it sits.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));
/// Call-IDs of its own making begin with this.
pub const MARK: &str = "hostile-";
/// Messages that it remembers.
const HEARD_MAX: usize = 32;

/// The stranger.
#[derive(Debug)]
pub struct Hostile {
    rng: Rng,
    acts: Vec<Instant>,
    /// Requests that phones sent, as overheard.
    requests: Vec<Vec<u8>>,
    /// Answers of the edge to INVITE, as overheard.
    answers: Vec<Vec<u8>>,
    counter: u64,
    faults: Vec<String>,
}

impl Hostile {
    /// A stranger who acts some times within `window`.
    pub fn new(mut rng: Rng, window: Duration) -> Self {
        let most = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let count = 4 + rng.below(40);
        let mut acts: Vec<_> =
            (0..count).map(|_| Instant::ZERO + between(&mut rng, 0, most)).collect();
        acts.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            rng,
            acts,
            requests: Vec::new(),
            answers: Vec::new(),
            counter: 0,
            faults: Vec::new(),
        }
    }

    /// When it acts next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.acts.last().copied()
    }

    /// Overhears a datagram between the edge and somebody else.
    pub fn overhear(&mut self, to: SocketAddr, bytes: &[u8]) {
        let (heard, wanted) = if to == scene::edge_sip() {
            (&mut self.requests, !bytes.starts_with(b"SIP/2.0") && bytes.len() > 100)
        } else {
            (&mut self.answers, bytes.starts_with(b"SIP/2.0 200") || bytes.starts_with(b"INVITE"))
        };
        if !wanted {
            return;
        }
        if heard.len() == HEARD_MAX {
            heard.remove(0);
        }
        heard.push(bytes.to_vec());
    }

    /// Does what it does at `now`: datagrams and where they go.
    pub fn act(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while self.next_deadline().is_some_and(|at| at <= now) {
            self.acts.pop();
            let act = self.rng.below(10);
            if act == 0 {
                sent.extend(self.spray());
            } else if let Some(bytes) = self.message(act) {
                sent.push((scene::edge_sip(), bytes));
            }
        }
        sent
    }

    /// Takes what is sent to it.
    pub fn receive(&mut self, bytes: &[u8]) {
        if bytes.first().is_some_and(|byte| byte >> 6 == 2) {
            return self.faults.push(format!("a stranger is sent {} bytes of media", bytes.len()));
        }
        // What answers a broken request may itself be beyond a simple phone.
        let Some(message) = SipText::parse(bytes) else { return };
        let good = message.status().is_some_and(|status| (101..300).contains(&status));
        let options = message.cseq().is_some_and(|(_, method)| method == "OPTIONS");
        if good && !options {
            let asked = message.header("cseq").unwrap_or_default();
            self.faults.push(format!("a stranger's {asked} is answered {:?}", message.start));
        }
    }

    /// What it got that it should not have.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Media to every port that may be in use.
    fn spray(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let first = 10_000 + u16::try_from(self.rng.below(2) * 128).unwrap_or(0);
        let ports = (first..first + 128).map(|port| SocketAddr::new(scene::edge_media(), port));
        let payload = self.rng.bytes::<160>();
        let packet = |port: u16| {
            let mut packet = vec![0x80, 0];
            packet.extend(port.to_be_bytes());
            packet.extend([0, 0, 1, 0, 6, 6, 6, 6]);
            packet.extend(payload);
            packet
        };
        ports.map(|to| (to, packet(to.port()))).collect()
    }

    fn message(&mut self, act: u64) -> Option<Vec<u8>> {
        match act {
            1 => {
                let length = usize::try_from(1 + self.rng.below(400)).unwrap_or(1);
                let mut bytes = vec![0; length];
                self.rng.fill(&mut bytes);
                Some(bytes)
            }
            2 => self.mutated(),
            3 => {
                Some(self.plain(
                    "INVITE",
                    &format!("sip:+49301234@{}", scene::domain(scene::Host::Alpha)),
                ))
            }
            4 => Some(self.plain("INVITE", &format!("sip:+12020000001@{}", scene::EDGE_SIP))),
            5 => Some(self.plain("OPTIONS", &format!("sip:{}", scene::EDGE_SIP))),
            6 => Some(self.plain("REGISTER", &format!("sip:{}", scene::EDGE_HOST))),
            7 => self.replayed(),
            _ => self.stolen_dialog(act == 8),
        }
    }

    /// A real request with some bytes changed.
    fn mutated(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.pick(true)?;
        for _ in 0..=self.rng.below(6) {
            let at = usize::try_from(self.rng.below(bytes.len() as u64)).ok()?;
            bytes[at] = *b"\r\n:;<>\"@ \0\xff,=0"
                .get(usize::try_from(self.rng.below(14)).ok()?)
                .unwrap_or(&b' ');
        }
        Some(bytes)
    }

    /// A request of its own. It is no longer than it must be.
    fn plain(&mut self, method: &str, uri: &str) -> Vec<u8> {
        self.counter += 1;
        let count = self.counter;
        let mut request = SipText::request(method, uri);
        let via = SocketAddr::new(ADDRESS, 5060);
        request.push("via", format!("SIP/2.0/UDP {via};branch=z9hG4bKh{count};rport"));
        request.push("max-forwards", "70");
        request.push("from", format!("<sip:x@{via}>;tag=h{count}"));
        request.push("to", format!("<{uri}>"));
        request.push("call-id", format!("{MARK}{count}"));
        request.push("cseq", format!("1 {method}"));
        request.push("contact", format!("<sip:x@{via}>"));
        if method == "INVITE" {
            request.push("user-agent", "a stranger who pads its requests ".repeat(12));
        }
        request.to_bytes(Style::default())
    }

    /// An INVITE with somebody's credentials, as a call of its own.
    fn replayed(&mut self) -> Option<Vec<u8>> {
        let with_credentials = self.requests.iter().rev().find(|bytes| {
            bytes.starts_with(b"INVITE") && memchr::memmem::find(bytes, b"igest username").is_some()
        });
        let mut message = SipText::parse(with_credentials?)?;
        self.counter += 1;
        let count = self.counter;
        for (name, value) in &mut message.headers {
            match name.as_str() {
                "call-id" => *value = format!("{MARK}{count}"),
                "via" => {
                    let via = SocketAddr::new(ADDRESS, 5060);
                    *value = format!("SIP/2.0/UDP {via};branch=z9hG4bKh{count};rport");
                }
                _ => {}
            }
        }
        Some(message.to_bytes(Style::default()))
    }

    /// BYE or CANCEL for a dialog of others; with right tags or wrong ones.
    fn stolen_dialog(&mut self, bye: bool) -> Option<Vec<u8>> {
        let heard = SipText::parse(&self.pick(false)?)?;
        self.counter += 1;
        let count = self.counter;
        let method = if bye { "BYE" } else { "CANCEL" };
        let mut request = SipText::request(method, &format!("sip:{}", scene::EDGE_SIP));
        let via = SocketAddr::new(ADDRESS, 5060);
        let stolen = heard.header("via").unwrap_or_default().to_owned();
        let own = format!("SIP/2.0/UDP {via};branch=z9hG4bKh{count};rport");
        request.push("via", if bye { own } else { stolen });
        request.push("max-forwards", "70");
        // Seen from the edge, a response's From is the other side; a request's To is.
        let right = self.rng.chance(1, 2);
        let answered = heard.status().is_some();
        let (from, to) = if answered { ("from", "to") } else { ("to", "from") };
        let wrong = if right { "" } else { "x" };
        request.push("from", format!("{}{wrong}", heard.header(from)?));
        request.push("to", format!("{}{wrong}", heard.header(to)?));
        request.push("call-id", heard.header("call-id")?);
        let cseq = heard.cseq()?.0;
        request.push("cseq", format!("{} {method}", if bye { cseq + 7 } else { cseq }));
        Some(request.to_bytes(Style::default()))
    }

    fn pick(&mut self, request: bool) -> Option<Vec<u8>> {
        let heard = if request { &self.requests } else { &self.answers };
        if heard.is_empty() {
            return None;
        }
        let at = usize::try_from(self.rng.below(heard.len() as u64)).ok()?;
        heard.get(at).cloned()
    }
}
