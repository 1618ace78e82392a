//! Offers inside the dialog: hold, resume, a new codec, a refresh. They are passed from leg to
//! leg, each rewritten; the legs' own RTP sessions go on.

use crate::base::time::Instant;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::LegState;
use crate::call::machine::{Call, Reoffer, State};
use crate::call::offer::Description;
use crate::call::outcome::Ending;
use crate::link::cdr::LegLetter;
use crate::sip::transaction::ServerKey;

/// The other leg.
pub const fn other(letter: LegLetter) -> LegLetter {
    match letter {
        LegLetter::A => LegLetter::B,
        LegLetter::B => LegLetter::A,
    }
}

/// A re-INVITE (or an UPDATE with an offer) came. `description` is its offer; `None` asks for one.
pub fn offered(
    call: &mut Call,
    from: LegLetter,
    server: ServerKey,
    description: Option<Description>,
    effects: &mut Effects,
) {
    let to = other(from);
    let busy = call.state != State::Connected
        || call.reoffer.is_some()
        || call.leg(from).state != LegState::Confirmed
        || call.leg(to).state != LegState::Confirmed;
    if busy {
        // RFC 3261 §14.2: another offer is under way; the peer tries again after a while.
        effects.push(Effect::RespondPlain { server, status: 491 });
        return;
    }
    call.reoffer = Some(Reoffer { from, server, description, awaits_ack: false });
    effects.push(Effect::Reinvite { to });
}

/// The other leg took the offer. `description` is what its 2xx carried.
pub fn taken(call: &mut Call, description: Option<Description>, effects: &mut Effects) {
    let Some(reoffer) = &mut call.reoffer else { return };
    let (from, server) = (reoffer.from, reoffer.server);
    let to = other(from);
    let Some(description) = description else {
        effects.push(Effect::AcknowledgeReinvite { to, describe: false });
        effects.push(Effect::RespondPlain { server, status: 488 });
        call.reoffer = None;
        return;
    };
    match reoffer.description.take() {
        Some(offer) => {
            call.reoffer = None;
            call.offerer = from;
            call.leg_mut(from).remote = Some(offer);
            call.leg_mut(to).remote = Some(description);
            effects.push(Effect::AcknowledgeReinvite { to, describe: false });
            effects.push(Effect::Bridge);
        }
        None => {
            reoffer.awaits_ack = true;
            call.offerer = to;
            call.leg_mut(to).remote = Some(description);
        }
    }
    effects.push(Effect::AnswerReoffer { server, to: from });
}

/// The other leg refused the offer: what stood before stands on.
pub fn refused(call: &mut Call, status: u16, effects: &mut Effects) {
    if let Some(reoffer) = call.reoffer.take()
        && !reoffer.awaits_ack
    {
        effects.push(Effect::RespondPlain { server: reoffer.server, status });
    }
}

/// The asker gave its offer up before it was answered. The other leg may still take it; what it
/// says then finds no asker, and the edge's next offer sets it right.
pub fn cancelled(call: &mut Call, from: LegLetter, effects: &mut Effects) {
    let is_open = call.reoffer.as_ref().is_some_and(|r| r.from == from && !r.awaits_ack);
    if is_open {
        refused(call, 487, effects);
        effects.push(Effect::Cancel(call.leg(other(from)).invite_client));
    }
}

/// The ACK to an answered re-INVITE came; with the answer where the 200 carried the offer.
pub fn acknowledged(
    call: &mut Call,
    from: LegLetter,
    description: Option<Description>,
    effects: &mut Effects,
) {
    let awaited = call.reoffer.as_ref().is_some_and(|r| r.awaits_ack && r.from == from);
    if !awaited {
        return;
    }
    call.reoffer = None;
    let to = other(from);
    let describe = description.is_some();
    if let Some(description) = description {
        call.leg_mut(from).remote = Some(description);
        effects.push(Effect::Bridge);
    }
    effects.push(Effect::AcknowledgeReinvite { to, describe });
}

/// The ACK to an answered re-INVITE never came: the dialog is in doubt and the call is ended.
pub fn unacknowledged(call: &mut Call, now: Instant, effects: &mut Effects) {
    let note = "a 200 inside the dialog was never acknowledged";
    call.let_go(now, Ending::PeerLost, note, effects);
}
