//! What an offer and its answer come to: which payload types each peer may send, and what they
//! become at the other.

use std::net::SocketAddr;

use super::codec::{is_bridgeable, is_speech};
use super::{Description, OfferError};
use crate::base::bounded::{List, Text, clipped};
use crate::base::limits::{PAYLOAD_TYPES_MAX, SDP_FORMATS_MAX};
use crate::media::leg::{Direction, Learning, Negotiated, PayloadMap, PayloadType};

/// Payload numbers under which an offer's formats are offered on to the other leg, in the
/// formats' order; `None` where a format is not offered on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    numbers: List<Option<u8>, SDP_FORMATS_MAX>,
}

impl Numbers {
    /// Chooses them. A format that the other leg's peer knows (`previous`) keeps the number that
    /// it has there, since a number must not change its meaning within a session (RFC 3264
    /// §8.3.2); the others keep the offerer's number where that is free.
    pub fn assign(source: &Description, previous: Option<&Description>) -> Self {
        let mut taken: u128 = 0;
        let mut reserved: u128 = 0;
        let mut numbers = List::from_iter(source.formats().map(|_| None));
        if let Some(previous) = previous {
            previous.formats().for_each(|format| reserved |= bit(format.payload_type));
            for (number, format) in numbers.iter_mut().zip(source.formats()) {
                let is_free = |place| {
                    previous.format(place).is_some_and(|f| taken & bit(f.payload_type) == 0)
                };
                let known = previous.find(&format, is_free).and_then(|at| previous.format(at));
                if let Some(known) = known.filter(|_| is_bridgeable(&format)) {
                    taken |= bit(known.payload_type);
                    *number = Some(known.payload_type);
                }
            }
        }
        for (number, format) in numbers.iter_mut().zip(source.formats()) {
            if number.is_some() || !is_bridgeable(&format) {
                continue;
            }
            let is_free = |number: &u8| (taken | reserved) & bit(*number) == 0;
            // The offerer's own dynamic numbers may still be wanted by formats further down.
            let foreign = source.formats().fold(0, |set, f| set | bit(f.payload_type));
            let own = Some(format.payload_type).filter(is_free);
            let other = (96..=127).chain(35..=63).find(|n| is_free(n) && foreign & bit(*n) == 0);
            *number = own.or(other);
            taken |= number.map_or(0, bit);
        }
        Self { numbers }
    }

    /// One a format of the offer.
    pub fn iter(&self) -> impl Iterator<Item = Option<u8>> + Clone {
        self.numbers.iter().copied()
    }

    fn of(&self, place: usize) -> Option<u8> {
        self.numbers.get(place).copied().flatten()
    }
}

const fn bit(payload_type: u8) -> u128 {
    if payload_type < 128 { 1 << payload_type } else { 0 }
}

/// A payload type that a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its number in the packets that arrive from the peer.
    pub number: u8,
    /// RTP clock rate in Hz.
    pub clock: u32,
    /// Its number in the packets that go on to the other peer.
    pub becomes: u8,
    /// Whether these are telephone events (RFC 4733).
    pub is_event: bool,
}

/// One peer's part of the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Where it takes RTP.
    pub rtp: SocketAddr,
    /// Where it takes RTCP, where it says so (RFC 3605); else one port above RTP.
    pub rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port, as both agreed.
    pub mux: bool,
    /// Whether the peer sends and the other one listens.
    pub sends: bool,
    /// Whether the peer listens and the other one sends.
    pub receives: bool,
    /// What it may send, best first, and what that becomes at the other peer.
    pub payloads: List<Payload, PAYLOAD_TYPES_MAX>,
    /// Milliseconds of audio in a packet that the peer wishes to receive.
    pub ptime: Option<u16>,
}

/// The agreement of two peers about one call's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The first speech codec that both have, by name, for the record.
    pub codec: Text<32>,
    /// The side that made the offer.
    pub offerer: Side,
    /// The side that answered.
    pub answerer: Side,
    /// Places of the same codec in offer and answer, in the offer's order.
    pairs: List<(u8, u8), PAYLOAD_TYPES_MAX>,
}

