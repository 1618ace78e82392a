//! A whole call's signalling through one shard, in memory: what a core could do if it did nothing
//! else, what a call allocates (nothing), and what memory is reserved for it.
//!
//! Calls go in step, sixty-four at a time, so that the clock is read once a burst: INVITE, 100, ICE
//! and its answer, INVITE, 180, 200, ACK, ACE and its answer, 200, ACK, BYE both ways, records, and
//! all timers until nothing of the call is left. Messages of the phones are made outside the
//! measured time; copying into and out of buffers is inside. The two kinds of call take turns,
//! so that a disturbance of the machine meets both; the median round counts. `--json` prints one
//! object.

#[path = "../../../tests/harness/mod.rs"]
mod harness;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use carrick::base::counter::Counters;
use carrick::base::packet::{Frame, Local, Route};
use carrick::base::rng::Rng;
use carrick::base::table::HashKey;
use carrick::base::time::{Duration, Instant};
use carrick::call::machine::Call;
use carrick::link::ask::{Answer, Question};
use carrick::link::svaml::{Action, ConnectPstn, Script};
use carrick::link::{ToControl, ToShard};
use carrick::media::leg::RelayConfig;
use carrick::media::relay::Relay;
use carrick::sip::auth::{Account, answer_challenge};
use carrick::sip::timers::Timers;
use carrick::sip::transaction::{Table, TableLimits};
use carrick::sys::alloc::CountingAllocator;
use carrick::sys::clock;
use carrick::wire::sip::{Framing, Message, Method};
use harness::flow::CALLEE;
use harness::phone::{ASKED, Caller, DIGEST, NORTH, reply, sdp};
use harness::{World, address};

/// Calls that go in step.
const CALLS: usize = 64;
/// Rounds of each kind that count.
const ROUNDS: usize = 150;
/// Bytes of state that a standing call may have: the promise.
const STANDING_BYTES_MAX: u64 = 20 * 1024;
/// Bytes that may be reserved for each call that a shard takes, room for its transactions included.
/// A ratchet: it may only fall.
const CALL_BYTES_MAX: u64 = 29 * 1024;

/// The counting allocator of the tests, with a sum of bytes.
struct Bytes;

static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Bytes = Bytes;

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
// SAFETY: every call goes to the counting allocator unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Bytes {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { CountingAllocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { CountingAllocator.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size.saturating_sub(layout.size()) as u64, Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { CountingAllocator.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { CountingAllocator.dealloc(block, layout) }
    }
}

/// The steps of a call, in order, as the report names them.
const STEPS: [&str; 11] = [
    "digest: INVITE, 401, ACK",
    "INVITE -> 100, ICE",
    "answer -> INVITE",
    "180 -> 180",
    "200 -> ACK, ACE",
    "answer -> 200",
    "ACK",
    "BYE -> BYE, records",
    "200",
    "recorded -> 200",
    "timers",
];

/// Nanoseconds of each step, of one call on average.
type Spent = [f64; STEPS.len()];

/// One shard, and buffers for a burst.
struct Bench {
    world: World,
    buffers: Vec<[u8; 4096]>,
    spent: Spent,
    round: usize,
}

impl Bench {
    fn new() -> Self {
        let world = World::with(harness::SETTINGS, 1, CALLS * 4);
        Self { world, buffers: vec![[0; 4096]; CALLS], spent: Spent::default(), round: 0 }
    }

    /// A burst of datagrams from one peer; what was sent to a peer, in order.
    fn burst(&mut self, step: usize, from: &str, texts: &[String], to: &str) -> Vec<String> {
        let source = address(from);
        let frames = self.buffers.iter_mut().zip(texts).map(|(buffer, text)| {
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Frame::new(source, Local::Sip(0), buffer, text.len())
        });
        let mut frames: Vec<_> = frames.collect();
        let spent = &mut self.spent[step];
        self.world.on(0, |shard, now, out, control| {
            let start = clock::now();
            shard.receive(now, &mut frames, out, control);
            *spent += nanoseconds(start);
        });
        self.sent(to)
    }

    /// Words of control; what was sent to a peer, in order.
    fn words(&mut self, step: usize, mut words: Vec<ToShard>, to: &str) -> Vec<String> {
        let spent = &mut self.spent[step];
        self.world.on(0, |shard, now, out, control| {
            let start = clock::now();
            for word in words.drain(..) {
                shard.command(now, word, out, control);
            }
            *spent += nanoseconds(start);
        });
        self.sent(to)
    }

    fn sent(&mut self, to: &str) -> Vec<String> {
        let to = address(to);
        let texts = self.world.out.contents().filter_map(|(route, bytes)| match route {
            Route::Sip { path, .. } if path.peer == to => {
                Some(String::from_utf8(bytes.to_vec()).expect("text"))
            }
            _ => None,
        });
        let texts = texts.collect();
        self.world.out.clear();
        texts
    }

