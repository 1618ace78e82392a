//! How many wrong passwords a source may try before nobody listens to it for a while.

use std::net::IpAddr;

use crate::base::pool::{Key, Pool};
use crate::base::table::{HashKey, Index};
use crate::base::time::{Duration, Instant};
use crate::base::wheel::{TimerId, Wheel};

/// Wrong answers that a source may give within [`FORGIVEN_AFTER`].
pub const FAILURES_MAX: u32 = 10;
/// A source that gives no wrong answer for so long starts afresh.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// How long the first ban lasts; each further one lasts twice as long, up to [`BAN_MAX`].
pub const BAN_FIRST: Duration = Duration::from_secs(60);
/// The longest ban.
pub const BAN_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Record {
    source: IpAddr,
    failures: u32,
    banned_until: Instant,
    ban: Duration,
    forget: Option<TimerId>,
}

/// Failures by source, in a table of fixed size. Who has proven nothing but a source address has
/// no record: count only failures that [`super::Verdict::Wrong`] calls proven, or datagrams with a
/// forged source could ban whom they liked. Sources on an access list are not asked about.
#[derive(Debug)]
pub struct Budget {
    records: Pool<Record>,
    by_source: Index<Key>,
    ends: Wheel<Key>,
}

impl Budget {
    /// At most `sources_max` sources have a record at once; further ones are not counted.
    pub fn new(sources_max: usize, hash_key: HashKey, now: Instant) -> Self {
        Self {
            records: Pool::new(sources_max),
            by_source: Index::new(sources_max, hash_key),
            ends: Wheel::new(sources_max, now),
        }
    }

    /// Whether requests of this source are to be ignored now.
    pub fn is_banned(&self, now: Instant, source: IpAddr) -> bool {
        let record = self.find(source).and_then(|key| self.records.get(key));
        record.is_some_and(|record| now < record.banned_until)
    }

    /// A wrong answer came. Gives whether the source is banned from now on.
    pub fn failed(&mut self, now: Instant, source: IpAddr) -> bool {
        self.expire(now);
        let Some(key) = self.find(source).or_else(|| self.add(source)) else {
            return false;
        };
        let Some(record) = self.records.get_mut(key) else {
            return false;
        };
        record.failures += 1;
        let banned = record.failures >= FAILURES_MAX;
        if banned {
            record.failures = 0;
            record.banned_until = now + record.ban;
            record.ban = record.ban.saturating_mul(2).min(BAN_MAX);
        }
        let end = now.max(record.banned_until) + FORGIVEN_AFTER;
        if let Some(timer) = record.forget.take() {
            self.ends.cancel(timer);
        }
        record.forget = self.ends.set(end, key);
        // The wheel holds as many timers as there are records.
        assert!(record.forget.is_some());
        banned
    }

    /// The right answer came: the source starts afresh.
    pub fn succeeded(&mut self, source: IpAddr) {
        if let Some(key) = self.find(source) {
            self.forget(key);
        }
    }

    /// Sources with a record.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no source has a record.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets what is old.
    pub fn expire(&mut self, now: Instant) {
        while let Some(key) = self.ends.expire(now) {
            if let Some(record) = self.records.get_mut(key) {
                record.forget = None;
            }
            self.forget(key);
        }
    }

    fn find(&self, source: IpAddr) -> Option<Key> {
        let source = source.to_canonical();
        let hash = self.by_source.hash(&source);
        self.by_source
            .find(hash, |key| self.records.get(key).is_some_and(|record| record.source == source))
    }

    fn add(&mut self, source: IpAddr) -> Option<Key> {
        let source = source.to_canonical();
        let (failures, banned_until, ban) = (0, Instant::ZERO, BAN_FIRST);
        let record = Record { source, failures, banned_until, ban, forget: None };
        let key = self.records.insert(record).ok()?;
        // The index holds as many entries as the pool.
        assert!(self.by_source.insert(self.by_source.hash(&source), key));
        Some(key)
    }

    fn forget(&mut self, key: Key) {
        if let Some(record) = self.records.remove(key) {
            let hash = self.by_source.hash(&record.source);
            assert!(self.by_source.remove(hash, |found| found == key));
            if let Some(timer) = record.forget {
                self.ends.cancel(timer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn budget() -> Budget {
        Budget::new(2, HashKey::new(&mut Rng::from_number(1)), Instant::ZERO)
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_tenth_failure_bans_and_bans_grow() {
        let mut budget = budget();
        let mut now = Instant::ZERO;
        for ban in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            for _ in 1..FAILURES_MAX {
                assert!(!budget.failed(now, source(1)));
                assert!(!budget.is_banned(now, source(1)));
            }
            assert!(budget.failed(now, source(1)));
            assert!(budget.is_banned(now, source(1)));
            assert!(!budget.is_banned(now, source(2)), "nobody else is");
            let mapped = "::ffff:192.0.2.1".parse().expect("an address");
            assert!(budget.is_banned(now, mapped));
            now += Duration::from_secs(ban) - Duration::from_millis(1);
            assert!(budget.is_banned(now, source(1)));
            now += Duration::from_millis(1);
            assert!(!budget.is_banned(now, source(1)));
        }
        now += FORGIVEN_AFTER;
        budget.expire(now);
        assert!(budget.is_empty());
    }

    #[test]
    fn success_and_time_forgive() {
        let mut budget = budget();
        let mut now = Instant::ZERO;
        for _ in 0..100 {
            budget.failed(now, source(1));
            now += FORGIVEN_AFTER;
        }
        assert!(!budget.is_banned(now, source(1)));
        for _ in 0..100 {
            assert!(!budget.failed(now, source(1)));
            budget.succeeded(source(1));
        }
        assert!(budget.is_empty());
    }

    #[test]
    fn a_full_table_counts_no_further_sources() {
        let mut budget = budget();
        for last in 1..=3 {
            for _ in 0..FAILURES_MAX {
                budget.failed(Instant::ZERO, source(last));
            }
        }
        let banned = |last| budget.is_banned(Instant::ZERO, source(last));
        assert!(banned(1) && banned(2) && !banned(3));
        assert_eq!(budget.len(), 2);
    }
}
