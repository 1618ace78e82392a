//! The table itself: what the four machines share (pool, look-up, copies, timers), and time.

use std::net::SocketAddr;
use std::sync::Arc;

use super::state::{InviteServer, State, Transaction};
use super::{ClientKey, Refused, ServerKey, TableLimits, TransactionEvent};
use crate::base::blocks::Blocks;
use crate::base::counter::{Counter, Counters};
use crate::base::limits::SIP_WRITE_BYTES_MAX;
use crate::base::packet::{Outbox, Route, SipPath};
use crate::base::pool::{Key, Pool};
use crate::base::table::{HashKey, Index};
use crate::base::time::{Duration, Instant};
use crate::base::wheel::Wheel;
use crate::sip::timers::Timers;

/// Fills a buffer with a message and says how long it is; zero: it could not.
pub type Write<'w> = dyn FnMut(&mut [u8]) -> usize + 'w;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Repeat(Key),
    End(Key),
}

/// All transactions of one shard.
#[derive(Debug)]
pub struct Table {
    pub(super) transactions: Pool<Transaction>,
    pub(super) by_identity: Index<Key>,
    /// INVITE servers and servers of requests without a To-tag, by Call-ID, From-tag and CSeq.
    pub(super) by_request: Index<Key>,
    pub(super) copies: Blocks,
    /// What is being written. Outside the copies, because a copy's size is known only then.
    pub(super) scratch: Box<[u8]>,
    wheel: Wheel<Due>,
    pub(super) timers: Timers,
    pub(super) hash_key: HashKey,
    pub(super) counters: Arc<Counters>,
}

