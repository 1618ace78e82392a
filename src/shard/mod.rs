//! L5: one core's whole world, sans-IO. It is told the time, lent bursts and outboxes, and knows
//! no thread, socket or clock; the simulator runs the very same code.
//!
//! In: [`Shard::receive`], [`Shard::receive_message`], [`Shard::notice`], [`Shard::command`],
//! [`Shard::expire`]. Out: verdicts on frames, the outbox, the control link. When:
//! [`Shard::next_deadline`].
//!
//! Path: `runtime::turn` -> here -> `shard::ingress`, `media::relay`

mod admission;
mod answering;
mod dialling;
mod drain;
mod effects;
mod incoming;
mod ingress;
mod mark;
mod media;
mod outgoing;
mod request;
mod response;
pub mod setup;

use std::sync::Arc;

use crate::base::counter::{Counter, Counters};
use crate::base::packet::{Frame, Local, Outbox, SipPath, StreamNotice};
use crate::base::pool::{Key, Pool};
use crate::base::rng::Rng;
use crate::base::table::{HashKey, Index};
use crate::base::time::{Duration, Instant, WallTime};
use crate::base::wheel::Wheel;
use crate::call::machine::{Call, DEADLINES, Deadline};
use crate::directory::Snapshot;
use crate::link::cdr::LegLetter;
use crate::link::{ControlLink, ToControl, ToShard};
use crate::media::leg::RelayConfig;
use crate::media::relay::Relay;
use crate::sip::auth::{Authenticator, Budget};
use crate::sip::transaction::{Table, TableLimits};
use setup::Setup;

/// Server and client transactions for each call that may be up: an INVITE and a BYE on each leg.
/// They outlive their call by 32 seconds and are long gone where it talks longer, so what counts is
/// the pace of calls: with all places taken, three for each call suffice while calls last 24
/// seconds on average. A table that is full is a call refused.
pub const TRANSACTIONS_PER_CALL: usize = 4;
/// How long after an agreement the media source of a peer behind NAT may be learnt.
const LEARNING_WINDOW: Duration = Duration::from_secs(5);
/// Sources whose wrong passwords are counted at once.
const GUESSERS_MAX: usize = 4096;
/// Digest nonces in use that are remembered at once, at most.
const NONCES_MAX: usize = 65_536;
/// How soon a full ring to control is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// Transactions for what is no call: OPTIONS and refusals that are kept.
const TRANSACTIONS_BESIDE: usize = 256;

/// What a shard lends to an act while it works.
pub(crate) struct Turn<'t> {
    now: Instant,
    out: &'t mut dyn Outbox,
    control: &'t mut dyn ControlLink,
}

/// A shard.
pub struct Shard {
    setup: Setup,
    directory: Snapshot,
    rng: Rng,
    counters: Arc<Counters>,
    calls: Pool<Call>,
    /// Local tags of all legs, to the call and the leg.
    dialogs: Index<(Key, LegLetter)>,
    transactions: Table,
    relay: Relay,
    authenticator: Authenticator,
    /// Wrong passwords by source.
    guesses: Budget,
    hash_key: HashKey,
    wheel: Wheel<(Key, Deadline)>,
    /// Ended calls whose records did not fit the ring yet.
    unrecorded: usize,
    /// When words that the ring to control had no room for are tried again.
    retry_at: Option<Instant>,
    draining: bool,
    drained_told: bool,
}

/// How much of everything is in use; all zero (but the counters) when nothing is left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Calls, ending ones included.
    pub calls: usize,
    /// Dialogs filed.
    pub dialogs: usize,
    /// SIP transactions.
    pub transactions: usize,
    /// Media sessions.
    pub media_legs: usize,
    /// Call timers.
    pub timers: usize,
}

