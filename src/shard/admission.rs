//! Who sends this INVITE, and may they: identification by domain and source address, then digest.
//!
//! Path: `shard::incoming` -> here -> `call::policy`, `sip::auth`

use super::{Shard, Turn};
use crate::base::bounded::{Text, clipped};
use crate::base::counter::Counter;
use crate::base::packet::SipPath;
use crate::call::policy::{self, Admission, CallerId, CarrierCall, Request, TrunkCall};
use crate::directory::{AccessEntry, Application, Directory, Inbound, Name, Trunk};
use crate::link::cdr::Direction;
use crate::sip::auth::Verdict;
use crate::sip::transaction::{brief_response, stateless_response, stateless_tag};
use crate::wire::sip::{HeaderName, Message, NameAddr, Uri, Writer};

/// What admission found out, in the terms of a call.
pub(super) struct Admitted<'d> {
    pub(super) direction: Direction,
    pub(super) application: &'d Application,
    /// Trunk or carrier that the call came from.
    pub(super) source_name: &'d str,
    /// Trunk whose limits count, if one's do.
    pub(super) limits: Option<&'d Trunk>,
    /// Where a call to one of our numbers goes.
    pub(super) inbound: Option<&'d Inbound>,
    pub(super) number: Text<32>,
    pub(super) caller: CallerId,
    pub(super) rdnis: Text<32>,
    pub(super) entry: Text<128>,
    pub(super) digest_user: Name,
    pub(super) nat: bool,
}

impl<'d> Admitted<'d> {
    fn from_trunk(call: &TrunkCall<'d>, digest_user: Name) -> Self {
        Self {
            direction: Direction::Termination,
            application: call.application,
            source_name: &call.trunk.name,
            limits: Some(call.trunk),
            inbound: None,
            number: call.number,
            caller: call.caller,
            rdnis: call.rdnis,
            entry: call.entry.map(written).unwrap_or_default(),
            digest_user,
            nat: call.trunk.nat,
        }
    }

    fn from_carrier(call: &CarrierCall<'d>, directory: &'d Directory) -> Self {
        let trunk = match &call.number.inbound {
            Inbound::Trunk(name) => directory.trunk(name),
            Inbound::Application | Inbound::None => None,
        };
        Self {
            direction: Direction::Origination,
            application: call.application,
            source_name: &call.carrier.name,
            limits: trunk,
            inbound: Some(&call.number.inbound),
            number: clipped(&call.number.number),
            caller: call.caller,
            rdnis: call.rdnis,
            entry: written(call.entry),
            digest_user: Name::new(),
            nat: call.carrier.nat,
        }
    }
}

impl Shard {
    /// Identification and authentication. `None`: the request was answered.
    pub(super) fn admit<'d>(
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
        let mut user = Name::new();
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
            Admission::Trunk(call) => Some(Admitted::from_trunk(&call, user)),
            Admission::Carrier(call) => Some(Admitted::from_carrier(&call, directory)),
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
    ) -> Option<Name> {
        let (now, source) = (turn.now, path.peer.ip());
        // Who is on an access list is known by address already, and may fumble as it likes.
        let guesses = !trunk.needs_access_list();
        if guesses && self.guesses.is_banned(now, source) {
            self.count(Counter::AuthBanned);
            return None;
        }
        let lookup = |user: &str| policy::ha1_for(directory, trunk, user).copied();
        let verdict = self.authenticator.verify(now, source, message, lookup);
        let stale = match verdict {
            Verdict::Ok { username } => {
                self.guesses.succeeded(source);
                return Some(username);
            }
            Verdict::Malformed { .. } => {
                self.count(Counter::AuthFailed);
                self.refuse(turn, path, message, 400);
                return None;
            }
            Verdict::Missing => {
                self.count(Counter::AuthChallenged);
                false
            }
            Verdict::Wrong { proven } => {
                self.count(Counter::AuthFailed);
                // Only a source that has answered a challenge of ours is who it says it is.
                if proven && guesses {
                    self.guesses.failed(now, source);
                }
                false
            }
            Verdict::Stale => {
                self.count(Counter::AuthStale);
                true
            }
        };
        self.challenge(turn, path, message, stale);
        None
    }

    /// Asks for a password. Whoever made up another's address must not have it sent much more than
    /// it sent itself: a short request of a stranger is asked as briefly as can be. Not to ask at
    /// all would shut out customers who are known by a password alone.
    fn challenge(
        &mut self,
        turn: &mut Turn<'_>,
        path: SipPath,
        message: &Message<'_>,
        stale: bool,
    ) {
        let (now, source) = (turn.now, path.peer.ip());
        let is_known =
            path.transport.is_reliable() || !self.directory.access.matches(source).is_empty();
        let most = if is_known { usize::MAX } else { message.len() };
        let tag = stateless_tag(self.hash_key, message);
        let authenticator = &mut self.authenticator;
        let sent = stateless_response(
            message,
            path,
            401,
            &tag,
            most,
            &mut |writer: &mut Writer<'_>| authenticator.challenge(now, source, stale, writer),
            turn.out,
        ) || brief_response(
            message,
            path,
            401,
            &tag,
            &mut |writer: &mut Writer<'_>| {
                authenticator.challenge_briefly(now, source, stale, writer);
            },
            turn.out,
        );
        if sent {
            self.count(Counter::SipSent);
        }
    }
}

/// User part of a name-addr or addr-spec.
fn user_of(value: &str) -> Option<&str> {
    let address = NameAddr::parse(value).ok()?;
    Uri::parse(address.uri).ok()?.user_name()
}

fn written(entry: &AccessEntry) -> Text<128> {
    let mut written = Text::new();
    // A list's name and a range are shorter than the room.
    let _ = std::fmt::write(&mut written, format_args!("{entry}"));
    written
}
