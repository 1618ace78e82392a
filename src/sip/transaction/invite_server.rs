//! The INVITE server machine (RFC 3261 figure 7, RFC 6026 figure 5).

use super::state::{InviteServer, State};
use super::table::Table;
use super::{ServerKey, identity};
use crate::base::counter::Counter;
use crate::base::packet::Outbox;
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::wire::sip::{Framing, Message};

impl Table {
    /// The dialog has seen the ACK to the 2xx: it is repeated no longer. The transaction itself
    /// stays for timer L, so that late INVITEs and ACKs are still matched.
    pub fn acknowledged(&mut self, _now: Instant, server: ServerKey) {
        let Some(transaction) = self.transactions.get(server.0) else {
            return;
        };
        if let State::InviteServer(InviteServer::Accepted { .. }) = transaction.state {
            let accepted = InviteServer::Accepted { acknowledged: true };
            self.set_state(server.0, State::InviteServer(accepted));
            self.stop_repeat(server.0);
            self.forget_copy(server.0);
        }
    }

    /// The owner answered, and the `length` scratch bytes of the answer were sent or not.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        key: Key,
        status: u16,
        length: usize,
        sent: bool,
    ) {
        let Some(transaction) = self.transactions.get(key) else {
            return;
        };
        let reliable = transaction.is_reliable();
        match status {
            100..200 => {}
            200..300 => {
                let answer = Message::parse(&self.scratch[..length], Framing::Datagram);
                let to = answer.ok().and_then(|answer| Some(answer.to().ok()?.tag()));
                let tag = identity::tag(self.hash_key, to.flatten());
                let accepted = InviteServer::Accepted { acknowledged: false };
                if let Some(transaction) = self.transactions.get_mut(key) {
                    transaction.state = State::InviteServer(accepted);
                    transaction.tag = tag;
                }
                // Also over a stream: a proxy behind it may go on over UDP (RFC 3261 §13.3.1.4).
                self.set_repeat(now, key, self.timers.t1);
                self.set_end(now, key, self.timers.l());
            }
            _ => {
                self.set_state(key, State::InviteServer(InviteServer::Completed));
                if !reliable || !sent {
                    self.set_repeat(now, key, self.timers.g());
                }
                self.set_end(now, key, self.timers.h());
            }
        }
    }

    /// An ACK with the INVITE's branch, to a final response other than 2xx.
    pub(super) fn invite_acknowledged(&mut self, now: Instant, key: Key, state: InviteServer) {
        match state {
            InviteServer::Completed => {
                self.set_state(key, State::InviteServer(InviteServer::Confirmed));
                self.stop_repeat(key);
                self.forget_copy(key);
                let reliable = self.transactions.get(key).is_some_and(|t| t.is_reliable());
                self.set_end(now, key, self.timers.i(reliable));
            }
            InviteServer::Confirmed => self.counters.count(Counter::SipRetransmissionsReceived),
            InviteServer::Proceeding | InviteServer::Accepted { .. } => {
                self.counters.count(Counter::SipStray);
            }
        }
    }

    /// Timer G, or the next repetition of a 2xx.
    pub(super) fn repeat_invite_response(
        &mut self,
        now: Instant,
        key: Key,
        state: InviteServer,
        out: &mut dyn Outbox,
    ) {
        let sent = self.send_again(key, out);
        let Some(transaction) = self.transactions.get(key) else {
            return;
        };
        let again = match state {
            InviteServer::Accepted { acknowledged } => !acknowledged,
            InviteServer::Completed => !sent || !transaction.is_reliable(),
            InviteServer::Proceeding | InviteServer::Confirmed => false,
        };
        if again {
            let pause = self.timers.doubled_to_t2(transaction.pause);
            self.set_repeat(now, key, pause);
        }
    }
}
