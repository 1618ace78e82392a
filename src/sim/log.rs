//! What is seen while a run goes: its fingerprint, its trace, and what must never be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::net::{IpAddr, SocketAddr};

use super::network::Delivery;
use super::scene;
use crate::base::time::Instant;

/// Violations that are kept; the first is what matters.
const VIOLATIONS_MAX: usize = 16;
/// Trace lines that are kept.
const LINES_MAX: usize = 200_000;

/// The log of a run.
#[derive(Debug)]
pub struct Log {
    hasher: siphasher::sip::SipHasher13,
    tracing: bool,
    lines: Vec<String>,
    violations: Vec<String>,
    /// SIP bytes from and to addresses that nobody provisioned.
    strangers: BTreeMap<IpAddr, (u64, u64)>,
    provisioned: BTreeSet<IpAddr>,
    packets: u64,
}

impl Log {
    /// An empty log; `tracing`: lines are kept.
    pub fn new(tracing: bool) -> Self {
        Self {
            hasher: siphasher::sip::SipHasher13::new(),
            tracing,
            lines: Vec::new(),
            violations: Vec::new(),
            strangers: BTreeMap::new(),
            provisioned: scene::Host::ALL.iter().map(|host| host.address().ip()).collect(),
            packets: 0,
        }
    }

    /// Something that must never happen.
    pub fn violation(&mut self, now: Instant, sentence: String) {
        self.line(now, &format!("VIOLATION {sentence}"));
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{sentence} (at {})", seconds(now)));
        }
    }

    /// What must never happen and did.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// A line of the trace.
    pub fn line(&mut self, now: Instant, text: &str) {
        if self.tracing && self.lines.len() < LINES_MAX {
            self.lines.push(format!("{} {text}", seconds(now)));
        }
    }

    /// Lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The run's fingerprint so far.
    pub fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    /// Packets that arrived anywhere.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Something arrives somewhere.
    pub fn arrives(&mut self, now: Instant, delivery: &Delivery) {
        self.packets += 1;
        self.hasher.write_u64(now.as_nanos());
        match delivery {
            Delivery::Datagram { from, to, bytes } => {
                self.hasher.write_u16(from.port());
                self.hasher.write_u16(to.port());
                self.hasher.write(bytes);
                if *to == scene::edge_sip() && !self.provisioned.contains(&from.ip()) {
                    self.strangers.entry(from.ip()).or_default().0 += bytes.len() as u64;
                }
                if self.tracing {
                    self.trace_bytes(now, (*from, *to), bytes);
                }
            }
            Delivery::Segment { connection, bytes, .. } => {
                self.hasher.write_u64(connection.0);
                self.hasher.write(bytes);
            }
            Delivery::Accepted { connection, .. } | Delivery::Closed { connection, .. } => {
                self.hasher.write_u64(connection.0);
                if self.tracing {
                    self.line(now, &format!("{delivery:?}"));
                }
            }
        }
    }

    /// The edge sends.
    pub fn edge_sends(&mut self, now: Instant, to: SocketAddr, bytes: &[u8], is_media: bool) {
        let known = self.provisioned.contains(&to.ip());
        if is_media {
            if !known {
                self.violation(now, format!("media goes to {to}, a stranger"));
            }
            return;
        }
        for secret in scene::SECRETS {
            if memchr::memmem::find(bytes, secret.as_bytes()).is_some() {
                self.violation(now, format!("a secret is told to {to}"));
            }
        }
        if !known {
            let sums = self.strangers.entry(to.ip()).or_default();
            // A 481 has a tag and a source more than its request: no lever for anybody.
            let spare = if bytes.starts_with(b"SIP/2.0 481") { 64 } else { 0 };
            sums.1 += (bytes.len() as u64).saturating_sub(spare);
            let (received, sent) = *sums;
            if sent > received {
                let start = String::from_utf8_lossy(bytes);
                let start = start.lines().next().unwrap_or_default();
                let sentence = format!(
                    "stranger {to} sent {received} bytes and is sent {sent}, the last with {start:?}"
                );
                self.violation(now, sentence);
            }
        }
    }

    /// A message on a stream, for the trace.
    pub fn stream_message(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        if self.tracing {
            self.trace_bytes(now, (from, to), bytes);
        }
    }

    fn trace_bytes(&mut self, now: Instant, (from, to): (SocketAddr, SocketAddr), bytes: &[u8]) {
        if bytes.first().is_some_and(|byte| byte >> 6 == 2) {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let start = lines.next().unwrap_or_default().to_owned();
        let find = |names: [&str; 2]| {
            let line = text.lines().find(|line| {
                let lower = line.to_ascii_lowercase();
                names.iter().any(|name| lower.starts_with(name))
            });
            line.and_then(|line| line.split_once(':'))
                .map_or("", |(_, value)| value.trim())
                .to_owned()
        };
        let (call_id, cseq) = (find(["call-id", "i:"]), find(["cseq", "cseq"]));
        let body = if text.contains("\r\n\r\nv=0") { " (SDP)" } else { "" };
        self.line(now, &format!("{from} -> {to} {start}{body} [{cseq}] {call_id}"));
    }
}

/// Seconds with milliseconds.
pub fn seconds(at: Instant) -> String {
    format!("{:>5}.{:03} s", at.as_millis() / 1000, at.as_millis() % 1000)
}
