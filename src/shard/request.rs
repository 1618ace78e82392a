//! A request came: a new call, something inside a dialog, or neither.
//!
//! Path: `shard::ingress` -> here -> `call::act`, `shard::effects`

use super::mark::{Mark, Purpose};
use super::media::agree;
use super::{Shard, Turn};
use crate::base::counter::Counter;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::act::{acknowledged, hang_up, reoffer};
use crate::call::effect::{Effect, Effects};
use crate::call::machine::Relayed;
use crate::call::offer::Description;
use crate::call::policy;
use crate::directory::Identified;
use crate::link::cdr::LegLetter;
use crate::sip::transaction::{RequestMatch, ServerKey, stateless_response, stateless_tag};
use crate::wire::sip::{HeaderName, Message, Method, Scheme, Writer};

/// Methods that are taken, for Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";

impl Shard {
    /// A request that is sound and this shard's.
    pub(super) fn request(&mut self, turn: &mut Turn<'_>, path: SipPath, message: &Message<'_>) {
        match self.transactions.receive_request(turn.now, message, path, turn.out) {
            RequestMatch::Absorbed => {}
            RequestMatch::Merged => self.refuse(turn, path, message, 482),
            RequestMatch::Cancel { invite } => self.cancel(turn, path, message, invite),
            RequestMatch::Ack { invite } => self.acknowledge(turn, message, invite),
            RequestMatch::New => self.fresh(turn, path, message),
        }
    }

    /// One answer without state, for what leaves no trace.
    pub(super) fn answer_statelessly(
        &self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        status: u16,
        write: &mut dyn FnMut(&mut Writer<'_>),
    ) {
        let tag = stateless_tag(self.hash_key, message);
        // Whoever made up another's address must not have it sent more than it sent itself. A 481
        // or a 200 to CANCEL has hardly more than its request, and may be a caller's due.
        let is_known = path.transport.is_reliable()
            || status == 481
            || (status == 200 && message.method() == Some(Method::Cancel))
            || !self.directory.access.matches(path.peer.ip()).is_empty()
            || message.to().ok().and_then(|to| to.tag()).is_some_and(|tag| {
                let found = self.find_dialog(message, tag);
                found.is_some_and(|(key, letter)| self.is_from_peer(key, letter, path))
            });
        let most = if is_known { usize::MAX } else { message.len() };
        if stateless_response(message, path, status, &tag, most, write, turn.out) {
            self.count(Counter::SipSent);
        }
    }

    /// A refusal without state that needs no more than its status.
    pub(super) fn refuse(
        &self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        status: u16,
    ) {
        self.answer_statelessly(turn, path, message, status, &mut |writer| match status {
            405 => {
                writer.header(HeaderName::Allow, ALLOW);
            }
            415 => {
                writer.header(HeaderName::Accept, "application/sdp");
            }
            420 => {
                for extension in message.values(HeaderName::Require) {
                    writer.header(HeaderName::Unsupported, extension);
                }
            }
            503 => {
                writer.header(HeaderName::RetryAfter, RETRY_AFTER);
            }
            _ => {}
        });
    }

    fn cancel(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        invite: Option<(ServerKey, u64)>,
    ) {
        let mark = invite.and_then(|(_, owner)| Mark::from_u64(owner));
        // The call may be over already while its transaction still takes repeats.
        let is_peer = mark.is_none_or(|mark| {
            self.calls.get(mark.call).is_none() || self.is_from_peer(mark.call, mark.leg, path)
        });
        let status = if invite.is_some() && is_peer { 200 } else { 481 };
        self.refuse(turn, path, message, status);
        let Some(mark) = mark.filter(|_| is_peer) else { return };
        let Some(call) = self.calls.get_mut(mark.call) else { return };
        let mut effects = Effects::new();
        match mark.purpose {
            Purpose::Invite => hang_up::cancelled(call, turn.now, &mut effects),
            // The offer is given up: its asker gets 487 and what stood before stands on.
            Purpose::Reinvite => reoffer::cancelled(call, mark.leg, &mut effects),
            Purpose::Bye | Purpose::Relayed => {}
        }
        self.perform(turn, mark.call, effects);
    }

    fn acknowledge(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        invite: Option<(ServerKey, u64)>,
    ) {
        let Some((server, owner)) = invite else { return self.count(Counter::SipStray) };
        self.transactions.acknowledged(turn.now, server);
        let Some(mark) = Mark::from_u64(owner) else { return };
        let description = self.answer_in_ack(mark, message);
        let Some(call) = self.calls.get_mut(mark.call) else { return };
        let mut effects = Effects::new();
        match mark.purpose {
            Purpose::Invite => {
                let describes = description.is_some();
                if describes {
                    call.a.remote = description;
                }
                acknowledged::take(call, turn.now, describes, &mut effects);
            }
            Purpose::Reinvite => {
                reoffer::acknowledged(call, mark.leg, description, &mut effects);
            }
            Purpose::Bye | Purpose::Relayed => {}
        }
        self.perform(turn, mark.call, effects);
    }

    /// The answer that an ACK carries, where the 2xx carried an offer: what is agreed is noted.
    /// `None`: no answer is waited for, or this one cannot be used.
    fn answer_in_ack(&mut self, mark: Mark, message: &Message<'_>) -> Option<Description> {
        let call = self.calls.get(mark.call)?;
        let waits = match mark.purpose {
            Purpose::Invite => call.a.remote.is_none(),
            Purpose::Reinvite => {
                call.reoffer.as_ref().is_some_and(|r| r.awaits_ack && r.from == mark.leg)
            }
            Purpose::Bye | Purpose::Relayed => false,
        };
        let answer = description_of(message).ok().flatten().filter(|_| waits)?;
        let peer = call.leg(mark.leg).peer?;
        if !self.is_reachable(&answer, peer.ip()) {
            return None;
        }
        let offer = call.leg(reoffer::other(mark.leg)).remote.as_ref()?;
        let bridge = agree(call, offer, &answer)?;
        self.calls.get_mut(mark.call)?.bridge = Some(bridge);
        Some(answer)
    }

    /// A request that continues no transaction.
    fn fresh(&mut self, turn: &mut Turn<'_>, path: SipPath, message: &Message<'_>) {
        let Some(method) = message.method() else { return };
        if let Err(refusal) = policy::check_method(method.name()) {
            return self.refuse(turn, path, message, refusal.status);
        }
        if let Some(status) = unacceptable(message) {
            return self.refuse(turn, path, message, status);
        }
        let to_tag = message.to().ok().and_then(|to| to.tag());
        match (method, to_tag) {
            (_, Some(tag)) => self.inside(turn, path, message, method, tag),
            (Method::Invite, None) => self.incoming(turn, path, message),
            (Method::Options, None) => self.options(turn, path, message),
            (_, None) => self.refuse(turn, path, message, 481),
        }
    }

    /// OPTIONS: are you there, and do you take calls (RFC 3261 §11)?
    fn options(&self, turn: &mut Turn<'_>, path: SipPath, message: &Message<'_>) {
        let status = if self.draining { 503 } else { 200 };
        self.answer_statelessly(turn, path, message, status, &mut |writer| {
            writer.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, "application/sdp");
            if status == 503 {
                writer.header(HeaderName::RetryAfter, RETRY_AFTER);
            }
        });
    }

