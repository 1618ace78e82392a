//! Strangers and NATs, RTCP, and what neither may do.

use super::*;
use crate::wire::rtcp::{Compound, Packet, ReportBlock, SenderInfo, Writer};

const NAT: &str = "192.0.2.10:61000";
const FAR_NAT: &str = "100.64.0.9:61000";

fn nat(edge: &mut Edge) {
    let agreed = Negotiated { learning: Learning::Nat, ..agreed(ALICE) };
    edge.relay.negotiate(edge.now, edge.alice, &agreed);
}

/// Where a packet of Bob's goes now.
fn destination(edge: &mut Edge, sequence: u16) -> SocketAddr {
    let port = edge.relay.ports(edge.bob).expect("alive").rtp();
    edge.deliver(address(BOB), port, &rtp(0, 5, sequence, 0)).expect("forwarded").1
}

#[test]
fn strangers_neither_inject_nor_redirect() {
    let mut edge = Edge::new(20);
    for n in 0..1000 {
        for source in [MALLORY, NAT, BOB] {
            assert_eq!(edge.rtp(source, edge.alice, &rtp(0, 1, n, 0)), None);
        }
    }
    assert_eq!(destination(&mut edge, 1), address(ALICE));
    assert_eq!(edge.counters.read(Counter::RtpStranger), 3000);
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert_eq!((report.strangers, report.packets_in), (3000, 0));
}

#[test]
fn a_nat_source_is_learnt_once_and_locked() {
    for source in [NAT, FAR_NAT] {
        let mut edge = Edge::new(21);
        nat(&mut edge);
        assert_eq!(edge.rtp(source, edge.alice, &rtp(0, 1, 1, 0)), None);
        assert_eq!(edge.rtp(source, edge.alice, &rtp(0, 1, 2, 160)), None);
        assert_eq!(destination(&mut edge, 1), address(ALICE));
        assert!(edge.rtp(source, edge.alice, &rtp(0, 1, 3, 320)).is_some());
        assert_eq!(destination(&mut edge, 2), address(source));
        // The same agreement again (session refresh) keeps the lock.
        nat(&mut edge);
        for n in 0..100 {
            assert_eq!(edge.rtp(MALLORY, edge.alice, &rtp(0, 1, n, 0)), None);
        }
        assert_eq!(destination(&mut edge, 3), address(source));
        assert!(edge.rtp(source, edge.alice, &rtp(0, 1, 4, 480)).is_some());
    }
}

#[test]
fn learning_ends_with_its_window() {
    let mut edge = Edge::new(22);
    nat(&mut edge);
    edge.wait(5000);
    for n in 0..100 {
        assert_eq!(edge.rtp(FAR_NAT, edge.alice, &rtp(0, 1, n, 0)), None);
    }
    assert!(edge.rtp(ALICE, edge.alice, &rtp(0, 1, 1, 0)).is_some(), "as signalled");
}

#[test]
fn learning_wants_negotiated_payload_types() {
    let mut edge = Edge::new(23);
    nat(&mut edge);
    for n in 0..100 {
        assert_eq!(edge.rtp(FAR_NAT, edge.alice, &rtp(18, 1, n, 0)), None);
        assert_eq!(edge.rtp(FAR_NAT, edge.alice, &[0x80; 11]), None);
    }
    assert_eq!(destination(&mut edge, 1), address(ALICE));
}

#[test]
fn a_changed_address_is_learnt_anew() {
    let mut edge = Edge::new(24);
    nat(&mut edge);
    for n in 1..=3 {
        edge.rtp(FAR_NAT, edge.alice, &rtp(0, 1, n, 0));
    }
    assert_eq!(destination(&mut edge, 1), address(FAR_NAT));
    edge.relay.negotiate(edge.now, edge.alice, &agreed("192.0.2.77:8000"));
    assert_eq!(destination(&mut edge, 2), address("192.0.2.77:8000"));
    assert_eq!(edge.rtp(FAR_NAT, edge.alice, &rtp(0, 1, 4, 0)), None);
    assert!(edge.rtp("192.0.2.77:8000", edge.alice, &rtp(0, 1, 5, 0)).is_some());
}

/// The compound of a peer's: an SR with one block about `about`.
fn compound(sender: u32, about: u32, lsr: u32, delay: u32) -> Vec<u8> {
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    let block = ReportBlock {
        source: about,
        lost: 7,
        jitter: 80,
        last_sender_report: lsr,
        delay_since_last: delay,
        ..ReportBlock::default()
    };
    let info = SenderInfo { ntp: 0x1111_2222_3333_4444, ..SenderInfo::default() };
    writer.sender_report(sender, &info, Some(&block));
    let length = writer.length();
    buffer[..length].to_vec()
}

