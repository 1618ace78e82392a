//! A new call comes in: who is it, may they, and what becomes of it.
//!
//! Path: `shard::request` -> here -> control (ICE), or `call::act::dial`

use std::sync::Arc;

use super::admission::Admitted;
use super::mark::{Mark, Purpose};
use super::{Shard, Turn};
use crate::base::bounded::{Text, clipped, text};
use crate::base::counter::Counter;
use crate::base::id::CallId;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::act::dial;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::{Leg, LegState};
use crate::call::machine::{Call, Deadline, Facts};
use crate::call::offer::{Description, LocalSession};
use crate::call::outcome::Ending;
use crate::call::policy::CallerId;
use crate::call::route::{self, Plan};
use crate::directory::{Directory, Inbound};
use crate::link::ask::{Ask, Dialled, Evidence, Ice, Question};
use crate::link::cdr::{Direction, LegLetter};
use crate::link::{PrivateHeaders, ToControl};
use crate::sip::dialog::Dialog;
use crate::wire::sip::Message;

impl Shard {
    /// An INVITE outside any dialog.
    pub(super) fn incoming(&mut self, turn: &mut Turn<'_>, path: SipPath, message: &Message<'_>) {
        if self.draining {
            self.count(Counter::CallsDraining);
            return self.refuse(turn, path, message, 503);
        }
        let directory = Arc::clone(&self.directory);
        let Some(admitted) = self.admit(turn, path, message, &directory) else { return };
        let description = match self.reachable_description(message, path) {
            Ok(description) => description,
            Err(status) => return self.refuse(turn, path, message, status),
        };
        if let Some(trunk) = admitted.limits {
            let (calls, rate) = (trunk.calls_max, trunk.calls_per_second_max);
            if trunk.usage.acquire(turn.now, calls, rate).is_err() {
                self.count(Counter::CallsLimited);
                return self.refuse(turn, path, message, 503);
            }
        }
        let usage = admitted.limits.map(|trunk| Arc::clone(&trunk.usage));
        let begun = self.begin_call(turn, path, message, &admitted, description);
        let Some(key) = begun else {
            if let Some(usage) = usage {
                usage.release();
            }
            self.count(Counter::CallsOverloaded);
            return self.refuse(turn, path, message, 503);
        };
        if let Some(call) = self.calls.get_mut(key) {
            call.usage = usage;
        }
        self.count(Counter::CallsStarted);
        self.decide(turn, path, message, key, &admitted, &directory);
    }

    /// Makes the call and its first transaction, and says 100. `None`: there is no room.
    fn begin_call(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        admitted: &Admitted<'_>,
        description: Option<Description>,
    ) -> Option<Key> {
        let wall = self.wall(turn.now).0;
        let id = CallId::new(wall, self.rng.bytes());
        let tag = self.rng.token::<24>();
        let contact = self.contact(path, "");
        let dialog = Dialog::incoming(message, path, &tag, &contact).ok()?;
        let mut a = Leg::new(LegLetter::A, LocalSession::new(&mut self.rng));
        a.state = LegState::Inviting;
        a.peer = Some(path.peer);
        a.transport = path.transport;
        a.nat = admitted.nat;
        a.invite_at = Some(turn.now);
        a.remote = description;
        a.from = clipped(message.from().ok()?.uri);
        a.to = clipped(message.to().ok()?.uri);
        a.dialog = Some(dialog);
        let b = Leg::new(LegLetter::B, LocalSession::new(&mut self.rng));
        let facts = Facts {
            direction: admitted.direction,
            application: admitted.application.key,
            trunk: clipped(admitted.source_name),
            dialled: dialled(admitted),
            caller_id: admitted.caller,
            cli: cli_of(&admitted.caller),
            max_forwards: message.max_forwards().unwrap_or(70).saturating_sub(1),
            patience: self.setup.patience,
        };
        let call = Call::new(id, self.setup.id, (a, b), facts);
        let key = self.calls.insert(call).ok()?;
        let owner = Mark { call: key, leg: LegLetter::A, purpose: Purpose::Invite }.to_u64();
        let filed = self.dialogs.insert(self.dialogs.hash(tag.as_str()), (key, LegLetter::A));
        assert!(filed, "the index holds two legs of every call");
        let begun = self.transactions.begin(turn.now, message, path, owner);
        let (Ok(server), Some(call)) = (begun, self.calls.get_mut(key)) else {
            self.forget(key);
            return None;
        };
        call.key = crate::base::id::CallRef { shard: self.setup.id, key };
        call.a.invite_server = Some(server);
        self.respond(turn, server, 100, None, &mut |writer| writer.finish_empty());
        Some(key)
    }

