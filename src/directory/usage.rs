//! How much of a trunk's limits is in use. Shared by all shards and all snapshots of a trunk; the
//! only shared counters of the edge, touched once at a call's start and once at its end, never on
//! the media path.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::base::time::Instant;

/// Calls under way and the pace of new ones.
#[derive(Debug, Default)]
pub struct Usage {
    calls: AtomicU32,
    /// Theoretical arrival time of the next call in nanoseconds (generic cell rate algorithm).
    next_ns: AtomicU64,
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many calls as allowed are under way.
    Concurrent,
    /// Calls come faster than allowed.
    Rate,
}

impl Usage {
    /// Takes one call's place, if the limits leave one.
    pub fn acquire(
        &self,
        now: Instant,
        calls_max: Option<u32>,
        per_second_max: Option<u32>,
    ) -> Result<(), Refused> {
        let max = calls_max.unwrap_or(u32::MAX);
        let step = |calls: u32| (calls < max).then(|| calls + 1);
        self.calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map_err(|_| Refused::Concurrent)?;
        if let Some(rate) = per_second_max
            && !self.pace(now, rate)
        {
            self.release();
            return Err(Refused::Rate);
        }
        Ok(())
    }

    /// Gives a call's place back.
    pub fn release(&self) {
        let before = self.calls.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a call's place is given back once");
    }

    /// Calls under way.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether a call fits the rate; a burst of one second's worth is allowed.
    fn pace(&self, now: Instant, per_second: u32) -> bool {
        if per_second == 0 {
            return false;
        }
        let interval = 1_000_000_000 / u64::from(per_second);
        let now = now.as_nanos();
        let step = |next: u64| {
            let next = next.max(now);
            (next - now <= 1_000_000_000 - interval).then_some(next + interval)
        };
        self.next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;

    #[test]
    fn concurrent_calls_are_counted() {
        let usage = Usage::default();
        assert!(usage.acquire(Instant::ZERO, Some(1), None).is_ok());
        assert_eq!(usage.acquire(Instant::ZERO, Some(1), None), Err(Refused::Concurrent));
        usage.release();
        assert!(usage.acquire(Instant::ZERO, Some(1), None).is_ok());
    }

    #[test]
    fn rate_allows_one_second_of_burst_and_then_the_pace() {
        let usage = Usage::default();
        let mut now = Instant::from_nanos(5_000_000_000);
        let burst = (0..100).filter(|_| usage.acquire(now, None, Some(10)).is_ok()).count();
        assert_eq!(burst, 10);
        assert_eq!(usage.calls(), 10);
        let mut admitted = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            admitted += usize::from(usage.acquire(now, None, Some(10)).is_ok());
        }
        assert!((99..=101).contains(&admitted), "{admitted}");
    }
}
