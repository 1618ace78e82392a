//! A side hangs up: CANCEL before the answer, BYE after it.

use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::Call;
use crate::call::outcome::Ending;
use crate::link::cdr::LegLetter;
use crate::sip::transaction::ServerKey;

/// The caller gave up before the answer.
pub fn cancelled(call: &mut Call, now: Instant, effects: &mut Effects) {
    if call.a.state != LegState::Inviting {
        return;
    }
    call.let_go(now, Ending::CallerCancel, "", effects);
}

/// A BYE came on a leg. Its 200 waits until the records are on disk: a peer that has seen the end
/// of a call can rely on its record.
pub fn bye(
    call: &mut Call,
    now: Instant,
    from: LegLetter,
    server: ServerKey,
    effects: &mut Effects,
) {
    let leg = call.leg_mut(from);
    if leg.state == LegState::Inviting {
        // A BYE in an early dialog (RFC 3261 §15): the leg's INVITE still gets its final response.
        if from == LegLetter::A {
            effects.push(Effect::RespondPlain { server, status: 200 });
            return cancelled(call, now, effects);
        }
        effects.push(Effect::RespondPlain { server, status: 481 });
        return;
    }
    leg.state = LegState::Over;
    if call.is_ending() && call.recorded {
        effects.push(Effect::RespondPlain { server, status: 200 });
        return;
    }
    if let Some(earlier) = call.held_bye.replace(server) {
        effects.push(Effect::RespondPlain { server: earlier, status: 200 });
    }
    let ending = match from {
        LegLetter::A => Ending::CallerHangup,
        LegLetter::B => Ending::CalleeHangup,
    };
    call.let_go(now, ending, "", effects);
}

/// The store has the records, or has taken too long over them: what was held back goes out.
pub fn recorded(call: &mut Call, effects: &mut Effects) {
    if let Some(server) = call.held_bye.take() {
        effects.push(Effect::RespondPlain { server, status: 200 });
    }
}
