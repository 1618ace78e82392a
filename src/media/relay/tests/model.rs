//! The relay against a simple model, over hours of simulated calls on a bad network.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A sender: one RTP stream of Alice's or Carol's, packet by packet.
struct Talker {
    leg: LegKey,
    source: SocketAddr,
    ssrc: u32,
    first: u16,
    timestamp: u32,
    index: u64,
    /// A new SSRC is a new stream.
    stream: u32,
}

/// A packet on the network.
#[derive(Clone)]
struct Flying {
    at: Instant,
    talker: usize,
    stream: u32,
    index: u64,
    timestamp: u32,
    id: u64,
    bytes: Vec<u8>,
}

/// Talker, stream, and how often the listener was joined anew.
type Feed = (usize, u32, u32);

/// What the listener must get, told from what arrives.
#[derive(Default)]
struct Model {
    feed: Option<Feed>,
    /// Index of the first packet that was sent on of the feed, and its outgoing place.
    joined_at: u64,
    base: u64,
    base_timestamp: u32,
    /// What arrived of each stream.
    seen: BTreeMap<u32, BTreeSet<u64>>,
    /// Outgoing place (never wrapping) to packet id.
    sent: BTreeMap<u64, u64>,
    highest: Option<u64>,
    last_timestamp: u32,
    last_at: Instant,
    relayed: u64,
}

impl Model {
    /// Whether an arriving packet of a stream is news, and takes note of it.
    fn is_new(&mut self, flying: &Flying) -> bool {
        let seen = self.seen.entry(flying.stream).or_default();
        let top = seen.last().copied().unwrap_or(0);
        flying.index + 128 > top && seen.insert(flying.index)
    }

    /// The outgoing place of a packet that arrives, or `None` where it must be dropped.
    fn expect(&mut self, flying: &Flying, feed: Feed) -> Option<u64> {
        if !self.is_new(flying) {
            return None;
        }
        if self.feed != Some(feed) {
            self.feed = Some(feed);
            self.joined_at = flying.index;
            self.base = self.highest.map_or(0, |highest| highest + 1);
        }
        (flying.index >= self.joined_at).then(|| self.base + flying.index - self.joined_at)
    }

    /// Checks what went out for a packet that had to go out at `place`.
    fn check(&mut self, now: Instant, flying: &Flying, place: u64, header: &Header, first: u16) {
        let sequence = u16::try_from((u64::from(first) + place) % 65_536).expect("16 bits");
        assert_eq!(header.sequence, sequence, "place {place}");
        assert_eq!(self.sent.insert(place, flying.id), None, "a number is used once");
        let joins = place == self.base;
        assert_eq!(header.marker, joins, "a join is marked, and nothing else");
        if joins {
            self.base_timestamp = header.timestamp.wrapping_sub(flying.timestamp);
            if self.highest.is_some() {
                let advance = header.timestamp.wrapping_sub(self.last_timestamp);
                let elapsed = u32::try_from((now - self.last_at).as_millis()).expect("short") * 8;
                assert_eq!(advance, elapsed.max(160), "time goes on as it went by");
            }
        }
        let expected = flying.timestamp.wrapping_add(self.base_timestamp);
        assert_eq!(header.timestamp, expected, "timestamps keep their distances");
        if self.highest.is_none_or(|highest| place > highest) {
            self.highest = Some(place);
            self.last_timestamp = header.timestamp;
            self.last_at = now;
        }
        self.relayed += 1;
    }
}

