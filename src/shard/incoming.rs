//! A new call comes in: who is it, may they, and what becomes of it.
//!
//! Path: `shard::request` -> here -> control (ICE), or `call::act::dial`

use std::sync::Arc;

use super::mark::{Mark, Purpose};
use super::{Shard, Turn};
use crate::base::bounded::{Text, clipped, text};
use crate::base::counter::Counter;
use crate::base::id::CallId;
use crate::base::limits::CALL_SECONDS_MAX;
use crate::base::packet::SipPath;
use crate::base::pool::Key;
use crate::call::act::dial;
use crate::call::effect::{Effect, Effects};
use crate::call::leg::{Leg, LegState};
use crate::call::machine::{Call, DEADLINES, Deadline, State};
use crate::call::offer::{Description, LocalSession, Numbers};
use crate::call::outcome::Ending;
use crate::call::policy::{self, Admission, CallerId, Request};
use crate::call::route::{self, Plan};
use crate::directory::{Application, Directory, Inbound, Trunk};
use crate::link::ask::{Ask, Dialled, Evidence, Ice, Question};
use crate::link::cdr::{Direction, LegLetter};
use crate::link::{PrivateHeaders, ToControl};
use crate::sip::auth::Verdict;
use crate::sip::dialog::{Dialog, HOPS_MAX};
use crate::sip::transaction::{stateless_response, stateless_tag};
use crate::wire::sip::{HeaderName, Message, Uri, Writer};

/// What admission found out, in the terms of a call.
struct Admitted<'d> {
    direction: Direction,
    application: &'d Application,
    /// Trunk or carrier that the call came from.
    source_name: &'d str,
    /// Trunk whose limits count, if one's do.
    limits: Option<&'d Trunk>,
    /// Where a call to one of our numbers goes.
    inbound: Option<&'d Inbound>,
    number: Text<32>,
    caller: CallerId,
    rdnis: Text<32>,
    entry: Text<128>,
    digest_user: crate::directory::Name,
    nat: bool,
}

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

    /// Identification and authentication. `None`: the request was answered.
    fn admit<'d>(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        directory: &'d Directory,
    ) -> Option<Admitted<'d>> {
        let (Ok(uri), Ok(from)) = (message.uri(), message.from()) else {
            self.refuse(turn, path, message, 400);
            return None;
        };
        let asserted = message.values(HeaderName::PAssertedIdentity).next().and_then(user_of);
        let diversion = message.values(HeaderName::Diversion).next().and_then(user_of);
        let privacy = message.header(HeaderName::Privacy).unwrap_or_default();
        let wants_privacy = privacy.split(';').any(|p| {
            ["id", "user", "header", "full"].iter().any(|w| p.trim().eq_ignore_ascii_case(w))
        });
        let mut request = Request {
            source: path.peer,
            transport: path.transport,
            uri_user: uri.user_name().unwrap_or_default(),
            uri_host: uri.host,
            from_user: from.parse_uri().ok().and_then(|uri| uri.user_name()).unwrap_or_default(),
            asserted_user: asserted,
            wants_privacy,
            diversion_user: diversion,
            digest_user: None,
        };
        let mut admission = policy::admit(directory, &request);
        let mut user = crate::directory::Name::new();
        if let Admission::Challenge(trunk) = admission {
            user = self.authenticate(turn, path, message, directory, trunk)?;
            request.digest_user = Some(&user);
            admission = policy::admit(directory, &request);
        }
        match admission {
            Admission::Challenge(_) => None,
            Admission::Refuse(refusal) => {
                if let Some(counter) = refusal.counter {
                    self.count(counter);
                }
                self.refuse(turn, path, message, refusal.status);
                None
            }
            Admission::Trunk(call) => Some(Admitted {
                direction: Direction::Termination,
                application: call.application,
                source_name: &call.trunk.name,
                limits: Some(call.trunk),
                inbound: None,
                number: call.number,
                caller: call.caller,
                rdnis: call.rdnis,
                entry: call.entry.map(written).unwrap_or_default(),
                digest_user: user,
                nat: call.trunk.nat,
            }),
            Admission::Carrier(call) => {
                let trunk = match &call.number.inbound {
                    Inbound::Trunk(name) => directory.trunk(name),
                    Inbound::Application | Inbound::None => None,
                };
                Some(Admitted {
                    direction: Direction::Origination,
                    application: call.application,
                    source_name: &call.carrier.name,
                    limits: trunk,
                    inbound: Some(&call.number.inbound),
                    number: clipped(&call.number.number),
                    caller: call.caller,
                    rdnis: call.rdnis,
                    entry: written(call.entry),
                    digest_user: user,
                    nat: call.carrier.nat,
                })
            }
        }
    }

    /// Digest: the verified user's name, or `None` after a challenge or a refusal.
    fn authenticate(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        directory: &Directory,
        trunk: &Trunk,
    ) -> Option<crate::directory::Name> {
        let lookup = |user: &str| policy::ha1_for(directory, trunk, user).copied();
        let verdict = self.authenticator.verify(turn.now, path.peer.ip(), message, lookup);
        let stale = match verdict {
            Verdict::Ok { username } => return Some(username),
            Verdict::Malformed { .. } => {
                self.count(Counter::AuthFailed);
                self.refuse(turn, path, message, 400);
                return None;
            }
            Verdict::Missing => {
                self.count(Counter::AuthChallenged);
                false
            }
            Verdict::Wrong { .. } => {
                self.count(Counter::AuthFailed);
                false
            }
            Verdict::Stale => {
                self.count(Counter::AuthStale);
                true
            }
        };
        let (now, source) = (turn.now, path.peer.ip());
        let tag = stateless_tag(self.hash_key, message);
        let authenticator = &mut self.authenticator;
        let challenge = &mut |writer: &mut Writer<'_>| {
            authenticator.challenge(now, source, stale, writer);
        };
        if stateless_response(message, path, 401, &tag, challenge, turn.out) {
            self.counters.count(Counter::SipSent);
        }
        None
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
        let (dialled, cli) = (dialled(admitted), cli_of(&admitted.caller));
        // The key is not known before the call is in its slot.
        let call = Call {
            id,
            key: self.call_ref(Key::from_u64(0)),
            state: State::Asking,
            a,
            b: Leg::new(LegLetter::B, LocalSession::new(&mut self.rng)),
            direction: admitted.direction,
            application: admitted.application.key,
            trunk: clipped(admitted.source_name),
            callbacks: false,
            dialled,
            caller_id: admitted.caller,
            cli,
            headers: PrivateHeaders::default(),
            max_forwards: message.max_forwards().unwrap_or(HOPS_MAX).saturating_sub(1),
            plan: Plan::default(),
            attempt: 0,
            bridge: None,
            numbers: Numbers::default(),
            reoffer_numbers: Numbers::default(),
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
            patience: self.setup.patience,
        };
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

/// User part of a name-addr or addr-spec.
fn user_of(value: &str) -> Option<&str> {
    let address = crate::wire::sip::NameAddr::parse(value).ok()?;
    Uri::parse(address.uri).ok()?.user_name()
}

fn written(entry: &crate::directory::AccessEntry) -> Text<128> {
    let mut written = Text::new();
    // A list's name and a range are shorter than the room.
    let _ = std::fmt::write(&mut written, format_args!("{entry}"));
    written
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
