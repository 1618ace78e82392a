//! The edge goes down gently: no new calls, live ones until a deadline, nothing lost.

use super::{Shard, Turn};
use crate::call::effect::Effects;
use crate::call::outcome::Ending;
use crate::link::ToControl;

impl Shard {
    /// Takes no new calls from now on.
    pub(super) fn drain(&mut self, turn: &mut Turn<'_>) {
        self.draining = true;
        self.tell_drained(turn);
    }

    /// Ends every call that is still up.
    pub(super) fn end_all(&mut self, turn: &mut Turn<'_>) {
        self.draining = true;
        // Slot by slot, because ending a call may free it.
        for slot in 0..self.calls.slots() {
            let Some(key) = self.calls.key_at(slot) else { continue };
            let Some(call) = self.calls.get_mut(key) else { continue };
            let mut effects = Effects::new();
            call.let_go(turn.now, Ending::Draining, "the edge was shut down", &mut effects);
            self.perform(turn, key, effects);
        }
    }

    /// Says once that no call is left.
    pub(super) fn tell_drained(&mut self, turn: &mut Turn<'_>) {
        if self.draining && !self.drained_told && self.calls.is_empty() {
            let word = ToControl::Drained(self.setup.id);
            self.drained_told = turn.control.send(word).is_ok();
            if !self.drained_told {
                self.retry_at = Some(turn.now + super::RETRY);
            }
        }
    }
}
