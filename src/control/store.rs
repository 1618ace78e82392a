//! What must survive: records of calls, events not yet delivered, calls that are answered.
//!
//! A [`Ledger`] takes batches of [`Entry`]s, each batch in one transaction.
//! [`sqlite::SqliteLedger`] keeps them in a file; [`memory::MemoryLedger`] is the simulator's, with
//! the same meaning and a crash that loses what was not committed. [`thread::Store`] puts a ledger
//! on a thread of its own with group commit.
//!
//! The rules that all keep: a call's CDRs and its end-of-call event are stored together or not at
//! all; a call that was stored is never stored again, whoever says so; a call that was answered
//! and has no end when the ledger is opened was lost by a crash, and gets both then.

pub mod memory;
pub mod sqlite;
#[cfg(test)]
mod tests;
pub mod thread;

use crate::base::bounded::text;
use crate::base::id::CallId;
use crate::base::time::WallTime;
use crate::control::cdr::{CdrFilter, CdrRow};
use crate::control::event::{self, Cookies, EventKind, Identity};
use crate::link::Dice;
use crate::link::ask::Dialled;
use crate::link::cdr::{Reason, Result_};

/// Entries in one transaction.
pub const BATCH_MAX: usize = 1024;
/// Rows of one application in one [`Ledger::due`] answer.
pub const DUE_PER_APPLICATION_MAX: u32 = 16;

/// An event to be delivered: one a call and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboxKey {
    /// The call.
    pub call_id: CallId,
    /// The kind.
    pub event: EventKind,
}

/// An event that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Which.
    pub key: OutboxKey,
    /// Key of the application that it goes to.
    pub application: String,
    /// The body, fixed when it was first written.
    pub body: Vec<u8>,
    /// Times that it was tried in vain.
    pub attempts: u32,
    /// When it was written.
    pub created_at: WallTime,
    /// When it is to be tried next.
    pub next_at: WallTime,
}

/// What is needed to tell the customer about a call that a crash ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDice {
    /// Key of the application.
    pub application: String,
    /// Caller's number.
    pub from: String,
    /// What was called.
    pub to: Dialled,
    /// Cookies of the call.
    pub cookies: Cookies,
}

/// Something to be kept.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A call was answered: should the edge die, this is what is known.
    Answered {
        /// The call.
        call_id: CallId,
        /// Its legs as they stand.
        cdrs: Vec<CdrRow>,
        /// `None`: the customer is not told.
        dice: Option<LiveDice>,
    },
    /// A call ended.
    Ended {
        /// The call.
        call_id: CallId,
        /// Its legs.
        cdrs: Vec<CdrRow>,
        /// The end-of-call event; `None`: the customer is not told.
        outbox: Option<OutboxRow>,
    },
    /// An event was delivered.
    Delivered(OutboxKey),
    /// An event was not delivered and is tried again.
    Retry {
        /// Which.
        key: OutboxKey,
        /// Times that it was tried.
        attempts: u32,
        /// When it is tried next.
        next_at: WallTime,
        /// What went wrong.
        why: String,
    },
    /// An event was given up.
    Dead {
        /// Which.
        key: OutboxKey,
        /// What went wrong last.
        why: String,
    },
    /// The edge was alive at this time.
    Alive(WallTime),
}

/// Sizes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that wait to be delivered.
    pub outbox: u64,
    /// Events that were given up.
    pub dead: u64,
    /// Answered calls in the journal.
    pub live: u64,
}

/// What was found when a ledger was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Calls that a crash had ended.
    pub calls: u64,
    /// Legs of these.
    pub legs: u64,
}

/// Why the store failed. All are the host's: a full disk, a file of another program or version.
#[derive(Debug)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "store: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// A place that keeps entries.
pub trait Ledger {
    /// Keeps all entries or none. For each, whether it changed anything: `false` for an
    /// [`Entry::Ended`] means that the call was stored before.
    ///
    /// # Errors
    /// Nothing was kept; the same batch may be tried again.
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<bool>, StoreError>;

    /// Ends all calls in the journal, whose edge is gone: each leg becomes a CDR, each call an
    /// event where the customer is told. They ended when the edge was last known to be alive.
    ///
    /// # Errors
    /// Nothing was changed.
    fn recover(&mut self, identity: Identity<'_>) -> Result<Recovered, StoreError>;

    /// Events whose time has come by `now`, at most [`DUE_PER_APPLICATION_MAX`] of each
    /// application, so that one with a dead backend hides no other's.
    ///
    /// # Errors
    /// The store cannot be read.
    fn due(&mut self, now: WallTime) -> Result<Vec<OutboxRow>, StoreError>;

    /// Records, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn query(&mut self, filter: &CdrFilter) -> Result<Vec<CdrRow>, StoreError>;

    /// Sizes.
    ///
    /// # Errors
    /// The store cannot be read.
    fn counts(&mut self) -> Result<Counts, StoreError>;
}

/// The end-of-call event of a call that a crash ended at `at`.
fn dice_of_lost(
    identity: Identity<'_>,
    call_id: CallId,
    live: &LiveDice,
    legs: &[CdrRow],
    at: WallTime,
) -> OutboxRow {
    let answer = legs.iter().filter_map(|leg| leg.cdr.answer_at).min();
    let duration = answer.map(|answer| at.0.saturating_sub(answer.0).div_ceil(1000));
    let dice = Dice {
        application: text(&live.application).unwrap_or_default(),
        from: text(&live.from).unwrap_or_default(),
        to: live.to.clone(),
        result: Result_::Answered,
        reason: Reason::GeneralError,
        duration: duration.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        at,
    };
    OutboxRow {
        key: OutboxKey { call_id, event: EventKind::Dice },
        application: live.application.clone(),
        body: event::dice(identity, call_id, &dice, &live.cookies),
        attempts: 0,
        created_at: at,
        next_at: at,
    }
}
