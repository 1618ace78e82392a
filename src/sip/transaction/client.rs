//! The client machine of requests other than INVITE (RFC 3261 figure 6).

use super::state::{Client, State};
use super::table::Table;
use super::{ClientKey, ResponseKind, ResponseMatch, TransactionEvent};
use crate::base::counter::Counter;
use crate::base::packet::Outbox;
use crate::base::pool::Key;
use crate::base::time::Instant;

impl Client {
    pub(super) const fn awaits_final(self) -> bool {
        matches!(self, Self::Trying | Self::Proceeding)
    }
}

impl Table {
    pub(super) fn client_sent(&mut self, now: Instant, key: Key, reliable: bool) {
        if !reliable {
            self.set_repeat(now, key, self.timers.e());
        }
        self.set_end(now, key, self.timers.f());
    }

    pub(super) fn client_answered(
        &mut self,
        now: Instant,
        key: Key,
        state: Client,
        status: u16,
    ) -> ResponseMatch {
        let Some(transaction) = self.transactions.get(key) else {
            return ResponseMatch::Stray;
        };
        let (owner, silent) = (transaction.owner, transaction.silent);
        let reliable = transaction.is_reliable();
        if state == Client::Completed {
            self.counters.count(Counter::SipRetransmissionsReceived);
            return ResponseMatch::Absorbed;
        }
        let kind = if status < 200 {
            self.set_state(key, State::Client(Client::Proceeding));
            ResponseKind::Provisional
        } else {
            self.set_state(key, State::Client(Client::Completed));
            self.stop_repeat(key);
            self.forget_copy(key);
            self.set_end(now, key, self.timers.k(reliable));
            ResponseKind::Final
        };
        if silent {
            return ResponseMatch::Absorbed;
        }
        ResponseMatch::Matched { client: ClientKey(key), owner, kind }
    }

    /// Timer E.
    pub(super) fn repeat_request(
        &mut self,
        now: Instant,
        key: Key,
        state: Client,
        out: &mut dyn Outbox,
    ) {
        self.send_again(key, out);
        let Some(transaction) = self.transactions.get(key) else {
            return;
        };
        let pause = match state {
            Client::Trying => self.timers.doubled_to_t2(transaction.pause),
            Client::Proceeding => self.timers.t2,
            Client::Completed => return,
        };
        self.set_repeat(now, key, pause);
    }

    pub(super) fn client_failed(&mut self, key: Key, state: Client) -> Option<TransactionEvent> {
        // Once it was answered it had arrived, and the failure is of no consequence.
        if state != Client::Trying {
            return None;
        }
        let transaction = self.transactions.get(key)?;
        let (owner, silent) = (transaction.owner, transaction.silent);
        self.remove(key);
        (!silent).then_some(TransactionEvent::ClientFailed { client: ClientKey(key), owner })
    }
}
