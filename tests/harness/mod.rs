//! Shards driven by hand: an outbox and a link to control in memory, a clock that the test sets,
//! and phones that are lines of text.

#![expect(dead_code, unreachable_pub, reason = "each binary that includes this uses a part of it")]

pub mod flow;
pub mod phone;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

pub use settings::{SETTINGS, directory};

use carrick::base::bounded::{List, clipped};
use carrick::base::counter::{Counter, Counters};
use carrick::base::id::ShardId;
use carrick::base::packet::{Frame, Local, MediaPort, Outbox, Route, SipPath, Transport, Verdict};
use carrick::base::rng::Rng;
use carrick::base::time::{Duration, Instant, WallTime};
use carrick::call::machine::Patience;
use carrick::crypto::digest::Algorithm;
use carrick::directory::Snapshot;
use carrick::link::ask::{Answer, Ask};
use carrick::link::svaml::{Action, Script};
use carrick::link::{ControlLink, Records, ToControl, ToShard};
use carrick::shard::Shard;
use carrick::shard::setup::{Listener, MediaAddress, Setup};
use carrick::sip::timers::Timers;
use carrick::sys::alloc::{allocations, releases};

/// The edge's SIP address.
pub const EDGE: &str = "192.0.2.1:5060";
/// The edge's media address.
pub const MEDIA: &str = "192.0.2.2";
/// First media port of the first shard.
pub const PORT_FIRST: u16 = 10_000;
/// Largest message that is kept.
const MESSAGE_BYTES: usize = 8 * 1024;
/// Messages that one call of a shard may send, at most.
const MESSAGES: usize = 1024;

/// A message that a shard sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub text: String,
}

struct Slot {
    route: Option<Route>,
    length: usize,
    buffer: Box<[u8]>,
}

/// An outbox that keeps what was sent. It reserves all its memory when it is made.
pub struct Mailbox {
    slots: Vec<Slot>,
    used: usize,
    /// Messages that it takes before it is full.
    pub room: usize,
    /// Media ports that are open.
    pub open: List<MediaPort, 4096>,
    /// Whether media ports are to be had.
    pub has_ports: bool,
}

impl Mailbox {
    fn new() -> Self {
        let slot =
            |_| Slot { route: None, length: 0, buffer: vec![0; MESSAGE_BYTES].into_boxed_slice() };
        Self {
            slots: (0..MESSAGES).map(slot).collect(),
            used: 0,
            room: MESSAGES,
            open: List::new(),
            has_ports: true,
        }
    }

    /// What lies in it, with routes, oldest first.
    pub fn contents(&self) -> impl Iterator<Item = (Route, &[u8])> {
        let used = self.slots.iter().take(self.used);
        used.filter_map(|slot| Some((slot.route?, &slot.buffer[..slot.length])))
    }

    /// Forgets what lies in it.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

impl Outbox for Mailbox {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        if self.used == self.room {
            return false;
        }
        let slot = &mut self.slots[self.used];
        slot.length = write(&mut slot.buffer);
        slot.route = Some(route);
        self.used += usize::from(slot.length > 0);
        true
    }

    fn open(&mut self, port: MediaPort) -> bool {
        if self.has_ports {
            assert!(!self.open.contains(&port), "{port:?} is opened twice");
            self.open.push(port);
        }
        self.has_ports
    }

    fn close(&mut self, port: MediaPort) {
        let at = self.open.iter().position(|open| *open == port);
        self.open.remove(at.expect("only open ports are closed"));
    }
}

/// Control's end of the rings, with room for so many words.
pub struct Words {
    /// What was said.
    pub said: Vec<ToControl>,
    /// How many words fit.
    pub room: usize,
}

impl ControlLink for Words {
    fn send(&mut self, word: ToControl) -> Result<(), ToControl> {
        if !self.has_room() {
            return Err(word);
        }
        self.said.push(word);
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.said.len() < self.room
    }
}

/// Shards, and all that is around them.
pub struct World {
    /// The time.
    pub now: Instant,
    /// The shards.
    pub shards: Vec<Shard>,
    /// What was sent.
    pub out: Mailbox,
    /// What was said to control.
    pub control: Words,
    /// The directory in force.
    pub directory: Snapshot,
    /// Allocations inside the shards so far.
    pub allocations: u64,
    /// Frees inside the shards so far.
    pub releases: u64,
    buffer: Vec<u8>,
}

impl World {
    /// One shard with the usual settings.
    pub fn new() -> Self {
        Self::with(SETTINGS, 1, 32)
    }

