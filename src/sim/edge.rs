//! The edge in the simulated world: its shards, its desk and its ledger, joined as the runtime
//! joins them, with queues instead of threads.

mod control;
mod port;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::backend::Backend;
use super::breaks::Break;
use super::log::Log;
use super::network::{Delivery, Network};
use super::options::Options;
use super::queue::Queue;
use super::scene;
use crate::base::bounded::{List, text};
use crate::base::counter::{Counter, Counters};
use crate::base::id::{CallId, CallRef, ShardId};
use crate::base::packet::{
    Frame, Local, MediaPort, Outbox, Route, SipPath, StreamNotice, Transport, Verdict,
};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, WallTime};
use crate::call::machine::Patience;
use crate::control::desk::{Desk, DeskConfig, ErrandId, PostOutcome};
use crate::control::event::Identity;
use crate::control::store::memory::MemoryLedger;
use crate::control::store::{Entry, Ledger as _};
use crate::crypto::digest::Algorithm;
use crate::directory::Snapshot;
use crate::directory::usage::Usage;
use crate::link::{ControlLink, ToShard};
use crate::shard::setup::{Listener, MediaAddress, Setup};
use crate::shard::{Census, Shard};
use crate::sip::timers::Timers;
use crate::wire::sip::call_key;
use port::{Link, Sent, Step};
use stream::Streams;

/// First media port of the edge.
const PORT_FIRST: u16 = 10_000;
/// Media ports of one shard.
const PORTS_PER_SHARD: u16 = 128;
/// Calls of one shard.
const CALLS_MAX: usize = 48;
/// Words under way inside the edge.
const WORDS_MAX: usize = 100_000;
/// Wall-clock time when the virtual clock starts.
pub const WALL_AT_ZERO: WallTime = WallTime(1_795_466_400_000);
/// How long a word takes from one thread to the other.
const HOP: Duration = Duration::from_micros(30);
/// How long the store gathers entries before it commits them.
const SYNC_AFTER: Duration = Duration::from_millis(4);
/// How often the outbox is looked at.
const OUTBOX_EVERY: Duration = Duration::from_millis(500);
/// How often the edge notes that it is alive while calls are up.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// A word on its way inside the edge.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few are under way at one time")]
enum Inner {
    ToShard(usize, ToShard),
    HandOver(usize, SipPath, Vec<u8>),
    Notice(usize, StreamNotice),
    Posted(ErrandId, PostOutcome),
    Resolved(ErrandId, Vec<SocketAddr>),
    Sync,
    Alive,
}

/// What the edge touches outside of itself.
#[derive(Debug)]
pub struct Outside<'w> {
    /// The network.
    pub network: &'w mut Network,
    /// The customer's backend.
    pub backend: &'w mut Backend,
    /// The log.
    pub log: &'w mut Log,
}

/// The edge.
pub struct Edge {
    shards: Vec<Shard>,
    counters: Vec<Arc<Counters>>,
    desk: Desk,
    /// What survives a crash.
    pub ledger: MemoryLedger,
    /// What is in use of the trunks' limits.
    pub usages: Vec<Arc<Usage>>,
    /// Media ports that are open.
    pub open: BTreeSet<MediaPort>,
    /// Shards that said that they drained.
    pub drained: BTreeSet<ShardId>,
    inner: Queue<Inner>,
    streams: Streams,
    recording: BTreeMap<CallId, CallRef>,
    syncing: bool,
    outbox_looked: Option<Instant>,
    rng: Rng,
    small_rings: bool,
    clogged: bool,
    breaks: Option<Break>,
    broken: bool,
    totals: BTreeMap<Counter, u64>,
}

impl Edge {
    /// An edge that starts at `now`.
    pub fn new(
        now: Instant,
        options: &Options,
        directory: Snapshot,
        usages: Vec<Arc<Usage>>,
        mut rng: Rng,
        breaks: Option<Break>,
    ) -> Self {
        let counters: Vec<_> = (0..options.shards).map(|_| Counters::shared()).collect();
        let shards = counters.iter().zip(0..).map(|(counters, id)| {
            let setup = setup(id, options.shards);
            Shard::new(setup, Arc::clone(&directory), rng.fork(), now, Arc::clone(counters))
        });
        let shards = shards.collect();
        let config = DeskConfig { node: "sim".to_owned(), ..DeskConfig::default() };
        Self {
            shards,
            counters,
            desk: Desk::new(config, directory, rng.fork()),
            ledger: MemoryLedger::default(),
            usages,
            open: BTreeSet::new(),
            drained: BTreeSet::new(),
            inner: Queue::new(WORDS_MAX),
            streams: Streams::default(),
            recording: BTreeMap::new(),
            syncing: false,
            outbox_looked: None,
            rng,
            small_rings: options.small_rings,
            clogged: options.clogged,
            breaks,
            broken: false,
            totals: BTreeMap::new(),
        }
    }

