//! L2: what threads may say to each other. Bounded rings carry these values; a shard never waits:
//! where a ring is full the call is refused (questions) or the word kept until there is room
//! (records of ended calls).

pub mod ask;
pub mod cdr;
pub mod headers;
pub mod svaml;
pub mod trace;

pub use ask::{Ace, Answer, Ask, Dice, Evidence, Failure, Ice, Question};
pub use cdr::{Cdr, LegLetter, Reason, ReleaseBy, Result_ as CallResult};
pub use headers::PrivateHeaders;
pub use trace::Trace;

use crate::base::bounded::List;
use crate::base::id::{CallId, CallRef, ShardId};
use crate::directory::Snapshot;

/// What a shard says to control.
#[derive(Debug)]
pub enum ToControl {
    /// A question; an [`Answer`] or the call's own deadline ends the waiting.
    Ask(Ask),
    /// A call was answered: its records as they stand, so that a crash still leaves a CDR.
    Answered(Records),
    /// A call ended. Control stores CDRs and DiCE in one transaction, then sends
    /// [`ToShard::Recorded`].
    Ended(Records),
    /// A snapshot that the shard has let go, to be freed where freeing may take time.
    Returned(Snapshot),
    /// The shard drained: no call is left on it.
    Drained(ShardId),
}

/// The records of one call: what the store keeps and the customer is told.
#[derive(Clone, Debug)]
pub struct Records {
    /// The call, for [`ToShard::Recorded`].
    pub call: CallRef,
    /// Its name.
    pub id: CallId,
    /// One a leg.
    pub cdrs: List<Cdr, 2>,
    /// The customer's end-of-call event; `None` where the application has no callback or the
    /// answer suppressed it.
    pub dice: Option<Dice>,
}

/// What control says to a shard.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the ring's slots are made once, at start")]
pub enum ToShard {
    /// The answer to a question.
    Answer(Answer),
    /// The call's records are on disk: its last response may go out.
    Recorded(CallRef),
    /// A new snapshot, in force for new calls.
    Publish(Snapshot),
    /// Take no new calls; say [`ToControl::Drained`] when the last one is gone.
    Drain,
    /// End every call now: the drain's deadline has come.
    EndAll,
}

/// The shard's end of the rings to control.
pub trait ControlLink {
    /// Passes a word on, or gives it back when the ring is full.
    #[expect(clippy::result_large_err, reason = "the caller keeps the word and tries again")]
    fn send(&mut self, word: ToControl) -> Result<(), ToControl>;

    /// Whether [`ControlLink::send`] would take a word now.
    fn has_room(&self) -> bool;
}
