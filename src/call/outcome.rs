//! How a call ended, in everybody's words: the status that the caller gets, DiCE's result and
//! reason, the CDR's, and the Q.850 cause of a Reason header (RFC 3326). One table for all.
//!
//! Which of a callee's statuses the caller sees: those that are about the callee (busy, not found,
//! declined) pass as they came. Those that are about the edge's own request or its account with a
//! carrier (400, 401, 407, 420 and kin) would mislead the caller and become 500 or 503. Every 5xx
//! becomes 503 once no target is left, without Retry-After: with it the caller would have to spare
//! this edge altogether (RFC 3261 §21.5.4) because one carrier is ill. Retry-After is for the
//! edge's own overload.

use crate::link::svaml::HangUpCause;
use crate::link::{CallResult, Reason, ReleaseBy};

/// Seconds in the Retry-After of a refusal for overload or a trunk's limit.
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// What brought a call to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The caller's BYE.
    CallerHangup,
    /// The callee's BYE.
    CalleeHangup,
    /// The caller's CANCEL, before the answer.
    CallerCancel,
    /// The callee rang for as long as it may.
    RingTimeout,
    /// The answered call lasted as long as it may.
    MaxDuration,
    /// The callee's final status, 300 to 699, when no further target was to be tried.
    Refused(u16),
    /// No target gave a final response: nobody there, or no transport to it.
    Unreachable,
    /// No carrier takes the number, or no host of the route resolves.
    NoRoute,
    /// Policy refused the caller, with this status.
    Blocked(u16),
    /// The number is none of ours, or no number at all; with this status (404 or 484).
    NotFound(u16),
    /// A trunk's limit on calls was reached.
    Limited,
    /// A table, ring or port range of the edge is full.
    Overloaded,
    /// The edge drains and takes no new calls.
    Draining,
    /// The two sides share no codec, or one of them wants media that cannot be bridged.
    NoCommonMedia,
    /// The callback's script hung up before the answer.
    ScriptHangup(HangUpCause),
    /// The callback's script, or the operator, ended the call when it was answered.
    ManagerHangup,
    /// The callback gave no answer in time.
    CallbackFailed,
    /// The callback's answer was no valid SVAML.
    InvalidSvaml,
    /// An answered call lost a peer: no ACK, no answer to a request, no media, a dead session
    /// timer.
    PeerLost,
    /// A failure of the edge itself.
    Internal,
}

/// An ending in everybody's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// DiCE's result.
    pub result: CallResult,
    /// DiCE's reason, and the CDR's.
    pub reason: Reason,
    /// Who ended it.
    pub release_by: ReleaseBy,
    /// Final status for the caller's INVITE. For endings of answered calls the status that would
    /// have told the caller, had the answer not gone out.
    pub status: u16,
    /// Whether the refusal carries Retry-After ([`RETRY_AFTER_SECONDS`]).
    pub retry_after: bool,
    /// Q.850 cause, for the Reason header of BYE, CANCEL and refusals.
    pub cause: u8,
}

impl Ending {
    /// All that follows from the ending. `answered`: whether the callee had answered, which makes
    /// DiCE's result ANSWERED whatever went wrong later.
    pub fn outcome(self, answered: bool) -> Outcome {
        let mut outcome = self.unanswered();
        if answered {
            outcome.result = CallResult::Answered;
        }
        outcome
    }

