//! The relay: all media legs of one shard, and the way of an RTP packet from one to another.
//!
//! Methods by kind. Set-up: `new allocate negotiate connect disconnect release`. Packets:
//! `receive receive_burst`. Time: `expire next_deadline`. Questions: `ports report silent_for`.
//!
//! A leg's state lies in three parallel tables, so that relaying a packet touches few cache
//! lines: what comes in (of the leg that got it), what goes out (of the leg that it goes to) and
//! the rest. A port finds its leg by direct index.
//!
//! Path: shard::ingress -> here -> net (verdict)

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::counter::{Counter, Counters};
use crate::base::limits::BURST_MAX;
use crate::base::packet::{Frame, Local, MediaPort, Outbox, Verdict};
use crate::base::pool::Pool;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::base::wheel::{TimerId, Wheel};
use crate::media::leg::{LegKey, Negotiated, PayloadMap, RelayConfig};
use crate::media::ports::{MediaAddress, NoPorts, PortPair, Ports};
use crate::media::quality::{LegReport, mean_opinion_score, units_to_ms};
use crate::media::report::{Control, interval};
use crate::media::source::{Endpoint, Learner, Learning, canonical};

use crate::media::incoming::{Incoming, NO_LEG, NO_PAYLOAD};
use crate::media::outgoing::Outgoing;
use crate::wire::rtp::{Header, is_rtcp};

mod peer;

/// Other pairs that `allocate` tries when the first cannot be opened.
const OPEN_TRIES: usize = 4;

/// The part of a leg that packets seldom touch.
#[derive(Clone, Debug)]
struct Leg {
    ports: Option<PortPair>,
    timer: Option<TimerId>,
    /// Address and mode of the last negotiation: learning begins anew only when they change.
    agreed: Option<(Endpoint, Learning)>,
    agreed_rtcp: Option<SocketAddr>,
    learner: Learner,
    map: PayloadMap,
    control: Control,
}

/// All media legs of one shard. Allocates memory only in `new`.
#[derive(Debug)]
pub struct Relay {
    incoming: Vec<Incoming>,
    outgoing: Vec<Outgoing>,
    legs: Vec<Leg>,
    keys: Pool<()>,
    /// From the index of a port pair to the leg's slot, or [`NO_LEG`].
    table: Vec<u32>,
    ports: Ports,
    timers: Wheel<LegKey>,
    learning_window: Duration,
    rng: Rng,
    counters: Arc<Counters>,
}

impl Relay {
    /// A relay without legs. All memory is taken and touched now.
    pub fn new(config: RelayConfig, mut rng: Rng, now: Instant, counters: Arc<Counters>) -> Self {
        let ports = Ports::new(config.addresses, config.ports, config.quarantine);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let leg = Leg {
            ports: None,
            timer: None,
            agreed: None,
            agreed_rtcp: None,
            learner: Learner::new(nowhere, now),
            map: PayloadMap::default(),
            control: Control::new(&mut rng),
        };
        let local = MediaPort { address: 0, port: 0 };
        Self {
            incoming: vec![Incoming::new(now, 0); config.legs_max],
            outgoing: vec![Outgoing::new([0; 10], local); config.legs_max],
            legs: vec![leg; config.legs_max],
            keys: Pool::new(config.legs_max),
            table: vec![NO_LEG; ports.capacity()],
            ports,
            timers: Wheel::new(config.legs_max, now),
            learning_window: config.learning_window,
            rng,
            counters,
        }
    }

    /// Makes a leg on a random free port pair and opens both ports. Until `negotiate` and
    /// `connect` it drops what comes. A pair that cannot be opened goes to quarantine.
    pub fn allocate(
        &mut self,
        now: Instant,
        address: MediaAddress,
        out: &mut dyn Outbox,
    ) -> Result<LegKey, NoPorts> {
        let Ok(key) = self.keys.insert(()) else {
            self.counters.count(Counter::MediaPortsExhausted);
            return Err(NoPorts);
        };
        let Some(ports) = self.open(now, address, out) else {
            self.keys.remove(key);
            self.counters.count(Counter::MediaPortsExhausted);
            return Err(NoPorts);
        };
        let (slot, leg) = (key.slot(), LegKey(key));
        let index = self.ports.index(ports.rtp()).expect("an allocated pair is of the slice");
        assert_eq!(self.table[index], NO_LEG, "a free pair has no leg");
        self.table[index] = u32::try_from(slot).expect("the pool has fewer slots than u32::MAX");
        self.incoming[slot] = Incoming::new(now, self.incoming[slot].epoch().wrapping_add(1));
        self.outgoing[slot] = Outgoing::new(self.rng.bytes(), ports.rtp());
        let wait = interval(&mut self.rng, true);
        self.legs[slot] = Leg {
            ports: Some(ports),
            timer: self.timers.set(now + wait, leg),
            agreed: None,
            agreed_rtcp: None,
            learner: Learner::new(SocketAddr::from(([0, 0, 0, 0], 0)), now),
            map: PayloadMap::default(),
            control: Control::new(&mut self.rng),
        };
        Ok(leg)
    }