fn reports(edge: &mut Edge, until_ms: u64) -> Vec<(Instant, MediaPort, SocketAddr, Vec<u8>)> {
    let end = edge.now + Duration::from_millis(until_ms);
    let mut all = Vec::new();
    while let Some(deadline) = edge.relay.next_deadline().filter(|at| *at <= end) {
        edge.now = deadline;
        edge.relay.expire(deadline, &mut edge.out);
        let sent = edge.out.messages.drain(..);
        all.extend(sent.map(|(from, to, bytes)| (deadline, from, to, bytes)));
    }
    edge.now = end;
    all
}

#[test]
fn each_leg_reports_about_every_five_seconds() {
    let mut edge = Edge::new(25);
    edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded");
    edge.rtp(ALICE, edge.alice, &rtp(0, 1, 12, 320)).expect("forwarded");
    let all = reports(&mut edge, 600_000);
    let port = edge.relay.ports(edge.alice).expect("alive").rtcp();
    let mine: Vec<_> = all.iter().filter(|(_, from, ..)| *from == port).collect();
    assert!((100..200).contains(&mine.len()), "{}", mine.len());
    assert!(mine.windows(2).all(|w| w[1].0 - w[0].0 > Duration::from_millis(2_000)));
    assert!(mine.windows(2).all(|w| w[1].0 - w[0].0 < Duration::from_millis(6_200)));
    let (_, _, to, bytes) = mine[0];
    assert_eq!(*to, address("192.0.2.10:4001"));
    let packets: Vec<_> = Compound::new(bytes).flatten().collect();
    let Packet::ReceiverReport { mut blocks, .. } = packets[0] else {
        panic!("Alice's leg has sent nothing: an RR");
    };
    let block = blocks.next().expect("Alice is heard");
    assert_eq!((block.source, block.lost, block.highest_sequence), (1, 1, 12));
    assert_eq!(block.fraction_lost, 85);
    assert!(matches!(packets[1], Packet::SourceDescription));
    // Bob's leg has sent: an SR.
    let bob = edge.relay.ports(edge.bob).expect("alive").rtcp();
    let (.., bytes) = all.iter().find(|(_, from, ..)| *from == bob).expect("a report");
    let Some(Ok(Packet::SenderReport { info, .. })) = Compound::new(bytes).next() else {
        panic!("an SR first");
    };
    assert_eq!((info.packets, info.octets), (2, 320));
    edge.relay.release(edge.now, edge.bob, &mut edge.out);
    let (.., bytes) = edge.out.messages.last().expect("a last report");
    assert!(Compound::new(bytes).flatten().any(|p| matches!(p, Packet::Goodbye { .. })));
}

#[test]
fn rtcp_is_read_from_the_peer_and_never_relayed() {
    let mut edge = Edge::new(26);
    let ours = edge.rtp(ALICE, edge.alice, &rtp(0, 1, 10, 0)).expect("forwarded").ssrc;
    let port = edge.relay.ports(edge.bob).expect("alive").rtcp();
    let lsr = u32::try_from(edge.now.as_nanos() * 65_536 / 1_000_000_000).expect("early");
    edge.wait(150);
    let packet = compound(9, ours, lsr, 65_536 / 10);
    assert_eq!(edge.deliver(address(MALLORY), port, &packet), None);
    assert_eq!(edge.relay.report(edge.now, edge.bob).expect("alive").round_trip_ms, None);
    assert_eq!(edge.deliver(address("198.51.100.20:5001"), port, &packet), None);
    let report = edge.relay.report(edge.now, edge.bob).expect("alive");
    let round_trip = report.round_trip_ms.expect("known");
    assert!((49.0..51.0).contains(&round_trip), "{round_trip}");
    assert_eq!((report.remote_lost, report.remote_jitter_ms), (Some(7), Some(10.0)));
    assert_eq!(report.last_control, Some(edge.now));
    for length in 0..packet.len() {
        let cut = &packet[..length];
        assert_eq!(edge.deliver(address("198.51.100.20:5001"), port, cut), None);
    }
    let report = edge.relay.report(edge.now, edge.bob).expect("alive");
    assert_eq!((report.strangers, report.malformed), (1, 52));
    assert_eq!(edge.counters.read(Counter::RtcpReceived), 1);
}

#[test]
fn muxed_rtcp_is_told_apart_and_sent_from_the_rtp_port() {
    let mut edge = Edge::new(27);
    let muxed = Negotiated { rtcp_mux: true, ..agreed(ALICE) };
    edge.relay.negotiate(edge.now, edge.alice, &muxed);
    let ports = edge.relay.ports(edge.alice).expect("alive");
    edge.deliver(address(ALICE), ports.rtp(), &compound(1, 2, 0, 0));
    assert_eq!(edge.counters.read(Counter::RtcpReceived), 1);
    edge.deliver(address(MALLORY), ports.rtp(), &compound(1, 2, 0, 0));
    assert_eq!(edge.counters.read(Counter::RtpStranger), 1);
    let sent = reports(&mut edge, 10_000);
    assert!(sent.iter().any(|(_, from, to, _)| *from == ports.rtp() && *to == address(ALICE)));
}

