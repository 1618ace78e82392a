//! A target did not take the call: the next one is tried, or the caller is told.

use super::dial;
use crate::base::bounded::Text;
use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, Deadline, State};
use crate::call::outcome::Ending;
use crate::call::route::{self, AttemptFailure};
use crate::link::cdr::LegLetter;

/// The callee's INVITE failed: a final status, no response at all, or no way to send it.
pub fn take(call: &mut Call, now: Instant, failed: AttemptFailure, effects: &mut Effects) {
    if call.b.state == LegState::Cancelling {
        call.b.state = LegState::Over;
        call.b.sip_code = status_of(failed);
        return;
    }
    if call.state != State::Dialling || call.b.state != LegState::Inviting {
        return;
    }
    call.b.sip_code = status_of(failed);
    call.b.state = LegState::Over;
    let rang = call.b.ringing_at.is_some();
    if route::should_fail_over(failed, rang) && dial::next(call, now, effects) {
        return;
    }
    effects.push(Effect::StopTimer(Deadline::FirstResponse));
    let mut note = Text::<128>::new();
    let via = call.plan.attempts.get(call.attempt).map(|a| a.via).unwrap_or_default();
    let (ending, written) = match failed {
        AttemptFailure::Status(status) => {
            let written = std::fmt::write(&mut note, format_args!("{via} answered {status}"));
            (Ending::Refused(status), written)
        }
        AttemptFailure::Timeout => {
            (Ending::Unreachable, std::fmt::write(&mut note, format_args!("{via} is silent")))
        }
        AttemptFailure::Transport => {
            (Ending::Unreachable, std::fmt::write(&mut note, format_args!("no way to {via}")))
        }
    };
    debug_assert!(written.is_ok());
    call.let_go(now, ending, &note, effects);
}

/// A request inside a dialog failed in a way that ends the dialog (RFC 3261 §12.2.1.2: 408, 481).
pub fn inside(call: &mut Call, now: Instant, leg: LegLetter, effects: &mut Effects) {
    if call.is_ending() {
        return;
    }
    call.leg_mut(leg).state = LegState::Over;
    call.let_go(now, Ending::PeerLost, "a peer no longer knows the dialog", effects);
}

/// The status that stands for a failure: silence is 408, a broken transport 503 (RFC 3261
/// §8.1.3.1).
const fn status_of(failed: AttemptFailure) -> u16 {
    match failed {
        AttemptFailure::Status(status) => status,
        AttemptFailure::Timeout => 408,
        AttemptFailure::Transport => 503,
    }
}
