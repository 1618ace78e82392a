use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::memory::MemoryLedger;
use super::sqlite::SqliteLedger;
use super::thread::Store;
use super::*;
use crate::base::bounded::clipped;
use crate::link::LegLetter;
use crate::link::cdr::{Cdr, ReleaseBy};

const IDENTITY: Identity<'_> = Identity { base_url: "https://edge.example", currency: "USD" };

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carrick-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("carrick.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(n: u8) -> CallId {
    CallId::new(1_000 + u64::from(n), [n; 10])
}

fn leg(n: u8, leg: LegLetter, answer: Option<u64>, end: u64) -> CdrRow {
    let cdr = Cdr {
        leg,
        trunk: clipped("office"),
        from: clipped("+12015555555"),
        to: clipped("sip:+12017777777@edge.example"),
        peer: "192.0.2.1:5060".parse().ok(),
        invite_at: WallTime(1_000 * u64::from(n)),
        answer_at: answer.map(WallTime),
        end_at: WallTime(end),
        reason: Reason::CallerHangup,
        release_by: ReleaseBy::Caller,
        ..Cdr::default()
    };
    CdrRow::new(id(n), "edge-1", None, cdr)
}

fn outbox(n: u8, application: &str, next_at: u64) -> OutboxRow {
    OutboxRow {
        key: OutboxKey { call_id: id(n), event: EventKind::Dice },
        application: application.to_owned(),
        body: vec![n, 0, 255],
        attempts: 0,
        created_at: WallTime(1),
        next_at: WallTime(next_at),
    }
}

fn answered(n: u8) -> Entry {
    let dice = LiveDice {
        application: "app".to_owned(),
        from: "12015555555".to_owned(),
        to: Dialled::Did(text("+12017777777").expect("fits")),
        cookies: vec![("k".to_owned(), "v".to_owned())],
    };
    let cdrs = vec![leg(n, LegLetter::A, Some(20_000), 0), leg(n, LegLetter::B, Some(20_000), 0)];
    Entry::Answered { call_id: id(n), cdrs, dice: Some(dice) }
}

fn ended(n: u8, application: &str) -> Entry {
    Entry::Ended {
        call_id: id(n),
        cdrs: vec![leg(n, LegLetter::A, Some(20_000), 25_000), leg(n, LegLetter::B, None, 25_000)],
        outbox: Some(outbox(n, application, 0)),
    }
}

/// Runs a test over both ledgers, so that the simulator's is held to the same meaning.
fn both(test: impl Fn(&mut dyn Ledger)) {
    test(&mut MemoryLedger::default());
    let folder = Folder::new();
    test(&mut SqliteLedger::open(&folder.file()).expect("opens"));
}

#[test]
fn a_call_is_stored_once_whoever_says_so() {
    both(|ledger| {
        let entries = [answered(1), ended(1, "app")];
        assert_eq!(ledger.commit(&entries).expect("commits"), [true, true]);
        let counts = ledger.counts().expect("counts");
        assert_eq!(counts, Counts { outbox: 1, dead: 0, live: 0 });
        let key = OutboxKey { call_id: id(1), event: EventKind::Dice };
        assert_eq!(ledger.commit(&[Entry::Delivered(key)]).expect("commits"), [true]);
        // Said again after the delivery: neither records nor event come back.
        let again = [ended(1, "app"), answered(1), Entry::Delivered(key)];
        assert_eq!(ledger.commit(&again).expect("commits"), [false, false, false]);
        assert_eq!(ledger.counts().expect("counts"), Counts::default());
        let rows = ledger.query(&CdrFilter::default()).expect("queries");
        let legs: Vec<_> = rows.iter().map(|row| row.cdr.leg).collect();
        assert_eq!(legs, [LegLetter::A, LegLetter::B]);
    });
}

#[test]
fn rows_read_back_as_they_were_written() {
    both(|ledger| {
        let mut row = leg(3, LegLetter::A, Some(4_000), 9_000);
        row.cdr.media.mos_in = Some(4.25);
        row.cdr.media.jitter_in_ms = 1.5;
        row.cdr.transport = crate::base::packet::Transport::Tls;
        row.cdr.note = clipped("it's a \"note\"; DROP TABLE cdr");
        let entry = Entry::Ended { call_id: id(3), cdrs: vec![row.clone()], outbox: None };
        ledger.commit(&[entry]).expect("commits");
        let found = ledger.query(&CdrFilter::default()).expect("queries");
        assert_eq!(found[0].fields(), row.fields());
        assert_eq!(ledger.counts().expect("counts").outbox, 0);
    });
}

#[test]
fn a_figure_that_is_no_number_costs_no_record() {
    both(|ledger| {
        let mut row = leg(3, LegLetter::A, None, 9_000);
        row.cdr.media.loss_in_percent = f32::NAN;
        row.cdr.media.mos_in = Some(f32::INFINITY);
        let entry = Entry::Ended { call_id: id(3), cdrs: vec![row], outbox: None };
        assert_eq!(ledger.commit(&[entry]).expect("commits"), [true]);
        assert_eq!(ledger.query(&CdrFilter::default()).expect("queries").len(), 1);
    });
}

