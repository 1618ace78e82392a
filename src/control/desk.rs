//! The desk: control's side of a question. A sans-IO machine: it is told the time and what
//! happened, and hands out [`Errand`]s for others to run ([`Desk::ask`], [`Desk::posted`],
//! [`Desk::resolved`], [`Desk::due`], [`Desk::expire`]; [`Desk::next_deadline`]).
//!
//! A question becomes a signed POST to the application's primary URL, then, when that fails, to
//! its fallback, all within one budget; the reply is read as SVAML; a host that it names is
//! resolved; then the shard is answered. Whatever fails, each question has exactly one answer.
//! There is no queue: applications share nothing here, so a dead backend delays only its own
//! calls, and beyond a bound of calls in flight these fail at once.

mod callback;
mod delivery;
mod errand;
mod health;
mod journal;
pub mod stats;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::base::id::{CallId, CallRef};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, WallTime};
use crate::call::script::{self, COOKIES_BYTES_MAX, Event, Parsed, ScriptError};
use crate::control::event::{self, Cookies, EventKind, Identity};
use crate::control::store::{OutboxKey, OutboxRow};
use crate::directory::{Application, Name, Snapshot};
use crate::link::svaml::{Action, Script};
use crate::link::{Answer, Ask, Failure, Question};

use callback::Callback;
pub use errand::{Errand, ErrandId, Post, PostFailure, PostOutcome};
use health::Health;
use stats::{Outcome, Stats};

/// Calls whose cookies are kept at one time; further ones get none, and are counted.
pub const COOKIE_CALLS_MAX: usize = 100_000;

/// What the desk is set up with.
#[derive(Clone, Debug)]
pub struct DeskConfig {
    /// Time from question to answer, over all URLs and name look-ups.
    pub budget: Duration,
    /// Time for a connection to a backend to come about.
    pub connect: Duration,
    /// `https://host[:port]` of the REST interface, for `callResourceUrl`.
    pub base_url: String,
    /// ISO 4217 code in `userRate` and `debit`.
    pub currency: String,
    /// Name of this edge, in records.
    pub node: String,
    /// Questions of one application under way at one time; further ones fail at once.
    pub questions_max: usize,
    /// Deliveries of one application under way at one time; further ones wait in the store.
    pub deliveries_max: usize,
    /// Pause after the first failed delivery; it doubles with each further one.
    pub retry_first: Duration,
    /// Longest pause between deliveries.
    pub retry_max: Duration,
    /// Age at which an undelivered event is given up.
    pub give_up: Duration,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(5),
            connect: Duration::from_secs(1),
            base_url: "http://localhost".to_owned(),
            currency: "USD".to_owned(),
            node: "edge".to_owned(),
            questions_max: 512,
            deliveries_max: 8,
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(15 * 60),
            give_up: Duration::from_secs(3 * 24 * 3600),
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Desk {
    config: DeskConfig,
    directory: Snapshot,
    rng: Rng,
    next_id: u64,
    pending: BTreeMap<ErrandId, Pending>,
    deadlines: BTreeSet<(Instant, ErrandId)>,
    applications: BTreeMap<Name, ApplicationState>,
    delivering: BTreeSet<OutboxKey>,
    cookies: BTreeMap<CallId, Cookies>,
    stats: Stats,
}

/// What the desk knows of one application.
#[derive(Debug, Default)]
struct ApplicationState {
    questions: usize,
    deliveries: usize,
    notices: usize,
    health: Health,
}

/// An errand under way.
#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    stage: Stage,
    until: Instant,
}

/// What an errand is for.
#[derive(Debug)]
enum Purpose {
    Question(Waiting),
    Delivery(OutboxRow),
    /// Best effort, once.
    Notice,
}