    fn unanswered(self) -> Outcome {
        use CallResult::{Answered, Busy, Failed, NoAnswer};
        use ReleaseBy::{Callback, Callee, Caller, Edge};
        match self {
            Self::CallerHangup => row(Answered, Reason::CallerHangup, Caller, 487, 16),
            Self::CalleeHangup => row(Answered, Reason::CalleeHangup, Callee, 480, 16),
            Self::CallerCancel => row(NoAnswer, Reason::Cancel, Caller, 487, 16),
            Self::RingTimeout => row(NoAnswer, Reason::Timeout, Edge, 480, 19),
            Self::MaxDuration => row(Answered, Reason::Timeout, Edge, 480, 16),
            Self::Refused(status) => refused(status),
            Self::Unreachable => row(Failed, Reason::Congestion, Edge, 503, 41),
            Self::NoRoute => row(Failed, Reason::Congestion, Edge, 503, 3),
            Self::Blocked(status) => row(Failed, Reason::Blocked, Edge, status, 21),
            Self::NotFound(status) => {
                row(Failed, Reason::UserNotFound, Edge, status, cause_of(status))
            }
            Self::Limited | Self::Overloaded | Self::Draining => {
                Outcome { retry_after: true, ..row(Failed, Reason::Congestion, Edge, 503, 42) }
            }
            Self::NoCommonMedia => row(Failed, Reason::GeneralError, Edge, 488, 88),
            Self::ScriptHangup(HangUpCause::Normal) => {
                row(Failed, Reason::ManagerHangup, Callback, 603, 21)
            }
            Self::ScriptHangup(HangUpCause::Busy) => {
                row(Busy, Reason::ManagerHangup, Callback, 486, 17)
            }
            Self::ScriptHangup(HangUpCause::Congestion) => {
                row(Failed, Reason::ManagerHangup, Callback, 503, 34)
            }
            Self::ManagerHangup => row(Failed, Reason::ManagerHangup, Callback, 480, 16),
            Self::CallbackFailed => row(Failed, Reason::CallbackError, Edge, 503, 38),
            Self::InvalidSvaml => row(Failed, Reason::InvalidSvaml, Edge, 503, 38),
            Self::PeerLost => row(Answered, Reason::GeneralError, Edge, 480, 27),
            Self::Internal => row(Failed, Reason::GeneralError, Edge, 500, 41),
        }
    }
}

/// A callee's final status in everybody's words.
fn refused(status: u16) -> Outcome {
    use CallResult::{Busy, Failed, NoAnswer};
    let cause = cause_of(status);
    let line = |result, reason, to_caller| row(result, reason, ReleaseBy::Callee, to_caller, cause);
    match status {
        486 | 600 => line(Busy, Reason::Busy, status),
        408 | 480 => line(NoAnswer, Reason::Timeout, status),
        // Nobody on our side cancelled: the callee's side gave up by itself.
        487 => line(NoAnswer, Reason::Timeout, 480),
        404 | 410 | 604 => line(Failed, Reason::UserNotFound, status),
        403 | 607 | 608 => line(Failed, Reason::Blocked, status),
        433 | 482..=485 | 488 | 603 | 606 => line(Failed, Reason::GeneralError, status),
        // What the callee says about formats is about the offer, which is the caller's.
        415 | 580 => line(Failed, Reason::GeneralError, 488),
        // The edge's account with the carrier, not the caller's with the edge.
        401 | 402 | 407 => line(Failed, Reason::GeneralError, 503),
        // Redirections are not followed, and the new address is not the caller's business.
        300..=399 => line(Failed, Reason::GeneralError, 480),
        500..=599 => line(Failed, Reason::Congestion, 503),
        600..=699 => line(Failed, Reason::GeneralError, 603),
        // A complaint about the edge's own request.
        _ => line(Failed, Reason::GeneralError, 500),
    }
}

const fn row(
    result: CallResult,
    reason: Reason,
    release_by: ReleaseBy,
    status: u16,
    cause: u8,
) -> Outcome {
    Outcome { result, reason, release_by, status, retry_after: false, cause }
}

/// The Q.850 cause of a final status (RFC 3398 §8.2.6.1; 127 where it names none).
pub const fn cause_of(status: u16) -> u8 {
    match status {
        400 | 481 | 500 | 503 => 41,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 488 | 501 | 580 | 606 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        487 => 31,
        502 => 38,
        _ => 127,
    }
}

