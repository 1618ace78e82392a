//! What a peer sends on a leg: extended sequence, duplicates, loss, jitter.
//!
//! Path: media::source -> here -> media::outgoing

use std::net::{Ipv4Addr, SocketAddr};

use crate::base::limits::PAYLOAD_TYPES_MAX;
use crate::base::time::{Duration, Instant};
use crate::media::outgoing::elapsed_units;
use crate::media::source::Endpoint;
use crate::wire::rtp::Header;

/// No leg is fed.
pub(super) const NO_LEG: u32 = u32::MAX;
/// Not mapped, or an empty place.
pub(super) const NO_PAYLOAD: u8 = u8::MAX;
/// Largest forward jump that is loss and not a restart (RFC 3550 A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;
/// Packets behind the highest that are still told apart from duplicates.
const WINDOW: u32 = u128::BITS;
/// Gaps shorter than this are pauses of speech, not silence.
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// No bad sequence number seen; otherwise the one that would confirm a restart.
const NO_RESTART: u32 = u32::MAX;

/// Why a packet of the right source is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Seen before.
    Duplicate,
    /// Too far from the present place: very late, or the first of a restart.
    OutOfRange,
}

/// What arrives on a leg. Laid out so that relaying touches its first two cache lines, and of
/// the third one clock.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Incoming {
    // Line 1: who, where to, which.
    window: u128,
    highest: u64,
    pub(super) source: Endpoint,
    pub(super) flags: Flags,
    /// Slot of the leg that this one feeds, or [`NO_LEG`].
    pub(super) feeds: u32,
    ssrc: u32,
    /// Changes whenever the outgoing side must join the stream anew.
    epoch: u32,
    restart: u32,
    // Line 2: payload types and running counts.
    inputs: [u8; PAYLOAD_TYPES_MAX],
    outputs: [u8; PAYLOAD_TYPES_MAX],
    pub(super) last_packet: Instant,
    transit: u32,
    /// Sixteen times the jitter, in clock units (RFC 3550 A.8).
    jitter: u32,
    last_timestamp: u32,
    clock: u32,
    /// Packets of the present source, each once.
    received_of_source: u64,
    // Line 3.
    clocks: [u32; PAYLOAD_TYPES_MAX],
    // Line 4: counts for reports.
    pub(super) octets: u64,
    pub(super) first_packet: Instant,
    received_before: u64,
    base: u32,
    lost_before: u32,
    pub(super) duplicates: u32,
    pub(super) late: u32,
    pub(super) refused: RefusedCounts,
    silent_ms: u32,
    expected_prior: u32,
    received_prior: u32,
}

/// Packets that were dropped before they counted as the peer's, or for want of a listener.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RefusedCounts {
    pub(super) strangers: u32,
    pub(super) malformed: u32,
    pub(super) unwanted: u32,
}

/// What the hot path must know of a leg's agreement, in one byte each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// An address was negotiated: `source` is meaningful.
    pub(super) negotiated: bool,
    /// The peer may send to us.
    pub(super) receives: bool,
    /// RTCP comes on the RTP port.
    pub(super) mux: bool,
    /// The source is not locked yet and learning goes on.
    pub(super) learning: bool,
    /// At least one packet of the present source came.
    started: bool,
}

