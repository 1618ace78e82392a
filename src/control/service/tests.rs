//! The service as a whole: real client, real disk, a real backend on this machine.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;
use crate::base::bounded::{List, Text, text};
use crate::base::id::CallId;
use crate::base::pool::Key;
use crate::base::rng::Rng;
use crate::control::cdr::CdrFilter;
use crate::control::desk::DeskConfig;
use crate::control::event::Identity;
use crate::control::store::sqlite::SqliteLedger;
use crate::control::webhook::WebhookConfig;
use crate::directory::{Application, Directory, Ha1};
use crate::link::ask::{Ace, Dialled};
use crate::link::cdr::{Reason, Result_};
use crate::link::svaml::{Action, Script};
use crate::link::{Answer, Ask, Cdr, Dice, Question, Records};
use crate::sys::clock;

/// Two shards as seen from control: words in, words out, and a ring of one word's room.
struct Rings {
    words: mpsc::UnboundedReceiver<ToControl>,
    said: mpsc::Sender<(ShardId, ToShard)>,
}

impl Shards for Rings {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<ToControl>> {
        self.words.poll_recv(context)
    }

    fn send(&mut self, shard: ShardId, word: ToShard) -> Result<(), ToShard> {
        self.said.try_send((shard, word)).map_err(|error| error.into_inner().1)
    }

    fn count(&self) -> u16 {
        2
    }
}

/// The far ends of the rings.
struct World {
    shards: mpsc::UnboundedSender<ToControl>,
    heard: mpsc::Receiver<(ShardId, ToShard)>,
    handle: Handle,
    run: tokio::task::JoinHandle<()>,
    file: PathBuf,
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("runtime").block_on(future)
}

fn fresh_file() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("carrick-service-{}-{number}.db", std::process::id());
    std::env::temp_dir().join(name)
}

fn world(url: &str, file: PathBuf) -> World {
    let application = Application {
        key: text("app").expect("fits"),
        secret: "BeIukql3pTKJ8RGL5zo0DA==".to_owned(),
        ha1: Ha1 { md5: [0; 32], sha256: [0; 64] },
        callback_primary: Some(url.to_owned()),
        callback_fallback: None,
    };
    let directory: Snapshot =
        Arc::new(Directory { applications: vec![application], ..Directory::default() });
    let config = DeskConfig { budget: Duration::from_millis(1500), ..DeskConfig::default() };
    let desk = Desk::new(config, Arc::clone(&directory), Rng::from_number(1));
    let dns = Arc::new(Dns::new(Rng::from_number(2)).0);
    let connect = Duration::from_millis(500);
    let webhook = WebhookConfig { connect, ..WebhookConfig::default() };
    let webhook = Webhook::new(&webhook, Arc::clone(&dns)).expect("builds");
    let mut ledger = SqliteLedger::open(&file).expect("opens");
    let identity = Identity { base_url: "http://localhost", currency: "USD" };
    ledger.recover(identity).expect("recovers");
    let clock: Clock = Box::new(|| (clock::now(), clock::wall()));
    let (service, handle) =
        Service::new(desk, directory, webhook, dns, ledger, clock).expect("starts");
    let (shards, words) = mpsc::unbounded_channel();
    let (said, heard) = mpsc::channel(1);
    let run = tokio::spawn(service.run(Rings { words, said }));
    World { shards, heard, handle, run, file }
}

impl World {
    async fn hear(&mut self) -> (ShardId, ToShard) {
        let word = tokio::time::timeout(Duration::from_secs(10), self.heard.recv()).await;
        word.expect("in time").expect("service is alive")
    }

