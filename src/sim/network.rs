//! The network between hosts: datagrams that are lost, doubled, late or damaged, and streams that
//! arrive in pieces, are refused or break. Everything follows from the seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::queue::Queue;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// What the network does to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Datagrams lost, in a thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, in a thousand.
    pub duplication: u64,
    /// Datagrams with one byte changed, in a thousand.
    pub corruption: u64,
    /// Least time on the way.
    pub delay: Duration,
    /// What may come on top, drawn for each packet, so that packets overtake each other.
    pub jitter: Duration,
    /// Stream connections that are refused, in a thousand.
    pub refused: u64,
    /// Stream writes upon which the connection breaks, in a thousand.
    pub reset: u64,
}

impl Conditions {
    /// A good local network.
    pub const CALM: Self = Self {
        loss: 0,
        duplication: 0,
        corruption: 0,
        delay: Duration::from_micros(200),
        jitter: Duration::ZERO,
        refused: 0,
        reset: 0,
    };
}

/// A stream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub u64);

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Who connected.
    Opener,
    /// Who accepted.
    Acceptor,
}

impl End {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// What arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A datagram.
    Datagram {
        /// Source address as the receiver sees it.
        from: SocketAddr,
        /// Where it arrives.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A connection stands, seen by who accepts it.
    Accepted {
        /// Which.
        connection: Connection,
        /// Who connected.
        from: SocketAddr,
        /// Who accepts.
        to: SocketAddr,
    },
    /// A piece of a stream.
    Segment {
        /// Which connection.
        connection: Connection,
        /// Which end receives it.
        end: End,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The connection is gone, or never came to be, as this end learns now.
    Closed {
        /// Which.
        connection: Connection,
        /// Which end learns it.
        end: End,
    },
}

#[derive(Debug)]
struct Stream {
    from: SocketAddr,
    to: SocketAddr,
    /// When the last byte towards each end arrives: streams keep their order.
    last: [Instant; 2],
    open: bool,
}

/// How often in a row the same bytes may be lost: what is repeated often enough gets through, so
/// that a lost call is a fault of somebody and never mere bad luck.
const SAME_LOST_MAX: u8 = 2;
/// Distinct datagrams whose losses are remembered.
const LOSSES_MAX: usize = 4096;
/// Packets on their way at one time.
const PACKETS_MAX: usize = 200_000;

/// The network.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    conditions: Conditions,
    queue: Queue<Delivery>,
    cuts: Vec<(IpAddr, IpAddr)>,
    streams: BTreeMap<Connection, Stream>,
    losses: BTreeMap<u64, u8>,
    connections: u64,
    datagrams: u64,
}

impl Network {
    /// A network under `conditions`.
    pub const fn new(rng: Rng, conditions: Conditions) -> Self {
        Self {
            rng,
            conditions,
            queue: Queue::new(PACKETS_MAX),
            cuts: Vec::new(),
            streams: BTreeMap::new(),
            losses: BTreeMap::new(),
            connections: 0,
            datagrams: 0,
        }
    }

    /// Changes the weather.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Cuts two hosts off from each other: datagrams vanish, streams stall no longer than that
    /// and break.
    pub fn cut(&mut self, a: IpAddr, b: IpAddr) {
        self.cuts.push((a, b));
    }

    /// Mends all cuts.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        self.datagrams += 1;
        if self.is_cut(from.ip(), to.ip()) || self.loses(to, &bytes) {
            return;
        }
        let conditions = self.conditions;
        if self.rng.chance(conditions.corruption, 1000) && !bytes.is_empty() {
            let at = usize::try_from(self.rng.below(bytes.len() as u64)).unwrap_or(0);
            bytes[at] ^= 1 << self.rng.below(8);
        }
        if self.rng.chance(conditions.duplication, 1000) {
            let at = now + self.way();
            self.file(at, Delivery::Datagram { from, to, bytes: bytes.clone() });
        }
        let at = now + self.way();
        self.file(at, Delivery::Datagram { from, to, bytes });
    }

    /// Connects. The connection may be written to at once; whether it stands shows later.
    pub fn connect(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) -> Connection {
        self.connections += 1;
        let connection = Connection(self.connections);
        let refused =
            self.is_cut(from.ip(), to.ip()) || self.rng.chance(self.conditions.refused, 1000);
        let at = now + self.way();
        let stream = Stream { from, to, last: [at, at], open: !refused };
        self.streams.insert(connection, stream);
        if refused {
            self.file(at, Delivery::Closed { connection, end: End::Opener });
        } else {
            self.file(at, Delivery::Accepted { connection, from, to });
        }
        connection
    }

    /// Writes to a connection from one of its ends. `false`: it is gone.
    pub fn write(&mut self, now: Instant, connection: Connection, from: End, bytes: &[u8]) -> bool {
        let Some(stream) = self.streams.get(&connection) else { return false };
        if !stream.open {
            return false;
        }
        let cut = self.is_cut(stream.from.ip(), stream.to.ip());
        if cut || self.rng.chance(self.conditions.reset, 1000) {
            self.close(now, connection);
            return false;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = (rest.len() as u64).min(1460);
            let length = usize::try_from(1 + self.rng.below(most)).unwrap_or(1);
            let (piece, after) = rest.split_at(length);
            rest = after;
            let way = self.way();
            let end = from.other();
            let Some(stream) = self.streams.get_mut(&connection) else { return false };
            let last = &mut stream.last[end as usize];
            *last = (*last).max(now + way);
            let at = *last;
            self.file(at, Delivery::Segment { connection, end, bytes: piece.to_vec() });
        }
        true
    }