    /// Dies and comes back: all but the ledger is lost, and calls that were up are closed in it.
    pub fn crash(
        &mut self,
        now: Instant,
        options: &Options,
        directory: Snapshot,
        usages: Vec<Arc<Usage>>,
        log: &mut Log,
    ) {
        let rng = self.rng.fork();
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.crash();
        let totals = self.totals();
        *self = Self::new(now, options, directory, usages, rng, self.breaks);
        self.totals = totals;
        let identity = Identity { base_url: "http://localhost", currency: "USD" };
        match ledger.recover(identity) {
            Ok(found) => log.line(now, &format!("the edge is back and closed {found:?}")),
            Err(error) => log.violation(now, format!("the ledger cannot be recovered: {error}")),
        }
        self.ledger = ledger;
    }

    /// Publishes a new directory.
    pub fn publish(&mut self, now: Instant, directory: &Snapshot) {
        self.desk.publish(Arc::clone(directory));
        for shard in 0..self.shards.len() {
            self.tell(now, shard, ToShard::Publish(Arc::clone(directory)));
        }
    }

    /// Takes no new calls from now on.
    pub fn drain(&mut self, now: Instant) {
        for shard in 0..self.shards.len() {
            self.tell(now, shard, ToShard::Drain);
        }
    }

    /// Ends all calls.
    pub fn end_all(&mut self, now: Instant) {
        for shard in 0..self.shards.len() {
            self.tell(now, shard, ToShard::EndAll);
        }
    }

    /// Takes what the network delivers to the edge.
    pub fn deliver(&mut self, now: Instant, delivery: Delivery, outside: &mut Outside<'_>) {
        match delivery {
            Delivery::Datagram { from, to, bytes } => {
                self.datagram(now, (from, to), &bytes, outside);
            }
            stream => {
                for word in self.streams.take(now, stream, outside) {
                    self.stream_word(now, word);
                }
            }
        }
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Instant, outside: &mut Outside<'_>) {
        while let Some(word) = self.inner.pop(now) {
            self.inner_word(now, word, outside);
        }
        for shard in 0..self.shards.len() {
            if self.shards[shard].next_deadline().is_some_and(|deadline| deadline <= now) {
                self.with(now, shard, outside, |shard, out, link| shard.expire(now, out, link));
                if self.shards[shard].next_deadline().is_some_and(|deadline| deadline <= now) {
                    outside.log.violation(now, format!("shard {shard} leaves a deadline undone"));
                }
            }
        }
        if self.desk.next_deadline().is_some_and(|deadline| deadline <= now) {
            let mut errands = Vec::new();
            self.desk.expire(now, wall(now), &mut errands);
            self.run(now, errands, outside);
        }
        if self.outbox_due().is_some_and(|due| due <= now) {
            self.outbox_looked = Some(now);
            let rows = self.ledger.due(wall(now)).unwrap_or_default();
            let mut errands = Vec::new();
            self.desk.due(now, wall(now), rows, &mut errands);
            self.run(now, errands, outside);
        }
    }

