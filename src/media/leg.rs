//! What callers say of a media leg: where its peer is, what it may send, what it feeds.

use std::net::{IpAddr, SocketAddr};

use crate::base::bounded::List;
use crate::base::limits::{MEDIA_ADDRESSES_MAX, PAYLOAD_TYPES_MAX};
use crate::base::pool::Key;
use crate::base::time::Duration;
pub use crate::media::source::Learning;

/// What a relay needs to know at the start.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The edge's media addresses; each has the whole port slice.
    pub addresses: List<IpAddr, MEDIA_ADDRESSES_MAX>,
    /// First and last UDP port of this shard's slice, both included.
    pub ports: (u16, u16),
    /// Legs that may live at once.
    pub legs_max: usize,
    /// How long a port pair rests after use; 30 seconds or more.
    pub quarantine: Duration,
    /// How long after `negotiate` a NAT'd peer's source may be learnt; a few seconds.
    pub learning_window: Duration,
}

/// A media leg. A key to a leg that was released finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegKey(pub(super) Key);

/// A payload type that a leg accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// 0 to 127.
    pub number: u8,
    /// RTP clock rate in Hz (RFC 3551: G.722 has 8000).
    pub clock: u32,
}

/// Which way media may flow between Carrick and one peer, as negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Carrick may send to the peer.
    pub send: bool,
    /// The peer may send to Carrick.
    pub receive: bool,
}

impl Direction {
    /// Both ways.
    pub const BOTH: Self = Self { send: true, receive: true };
}

/// What offer and answer agreed on for one leg.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// The peer's RTP address. Unspecified or port zero: nothing is sent (old-style hold).
    pub remote_rtp: SocketAddr,
    /// The peer's RTCP address where it was signalled (RFC 3605); else one port above RTP.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP shares the RTP port, both ways (RFC 5761).
    pub rtcp_mux: bool,
    /// Payload types that the peer may use.
    pub receive: List<PayloadType, PAYLOAD_TYPES_MAX>,
    /// Which way media flows.
    pub direction: Direction,
    /// How the peer's source address is found.
    pub learning: Learning,
}

/// Payload types of one leg and what each becomes on another. Both must have one clock rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadMap(List<(u8, u8), PAYLOAD_TYPES_MAX>);

impl PayloadMap {
    /// Adds a pair. `false`: full, out of range, or `from` is mapped already; nothing changed.
    pub fn insert(&mut self, from: u8, to: u8) -> bool {
        from < 128 && to < 128 && self.get(from).is_none() && self.0.try_push((from, to)).is_ok()
    }

    /// What `from` becomes; `None`: it is not passed on.
    pub fn get(&self, from: u8) -> Option<u8> {
        self.0.iter().find(|(input, _)| *input == from).map(|(_, output)| *output)
    }
}
