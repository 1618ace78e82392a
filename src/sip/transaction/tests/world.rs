//! A table with a tape that records what it sends.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::*;
use crate::base::counter::{Counter, Counters};
use crate::base::id::FlowId;
use crate::base::packet::{MediaPort, Outbox, Route, SipPath, Transport};
use crate::base::rng::Rng;
use crate::base::table::HashKey;
use crate::base::time::{Duration, Instant};
use crate::sip::timers::Timers;
use crate::wire::sip::{Framing, Message, Method, Writer};

/// What a table sent: where, with which cookie, and the bytes.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) sent: Vec<(SipPath, u64, Vec<u8>)>,
    /// Takes nothing more.
    pub(super) full: bool,
}

impl Outbox for Tape {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Route::Sip { path, cookie } = route else {
            return false;
        };
        let mut buffer = vec![0; SIP_WRITE_BYTES_MAX];
        let length = write(&mut buffer);
        if self.full || length == 0 {
            return false;
        }
        buffer.truncate(length);
        self.sent.push((path, cookie, buffer));
        true
    }

    fn open(&mut self, _port: MediaPort) -> bool {
        false
    }

    fn close(&mut self, _port: MediaPort) {}
}

/// One table, its tape and its clock.
pub(super) struct World {
    pub(super) table: Table,
    pub(super) tape: Tape,
    pub(super) now: Instant,
    pub(super) counters: Arc<Counters>,
}

pub(super) const PEER: &str = "192.0.2.9:5070";

pub(super) fn path(transport: Transport) -> SipPath {
    let flow = transport.is_reliable().then_some(FlowId(7));
    SipPath { transport, listener: 1, peer: address(PEER), flow }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    pub(super) fn new(transactions: usize) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let counters = Counters::shared();
        let key = HashKey::new(&mut Rng::from_number(9));
        let limits = TableLimits::new(transactions);
        let table = Table::new(limits, Timers::default(), now, key, Arc::clone(&counters));
        Self { table, tape: Tape::default(), now, counters }
    }

    /// Lets time pass; gives what was sent and told, with the milliseconds since the start of
    /// this call.
    pub(super) fn pass(&mut self, span: Duration) -> (Vec<u64>, Vec<(u64, TransactionEvent)>) {
        let (start, end) = (self.now, self.now + span);
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        while let Some(next) = self.table.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            let at = u64::try_from((self.now - start).as_millis()).expect("short");
            let before = self.tape.sent.len();
            while let Some(event) = self.table.expire(self.now, &mut self.tape) {
                told.push((at, event));
            }
            sent.extend((before..self.tape.sent.len()).map(|_| at));
        }
        self.now = end;
        (sent, told)
    }

    pub(super) fn receive(&mut self, text: &str, transport: Transport) -> RequestMatch {
        self.receive_from(text, path(transport))
    }

    pub(super) fn receive_from(&mut self, text: &str, path: SipPath) -> RequestMatch {
        let message = parse(text.as_bytes());
        self.table.receive_request(self.now, &message, path, &mut self.tape)
    }

    pub(super) fn begin(&mut self, text: &str, transport: Transport) -> ServerKey {
        assert_eq!(self.receive(text, transport), RequestMatch::New);
        let message = parse(text.as_bytes());
        self.table.begin(self.now, &message, path(transport), 42).expect("room")
    }

    /// Answers with our tag `us`.
    pub(super) fn respond(&mut self, server: ServerKey, request: &str, status: u16) -> bool {
        let message = parse(request.as_bytes());
        let mut write = |buffer: &mut [u8]| {
            let source = address(PEER);
            Writer::response_to(buffer, &message, source, status, "x", Some("us"))
                .finish_empty()
                .unwrap_or(0)
        };
        self.table.respond(self.now, server, status, &mut write, &mut self.tape)
    }

    pub(super) fn call(&mut self, method: Method<'_>, transport: Transport) -> ClientKey {
        let text = request(method.name(), "z9hG4bKours", "");
        let mut write = |buffer: &mut [u8]| copy(&text, buffer);
        let (now, path) = (self.now, path(transport));
        self.table
            .request(now, method, "z9hG4bKours", path, 42, &mut write, &mut self.tape)
            .expect("room")
    }

    pub(super) fn answer(&mut self, method: &str, status: u16, tag: &str) -> ResponseMatch {
        let text = response(method, status, tag);
        let message = parse(text.as_bytes());
        let path = path(Transport::Udp);
        self.table.receive_response(self.now, &message, path, &mut self.tape)
    }

    /// The first lines of what was sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let first =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or("").to_string();
        self.tape.sent.drain(..).map(|(_, _, bytes)| first(&bytes)).collect()
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.counters.read(counter)
    }
}

pub(super) fn parse(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes, Framing::Datagram).expect("parses")
}

pub(super) fn copy(text: &str, buffer: &mut [u8]) -> usize {
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// A request with this branch and To-tag (empty: none).
pub(super) fn request(method: &str, branch: &str, to_tag: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:bob@example.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5070;branch={branch}\r\n\
         Route: <sip:proxy.example;lr>\r\n\
         Max-Forwards: 70\r\n\
         From: Alice <sip:alice@example.org>;tag=them\r\n\
         To: <sip:bob@example.org>{tag}\r\n\
         Call-ID: one\r\n\
         CSeq: 7 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

pub(super) fn response(method: &str, status: u16, tag: &str) -> String {
    format!(
        "SIP/2.0 {status} x\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\n\
         From: Alice <sip:alice@example.org>;tag=them\r\n\
         To: <sip:bob@example.org>;tag={tag}\r\n\
         Call-ID: one\r\n\
         CSeq: 7 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}
