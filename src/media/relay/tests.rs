use super::*;
use crate::base::packet::Route;
use crate::media::leg::{Direction, PayloadType};
use crate::wire::rtp::Rewrite;

mod model;
mod sources;

const ALICE: &str = "192.0.2.10:4000";
const BOB: &str = "198.51.100.20:5000";
const MALLORY: &str = "203.0.113.66:6000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An outbox that remembers.
#[derive(Default)]
struct Sent {
    messages: Vec<(MediaPort, SocketAddr, Vec<u8>)>,
    open: Vec<MediaPort>,
    refuse: usize,
}

impl Outbox for Sent {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Route::Media { from, to } = route else {
            panic!("the relay sends media only");
        };
        let mut buffer = [0; 1500];
        let length = write(&mut buffer);
        self.messages.push((from, to, buffer[..length].to_vec()));
        true
    }

    fn open(&mut self, port: MediaPort) -> bool {
        if self.refuse > 0 {
            self.refuse -= 1;
            return false;
        }
        self.open.push(port);
        true
    }

    fn close(&mut self, port: MediaPort) {
        let at = self.open.iter().position(|open| *open == port).expect("an open port");
        self.open.remove(at);
    }
}

/// A relay with two connected legs, Alice's and Bob's.
struct Edge {
    relay: Relay,
    out: Sent,
    now: Instant,
    counters: Arc<Counters>,
    alice: LegKey,
    bob: LegKey,
}

fn agreed(remote: &str) -> Negotiated {
    let types = [(0, 8000), (8, 8000), (101, 8000)];
    Negotiated {
        remote_rtp: address(remote),
        remote_rtcp: None,
        rtcp_mux: false,
        receive: types.iter().map(|(number, clock)| payload_type(*number, *clock)).collect(),
        direction: Direction::BOTH,
        learning: Learning::SignalledOnly,
    }
}

fn payload_type(number: u8, clock: u32) -> PayloadType {
    PayloadType { number, clock }
}

fn map(pairs: &[(u8, u8)]) -> PayloadMap {
    let mut map = PayloadMap::default();
    assert!(pairs.iter().all(|(from, to)| map.insert(*from, *to)));
    map
}