impl Shard {
    /// A shard that begins at `now`. All memory that it will use is reserved here.
    pub fn new(
        setup: Setup,
        directory: Snapshot,
        mut rng: Rng,
        now: Instant,
        counters: Arc<Counters>,
    ) -> Self {
        assert!(setup.calls_max <= mark::CALLS_MAX, "a mark can name every call");
        let hash = HashKey::new(&mut rng);
        let transactions = setup.calls_max * TRANSACTIONS_PER_CALL + TRANSACTIONS_BESIDE;
        let limits = TableLimits::new(transactions);
        let table = Table::new(limits, setup.timers, now, hash, Arc::clone(&counters));
        let config = RelayConfig {
            addresses: setup.media.iter().map(|address| address.bound).collect(),
            ports: setup.ports,
            legs_max: setup.calls_max * 2,
            quarantine: setup.quarantine,
            learning_window: LEARNING_WINDOW,
        };
        let relay = Relay::new(config, rng.fork(), now, Arc::clone(&counters));
        let nonces = setup.calls_max.clamp(1024, NONCES_MAX);
        let mut authenticator = Authenticator::new(&mut rng, setup.id, &setup.host, nonces, now);
        authenticator.set_algorithms(setup.digest);
        Self {
            calls: Pool::new(setup.calls_max),
            dialogs: Index::new(setup.calls_max * 2, hash),
            wheel: Wheel::new(setup.calls_max * DEADLINES, now),
            transactions: table,
            relay,
            authenticator,
            guesses: Budget::new(GUESSERS_MAX, hash, now),
            hash_key: hash,
            unrecorded: 0,
            retry_at: None,
            draining: false,
            drained_told: false,
            setup,
            directory,
            rng,
            counters,
        }
    }

    /// Handles a burst: media is relayed in place, SIP is acted upon.
    pub fn receive(
        &mut self,
        now: Instant,
        frames: &mut [Frame<'_>],
        out: &mut dyn Outbox,
        control: &mut dyn ControlLink,
    ) {
        self.relay.receive_burst(now, frames);
        for frame in frames.iter_mut() {
            if let Local::Sip(listener) = frame.local {
                let mut turn = Turn { now, out: &mut *out, control: &mut *control };
                self.datagram(&mut turn, listener, frame.source, frame.bytes());
            }
        }
    }

    /// Handles one whole SIP message from a stream, or a datagram that another shard handed over.
    pub fn receive_message(
        &mut self,
        now: Instant,
        path: SipPath,
        bytes: &[u8],
        out: &mut dyn Outbox,
        control: &mut dyn ControlLink,
    ) {
        self.message(&mut Turn { now, out, control }, path, bytes);
    }

    /// Takes word of a broken stream.
    pub fn notice(
        &mut self,
        now: Instant,
        notice: StreamNotice,
        out: &mut dyn Outbox,
        control: &mut dyn ControlLink,
    ) {
        let mut turn = Turn { now, out, control };
        if let StreamNotice::Failed { cookie } = notice
            && let Some(event) = self.transactions.stream_failed(now, cookie, turn.out)
        {
            self.transaction_event(&mut turn, event);
        }
    }

    /// Takes word from control.
    pub fn command(
        &mut self,
        now: Instant,
        word: ToShard,
        out: &mut dyn Outbox,
        control: &mut dyn ControlLink,
    ) {
        let mut turn = Turn { now, out, control };
        match word {
            ToShard::Answer(answer) => self.answer(&mut turn, &answer),
            ToShard::Recorded(call) => self.recorded(&mut turn, call),
            ToShard::Publish(directory) => {
                let old = std::mem::replace(&mut self.directory, directory);
                // A full ring only means that the old snapshot is freed here instead.
                let _ = turn.control.send(ToControl::Returned(old));
            }
            ToShard::Drain => self.drain(&mut turn),
            ToShard::EndAll => self.end_all(&mut turn),
        }
    }

    /// Does what is due by `now`.
    pub fn expire(&mut self, now: Instant, out: &mut dyn Outbox, control: &mut dyn ControlLink) {
        let mut turn = Turn { now, out, control };
        while let Some(event) = self.transactions.expire(now, turn.out) {
            self.transaction_event(&mut turn, event);
        }
        while let Some((key, deadline)) = self.wheel.expire(now) {
            self.deadline(&mut turn, key, deadline);
        }
        self.relay.expire(now, turn.out);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        self.record_late(&mut turn);
        self.tell_drained(&mut turn);
    }

    /// When [`Shard::expire`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        [
            self.transactions.next_deadline(),
            self.wheel.next_deadline(),
            self.relay.next_deadline(),
            self.retry_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What is in use.
    pub fn census(&self) -> Census {
        Census {
            calls: self.calls.len(),
            dialogs: self.dialogs.len(),
            transactions: self.transactions.len(),
            media_legs: self.relay.len(),
            timers: self.wheel.len(),
        }
    }

    /// The shard's counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn wall(&self, at: Instant) -> WallTime {
        WallTime(self.setup.wall_at_zero.0 + at.as_millis())
    }

    fn count(&self, counter: Counter) {
        self.counters.count(counter);
    }
}
