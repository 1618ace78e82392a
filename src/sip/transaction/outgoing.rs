//! Requests of ours, and the responses to them.

use super::state::{Client, InviteClient, State, Transaction};
use super::table::{Table, Write};
use super::{ClientKey, Refused, ResponseMatch, identity};
use crate::base::counter::Counter;
use crate::base::packet::{Outbox, SipPath};
use crate::base::time::Instant;
use crate::wire::sip::{Message, Method};

impl Table {
    /// Sends a request in a transaction of its own, and keeps it. `branch` is the one that
    /// `write` puts into the Via; ACK has no transaction (see `acknowledge`), CANCEL is sent by
    /// `cancel`.
    ///
    /// # Errors
    /// Nothing was begun: the table is full, `write` wrote nothing, or a stream took no message.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of the request")]
    pub fn request(
        &mut self,
        now: Instant,
        method: Method<'_>,
        branch: &str,
        path: SipPath,
        owner: u64,
        write: &mut Write<'_>,
        out: &mut dyn Outbox,
    ) -> Result<ClientKey, Refused> {
        assert!(!matches!(method, Method::Ack | Method::Cancel));
        let state = match method {
            Method::Invite => State::InviteClient(InviteClient::Calling { cancel: false }),
            _ => State::Client(Client::Trying),
        };
        let identity = identity::client(self.hash_key, branch, method);
        let transaction = Transaction::new(state, owner, path, identity);
        let length = self.write(write);
        if length == 0 {
            return Err(Refused::Unwritten);
        }
        self.start(now, transaction, length, out)
    }

    /// Takes every response that parsed and was validated.
    pub fn receive_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        path: SipPath,
        out: &mut dyn Outbox,
    ) -> ResponseMatch {
        let found = message.status().zip(message.top_via().ok()).zip(message.cseq().ok());
        let Some(((status, via), cseq)) = found else {
            return ResponseMatch::Stray;
        };
        let branch = via.branch().unwrap_or("");
        let identity = identity::client(self.hash_key, branch, cseq.method);
        let key = self.find(identity);
        let transaction = key.and_then(|key| self.transactions.get_mut(key));
        let state = transaction.map(|transaction| {
            // The connection that was asked for is known now: ACK and CANCEL go the same way.
            if transaction.path.transport == path.transport && transaction.path.flow.is_none() {
                transaction.path.flow = path.flow;
            }
            transaction.state
        });
        let matched = match (key, state) {
            (Some(key), Some(State::InviteClient(state))) => {
                self.invite_client_answered(now, key, state, status, message, out)
            }
            (Some(key), Some(State::Client(state))) => {
                self.client_answered(now, key, state, status)
            }
            _ => ResponseMatch::Stray,
        };
        if matched == ResponseMatch::Stray {
            self.counters.count(Counter::SipStray);
        }
        matched
    }

    /// Files a client transaction and sends what the scratch buffer holds.
    pub(super) fn start(
        &mut self,
        now: Instant,
        transaction: Transaction,
        length: usize,
        out: &mut dyn Outbox,
    ) -> Result<ClientKey, Refused> {
        let (path, state) = (transaction.path, transaction.state);
        let reliable = transaction.is_reliable();
        let key = self.insert(transaction)?;
        if !self.keep(key, length) {
            self.remove(key);
            return Err(Refused::Full);
        }
        let sent = self.send(path, key.to_u64(), length, out);
        if reliable && !sent {
            self.remove(key);
            return Err(Refused::Unsent);
        }
        match state {
            State::InviteClient(_) => self.invite_client_sent(now, key, reliable),
            _ => self.client_sent(now, key, reliable),
        }
        Ok(ClientKey(key))
    }
}