impl Edge {
    fn new(seed: u64) -> Self {
        let now = Instant::from_nanos(1_000_000_007);
        let counters = Counters::shared();
        let config = RelayConfig {
            addresses: [address("192.0.2.1:0").ip(), address("[2001:db8::1]:0").ip()]
                .into_iter()
                .collect(),
            ports: (10_000, 10_039),
            legs_max: 8,
            quarantine: Duration::from_secs(30),
            learning_window: Duration::from_secs(5),
        };
        let mut relay = Relay::new(config, Rng::from_number(seed), now, counters.clone());
        let mut out = Sent::default();
        let alice = relay.allocate(now, MediaAddress::Ipv4, &mut out).expect("ports");
        let bob = relay.allocate(now, MediaAddress::Ipv4, &mut out).expect("ports");
        assert!(relay.negotiate(now, alice, &agreed(ALICE)));
        assert!(relay.negotiate(now, bob, &agreed(BOB)));
        let same = map(&[(0, 0), (8, 8), (101, 101)]);
        assert!(relay.connect(alice, bob, &same, &same));
        Self { relay, out, now, counters, alice, bob }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// Delivers a datagram to a port; what is forwarded: from where, to where, the bytes.
    fn deliver(
        &mut self,
        source: SocketAddr,
        port: MediaPort,
        bytes: &[u8],
    ) -> Option<(MediaPort, SocketAddr, Vec<u8>)> {
        let mut buffer = [0; 2048];
        buffer[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(source, Local::Media(port), &mut buffer, bytes.len());
        self.relay.receive(self.now, &mut frame);
        match frame.verdict {
            Verdict::Drop => None,
            Verdict::Forward { from: Local::Media(from), to } => {
                Some((from, to, frame.bytes().to_vec()))
            }
            Verdict::Forward { .. } => panic!("media leaves from media ports"),
        }
    }

    /// Delivers RTP to a leg's RTP port; the header that goes out.
    fn rtp(&mut self, source: &str, leg: LegKey, packet: &[u8]) -> Option<Header> {
        let port = self.relay.ports(leg).expect("a live leg").rtp();
        let (_, _, bytes) = self.deliver(address(source), port, packet)?;
        Some(Header::parse(&bytes).expect("what goes out is RTP"))
    }
}

fn rtp(payload_type: u8, ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut bytes = vec![0x80; 172];
    Rewrite { marker: false, payload_type, sequence, timestamp, ssrc }.apply(&mut bytes);
    bytes
}

#[test]
fn a_packet_leaves_from_the_other_leg_as_that_legs_own() {
    let mut edge = Edge::new(1);
    let (a, b) = (edge.relay.ports(edge.alice), edge.relay.ports(edge.bob));
    let (a, b) = (a.expect("alive").rtp(), b.expect("alive").rtp());
    let packet = rtp(0, 77, 65_535, 1000);
    let (from, to, bytes) = edge.deliver(address(ALICE), a, &packet).expect("forwarded");
    assert_eq!((from, to), (b, address(BOB)));
    let first = Header::parse(&bytes).expect("RTP");
    assert!(first.marker && first.sequence < 1 << 15 && first.ssrc != 77);
    assert_eq!(bytes[HEADER..], packet[HEADER..]);
    edge.wait(20);
    let second = edge.rtp(ALICE, edge.alice, &rtp(0, 77, 0, 1160)).expect("forwarded");
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
    assert!(!second.marker && second.ssrc == first.ssrc);
    // The way back is another session.
    let back = edge.rtp(BOB, edge.bob, &rtp(0, 77, 5, 5)).expect("forwarded");
    assert_ne!(back.ssrc, first.ssrc);
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert_eq!((report.packets_in, report.octets_in, report.packets_out), (2, 320, 1));
}

const HEADER: usize = crate::wire::rtp::HEADER_BYTES;

#[test]
fn extension_csrc_and_padding_pass_untouched() {
    let mut edge = Edge::new(2);
    let mut packet = rtp(8, 1, 1, 1);
    packet[0] = 0xb1;
    packet[12..24].copy_from_slice(&[9, 9, 9, 9, 0xbe, 0xde, 0, 1, 3, 3, 3, 3]);
    packet[171] = 4;
    let port = edge.relay.ports(edge.alice).expect("alive").rtp();
    let (_, _, bytes) = edge.deliver(address(ALICE), port, &packet).expect("forwarded");
    assert_eq!((bytes[0], &bytes[HEADER..]), (packet[0], &packet[HEADER..]));
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert_eq!(report.octets_in, 172 - 12 - 4 - 8 - 4);
}

#[test]
fn payload_types_are_mapped_or_dropped() {
    let mut edge = Edge::new(3);
    edge.relay.connect(edge.alice, edge.bob, &map(&[(0, 0), (101, 96)]), &map(&[(0, 0)]));
    let event = edge.rtp(ALICE, edge.alice, &rtp(101, 1, 1, 1)).expect("mapped");
    assert_eq!(event.payload_type, 96);
    assert_eq!(edge.rtp(ALICE, edge.alice, &rtp(8, 1, 2, 1)), None, "accepted, not mapped");
    assert_eq!(edge.rtp(ALICE, edge.alice, &rtp(18, 1, 3, 1)), None, "never negotiated");
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert_eq!((report.unwanted, report.malformed), (1, 1));
    assert_eq!(edge.counters.read(Counter::RtpUnwanted), 1);
    assert_eq!(edge.counters.read(Counter::RtpMalformed), 1);
    assert_eq!(edge.counters.read(Counter::RtpRelayed), 1);
}

#[test]
fn hold_drops_and_resume_continues() {
    let mut edge = Edge::new(4);
    let before = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 100)).expect("forwarded");
    let mut hold = agreed(BOB);
    hold.direction.send = false;
    edge.relay.negotiate(edge.now, edge.bob, &hold);
    for step in 1..=500 {
        edge.wait(20);
        let packet = rtp(0, 1, 10 + step, 100 + 160 * u32::from(step));
        assert_eq!(edge.rtp(ALICE, edge.alice, &packet), None);
    }
    edge.relay.negotiate(edge.now, edge.bob, &agreed(BOB));
    edge.wait(20);
    let after = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 511, 100 + 160 * 501)).expect("again");
    assert_eq!((after.ssrc, after.sequence), (before.ssrc, before.sequence + 1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160 * 501));
    assert!(after.marker);
    assert_eq!(edge.counters.read(Counter::RtpUnwanted), 500);
}

