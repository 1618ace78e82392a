//! The caller acknowledged our 200.

use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, State};
use crate::call::outcome::Ending;
use crate::link::cdr::LegLetter;

/// The ACK to the first 200 came. `describes`: it carried the answer to the callee's offer, which
/// is in leg a already.
pub fn take(call: &mut Call, now: Instant, describes: bool, effects: &mut Effects) {
    if call.a.state != LegState::Answered {
        return;
    }
    if call.a.bye_after_ack {
        call.a.state = LegState::Over;
        effects.push(Effect::Bye(LegLetter::A));
        return;
    }
    call.a.state = LegState::Confirmed;
    if call.state != State::Answering {
        return;
    }
    call.become_state(State::Connected);
    if call.b.state == LegState::Answered {
        if !describes {
            let note = "the caller's ACK has no answer to the callee's offer";
            return call.let_go(now, Ending::NoCommonMedia, note, effects);
        }
        call.b.state = LegState::Confirmed;
        effects.push(Effect::Acknowledge);
        effects.push(Effect::Bridge);
    }
}

/// The ACK never came (64*T1): the dialog is ended (RFC 3261 §13.3.1.4).
pub fn missing(call: &mut Call, now: Instant, effects: &mut Effects) {
    if call.a.state != LegState::Answered {
        return;
    }
    call.a.state = LegState::Confirmed;
    if call.is_ending() {
        call.a.state = LegState::Over;
        effects.push(Effect::Bye(LegLetter::A));
        return;
    }
    call.let_go(now, Ending::PeerLost, "the caller never acknowledged the 200", effects);
}