impl Incoming {
    /// A stream that has not begun. `epoch` goes on from the slot's former tenant, so that a leg
    /// which that one fed takes this one for a new feed.
    pub(super) fn new(now: Instant, epoch: u32) -> Self {
        Self {
            window: 0,
            highest: 0,
            source: Endpoint::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            flags: Flags::default(),
            feeds: NO_LEG,
            ssrc: 0,
            epoch,
            restart: NO_RESTART,
            inputs: [NO_PAYLOAD; PAYLOAD_TYPES_MAX],
            outputs: [NO_PAYLOAD; PAYLOAD_TYPES_MAX],
            last_packet: now,
            transit: 0,
            jitter: 0,
            last_timestamp: 0,
            clock: 0,
            received_of_source: 0,
            clocks: [0; PAYLOAD_TYPES_MAX],
            octets: 0,
            first_packet: Instant::FAR,
            received_before: 0,
            base: 0,
            lost_before: 0,
            duplicates: 0,
            late: 0,
            refused: RefusedCounts::default(),
            silent_ms: 0,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    /// Sets the accepted payload types; mappings are gone until [`Incoming::map`].
    pub(super) fn accept(&mut self, types: impl Iterator<Item = (u8, u32)>) {
        self.inputs = [NO_PAYLOAD; PAYLOAD_TYPES_MAX];
        self.outputs = [NO_PAYLOAD; PAYLOAD_TYPES_MAX];
        for (place, (number, clock)) in types.take(PAYLOAD_TYPES_MAX).enumerate() {
            self.inputs[place] = number;
            self.clocks[place] = clock;
        }
    }

    /// Sets what each accepted payload type becomes at the leg that this one feeds.
    pub(super) fn map(&mut self, output_of: impl Fn(u8) -> Option<u8>) {
        for (input, output) in self.inputs.iter().zip(&mut self.outputs) {
            let wanted = if *input == NO_PAYLOAD { None } else { output_of(*input) };
            *output = wanted.unwrap_or(NO_PAYLOAD);
        }
    }

    /// The outgoing payload type (or [`NO_PAYLOAD`]) and clock rate; `None`: never negotiated.
    pub(super) fn payload(&self, number: u8) -> Option<(u8, u32)> {
        let place = self.inputs.iter().position(|input| *input == number)?;
        Some((self.outputs[place], self.clocks[place]))
    }

    /// Follows a packet of the peer's and gives its extended sequence number. Each one is given
    /// once at most while [`Incoming::epoch`] stays the same.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        header: &Header,
        clock: u32,
    ) -> Result<u64, Refused> {
        let extended = self.place(header)?;
        self.received_of_source += 1;
        self.octets += u64::from(header.payload_bytes);
        if self.first_packet == Instant::FAR {
            self.first_packet = now;
        }
        let gap = now - self.last_packet;
        if gap >= SILENCE_MIN {
            self.silent_ms = self.silent_ms.saturating_add(millis(gap));
        }
        self.last_packet = now;
        self.measure_jitter(now, header, clock);
        Ok(extended)
    }

    /// Makes the outgoing side join anew at the next packet: something was not passed on.
    pub(super) const fn interrupt(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// SSRC of the peer's stream, once there is one.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.flags.started.then_some(self.ssrc)
    }

    pub(super) const fn packets(&self) -> u64 {
        self.received_before + self.received_of_source
    }

    /// Packets that never came, over all sources of the leg's life.
    pub(super) fn lost(&self) -> u32 {
        let lost = self.expected().saturating_sub(self.received_of_source);
        self.lost_before.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX))
    }

    /// Share of the peer's packets that never came, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a picture for people")]
    pub(super) fn loss(&self) -> f32 {
        let (lost, came) = (self.lost() as f32, self.packets() as f32);
        if lost + came > 0.0 { lost / (lost + came) } else { 0.0 }
    }

    /// Reads one word of each line that relaying uses, so that they are fetched.
    pub(super) fn touch(&self) -> u64 {
        self.highest ^ self.received_of_source ^ u64::from(self.clocks[0]) ^ self.octets
    }

    /// Jitter in clock units.
    pub(super) const fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// Clock rate of the last packet's payload type, in Hz; zero before the first.
    pub(super) const fn clock(&self) -> u32 {
        self.clock
    }

    /// Time without packets, pauses under a second left out.
    pub(super) fn silent(&self, now: Instant) -> Duration {
        let gap = Some(now - self.last_packet).filter(|gap| *gap >= SILENCE_MIN);
        Duration::from_millis(self.silent_ms.into()) + gap.unwrap_or_default()
    }

    /// Silence is counted from here: the leg is wanted from `now` on, or was not until `now`.
    pub(super) const fn excuse_silence(&mut self, now: Instant) {
        self.last_packet = now;
    }

    /// Extended highest sequence number as RTCP writes it.
    #[expect(clippy::cast_possible_truncation, reason = "RTCP carries the low 32 bits")]
    pub(super) const fn highest_for_report(&self) -> u32 {
        (self.highest - (1 << 16)) as u32
    }

    /// Fraction lost since the last call, in 1/256 (RFC 3550 A.3).
    #[expect(clippy::cast_possible_truncation, reason = "differences of a few seconds")]
    pub(super) fn fraction_lost(&mut self) -> u8 {
        let (expected_now, received_now) = (self.expected() as u32, self.received_of_source as u32);
        let expected = u64::from(expected_now.wrapping_sub(self.expected_prior));
        let received = u64::from(received_now.wrapping_sub(self.received_prior));
        (self.expected_prior, self.received_prior) = (expected_now, received_now);
        let lost = expected.saturating_sub(received);
        u8::try_from((lost << 8).checked_div(expected).unwrap_or(0)).unwrap_or(u8::MAX)
    }

    fn expected(&self) -> u64 {
        if self.flags.started { self.highest - u64::from(self.base) + 1 } else { 0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's number")]
    fn place(&mut self, header: &Header) -> Result<u64, Refused> {
        if !self.flags.started || header.ssrc != self.ssrc {
            return Ok(self.begin(header));
        }
        let ahead = header.sequence.wrapping_sub(self.highest as u16);
        if ahead != 0 && ahead < DROPOUT_MAX {
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.highest += u64::from(ahead);
            self.restart = NO_RESTART;
            return Ok(self.highest);
        }
        let behind = u32::from(0u16.wrapping_sub(ahead));
        if behind < WINDOW {
            let bit = 1 << behind;
            if self.window & bit != 0 {
                self.duplicates = self.duplicates.wrapping_add(1);
                return Err(Refused::Duplicate);
            }
            self.window |= bit;
            self.late = self.late.wrapping_add(1);
            return Ok(self.highest - u64::from(behind));
        }
        // Two in a row at a far place are the peer's restart (RFC 3550 A.1).
        if self.restart == u32::from(header.sequence) {
            return Ok(self.begin(header));
        }
        self.restart = u32::from(header.sequence.wrapping_add(1));
        Err(Refused::OutOfRange)
    }

    /// A new source, or an old one that began anew.
    fn begin(&mut self, header: &Header) -> u64 {
        self.lost_before = self.lost();
        self.received_before += self.received_of_source;
        self.flags.started = true;
        self.ssrc = header.ssrc;
        // One cycle up, so that what came before the first packet has a number too.
        self.base = 1 << 16 | u32::from(header.sequence);
        self.highest = u64::from(self.base);
        self.window = 1;
        self.restart = NO_RESTART;
        (self.received_of_source, self.expected_prior, self.received_prior) = (0, 0, 0);
        self.clock = 0;
        self.interrupt();
        self.highest
    }

    /// RFC 3550 A.8. Packets that repeat a timestamp (DTMF events) say nothing of jitter.
    fn measure_jitter(&mut self, now: Instant, header: &Header, clock: u32) {
        let is_first = self.clock != clock;
        if !is_first && header.timestamp == self.last_timestamp {
            return;
        }
        let transit = clock_units(now, clock).wrapping_sub(header.timestamp);
        if !is_first {
            let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
            // A jump of ten seconds is a new time base, not jitter.
            if difference < clock.saturating_mul(10) {
                self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
            }
        }
        self.transit = transit;
        self.last_timestamp = header.timestamp;
        self.clock = clock;
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// An instant in clock units since the clock's start, modulo 2^32.
fn clock_units(at: Instant, clock: u32) -> u32 {
    elapsed_units(at - Instant::ZERO, clock)
}

const _: () = assert!(size_of::<Incoming>() == 256);
