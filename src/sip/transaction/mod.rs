//! Transactions (RFC 3261 §17, amended by RFC 6026): retransmission, matching, and the ACK and
//! CANCEL that belong to an INVITE.
//!
//! One `Table` a shard holds all server and client transactions, copies of what may have to be
//! sent again, and their timers. Nothing in it allocates after its making.
//!
//! Its methods, by kind:
//!
//! ```text
//! made     new(limits, timers, now, hash_key, counters)
//! received receive_request(now, &Message, SipPath, &mut dyn Outbox) -> RequestMatch
//!          receive_response(now, &Message, SipPath, &mut dyn Outbox) -> ResponseMatch
//!          stream_failed(now, cookie, &mut dyn Outbox) -> Option<TransactionEvent>
//! server   begin(now, &Message, SipPath, owner) -> Result<ServerKey, Refused>
//!          respond(now, ServerKey, status, write, &mut dyn Outbox) -> bool
//!          acknowledged(now, ServerKey)
//! client   request(now, Method, branch, SipPath, owner, write, &mut dyn Outbox)
//!              -> Result<ClientKey, Refused>
//!          acknowledge(now, ClientKey, SipPath, write, &mut dyn Outbox) -> bool
//!          cancel(now, ClientKey, &mut dyn Outbox) -> CancelOutcome
//!          copy_head(ServerKey, &mut [u8]) -> Option<(usize, SipPath)>
//! time     expire(now, &mut dyn Outbox) -> Option<TransactionEvent>     (call until None)
//!          next_deadline() -> Option<Instant>
//! about    set_server_owner set_client_owner server_owner client_owner len is_empty
//! ```
//!
//! Two states have no timer, because only the owner knows how long is too long: an INVITE of ours
//! that rings (the owner calls `cancel`), and a request that was begun and not answered (the owner
//! answers it, whatever happens).
//!
//! `write` is `&mut dyn FnMut(&mut [u8]) -> usize`: it fills the buffer and says how many bytes it
//! wrote; zero means that it could not.
//!
//! Path: `shard::ingress` -> here -> `sip::dialog`, `call`

mod client;
mod derive;
mod head;
mod identity;
mod incoming;
mod invite_client;
mod invite_server;
mod outgoing;
mod server;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use derive::{STATELESS_TAG_BYTES, brief_response, stateless_response, stateless_tag};
pub use table::{Table, Write};

use crate::base::blocks::BlockClass;
use crate::base::limits::SIP_WRITE_BYTES_MAX;
use crate::base::pool::Key;

/// A server transaction: a request that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey(pub(crate) Key);

/// A client transaction: a request of ours. As a number it is the cookie of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(pub(crate) Key);

impl ServerKey {
    /// The key as one number.
    pub const fn to_u64(self) -> u64 {
        self.0.to_u64()
    }
}

impl ClientKey {
    /// The key as one number.
    pub const fn to_u64(self) -> u64 {
        self.0.to_u64()
    }
}

/// What a table reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Transactions alive at once, servers and clients together.
    pub transactions: usize,
    /// Copies of up to 512 bytes: heads of requests, and most messages without a body.
    pub copies_512: usize,
    /// Copies of up to 1 KiB: most messages with a session description.
    pub copies_1k: usize,
    /// Copies of up to 2 KiB: the rest of them.
    pub copies_2k: usize,
    /// Copies of up to [`SIP_WRITE_BYTES_MAX`].
    pub copies_largest: usize,
}

impl TableLimits {
    /// The usual mixture for so many transactions.
    pub const fn new(transactions: usize) -> Self {
        Self {
            transactions,
            // A server has the head of its request and its latest answer, a client its request:
            // two and a half for each, and a copy that finds its size taken gets a larger one.
            copies_512: transactions * 3 / 2,
            copies_1k: transactions * 3 / 4,
            copies_2k: transactions / 4,
            copies_largest: transactions.div_ceil(32),
        }
    }

    pub(crate) const fn classes(&self) -> [BlockClass; 4] {
        [
            BlockClass { bytes: 512, count: self.copies_512 },
            BlockClass { bytes: 1024, count: self.copies_1k },
            BlockClass { bytes: 2048, count: self.copies_2k },
            BlockClass { bytes: SIP_WRITE_BYTES_MAX, count: self.copies_largest },
        ]
    }
}