    /// A request with a To-tag: it belongs to a leg of ours, or to nothing.
    fn inside(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        method: Method<'_>,
        tag: &str,
    ) {
        let found = self.find_dialog(message, tag);
        let Some((key, letter)) = found.filter(|(k, l)| self.is_from_peer(*k, *l, path)) else {
            return self.refuse(turn, path, message, 481);
        };
        if method == Method::Options {
            return self.options(turn, path, message);
        }
        let description = match method {
            Method::Invite | Method::Update => self.reachable_description(message, path),
            _ => Ok(None),
        };
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(dialog) = call.leg_mut(letter).dialog.as_mut() else { return };
        if let Err(unfit) = dialog.accept_request(message) {
            return self.refuse_inside(turn, path, message, unfit.status);
        }
        if path.transport == dialog.path().transport {
            dialog.set_path(path);
        }
        let purpose = match method {
            Method::Bye => Purpose::Bye,
            Method::Invite | Method::Update => Purpose::Reinvite,
            _ => Purpose::Relayed,
        };
        let owner = Mark { call: key, leg: letter, purpose }.to_u64();
        let Ok(server) = self.transactions.begin(turn.now, message, path, owner) else {
            self.count(Counter::CallsOverloaded);
            return self.refuse(turn, path, message, 503);
        };
        let mut effects = Effects::new();
        match method {
            Method::Bye => hang_up::bye(call, turn.now, letter, server, &mut effects),
            Method::Invite | Method::Update => {
                offer_inside(call, letter, server, method, description, &mut effects);
            }
            _ => relay_inside(call, letter, server, &mut effects),
        }
        let passes_on = effects.contains(&Effect::RelayInfo { from: letter });
        self.perform(turn, key, effects);
        if passes_on {
            self.relay_info(turn, key, letter, message);
        }
    }

