//! A ledger on a thread of its own, with group commit: what queued up while the last transaction
//! was written goes into the next one, so that a slow disk costs delay, not throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{BATCH_MAX, Counts, Entry, Ledger, OutboxRow, StoreError};
use crate::base::time::WallTime;
use crate::sys::log::{self, Level};

/// Jobs that may wait for the thread.
pub const QUEUE_MAX: usize = 8 * BATCH_MAX;

/// How long the thread waits before it tries a failed transaction again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What the thread says about an entry that is on disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The number under which it was submitted.
    pub ticket: u64,
    /// Whether it changed anything ([`Ledger::commit`]).
    pub changed: bool,
}

enum Job {
    Write { ticket: u64, entry: Box<Entry> },
    Due { now: WallTime, reply: oneshot::Sender<Result<Vec<OutboxRow>, StoreError>> },
    Counts { reply: oneshot::Sender<Result<Counts, StoreError>> },
}

/// The near end of the thread. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub struct Store {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    failures: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl Store {
    /// Starts the thread. `acknowledge` is called on it, once a transaction, in order.
    ///
    /// # Errors
    /// The host gives no thread.
    pub fn start<L: Ledger + Send + 'static>(
        ledger: L,
        acknowledge: impl FnMut(Vec<Ack>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let failures = Arc::new(AtomicU64::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            ledger,
            acknowledge,
            failures: Arc::clone(&failures),
            stopping: Arc::clone(&stopping),
        };
        let thread = std::thread::Builder::new()
            .name("carrick-store".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|error| StoreError(format!("no thread: {error}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), failures, stopping })
    }

    /// Queues an entry; an [`Ack`] with `ticket` follows when it is on disk. The entry comes back
    /// where the queue is full.
    ///
    /// # Errors
    /// The queue is full.
    pub fn submit(&self, ticket: u64, entry: Box<Entry>) -> Result<(), Box<Entry>> {
        let Some(jobs) = &self.jobs else {
            return Err(entry);
        };
        jobs.try_send(Job::Write { ticket, entry }).map_err(|error| match error {
            TrySendError::Full(Job::Write { entry, .. })
            | TrySendError::Disconnected(Job::Write { entry, .. }) => entry,
            _ => unreachable!("the job that was sent comes back"),
        })
    }

    /// [`Ledger::due`], after all that was queued before.
    ///
    /// # Errors
    /// The store cannot be read, or its queue is full.
    pub async fn due(&self, now: WallTime) -> Result<Vec<OutboxRow>, StoreError> {
        self.ask(|reply| Job::Due { now, reply }).await
    }

    /// [`Ledger::counts`].
    ///
    /// # Errors
    /// The store cannot be read, or its queue is full.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.ask(|reply| Job::Counts { reply }).await
    }

    /// Transactions that failed and were tried again.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job(reply)).is_ok());
        if !sent {
            return Err(StoreError("the queue is full".to_owned()));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError("the thread ended".to_owned())))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic on the thread was printed there; there is nothing left to save here.
            let _ = thread.join();
        }
    }
}

struct Writer<L, A> {
    ledger: L,
    acknowledge: A,
    failures: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl<L: Ledger, A: FnMut(Vec<Ack>)> Writer<L, A> {
    fn run(&mut self, queue: &Receiver<Job>) {
        let mut tickets = Vec::with_capacity(BATCH_MAX);
        let mut entries = Vec::with_capacity(BATCH_MAX);
        while let Ok(first) = queue.recv() {
            let mut next = Some(first);
            let mut question = None;
            while let Some(job) = next.take() {
                match job {
                    Job::Write { ticket, entry } => {
                        tickets.push(ticket);
                        entries.push(*entry);
                    }
                    other => question = Some(other),
                }
                if question.is_none() && entries.len() < BATCH_MAX {
                    next = queue.try_recv().ok();
                }
            }
            self.write(&tickets, &entries);
            tickets.clear();
            entries.clear();
            if let Some(question) = question {
                self.answer(question);
            }
        }
    }

    /// Commits the batch, however often it takes: what waits for it must not be told otherwise.
    /// Only at the end, with a disk that still refuses, is it given up.
    fn write(&mut self, tickets: &[u64], entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        loop {
            match self.ledger.commit(entries) {
                Ok(changed) => {
                    let acks = tickets.iter().zip(changed);
                    let acks = acks.map(|(ticket, changed)| Ack { ticket: *ticket, changed });
                    (self.acknowledge)(acks.collect());
                    return;
                }
                Err(error) => {
                    let failed = self.failures.fetch_add(1, Ordering::Relaxed);
                    if failed.is_multiple_of(50) {
                        log::line(
                            Level::Error,
                            &format!("{error}; the records are kept in memory and retried"),
                        );
                    }
                    if self.stopping.load(Ordering::Relaxed) {
                        log::line(
                            Level::Error,
                            &format!("{} records could not be stored", entries.len()),
                        );
                        return;
                    }
                    std::thread::park_timeout(RETRY_AFTER);
                }
            }
        }
    }

    fn answer(&mut self, question: Job) {
        // An asker that went away needs no answer.
        match question {
            Job::Due { now, reply } => drop(reply.send(self.ledger.due(now))),
            Job::Counts { reply } => drop(reply.send(self.ledger.counts())),
            Job::Write { .. } => {}
        }
    }
}
