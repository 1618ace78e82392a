//! What the desk counts.

use crate::base::time::Duration;
use crate::control::event::EventKind;

/// How one callback to one URL ended; the last three are of questions that never went out, or
/// whose answer was no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    /// With a success status.
    Answered,
    /// With another status.
    Status,
    /// With the deadline.
    Timeout,
    /// Without a connection.
    Connect,
    /// With an address where callbacks do not go.
    Forbidden,
    /// With a broken or oversized reply.
    Broken,
    /// The answer was no legal SVAML (counted beside `Answered`).
    Illegal,
    /// Too many questions of the application were under way.
    Limited,
    /// The application has no URL.
    NoCallback,
}

impl Outcome {
    /// All, in order.
    pub const ALL: [Self; 9] = [
        Self::Answered,
        Self::Status,
        Self::Timeout,
        Self::Connect,
        Self::Forbidden,
        Self::Broken,
        Self::Illegal,
        Self::Limited,
        Self::NoCallback,
    ];

    /// As a label.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Forbidden => "forbidden",
            Self::Broken => "broken",
            Self::Illegal => "illegal_svaml",
            Self::Limited => "limited",
            Self::NoCallback => "no_callback",
        }
    }
}

/// Upper bounds of the buckets of [`Histogram`], milliseconds.
pub const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/// Times that something took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histogram {
    /// How many fell into each bucket of [`BUCKETS_MS`], not cumulated; the last is beyond all.
    pub buckets: [u64; BUCKETS_MS.len() + 1],
    /// Sum in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub fn took(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MS.partition_point(|bound| bound * 1000 < us);
        self.buckets[bucket] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

/// Counters of a desk.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    outcomes: [[u64; Outcome::ALL.len()]; EventKind::ALL.len()],
    times: [Histogram; EventKind::ALL.len()],
    /// Callbacks that went on to the second URL.
    pub fallbacks: u64,
    /// Outcomes that came after their errand was over.
    pub late: u64,
    /// Hosts that did not resolve (in time).
    pub unresolved: u64,
    /// Calls whose cookies did not fit.
    pub cookies_dropped: u64,
    /// Events given up.
    pub given_up: u64,
}

impl Stats {
    pub(super) fn count(&mut self, kind: EventKind, outcome: Outcome) {
        self.outcomes[kind as usize][outcome as usize] += 1;
    }

    pub(super) fn took(&mut self, kind: EventKind, time: Duration) {
        self.times[kind as usize].took(time);
    }

    /// How often callbacks of a kind ended so.
    pub fn outcomes(&self, kind: EventKind, outcome: Outcome) -> u64 {
        self.outcomes[kind as usize][outcome as usize]
    }

    /// How long callbacks of a kind took, a URL each.
    pub fn times(&self, kind: EventKind) -> &Histogram {
        &self.times[kind as usize]
    }
}
