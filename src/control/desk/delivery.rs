//! Events that must arrive: each is tried until it does, ever more slowly, or is given up.

use super::stats::Outcome;
use super::{Callback, Desk, Errand, Purpose};
use crate::base::time::{Duration, Instant, WallTime};
use crate::control::store::{OutboxKey, OutboxRow};
use crate::directory::Name;

impl Desk {
    /// Takes events whose time has come. Those already under way are passed over, and so are those
    /// beyond the application's share: the store will name them again. An event stays under way
    /// until [`Desk::settled`] says that the store has noted what became of it.
    pub fn due(
        &mut self,
        now: Instant,
        wall: WallTime,
        batch: Vec<OutboxRow>,
        out: &mut Vec<Errand>,
    ) {
        for row in batch {
            if self.delivering.contains(&row.key) {
                continue;
            }
            let Ok(application) = Name::from(&row.application) else {
                let why = "no application has such a key".to_owned();
                self.delivering.insert(row.key);
                out.push(Errand::Dead { key: row.key, why });
                continue;
            };
            let Some(urls) = self.urls(now, &application) else {
                self.stats.count(row.key.event, Outcome::NoCallback);
                self.delivering.insert(row.key);
                self.start_delivery(application);
                let why = "the application has no callback URL".to_owned();
                self.not_delivered(wall, row, why, out);
                continue;
            };
            let state = self.applications.entry(application).or_default();
            if state.deliveries >= self.config.deliveries_max {
                continue;
            }
            self.delivering.insert(row.key);
            self.start_delivery(application);
            let (kind, budget) = (row.key.event, self.config.budget);
            let body = row.body.clone();
            let callback = Callback::new(now, application, kind, body, urls, budget);
            self.post(now, wall, Purpose::Delivery(row), callback, out);
        }
    }

    /// The store has noted what [`Errand::Delivered`], [`Errand::Retry`] or [`Errand::Dead`] said,
    /// and no batch that was read before is still to come: the next one tells the truth.
    pub fn settled(&mut self, key: OutboxKey) {
        self.delivering.remove(&key);
    }

    pub(super) fn delivered(&mut self, row: OutboxRow, out: &mut Vec<Errand>) {
        self.delivery_over(&row);
        out.push(Errand::Delivered(row.key));
    }

    pub(super) fn not_delivered(
        &mut self,
        wall: WallTime,
        row: OutboxRow,
        why: String,
        out: &mut Vec<Errand>,
    ) {
        self.delivery_over(&row);
        let age = Duration::from_millis(wall.0.saturating_sub(row.created_at.0));
        if age >= self.config.give_up {
            self.stats.given_up += 1;
            out.push(Errand::Dead { key: row.key, why });
            return;
        }
        let attempts = row.attempts.saturating_add(1);
        let pause = self.pause(row.attempts);
        let at = WallTime(wall.0 + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX >> 1));
        out.push(Errand::Retry { key: row.key, attempts, at, why });
    }

    /// Between half of and the whole exponential pause, so that what failed together does not come
    /// back together.
    fn pause(&mut self, attempts: u32) -> Duration {
        let doubled = self.config.retry_first.saturating_mul(1 << attempts.min(20));
        let whole = doubled.min(self.config.retry_max);
        let half_ms = u64::try_from(whole.as_millis() / 2).unwrap_or(u64::MAX >> 1);
        Duration::from_millis(half_ms + self.rng.below(half_ms + 1))
    }

    fn start_delivery(&mut self, application: Name) {
        self.applications.entry(application).or_default().deliveries += 1;
    }

    fn delivery_over(&mut self, row: &OutboxRow) {
        if let Ok(application) = Name::from(&row.application)
            && let Some(state) = self.applications.get_mut(&application)
        {
            assert!(state.deliveries > 0, "a delivery ends once");
            state.deliveries -= 1;
        }
    }
}