/// The final status of a Q.850 cause (RFC 3398 §7.2.4.1), for what arrives with a cause only.
pub const fn status_of(cause: u8) -> u16 {
    match cause {
        1..=3 => 404,
        17 => 486,
        18 => 408,
        16 | 19 | 20 | 31 => 480,
        21 | 55 | 57 | 87 => 403,
        22 | 23 => 410,
        27 => 502,
        28 => 484,
        29 | 79 => 501,
        34 | 38 | 41 | 42 | 47 | 58 | 88 => 503,
        65 | 70 => 488,
        102 => 504,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_maps_to_something_that_may_be_sent() {
        for status in 300..=699 {
            let outcome = Ending::Refused(status).outcome(false);
            assert!((400..700).contains(&outcome.status), "{status} -> {}", outcome.status);
            assert_ne!(outcome.result, CallResult::NotApplicable, "{status}");
            assert_ne!(outcome.result, CallResult::Answered, "{status}");
            assert_ne!(outcome.reason, Reason::NotApplicable, "{status}");
            assert_eq!(outcome.release_by, ReleaseBy::Callee);
            assert!(!outcome.retry_after, "{status}: the caller may come back at once");
            // The caller must never be challenged, redirected or told about our own account.
            assert!(!matches!(outcome.status, 401 | 402 | 407), "{status}");
            assert!(outcome.cause > 0 && outcome.cause < 128);
        }
    }

    #[test]
    fn the_callee_s_own_words_pass() {
        use CallResult::{Busy, Failed, NoAnswer};
        for (status, result, reason, to_caller, cause) in [
            (486, Busy, Reason::Busy, 486, 17),
            (600, Busy, Reason::Busy, 600, 17),
            (404, Failed, Reason::UserNotFound, 404, 1),
            (604, Failed, Reason::UserNotFound, 604, 1),
            (480, NoAnswer, Reason::Timeout, 480, 18),
            (408, NoAnswer, Reason::Timeout, 408, 102),
            (487, NoAnswer, Reason::Timeout, 480, 31),
            (603, Failed, Reason::GeneralError, 603, 21),
            (403, Failed, Reason::Blocked, 403, 21),
            (488, Failed, Reason::GeneralError, 488, 79),
            (401, Failed, Reason::GeneralError, 503, 21),
            (302, Failed, Reason::GeneralError, 480, 127),
            (420, Failed, Reason::GeneralError, 500, 127),
            (500, Failed, Reason::Congestion, 503, 41),
            (503, Failed, Reason::Congestion, 503, 41),
            (699, Failed, Reason::GeneralError, 603, 127),
        ] {
            let outcome = Ending::Refused(status).outcome(false);
            assert_eq!(
                (outcome.result, outcome.reason, outcome.status, outcome.cause),
                (result, reason, to_caller, cause),
                "{status}"
            );
        }
    }

    #[test]
    fn the_edge_s_own_endings() {
        use CallResult::{Answered, Failed, NoAnswer};
        let words = |ending: Ending, answered| {
            let outcome = ending.outcome(answered);
            (outcome.result, outcome.reason.word(), outcome.status, outcome.retry_after)
        };
        assert_eq!(words(Ending::RingTimeout, false), (NoAnswer, "TIMEOUT", 480, false));
        assert_eq!(words(Ending::CallerCancel, false), (NoAnswer, "CANCEL", 487, false));
        assert_eq!(words(Ending::Limited, false), (Failed, "CONGESTION", 503, true));
        assert_eq!(words(Ending::NoRoute, false), (Failed, "CONGESTION", 503, false));
        assert_eq!(words(Ending::Blocked(403), false), (Failed, "BLOCKED", 403, false));
        assert_eq!(words(Ending::NotFound(484), false), (Failed, "USERNOTFOUND", 484, false));
        assert_eq!(words(Ending::CallbackFailed, false), (Failed, "CALLBACKERROR", 503, false));
        assert_eq!(words(Ending::InvalidSvaml, false), (Failed, "INVALIDSVAMLACTION", 503, false));
        let busy = Ending::ScriptHangup(HangUpCause::Busy);
        assert_eq!(words(busy, false), (CallResult::Busy, "MANAGERHANGUP", 486, false));
        assert_eq!(words(Ending::CalleeHangup, true).0, Answered);
        assert_eq!(words(Ending::ManagerHangup, true).0, Answered);
        assert_eq!(words(Ending::ManagerHangup, false).0, Failed);
    }

    #[test]
    fn causes_read_back_to_the_same_kind_of_refusal() {
        for (cause, status) in [(1, 404), (17, 486), (28, 484), (22, 410), (41, 503), (127, 500)] {
            assert_eq!(status_of(cause), status, "{cause}");
        }
        for cause in 0..=127 {
            assert!((400..700).contains(&status_of(cause)));
        }
        for status in [404, 410, 484, 486, 503] {
            assert_eq!(status_of(cause_of(status)), status);
        }
    }
}