struct World {
    edge: Edge,
    rng: Rng,
    talkers: [Talker; 2],
    speaking: usize,
    joins: u32,
    in_flight: Vec<Flying>,
    model: Model,
    first: Option<Header>,
    next_id: u64,
    streams: u32,
    sprayed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut edge = Edge::new(seed);
        let mut rng = Rng::from_number(seed ^ 0xabcd);
        let carol = edge.relay.allocate(edge.now, MediaAddress::Ipv4, &mut edge.out);
        let carol = carol.expect("room");
        edge.relay.negotiate(edge.now, carol, &agreed("192.0.2.30:7000"));
        let mut talker = |leg, source, stream| Talker {
            leg,
            source: address(source),
            ssrc: bits(&mut rng),
            first: sequence(&mut rng),
            // Close enough to the end that hours pass it.
            timestamp: u32::MAX - bits(&mut rng) % 10_000_000,
            index: 1 << 20,
            stream,
        };
        let talkers = [talker(edge.alice, ALICE, 0), talker(carol, "192.0.2.30:7000", 1)];
        Self {
            edge,
            rng,
            talkers,
            speaking: 0,
            joins: 0,
            in_flight: Vec::new(),
            model: Model::default(),
            first: None,
            next_id: 0,
            streams: 2,
            sprayed: 0,
        }
    }

    /// Both talkers speak a packet each; the network loses, repeats and delays.
    fn speak(&mut self) {
        for index in 0..2 {
            let talker = &mut self.talkers[index];
            talker.index += 1;
            talker.timestamp = talker.timestamp.wrapping_add(160);
            let place = (u64::from(talker.first) + talker.index) % 65_536;
            let sequence = u16::try_from(place).expect("16 bits");
            let mut bytes = rtp(0, talker.ssrc, sequence, talker.timestamp);
            self.next_id += 1;
            bytes[20..28].copy_from_slice(&self.next_id.to_be_bytes());
            let copies = match self.rng.below(100) {
                0..3 => 0,
                3..5 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let late = match self.rng.below(200) {
                    0..20 => self.rng.below(200),
                    20 => 2_000 + self.rng.below(1_400),
                    _ => 0,
                };
                self.in_flight.push(Flying {
                    at: self.edge.now + Duration::from_millis(late),
                    talker: index,
                    stream: self.talkers[index].stream,
                    index: self.talkers[index].index,
                    timestamp: self.talkers[index].timestamp,
                    id: self.next_id,
                    bytes: bytes.clone(),
                });
            }
        }
    }

    /// A new SSRC, another partner, or a hold and resume.
    fn disturb(&mut self) {
        match self.rng.below(3) {
            0 => {
                let talker = &mut self.talkers[self.speaking];
                talker.ssrc = bits(&mut self.rng);
                talker.first = sequence(&mut self.rng);
                talker.timestamp = bits(&mut self.rng);
                talker.stream = self.streams;
                self.streams += 1;
                self.joins += 1;
            }
            1 => {
                self.speaking = 1 - self.speaking;
                let same = map(&[(0, 0)]);
                let partner = self.talkers[self.speaking].leg;
                assert!(self.edge.relay.connect(partner, self.edge.bob, &same, &same));
                self.joins += 1;
            }
            _ => {
                let mut hold = agreed(BOB);
                hold.direction.send = false;
                self.edge.relay.negotiate(self.edge.now, self.edge.bob, &hold);
                for _ in 0..self.rng.below(300) {
                    self.edge.wait(20);
                    self.arrive(true);
                    self.speak();
                }
                self.edge.relay.negotiate(self.edge.now, self.edge.bob, &agreed(BOB));
            }
        }
    }

    fn port(&self, talker: usize) -> MediaPort {
        self.edge.relay.ports(self.talkers[talker].leg).expect("alive").rtp()
    }

    fn arrive(&mut self, held: bool) {
        let now = self.edge.now;
        let mut due: Vec<Flying> =
            self.in_flight.extract_if(.., |flying| flying.at <= now).collect();
        due.sort_by_key(|flying| flying.at);
        for flying in due {
            let source = self.talkers[flying.talker].source;
            let port = self.port(flying.talker);
            self.spray(port);
            let got = self.edge.deliver(source, port, &flying.bytes);
            if held || flying.talker != self.speaking {
                assert_eq!(got, None, "nobody listens to this one");
                // After a packet that was not passed on, the stream is joined anew.
                let missed = self.model.is_new(&flying) && flying.talker == self.speaking;
                self.joins += u32::from(missed);
                continue;
            }
            let feed = (flying.talker, flying.stream, self.joins);
            let expected = self.model.expect(&flying, feed);
            assert_eq!(got.is_some(), expected.is_some(), "id {}", flying.id);
            let (Some((_, to, bytes)), Some(place)) = (got, expected) else {
                continue;
            };
            let header = Header::parse(&bytes).expect("RTP");
            let first = *self.first.get_or_insert(header);
            assert_eq!((to, header.ssrc), (address(BOB), first.ssrc));
            assert_eq!(bytes[20..28], flying.id.to_be_bytes());
            self.model.check(now, &flying, place, &header, first.sequence);
        }
    }

    /// A stranger's packet, made of what it may have guessed.
    fn spray(&mut self, port: MediaPort) {
        if self.rng.chance(1, 5) {
            let talker = &self.talkers[self.speaking];
            let bytes = rtp(0, talker.ssrc, sequence(&mut self.rng), talker.timestamp);
            assert_eq!(self.edge.deliver(address(MALLORY), port, &bytes), None);
            self.sprayed += 1;
        }
    }
}

