//! A shard allocates and frees nothing after its start: not for a whole call's signalling, with
//! digest and without, not for a call that is given up, not for media and its reports.
//!
//! Exceptions, and why: a new directory (`ToShard::Publish`). The snapshot that it replaces goes
//! back to control to be freed there; only where that ring is full is it freed on the shard.
//!
//! No lock either: `tests/tidy.rs` finds that none is named in the rooms that a shard is made of.

mod harness;

use std::net::SocketAddr;

use carrick::base::counter::Counter;
use carrick::base::packet::{Frame, Local, MediaPort, Verdict};
use carrick::base::time::Duration;
use carrick::link::svaml::{Action, ConnectPstn};
use carrick::sip::auth::{Account, answer_challenge};
use carrick::sys::alloc::{CountingAllocator, counted};
use carrick::wire::sip::{Framing, Message, Method};
use harness::flow::{self, CALLEE};
use harness::phone::{ASKED, Caller, DIGEST, NORTH, SOUTH, one, reply, sdp};
use harness::{MEDIA, World, address};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Runs `work` a few times to warm up, then asserts that it makes the shard allocate nothing.
fn assert_free(what: &str, work: impl Fn(&mut World, &str)) {
    let mut world = World::new();
    let ((), seen) = counted(|| drop(std::hint::black_box(vec![0u8; 8])));
    assert_eq!(seen, 1, "the allocator counts");
    for round in 0..3 {
        work(&mut world, &format!("warm-{round}"));
    }
    (world.allocations, world.releases) = (0, 0);
    for round in 0..20 {
        work(&mut world, &format!("call-{round}"));
    }
    assert_eq!((world.allocations, world.releases), (0, 0), "{what}: allocations and frees");
    world.assert_clean();
    assert_eq!((world.allocations, world.releases), (0, 0), "{what}, timers and clean-up");
}

#[test]
fn the_harness_sees_what_a_shard_allocates() {
    let mut world = World::new();
    world.on(0, |_, _, _, _| drop(std::hint::black_box(Box::new(1u64))));
    assert_eq!((world.allocations, world.releases), (1, 1));
}

#[test]
fn a_whole_call() {
    assert_free("a call", |world, name| {
        let call = flow::up(world, &Caller::new(ASKED, name, "+4930123"));
        world.pass(Duration::from_secs(1));
        call.hang_up(world);
        world.pass(Duration::from_secs(50));
    });
}

#[test]
fn a_call_with_a_hold_and_a_digit_inside() {
    assert_free("re-INVITE and INFO", |world, name| {
        let call = flow::up(world, &Caller::new(ASKED, name, "+4930123"));
        let hold = sdp("198.51.100.77", 4000).replace("sendrecv", "sendonly");
        let again = call.caller.inside("INVITE", 8, &call.ok, &hold);
        let sent = world.send(ASKED, &again);
        let theirs = one(&sent, "INVITE", CALLEE).to_owned();
        let answer = sdp("203.0.113.77", 6000).replace("sendrecv", "recvonly");
        let sent = world.send(CALLEE, &reply(&theirs, 200, "", "", &answer));
        let ok = one(&sent, "200", ASKED).to_owned();
        world.send(ASKED, &call.caller.ack(&ok));
        let info = call.caller.inside("INFO", 9, &call.ok, "");
        let sent = world.send(ASKED, &info);
        let theirs = one(&sent, "INFO", CALLEE).to_owned();
        one(&world.send(CALLEE, &reply(&theirs, 200, "", "", "")), "200", ASKED);
        call.hang_up(world);
        world.pass(Duration::from_secs(50));
    });
}

/// The request with the answer to a challenge, as a phone would send it.
fn with_credentials(caller: &Caller, challenge: &str) -> Caller {
    let message = Message::parse(challenge.as_bytes(), Framing::Datagram).expect("SIP");
    let account = Account { username: "pbx", password: "Cleat-Hitch-1849", realm: None };
    let answer = answer_challenge(&message, Method::Invite, &caller.uri, &account, "0a4f113b");
    let value = answer.expect("a challenge that can be answered").value;
    let mut next = caller.clone();
    next.extra = format!("Authorization: {value}\r\n");
    next.cseq += 1;
    next.branch += "-again";
    next
}

