//! What a call wants of the media relay: ports for its legs, their bridge, their end.

use super::request::description_of;
use super::{Shard, Turn};
use crate::base::bounded::List;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::call::machine::Call;
use crate::call::offer::{AddressPolicy, Bridge, Description};
use crate::call::records;
use crate::link::cdr::LegLetter;
use crate::media::leg::Learning;
use crate::media::ports::MediaAddress;
use crate::media::relay::Relay;
use crate::wire::sip::Message;

impl Shard {
    /// Makes sure that a leg has media ports. `false`: none are to be had.
    pub(super) fn open_media(&mut self, turn: &mut Turn<'_>, key: Key, letter: LegLetter) -> bool {
        let Some(call) = self.calls.get_mut(key) else { return false };
        let leg = call.leg_mut(letter);
        if leg.media.is_some() {
            return true;
        }
        let Some(peer) = leg.peer else { return false };
        let family = if peer.is_ipv4() { MediaAddress::Ipv4 } else { MediaAddress::Ipv6 };
        match self.relay.allocate(turn.now, family, turn.out) {
            Ok(media) => {
                leg.media = Some(media);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether a peer's description names an address that media may go to. `false`: refuse it.
    pub(super) fn is_reachable(&self, description: &Description, peer: std::net::IpAddr) -> bool {
        let mut own = List::<std::net::IpAddr, 16>::new();
        for address in &self.setup.media {
            own.push(address.bound);
            own.push(address.advertised);
        }
        let own_ports = self.setup.all_ports.0..=self.setup.all_ports.1;
        AddressPolicy { signalling_peer: peer, own: &own, own_ports }.check(description).is_ok()
    }

    /// The session description that a request carries, if it carries one. An error is the status
    /// that refuses it: it cannot be read, or names an address that media may not go to.
    pub(super) fn reachable_description(
        &self,
        message: &Message<'_>,
        path: SipPath,
    ) -> Result<Option<Description>, u16> {
        match description_of(message)? {
            Some(description) if !self.is_reachable(&description, path.peer.ip()) => Err(488),
            description => Ok(description),
        }
    }

    /// Puts the agreement of the two peers into force.
    pub(super) fn bridge(&mut self, now: Instant, key: Key) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(bridge) = call.bridge.clone() else { return };
        (call.a.codec, call.b.codec) = (bridge.codec, bridge.codec);
        let (a, b) = match call.offerer {
            LegLetter::A => (&bridge.offerer, &bridge.answerer),
            LegLetter::B => (&bridge.answerer, &bridge.offerer),
        };
        let (Some(media_a), Some(media_b)) = (call.a.media, call.b.media) else { return };
        let learning = |nat| if nat { Learning::Nat } else { Learning::SignalledOnly };
        let agreed_a = a.negotiated(learning(call.a.nat));
        let agreed_b = b.negotiated(learning(call.b.nat));
        self.relay.connect(media_a, media_b, &a.map(), &b.map());
        self.relay.negotiate(now, media_a, &agreed_a);
        self.relay.negotiate(now, media_b, &agreed_b);
    }

    /// Closes a call's media and notes its figures.
    pub(super) fn close_media(&mut self, turn: &mut Turn<'_>, key: Key) {
        let Some(call) = self.calls.get_mut(key) else { return };
        for letter in [LegLetter::A, LegLetter::B] {
            release(&mut self.relay, turn, call, letter);
        }
    }
}

fn release(relay: &mut Relay, turn: &mut Turn<'_>, call: &mut Call, letter: LegLetter) {
    let leg = call.leg_mut(letter);
    let Some(media) = leg.media.take() else { return };
    if let Some(report) = relay.release(turn.now, media, turn.out) {
        leg.figures = records::figures(&report);
    }
}

/// The agreement of offer and answer of a call, where there is one.
pub(super) fn agree(call: &Call, offer: &Description, answer: &Description) -> Option<Bridge> {
    Bridge::new(offer, &call.numbers, answer, (true, offer.mux)).ok()
}
