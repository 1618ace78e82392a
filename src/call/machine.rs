//! The call: two legs joined back to back, the script in force, and what it holds.
//!
//! Acts (`call::act`) move it and answer with [`Effect`]s; they know no socket, no clock and no
//! thread. Every call ends in exactly one state and gives back all that it held.

use std::sync::Arc;

use super::effect::{Effect, Effects};
use super::leg::{Leg, LegState};
use super::offer::{Bridge, Description, Numbers};
use super::outcome::{Ending, Outcome};
use super::policy::CallerId;
use super::route::Plan;
pub use super::state::{DEADLINES, Deadline, Patience, State};
use crate::base::bounded::{Text, clipped};
use crate::base::id::{CallId, CallRef, ShardId};
use crate::base::limits::CALL_SECONDS_MAX;
use crate::base::pool::Key;
use crate::base::time::{Duration, Instant};
use crate::base::wheel::TimerId;
use crate::directory::{Name, usage::Usage};
use crate::link::cdr::{Direction, LegLetter};
use crate::link::{PrivateHeaders, ask::Dialled};
use crate::sip::transaction::ServerKey;

/// Why a call was let go.
#[derive(Clone, Debug)]
pub struct Release {
    /// Who, why and with what status, in everybody's words.
    pub outcome: Outcome,
    /// A sentence for the operator.
    pub note: Text<128>,
    /// When.
    pub at: Instant,
}

/// An offer inside the dialog that waits for the other side's answer.
#[derive(Debug)]
pub struct Reoffer {
    /// Who asked.
    pub from: LegLetter,
    /// Its transaction.
    pub server: ServerKey,
    /// What it offered; `None`: it wants an offer from the other side.
    pub description: Option<Description>,
    /// The other side's 2xx carried an offer; the answer comes in the asker's ACK.
    pub awaits_ack: bool,
}

/// A request inside the dialog that was passed on and waits for its response.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    /// Who sent it.
    pub from: LegLetter,
    /// Its transaction.
    pub server: ServerKey,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Its name in callbacks, records and REST.
    pub id: CallId,
    /// Its place on its shard.
    pub key: CallRef,
    /// Where it stands.
    pub state: State,
    /// The caller's leg.
    pub a: Leg,
    /// The callee's leg.
    pub b: Leg,
    /// Which way it goes.
    pub direction: Direction,
    /// Application key.
    pub application: Name,
    /// Trunk, or carrier for a call to one of our numbers.
    pub trunk: Name,
    /// Whether the application is asked and told about the call.
    pub callbacks: bool,
    /// What was dialled.
    pub dialled: Dialled,
    /// Who may be shown as caller.
    pub caller_id: CallerId,
    /// Caller's number as events name it: without `+`, or `private`.
    pub cli: Text<64>,
    /// Private headers for the callee's leg.
    pub headers: PrivateHeaders,
    /// Targets to try, in order.
    pub plan: Plan,
    /// Index of the attempt under way.
    pub attempt: usize,
    /// What the two peers agreed on about media.
    pub bridge: Option<Bridge>,
    /// Payload numbers of the offer that was written from the one in force.
    pub numbers: Numbers,
    /// The same of an offer inside the dialog that is not answered yet.
    pub reoffer_numbers: Numbers,
    /// Max-Forwards for the callee's leg: one less than the caller's, so that loops end.
    pub max_forwards: u8,
    /// Who made the offer in force.
    pub offerer: LegLetter,
    /// An offer inside the dialog that is under way.
    pub reoffer: Option<Reoffer>,
    /// Another request inside the dialog that is under way.
    pub relayed: Option<Relayed>,
    /// A BYE whose 200 waits for the store.
    pub held_bye: Option<ServerKey>,
    /// Seconds that the call may last once answered.
    pub max_duration: u32,
    /// How long it may ring; the script may say less.
    pub ring: Option<Duration>,
    /// Number of the latest question.
    pub ask_sequence: u16,
    /// Milliseconds spent in callbacks so far.
    pub callback_ms: u32,
    /// Set once, when the call is let go.
    pub release: Option<Release>,
    /// The records wait for room in the ring to control.
    pub records_kept: bool,
    /// Whether the store has the records.
    pub recorded: bool,
    /// The trunk's limits, while the call counts against them.
    pub usage: Option<Arc<Usage>>,
    /// Timers that are set.
    pub timers: [Option<TimerId>; DEADLINES],
    /// Times that this call keeps to.
    pub patience: Patience,
}

/// What is known of a call when it comes in.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which way it goes.
    pub direction: Direction,
    /// Application key.
    pub application: Name,
    /// Trunk or carrier that it came from.
    pub trunk: Name,
    /// What was dialled.
    pub dialled: Dialled,
    /// Who may be shown as caller.
    pub caller_id: CallerId,
    /// Caller's number as events name it.
    pub cli: Text<64>,
    /// Max-Forwards for the callee's leg.
    pub max_forwards: u8,
    /// Times to keep to.
    pub patience: Patience,
}