#[test]
fn a_call_with_digest_on_both_sides() {
    assert_free("digest", |world, name| {
        let caller = Caller::new(DIGEST, name, "+33123456");
        let sent = world.send(DIGEST, &caller.invite());
        let challenge = one(&sent, "401", DIGEST).to_owned();
        world.send(DIGEST, &caller.ack(&challenge));
        let dialled = flow::dial(world, &with_credentials(&caller, &challenge), SOUTH);
        let asks = "WWW-Authenticate: Digest realm=\"south\", nonce=\"n1\", qop=\"auth\", \
                    algorithm=SHA-256\r\n";
        let sent = world.send(SOUTH, &reply(&dialled.invite, 401, "x", asks, ""));
        one(&sent, "ACK", SOUTH);
        let invite = one(&sent, "INVITE", SOUTH).to_owned();
        assert!(invite.contains("Authorization: Digest"), "{invite}");
        let call = flow::connect(world, flow::Dialled { invite, ..dialled }, "bob");
        call.hang_up(world);
        world.pass(Duration::from_secs(50));
    });
}

#[test]
fn a_call_that_is_cancelled() {
    assert_free("CANCEL", |world, name| {
        let caller = Caller::new(ASKED, name, "+4930123");
        let dialled = flow::dial(world, &caller, NORTH);
        world.send(NORTH, &reply(&dialled.invite, 180, "bob", "", ""));
        let sent = world.send(ASKED, &caller.cancel());
        let refusal = one(&sent, "487", ASKED).to_owned();
        one(&sent, "200", ASKED);
        let cancel = one(&sent, "CANCEL", NORTH).to_owned();
        world.send(ASKED, &caller.ack(&refusal));
        world.send(NORTH, &reply(&cancel, 200, "bob", "", ""));
        world.send(NORTH, &reply(&dialled.invite, 487, "bob", "", ""));
        world.record();
        world.pass(Duration::from_secs(50));
    });
}

#[test]
fn calls_that_nobody_takes() {
    assert_free("silence, refusal, retransmission", |world, name| {
        // Nobody answers: INVITE again and again, then the records.
        world.send(ASKED, &Caller::new(ASKED, name, "+4930123").invite());
        world.answer(Action::ConnectPstn(ConnectPstn::default()));
        world.pass(Duration::from_secs(45));
        world.record();
        world.pass(Duration::from_secs(50));
        // Not admitted, and no SIP at all.
        let stranger = Caller { address: "192.0.2.200:5060", ..Caller::new(ASKED, name, "+1") };
        one(&world.send(stranger.address, &stranger.invite()), "403", stranger.address);
        assert!(world.send(ASKED, "GET / HTTP/1.1\r\n\r\n").is_empty());
    });
}

fn rtp(sequence: u16, payload: u8) -> [u8; 172] {
    let mut packet = [0x55; 172];
    packet[0] = 0x80;
    packet[1] = payload;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&0xfeed_f00d_u32.to_be_bytes());
    packet
}

/// Sends one packet into a port; where it is forwarded to.
fn media(world: &mut World, from: SocketAddr, port: MediaPort, bytes: &mut [u8]) -> SocketAddr {
    let length = bytes.len();
    let mut burst = [Frame::new(from, Local::Media(port), bytes, length)];
    world.on(0, |shard, now, out, control| shard.receive(now, &mut burst, out, control));
    match burst[0].verdict {
        Verdict::Forward { to, .. } => to,
        Verdict::Drop => panic!("a packet is not relayed"),
    }
}

/// Port of the media line that the edge wrote.
fn media_port(message: &str) -> MediaPort {
    assert!(message.contains(&format!("c=IN IP4 {MEDIA}\r\n")), "{message}");
    let line = message.lines().find_map(|line| line.strip_prefix("m=audio "));
    let port = line.and_then(|line| line.split(' ').next()).expect("a media line");
    MediaPort { address: 0, port: port.parse().expect("a port") }
}

#[test]
fn ten_thousand_packets_both_ways_and_their_reports() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(ASKED, "media", "+4930123"));
    let (to_a, to_b) = (media_port(&call.ok), media_port(&call.invite));
    let (a, b) = (address("198.51.100.77:4000"), address("203.0.113.77:6000"));
    let mut reports = 0;
    (world.allocations, world.releases) = (0, 0);
    for sequence in 0..10_000_u16 {
        let mut packet = rtp(sequence, 0);
        assert_eq!(media(&mut world, a, to_a, &mut packet), b);
        let mut packet = rtp(sequence.wrapping_add(40_000), 0);
        assert_eq!(media(&mut world, b, to_b, &mut packet), a);
        world.now += Duration::from_millis(20);
        world.on(0, |shard, now, out, control| shard.expire(now, out, control));
        reports += world.out.contents().count();
        world.out.clear();
    }
    assert_eq!((world.allocations, world.releases), (0, 0), "media allocates");
    assert_eq!(world.count(Counter::RtpRelayed), 20_000);
    // 200 seconds, two legs, a report every five seconds on average.
    assert!((40..=200).contains(&reports), "{reports} RTCP reports");
    assert_eq!(world.count(Counter::RtcpSent), u64::try_from(reports).expect("few"));
    call.hang_up(&mut world);
    world.assert_clean();
}