/// Who waits for the answer.
#[derive(Debug)]
struct Waiting {
    call: CallRef,
    sequence: u16,
    id: CallId,
    event: Event,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few hundred at most, and most are posts")]
enum Stage {
    Posting(Callback),
    Resolving { application: Name, parsed: Parsed, took: Duration },
}

impl Desk {
    /// A desk with nothing under way.
    pub fn new(config: DeskConfig, directory: Snapshot, rng: Rng) -> Self {
        Self {
            config,
            directory,
            rng,
            next_id: 0,
            pending: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            applications: BTreeMap::new(),
            delivering: BTreeSet::new(),
            cookies: BTreeMap::new(),
            stats: Stats::default(),
        }
    }

    /// Takes a new snapshot. A changed primary URL starts with a clean record.
    pub fn publish(&mut self, directory: Snapshot) {
        let before = std::mem::replace(&mut self.directory, directory);
        self.applications.retain(|key, state| {
            let (old, new) = (before.application(key), self.directory.application(key));
            let primary = |a: Option<&Application>| a.and_then(|a| a.callback_primary.clone());
            if primary(old) != primary(new) {
                state.health = Health::default();
            }
            new.is_some() || state.questions + state.deliveries + state.notices > 0
        });
    }

    /// Takes a question.
    pub fn ask(&mut self, now: Instant, wall: WallTime, ask: Ask, out: &mut Vec<Errand>) {
        let empty = Cookies::new();
        let cookies = self.cookies.get(&ask.id).unwrap_or(&empty);
        let identity = self.identity();
        let (kind, event, body) = match &ask.question {
            Question::Ice(ice) => {
                let body = event::ice(identity, ask.id, ask.at, &ask.application, ice, cookies);
                (EventKind::Ice, Event::Ice, body)
            }
            Question::Ace(_) => {
                let body = event::ace(ask.id, ask.at, &ask.application, cookies);
                (EventKind::Ace, Event::Ace, body)
            }
        };
        let waiting = Waiting { call: ask.call, sequence: ask.sequence, id: ask.id, event };
        let Some(urls) = self.urls(now, &ask.application) else {
            self.stats.count(kind, Outcome::NoCallback);
            self.answer(waiting, Err(Failure::NoCallback), Duration::ZERO, out);
            return;
        };
        let state = self.applications.entry(ask.application).or_default();
        if state.questions >= self.config.questions_max {
            self.stats.count(kind, Outcome::Limited);
            self.answer(waiting, Err(Failure::Unreachable), Duration::ZERO, out);
            return;
        }
        state.questions += 1;
        let callback = Callback::new(now, ask.application, kind, body, urls, self.config.budget);
        self.post(now, wall, Purpose::Question(waiting), callback, out);
    }

    /// Takes the outcome of a [`Post`]. One that comes after its deadline is ignored.
    pub fn posted(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: ErrandId,
        outcome: PostOutcome,
        out: &mut Vec<Errand>,
    ) {
        let Some((purpose, callback)) = self.take_post(id) else {
            self.stats.late += 1;
            return;
        };
        self.concluded(now, wall, purpose, callback, outcome, out);
    }

    /// Takes the addresses of a host, in the order to try; none where it does not resolve.
    pub fn resolved(
        &mut self,
        _now: Instant,
        id: ErrandId,
        addresses: &[SocketAddr],
        out: &mut Vec<Errand>,
    ) {
        let is_resolving = |pending: &Pending| matches!(pending.stage, Stage::Resolving { .. });
        if !self.pending.get(&id).is_some_and(is_resolving) {
            self.stats.late += 1;
            return;
        }
        let Some(pending) = self.remove(id) else { return };
        let (Purpose::Question(waiting), Stage::Resolving { application, mut parsed, took }) =
            (pending.purpose, pending.stage)
        else {
            return;
        };
        if let Action::ConnectSip(connect) = &mut parsed.script.action {
            connect.targets = addresses.iter().copied().take(connect.targets.capacity()).collect();
        }
        if addresses.is_empty() {
            self.stats.unresolved += 1;
        }
        self.question_over(&application);
        self.answer(waiting, Ok(parsed.script), took, out);
    }

