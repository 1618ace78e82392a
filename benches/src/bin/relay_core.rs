//! Nanoseconds to relay one RTP packet inside a shard: no sockets, frames in memory, legs in
//! rotation, so that with many legs each packet finds another leg's state cold.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant as WallInstant;

use carrick::base::counter::{Counter, Counters};
use carrick::base::limits::BURST_MAX;
use carrick::base::packet::{Frame, Local, MediaPort, Outbox, Route, Verdict};
use carrick::base::rng::Rng;
use carrick::base::time::{Duration, Instant};
use carrick::media::leg::{Direction, Learning, Negotiated, PayloadMap, PayloadType, RelayConfig};
use carrick::media::ports::MediaAddress;
use carrick::media::relay::Relay;
use carrick::wire::rtp::Rewrite;

const PACKET_BYTES: usize = 172;
const PACKETS: usize = 4_000_000;

struct NoOutbox;

impl Outbox for NoOutbox {
    fn send(&mut self, _: Route, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        true
    }
    fn open(&mut self, _: MediaPort) -> bool {
        true
    }
    fn close(&mut self, _: MediaPort) {}
}

struct World {
    relay: Relay,
    counters: std::sync::Arc<Counters>,
    /// Peer address and port of each leg, in an order that memory does not follow.
    legs: Vec<(SocketAddr, MediaPort)>,
}

fn main() {
    println!("{:>6} {:>12} {:>12}", "legs", "burst ns", "single ns");
    for legs in [100, 1_000, 5_000] {
        // The best of five: the machine may be shared.
        let best = |in_bursts| {
            (0..5).map(|_| measure(&mut world(legs), in_bursts)).fold(f64::MAX, f64::min)
        };
        println!("{legs:>6} {:>12.1} {:>12.1}", best(true), best(false));
    }
}

fn world(legs: usize) -> World {
    let counters = Counters::shared();
    let config = RelayConfig {
        addresses: ["192.0.2.1".parse().expect("address")].into_iter().collect(),
        ports: (10_000, 59_999),
        legs_max: legs,
        quarantine: Duration::from_secs(30),
        learning_window: Duration::from_secs(5),
    };
    let now = Instant::ZERO;
    let mut rng = Rng::from_number(1);
    let mut relay = Relay::new(config, rng.fork(), now, counters.clone());
    let mut map = PayloadMap::default();
    assert!(map.insert(0, 0) && map.insert(101, 101));
    let mut peers = Vec::new();
    for call in 0..legs / 2 {
        let pair = [0, 1].map(|side| {
            let key = relay.allocate(now, MediaAddress::Ipv4, &mut NoOutbox).expect("ports");
            let port = 10_000 + u16::try_from(call * 2 + side).expect("small");
            let peer = SocketAddr::from(([198, 51, 100, 7], port));
            let types =
                [(0, 8000), (101, 8000)].map(|(number, clock)| PayloadType { number, clock });
            let agreed = Negotiated {
                remote_rtp: peer,
                remote_rtcp: None,
                rtcp_mux: false,
                receive: types.into_iter().collect(),
                direction: Direction::BOTH,
                learning: Learning::SignalledOnly,
            };
            assert!(relay.negotiate(now, key, &agreed));
            peers.push((peer, relay.ports(key).expect("alive").rtp()));
            key
        });
        assert!(relay.connect(pair[0], pair[1], &map, &map));
    }
    for last in (1..peers.len()).rev() {
        let other = rng.below(last as u64 + 1);
        peers.swap(last, usize::try_from(other).expect("small"));
    }
    World { relay, counters, legs: peers }
}

/// Mean nanoseconds per packet; only the relay's own work is timed.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn measure(world: &mut World, in_bursts: bool) -> f64 {
    let mut buffers = vec![[0u8; 2048]; BURST_MAX];
    let mut sequences = vec![0u16; world.legs.len()];
    let (mut next, mut spent, mut relayed) = (0, std::time::Duration::ZERO, 0);
    for burst in 0..PACKETS / BURST_MAX {
        let now = Instant::from_nanos(burst as u64 * 1_000_000);
        let mut frames: Vec<Frame<'_>> = Vec::with_capacity(BURST_MAX);
        for buffer in &mut buffers {
            let (source, port) = world.legs[next];
            buffer[0] = 0x80;
            let sequence = sequences[next];
            sequences[next] = sequence.wrapping_add(1);
            let timestamp = u32::from(sequence) * 160;
            Rewrite { marker: false, payload_type: 0, sequence, timestamp, ssrc: 7 }.apply(buffer);
            frames.push(Frame::new(source, Local::Media(port), buffer, PACKET_BYTES));
            next = (next + 1) % world.legs.len();
        }
        let start = WallInstant::now();
        if in_bursts {
            world.relay.receive_burst(now, &mut frames);
        } else {
            for frame in &mut frames {
                world.relay.receive(now, frame);
            }
        }
        spent += start.elapsed();
        relayed += frames.iter().filter(|frame| frame.verdict != Verdict::Drop).count();
        black_box(&frames);
    }
    let all = PACKETS / BURST_MAX * BURST_MAX;
    assert_eq!(relayed, all, "every packet is relayed");
    assert_eq!(world.counters.read(Counter::RtpRelayed), all as u64);
    spent.as_nanos() as f64 / all as f64
}
