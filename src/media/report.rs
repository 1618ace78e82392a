//! RTCP of one leg. The peer's reports are read here and end here; Carrick's own say what its
//! stream and its reception are, because each leg is an RTP session of its own (RFC 7092).
//!
//! Path: wire::rtcp -> here -> media::quality

use std::net::{Ipv4Addr, SocketAddr};

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::media::incoming::Incoming;
use crate::media::outgoing::Outgoing;
use crate::media::source::Endpoint;
use crate::wire::rtcp::{Compound, Packet, ReportBlock, SenderInfo, Writer};

/// Mean interval of reports before randomisation (RFC 3550 §6.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// A round trip beyond this is a wrong clock or a lie.
const ROUND_TRIP_MAX: u32 = 60 << 16;

/// RTCP state of one leg.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// Whose RTCP is believed (without rtcp-mux; with it, the RTP source).
    pub(super) source: Endpoint,
    /// Where ours goes; port zero: nowhere.
    pub(super) destination: SocketAddr,
    /// The peer's RTCP port may still be learnt from the locked RTP address.
    pub(super) learning: bool,
    /// Whether a report was ever sent, so that a BYE makes sense.
    pub(super) reported: bool,
    pub(super) last_packet: Instant,
    name: [u8; 16],
    last_sender_report: u32,
    last_sender_report_at: Instant,
    /// Packets sent as of the last two reports: who sent within two intervals is a sender.
    sent_prior: [u64; 2],
    /// In 1/65536 seconds; zero: not known.
    round_trip: u32,
    /// The peer's last block about our stream.
    remote: Option<(i32, u32)>,
}

impl Control {
    pub(super) fn new(rng: &mut Rng) -> Self {
        // 80 random bits as text: a name of this session alone (RFC 7022 §4.2).
        let mut name = [0; 16];
        name.copy_from_slice(rng.token::<16>().as_bytes());
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            source: Endpoint::new(nowhere),
            destination: nowhere,
            learning: false,
            reported: false,
            last_packet: Instant::FAR,
            name,
            last_sender_report: 0,
            last_sender_report_at: Instant::ZERO,
            sent_prior: [0; 2],
            round_trip: 0,
            remote: None,
        }
    }

    /// Takes in a valid compound of the peer's. A BYE ends nothing: it may be forged, and the
    /// signalling says when a call is over.
    pub(super) fn read(&mut self, now: Instant, compound: Compound<'_>, our_ssrc: u32) {
        self.last_packet = now;
        for packet in compound.flatten() {
            let blocks = match packet {
                Packet::SenderReport { info, blocks, .. } => {
                    self.last_sender_report = middle(info.ntp);
                    self.last_sender_report_at = now;
                    blocks
                }
                Packet::ReceiverReport { blocks, .. } => blocks,
                _ => continue,
            };
            for block in blocks.filter(|block| block.source == our_ssrc) {
                self.remote = Some((block.lost, block.jitter));
                let sent = block.last_sender_report;
                let away = middle(ntp(now)).wrapping_sub(sent).wrapping_sub(block.delay_since_last);
                if sent != 0 && away < ROUND_TRIP_MAX {
                    self.round_trip = away.max(1);
                }
            }
        }
    }

    /// Writes the report that is due: SR or RR with SDES, and a BYE at the end of the leg.
    pub(super) fn write(
        &mut self,
        now: Instant,
        incoming: &mut Incoming,
        outgoing: &Outgoing,
        is_last: bool,
        buffer: &mut [u8],
    ) -> usize {
        let block = incoming.ssrc().map(|source| ReportBlock {
            source,
            fraction_lost: incoming.fraction_lost(),
            lost: i32::try_from(incoming.lost()).unwrap_or(i32::MAX),
            highest_sequence: incoming.highest_for_report(),
            jitter: incoming.jitter(),
            last_sender_report: self.last_sender_report,
            delay_since_last: self.delay_since_last(now),
        });
        let is_sender = outgoing.packets > self.sent_prior[1];
        self.sent_prior = [outgoing.packets, self.sent_prior[0]];
        let mut writer = Writer::new(buffer);
        if is_sender {
            let info = SenderInfo {
                ntp: ntp(now),
                rtp_timestamp: outgoing.timestamp_at(now),
                packets: wrapping(outgoing.packets),
                octets: wrapping(outgoing.octets),
            };
            writer.sender_report(outgoing.ssrc, &info, block.as_ref());
        } else {
            writer.receiver_report(outgoing.ssrc, block.as_ref());
        }
        writer.canonical_name(outgoing.ssrc, &self.name);
        if is_last {
            writer.goodbye(outgoing.ssrc);
        }
        self.reported = true;
        writer.length()
    }

    /// Round-trip time in milliseconds, once a report gave one.
    #[expect(clippy::cast_precision_loss, reason = "a picture for people")]
    pub(super) fn round_trip_ms(&self) -> Option<f32> {
        (self.round_trip > 0).then(|| self.round_trip as f32 * 1000.0 / 65_536.0)
    }

    /// Packets lost and jitter (in clock units) as the peer reported them last.
    pub(super) fn remote(&self) -> Option<(u32, u32)> {
        self.remote.map(|(lost, jitter)| (u32::try_from(lost).unwrap_or(0), jitter))
    }

    fn delay_since_last(&self, now: Instant) -> u32 {
        if self.last_sender_report == 0 {
            return 0;
        }
        middle(ntp(Instant::ZERO + (now - self.last_sender_report_at)))
    }
}

/// The wait until the next report: half to one and a half times the interval, made shorter by
/// e - 1.5 to make up for reconsideration (RFC 3550 §6.3.1); the first comes in half the time.
pub(super) fn interval(rng: &mut Rng, is_first: bool) -> Duration {
    let mean = if is_first { INTERVAL / 2 } else { INTERVAL };
    let share =
        0.5 + f64::from(u32::try_from(rng.below(1 << 20)).unwrap_or(0)) / f64::from(1 << 20);
    mean.mul_f64(share / 1.218_28)
}

/// NTP format of the monotonic clock: elapsed time serves where there is no wall clock
/// (RFC 3550 §6.4.1), and only differences are used.
fn ntp(now: Instant) -> u64 {
    let elapsed = now - Instant::ZERO;
    let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
    elapsed.as_secs() << 32 | fraction
}

/// The middle 32 bits of an NTP timestamp.
#[expect(clippy::cast_possible_truncation, reason = "the middle is what is wanted")]
const fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "RTCP counts modulo 2^32")]
const fn wrapping(count: u64) -> u32 {
    count as u32
}
