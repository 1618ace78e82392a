//! Control at work: joins the desk, the webhook client, the store and name look-ups. Thin glue;
//! what is decided is decided in the desk, what is kept is kept in the store.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::desk::stats::Histogram;
use super::desk::{Desk, Errand, ErrandId, Post, PostOutcome};
use super::dns::Dns;
use super::metrics::ControlFigures;
use super::store::thread::{Ack, Store};
use super::store::{Counts, Entry, Ledger, OutboxKey, OutboxRow, StoreError};
use super::webhook::Webhook;
use crate::base::id::{CallRef, ShardId};
use crate::base::time::{Duration, Instant, WallTime};
use crate::call::script::Host;
use crate::directory::Snapshot;
use crate::link::{ToControl, ToShard};

/// How often the store is asked for events whose time has come.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// How often the store is told that the edge is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How soon words are offered again to a shard whose ring was full.
const OFFER_AGAIN: Duration = Duration::from_millis(1);
/// Words for shards that may wait before no more are taken from them.
const WORDS_MAX: usize = 4096;
/// Commands that may wait.
const COMMANDS_MAX: usize = 64;

/// Reads both clocks.
pub type Clock = Box<dyn Fn() -> (Instant, WallTime) + Send>;

/// The near ends of the rings to and from all shards.
pub trait Shards {
    /// The next word of any shard; `None` when there will be no more. A pending answer keeps the
    /// context's waker and wakes it when there is a word.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<ToControl>>;

    /// Passes a word on, or gives it back when the shard's ring is full.
    #[expect(clippy::result_large_err, reason = "the caller keeps the word and tries again")]
    fn send(&mut self, shard: ShardId, word: ToShard) -> Result<(), ToShard>;

    /// How many shards there are.
    fn count(&self) -> u16;
}

/// What others ask of the service.
#[derive(Debug)]
enum Command {
    Publish(Snapshot),
    Drain(oneshot::Sender<()>),
    EndAll,
    Figures(oneshot::Sender<(ControlFigures, Snapshot)>),
    Stop,
}

/// A handle to the service for the rest of the program.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Puts a new snapshot in force, for control and all shards.
    pub async fn publish(&self, snapshot: Snapshot) {
        self.say(Command::Publish(snapshot)).await;
    }

    /// Has all shards take no new calls; done when no call is left.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        self.say(Command::Drain(done)).await;
        // A service that is gone has no calls either.
        let _ = drained.await;
    }

    /// Has all shards end their calls now.
    pub async fn end_all(&self) {
        self.say(Command::EndAll).await;
    }

    /// Figures for metrics and the snapshot in force; `None` where the service is gone.
    pub async fn figures(&self) -> Option<(ControlFigures, Snapshot)> {
        let (reply, figures) = oneshot::channel();
        self.say(Command::Figures(reply)).await;
        figures.await.ok()
    }

    /// Ends the service once all that it was told is on disk.
    pub async fn stop(&self) {
        self.say(Command::Stop).await;
    }

    async fn say(&self, command: Command) {
        // A service that is gone hears nothing; who needs an answer notices by its absence.
        let _ = self.commands.send(command).await;
    }
}

/// What finished in a task.
enum Done {
    Posted(ErrandId, PostOutcome),
    Resolved(ErrandId, Vec<std::net::SocketAddr>),
    Due(Result<Vec<OutboxRow>, StoreError>),
}

/// What follows when an entry is on disk.
struct Ticket {
    submitted: Instant,
    then: Then,
}

enum Then {
    Nothing,
    /// The shard is told, and the event is delivered.
    Ended(CallRef, Option<OutboxRow>),
    /// The event may be named by the store again.
    Settled(OutboxKey),
}