impl Table {
    /// A table that reserves all it will ever use.
    pub fn new(
        limits: TableLimits,
        timers: Timers,
        now: Instant,
        hash_key: HashKey,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            transactions: Pool::new(limits.transactions),
            by_identity: Index::new(limits.transactions, hash_key),
            by_request: Index::new(limits.transactions, hash_key),
            copies: Blocks::new(&limits.classes()),
            scratch: vec![0; SIP_WRITE_BYTES_MAX].into_boxed_slice(),
            wheel: Wheel::new(limits.transactions * 2, now),
            timers,
            hash_key,
            counters,
        }
    }

    /// Does what is due by `now`, up to the first thing that an owner must know. Call until
    /// `None`.
    pub fn expire(&mut self, now: Instant, out: &mut dyn Outbox) -> Option<TransactionEvent> {
        while let Some(due) = self.wheel.expire(now) {
            let event = match due {
                Due::Repeat(key) => {
                    self.repeat(now, key, out);
                    None
                }
                Due::End(key) => self.end(key),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// A stream could not carry the message with this cookie. A response is tried once more over
    /// a new connection to sent-by (RFC 3261 §18.2.2); a request has failed.
    pub fn stream_failed(
        &mut self,
        now: Instant,
        cookie: u64,
        out: &mut dyn Outbox,
    ) -> Option<TransactionEvent> {
        let key = Key::from_u64(cookie);
        match self.transactions.get(key)?.state {
            State::InviteServer(_) | State::Server(_) => self.reroute(now, key, out),
            State::InviteClient(state) => self.invite_client_failed(key, state),
            State::Client(state) => self.client_failed(key, state),
        }
    }

    /// When `expire` should next be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Gives a server transaction another owner.
    pub fn set_server_owner(&mut self, server: ServerKey, owner: u64) {
        if let Some(transaction) = self.transactions.get_mut(server.0) {
            transaction.owner = owner;
        }
    }

    /// Gives a client transaction another owner.
    pub fn set_client_owner(&mut self, client: ClientKey, owner: u64) {
        if let Some(transaction) = self.transactions.get_mut(client.0) {
            transaction.owner = owner;
        }
    }

    /// Whom a server transaction belongs to; `None` once it is gone.
    pub fn server_owner(&self, server: ServerKey) -> Option<u64> {
        self.transactions.get(server.0).map(|transaction| transaction.owner)
    }

    /// Whom a client transaction belongs to; `None` once it is gone.
    pub fn client_owner(&self, client: ClientKey) -> Option<u64> {
        self.transactions.get(client.0).map(|transaction| transaction.owner)
    }

    /// Transactions alive.
    pub const fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether no transaction is alive. No copy is kept and no timer is set then.
    pub fn is_empty(&self) -> bool {
        let empty = self.transactions.is_empty();
        assert!(!empty || (self.copies.is_empty() && self.wheel.is_empty()));
        empty
    }

    fn repeat(&mut self, now: Instant, key: Key, out: &mut dyn Outbox) {
        let Some(transaction) = self.transactions.get_mut(key) else {
            return;
        };
        transaction.repeat = None;
        match transaction.state {
            State::InviteServer(state) => self.repeat_invite_response(now, key, state, out),
            State::Server(_) => self.repeat_response(now, key, out),
            State::InviteClient(_) => self.repeat_invite(now, key, out),
            State::Client(state) => self.repeat_request(now, key, state, out),
        }
    }

    fn end(&mut self, key: Key) -> Option<TransactionEvent> {
        let transaction = self.transactions.get_mut(key)?;
        transaction.end = None;
        let (state, owner, silent) = (transaction.state, transaction.owner, transaction.silent);
        self.remove(key);
        match state {
            State::InviteServer(InviteServer::Completed) => {
                let server = ServerKey(key);
                Some(TransactionEvent::AckMissing { server, owner, accepted: false })
            }
            State::InviteServer(InviteServer::Accepted { acknowledged: false }) => {
                let server = ServerKey(key);
                Some(TransactionEvent::AckMissing { server, owner, accepted: true })
            }
            State::InviteClient(state) if state.awaits_final() => {
                Some(TransactionEvent::ClientTimeout { client: ClientKey(key), owner })
            }
            State::Client(state) if state.awaits_final() && !silent => {
                Some(TransactionEvent::ClientTimeout { client: ClientKey(key), owner })
            }
            _ => None,
        }
    }

    /// Sends a response that its stream could not carry over a new one, once.
    fn reroute(
        &mut self,
        now: Instant,
        key: Key,
        out: &mut dyn Outbox,
    ) -> Option<TransactionEvent> {
        let transaction = self.transactions.get_mut(key)?;
        if transaction.copy.is_some() && !transaction.rerouted {
            transaction.rerouted = true;
            transaction.path.flow = None;
            let port = transaction.sent_by_port;
            transaction.path.peer = SocketAddr::new(transaction.path.peer.ip(), port);
            if !self.send_again(key, out) {
                self.set_repeat(now, key, self.timers.g());
            }
            return None;
        }
        let owner = transaction.owner;
        self.remove(key);
        Some(TransactionEvent::ServerFailed { server: ServerKey(key), owner })
    }

    /// Stores and files a transaction.
    pub(super) fn insert(&mut self, transaction: Transaction) -> Result<Key, Refused> {
        let (identity, request) = (transaction.identity, transaction.request);
        let Ok(key) = self.transactions.insert(transaction) else {
            self.counters.count(Counter::SipQueueFull);
            return Err(Refused::Full);
        };
        // Both hold as many entries as the pool, and every transaction is in each at most once.
        assert!(self.by_identity.insert(low(identity), key));
        if let Some(request) = request {
            assert!(self.by_request.insert(low(request), key));
        }
        Ok(key)
    }

    /// Ends a transaction and gives back all that it held.
    pub(super) fn remove(&mut self, key: Key) {
        let Some(transaction) = self.transactions.remove(key) else {
            return;
        };
        assert!(self.by_identity.remove(low(transaction.identity), |found| found == key));
        if let Some(request) = transaction.request {
            assert!(self.by_request.remove(low(request), |found| found == key));
        }
        for timer in [transaction.repeat, transaction.end].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        for block in [transaction.copy, transaction.head].into_iter().flatten() {
            self.copies.free(block);
        }
    }

    /// The transaction of this identity.
    pub(super) fn find(&self, identity: u128) -> Option<Key> {
        let is_match = |key| self.transactions.get(key).is_some_and(|t| t.identity == identity);
        self.by_identity.find(low(identity), is_match)
    }

    /// The server transaction of this request, whichever way it came.
    pub(super) fn find_request(&self, request: u128) -> Option<Key> {
        let is_match = |key| self.transactions.get(key).is_some_and(|t| t.request == Some(request));
        self.by_request.find(low(request), is_match)
    }

    /// Writes a message into the scratch buffer; its length.
    pub(super) fn write(&mut self, write: &mut Write<'_>) -> usize {
        write(&mut self.scratch).min(self.scratch.len())
    }

    /// Keeps the first `length` scratch bytes as the transaction's copy, in place of what it had.
    /// Without room there is no copy: the message is sent once, and counted.
    pub(super) fn keep(&mut self, key: Key, length: usize) -> bool {
        self.forget_copy(key);
        let Some(transaction) = self.transactions.get_mut(key) else {
            return false;
        };
        transaction.copy = self.copies.store(&self.scratch[..length]);
        let kept = transaction.copy.is_some();
        if !kept {
            self.counters.count(Counter::SipQueueFull);
        }
        kept
    }

    /// Gives the copy back: it will not be sent again.
    pub(super) fn forget_copy(&mut self, key: Key) {
        if let Some(copy) = self.transactions.get_mut(key).and_then(|t| t.copy.take()) {
            self.copies.free(copy);
        }
    }

    /// Sends the first `length` scratch bytes.
    pub(super) fn send(
        &self,
        path: SipPath,
        cookie: u64,
        length: usize,
        out: &mut dyn Outbox,
    ) -> bool {
        post(&self.counters, path, cookie, &self.scratch[..length], out)
    }

    /// Sends the kept copy once more. `false`: there is none, or it could not be sent.
    pub(super) fn send_again(&self, key: Key, out: &mut dyn Outbox) -> bool {
        let Some(transaction) = self.transactions.get(key) else {
            return false;
        };
        let Some(copy) = &transaction.copy else {
            return false;
        };
        self.counters.count(Counter::SipRetransmissionsSent);
        let cookie = match transaction.state {
            // An ACK has no transaction of its own; nobody waits for it.
            State::InviteClient(state) if !state.awaits_final() => 0,
            _ => key.to_u64(),
        };
        post(&self.counters, transaction.path, cookie, self.copies.bytes(copy), out)
    }

    /// Sets the retransmission timer, in place of the one that is set.
    pub(super) fn set_repeat(&mut self, now: Instant, key: Key, pause: Duration) {
        self.stop_repeat(key);
        if let Some(transaction) = self.transactions.get_mut(key) {
            transaction.pause = pause;
            transaction.repeat = self.wheel.set(now + pause, Due::Repeat(key));
            // The wheel holds two timers for every transaction, and none has more.
            assert!(transaction.repeat.is_some());
        }
    }

    pub(super) fn stop_repeat(&mut self, key: Key) {
        if let Some(timer) = self.transactions.get_mut(key).and_then(|t| t.repeat.take()) {
            self.wheel.cancel(timer);
        }
    }

    /// Sets the timer that ends the state, in place of the one that is set; after no time at all
    /// the transaction ends now.
    pub(super) fn set_end(&mut self, now: Instant, key: Key, after: Duration) {
        self.stop_end(key);
        if after.is_zero() {
            self.remove(key);
        } else if let Some(transaction) = self.transactions.get_mut(key) {
            transaction.end = self.wheel.set(now + after, Due::End(key));
            assert!(transaction.end.is_some());
        }
    }

    pub(super) fn stop_end(&mut self, key: Key) {
        if let Some(timer) = self.transactions.get_mut(key).and_then(|t| t.end.take()) {
            self.wheel.cancel(timer);
        }
    }

    pub(super) fn set_state(&mut self, key: Key, state: State) {
        if let Some(transaction) = self.transactions.get_mut(key) {
            transaction.state = state;
        }
    }
}

fn post(
    counters: &Counters,
    path: SipPath,
    cookie: u64,
    bytes: &[u8],
    out: &mut dyn Outbox,
) -> bool {
    let sent =
        out.send(Route::Sip { path, cookie }, &mut |buffer| match buffer.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                bytes.len()
            }
            None => 0,
        });
    counters.count(if sent { Counter::SipSent } else { Counter::SipQueueFull });
    sent
}

#[expect(clippy::cast_possible_truncation, reason = "half of the hash files the entry")]
const fn low(hash: u128) -> u64 {
    hash as u64
}
