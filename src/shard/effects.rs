//! The only place that acts: what calls want is done here, in order.
//!
//! Path: `call::act` -> here -> `sip::transaction`, `media::relay`, control

use super::mark::{Mark, Purpose};
use super::request::ALLOW;
use super::{Shard, Turn};
use crate::base::bounded::{Text, clipped};
use crate::base::counter::Counter;
use crate::base::id::CallRef;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::call::act::{acknowledged, deadline, failed, hang_up, reoffer, script};
use crate::call::effect::{Effect, Effects};
use crate::call::machine::Deadline;
use crate::call::outcome::Ending;
use crate::call::records;
use crate::call::route::AttemptFailure;
use crate::link::ToControl;
use crate::link::ask::{Ace, Answer, Ask, Question};
use crate::link::cdr::LegLetter;
use crate::sip::transaction::{ServerKey, TransactionEvent};
use crate::wire::sip::{Framing, HeaderName, Message, WriteError, Writer, status};

/// Bytes of the head of a request that its responses repeat.
pub(super) const HEAD_BYTES: usize = 4096;

/// Ends a message: its last headers and its body.
pub(super) type Finish<'f> = &'f mut dyn FnMut(&mut Writer<'_>) -> Result<usize, WriteError>;

impl Shard {
    /// Does what an act left to be done, then lets the call go if nothing is left of it.
    pub(super) fn perform(&mut self, turn: &mut Turn<'_>, key: Key, effects: Effects) {
        for effect in effects {
            self.perform_one(turn, key, effect);
        }
        if self.calls.get(key).is_some_and(|call| call.is_done()) {
            self.forget(key);
        }
    }

    fn perform_one(&mut self, turn: &mut Turn<'_>, key: Key, effect: Effect) {
        match effect {
            Effect::Progress { status, describe } => self.progress(turn, key, status, describe),
            Effect::Answer => self.answer_caller(turn, key),
            Effect::Refuse => self.refuse_caller(turn, key),
            Effect::Invite => self.invite(turn, key),
            Effect::Acknowledge => self.acknowledge_callee(turn, key),
            Effect::Cancel(client) => {
                if let Some(client) = client {
                    self.transactions.cancel(turn.now, client, turn.out);
                }
            }
            Effect::Bye(letter) => self.bye(turn, key, letter),
            Effect::AskAce => self.ask_ace(turn, key),
            Effect::Bridge => self.bridge(turn.now, key),
            Effect::Reinvite { to } => self.reinvite(turn, key, to),
            Effect::AcknowledgeReinvite { to, describe } => {
                self.acknowledge_reinvite(turn, key, to, describe);
            }
            Effect::AnswerReoffer { server, to } => self.answer_reoffer(turn, key, server, to),
            Effect::RespondPlain { server, status } => {
                self.respond(turn, server, status, None, &mut |writer| {
                    if status == 405 {
                        writer.header(HeaderName::Allow, ALLOW);
                    }
                    writer.finish_empty()
                });
            }
            // Done by whoever has the request at hand.
            Effect::RelayInfo { .. } => {}
            Effect::Record => self.record(turn, key),
            Effect::Journal => self.journal(turn, key),
            Effect::StartTimer(deadline, at) => self.start_timer(key, deadline, at),
            Effect::StopTimer(deadline) => self.stop_timer(key, deadline),
        }
    }

    /// Answers a request whose transaction stands.
    pub(super) fn respond(
        &mut self,
        turn: &mut Turn<'_>,
        server: ServerKey,
        code: u16,
        to_tag: Option<&str>,
        finish: Finish<'_>,
    ) {
        let mut head = [0; HEAD_BYTES];
        let Some((length, path)) = self.transactions.copy_head(server, &mut head) else { return };
        let Ok(request) = Message::parse(&head[..length], Framing::Stream) else { return };
        self.transactions.respond(
            turn.now,
            server,
            code,
            &mut |buffer| {
                let reason = status::reason(code);
                let mut writer =
                    Writer::response_to(buffer, &request, path.peer, code, reason, to_tag);
                if code < 300 {
                    writer.copy(&request, HeaderName::RecordRoute);
                }
                finish(&mut writer).unwrap_or(0)
            },
            turn.out,
        );
    }

    /// A deadline of a call came.
    pub(super) fn deadline(&mut self, turn: &mut Turn<'_>, key: Key, due: Deadline) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.timers[due as usize] = None;
        if due == Deadline::Ask {
            self.counters.count(Counter::AsksExpired);
        }
        let mut effects = Effects::new();
        deadline::take(call, turn.now, due, &mut effects);
        self.perform(turn, key, effects);
    }

    /// Control answered.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>, answer: &Answer) {
        let Some(call) = self.calls.get_mut(answer.call.key) else { return };
        let mut effects = Effects::new();
        script::take(call, turn.now, answer, &self.directory, &mut self.rng, &mut effects);
        self.perform(turn, answer.call.key, effects);
    }

    /// The store has a call's records.
    pub(super) fn recorded(&mut self, turn: &mut Turn<'_>, call: CallRef) {
        let key = call.key;
        let Some(call) = self.calls.get_mut(key) else { return };
        call.recorded = true;
        let mut effects = Effects::new();
        effects.push(Effect::StopTimer(Deadline::Record));
        hang_up::recorded(call, &mut effects);
        self.perform(turn, key, effects);
    }

    /// A transaction came to an end of its own.
    pub(super) fn transaction_event(&mut self, turn: &mut Turn<'_>, event: TransactionEvent) {
        let (owner, failure) = match event {
            TransactionEvent::ClientTimeout { owner, .. } => (owner, Some(AttemptFailure::Timeout)),
            TransactionEvent::ClientFailed { owner, .. } => {
                (owner, Some(AttemptFailure::Transport))
            }
            TransactionEvent::AckMissing { owner, accepted: true, .. } => (owner, None),
            TransactionEvent::AckMissing { .. } | TransactionEvent::ServerFailed { .. } => return,
        };
        let Some(mark) = Mark::from_u64(owner) else { return };
        let client = match event {
            TransactionEvent::ClientTimeout { client, .. }
            | TransactionEvent::ClientFailed { client, .. } => Some(client),
            _ => None,
        };
        let Some(call) = self.calls.get_mut(mark.call) else { return };
        let mut effects = Effects::new();
        match (mark.purpose, failure) {
            (Purpose::Invite, Some(failure)) => {
                // A target that was given up before has no more to say.
                if call.b.invite_client == client {
                    failed::take(call, turn.now, failure, &mut effects);
                }
            }
            (Purpose::Invite, None) => acknowledged::missing(call, turn.now, &mut effects),
            (Purpose::Reinvite, Some(_)) => {
                reoffer::refused(call, 408, &mut effects);
                failed::inside(call, turn.now, mark.leg, &mut effects);
            }
            (Purpose::Reinvite, None) => reoffer::unacknowledged(call, turn.now, &mut effects),
            (Purpose::Relayed, Some(_)) => {
                if let Some(relayed) = call.relayed.take() {
                    effects.push(Effect::RespondPlain { server: relayed.server, status: 408 });
                }
                failed::inside(call, turn.now, mark.leg, &mut effects);
            }
            (Purpose::Bye | Purpose::Relayed, _) => {}
        }
        self.perform(turn, mark.call, effects);
    }

    fn start_timer(&mut self, key: Key, deadline: Deadline, at: Instant) {
        self.stop_timer(key, deadline);
        // The wheel has room for every kind of timer of every call.
        let timer = self.wheel.set(at, (key, deadline));
        if let Some(call) = self.calls.get_mut(key) {
            call.timers[deadline as usize] = timer;
        }
    }

    fn stop_timer(&mut self, key: Key, deadline: Deadline) {
        let timer = self.calls.get_mut(key).and_then(|c| c.timers[deadline as usize].take());
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
    }

    fn ask_ace(&mut self, turn: &mut Turn<'_>, key: Key) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let ask = Ask {
            call: call.key,
            sequence: call.ask_sequence,
            id: call.id,
            application: call.application,
            at: crate::base::time::WallTime(self.setup.wall_at_zero.0 + turn.now.as_millis()),
            question: Question::Ace(Ace { to: clipped(&call.b.to) }),
        };
        if turn.control.send(ToControl::Ask(ask)).is_ok() {
            return self.count(Counter::AsksSent);
        }
        // Nobody can be asked: ACE's rule is that the call goes on.
        let mut effects = Effects::new();
        crate::call::act::answered::answer_caller(call, turn.now, &mut effects);
        self.perform(turn, key, effects);
    }

    /// Closes media, gives back the trunk's place, and hands the records over.
    fn record(&mut self, turn: &mut Turn<'_>, key: Key) {
        self.close_media(turn, key);
        self.count(Counter::CallsEnded);
        let wall_at_zero = self.setup.wall_at_zero;
        let Some(call) = self.calls.get_mut(key) else { return };
        if let Some(usage) = call.usage.take() {
            usage.release();
        }
        let word = ToControl::Ended(records::of(call, turn.now, wall_at_zero));
        if turn.control.send(word).is_err() {
            call.records_kept = true;
            self.unrecorded += 1;
            self.retry_at = Some(turn.now + super::RETRY);
        }
    }

    /// Tries again to hand over records that the ring had no room for.
    pub(super) fn record_late(&mut self, turn: &mut Turn<'_>) {
        if self.unrecorded == 0 {
            return;
        }
        let wall_at_zero = self.setup.wall_at_zero;
        for slot in 0..self.calls.slots() {
            let Some(key) = self.calls.key_at(slot) else { continue };
            let Some(call) = self.calls.get_mut(key).filter(|call| call.records_kept) else {
                continue;
            };
            let word = ToControl::Ended(records::of(call, turn.now, wall_at_zero));
            if !turn.control.has_room() || turn.control.send(word).is_err() {
                self.retry_at = Some(turn.now + super::RETRY);
                return;
            }
            call.records_kept = false;
            self.unrecorded -= 1;
        }
    }

    fn journal(&self, turn: &mut Turn<'_>, key: Key) {
        let wall_at_zero = self.setup.wall_at_zero;
        let Some(call) = self.calls.get(key) else { return };
        self.counters.count(Counter::CallsAnswered);
        // A full ring costs the record only if the edge also crashes during this call.
        let _ = turn.control.send(ToControl::Answered(records::of(call, turn.now, wall_at_zero)));
    }

    /// Frees a call and all that is filed under it.
    pub(super) fn forget(&mut self, key: Key) {
        let Some(call) = self.calls.get_mut(key) else { return };
        for timer in call.timers.iter_mut().filter_map(Option::take) {
            self.wheel.cancel(timer);
        }
        for leg in [&call.a, &call.b] {
            if let Some(dialog) = &leg.dialog {
                let hash = self.dialogs.hash(dialog.local_tag());
                self.dialogs.remove(hash, |(k, letter)| k == key && letter == leg.letter);
            }
        }
        debug_assert!(call.a.media.is_none() && call.b.media.is_none());
        debug_assert!(call.usage.is_none() || call.release.is_none());
        // In place: a call is large, and nothing of it is needed any more.
        self.calls.discard(key);
        if self.draining && self.calls.is_empty() {
            // Whatever freed the last call, the next turn says that the shard has drained.
            self.retry_at = Some(Instant::ZERO);
        }
    }

    /// Lets a call go because the edge itself cannot go on with it.
    pub(super) fn give_up(&mut self, turn: &mut Turn<'_>, key: Key, ending: Ending, note: &str) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let mut effects = Effects::new();
        call.let_go(turn.now, ending, note, &mut effects);
        self.perform(turn, key, effects);
    }

    /// `sip:user@host:port;transport=…` under which the edge is reached on a path.
    pub(super) fn contact(&self, path: SipPath, user: &str) -> Text<160> {
        let mut contact = Text::new();
        let Some(listener) = self.setup.listeners.get(usize::from(path.listener)) else {
            return contact;
        };
        let at = if user.is_empty() { "" } else { "@" };
        let transport = match path.transport {
            crate::base::packet::Transport::Udp => "",
            other => match other {
                crate::base::packet::Transport::Tcp => ";transport=tcp",
                _ => ";transport=tls",
            },
        };
        let written = std::fmt::write(
            &mut contact,
            format_args!("<sip:{user}{at}{}{transport}>", listener.advertised),
        );
        debug_assert!(written.is_ok());
        contact
    }

    /// Which leg is meant by a letter that an effect names; for readability only.
    pub(super) const fn mark(key: Key, leg: LegLetter, purpose: Purpose) -> u64 {
        Mark { call: key, leg, purpose }.to_u64()
    }
}
