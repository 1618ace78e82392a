//! Control's side of the simulated edge: the desk's errands and the ledger's commits.

use super::{ALIVE_EVERY, Edge, Inner, Outside, SYNC_AFTER, wall};
use crate::base::id::CallId;
use crate::base::time::{Duration, Instant};
use crate::control::desk::{Errand, Post, PostFailure, PostOutcome};
use crate::control::store::{Entry, Ledger as _};
use crate::link::svaml::Action;
use crate::link::{Records, ToControl, ToShard};
use crate::sim::backend;
use crate::sim::breaks::Break;
use crate::sim::log::Log;
use crate::sim::scene;

impl Edge {
    pub(super) fn control_word(
        &mut self,
        now: Instant,
        word: ToControl,
        outside: &mut Outside<'_>,
    ) {
        match word {
            ToControl::Ask(ask) => {
                let mut errands = Vec::new();
                self.desk.ask(now, wall(now), ask, &mut errands);
                self.run(now, errands, outside);
            }
            ToControl::Answered(records) => {
                self.no_secret(now, &records, outside.log);
                let entry = self.desk.answered(&records);
                self.stage(now, entry);
                self.file(now + ALIVE_EVERY, Inner::Alive);
            }
            ToControl::Ended(records) => self.ended(now, &records, outside),
            ToControl::Returned(snapshot) => drop(snapshot),
            ToControl::Drained(shard) => {
                if !self.drained.insert(shard) {
                    outside.log.violation(now, format!("{shard:?} drained twice"));
                }
            }
        }
    }

    fn ended(&mut self, now: Instant, records: &Records, outside: &mut Outside<'_>) {
        self.no_secret(now, records, outside.log);
        let answered = records.cdrs.iter().any(|cdr| cdr.answer_at.is_some());
        let mut entry = self.desk.ended(wall(now), records);
        if answered && self.breaks_now(Break::LeakLimit) {
            let _ = self.usages[0].acquire(now, None, None);
        }
        if answered && self.breaks_now(Break::ForgetCdr) {
            return self.tell(
                now,
                usize::from(records.call.shard.0),
                ToShard::Recorded(records.call),
            );
        }
        if let Entry::Ended { call_id, cdrs, outbox } = &mut entry {
            if answered && self.breaks_now(Break::ForgetDice) {
                *outbox = None;
            }
            if answered && self.breaks_now(Break::TwoNames) {
                let mut cdrs = cdrs.clone();
                let other = CallId::new(7, self.rng.bytes());
                for row in &mut cdrs {
                    row.call_id = other;
                }
                self.ledger.stage(Entry::Ended { call_id: other, cdrs, outbox: None });
            }
            if self.recording.insert(*call_id, records.call).is_some() {
                outside.log.violation(now, format!("call {call_id} ended twice"));
            }
        }
        self.stage(now, entry);
    }

    fn no_secret(&self, now: Instant, records: &Records, log: &mut Log) {
        let text = format!("{records:?}");
        if scene::SECRETS.iter().any(|secret| text.contains(secret)) {
            log.violation(now, format!("the records of {} hold a secret", records.id));
        }
    }

    pub(super) fn stage(&mut self, now: Instant, entry: Entry) {
        self.ledger.stage(entry);
        if !std::mem::replace(&mut self.syncing, true) {
            self.file(now + SYNC_AFTER, Inner::Sync);
        }
    }

    pub(super) fn sync(&mut self, now: Instant) {
        self.syncing = false;
        for (entry, _) in self.ledger.sync() {
            if let Entry::Ended { call_id, .. } = entry
                && let Some(call) = self.recording.get(&call_id).copied()
            {
                self.tell(now, usize::from(call.shard.0), ToShard::Recorded(call));
            }
        }
        // Calls that are up keep the note of being alive fresh.
        if self.ledger.counts().is_ok_and(|counts| counts.live > 0) && self.inner.len() < 64 {
            self.file(now + ALIVE_EVERY, Inner::Alive);
        }
    }

    pub(super) fn run(&mut self, now: Instant, errands: Vec<Errand>, outside: &mut Outside<'_>) {
        for errand in errands {
            match errand {
                Errand::Post(post) => self.post(now, &post, outside),
                Errand::Resolve { id, host, .. } => {
                    let known = host.name == scene::ELSEWHERE;
                    let address = scene::Host::Elsewhere.address();
                    let addresses = known.then_some(address).into_iter().collect();
                    self.file(now + Duration::from_millis(3), Inner::Resolved(id, addresses));
                }
                Errand::Answer { shard, mut answer } => {
                    if self.breaks == Some(Break::EndlessCall)
                        && let Ok(script) = &mut answer.outcome
                        && let Action::ConnectPstn(connect) = &mut script.action
                    {
                        connect.options.max_duration = None;
                    }
                    self.tell(now, usize::from(shard.0), ToShard::Answer(*answer));
                }
                Errand::Delivered(key) => self.stage(now, Entry::Delivered(key)),
                Errand::Retry { key, attempts, at, why } => {
                    self.stage(now, Entry::Retry { key, attempts, next_at: at, why });
                }
                Errand::Dead { key, why } => self.stage(now, Entry::Dead { key, why }),
            }
        }
    }

    fn post(&mut self, now: Instant, post: &Post, outside: &mut Outside<'_>) {
        let body = String::from_utf8_lossy(&post.body);
        let line = format!("callback {} to {}: {body}", post.kind.word(), post.url);
        outside.log.line(now, &line);
        let (url, headers, body) = (post.url.as_str(), &post.headers, &*post.body);
        let (after, outcome) =
            match outside.backend.receive(now, backend::Request { url, headers, body }) {
                backend::Outcome::Silence => return,
                backend::Outcome::Refused => {
                    let why = PostFailure::Connect("refused".to_owned());
                    (Duration::from_millis(1), PostOutcome::Failed { why })
                }
                backend::Outcome::Reply { after, status, body } => {
                    (after, PostOutcome::Replied { status, body: body.into_bytes() })
                }
            };
        self.file(now + after, Inner::Posted(post.id, outcome));
    }
}