/// The service.
pub struct Service {
    desk: Desk,
    directory: Snapshot,
    webhook: Webhook,
    dns: Arc<Dns>,
    store: Arc<Store>,
    clock: Clock,
    acks: mpsc::UnboundedReceiver<Vec<Ack>>,
    commands: mpsc::Receiver<Command>,
    done: mpsc::UnboundedReceiver<Done>,
    done_in: mpsc::UnboundedSender<Done>,
    tasks: JoinSet<()>,
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    /// Entries that the store's queue had no room for.
    backlog: VecDeque<(u64, Box<Entry>)>,
    /// Words that a shard's ring had no room for.
    words: VecDeque<(ShardId, ToShard)>,
    due_asked: bool,
    /// Whether the last batch had events: there may be more as soon as one of them is settled.
    more_due: bool,
    /// Events whose fate is on disk, but which the batch that was asked for may still name.
    settled: Vec<OutboxKey>,
    drained: u16,
    draining: Vec<oneshot::Sender<()>>,
    store_times: Histogram,
    alive_at: Instant,
    stopping: bool,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("tickets", &self.tickets.len()).finish_non_exhaustive()
    }
}

impl Service {
    /// A service over a ledger that was recovered ([`Ledger::recover`]).
    ///
    /// # Errors
    /// The host gives no thread for the store.
    pub fn new(
        desk: Desk,
        directory: Snapshot,
        webhook: Webhook,
        dns: Arc<Dns>,
        ledger: impl Ledger + Send + 'static,
        clock: Clock,
    ) -> Result<(Self, Handle), StoreError> {
        let (acks_in, acks) = mpsc::unbounded_channel();
        let (done_in, done) = mpsc::unbounded_channel();
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        // Bounded by the store's own queue; a service that is gone needs no acknowledgement.
        let store = Store::start(ledger, move |batch| drop(acks_in.send(batch)))?;
        let service = Self {
            desk,
            directory,
            webhook,
            dns,
            store: Arc::new(store),
            clock,
            acks,
            commands,
            done,
            done_in,
            tasks: JoinSet::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            backlog: VecDeque::new(),
            words: VecDeque::new(),
            due_asked: false,
            more_due: false,
            settled: Vec::new(),
            drained: 0,
            draining: Vec::new(),
            store_times: Histogram::default(),
            alive_at: Instant::ZERO,
            stopping: false,
        };
        Ok((service, Handle { commands: commands_in }))
    }

    /// Serves until [`Handle::stop`] or until the shards are gone; then waits for the disk.
    pub async fn run(mut self, mut shards: impl Shards) {
        let mut due = tokio::time::interval(DUE_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut out = Vec::new();
        while !(self.stopping && self.tickets.is_empty()) {
            self.offer_again(&mut shards);
            let receiving = self.backlog.is_empty() && self.words.len() < WORDS_MAX;
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(batch) = self.acks.recv() => self.acknowledged(&batch, &mut out),
                Some(done) = self.done.recv() => self.finished(done, &mut out),
                Some(_) = self.tasks.join_next() => {}
                command = self.commands.recv(), if !self.stopping => match command {
                    Some(command) => self.command(command, &mut shards),
                    None => self.stopping = true,
                },
                word = poll_fn(|context| shards.poll_receive(context)), if receiving => {
                    match word {
                        Some(word) => self.hear(word, &mut out),
                        None => self.last_words(&mut shards).await,
                    }
                }
                () = tokio::time::sleep(wake) => {}
                _ = due.tick() => self.ask_what_is_due(),
            }
            let (now, wall) = (self.clock)();
            self.desk.expire(now, wall, &mut out);
            for errand in std::mem::take(&mut out) {
                self.run_errand(now, errand);
            }
        }
        self.tasks.shutdown().await;
    }

    /// The shards are gone: whatever they said is to reach the disk, and nothing else will come.
    async fn last_words(&mut self, shards: &mut impl Shards) {
        self.stopping = true;
        while !self.tickets.is_empty() {
            let Some(batch) = self.acks.recv().await else { return };
            self.acknowledged(&batch, &mut Vec::new());
            self.offer_again(shards);
        }
    }