    /// Puts the outcome of offer and answer into force; the first time or any later time. The
    /// leg's own SSRC, sequence and timestamps go on. `false`: no such leg.
    pub fn negotiate(&mut self, now: Instant, key: LegKey, agreed: &Negotiated) -> bool {
        let Some(slot) = self.slot(key) else {
            return false;
        };
        let remote = canonical(agreed.remote_rtp);
        let reachable = remote.port() != 0 && !remote.ip().is_unspecified();
        let incoming = &mut self.incoming[slot];
        let leg = &mut self.legs[slot];
        if agreed.direction.receive && !incoming.flags.receives {
            incoming.excuse_silence(now);
        }
        incoming.flags.negotiated = true;
        incoming.flags.receives = agreed.direction.receive;
        incoming.accept(agreed.receive.iter().map(|payload| (payload.number, payload.clock)));
        incoming.map(|number| leg.map.get(number));
        self.outgoing[slot].sends = agreed.direction.send && reachable;

        let signalled = (Endpoint::new(remote), agreed.learning);
        let moved = leg.agreed != Some(signalled) && reachable;
        let signalled_rtcp = agreed.remote_rtcp.map(canonical);
        let control_changed =
            incoming.flags.mux != agreed.rtcp_mux || leg.agreed_rtcp != signalled_rtcp;
        incoming.flags.mux = agreed.rtcp_mux;
        leg.agreed_rtcp = signalled_rtcp;
        if moved {
            leg.agreed = Some(signalled);
            leg.learner = Learner::new(remote, now + self.learning_window);
            incoming.source = signalled.0;
            incoming.flags.learning = agreed.learning == Learning::Nat;
            self.outgoing[slot].destination = remote;
        }
        if moved || control_changed {
            let rtp = self.outgoing[slot].destination;
            let is_nat = agreed.learning == Learning::Nat;
            leg.control.destination = match signalled_rtcp {
                _ if agreed.rtcp_mux => rtp,
                // Behind a NAT that was learnt, the signalled address leads nowhere.
                Some(rtcp) if !is_nat || rtcp.ip() == rtp.ip() => rtcp,
                _ => port_above(rtp),
            };
            leg.control.source = Endpoint::new(leg.control.destination);
            leg.control.learning = is_nat;
        }
        true
    }

    /// Joins two legs: what comes on one goes out on the other, each way through its map. Former
    /// partners of either are disconnected. `false`: a leg is gone, or both are one.
    pub fn connect(
        &mut self,
        a: LegKey,
        b: LegKey,
        a_to_b: &PayloadMap,
        b_to_a: &PayloadMap,
    ) -> bool {
        let (Some(slot_a), Some(slot_b)) = (self.slot(a), self.slot(b)) else {
            return false;
        };
        if slot_a == slot_b {
            return false;
        }
        self.disconnect(a);
        self.disconnect(b);
        for (from, to, map) in [(slot_a, slot_b, a_to_b), (slot_b, slot_a, b_to_a)] {
            self.legs[from].map.clone_from(map);
            let incoming = &mut self.incoming[from];
            incoming.feeds = u32::try_from(to).unwrap_or(NO_LEG);
            incoming.map(|number| map.get(number));
            incoming.interrupt();
        }
        true
    }

    /// Takes a leg apart from its partner, both ways. Both go on dropping what comes.
    pub fn disconnect(&mut self, leg: LegKey) {
        let Some(slot) = self.slot(leg) else {
            return;
        };
        let partner = std::mem::replace(&mut self.incoming[slot].feeds, NO_LEG);
        if partner != NO_LEG {
            let back = &mut self.incoming[partner as usize].feeds;
            assert_eq!(*back as usize, slot, "partners feed each other");
            *back = NO_LEG;
        }
    }