    /// So many shards with room for so many calls each.
    pub fn with(settings: &str, shards: u16, calls_max: usize) -> Self {
        let directory = directory(settings);
        let now = Instant::from_nanos(1_000_000_000);
        let mut rng = Rng::from_number(1);
        let make = |id| {
            let setup = setup(id, shards, calls_max);
            let snapshot = Arc::clone(&directory);
            Shard::new(setup, snapshot, rng.fork(), now, Counters::shared())
        };
        Self {
            now,
            shards: (0..shards).map(make).collect(),
            out: Mailbox::new(),
            control: Words { said: Vec::with_capacity(MESSAGES), room: MESSAGES },
            directory,
            allocations: 0,
            releases: 0,
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Lets a shard do something, and counts what it allocates and frees.
    pub fn on<R>(
        &mut self,
        shard: usize,
        work: impl FnOnce(&mut Shard, Instant, &mut Mailbox, &mut Words) -> R,
    ) -> R {
        let before = (allocations(), releases());
        let result = work(&mut self.shards[shard], self.now, &mut self.out, &mut self.control);
        self.allocations += allocations() - before.0;
        self.releases += releases() - before.1;
        result
    }

    /// A datagram arrives at a shard's SIP socket; nothing is taken from the outbox.
    pub fn arrive(&mut self, shard: usize, from: SocketAddr, bytes: &[u8]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer[..bytes.len()].copy_from_slice(bytes);
        let frame = Frame::new(from, Local::Sip(0), &mut buffer, bytes.len());
        let mut burst = [frame];
        self.on(shard, |shard, now, out, control| shard.receive(now, &mut burst, out, control));
        assert_eq!(burst[0].verdict, Verdict::Drop, "SIP is never forwarded as it came");
        self.buffer = buffer;
    }

    /// A datagram arrives at the first shard; what is sent because of it.
    pub fn send(&mut self, from: &str, text: &str) -> Vec<Sent> {
        self.arrive(0, address(from), text.as_bytes());
        self.take()
    }

    /// The SIP messages that were sent, oldest first; media messages are passed over.
    pub fn take(&mut self) -> Vec<Sent> {
        let sent = self.out.contents().filter_map(|(route, bytes)| match route {
            Route::Sip { path, .. } => {
                let text = String::from_utf8(bytes.to_vec()).expect("SIP of ours is text");
                Some(Sent { to: path.peer, text })
            }
            Route::Media { .. } | Route::HandOver { .. } => None,
        });
        let sent = sent.collect();
        self.out.clear();
        sent
    }

    /// Lets time pass in steps of 10 ms; what all shards send meanwhile.
    pub fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(10));
            for shard in 0..self.shards.len() {
                self.on(shard, |shard, now, out, control| shard.expire(now, out, control));
            }
            sent.append(&mut self.take());
        }
        sent
    }

    /// Control says something to the first shard; what is sent because of it.
    pub fn say(&mut self, word: ToShard) -> Vec<Sent> {
        self.on(0, |shard, now, out, control| shard.command(now, word, out, control));
        self.take()
    }

    /// The question that waits for an answer.
    pub fn question(&mut self) -> Ask {
        let at = self.control.said.iter().position(|word| matches!(word, ToControl::Ask(_)));
        match self.control.said.remove(at.expect("a question waits")) {
            ToControl::Ask(ask) => ask,
            _ => unreachable!("it was found to be one"),
        }
    }

    /// Answers the question that waits; what is sent because of it.
    pub fn answer(&mut self, action: Action) -> Vec<Sent> {
        let ask = self.question();
        let outcome = Ok(Script { action });
        let answer = Answer { call: ask.call, sequence: ask.sequence, outcome, took_ms: 3 };
        self.say(ToShard::Answer(answer))
    }

    /// The records of the call that ended, taken from what was said.
    pub fn records(&mut self) -> Option<Records> {
        let said = &mut self.control.said;
        let at = said.iter().position(|word| matches!(word, ToControl::Ended(_)))?;
        match said.remove(at) {
            ToControl::Ended(records) => Some(records),
            _ => None,
        }
    }

    /// Says that the records of the call that ended are on disk; the records, and what is sent.
    pub fn record(&mut self) -> (Records, Vec<Sent>) {
        let records = self.records().expect("a call ended");
        let sent = self.say(ToShard::Recorded(records.call));
        (records, sent)
    }

    /// What was counted on the first shard.
    pub fn count(&self, counter: Counter) -> u64 {
        self.shards[0].counters().read(counter)
    }

    /// Lets all timers run out and asserts that nothing is left behind.
    pub fn assert_clean(&mut self) {
        while let Some(records) = self.records() {
            self.say(ToShard::Recorded(records.call));
        }
        self.pass(Duration::from_secs(80));
        for shard in &self.shards {
            assert_eq!(shard.census(), carrick::shard::Census::default());
        }
        assert!(self.out.open.is_empty(), "media ports stay open: {:?}", self.out.open);
        for trunk in &self.directory.trunks {
            assert_eq!(trunk.usage.calls(), 0, "trunk {} counts calls that are over", trunk.name);
        }
    }
}

/// Settings of one shard of several.
pub fn setup(id: u16, shards: u16, calls_max: usize) -> Setup {
    let listener =
        Listener { transport: Transport::Udp, bound: address(EDGE), advertised: clipped(EDGE) };
    let media = MEDIA.parse().expect("an address");
    let ports = u16::try_from(calls_max * 8).unwrap_or(u16::MAX).min(50_000 / shards) & !1;
    let first = PORT_FIRST + id * ports;
    Setup {
        id: ShardId(id),
        shards,
        listeners: List::from_iter([listener]),
        host: clipped("edge.test"),
        media: List::from_iter([MediaAddress { bound: media, advertised: media }]),
        ports: (first, first + ports - 1),
        all_ports: (PORT_FIRST, PORT_FIRST + shards * ports - 1),
        quarantine: Duration::from_millis(100),
        digest: &[Algorithm::Sha256, Algorithm::Md5],
        calls_max,
        timers: Timers::default(),
        patience: Patience::default(),
        wall_at_zero: WallTime(1_795_466_400_000),
    }
}

/// An address, written.
pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The way that a datagram of this peer comes.
pub fn path(peer: &str) -> SipPath {
    SipPath { transport: Transport::Udp, listener: 0, peer: address(peer), flow: None }
}