    /// Breaks a connection; both ends learn of it.
    pub fn close(&mut self, now: Instant, connection: Connection) {
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        if !std::mem::take(&mut stream.open) {
            return;
        }
        let last = stream.last;
        for end in [End::Opener, End::Acceptor] {
            let at = (now + self.way()).max(last[end as usize]);
            self.file(at, Delivery::Closed { connection, end });
        }
    }

    /// Breaks every connection that ends at `host`, as its crash does.
    pub fn crash(&mut self, now: Instant, host: IpAddr) {
        let ends: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.from.ip() == host || stream.to.ip() == host)
            .map(|(connection, _)| *connection)
            .collect();
        for connection in ends {
            self.close(now, connection);
        }
    }

    /// The next thing that arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Delivery> {
        let delivery = self.queue.pop(now)?;
        if let Delivery::Closed { connection, end: End::Acceptor } = &delivery {
            self.streams.remove(connection);
        }
        Some(delivery)
    }

    /// When the next thing arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.queue.next_deadline()
    }

    /// Addresses of a connection: who opened it, who accepted it.
    pub fn ends(&self, connection: Connection) -> Option<(SocketAddr, SocketAddr)> {
        self.streams.get(&connection).map(|stream| (stream.from, stream.to))
    }

    /// Datagrams sent so far.
    pub const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    fn file(&mut self, at: Instant, delivery: Delivery) {
        // A network whose buffers are full loses packets; that is no error of anybody.
        let _ = self.queue.push(at, delivery);
    }

    fn way(&mut self) -> Duration {
        let jitter = u64::try_from(self.conditions.jitter.as_nanos()).unwrap_or(0);
        let extra = if jitter == 0 { 0 } else { self.rng.below(jitter) };
        self.conditions.delay + Duration::from_nanos(extra)
    }

    fn is_cut(&self, a: IpAddr, b: IpAddr) -> bool {
        self.cuts.iter().any(|cut| *cut == (a, b) || *cut == (b, a))
    }

    fn loses(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.conditions.loss == 0 {
            return false;
        }
        let mark = fingerprint(to, bytes);
        if !self.rng.chance(self.conditions.loss, 1000) {
            self.losses.remove(&mark);
            return false;
        }
        if self.losses.len() > LOSSES_MAX {
            self.losses.clear();
        }
        let lost = self.losses.entry(mark).or_insert(0);
        *lost += 1;
        if *lost > SAME_LOST_MAX {
            self.losses.remove(&mark);
            return false;
        }
        true
    }
}

fn fingerprint(to: SocketAddr, bytes: &[u8]) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = siphasher::sip::SipHasher13::new();
    to.hash(&mut hasher);
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    const ROUGH: Conditions = Conditions {
        loss: 100,
        duplication: 50,
        corruption: 20,
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(20),
        refused: 0,
        reset: 0,
    };

    fn run(seed: u64) -> Vec<Delivery> {
        let mut network = Network::new(Rng::from_number(seed), ROUGH);
        let (a, b) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        for i in 0..200u8 {
            network.send(Instant::from_nanos(u64::from(i) * 1_000_000), a, b, vec![i; 4]);
        }
        std::iter::from_fn(|| network.receive(Instant::FAR)).collect()
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        let count = run(3).len();
        assert!((150..220).contains(&count), "{count}");
    }

    #[test]
    fn the_same_bytes_get_through_at_the_third_try() {
        let always = Conditions { loss: 1000, ..Conditions::CALM };
        let mut network = Network::new(Rng::from_number(1), always);
        let (a, b) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        for _ in 0..3 {
            network.send(Instant::ZERO, a, b, vec![1]);
        }
        assert!(network.receive(Instant::FAR).is_some());
        assert!(network.receive(Instant::FAR).is_none());
    }

    #[test]
    fn streams_keep_order_in_pieces_and_break_for_both_ends() {
        let mut network = Network::new(Rng::from_number(1), ROUGH);
        let connection =
            network.connect(Instant::ZERO, address("10.0.0.1:1"), address("10.0.0.2:2"));
        let text: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        assert!(network.write(Instant::ZERO, connection, End::Opener, &text));
        network.close(Instant::ZERO, connection);
        assert!(!network.write(Instant::ZERO, connection, End::Opener, b"x"));
        let (mut whole, mut closed) = (Vec::new(), Vec::new());
        while let Some(delivery) = network.receive(Instant::FAR) {
            match delivery {
                Delivery::Segment { end, bytes, .. } => {
                    assert_eq!(end, End::Acceptor);
                    assert!(!closed.contains(&End::Acceptor), "bytes come before the end");
                    whole.extend(bytes);
                }
                Delivery::Closed { end, .. } => closed.push(end),
                Delivery::Accepted { .. } => assert!(whole.is_empty()),
                Delivery::Datagram { .. } => panic!("none was sent"),
            }
        }
        assert_eq!(whole, text);
        assert_eq!(closed.len(), 2);
    }

    #[test]
    fn cuts_swallow_and_heal() {
        let mut network = Network::new(Rng::from_number(1), Conditions::CALM);
        let (a, b) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        network.cut(b.ip(), a.ip());
        network.send(Instant::ZERO, a, b, vec![1]);
        assert!(network.receive(Instant::FAR).is_none());
        network.heal();
        network.send(Instant::ZERO, a, b, vec![1]);
        assert!(network.receive(Instant::FAR).is_some());
    }
}