    /// The answers to all questions that wait.
    fn answers(&mut self) -> Vec<ToShard> {
        let said = self.world.control.said.drain(..);
        let answers = said.filter_map(|word| {
            let ToControl::Ask(ask) = word else { return None };
            let action = match ask.question {
                Question::Ice(_) => Action::ConnectPstn(ConnectPstn::default()),
                Question::Ace(_) => Action::Continue,
            };
            let outcome = Ok(Script { action });
            let (call, sequence) = (ask.call, ask.sequence);
            Some(ToShard::Answer(Answer { call, sequence, outcome, took_ms: 3 }))
        });
        answers.collect()
    }

    /// One round of calls from INVITE to nothing left; nanoseconds a call and step.
    fn round(&mut self, from: &'static str) -> Spent {
        self.spent = Spent::default();
        self.round += 1;
        let name = |n| format!("call-{}-{n}", self.round);
        let callers = (0..CALLS).map(|n| Caller::new(from, &name(n), "+4930123"));
        let mut callers: Vec<_> = callers.collect();
        if from == DIGEST {
            let texts: Vec<_> = callers.iter().map(Caller::invite).collect();
            let challenges = self.burst(0, from, &texts, from);
            let acks = callers.iter().zip(&challenges).map(|(caller, text)| caller.ack(text));
            let acks: Vec<_> = acks.collect();
            self.burst(0, from, &acks, from);
            for (caller, challenge) in callers.iter_mut().zip(&challenges) {
                authorize(caller, challenge);
            }
        }
        let texts: Vec<_> = callers.iter().map(Caller::invite).collect();
        assert_eq!(self.burst(1, from, &texts, from).len(), CALLS, "100");
        let words = self.answers();
        let invites = self.words(2, words, NORTH);
        assert_eq!(invites.len(), CALLS, "INVITE");
        let texts: Vec<_> = invites.iter().map(|i| reply(i, 180, "bob", "", "")).collect();
        assert_eq!(self.burst(3, NORTH, &texts, from).len(), CALLS, "180");
        let body = sdp("203.0.113.77", 6000);
        let texts: Vec<_> = invites.iter().map(|i| reply(i, 200, "bob", "", &body)).collect();
        assert_eq!(self.burst(4, NORTH, &texts, CALLEE).len(), CALLS, "ACK");
        let words = self.answers();
        let oks = self.words(5, words, from);
        assert_eq!(oks.len(), CALLS, "200");
        self.world.control.said.clear();
        let acks: Vec<_> = callers.iter().zip(&oks).map(|(c, ok)| c.ack(ok)).collect();
        self.burst(6, from, &acks, from);
        self.hang_up(from, &callers, &oks);
        self.spent.map(|spent| spent / CALLS as f64)
    }

    fn hang_up(&mut self, from: &'static str, callers: &[Caller], oks: &[String]) {
        self.world.now += Duration::from_secs(3);
        let byes = callers.iter().zip(oks).map(|(c, ok)| c.inside("BYE", 30, ok, ""));
        let byes: Vec<_> = byes.collect();
        let theirs = self.burst(7, from, &byes, CALLEE);
        assert_eq!(theirs.len(), CALLS, "BYE");
        let texts: Vec<_> = theirs.iter().map(|bye| reply(bye, 200, "", "", "")).collect();
        self.burst(8, CALLEE, &texts, from);
        let said = self.world.control.said.drain(..);
        let recorded = said.filter_map(|word| match word {
            ToControl::Ended(records) => Some(ToShard::Recorded(records.call)),
            _ => None,
        });
        let recorded = recorded.collect();
        assert_eq!(self.words(9, recorded, from).len(), CALLS, "200");
        for _ in 0..100 {
            self.world.now += Duration::from_millis(500);
            let spent = &mut self.spent[10];
            self.world.on(0, |shard, now, out, control| {
                let start = clock::now();
                shard.expire(now, out, control);
                *spent += nanoseconds(start);
            });
        }
        self.world.out.clear();
        assert_eq!(self.world.shards[0].census(), carrick::shard::Census::default());
    }
}

fn authorize(caller: &mut Caller, challenge: &str) {
    let message = Message::parse(challenge.as_bytes(), Framing::Datagram).expect("SIP");
    let account = Account { username: "pbx", password: "Cleat-Hitch-1849", realm: None };
    let answer = answer_challenge(&message, Method::Invite, &caller.uri, &account, "0a4f113b");
    let value = answer.expect("a challenge that can be answered").value;
    caller.extra = format!("Authorization: {value}\r\n");
    caller.cseq += 1;
    caller.branch += "-again";
}