/// What a request is to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestMatch {
    /// Nothing matched: the caller answers statelessly, or calls `Table::begin`.
    New,
    /// Dealt with: a repeated request, answered again where there was an answer; or the ACK to a
    /// final response other than 2xx.
    Absorbed,
    /// A CANCEL. The caller answers it (200, or 481 where `invite` is `None`), and answers that
    /// INVITE with 487 unless it has been answered finally (`Table::respond` then refuses).
    Cancel {
        /// The INVITE from the same source that it is about, and that transaction's owner.
        invite: Option<(ServerKey, u64)>,
    },
    /// The ACK to a 2xx: it belongs to a dialog. The caller matches it there by Call-ID and tags,
    /// then calls `Table::acknowledged`. An ACK is never answered.
    Ack {
        /// The INVITE that was answered 2xx with the ACK's To-tag, and that transaction's owner.
        /// Told again for every repeated ACK. `None`: of a dialog whose INVITE is long gone, to a
        /// stateless answer, or a stray; nothing need be done.
        invite: Option<(ServerKey, u64)>,
    },
    /// The same request came before by another way (RFC 3261 §8.2.2.2): to be answered 482.
    Merged,
}

/// What a response is to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMatch {
    /// It answers a request of ours, and the owner has to know.
    Matched {
        /// The request's transaction.
        client: ClientKey,
        /// Its owner.
        owner: u64,
        /// How the response stands to those before.
        kind: ResponseKind,
    },
    /// Dealt with: a repeated final response, or the answer to a CANCEL.
    Absorbed,
    /// It answers nothing of ours: to be dropped.
    Stray,
}

/// How a response stands to those that came before it in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// 100 to 199.
    Provisional,
    /// The first final response. An INVITE's final response other than 2xx has been
    /// acknowledged by the table; to a 2xx the owner calls `Table::acknowledge`.
    Final,
    /// The 2xx of [`ResponseKind::Final`] once more. The table has repeated the ACK, if
    /// `Table::acknowledge` was called; nothing is to be done.
    Repeated2xx,
    /// A 2xx with another To-tag, from another fork, or after a failure: the owner sends its ACK
    /// (through `Table::acknowledge`, which does not keep this one) and then a BYE in that dialog.
    /// Told again for every repetition.
    Another2xx,
}

/// What time or a broken stream did to a transaction. Unless told otherwise, the transaction is
/// gone when its event is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEvent {
    /// No (final) response came in time: timer B or F, or 64*T1 after CANCEL. To be treated as
    /// 408 (RFC 3261 §8.1.3.1).
    ClientTimeout {
        /// The transaction.
        client: ClientKey,
        /// Its owner.
        owner: u64,
    },
    /// The stream that should carry the request failed. To be treated as 503 (RFC 3261 §8.1.3.1).
    ClientFailed {
        /// The transaction.
        client: ClientKey,
        /// Its owner.
        owner: u64,
    },
    /// The final response to an INVITE was never acknowledged (timer H, or 64*T1 after a 2xx).
    AckMissing {
        /// The transaction.
        server: ServerKey,
        /// Its owner.
        owner: u64,
        /// Whether the response was a 2xx: the owner then sends BYE (RFC 3261 §13.3.1.4).
        /// Otherwise nothing is left to be done.
        accepted: bool,
    },
    /// The response could go neither back on the request's stream nor over a new one to sent-by.
    ServerFailed {
        /// The transaction.
        server: ServerKey,
        /// Its owner.
        owner: u64,
    },
}

/// Why a transaction was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table, or its room for copies, is full: answer 503 with Retry-After.
    Full,
    /// The message was not written: it did not fit, or the writer gave up.
    Unwritten,
    /// The transport took no message: its queue is full.
    Unsent,
}

/// What became of the wish to cancel an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// CANCEL is on its way. The INVITE's final response (487, or a 2xx that crossed) follows, or
    /// [`TransactionEvent::ClientTimeout`].
    Sent,
    /// No provisional response came yet, so CANCEL may not be sent (RFC 3261 §9.1): it follows
    /// the first one by itself.
    Pending,
    /// Too late: the INVITE has its final response, or is gone. After a 2xx, send BYE.
    Finished,
}