#[test]
fn a_restart_within_one_ssrc_needs_two_packets() {
    let mut edge = Edge::new(5);
    let first = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded");
    assert_eq!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, 40_000, 9)), None);
    let next = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 40_001, 169)).expect("restarted");
    assert_eq!(next.sequence, first.sequence + 1);
}

#[test]
fn a_released_leg_frees_its_ports_and_partner() {
    let mut edge = Edge::new(6);
    edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded");
    let port = edge.relay.ports(edge.alice).expect("alive").rtp();
    let report = edge.relay.release(edge.now, edge.alice, &mut edge.out).expect("alive");
    assert_eq!(report.packets_in, 1);
    assert_eq!(edge.relay.release(edge.now, edge.alice, &mut edge.out), None);
    assert_eq!(edge.out.open.len(), 2, "Bob's pair");
    assert_eq!(edge.deliver(address(ALICE), port, &rtp(0, 1, 11, 0)), None);
    assert_eq!(edge.rtp(BOB, edge.bob, &rtp(0, 1, 11, 0)), None);
    assert_eq!(edge.relay.len(), 1);
}

#[test]
fn a_transfer_continues_the_listeners_stream() {
    let mut edge = Edge::new(7);
    let before = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded");
    // Alice's leg ends; its slot goes to Carol, who becomes Bob's new partner.
    edge.relay.release(edge.now, edge.alice, &mut edge.out);
    let carol = edge.relay.allocate(edge.now, MediaAddress::Ipv6, &mut edge.out).expect("room");
    edge.relay.negotiate(edge.now, carol, &agreed("192.0.2.30:7000"));
    edge.relay.connect(carol, edge.bob, &map(&[(8, 8)]), &map(&[(8, 8)]));
    edge.wait(1000);
    let after = edge.rtp("192.0.2.30:7000", carol, &rtp(8, 2, 999, 5)).expect("forwarded");
    assert_eq!((after.ssrc, after.sequence), (before.ssrc, before.sequence + 1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(8000));
    assert!(after.marker);
}

#[test]
fn ports_that_cannot_be_opened_are_passed_over() {
    let mut edge = Edge::new(8);
    edge.out.refuse = 2;
    assert!(edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out).is_ok());
    assert_eq!(edge.counters.read(Counter::MediaPortFailed), 2);
    edge.out.refuse = 100;
    assert!(edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out).is_err());
    edge.out.refuse = 0;
    assert_eq!(edge.counters.read(Counter::MediaPortsExhausted), 1);
    assert_eq!((edge.relay.len(), edge.out.open.len()), (3, 6));
    let rest = (0..6).map(|_| edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out));
    assert_eq!(rest.filter(Result::is_ok).count(), 5, "eight legs at most");
}

#[test]
fn silence_is_counted_only_while_media_is_due() {
    let mut edge = Edge::new(9);
    edge.wait(300);
    edge.rtp(ALICE, edge.alice, &rtp(0, 1, 1, 0)).expect("forwarded");
    edge.wait(3000);
    edge.rtp(ALICE, edge.alice, &rtp(0, 1, 2, 160)).expect("forwarded");
    edge.wait(500);
    let silent = |edge: &Edge| edge.relay.silent_for(edge.now, edge.alice);
    assert_eq!(silent(&edge), Some(Duration::from_millis(500)));
    let mut hold = agreed(ALICE);
    hold.direction.receive = false;
    edge.relay.negotiate(edge.now, edge.alice, &hold);
    edge.wait(60_000);
    assert_eq!(silent(&edge), None);
    edge.relay.negotiate(edge.now, edge.alice, &agreed(ALICE));
    edge.wait(2000);
    assert_eq!(silent(&edge), Some(Duration::from_secs(2)));
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert_eq!(report.silence, Duration::from_secs(5));
}

#[test]
fn bursts_do_as_single_packets_do() {
    let (mut single, mut burst) = (Edge::new(10), Edge::new(10));
    let port = single.relay.ports(single.alice).expect("alive").rtp();
    let mut rng = Rng::from_number(10);
    let packets: Vec<Vec<u8>> = (0..200u16)
        .map(|n| rtp(u8::try_from(rng.below(10)).expect("small"), 1, n ^ 1, u32::from(n) * 160))
        .collect();
    let mut buffers = packets.clone();
    let mut frames: Vec<Frame<'_>> = buffers
        .iter_mut()
        .map(|bytes| Frame::new(address(ALICE), Local::Media(port), bytes, 172))
        .collect();
    burst.relay.receive_burst(burst.now, &mut frames);
    for (packet, frame) in packets.iter().zip(&frames) {
        let alone = single.deliver(address(ALICE), port, packet);
        match frame.verdict {
            Verdict::Drop => assert_eq!(alone, None),
            Verdict::Forward { to, .. } => {
                let (_, alone_to, alone_bytes) = alone.expect("both forward");
                assert_eq!((alone_to, alone_bytes.as_slice()), (to, frame.bytes()));
            }
        }
    }
}