fn nanoseconds(start: Instant) -> f64 {
    clock::now().since(start).as_nanos() as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes reserved by what `make` makes.
fn reserved<T>(make: impl FnOnce() -> T) -> u64 {
    let before = BYTES.load(Relaxed);
    drop(std::hint::black_box(make()));
    BYTES.load(Relaxed) - before
}

/// Bytes that one more call costs, of what `make` makes for so many calls.
fn per_call<T>(make: impl Fn(usize) -> T) -> f64 {
    let (few, many) = (1024, 5120);
    (reserved(|| make(many)) - reserved(|| make(few))) as f64 / (many - few) as f64
}

/// Reserved bytes a call: in all, and named parts of it.
fn memory() -> (f64, [(&'static str, f64); 3]) {
    let settings = harness::directory(harness::SETTINGS);
    let now = Instant::ZERO;
    let counters = Counters::shared;
    let shard = |calls| {
        let setup = harness::setup(0, 1, calls);
        let rng = Rng::from_number(1);
        carrick::shard::Shard::new(setup, Arc::clone(&settings), rng, now, counters())
    };
    let table = |calls| {
        let limits = TableLimits::new(carrick::shard::TRANSACTIONS_PER_CALL * calls);
        let key = HashKey::new(&mut Rng::from_number(1));
        Table::new(limits, Timers::default(), now, key, counters())
    };
    let relay = |calls: usize| {
        let config = RelayConfig {
            addresses: std::iter::once([192, 0, 2, 2].into()).collect(),
            ports: (10_000, 59_999),
            legs_max: calls * 2,
            quarantine: Duration::from_secs(30),
            learning_window: Duration::from_secs(5),
        };
        Relay::new(config, Rng::from_number(1), now, counters())
    };
    let parts = [
        ("call", size_of::<Call>() as f64),
        ("transactions and copies", per_call(table)),
        ("media legs", per_call(relay)),
    ];
    (per_call(shard), parts)
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.round(ASKED);
        bench.round(DIGEST);
    }
    (bench.world.allocations, bench.world.releases) = (0, 0);
    let kinds = [("callbacks", ASKED), ("callbacks and digest", DIGEST)];
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (kind, (_, from)) in rounds.iter_mut().zip(kinds) {
            kind.push(bench.round(from));
        }
    }
    let (allocations, releases) = (bench.world.allocations, bench.world.releases);
    assert_eq!((allocations, releases), (0, 0), "a call allocates nothing");
    let (bytes, parts) = memory();
    let results = kinds.iter().zip(&rounds).map(|((name, _), rounds)| {
        let mut totals: Vec<f64> = rounds.iter().map(|spent| spent.iter().sum()).collect();
        let median = median(&mut totals);
        (*name, median, totals[totals.len() / 10])
    });
    let results: Vec<_> = results.collect();
    if json {
        let of = |n: usize| results[n].1;
        println!(
            "{{\"ns_per_call\":{:.0},\"calls_per_second_per_core\":{:.0},\
             \"ns_per_call_quietest_tenth\":{:.0},\"ns_per_call_with_digest\":{:.0},\"allocations_per_call\":0,\
             \"bytes_per_call\":{:.0},\"bytes_reserved_per_call\":{bytes:.0}}}",
            of(0),
            1e9 / of(0),
            results[0].2,
            of(1),
            standing(bytes, &parts)
        );
    } else {
        report(&results, &mut rounds, bytes, &parts);
    }
    assert!(bytes <= CALL_BYTES_MAX as f64, "{bytes} bytes a call are too many");
    let standing = standing(bytes, &parts);
    assert!(standing <= STANDING_BYTES_MAX as f64, "{standing} bytes a standing call are too many");
}

/// Bytes of a call whose transactions are over: they outlive what they did by half a minute, a call
/// outlives them by far.
fn standing(bytes: f64, parts: &[(&str, f64)]) -> f64 {
    let transactions = parts.iter().filter(|(name, _)| name.starts_with("transactions"));
    bytes - transactions.map(|(_, bytes)| bytes).sum::<f64>()
}

fn report(
    results: &[(&str, f64, f64)],
    rounds: &mut [Vec<Spent>; 2],
    bytes: f64,
    parts: &[(&str, f64)],
) {
    for ((name, total, quiet), rounds) in results.iter().zip(rounds) {
        println!("{name}: {total:.0} ns a call, {:.0} calls a second and core", 1e9 / total);
        println!("  {quiet:>7.0} ns  the quietest tenth of the rounds");
        for (step, label) in STEPS.iter().enumerate() {
            let mut values: Vec<f64> = rounds.iter().map(|spent| spent[step]).collect();
            println!("  {:>7.0} ns  {label}", median(&mut values));
        }
    }
    println!("allocations and frees: 0");
    println!("state of a standing call: {:.0} bytes", standing(bytes, parts));
    println!("reserved for each call, its transactions included: {bytes:.0} bytes");
    for (name, bytes) in parts {
        println!("  {bytes:>7.0}  {name}");
    }
    let rest = bytes - parts.iter().map(|(_, bytes)| bytes).sum::<f64>();
    println!("  {rest:>7.0}  dialogs, timers, nonces and tables of the rest");
}
