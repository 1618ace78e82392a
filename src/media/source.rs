//! Whose packets a leg believes: the signalled address, or one that is learnt and then locked.
//!
//! Facts that shape this: a relay that learns from any packet can be robbed of a call's audio by
//! whoever sprays its port range (CVE-2025-53399 and its kin). So learning is off unless asked
//! for, wants several consecutive packets, ends within seconds, and never moves a lock.
//!
//! Path: media::relay -> here -> media::stream

use std::net::{IpAddr, SocketAddr};

use crate::base::time::Instant;
use crate::wire::rtp::Header;

/// How the peer's media address is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learning {
    /// Only the exact address and port of the session description: trunks and carriers. A peer
    /// that sends from another port of that address is a stranger (RFC 4961 asks it not to).
    #[default]
    SignalledOnly,
    /// The peer may be behind a NAT: in the first seconds after `negotiate`, three consecutive
    /// packets from one source (negotiated payload types, one SSRC, consecutive sequence) lock
    /// it. The signalled IP address with another port goes before any other address.
    Nat,
}

/// An address and port in one comparable form; an IPv4-mapped IPv6 address equals its IPv4 self.
/// Flow label and scope are left out, because a peer does not choose them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    address: [u8; 16],
    port: u16,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Self {
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Self { address: octets, port: address.port() }
    }

    pub(super) fn same_address(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

/// `address` without an IPv4-mapped disguise.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(address.ip().to_canonical(), address.port())
        }
        _ => address,
    }
}

/// Consecutive packets that lock a source.
pub(super) const LOCK_PACKETS: u8 = 3;

/// One source on its way to be believed.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: Endpoint,
    ssrc: u32,
    next_sequence: u16,
    count: u8,
}

impl Candidate {
    const NONE: Self = Self {
        source: Endpoint { address: [0; 16], port: 0 },
        ssrc: 0,
        next_sequence: 0,
        count: 0,
    };

    /// Counts a packet that continues the row, or begins a new row with it.
    fn observe(&mut self, source: Endpoint, header: &Header) -> bool {
        let continues = self.count > 0
            && self.source == source
            && self.ssrc == header.ssrc
            && self.next_sequence == header.sequence;
        let count = if continues { self.count + 1 } else { 1 };
        let next_sequence = header.sequence.wrapping_add(1);
        *self = Self { source, ssrc: header.ssrc, next_sequence, count };
        count >= LOCK_PACKETS
    }
}

/// Learns the source of one leg, once for each negotiated address.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    signalled: Endpoint,
    until: Instant,
    /// Rows of the signalled address (any port) and of all others, apart, so that a stranger
    /// elsewhere cannot break the peer's row.
    near: Candidate,
    far: Candidate,
}

impl Learner {
    pub(super) fn new(signalled: SocketAddr, until: Instant) -> Self {
        let signalled = Endpoint::new(signalled);
        Self { signalled, until, near: Candidate::NONE, far: Candidate::NONE }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// A well-formed packet of a negotiated payload type: whether its source is locked now.
    pub(super) fn observe(&mut self, source: Endpoint, header: &Header) -> bool {
        if source.same_address(&self.signalled) {
            return self.near.observe(source, header);
        }
        // Once the signalled address has shown itself, nobody else can win.
        self.near.count == 0 && self.far.observe(source, header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::new(text.parse().expect("address"))
    }

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc, payload_bytes: 160 }
    }

    fn learner() -> Learner {
        Learner::new("192.0.2.9:4000".parse().expect("address"), Instant::from_nanos(100))
    }

    #[test]
    fn mapped_addresses_are_the_same() {
        assert_eq!(endpoint("192.0.2.1:5"), endpoint("[::ffff:192.0.2.1]:5"));
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5".parse().expect("address");
        assert_eq!(canonical(mapped), "192.0.2.1:5".parse().expect("address"));
    }

    #[test]
    fn three_in_a_row_lock_even_over_the_wrap() {
        let mut learner = learner();
        let nat = endpoint("198.51.100.7:61000");
        assert!(!learner.observe(nat, &header(1, 65_534)));
        assert!(!learner.observe(nat, &header(1, 65_535)));
        assert!(learner.observe(nat, &header(1, 0)));
    }

    #[test]
    fn a_broken_row_begins_anew() {
        let mut learner = learner();
        let nat = endpoint("198.51.100.7:61000");
        for (ssrc, sequence) in [(1, 1), (1, 2), (1, 4), (1, 5), (2, 6), (2, 7)] {
            assert!(!learner.observe(nat, &header(ssrc, sequence)));
        }
        assert!(learner.observe(nat, &header(2, 8)));
    }

    #[test]
    fn the_signalled_address_goes_before_others() {
        let mut learner = learner();
        let (near, far) = (endpoint("192.0.2.9:61000"), endpoint("203.0.113.66:4000"));
        assert!(!learner.observe(far, &header(6, 1)));
        assert!(!learner.observe(far, &header(6, 2)));
        assert!(!learner.observe(near, &header(1, 1)));
        assert!(!learner.observe(far, &header(6, 3)));
        assert!(!learner.observe(near, &header(1, 2)));
        assert!(!learner.observe(far, &header(6, 4)));
        assert!(learner.observe(near, &header(1, 3)));
    }
}