#[test]
fn a_feed_that_comes_back_is_joined_anew() {
    let mut edge = Edge::new(11);
    let carol = edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out).expect("room");
    edge.relay.negotiate(edge.now, carol, &agreed("192.0.2.30:7000"));
    let same = map(&[(0, 0)]);
    let before = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("to Bob");
    edge.relay.connect(edge.alice, carol, &same, &same);
    for n in 11..20 {
        edge.rtp(ALICE, edge.alice, &rtp(0, 1, n, 0)).expect("to Carol");
    }
    edge.relay.connect(edge.alice, edge.bob, &same, &same);
    let after = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 20, 0)).expect("to Bob again");
    assert_eq!((after.sequence, after.marker), (before.sequence + 1, true));
    // No time went by, and yet the packets are different ones.
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
}

#[test]
fn a_gap_longer_than_the_window_forgets_all_of_it() {
    for gap in [127, 128, 129, 130, 256, 300] {
        let mut edge = Edge::new(12);
        let first = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded");
        edge.rtp(ALICE, edge.alice, &rtp(0, 1, 11, 0)).expect("forwarded");
        let last = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10 + gap, 0)).expect("forwarded");
        assert_eq!(last.sequence, first.sequence + gap);
        for late in (10 + gap - 100..10 + gap).rev() {
            assert!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, late, 0)).is_some(), "{gap}: {late}");
            assert_eq!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, late, 0)), None, "{gap}: {late}");
        }
    }
}

#[test]
fn an_unspecified_address_holds() {
    let mut edge = Edge::new(13);
    edge.relay.negotiate(edge.now, edge.bob, &agreed("0.0.0.0:5000"));
    assert_eq!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)), None);
    edge.relay.negotiate(edge.now, edge.bob, &agreed(BOB));
    assert!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, 11, 0)).is_some());
}

#[test]
fn noise_from_the_peer_breaks_nothing() {
    let mut edge = Edge::new(14);
    let muxed = Negotiated { rtcp_mux: true, ..agreed(ALICE) };
    edge.relay.negotiate(edge.now, edge.alice, &muxed);
    let ports = edge.relay.ports(edge.alice).expect("alive");
    let mut rng = Rng::from_number(14);
    for _ in 0..100_000 {
        edge.wait(rng.below(100));
        let mut bytes = rng.bytes::<64>();
        bytes[0] = bytes[0] & 0x3f | 0x80;
        bytes[1] = [0, 8, 101, 200, 201, 203, 255][usize::try_from(rng.below(7)).expect("small")];
        bytes[2] &= rng.bytes::<1>()[0] & 1;
        let length = usize::try_from(rng.below(65)).expect("small");
        let port = if rng.chance(1, 2) { ports.rtp() } else { ports.rtcp() };
        edge.deliver(address(ALICE), port, &bytes[..length]);
        edge.relay.expire(edge.now, &mut edge.out);
        edge.out.messages.clear();
    }
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert!(report.malformed > 10_000 && report.packets_in > 1_000, "{report:?}");
    assert!(report.mos.is_some_and(|mos| (1.0..=4.5).contains(&mos)));
}

#[test]
fn frames_for_nobody_are_dropped() {
    let mut edge = Edge::new(15);
    for port in [9_999, 10_040, 65_535, 0] {
        let port = MediaPort { address: 0, port };
        assert_eq!(edge.deliver(address(ALICE), port, &rtp(0, 1, 1, 0)), None);
    }
    let idle = edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out).expect("room");
    assert_eq!(edge.rtp(ALICE, idle, &rtp(0, 1, 1, 0)), None, "nothing was negotiated");
    let mut buffer = [0; 20];
    let mut frame = Frame::new(address(ALICE), Local::Sip(0), &mut buffer, 20);
    edge.relay.receive(edge.now, &mut frame);
    assert_eq!((frame.verdict, edge.counters.read(Counter::RtpUnwanted)), (Verdict::Drop, 6));
}