    /// How long nothing needs to be done by itself.
    fn wake(&self) -> Duration {
        let (now, _) = (self.clock)();
        let deadline = self.desk.next_deadline().unwrap_or(Instant::FAR).since(now);
        let offer = if self.words.is_empty() { DUE_EVERY } else { OFFER_AGAIN };
        deadline.min(offer)
    }

    fn hear(&mut self, word: ToControl, out: &mut Vec<Errand>) {
        let (now, wall) = (self.clock)();
        match word {
            ToControl::Ask(ask) => self.desk.ask(now, wall, ask, out),
            ToControl::Answered(records) => {
                let entry = self.desk.answered(&records);
                self.keep(now, entry, Then::Nothing);
            }
            ToControl::Ended(records) => {
                let entry = self.desk.ended(wall, &records);
                let row = match &entry {
                    Entry::Ended { outbox, .. } => outbox.clone(),
                    _ => None,
                };
                self.keep(now, entry, Then::Ended(records.call, row));
            }
            // Freed here, where freeing may take its time.
            ToControl::Returned(snapshot) => drop(snapshot),
            ToControl::Drained(_) => {
                self.drained = self.drained.saturating_sub(1);
                if self.drained == 0 {
                    for done in self.draining.drain(..) {
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    fn command(&mut self, command: Command, shards: &mut impl Shards) {
        match command {
            Command::Publish(snapshot) => {
                self.desk.publish(Arc::clone(&snapshot));
                self.directory = Arc::clone(&snapshot);
                self.tell_all(shards, || ToShard::Publish(Arc::clone(&snapshot)));
            }
            Command::Drain(done) => {
                self.drained = shards.count();
                self.draining.push(done);
                self.tell_all(shards, || ToShard::Drain);
            }
            Command::EndAll => self.tell_all(shards, || ToShard::EndAll),
            Command::Figures(reply) => self.figures(reply),
            Command::Stop => self.stopping = true,
        }
    }

    fn run_errand(&mut self, now: Instant, errand: Errand) {
        match errand {
            Errand::Post(post) => self.post(now, post),
            Errand::Resolve { id, host, deadline } => self.resolve(now, id, host, deadline),
            Errand::Answer { shard, answer } => {
                self.words.push_back((shard, ToShard::Answer(*answer)));
            }
            Errand::Delivered(key) => self.keep(now, Entry::Delivered(key), Then::Settled(key)),
            Errand::Retry { key, attempts, at, why } => {
                let entry = Entry::Retry { key, attempts, next_at: at, why };
                self.keep(now, entry, Then::Settled(key));
            }
            Errand::Dead { key, why } => {
                self.keep(now, Entry::Dead { key, why }, Then::Settled(key));
            }
        }
    }

    fn post(&mut self, now: Instant, post: Post) {
        let (webhook, done) = (self.webhook.clone(), self.done_in.clone());
        let (id, left) = (post.id, post.deadline.since(now));
        self.tasks.spawn(async move {
            let outcome = webhook.post(post, left).await;
            // A service that is gone has nobody to tell.
            let _ = done.send(Done::Posted(id, outcome));
        });
    }

    fn resolve(&mut self, now: Instant, id: ErrandId, host: Host, deadline: Instant) {
        let (dns, done) = (Arc::clone(&self.dns), self.done_in.clone());
        let left = deadline.since(now);
        self.tasks.spawn(async move {
            let found = tokio::time::timeout(left, dns.sip(&host)).await;
            let _ = done.send(Done::Resolved(id, found.unwrap_or_default()));
        });
    }

    fn finished(&mut self, done: Done, out: &mut Vec<Errand>) {
        let (now, wall) = (self.clock)();
        match done {
            Done::Posted(id, outcome) => self.desk.posted(now, wall, id, outcome, out),
            Done::Resolved(id, addresses) => self.desk.resolved(now, id, &addresses, out),
            Done::Due(rows) => {
                self.due_asked = false;
                // A store that cannot be read is seen in its own figures and asked again.
                let rows = rows.unwrap_or_default();
                self.more_due = !rows.is_empty();
                self.desk.due(now, wall, rows, out);
                for key in self.settled.drain(..) {
                    self.desk.settled(key);
                }
            }
        }
    }

    fn ask_what_is_due(&mut self) {
        let (now, wall) = (self.clock)();
        if now.since(self.alive_at) >= ALIVE_EVERY || self.alive_at == Instant::ZERO {
            self.alive_at = now;
            self.keep(now, Entry::Alive(wall), Then::Nothing);
        }
        if std::mem::replace(&mut self.due_asked, true) {
            return;
        }
        let (store, done) = (Arc::clone(&self.store), self.done_in.clone());
        self.tasks.spawn(async move {
            let rows = store.due(wall).await;
            let _ = done.send(Done::Due(rows));
        });
    }

    fn keep(&mut self, now: Instant, entry: Entry, then: Then) {
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, Ticket { submitted: now, then });
        self.backlog.push_back((self.next_ticket, Box::new(entry)));
        self.submit();
    }

    /// Hands to the store what it has room for, in order.
    fn submit(&mut self) {
        while let Some((ticket, entry)) = self.backlog.pop_front() {
            if let Err(entry) = self.store.submit(ticket, entry) {
                self.backlog.push_front((ticket, entry));
                return;
            }
        }
    }

    fn acknowledged(&mut self, batch: &[Ack], out: &mut Vec<Errand>) {
        let (now, wall) = (self.clock)();
        for ack in batch {
            let Some(ticket) = self.tickets.remove(&ack.ticket) else { continue };
            self.store_times.took(now.since(ticket.submitted));
            match ticket.then {
                Then::Nothing => {}
                Then::Settled(key) if self.due_asked => self.settled.push(key),
                Then::Settled(key) => {
                    self.desk.settled(key);
                    if std::mem::take(&mut self.more_due) {
                        self.ask_what_is_due();
                    }
                }
                Then::Ended(call, row) => {
                    self.words.push_back((call.shard, ToShard::Recorded(call)));
                    if let Some(row) = row.filter(|_| ack.changed) {
                        self.desk.due(now, wall, vec![row], out);
                    }
                }
            }
        }
        self.submit();
    }

    fn tell_all(&mut self, shards: &mut impl Shards, word: impl Fn() -> ToShard) {
        for shard in 0..shards.count() {
            self.words.push_back((ShardId(shard), word()));
        }
        self.offer_again(shards);
    }

    /// Offers every waiting word once. A shard whose ring is full holds up no other, and its own
    /// words keep their order.
    fn offer_again(&mut self, shards: &mut impl Shards) {
        let mut full = Vec::new();
        for _ in 0..self.words.len() {
            let Some((shard, word)) = self.words.pop_front() else { return };
            if full.contains(&shard) {
                self.words.push_back((shard, word));
            } else if let Err(word) = shards.send(shard, word) {
                full.push(shard);
                self.words.push_back((shard, word));
            }
        }
    }

    fn figures(&mut self, reply: oneshot::Sender<(ControlFigures, Snapshot)>) {
        let mut figures = ControlFigures {
            desk: self.desk.stats().clone(),
            errands: self.desk.in_flight(),
            dead_primaries: self.desk.dead_primaries().copied().collect(),
            store: Counts::default(),
            store_queue: self.tickets.len(),
            store_failures: self.store.failures(),
            store_times: self.store_times,
        };
        let (store, directory) = (Arc::clone(&self.store), Arc::clone(&self.directory));
        self.tasks.spawn(async move {
            // A scrape must not hang on a disk that does.
            let counts = tokio::time::timeout(Duration::from_millis(500), store.counts()).await;
            figures.store = counts.ok().and_then(Result::ok).unwrap_or_default();
            let _ = reply.send((figures, directory));
        });
    }
}

#[cfg(test)]
mod tests;