#[test]
fn orphans_become_records_and_events_exactly_once() {
    both(|ledger| {
        ledger.commit(&[answered(1), answered(2), ended(2, "app")]).expect("commits");
        ledger.commit(&[Entry::Alive(WallTime(31_200)), Entry::Alive(WallTime(30))]).expect("ok");
        let recovered = ledger.recover(IDENTITY).expect("recovers");
        assert_eq!(recovered, Recovered { calls: 1, legs: 2 });
        assert_eq!(ledger.recover(IDENTITY).expect("recovers"), Recovered::default());
        let filter = CdrFilter { call_id: Some(id(1)), ..CdrFilter::default() };
        let rows = ledger.query(&filter).expect("queries");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].cdr.end_at, WallTime(31_200), "when it was last alive");
        assert_eq!(rows[0].cdr.reason, Reason::GeneralError);
        assert_eq!(rows[0].cdr.release_by, ReleaseBy::Edge);
        assert_eq!(rows[0].cdr.note.as_str(), "edge restarted during the call");
        let due = ledger.due(WallTime(u64::MAX >> 1)).expect("due");
        let dice = due.iter().find(|row| row.key.call_id == id(1)).expect("an event");
        let body: serde_json::Value = serde_json::from_slice(&dice.body).expect("JSON");
        assert_eq!(
            (&body["result"], &body["reason"]),
            (&"ANSWERED".into(), &"GENERALERROR".into())
        );
        assert_eq!(body["duration"], 12, "11.2 seconds, rounded up");
        assert_eq!(body["to"]["type"], "did");
        assert_eq!(body["cookies"][0]["value"], "v");
        // The shard's own word for the same call, had it been under way, changes nothing.
        assert_eq!(ledger.commit(&[ended(1, "app")]).expect("commits"), [false]);
    });
}

#[test]
fn retries_wait_and_the_dead_stay_visible() {
    both(|ledger| {
        ledger.commit(&[ended(1, "app")]).expect("commits");
        let key = OutboxKey { call_id: id(1), event: EventKind::Dice };
        let retry =
            Entry::Retry { key, attempts: 3, next_at: WallTime(500), why: "503".to_owned() };
        ledger.commit(&[retry]).expect("commits");
        assert!(ledger.due(WallTime(499)).expect("due").is_empty());
        let due = ledger.due(WallTime(500)).expect("due");
        assert_eq!((due[0].attempts, due[0].body.as_slice()), (3, &[1, 0, 255][..]));
        ledger.commit(&[Entry::Dead { key, why: "gave up".to_owned() }]).expect("commits");
        assert!(ledger.due(WallTime(9_999_999)).expect("due").is_empty());
        assert_eq!(ledger.counts().expect("counts"), Counts { outbox: 0, dead: 1, live: 0 });
    });
}

#[test]
fn one_backlog_hides_no_other_application() {
    both(|ledger| {
        let mut entries: Vec<_> = (1..=100).map(|n| ended(n, "busy")).collect();
        entries.push(ended(200, "quiet"));
        entries.push(ended(201, "also quiet"));
        ledger.commit(&entries).expect("commits");
        let due = ledger.due(WallTime(1)).expect("due");
        assert_eq!(due.len(), DUE_PER_APPLICATION_MAX as usize + 2);
        for quiet in ["quiet", "also quiet"] {
            assert!(due.iter().any(|row| row.application == quiet), "{quiet}");
        }
    });
}

#[test]
fn filters_agree_between_ledgers() {
    both(|ledger| {
        let mut other = leg(5, LegLetter::A, None, 6_000);
        other.cdr.trunk = clipped("else");
        other.cdr.from = clipped("+15550001111");
        other.cdr.to = clipped("+15550002222");
        let other = Entry::Ended { call_id: id(5), cdrs: vec![other], outbox: None };
        ledger.commit(&[ended(1, "app"), ended(2, "app"), other]).expect("commits");
        let mut count = |filter: CdrFilter| ledger.query(&filter).expect("queries").len();
        let all = CdrFilter::default();
        assert_eq!(count(all.clone()), 5);
        assert_eq!(count(CdrFilter { limit: Some(2), ..all.clone() }), 2);
        assert_eq!(count(CdrFilter { since: Some(WallTime(2_000)), ..all.clone() }), 3);
        assert_eq!(count(CdrFilter { until: Some(WallTime(2_000)), ..all.clone() }), 2);
        assert_eq!(count(CdrFilter { trunk: Some("else".into()), ..all.clone() }), 1);
        assert_eq!(count(CdrFilter { call_id: Some(id(2)), ..all.clone() }), 2);
        assert_eq!(count(CdrFilter { result: Some(Result_::Answered), ..all.clone() }), 2);
        for (number, rows) in [("+12017777777", 4), ("12015555555", 4), ("15550002222", 1)] {
            assert_eq!(count(CdrFilter { number: Some(number.into()), ..all.clone() }), rows);
        }
        assert_eq!(count(CdrFilter { number: Some("%".into()), ..all }), 0);
    });
}

