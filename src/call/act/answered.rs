//! The callee answered.

use crate::base::time::{Duration, Instant};
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, Deadline, State};
use crate::call::outcome::Ending;
use crate::link::cdr::LegLetter;

/// A 2xx came for the callee's INVITE. `describes`: it carried a description that can be used; it
/// is in the leg already.
pub fn take(call: &mut Call, now: Instant, status: u16, describes: bool, effects: &mut Effects) {
    if call.b.state == LegState::Cancelling {
        // RFC 3261 §9.1: the 2xx crossed our CANCEL; the dialog stands and is ended at once.
        call.b.state = LegState::Over;
        effects.push(Effect::Acknowledge);
        effects.push(Effect::Bye(LegLetter::B));
        return;
    }
    if call.state != State::Dialling || call.b.state != LegState::Inviting {
        return;
    }
    effects.push(Effect::StopTimer(Deadline::FirstResponse));
    effects.push(Effect::StopTimer(Deadline::Ring));
    call.b.sip_code = status;
    call.b.state = LegState::Answered;
    if !describes {
        // Nobody could be heard, so nobody answered: the records say that the call failed.
        let note = "the callee's answer has no audio that the caller can use";
        return call.let_go(now, Ending::NoCommonMedia, note, effects);
    }
    call.b.answer_at = Some(now);
    if call.a.remote.is_some() {
        call.b.state = LegState::Confirmed;
        effects.push(Effect::Acknowledge);
        effects.push(Effect::Bridge);
    } else {
        // The callee made the offer; the answer to it comes in the caller's ACK.
        call.offerer = LegLetter::B;
    }
    if call.callbacks {
        call.become_state(State::Confirming);
        call.ask_sequence += 1;
        effects.push(Effect::AskAce);
        effects.push(Effect::StartTimer(Deadline::Ask, now + call.patience.ask));
    } else {
        answer_caller(call, now, effects);
    }
}

/// Sends the caller 200 and begins to wait for the ACK.
pub fn answer_caller(call: &mut Call, now: Instant, effects: &mut Effects) {
    call.become_state(State::Answering);
    call.a.state = LegState::Answered;
    call.a.sip_code = 200;
    call.a.answer_at = Some(now);
    effects.push(Effect::Answer);
    effects.push(Effect::Journal);
    let longest = Duration::from_secs(u64::from(call.max_duration));
    effects.push(Effect::StartTimer(Deadline::Duration, now + longest));
}

/// An INVITE of ours forked and another branch answered too: only the first answer counts.
pub fn is_first(call: &Call) -> bool {
    matches!(call.b.state, LegState::Inviting | LegState::Cancelling)
}
