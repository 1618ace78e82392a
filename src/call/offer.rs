//! Offers and answers of a back-to-back call (RFC 3264, 6337). Each leg is a media session of its
//! own: what a peer says is read into a [`Description`], and what the other peer is told is
//! written anew from it, with the edge's addresses and ports. Nothing is copied through.
//!
//! One exchange, whoever began it, always goes the same way, so that delayed offers and re-INVITEs
//! of either side need nothing special: [`Description::parse`] the offer, [`offer_for`] the
//! other leg, parse its answer, [`Bridge::new`] of both, [`answer_for`] the offerer.

mod address;
mod bridge;
mod codec;
mod description;
mod read;
mod write;

use std::net::IpAddr;

pub use crate::wire::sdp::Direction;
pub use address::AddressPolicy;
pub use bridge::{Bridge, Numbers, Payload, Side};
pub use description::{Description, FormatView, Protocol};

use crate::base::rng::Rng;
use write::{AudioLine, renumbered, write_session};

/// Why a description cannot be taken: the status for the request that carried it, and the
/// Warning header (RFC 3261 §20.43) that explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferError {
    /// 400, 415, 488, or 500 where the edge's own buffer is too small.
    pub status: u16,
    /// Warning code, 300 to 399.
    pub warning: u16,
    /// Warning text.
    pub text: &'static str,
}

impl OfferError {
    /// 488 with a warning code.
    const fn not_acceptable(warning: u16, text: &'static str) -> Self {
        Self { status: 488, warning, text }
    }
}

/// The edge's end of one leg's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Address that the peer is told.
    pub address: IpAddr,
    /// RTP port.
    pub rtp_port: u16,
    /// RTCP port.
    pub rtcp_port: u16,
    /// Whether RTCP on the RTP port is offered, or taken where the peer offers it (RFC 5761).
    pub mux: bool,
}

/// What the edge has said on one leg so far: the o= line's numbers, which identify the session
/// and rise when, and only when, the description changes (RFC 3264 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSession {
    id: u64,
    version: u64,
    digest: Option<u64>,
}

impl LocalSession {
    /// A session with a random id, about which nothing was said yet.
    pub fn new(rng: &mut Rng) -> Self {
        // Peers are known that read the id as a floating point number or signed.
        Self { id: rng.below(1 << 52), version: 1, digest: None }
    }

    /// Notes what is about to be said. `true`: it differs from what was said last, and the version
    /// has risen.
    fn say(&mut self, digest: u64) -> bool {
        let before = self.digest.replace(digest);
        let differs = before.is_some_and(|before| before != digest);
        if differs {
            self.version += 1;
        }
        differs
    }
}

/// An offer as it was written.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Bytes written.
    pub length: usize,
    /// Payload numbers that the offer uses; [`Bridge::new`] wants them with the answer.
    pub numbers: Numbers,
}

/// Writes the offer for one leg from what the other leg's peer said: all its formats, known or
/// not, its direction and packet times; of its addresses and transport nothing. `previous` is
/// what the peer of the leg to be written to last said itself, if anything: its payload numbers
/// and the order of its media lines stay in force (RFC 3264 §8.3.2, §8).
pub fn offer_for(
    source: &Description,
    previous: Option<&Description>,
    ours: &LocalMedia,
    session: &mut LocalSession,
    buffer: &mut [u8],
) -> Result<Offered, OfferError> {
    source.require_plain_audio()?;
    let numbers = Numbers::assign(source, previous);
    let length = {
        let formats = numbers.iter().zip(source.formats());
        let audio = AudioLine {
            formats: formats.filter_map(|(n, format)| Some(renumbered(n?, &format))).collect(),
            direction: source.direction(),
            ptime: source.ptime,
            maxptime: source.maxptime,
            mux: ours.mux,
        };
        if audio.formats.is_empty() {
            return Err(OfferError::not_acceptable(305, "no usable audio format"));
        }
        write_session(buffer, session, ours, previous, &audio)?
    };
    Ok(Offered { length, numbers })
}

/// Writes the answer to `offer` from what the other side answered: the formats that it took, in
/// the offerer's order and under the offerer's payload numbers, with the answerer's parameters.
/// Media lines other than the audio line are refused with port zero, in their places.
pub fn answer_for(
    offer: &Description,
    answer: &Description,
    bridge: &Bridge,
    ours: &LocalMedia,
    session: &mut LocalSession,
    buffer: &mut [u8],
) -> Result<usize, OfferError> {
    let formats = bridge.pairs().filter_map(|(offered, answered)| {
        Some(renumbered(offer.format(offered)?.payload_type, &answer.format(answered)?))
    });
    let (offered, answered) = (offer.direction(), answer.direction());
    let audio = AudioLine {
        formats: formats.collect(),
        // No more than what may answer the offer (RFC 3264 §6.1).
        direction: Direction::of(
            answered.sends() && offered.receives(),
            answered.receives() && offered.sends(),
        ),
        ptime: answer.ptime,
        maxptime: answer.maxptime,
        mux: ours.mux && offer.mux,
    };
    write_session(buffer, session, ours, Some(offer), &audio)
}

#[cfg(test)]
mod tests;
