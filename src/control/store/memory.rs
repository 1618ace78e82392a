//! The ledger in memory: for the simulator, whose disk may lose what was not committed.

use std::collections::BTreeMap;

use super::{
    Counts, DUE_PER_APPLICATION_MAX, Entry, Ledger, LiveDice, OutboxKey, OutboxRow, Recovered,
    StoreError, dice_of_lost,
};
use crate::base::id::CallId;
use crate::base::time::WallTime;
use crate::control::cdr::{CdrFilter, CdrRow};
use crate::control::event::Identity;
use crate::link::LegLetter;

/// Keeps entries in maps. [`MemoryLedger::stage`] is a write that has not reached the disk;
/// [`MemoryLedger::sync`] commits all of these at once, [`MemoryLedger::crash`] loses them.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    cdrs: BTreeMap<(CallId, LegLetter), CdrRow>,
    live: BTreeMap<CallId, (Vec<CdrRow>, Option<LiveDice>)>,
    outbox: BTreeMap<OutboxKey, OutboxRow>,
    dead: BTreeMap<OutboxKey, String>,
    alive: WallTime,
    staged: Vec<Entry>,
}

impl MemoryLedger {
    /// Takes an entry that is not yet safe.
    pub fn stage(&mut self, entry: Entry) {
        self.staged.push(entry);
    }

    /// Makes all staged entries safe; they come back with whether each changed anything.
    pub fn sync(&mut self) -> Vec<(Entry, bool)> {
        let staged = std::mem::take(&mut self.staged);
        staged.into_iter().map(|entry| (entry.clone(), self.apply(&entry))).collect()
    }

    /// Loses what was staged. What was committed stays, as on a disk.
    pub fn crash(&mut self) {
        self.staged.clear();
    }

    /// All records, for checkers.
    pub fn cdrs(&self) -> impl Iterator<Item = &CdrRow> {
        self.cdrs.values()
    }

    /// All events that wait, for checkers.
    pub fn outbox(&self) -> impl Iterator<Item = &OutboxRow> {
        self.outbox.values()
    }

    /// All events that were given up, with the last reason, for checkers.
    pub fn dead(&self) -> impl Iterator<Item = (&OutboxKey, &str)> {
        self.dead.iter().map(|(key, why)| (key, why.as_str()))
    }

    fn apply(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Answered { call_id, cdrs, dice } => {
                let known = self.live.contains_key(call_id) || self.is_stored(*call_id);
                if !known {
                    self.live.insert(*call_id, (cdrs.clone(), dice.clone()));
                }
                !known
            }
            Entry::Ended { call_id, cdrs, outbox } => {
                self.live.remove(call_id);
                self.store(*call_id, cdrs, outbox.as_ref())
            }
            Entry::Delivered(key) => self.outbox.remove(key).is_some(),
            Entry::Retry { key, attempts, next_at, .. } => match self.outbox.get_mut(key) {
                Some(row) => {
                    (row.attempts, row.next_at) = (*attempts, *next_at);
                    true
                }
                None => false,
            },
            Entry::Dead { key, why } => match self.outbox.remove(key) {
                Some(_) => self.dead.insert(*key, why.clone()).is_none(),
                None => false,
            },
            Entry::Alive(at) => {
                self.alive = self.alive.max(*at);
                true
            }
        }
    }

    fn is_stored(&self, call_id: CallId) -> bool {
        [LegLetter::A, LegLetter::B].iter().any(|leg| self.cdrs.contains_key(&(call_id, *leg)))
    }

    fn store(&mut self, call_id: CallId, cdrs: &[CdrRow], outbox: Option<&OutboxRow>) -> bool {
        if self.is_stored(call_id) {
            return false;
        }
        for row in cdrs {
            self.cdrs.insert((call_id, row.cdr.leg), row.clone());
        }
        if let Some(row) = outbox {
            self.outbox.insert(row.key, row.clone());
        }
        true
    }
}

impl Ledger for MemoryLedger {
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<bool>, StoreError> {
        Ok(entries.iter().map(|entry| self.apply(entry)).collect())
    }

    fn recover(&mut self, identity: Identity<'_>) -> Result<Recovered, StoreError> {
        self.crash();
        let mut recovered = Recovered::default();
        for (call_id, (mut legs, dice)) in std::mem::take(&mut self.live) {
            for leg in &mut legs {
                leg.lose(self.alive);
            }
            let at = legs.iter().map(|leg| leg.cdr.end_at).max().unwrap_or(self.alive);
            let outbox = dice.map(|dice| dice_of_lost(identity, call_id, &dice, &legs, at));
            if self.store(call_id, &legs, outbox.as_ref()) {
                recovered.calls += 1;
                recovered.legs += legs.len() as u64;
            }
        }
        Ok(recovered)
    }

    fn due(&mut self, now: WallTime) -> Result<Vec<OutboxRow>, StoreError> {
        let mut rows: Vec<_> = self.outbox.values().filter(|row| row.next_at <= now).collect();
        rows.sort_by(|a, b| {
            (&a.application, a.next_at, a.key).cmp(&(&b.application, b.next_at, b.key))
        });
        let mut due: Vec<OutboxRow> = Vec::new();
        for row in rows {
            let same = due.iter().rev().take_while(|taken| taken.application == row.application);
            if same.count() < DUE_PER_APPLICATION_MAX as usize {
                due.push(row.clone());
            }
        }
        Ok(due)
    }

    fn query(&mut self, filter: &CdrFilter) -> Result<Vec<CdrRow>, StoreError> {
        let mut rows: Vec<_> = self.cdrs.values().filter(|row| filter.admits(row)).collect();
        rows.sort_by(|a, b| {
            (b.cdr.invite_at, b.call_id, a.cdr.leg).cmp(&(a.cdr.invite_at, a.call_id, b.cdr.leg))
        });
        let limit = usize::try_from(filter.limit()).unwrap_or(usize::MAX);
        Ok(rows.into_iter().take(limit).cloned().collect())
    }

    fn counts(&mut self) -> Result<Counts, StoreError> {
        Ok(Counts {
            outbox: self.outbox.len() as u64,
            dead: self.dead.len() as u64,
            live: self.live.len() as u64,
        })
    }
}
