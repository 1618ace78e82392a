//! The INVITE client machine (RFC 3261 figure 5, RFC 6026 figure 4), with its ACK and CANCEL.

use super::state::{Client, InviteClient, State, Transaction};
use super::table::{Table, Write};
use super::{
    CancelOutcome, ClientKey, ResponseKind, ResponseMatch, TransactionEvent, derive, identity,
};
use crate::base::counter::Counter;
use crate::base::packet::{Outbox, SipPath};
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::wire::sip::{Framing, Message, Method};

impl InviteClient {
    pub(super) const fn awaits_final(self) -> bool {
        matches!(self, Self::Calling { .. } | Self::Proceeding { .. })
    }
}

impl Table {
    /// Sends the ACK to a 2xx along `path`. The first 2xx's is kept, and sent again whenever that
    /// 2xx is repeated. `false`: not written, or not sent.
    pub fn acknowledge(
        &mut self,
        _now: Instant,
        client: ClientKey,
        path: SipPath,
        write: &mut Write<'_>,
        out: &mut dyn Outbox,
    ) -> bool {
        let length = self.write(write);
        if length == 0 {
            return false;
        }
        if self.is_first_accepted(client.0, length) {
            self.keep(client.0, length);
            if let Some(transaction) = self.transactions.get_mut(client.0) {
                transaction.path = path;
            }
        }
        self.send(path, 0, length, out)
    }

    /// Takes an INVITE back: CANCEL goes out as soon as the INVITE is known to have arrived, once
    /// however often this is called.
    pub fn cancel(
        &mut self,
        now: Instant,
        client: ClientKey,
        out: &mut dyn Outbox,
    ) -> CancelOutcome {
        let state = self.transactions.get(client.0).map(|transaction| transaction.state);
        match state {
            Some(State::InviteClient(InviteClient::Calling { .. })) => {
                let calling = InviteClient::Calling { cancel: true };
                self.set_state(client.0, State::InviteClient(calling));
                CancelOutcome::Pending
            }
            Some(State::InviteClient(InviteClient::Proceeding { cancelled })) => {
                if !cancelled {
                    self.send_cancel(now, client.0, out);
                }
                CancelOutcome::Sent
            }
            _ => CancelOutcome::Finished,
        }
    }

    pub(super) fn invite_client_sent(&mut self, now: Instant, key: Key, reliable: bool) {
        if !reliable {
            self.set_repeat(now, key, self.timers.a());
        }
        self.set_end(now, key, self.timers.b());
    }

    pub(super) fn invite_client_answered(
        &mut self,
        now: Instant,
        key: Key,
        state: InviteClient,
        status: u16,
        message: &Message<'_>,
        out: &mut dyn Outbox,
    ) -> ResponseMatch {
        let Some(transaction) = self.transactions.get(key) else {
            return ResponseMatch::Stray;
        };
        let (owner, client) = (transaction.owner, ClientKey(key));
        let kind = match (state, status) {
            (InviteClient::Calling { cancel }, ..200) => {
                self.set_state(
                    key,
                    State::InviteClient(InviteClient::Proceeding { cancelled: false }),
                );
                self.stop_repeat(key);
                self.stop_end(key);
                if cancel {
                    self.send_cancel(now, key, out);
                }
                ResponseKind::Provisional
            }
            (InviteClient::Proceeding { .. }, ..200) => ResponseKind::Provisional,
            (InviteClient::Calling { .. } | InviteClient::Proceeding { .. }, 200..300) => {
                self.accept(now, key, message);
                ResponseKind::Final
            }
            (InviteClient::Calling { .. } | InviteClient::Proceeding { .. }, _) => {
                self.complete(now, key, message, out);
                ResponseKind::Final
            }
            (InviteClient::Accepted, 200..300) => {
                self.counters.count(Counter::SipRetransmissionsReceived);
                if self.is_accepted_tag(key, message) {
                    self.send_again(key, out);
                    ResponseKind::Repeated2xx
                } else {
                    ResponseKind::Another2xx
                }
            }
            // Another fork answered although this request failed: it has a dialog to be ended.
            (InviteClient::Completed, 200..300) => ResponseKind::Another2xx,
            (InviteClient::Completed, 300..) => {
                self.counters.count(Counter::SipRetransmissionsReceived);
                self.send_again(key, out);
                return ResponseMatch::Absorbed;
            }
            (InviteClient::Completed | InviteClient::Accepted, _) => {
                return ResponseMatch::Absorbed;
            }
        };
        ResponseMatch::Matched { client, owner, kind }
    }