    /// Ends a leg: sends a BYE, closes the ports, puts them into quarantine. `None`: no such leg.
    pub fn release(
        &mut self,
        now: Instant,
        leg: LegKey,
        out: &mut dyn Outbox,
    ) -> Option<LegReport> {
        let slot = self.slot(leg)?;
        let report = self.report(now, leg)?;
        self.disconnect(leg);
        if self.legs[slot].control.reported || self.outgoing[slot].packets > 0 {
            self.send_control(now, slot, true, out);
        }
        if let Some(timer) = self.legs[slot].timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(ports) = self.legs[slot].ports.take() {
            out.close(ports.rtp());
            out.close(ports.rtcp());
            if let Some(index) = self.ports.index(ports.rtp()) {
                self.table[index] = NO_LEG;
            }
            self.ports.release(now, ports);
        }
        self.incoming[slot].flags = Default::default();
        self.outgoing[slot].sends = false;
        self.keys.remove(leg.0);
        Some(report)
    }

    /// Handles one datagram of a media port and sets its verdict.
    pub fn receive(&mut self, now: Instant, frame: &mut Frame<'_>) {
        let slot = self.slot_of(frame);
        self.relay(now, slot, frame);
    }

    /// Handles a burst. The legs of all frames are looked up first, so that their memory is
    /// fetched side by side; frames are then handled in order.
    pub fn receive_burst(&mut self, now: Instant, frames: &mut [Frame<'_>]) {
        for burst in frames.chunks_mut(BURST_MAX) {
            let mut slots = [NO_LEG; BURST_MAX];
            for (slot, frame) in slots.iter_mut().zip(burst.iter()) {
                *slot = self.slot_of(frame);
            }
            let mut touched = 0;
            for slot in &slots[..burst.len()] {
                if let Some(incoming) = self.incoming.get(*slot as usize) {
                    touched ^= incoming.touch();
                    if let Some(outgoing) = self.outgoing.get(incoming.feeds as usize) {
                        touched ^= outgoing.touch();
                    }
                }
            }
            black_box(touched);
            for (slot, frame) in slots.iter().zip(burst.iter_mut()) {
                self.relay(now, *slot, frame);
            }
        }
    }

    /// Sends the RTCP reports that are due.
    pub fn expire(&mut self, now: Instant, out: &mut dyn Outbox) {
        while let Some(leg) = self.timers.expire(now) {
            let Some(slot) = self.slot(leg) else {
                continue;
            };
            self.send_control(now, slot, false, out);
            let wait = interval(&mut self.rng, false);
            self.legs[slot].timer = self.timers.set(now + wait, leg);
        }
    }

    /// When `expire` has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The ports of a leg.
    pub fn ports(&self, leg: LegKey) -> Option<PortPair> {
        self.legs[self.slot(leg)?].ports
    }

    /// The address and RTP port of a leg, for the session description.
    pub fn address(&self, leg: LegKey) -> Option<SocketAddr> {
        let rtp = self.ports(leg)?.rtp();
        Some(SocketAddr::new(self.ports.address(rtp.address)?, rtp.port))
    }

    /// How many legs live.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no leg lives.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How long the peer has sent no RTP although it may: since its last packet, or since it was
    /// first allowed to. `None` while it may not send (hold), and for a leg that is gone.
    pub fn silent_for(&self, now: Instant, leg: LegKey) -> Option<Duration> {
        let incoming = &self.incoming[self.slot(leg)?];
        incoming.flags.receives.then(|| now - incoming.last_packet)
    }

    /// Statistics of a leg up to now.
    pub fn report(&self, now: Instant, leg: LegKey) -> Option<LegReport> {
        let slot = self.slot(leg)?;
        let (incoming, outgoing) = (&self.incoming[slot], &self.outgoing[slot]);
        let control = &self.legs[slot].control;
        let seen = incoming.first_packet != Instant::FAR;
        let jitter_ms = units_to_ms(incoming.jitter(), incoming.clock());
        let round_trip_ms = control.round_trip_ms();
        let remote = control.remote();
        let until = if incoming.flags.receives { now } else { incoming.last_packet };
        Some(LegReport {
            packets_in: incoming.packets(),
            octets_in: incoming.octets,
            packets_out: outgoing.packets,
            octets_out: outgoing.octets,
            lost: incoming.lost().into(),
            late: incoming.late,
            duplicates: incoming.duplicates,
            strangers: incoming.refused.strangers,
            malformed: incoming.refused.malformed,
            unwanted: incoming.refused.unwanted,
            jitter_ms,
            round_trip_ms,
            remote_lost: remote.map(|(lost, _)| lost),
            remote_jitter_ms: remote.map(|(_, jitter)| units_to_ms(jitter, outgoing.clock())),
            first_packet: seen.then_some(incoming.first_packet),
            last_packet: seen.then_some(incoming.last_packet),
            last_control: Some(control.last_packet).filter(|at| *at != Instant::FAR),
            silence: incoming.silent(until),
            mos: seen.then(|| {
                mean_opinion_score(incoming.loss(), jitter_ms, round_trip_ms.unwrap_or(0.0))
            }),
        })
    }

    fn slot(&self, leg: LegKey) -> Option<usize> {
        self.keys.get(leg.0).map(|()| leg.0.slot())
    }

    fn slot_of(&self, frame: &Frame<'_>) -> u32 {
        let Local::Media(port) = frame.local else {
            return NO_LEG;
        };
        self.ports.index(port).map_or(NO_LEG, |index| self.table[index])
    }

    /// Opens a pair, trying others where one cannot be had.
    fn open(
        &mut self,
        now: Instant,
        address: MediaAddress,
        out: &mut dyn Outbox,
    ) -> Option<PortPair> {
        for _ in 0..OPEN_TRIES {
            let ports = self.ports.allocate(now, address, &mut self.rng).ok()?;
            if out.open(ports.rtp()) {
                if out.open(ports.rtcp()) {
                    return Some(ports);
                }
                out.close(ports.rtp());
            }
            self.counters.count(Counter::MediaPortFailed);
            self.ports.release(now, ports);
        }
        None
    }

    /// One datagram for the leg in `slot`: RTP or RTCP by port or, with rtcp-mux, by type.
    fn relay(&mut self, now: Instant, slot: u32, frame: &mut Frame<'_>) {
        frame.verdict = Verdict::Drop;
        let Some(incoming) = self.incoming.get(slot as usize) else {
            self.counters.count(Counter::RtpUnwanted);
            return;
        };
        let on_control_port = matches!(frame.local, Local::Media(port) if port.port % 2 == 1);
        let slot = slot as usize;
        let outcome = if !incoming.flags.negotiated {
            let unwanted = &mut self.incoming[slot].refused.unwanted;
            *unwanted = unwanted.wrapping_add(1);
            Counter::RtpUnwanted
        } else if on_control_port || incoming.flags.mux && is_rtcp(frame.bytes()) {
            self.read_control(now, slot, on_control_port, frame)
        } else {
            self.counters.count(Counter::RtpReceived);
            self.relay_rtp(now, slot, frame)
        };
        self.counters.count(outcome);
    }

    /// The way of an RTP packet. Says what became of it.
    fn relay_rtp(&mut self, now: Instant, slot: usize, frame: &mut Frame<'_>) -> Counter {
        let source = Endpoint::new(frame.source);
        if self.incoming[slot].flags.learning {
            self.learn(now, slot, source, frame);
        }
        let incoming = &mut self.incoming[slot];
        if source != incoming.source {
            incoming.refused.strangers = incoming.refused.strangers.wrapping_add(1);
            return Counter::RtpStranger;
        }
        let parsed = Header::parse(frame.bytes()).ok();
        let payload = parsed.and_then(|header| incoming.payload(header.payload_type));
        let (Some(header), Some((output, clock))) = (parsed, payload) else {
            incoming.refused.malformed = incoming.refused.malformed.wrapping_add(1);
            return Counter::RtpMalformed;
        };
        let Ok(extended) = incoming.follow(now, &header, clock) else {
            return Counter::RtpDuplicate;
        };
        let listener = self.outgoing.get_mut(incoming.feeds as usize);
        let listener = listener.filter(|out| out.sends && incoming.flags.receives);
        let Some(outgoing) = listener else {
            incoming.interrupt();
            incoming.refused.unwanted = incoming.refused.unwanted.wrapping_add(1);
            return Counter::RtpUnwanted;
        };
        if output == NO_PAYLOAD {
            incoming.refused.unwanted = incoming.refused.unwanted.wrapping_add(1);
            return Counter::RtpUnwanted;
        }
        let feed = u64::from(incoming.epoch()) << 32 | u64::try_from(slot).unwrap_or(0);
        let Some(rewrite) = outgoing.rewrite(now, feed, extended, &header, (output, clock)) else {
            return Counter::RtpDuplicate;
        };
        rewrite.apply(frame.bytes_mut());
        let (from, to) = (Local::Media(outgoing.local), outgoing.destination);
        frame.verdict = Verdict::Forward { from, to };
        Counter::RtpRelayed
    }
}

/// The usual place of RTCP: one port above RTP. Port zero, that is nowhere, above the last port.
fn port_above(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(0))
}

// A leg's state is a few cache lines: five thousand legs fit a core's second-level cache.
const _: () = assert!(size_of::<Incoming>() + size_of::<Outgoing>() <= 384);
const _: () = assert!(size_of::<Leg>() <= 384);

#[cfg(test)]
mod tests;