impl Bridge {
    /// Brings an offer and its answer together. `numbers` are those of the offer that was written
    /// to the answerer; `muxes` says whether the edge's own description on the offerer's and on
    /// the answerer's leg has `rtcp-mux`. An answer that names what was not offered is read
    /// without it (RFC 3264 §6.1 forbids that, but it does happen); without common speech codec
    /// there is no call.
    pub fn new(
        offer: &Description,
        numbers: &Numbers,
        answer: &Description,
        muxes: (bool, bool),
    ) -> Result<Self, OfferError> {
        answer.require_plain_audio()?;
        let pairs = pair(offer, numbers, answer);
        let both = |pair: &(u8, u8)| {
            Some((offer.format(usize::from(pair.0))?, answer.format(usize::from(pair.1))?))
        };
        let speech = pairs.iter().filter_map(both).find(|(offered, _)| is_speech(offered));
        let Some((speech, _)) = speech else {
            return Err(OfferError::not_acceptable(305, "no common audio format"));
        };
        let mut offerer = Side::new(offer, muxes.0, answer);
        let mut answerer = Side::new(answer, muxes.1, offer);
        for place in &pairs {
            let Some((offered, answered)) = both(place) else { continue };
            let is_event = offered.name.eq_ignore_ascii_case("telephone-event");
            let payload =
                |number, becomes| Payload { number, clock: offered.clock, becomes, is_event };
            // Each peer is told the numbers that it is to send: the offerer its own, the answerer
            // those that were offered to it.
            offerer.payloads.push(payload(offered.payload_type, answered.payload_type));
            let number = numbers.of(usize::from(place.0)).unwrap_or(answered.payload_type);
            answerer.payloads.push(payload(number, offered.payload_type));
        }
        // An answerer that renumbers may well send what it wrote instead of what it read.
        for place in &pairs {
            let Some((offered, answered)) = both(place) else { continue };
            let number = answered.payload_type;
            let is_known = answerer.payloads.iter().any(|payload| payload.number == number);
            if is_known || numbers.iter().any(|offered| offered == Some(number)) {
                continue;
            }
            let is_event = offered.name.eq_ignore_ascii_case("telephone-event");
            let (clock, becomes) = (offered.clock, offered.payload_type);
            // Where there is no room left, only the standard's number is taken.
            let _ = answerer.payloads.try_push(Payload { number, clock, becomes, is_event });
        }
        Ok(Self { codec: clipped(speech.name), offerer, answerer, pairs })
    }

    /// Places of the same codec in offer and answer, in the offer's order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        self.pairs.iter().map(|(offered, answered)| (usize::from(*offered), usize::from(*answered)))
    }
}

impl Side {
    /// A side without payloads. `mux`: whether the edge's description on this leg has it.
    fn new(peer: &Description, mux: bool, other: &Description) -> Self {
        let mux = mux && peer.mux;
        let (own, others) = (peer.direction(), other.direction());
        Self {
            rtp: peer.rtp_address(),
            rtcp: peer.rtcp.filter(|rtcp| !rtcp.ip().is_unspecified()),
            mux,
            sends: own.sends() && others.receives(),
            receives: own.receives() && others.sends(),
            payloads: List::new(),
            ptime: peer.ptime,
        }
    }

    /// The agreement with this peer as the relay wants it.
    pub fn negotiated(&self, learning: Learning) -> Negotiated {
        let receive = self.payloads.iter();
        Negotiated {
            remote_rtp: self.rtp,
            remote_rtcp: self.rtcp,
            rtcp_mux: self.mux,
            receive: receive.map(|p| PayloadType { number: p.number, clock: p.clock }).collect(),
            direction: Direction { send: self.receives, receive: self.sends },
            learning,
        }
    }

    /// What this peer's payload types become at the other one, as the relay wants it.
    pub fn map(&self) -> PayloadMap {
        let mut map = PayloadMap::default();
        for payload in &self.payloads {
            let is_new = map.insert(payload.number, payload.becomes);
            debug_assert!(is_new, "each number is there once, and the bounds are the same");
        }
        map
    }

    /// What a payload type of this peer becomes at the other one.
    pub fn becomes(&self, number: u8) -> Option<u8> {
        self.payloads.iter().find(|payload| payload.number == number).map(|p| p.becomes)
    }
}

/// Finds each answered format among the offered ones, each at most once: under the number that
/// was offered where that is the same codec, else wherever the codec is.
fn pair(
    offer: &Description,
    numbers: &Numbers,
    answer: &Description,
) -> List<(u8, u8), PAYLOAD_TYPES_MAX> {
    let mut answered_at: [Option<u8>; SDP_FORMATS_MAX] = [None; SDP_FORMATS_MAX];
    for (answered, format) in (0u8..).zip(answer.formats()) {
        let is_free = |place: usize| {
            numbers.of(place).is_some() && answered_at.get(place).is_some_and(Option::is_none)
        };
        let same_number =
            |place: usize| is_free(place) && numbers.of(place) == Some(format.payload_type);
        let found = offer.find(&format, same_number).or_else(|| offer.find(&format, is_free));
        if let Some(slot) = found.and_then(|place| answered_at.get_mut(place)) {
            *slot = Some(answered);
        }
    }
    let pairs = (0u8..).zip(answered_at);
    pairs
        .filter_map(|(offered, answered)| Some((offered, answered?)))
        .take(PAYLOAD_TYPES_MAX)
        .collect()
}
