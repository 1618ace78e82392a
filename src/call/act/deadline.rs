//! A deadline of the call has come.

use super::{answered, failed, hang_up, script};
use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, Deadline, State};
use crate::call::outcome::Ending;
use crate::call::route::AttemptFailure;
use crate::link::ask::Failure;

/// Acts on a timer that fired.
pub fn take(call: &mut Call, now: Instant, deadline: Deadline, effects: &mut Effects) {
    match deadline {
        Deadline::Ask => ask(call, now, effects),
        Deadline::FirstResponse => {
            // No sign of life: the next target is tried. Should this one wake up after all, its
            // first response is met with CANCEL, and a 2xx with ACK and BYE.
            if call.state == State::Dialling && call.b.state == LegState::Inviting {
                effects.push(Effect::Cancel(call.b.invite_client.take()));
                failed::take(call, now, AttemptFailure::Timeout, effects);
            }
        }
        Deadline::Ring => {
            if call.state == State::Dialling {
                let note = "the callee did not answer in time";
                call.let_go(now, Ending::RingTimeout, note, effects);
            }
        }
        Deadline::Duration => {
            call.let_go(now, Ending::MaxDuration, "the longest duration was reached", effects);
        }
        Deadline::Record => hang_up::recorded(call, effects),
        Deadline::Linger => {
            call.a.state = LegState::Over;
            call.b.state = LegState::Over;
            if call.records_kept {
                // They must reach control before the call may be forgotten.
                let again = now + call.patience.record;
                effects.push(Effect::StartTimer(Deadline::Linger, again));
            } else {
                // Control has them, and keeps trying while the store is out of order.
                call.recorded = true;
            }
        }
    }
}

fn ask(call: &mut Call, now: Instant, effects: &mut Effects) {
    call.ask_sequence += 1; // an answer that comes after all is late
    match call.state {
        State::Asking => script::fail(call, now, Failure::Unreachable, effects),
        State::Confirming => answered::answer_caller(call, now, effects),
        State::Dialling | State::Answering | State::Connected | State::Ending => {}
    }
}