impl Call {
    /// A call that has just come in on leg `a`. Its key is set once it has its slot.
    pub fn new(id: CallId, shard: ShardId, (a, b): (Leg, Leg), facts: Facts) -> Self {
        Self {
            id,
            key: CallRef { shard, key: Key::from_u64(0) },
            state: State::Asking,
            a,
            b,
            direction: facts.direction,
            application: facts.application,
            trunk: facts.trunk,
            callbacks: false,
            dialled: facts.dialled,
            caller_id: facts.caller_id,
            cli: facts.cli,
            headers: PrivateHeaders::default(),
            plan: Plan::default(),
            attempt: 0,
            bridge: None,
            numbers: Numbers::default(),
            reoffer_numbers: Numbers::default(),
            max_forwards: facts.max_forwards,
            offerer: LegLetter::A,
            reoffer: None,
            relayed: None,
            held_bye: None,
            max_duration: CALL_SECONDS_MAX,
            ring: None,
            ask_sequence: 0,
            callback_ms: 0,
            release: None,
            records_kept: false,
            recorded: false,
            usage: None,
            timers: [None; DEADLINES],
            patience: facts.patience,
        }
    }

    /// The leg of that letter.
    pub const fn leg(&self, letter: LegLetter) -> &Leg {
        match letter {
            LegLetter::A => &self.a,
            LegLetter::B => &self.b,
        }
    }

    /// The leg of that letter.
    pub const fn leg_mut(&mut self, letter: LegLetter) -> &mut Leg {
        match letter {
            LegLetter::A => &mut self.a,
            LegLetter::B => &mut self.b,
        }
    }

    /// Moves to the next state.
    pub fn become_state(&mut self, next: State) {
        assert!(self.state.may_become(next), "{:?} may not become {next:?}", self.state);
        self.state = next;
    }

    /// Whether the call is over but for its last messages.
    pub fn is_ending(&self) -> bool {
        self.state == State::Ending
    }

    /// Whether nothing is left to wait for.
    pub fn is_done(&self) -> bool {
        self.is_ending() && self.recorded && self.a.is_over() && self.b.is_over()
    }

    /// Lets the call go, once: ends both legs as their state asks for, gives back media and
    /// limits, and has the records written.
    pub fn let_go(&mut self, now: Instant, ending: Ending, note: &str, effects: &mut Effects) {
        if self.is_ending() {
            return;
        }
        let outcome = ending.outcome(self.b.answer_at.is_some());
        self.release = Some(Release { outcome, note: clipped(note), at: now });
        self.become_state(State::Ending);
        for deadline in [Deadline::Ask, Deadline::FirstResponse, Deadline::Ring, Deadline::Duration]
        {
            effects.push(Effect::StopTimer(deadline));
        }
        self.end_caller(outcome, effects);
        self.end_callee(effects);
        if let Some(reoffer) = self.reoffer.take()
            && !reoffer.awaits_ack
        {
            effects.push(Effect::RespondPlain { server: reoffer.server, status: 487 });
        }
        if let Some(relayed) = self.relayed.take() {
            effects.push(Effect::RespondPlain { server: relayed.server, status: 487 });
        }
        effects.push(Effect::Record);
        effects.push(Effect::StartTimer(Deadline::Record, now + self.patience.record));
        effects.push(Effect::StartTimer(Deadline::Linger, now + self.patience.linger));
    }

    fn end_caller(&mut self, outcome: Outcome, effects: &mut Effects) {
        match self.a.state {
            LegState::Idle | LegState::Over => self.a.state = LegState::Over,
            LegState::Inviting => {
                self.a.sip_code = outcome.status;
                self.a.state = LegState::Over;
                effects.push(Effect::Refuse);
            }
            // RFC 3261 §15: no BYE before the ACK has come.
            LegState::Answered => self.a.bye_after_ack = true,
            LegState::Confirmed => {
                self.a.state = LegState::Over;
                effects.push(Effect::Bye(LegLetter::A));
            }
            LegState::Cancelling => {}
        }
    }

    fn end_callee(&mut self, effects: &mut Effects) {
        match self.b.state {
            LegState::Idle | LegState::Over => self.b.state = LegState::Over,
            // Nothing went out yet.
            LegState::Inviting if self.b.invite_client.is_none() => self.b.state = LegState::Over,
            LegState::Inviting => {
                self.b.state = LegState::Cancelling;
                effects.push(Effect::Cancel(self.b.invite_client));
            }
            LegState::Answered => {
                self.b.state = LegState::Over;
                effects.push(Effect::Acknowledge);
                effects.push(Effect::Bye(LegLetter::B));
            }
            LegState::Confirmed => {
                self.b.state = LegState::Over;
                effects.push(Effect::Bye(LegLetter::B));
            }
            LegState::Cancelling => {}
        }
    }
}