#[test]
fn rtcp_of_a_nat_follows_the_locked_address() {
    let mut edge = Edge::new(28);
    nat(&mut edge);
    let port = edge.relay.ports(edge.alice).expect("alive").rtcp();
    let learnt = "100.64.0.9:61777";
    let before = edge.deliver(address(learnt), port, &compound(1, 2, 0, 0));
    assert_eq!((before, edge.counters.read(Counter::RtcpReceived)), (None, 0));
    for n in 1..=3 {
        edge.rtp(FAR_NAT, edge.alice, &rtp(0, 1, n, 0));
    }
    edge.deliver(address(learnt), port, &compound(66, 2, 0, 0));
    edge.deliver(address(MALLORY), port, &compound(1, 2, 0, 0));
    assert_eq!(edge.counters.read(Counter::RtcpReceived), 0, "wrong SSRC, wrong address");
    edge.deliver(address(learnt), port, &compound(1, 2, 0, 0));
    edge.deliver(address("100.64.0.9:61778"), port, &compound(1, 2, 0, 0));
    assert_eq!(edge.counters.read(Counter::RtcpReceived), 1, "learnt once");
    let sent = reports(&mut edge, 10_000);
    assert!(sent.iter().any(|(_, from, to, _)| *from == port && *to == address(learnt)));
}

#[test]
fn a_signalled_rtcp_address_is_used_and_may_move() {
    let mut edge = Edge::new(30);
    for rtcp in ["192.0.2.10:4999", "192.0.2.11:1234"] {
        let moved = Negotiated { remote_rtcp: Some(address(rtcp)), ..agreed(ALICE) };
        edge.relay.negotiate(edge.now, edge.alice, &moved);
        let ports = edge.relay.ports(edge.alice).expect("alive");
        let sent = reports(&mut edge, 10_000);
        let mut mine = sent.iter().filter(|(_, from, ..)| *from == ports.rtcp()).peekable();
        assert!(mine.peek().is_some() && mine.all(|(_, _, to, _)| *to == address(rtcp)));
        let before = edge.counters.read(Counter::RtcpReceived);
        edge.deliver(address(rtcp), ports.rtcp(), &compound(1, 2, 0, 0));
        edge.deliver(address("192.0.2.10:4001"), ports.rtcp(), &compound(1, 2, 0, 0));
        assert_eq!(edge.counters.read(Counter::RtcpReceived), before + 1);
    }
}

#[test]
fn jitter_follows_the_clock() {
    let mut edge = Edge::new(29);
    for n in 0..500u16 {
        // Every other packet is 10 ms late: the deviation settles at 10 ms.
        edge.wait(if n % 2 == 0 { 10 } else { 30 });
        edge.rtp(ALICE, edge.alice, &rtp(0, 1, n, u32::from(n) * 160)).expect("forwarded");
    }
    let report = edge.relay.report(edge.now, edge.alice).expect("alive");
    assert!((9.0..=10.1).contains(&report.jitter_ms), "{}", report.jitter_ms);
}

/// Peer and sprayer race while a source is learnt: whoever is locked, it is one source, no
/// stranger gets a packet before, and a peer at the signalled IP address always wins.
#[test]
fn a_race_ends_with_one_source() {
    for seed in 0..200 {
        let mut edge = Edge::new(seed);
        let mut rng = Rng::from_number(seed);
        nat(&mut edge);
        let peer = if seed % 2 == 0 { NAT } else { FAR_NAT };
        let mut heard = Vec::new();
        let (mut sequence, mut sprayed, mut backward) = (rng.below(65_536), 0, 0);
        if seed % 2 == 0 {
            // The first word from the signalled address shuts all others out.
            edge.rtp(peer, edge.alice, &rtp(0, 1, 0, 0));
        }
        for _ in 0..600 {
            edge.wait(5);
            if rng.chance(1, 4) {
                sequence = (sequence + 1) % 65_536;
                let number = u16::try_from(sequence).expect("16 bits");
                heard.extend(edge.rtp(peer, edge.alice, &rtp(0, 1, number, 0)).map(|_| peer));
            }
            for _ in 0..rng.below(3) {
                sprayed = (sprayed + rng.below(3)) % 65_536;
                let number = u16::try_from(sprayed).expect("16 bits");
                let got = edge.rtp(MALLORY, edge.alice, &rtp(0, 6, number, 0));
                heard.extend(got.map(|_| MALLORY));
            }
            backward += 1;
            let to = destination(&mut edge, backward);
            assert_eq!(to, address(heard.last().copied().unwrap_or(ALICE)), "seed {seed}");
        }
        assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: one source");
        assert!(seed % 2 == 1 || heard.contains(&peer), "seed {seed}: the signalled address wins");
    }
}
