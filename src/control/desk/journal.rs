//! What the store is told about calls.

use super::Desk;
use crate::base::time::WallTime;
use crate::control::cdr::CdrRow;
use crate::control::event::{self, EventKind};
use crate::control::store::{Entry, LiveDice, OutboxKey, OutboxRow};
use crate::link::Records;

impl Desk {
    /// What the store keeps of a call that was answered.
    pub fn answered(&self, records: &Records) -> Entry {
        let dice = records.dice.as_ref().map(|dice| LiveDice {
            application: dice.application.to_string(),
            from: dice.from.to_string(),
            to: dice.to.clone(),
            cookies: self.cookies.get(&records.id).cloned().unwrap_or_default(),
        });
        Entry::Answered { call_id: records.id, cdrs: self.rows(records), dice }
    }

    /// What the store keeps of a call that ended: its legs and, where the customer is told, the
    /// event with its body, which never changes after. The desk forgets the call.
    pub fn ended(&mut self, wall: WallTime, records: &Records) -> Entry {
        let cookies = self.cookies.remove(&records.id).unwrap_or_default();
        let outbox = records.dice.as_ref().map(|dice| OutboxRow {
            key: OutboxKey { call_id: records.id, event: EventKind::Dice },
            application: dice.application.to_string(),
            body: event::dice(self.identity(), records.id, dice, &cookies),
            attempts: 0,
            created_at: wall,
            next_at: wall,
        });
        Entry::Ended { call_id: records.id, cdrs: self.rows(records), outbox }
    }

    fn rows(&self, records: &Records) -> Vec<CdrRow> {
        let result = records.dice.as_ref().map(|dice| dice.result);
        let row = |cdr: &crate::link::Cdr| {
            CdrRow::new(records.id, &self.config.node, result, cdr.clone())
        };
        records.cdrs.iter().map(row).collect()
    }
}