    /// Timer A.
    pub(super) fn repeat_invite(&mut self, now: Instant, key: Key, out: &mut dyn Outbox) {
        self.send_again(key, out);
        if let Some(transaction) = self.transactions.get(key) {
            let pause = transaction.pause.saturating_mul(2);
            self.set_repeat(now, key, pause);
        }
    }

    pub(super) fn invite_client_failed(
        &mut self,
        key: Key,
        state: InviteClient,
    ) -> Option<TransactionEvent> {
        // Once it was answered it had arrived, and the failure is of no consequence.
        if !matches!(state, InviteClient::Calling { .. }) {
            return None;
        }
        let owner = self.transactions.get(key)?.owner;
        self.remove(key);
        Some(TransactionEvent::ClientFailed { client: ClientKey(key), owner })
    }

    /// The first 2xx. The INVITE will not be sent again; its place is the ACK's.
    fn accept(&mut self, now: Instant, key: Key, message: &Message<'_>) {
        let to = message.to().ok().and_then(|to| to.tag());
        let tag = identity::tag(self.hash_key, to);
        self.stop_repeat(key);
        self.forget_copy(key);
        if let Some(transaction) = self.transactions.get_mut(key) {
            transaction.state = State::InviteClient(InviteClient::Accepted);
            transaction.tag = tag;
        }
        self.set_end(now, key, self.timers.m());
    }

    /// A final response other than 2xx: acknowledged from the kept INVITE.
    fn complete(&mut self, now: Instant, key: Key, message: &Message<'_>, out: &mut dyn Outbox) {
        self.stop_repeat(key);
        self.set_state(key, State::InviteClient(InviteClient::Completed));
        let Some(transaction) = self.transactions.get(key) else {
            return;
        };
        let (path, reliable) = (transaction.path, transaction.is_reliable());
        let length =
            self.derive(key, |buffer, invite| derive::acknowledgement(buffer, invite, message));
        if let Some(length) = length {
            self.keep(key, length);
            self.send(path, 0, length, out);
        }
        self.set_end(now, key, self.timers.d(reliable));
    }

    /// CANCEL, in a transaction of its own that only the table knows. From now on the INVITE's
    /// final response is due.
    fn send_cancel(&mut self, now: Instant, key: Key, out: &mut dyn Outbox) {
        self.set_state(key, State::InviteClient(InviteClient::Proceeding { cancelled: true }));
        self.set_end(now, key, self.timers.transaction());
        let Some(path) = self.transactions.get(key).map(|transaction| transaction.path) else {
            return;
        };
        let mut identity = 0;
        let hash_key = self.hash_key;
        let length = self.derive(key, |buffer, invite| {
            let branch = invite.top_via().ok()?.branch()?;
            identity = identity::client(hash_key, branch, Method::Cancel);
            derive::cancellation(buffer, invite)
        });
        let Some(length) = length else {
            return;
        };
        let mut transaction = Transaction::new(State::Client(Client::Trying), 0, path, identity);
        transaction.silent = true;
        if self.start(now, transaction, length, out).is_err() {
            // No room to repeat it: once is better than not at all.
            self.send(path, 0, length, out);
        }
    }

    /// Writes into the scratch buffer what follows from the kept INVITE.
    fn derive(
        &mut self,
        key: Key,
        write: impl FnOnce(&mut [u8], &Message<'_>) -> Option<usize>,
    ) -> Option<usize> {
        let copy = self.transactions.get(key)?.copy.as_ref()?;
        let invite = Message::parse(self.copies.bytes(copy), Framing::Datagram).ok()?;
        write(&mut self.scratch, &invite)
    }

    fn is_accepted_tag(&self, key: Key, message: &Message<'_>) -> bool {
        let to = message.to().ok().and_then(|to| to.tag());
        let tag = identity::tag(self.hash_key, to);
        self.transactions.get(key).is_some_and(|transaction| transaction.tag == tag)
    }

    /// Whether the ACK in the scratch buffer answers the 2xx that came first.
    fn is_first_accepted(&self, key: Key, length: usize) -> bool {
        let accepted = self
            .transactions
            .get(key)
            .is_some_and(|t| t.state == State::InviteClient(InviteClient::Accepted));
        accepted
            && Message::parse(&self.scratch[..length], Framing::Datagram)
                .is_ok_and(|message| self.is_accepted_tag(key, &message))
    }
}