    async fn answer(&mut self) -> Answer {
        match self.hear().await {
            (ShardId(1), ToShard::Answer(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn end(self) -> PathBuf {
        drop(self.shards);
        self.handle.stop().await;
        drop(self.heard);
        self.run.await.expect("service ends");
        self.file
    }
}

fn call(n: u64) -> CallRef {
    CallRef { shard: ShardId(1), key: Key::from_u64(n) }
}

fn ask(n: u64) -> ToControl {
    ToControl::Ask(Ask {
        call: call(n),
        sequence: 1,
        id: CallId::new(n, [0; 10]),
        application: text("app").expect("fits"),
        at: clock::wall(),
        question: Question::Ace(Ace { to: Text::new() }),
    })
}

fn records(n: u64) -> Records {
    let dice = Dice {
        application: text("app").expect("fits"),
        from: text("12015555555").expect("fits"),
        to: Dialled::Number(text("+12017777777").expect("fits")),
        result: Result_::Answered,
        reason: Reason::CallerHangup,
        duration: Some(3),
        at: clock::wall(),
    };
    let mut cdrs = List::new();
    cdrs.push(Cdr { invite_at: clock::wall(), ..Cdr::default() });
    Records { call: call(n), id: CallId::new(n, [0; 10]), cdrs, dice: Some(dice) }
}

/// A backend that notes what it was sent and answers with what it is given.
async fn backend(reply: &'static str, status: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let handler = move |body: String| async move {
        notes.lock().expect("lock").push(body);
        (axum::http::StatusCode::from_u16(status).expect("status"), reply)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let router = Router::new().route("/hook", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/hook"), seen)
}

#[test]
fn a_call_from_question_to_record_to_delivery() {
    run(async {
        let (url, seen) = backend(r#"{"action":{"name":"continue"}}"#, 200).await;
        let mut world = world(&url, fresh_file());
        world.shards.send(ask(7)).expect("service is alive");
        let answer = world.answer().await;
        assert_eq!((answer.call, answer.sequence), (call(7), 1));
        assert_eq!(answer.outcome, Ok(Script { action: Action::Continue }));
        world.shards.send(ToControl::Answered(records(7))).expect("service is alive");
        world.shards.send(ToControl::Ended(records(7))).expect("service is alive");
        match world.hear().await {
            (ShardId(1), ToShard::Recorded(recorded)) => assert_eq!(recorded, call(7)),
            other => panic!("{other:?}"),
        }
        // On disk by then, and delivered soon after.
        let mut reader = SqliteLedger::open_to_read(&world.file).expect("opens");
        assert_eq!(reader.query(&CdrFilter::default()).expect("queries").len(), 1);
        for _ in 0..200 {
            if reader.counts().expect("counts") == Counts::default() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(reader.counts().expect("counts"), Counts::default());
        let file = world.end().await;
        let bodies = seen.lock().expect("lock").clone();
        assert_eq!(bodies.len(), 2, "{bodies:?}");
        assert!(bodies[1].contains(r#""event":"dice""#) && bodies[1].contains(r#""duration":3"#));
        std::fs::remove_file(file).expect("removes");
    });
}

#[test]
fn events_outlive_the_process_and_a_backend_that_fails() {
    run(async {
        let (url, seen) = backend("", 503).await;
        let mut first = world(&url, fresh_file());
        first.shards.send(ToControl::Ended(records(1))).expect("service is alive");
        first.shards.send(ToControl::Answered(records(2))).expect("service is alive");
        assert!(matches!(first.hear().await, (_, ToShard::Recorded(_))));
        let file = first.end().await;
        assert!(!seen.lock().expect("lock").is_empty() || file.exists());
        // The next process finds one event that waits and one call that was lost.
        let (url, seen) = backend("", 200).await;
        let second = world(&url, file);
        for _ in 0..400 {
            if seen.lock().expect("lock").len() >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let file = second.end().await;
        let bodies = seen.lock().expect("lock").clone();
        assert_eq!(bodies.len(), 2, "{bodies:?}");
        assert!(bodies.iter().any(|body| body.contains("GENERALERROR")));
        let mut reader = SqliteLedger::open_to_read(&file).expect("opens");
        assert_eq!(reader.query(&CdrFilter::default()).expect("queries").len(), 2);
        std::fs::remove_file(file).expect("removes");
    });
}

#[test]
fn words_to_full_rings_keep_their_order() {
    run(async {
        let (url, _) = backend(r#"{"action":{"name":"continue"}}"#, 200).await;
        let mut world = world(&url, fresh_file());
        for n in 1..=100 {
            world.shards.send(ToControl::Ended(records(n))).expect("service is alive");
        }
        for n in 1..=100 {
            match world.hear().await {
                (_, ToShard::Recorded(recorded)) => assert_eq!(recorded, call(n)),
                other => panic!("{other:?}"),
            }
        }
        std::fs::remove_file(world.end().await).expect("removes");
    });
}

#[test]
fn draining_ends_when_every_shard_says_so() {
    run(async {
        let mut world = world("http://localhost:9/", fresh_file());
        let handle = world.handle.clone();
        let drain = tokio::spawn(async move { handle.drain().await });
        for shard in 0..2 {
            assert!(matches!(world.hear().await, (ShardId(s), ToShard::Drain) if s == shard));
        }
        world.shards.send(ToControl::Drained(ShardId(0))).expect("service is alive");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!drain.is_finished());
        world.shards.send(ToControl::Drained(ShardId(1))).expect("service is alive");
        drain.await.expect("drained");
        let (figures, directory) = world.handle.figures().await.expect("service is alive");
        assert_eq!((figures.store.live, directory.applications.len()), (0, 1));
        std::fs::remove_file(world.end().await).expect("removes");
    });
}