    /// Lets deadlines that have come take effect.
    pub fn expire(&mut self, now: Instant, wall: WallTime, out: &mut Vec<Errand>) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            match self.take_post(id) {
                Some((purpose, callback)) => {
                    let outcome = PostOutcome::Failed { why: PostFailure::Timeout };
                    self.concluded(now, wall, purpose, callback, outcome, out);
                }
                None => self.resolved(now, id, &[], out),
            }
        }
    }

    /// When [`Desk::expire`] is to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Figures for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Errands under way.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Applications whose primary URL is taken for dead, in order.
    pub fn dead_primaries(&self) -> impl Iterator<Item = &Name> {
        self.applications.iter().filter(|(_, state)| state.health.is_dead()).map(|(key, _)| key)
    }

    fn identity(&self) -> Identity<'_> {
        Identity { base_url: &self.config.base_url, currency: &self.config.currency }
    }

    /// Reads an answer and keeps its cookies. An empty answer to ACE is `continue`: many backends
    /// have nothing to say then.
    fn read(&mut self, waiting: &Waiting, body: &[u8]) -> Result<Parsed, ScriptError> {
        if waiting.event == Event::Ace && body.trim_ascii().is_empty() {
            let script = Script { action: Action::Continue };
            return Ok(Parsed { script, cookies: Vec::new(), resolve: None });
        }
        let parsed = script::parse(body, waiting.event)?;
        if parsed.cookies.is_empty() {
            return Ok(parsed);
        }
        let mut jar = self.cookies.get(&waiting.id).cloned().unwrap_or_default();
        for (key, value) in &parsed.cookies {
            match jar.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => old.clone_from(value),
                None => jar.push((key.clone(), value.clone())),
            }
        }
        if jar.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > COOKIES_BYTES_MAX
        {
            return Err(ScriptError {
                pointer: "/instructions".to_owned(),
                why: "cookies of one call have at most 1024 bytes in all".into(),
            });
        }
        if self.cookies.len() < COOKIE_CALLS_MAX || self.cookies.contains_key(&waiting.id) {
            self.cookies.insert(waiting.id, jar);
        } else {
            self.stats.cookies_dropped += 1;
        }
        Ok(parsed)
    }

    fn answer(
        &self,
        waiting: Waiting,
        outcome: Result<Script, Failure>,
        took: Duration,
        out: &mut Vec<Errand>,
    ) {
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let (call, sequence) = (waiting.call, waiting.sequence);
        let answer = Answer { call, sequence, outcome, took_ms };
        out.push(Errand::Answer { shard: call.shard, answer: Box::new(answer) });
    }

    fn question_over(&mut self, application: &Name) {
        if let Some(state) = self.applications.get_mut(application) {
            assert!(state.questions > 0, "a question ends once");
            state.questions -= 1;
        }
    }

    fn new_id(&mut self) -> ErrandId {
        self.next_id += 1;
        ErrandId(self.next_id)
    }

    fn insert(&mut self, id: ErrandId, pending: Pending) {
        self.deadlines.insert((pending.until, id));
        self.pending.insert(id, pending);
    }

    fn remove(&mut self, id: ErrandId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        let was_there = self.deadlines.remove(&(pending.until, id));
        assert!(was_there, "each errand has its deadline");
        Some(pending)
    }

    fn take_post(&mut self, id: ErrandId) -> Option<(Purpose, Callback)> {
        let is_post = |pending: &Pending| matches!(pending.stage, Stage::Posting(_));
        if !self.pending.get(&id).is_some_and(is_post) {
            return None;
        }
        match self.remove(id)? {
            Pending { purpose, stage: Stage::Posting(callback), .. } => Some((purpose, callback)),
            Pending { .. } => None,
        }
    }
}