    /// When [`Edge::expire`] is next due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let shards = self.shards.iter().filter_map(Shard::next_deadline);
        let others = [self.inner.next_deadline(), self.desk.next_deadline(), self.outbox_due()];
        shards.chain(others.into_iter().flatten()).min()
    }

    /// What all shards hold.
    pub fn census(&self) -> Vec<Census> {
        self.shards.iter().map(Shard::census).collect()
    }

    /// Whether the desk has anything under way.
    pub fn is_asking(&self) -> bool {
        self.desk.in_flight() > 0 || self.ledger.outbox().next().is_some()
    }

    /// What was counted, over all shards and lives.
    pub fn totals(&self) -> BTreeMap<Counter, u64> {
        let mut totals = self.totals.clone();
        for counter in Counter::ALL {
            let sum: u64 = self.counters.iter().map(|counters| counters.read(*counter)).sum();
            *totals.entry(*counter).or_default() += sum;
        }
        totals
    }

    /// The deliberate fault, the first time that there is occasion for it.
    pub(super) fn breaks_now(&mut self, which: Break) -> bool {
        let now = self.breaks == Some(which) && !self.broken;
        self.broken |= now;
        now
    }

    fn datagram(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        outside: &mut Outside<'_>,
    ) {
        let (shard, local) = if to == scene::edge_sip() {
            // Which shard's socket gets it is the kernel's secret.
            let shard = usize::try_from(self.rng.below(self.shards.len() as u64)).unwrap_or(0);
            (shard, Local::Sip(0))
        } else {
            let port = MediaPort { address: 0, port: to.port() };
            let index = to.port().checked_sub(PORT_FIRST).map(|above| above / PORTS_PER_SHARD);
            let Some(index) = index.filter(|_| self.open.contains(&port)) else { return };
            (usize::from(index), Local::Media(port))
        };
        let mut buffer = vec![0; bytes.len() + 64];
        buffer[..bytes.len()].copy_from_slice(bytes);
        let mut frames = [Frame::new(from, local, &mut buffer, bytes.len())];
        self.with(now, shard, outside, |shard, out, link| {
            shard.receive(now, &mut frames, out, link);
        });
        let [frame] = frames;
        if let Verdict::Forward { from, to } = frame.verdict {
            let mut bytes = frame.bytes().to_vec();
            if self.breaks == Some(Break::RepeatSequence) {
                bytes[3] &= 0xf0;
            }
            if self.breaks_now(Break::InjectMedia) {
                bytes[20] ^= 1;
            }
            self.send_media(now, from, to, bytes, outside);
        }
    }

    fn stream_word(&mut self, now: Instant, word: stream::Word) {
        use stream::Word;
        match word {
            Word::Message(path, bytes) => {
                let count = u16::try_from(self.shards.len()).unwrap_or(1);
                let owner = call_key::call_id_of(&bytes).map_or(0, |id| call_key::owner(id, count));
                let word = Inner::HandOver(usize::from(owner), path, bytes);
                self.file(now + HOP, word);
            }
            Word::Failed(shard, cookie) => {
                let notice = StreamNotice::Failed { cookie };
                self.file(now + HOP, Inner::Notice(shard, notice));
            }
            Word::Closed(flow) => {
                for shard in 0..self.shards.len() {
                    self.file(now + HOP, Inner::Notice(shard, StreamNotice::Closed { flow }));
                }
            }
        }
    }

    fn inner_word(&mut self, now: Instant, word: Inner, outside: &mut Outside<'_>) {
        let mut errands = Vec::new();
        match word {
            Inner::ToShard(shard, word) => {
                self.with(now, shard, outside, |shard, out, link| {
                    shard.command(now, word, out, link);
                });
            }
            Inner::HandOver(shard, path, bytes) => {
                self.with(now, shard, outside, |shard, out, link| {
                    shard.receive_message(now, path, &bytes, out, link);
                });
            }
            Inner::Notice(shard, notice) => {
                self.with(now, shard, outside, |shard, out, link| {
                    shard.notice(now, notice, out, link);
                });
            }
            Inner::Posted(id, outcome) => {
                self.desk.posted(now, wall(now), id, outcome, &mut errands);
            }
            Inner::Resolved(id, addresses) => {
                self.desk.resolved(now, id, &addresses, &mut errands);
            }
            Inner::Sync => self.sync(now),
            Inner::Alive => self.stage(now, Entry::Alive(wall(now))),
        }
        self.run(now, errands, outside);
    }

    /// Lets a shard work, then does what it said.
    fn with(
        &mut self,
        now: Instant,
        index: usize,
        outside: &mut Outside<'_>,
        work: impl FnOnce(&mut Shard, &mut dyn Outbox, &mut dyn ControlLink),
    ) {
        let Some(shard) = self.shards.get_mut(index) else { return };
        // A full ring is rare in life; here it is seen often.
        let full = self.small_rings && self.rng.chance(1, 10);
        let clogged = self.clogged.then(|| self.rng.fork());
        let mut sent = Sent::new(clogged);
        let mut link = Link::new(if full { 0 } else { usize::MAX });
        work(shard, &mut sent, &mut link);
        for step in sent.steps {
            match step {
                Step::Send(route, bytes) => self.send(now, index, route, bytes, outside),
                Step::Open(port) if !self.open.insert(port) => {
                    outside.log.violation(now, format!("media port {port:?} is opened twice"));
                }
                Step::Open(_) => {}
                Step::Close(port) => {
                    if !self.breaks_now(Break::LeakPort) && !self.open.remove(&port) {
                        outside.log.violation(now, format!("media port {port:?} is closed twice"));
                    }
                }
            }
        }
        for word in link.words {
            self.control_word(now, word, outside);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        shard: usize,
        route: Route,
        bytes: Vec<u8>,
        outside: &mut Outside<'_>,
    ) {
        match route {
            Route::Sip { path, cookie } => {
                self.send_sip(now, (shard, cookie), path, bytes, outside)
            }
            Route::Media { from, to } => {
                self.send_media(now, Local::Media(from), to, bytes, outside);
            }
            Route::HandOver { shard, path } => {
                self.file(now + HOP, Inner::HandOver(usize::from(shard.0), path, bytes));
            }
        }
    }

    fn send_sip(
        &mut self,
        now: Instant,
        (shard, cookie): (usize, u64),
        path: SipPath,
        bytes: Vec<u8>,
        outside: &mut Outside<'_>,
    ) {
        let Some(bytes) = self.damaged(bytes, path, now, outside) else { return };
        outside.log.edge_sends(now, path.peer, &bytes, false);
        if path.transport == Transport::Udp {
            outside.network.send(now, scene::edge_sip(), path.peer, bytes);
            return;
        }
        if let Some(word) = self.streams.send(now, (shard, cookie), path, &bytes, outside) {
            self.stream_word(now, word);
        }
    }

    /// The deliberate faults of signalling.
    fn damaged(
        &mut self,
        mut bytes: Vec<u8>,
        path: SipPath,
        now: Instant,
        outside: &mut Outside<'_>,
    ) -> Option<Vec<u8>> {
        let has = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
        let final_ok = bytes.starts_with(b"SIP/2.0 200");
        if self.breaks == Some(Break::SwallowBye) && final_ok && has(" BYE\r\n") {
            return None;
        }
        let invite_ok = final_ok && has(" INVITE\r\n") && path.transport == Transport::Udp;
        if invite_ok && self.breaks_now(Break::AnswerTwice) {
            let mut other = bytes.clone();
            other[8..11].copy_from_slice(b"486");
            outside.network.send(now, scene::edge_sip(), path.peer, other);
        }
        let unknown = path.peer.ip() == super::hostile::ADDRESS;
        if unknown && self.breaks == Some(Break::Amplify) {
            for _ in 0..8 {
                outside.log.edge_sends(now, path.peer, &bytes, false);
            }
        }
        if bytes.starts_with(b"INVITE") && self.breaks_now(Break::TellSecret) {
            bytes.extend_from_slice(scene::TRUNK_USER.1.as_bytes());
        }
        Some(bytes)
    }

    fn send_media(
        &mut self,
        now: Instant,
        from: Local,
        to: SocketAddr,
        bytes: Vec<u8>,
        outside: &mut Outside<'_>,
    ) {
        let Local::Media(port) = from else { return };
        let local = SocketAddr::new(scene::edge_media(), port.port);
        if !self.open.contains(&port) && self.breaks.is_none() {
            outside.log.violation(now, format!("media leaves from {port:?}, which is not open"));
        }
        outside.log.edge_sends(now, to, &bytes, true);
        if self.breaks_now(Break::MediaToStranger) {
            let stranger = SocketAddr::new(super::hostile::ADDRESS, 5060);
            outside.log.edge_sends(now, stranger, &bytes, true);
        }
        outside.network.send(now, local, to, bytes);
    }

    /// When the outbox should be looked at: when its first event is due, but not all the time.
    fn outbox_due(&self) -> Option<Instant> {
        let first = self.ledger.outbox().map(|row| row.next_at).min()?;
        let at = first.0.saturating_sub(WALL_AT_ZERO.0) * 1_000_000;
        let earliest = self.outbox_looked.map_or(Instant::ZERO, |at| at + OUTBOX_EVERY);
        Some(Instant::from_nanos(at).max(earliest))
    }

    fn tell(&mut self, now: Instant, shard: usize, word: ToShard) {
        self.file(now + HOP, Inner::ToShard(shard, word));
    }

    fn file(&mut self, at: Instant, word: Inner) {
        let filed = self.inner.push(at, word);
        assert!(filed.is_ok(), "the edge's words are bounded by its calls");
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// Wall-clock time at an instant.
pub fn wall(now: Instant) -> WallTime {
    WallTime(WALL_AT_ZERO.0 + now.as_millis())
}

fn setup(id: u16, shards: u16) -> Setup {
    let listener = |transport| Listener {
        transport,
        bound: scene::edge_sip(),
        advertised: text(scene::EDGE_SIP).unwrap_or_default(),
    };
    let media = MediaAddress { bound: scene::edge_media(), advertised: scene::edge_media() };
    let first = PORT_FIRST + id * PORTS_PER_SHARD;
    Setup {
        id: ShardId(id),
        shards,
        listeners: List::from_iter([Transport::Udp, Transport::Tcp].map(listener)),
        host: text(scene::EDGE_HOST).unwrap_or_default(),
        media: List::from_iter([media]),
        ports: (first, first + PORTS_PER_SHARD - 1),
        all_ports: (PORT_FIRST, PORT_FIRST + shards * PORTS_PER_SHARD - 1),
        quarantine: Duration::from_secs(2),
        digest: &[Algorithm::Sha256, Algorithm::Md5],
        calls_max: CALLS_MAX,
        timers: Timers::default(),
        patience: Patience::default(),
        wall_at_zero: WALL_AT_ZERO,
    }
}
