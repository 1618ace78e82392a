//! Carrick's own stream towards a peer: its SSRC, sequence and timestamps outlive whatever feeds it.
//!
//! Path: media::incoming -> here -> wire::rtp

use std::net::{Ipv4Addr, SocketAddr};

use crate::base::packet::MediaPort;
use crate::base::time::{Duration, Instant};
use crate::wire::rtp::{Header, Rewrite};

/// What Carrick sends on a leg.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Outgoing {
    // Line 1.
    pub(super) destination: SocketAddr,
    feed: u64,
    /// Highest extended sequence number sent; its upper bits minus one are SRTP's ROC.
    highest: u64,
    shift: u64,
    pub(super) ssrc: u32,
    pub(super) local: MediaPort,
    // Line 2.
    floor: u64,
    anchor: Instant,
    pub(super) packets: u64,
    pub(super) octets: u64,
    last_timestamp: u32,
    timestamp_shift: u32,
    clock: u32,
    /// We may send to the peer.
    pub(super) sends: bool,
}

impl Outgoing {
    /// A silent stream. `random` gives the first sequence number (below 2^15, so that SRTP's
    /// first wrap is far, RFC 3711 §3.3.1), the first timestamp and the SSRC.
    pub(super) fn new(random: [u8; 10], local: MediaPort) -> Self {
        let [s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = random;
        let first = u64::from(u16::from_be_bytes([s0, s1]) >> 1);
        Self {
            destination: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            feed: u64::MAX,
            highest: (1 << 16) + first - 1,
            shift: 0,
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            local,
            floor: 0,
            anchor: Instant::ZERO,
            packets: 0,
            octets: 0,
            last_timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            timestamp_shift: 0,
            clock: 0,
            sends: false,
        }
    }

    /// The header under which a packet goes out, and whether it may: `None` for one from before
    /// the place where this stream joined its feed.
    ///
    /// `feed` names the stream that the packet is of; `extended` is its place there, given once
    /// for each feed. So an outgoing sequence number is never used twice.
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's number")]
    pub(super) fn rewrite(
        &mut self,
        now: Instant,
        feed: u64,
        extended: u64,
        header: &Header,
        (payload_type, clock): (u8, u32),
    ) -> Option<Rewrite> {
        let joins = self.feed != feed;
        if joins {
            self.join(now, feed, extended, header.timestamp, clock);
        }
        let sequence = extended.wrapping_add(self.shift);
        // Numbers below the floor were the former feed's.
        if sequence < self.floor {
            return None;
        }
        let timestamp = header.timestamp.wrapping_add(self.timestamp_shift);
        if sequence > self.highest {
            self.highest = sequence;
            if timestamp != self.last_timestamp || joins {
                self.last_timestamp = timestamp;
                self.anchor = now;
                self.clock = clock;
            }
        }
        self.packets += 1;
        self.octets += u64::from(header.payload_bytes);
        Some(Rewrite {
            marker: header.marker || joins,
            payload_type,
            sequence: sequence as u16,
            timestamp,
            ssrc: self.ssrc,
        })
    }

    /// Clock rate of the last packet's payload type, in Hz; zero before the first.
    pub(super) const fn clock(&self) -> u32 {
        self.clock
    }

    /// Reads one word of each line that relaying uses, so that they are fetched.
    pub(super) const fn touch(&self) -> u64 {
        self.highest ^ self.packets
    }

    /// The timestamp that belongs to `now`, for sender reports.
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        self.last_timestamp.wrapping_add(elapsed_units(now - self.anchor, self.clock))
    }

    /// Continues the stream with another feed: the next number, and a timestamp as far on as
    /// time has gone.
    fn join(&mut self, now: Instant, feed: u64, extended: u64, timestamp: u32, clock: u32) {
        let next = self.highest + 1;
        self.feed = feed;
        self.floor = next;
        self.shift = next.wrapping_sub(extended);
        let continued = if self.packets == 0 {
            self.last_timestamp
        } else {
            // At least one usual packet's worth, so that no two feeds share a timestamp.
            let advance = elapsed_units(now - self.anchor, clock).max(clock / 50);
            self.last_timestamp.wrapping_add(advance)
        };
        self.timestamp_shift = continued.wrapping_sub(timestamp);
    }
}

/// A duration in clock units, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
pub(super) fn elapsed_units(elapsed: Duration, clock: u32) -> u32 {
    let fraction = u64::from(elapsed.subsec_nanos()) * u64::from(clock) / 1_000_000_000;
    elapsed.as_secs().wrapping_mul(u64::from(clock)).wrapping_add(fraction) as u32
}

const _: () = assert!(size_of::<Outgoing>() == 128);
