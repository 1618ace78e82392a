//! What an act wants done. `shard::effects` is the only place that does it.

use super::machine::Deadline;
use crate::base::bounded::List;
use crate::base::time::Instant;
use crate::link::cdr::LegLetter;
use crate::sip::transaction::{ClientKey, ServerKey};

/// One thing to do. The words themselves (addresses, descriptions, identifiers) are in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Provisional response to the caller; with a description where the callee sent one.
    Progress {
        /// 180 to 199.
        status: u16,
        /// Whether to carry the media description.
        describe: bool,
    },
    /// 200 to the caller, with our description.
    Answer,
    /// Final refusal to the caller, as the call's release says.
    Refuse,
    /// INVITE to the target of the attempt under way.
    Invite,
    /// ACK to the callee's 2xx; with an answer where its 2xx carried the offer.
    Acknowledge,
    /// CANCEL of an INVITE to a callee.
    Cancel(Option<ClientKey>),
    /// BYE to a leg.
    Bye(LegLetter),
    /// Question to the callback: ACE.
    AskAce,
    /// Joins the media of the legs as negotiated.
    Bridge,
    /// An offer inside the dialog, to the leg that did not make it.
    Reinvite {
        /// Who receives it.
        to: LegLetter,
    },
    /// ACK to the 2xx of an INVITE inside the dialog.
    AcknowledgeReinvite {
        /// Who receives it.
        to: LegLetter,
        /// Whether it carries the answer.
        describe: bool,
    },
    /// 200 with our description, to the leg whose offer inside the dialog was taken.
    AnswerReoffer {
        /// The transaction of the offer.
        server: ServerKey,
        /// Whose offer it was.
        to: LegLetter,
    },
    /// A request inside the dialog goes on to the other leg; whoever has it at hand sends it.
    RelayInfo {
        /// Who sent it.
        from: LegLetter,
    },
    /// A response without a body, inside a dialog.
    RespondPlain {
        /// The request's transaction.
        server: ServerKey,
        /// Status.
        status: u16,
    },
    /// Closes media and hands the call's records to control.
    Record,
    /// Tells control that the call was answered, so that a crash leaves a record.
    Journal,
    /// Sets a timer (again).
    StartTimer(Deadline, Instant),
    /// Stops a timer.
    StopTimer(Deadline),
}

/// The effects of one act, in order.
pub type Effects = List<Effect, 24>;
