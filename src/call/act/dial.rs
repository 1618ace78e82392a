//! The callee's leg is set up: one target after another until one takes the call.

use crate::base::bounded::clipped;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::{Leg, LegState};
use crate::call::machine::{Call, Deadline, State};
use crate::call::outcome::Ending;
use crate::call::policy::CallerId;
use crate::call::route;
use crate::directory::Directory;
use crate::link::cdr::LegLetter;

/// Calls a number through the carriers.
pub fn pstn(
    call: &mut Call,
    now: Instant,
    number: &str,
    directory: &Directory,
    rng: &mut Rng,
    effects: &mut Effects,
) {
    if let Some(trunk) = directory.trunk(&call.trunk)
        && !trunk.allows_destination(number)
    {
        let note = "the trunk's allowed_destinations do not hold the number";
        return call.let_go(now, Ending::Blocked(403), note, effects);
    }
    call.plan = route::plan_pstn(directory, number, rng);
    first(call, now, effects);
}

/// Tries the plan's first target; an empty plan says why it is empty.
pub fn first(call: &mut Call, now: Instant, effects: &mut Effects) {
    call.attempt = 0;
    if call.plan.attempts.is_empty() {
        let note = call.plan.note;
        return call.let_go(now, Ending::NoRoute, &note, effects);
    }
    attempt(call, now, effects);
}

/// Tries the next target, if the plan has one. `false`: it has none.
pub fn next(call: &mut Call, now: Instant, effects: &mut Effects) -> bool {
    if call.attempt + 1 >= call.plan.attempts.len() {
        return false;
    }
    call.attempt += 1;
    attempt(call, now, effects);
    true
}

fn attempt(call: &mut Call, now: Instant, effects: &mut Effects) {
    call.become_state(State::Dialling);
    let media = call.b.media.take();
    // The shard finds the old tag in it to take it out of the index, then puts a new one here.
    let dialog = call.b.dialog.take();
    call.b = Leg::new(LegLetter::B, call.b.local);
    call.b.dialog = dialog;
    // What a target said before it failed binds the next one to nothing.
    call.bridge = None;
    // The media ports of a target that did not answer serve the next one; the far side never saw
    // media on them.
    call.b.media = media;
    call.b.from = match &call.caller_id {
        CallerId::Shown(number) => clipped(number),
        CallerId::Private => clipped("anonymous"),
    };
    if let Some(attempt) = call.plan.attempts.get(call.attempt) {
        call.b.peer = Some(attempt.target);
        call.b.transport = attempt.transport;
        call.b.nat = attempt.nat;
        call.b.to = clipped(&attempt.request_uri);
    }
    call.b.state = LegState::Inviting;
    call.b.invite_at = Some(now);
    effects.push(Effect::Invite);
    effects.push(Effect::StartTimer(Deadline::FirstResponse, now + call.patience.first_response));
    let ring = call.ring.unwrap_or(call.patience.ring);
    effects.push(Effect::StartTimer(Deadline::Ring, now + ring));
}