    /// Asks the callback, or goes where the directory says.
    fn decide(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        key: Key,
        admitted: &Admitted<'_>,
        directory: &Directory,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let mut effects = Effects::new();
        let asks = admitted.application.callback_primary.is_some()
            && admitted.inbound.is_none_or(|inbound| *inbound == Inbound::Application);
        match admitted.inbound {
            _ if asks => {
                call.callbacks = true;
                call.ask_sequence = 1;
                let at =
                    crate::base::time::WallTime(self.setup.wall_at_zero.0 + turn.now.as_millis());
                let question = Question::Ice(ice(call, message, path, admitted));
                let ask = Ask {
                    call: call.key,
                    sequence: call.ask_sequence,
                    id: call.id,
                    application: call.application,
                    at,
                    question,
                };
                if turn.control.send(ToControl::Ask(ask)).is_ok() {
                    self.counters.count(Counter::AsksSent);
                    let deadline = turn.now + call.patience.ask;
                    effects.push(Effect::StartTimer(Deadline::Ask, deadline));
                } else {
                    let note = "the ring to control is full";
                    call.let_go(turn.now, Ending::Overloaded, note, &mut effects);
                }
            }
            None => {
                let number = admitted.number;
                dial::pstn(call, turn.now, &number, directory, &mut self.rng, &mut effects);
            }
            Some(Inbound::Trunk(name)) => {
                call.plan = match directory.trunk(name) {
                    Some(trunk) => route::plan_origination(trunk, &admitted.number, &mut self.rng),
                    None => Plan::default(),
                };
                dial::first(call, turn.now, &mut effects);
            }
            Some(Inbound::Application | Inbound::None) => {
                let note = "the number's application has no callback URL";
                call.let_go(turn.now, Ending::NoRoute, note, &mut effects);
            }
        }
        self.perform(turn, key, effects);
    }
}

fn dialled(admitted: &Admitted<'_>) -> Dialled {
    match admitted.direction {
        Direction::Termination => Dialled::Number(admitted.number),
        Direction::Origination => Dialled::Did(admitted.number),
    }
}

/// The caller as events name it: without `+`, or `private`.
pub(super) fn cli_of(caller: &CallerId) -> Text<64> {
    match caller {
        CallerId::Shown(number) => clipped(number.trim_start_matches('+')),
        CallerId::Private => clipped("private"),
    }
}

fn ice(call: &Call, message: &Message<'_>, path: SipPath, admitted: &Admitted<'_>) -> Ice {
    let mut headers = PrivateHeaders::default();
    for (name, value) in message.all_headers() {
        if name.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-")) {
            // What passes the bounds of private headers is left out, as the service does.
            let _ = headers.push(name, value);
        }
    }
    let evidence = Evidence {
        source: path.peer,
        transport: path.transport,
        trunk: call.trunk,
        access_entry: admitted.entry,
        digest_user: admitted.digest_user,
        from: clipped(&call.a.from),
        request_uri: clipped(message.request_uri().unwrap_or_default()),
        sip_call_id: text(message.call_id().unwrap_or_default()).unwrap_or_default(),
    };
    Ice {
        cli: call.cli,
        to: call.dialled.clone(),
        rdnis: clipped(&admitted.rdnis),
        headers,
        evidence,
    }
}
