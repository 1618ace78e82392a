//! Which of an application's two URLs to try first.

use crate::base::time::{Duration, Instant};

/// Failures in a row after which the primary is taken for dead.
const FAILURES_MAX: u32 = 5;
/// How often a dead primary is tried nevertheless.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// One of an application's URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Primary,
    Fallback,
}

/// The primary's record.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    probe_at: Instant,
}

impl Health {
    /// Whether the primary is to be tried first. A dead one is, once every half minute: that call
    /// is the probe.
    pub(super) fn primary_first(&mut self, now: Instant) -> bool {
        if !self.is_dead() {
            return true;
        }
        let probe = now >= self.probe_at;
        if probe {
            self.probe_at = now + PROBE_EVERY;
        }
        probe
    }

    /// The primary was tried.
    pub(super) fn primary(&mut self, now: Instant, answered: bool) {
        if answered {
            self.failures = 0;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == FAILURES_MAX {
            self.probe_at = now + PROBE_EVERY;
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.failures >= FAILURES_MAX
    }
}