fn bits(rng: &mut Rng) -> u32 {
    u32::try_from(rng.next_u64() >> 32).expect("32 bits")
}

fn sequence(rng: &mut Rng) -> u16 {
    u16::try_from(rng.below(65_536)).expect("16 bits")
}

fn low(place: u64) -> u16 {
    u16::try_from(place % 65_536).expect("16 bits")
}

fn run(seed: u64, packets: u64, disturbance_every: u64) {
    let mut world = World::new(seed);
    for _ in 0..packets {
        world.edge.wait(20);
        world.arrive(false);
        world.speak();
        if world.rng.chance(1, disturbance_every) {
            // Let the network drain, so that streams do not mix.
            for _ in 0..180 {
                world.edge.wait(20);
                world.arrive(false);
            }
            world.disturb();
        }
    }
    assert!(world.model.relayed > packets * 8 / 10, "seed {seed}: {}", world.model.relayed);
    let report = world.edge.relay.report(world.edge.now, world.edge.bob).expect("alive");
    assert_eq!(report.packets_out, world.model.relayed, "seed {seed}");
    assert_eq!(world.edge.counters.read(Counter::RtpStranger), world.sprayed);
}

#[test]
fn many_short_calls_on_a_bad_network() {
    for seed in 0..60 {
        println!("seed {seed}");
        run(seed, 2_000, 200);
    }
}

#[test]
fn hours_with_wraps_of_sequence_and_timestamp() {
    // Two hours without a pause: sequence numbers wrap five times, timestamps once.
    run(1_000, 360_000, u64::MAX);
}

#[test]
fn hours_of_transfers_and_holds() {
    run(1_001, 360_000, 2_000);
}

/// Two streams that come mixed from one source, as some peers do while they change over.
#[test]
fn mixed_streams_never_share_a_number() {
    for seed in 0..50 {
        let mut edge = Edge::new(seed);
        let mut rng = Rng::from_number(seed);
        let mut used = BTreeMap::new();
        let (mut highest, mut first) = (None, None);
        for n in 0..3_000u64 {
            edge.wait(rng.below(25));
            let sequence = u16::try_from((65_000 + n - rng.below(20)) % 65_536).expect("16 bits");
            let ssrc = 1 + bits(&mut rng) % 2;
            let mut packet = rtp(0, ssrc, sequence, bits(&mut rng));
            packet[20..28].copy_from_slice(&n.to_be_bytes());
            let Some(header) = edge.rtp(ALICE, edge.alice, &packet) else {
                continue;
            };
            let start = *first.get_or_insert(header.sequence);
            let near: u64 = highest.unwrap_or(1 << 16);
            let step = header.sequence.wrapping_sub(start).wrapping_sub(low(near)).cast_signed();
            let place = near.checked_add_signed(i64::from(step)).expect("near the highest");
            assert_eq!(used.insert(place, n), None, "seed {seed}: {place} twice");
            highest = Some(near.max(place));
        }
        assert!(used.len() > 2_000, "seed {seed}: {}", used.len());
    }
}