#[test]
fn memory_loses_what_was_not_committed() {
    let mut ledger = MemoryLedger::default();
    ledger.stage(answered(1));
    assert!(ledger.sync()[0].1);
    ledger.stage(ended(1, "app"));
    ledger.crash();
    assert!(ledger.sync().is_empty());
    assert_eq!(ledger.recover(IDENTITY).expect("recovers").calls, 1);
    assert_eq!(ledger.cdrs().count(), 2);
    assert_eq!(ledger.outbox().count(), 1);
}

/// A transaction that was open when the process died leaves nothing; what was committed stays.
#[test]
fn sqlite_loses_only_what_was_not_committed() {
    let folder = Folder::new();
    {
        let mut ledger = SqliteLedger::open(&folder.file()).expect("opens");
        ledger.commit(&[answered(1), answered(2), ended(2, "app")]).expect("commits");
        // As a kill leaves it: the log is not checkpointed, a transaction is half written.
        let other = rusqlite::Connection::open(folder.file()).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE; DELETE FROM live_cdr; DELETE FROM cdr").expect("ok");
        std::mem::forget(ledger);
    }
    let mut ledger = SqliteLedger::open(&folder.file()).expect("opens again");
    let recovered = ledger.recover(IDENTITY).expect("recovers");
    assert_eq!(recovered, Recovered { calls: 1, legs: 2 });
    assert_eq!(ledger.query(&CdrFilter::default()).expect("queries").len(), 4);
    let mut reader = SqliteLedger::open_to_read(&folder.file()).expect("opens to read");
    assert_eq!(reader.query(&CdrFilter::default()).expect("queries").len(), 4);
    assert!(reader.commit(&[ended(9, "app")]).is_err());
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = Folder::new();
    drop(SqliteLedger::open(&folder.file()).expect("opens"));
    let connection = rusqlite::Connection::open(folder.file()).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("sets");
    drop(connection);
    let error = SqliteLedger::open(&folder.file()).expect_err("newer").to_string();
    assert!(error.contains("newer"), "{error}");
    assert!(SqliteLedger::open_to_read(&folder.file()).is_err());
}

/// Counts transactions, is slow by waiting for a word, and fails the first time.
struct Watched {
    inner: MemoryLedger,
    commits: Arc<AtomicU64>,
    gate: std::sync::mpsc::Receiver<()>,
    fail: bool,
}

impl Ledger for Watched {
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<bool>, StoreError> {
        if self.commits.fetch_add(1, Ordering::Relaxed) == 0 {
            self.gate.recv().expect("test is alive");
        }
        if std::mem::take(&mut self.fail) {
            return Err(StoreError("disk full".to_owned()));
        }
        self.inner.commit(entries)
    }
    fn recover(&mut self, identity: Identity<'_>) -> Result<Recovered, StoreError> {
        self.inner.recover(identity)
    }
    fn due(&mut self, now: WallTime) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.due(now)
    }
    fn query(&mut self, filter: &CdrFilter) -> Result<Vec<CdrRow>, StoreError> {
        self.inner.query(filter)
    }
    fn counts(&mut self) -> Result<Counts, StoreError> {
        self.inner.counts()
    }
}

#[test]
fn commits_in_groups_and_tries_again() {
    let commits = Arc::new(AtomicU64::new(0));
    let (open, gate) = channel();
    let watched =
        Watched { inner: MemoryLedger::default(), commits: Arc::clone(&commits), gate, fail: true };
    let (acks_in, acks) = channel();
    let store = Store::start(watched, move |batch| {
        for ack in batch {
            acks_in.send(ack).expect("test is alive");
        }
    })
    .expect("starts");
    for n in 1..=100u8 {
        store.submit(u64::from(n), Box::new(ended(n, "app"))).expect("room");
    }
    open.send(()).expect("thread is alive");
    let tickets: Vec<_> = (0..100).map(|_| acks.recv().expect("an ack").ticket).collect();
    assert_eq!(tickets, (1..=100).collect::<Vec<_>>());
    // The first batch failed once and was tried again; the rest went together.
    assert!(commits.load(Ordering::Relaxed) <= 4, "{commits:?}");
    assert_eq!(store.failures(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    assert_eq!(runtime.block_on(store.counts()).expect("counts").outbox, 100);
}

#[test]
fn dropping_the_store_writes_what_is_queued() {
    let folder = Folder::new();
    let ledger = SqliteLedger::open(&folder.file()).expect("opens");
    let store = Store::start(ledger, |_| {}).expect("starts");
    for n in 1..=50u8 {
        store.submit(u64::from(n), Box::new(ended(n, "app"))).expect("room");
    }
    drop(store);
    let mut reader = SqliteLedger::open_to_read(&folder.file()).expect("opens");
    assert_eq!(reader.counts().expect("counts").outbox, 50);
}
