//! The callee's side makes progress: 180, 183 and kin go to the caller unchanged.

use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, Deadline, State};

/// A provisional response came for the callee's leg. `describes`: it carried a description, which
/// is in the leg already.
pub fn take(call: &mut Call, now: Instant, status: u16, describes: bool, effects: &mut Effects) {
    if call.state != State::Dialling || call.b.state != LegState::Inviting {
        return;
    }
    effects.push(Effect::StopTimer(Deadline::FirstResponse));
    if status == 100 {
        return;
    }
    if matches!(status, 180 | 183) {
        call.b.ringing_at.get_or_insert(now);
        call.a.ringing_at.get_or_insert(now);
    }
    // Without the caller's own offer there is nothing that a description could answer yet.
    let describe = describes && call.a.remote.is_some();
    if describe {
        effects.push(Effect::Bridge);
    }
    effects.push(Effect::Progress { status, describe });
}