    /// A refusal inside a dialog, kept for repeats: they must not be answered otherwise once the
    /// call is over.
    fn refuse_inside(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        status: u16,
    ) {
        match self.transactions.begin(turn.now, message, path, 0) {
            Ok(server) => {
                self.respond(turn, server, status, None, &mut |writer| writer.finish_empty());
            }
            Err(_) => self.refuse(turn, path, message, status),
        }
    }

    /// Whether a request comes from the leg's peer: from the address that it signals from or that
    /// it gave as its Contact, or from one that the directory lists for its trunk or carrier. Who
    /// only overheard Call-ID and tags is somebody else.
    fn is_from_peer(&self, key: Key, letter: LegLetter, path: SipPath) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let leg = call.leg(letter);
        let source = path.peer.ip().to_canonical();
        let contact = leg.dialog.as_ref().map(|dialog| dialog.next_hop().peer);
        if [leg.peer, contact].iter().flatten().any(|peer| peer.ip().to_canonical() == source) {
            return true;
        }
        let name = match letter {
            LegLetter::A => Some(&call.trunk),
            LegLetter::B => call.plan.attempts.get(call.attempt).map(|attempt| &attempt.via),
        };
        match self.directory.identify(source, "") {
            Identified::Trunk { trunk, .. } => name == Some(&trunk.name),
            Identified::Carrier { carrier, .. } => name == Some(&carrier.name),
            Identified::Stranger => false,
        }
    }

    /// The leg whose local tag this is, if Call-ID agrees.
    fn find_dialog(&self, message: &Message<'_>, tag: &str) -> Option<(Key, LegLetter)> {
        let call_id = message.call_id().ok()?;
        self.dialogs.find(self.dialogs.hash(tag), |(key, letter)| {
            let leg = self.calls.get(key).map(|call| call.leg(letter));
            leg.and_then(|leg| leg.dialog.as_ref())
                .is_some_and(|dialog| dialog.local_tag() == tag && dialog.call_id() == call_id)
        })
    }
}

/// Seconds for Retry-After in the edge's own refusals.
pub(super) const RETRY_AFTER: &str = "5";
const _: () = assert!(crate::call::outcome::RETRY_AFTER_SECONDS == 5);

/// What a request is refused for before anybody asks whose it is: too many hops, a scheme or an
/// extension that is not known.
fn unacceptable(message: &Message<'_>) -> Option<u16> {
    let uri = message.uri().ok()?;
    if matches!(uri.scheme, Scheme::Other(_)) {
        return Some(416);
    }
    if message.max_forwards() == Some(0) && message.method() != Some(Method::Options) {
        return Some(483);
    }
    // No extension that may be required is offered (Supported is empty), so any is too many.
    let requires = message.values(HeaderName::Require).next().is_some();
    (requires && message.method() != Some(Method::Cancel)).then_some(420)
}

/// The session description that a message carries, if it carries a body.
pub(super) fn description_of(message: &Message<'_>) -> Result<Option<Description>, u16> {
    if message.body().is_empty() {
        return Ok(None);
    }
    if message
        .header(HeaderName::ContentEncoding)
        .is_some_and(|e| !e.eq_ignore_ascii_case("identity"))
    {
        return Err(415);
    }
    Description::parse(message.body(), message.content_type().unwrap_or_default())
        .map(Some)
        .map_err(|error| error.status)
}

/// A re-INVITE or UPDATE. An UPDATE without an offer is only a sign of life.
fn offer_inside(
    call: &mut crate::call::machine::Call,
    letter: LegLetter,
    server: ServerKey,
    method: Method<'_>,
    description: Result<Option<Description>, u16>,
    effects: &mut Effects,
) {
    match description {
        Err(status) => effects.push(Effect::RespondPlain { server, status }),
        Ok(None) if method == Method::Update => {
            effects.push(Effect::RespondPlain { server, status: 200 });
        }
        Ok(description) => reoffer::offered(call, letter, server, description, effects),
    }
}

/// Another request that the other leg shall see: INFO.
fn relay_inside(
    call: &mut crate::call::machine::Call,
    letter: LegLetter,
    server: ServerKey,
    effects: &mut Effects,
) {
    use crate::call::machine::State;
    if call.state != State::Connected || call.relayed.is_some() {
        // One at a time; the sender comes back (RFC 3261 §14.1's glare rule serves here too).
        return effects.push(Effect::RespondPlain { server, status: 491 });
    }
    call.relayed = Some(Relayed { from: letter, server });
    effects.push(Effect::RelayInfo { from: letter });
}
