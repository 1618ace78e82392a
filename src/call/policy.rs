//! Who may call what. Deny by default: a request is a trunk's or a carrier's only where the
//! directory says so, and each refusal says why, to the operator and to nobody else.
//!
//! Three steps, each of them pure: [`check_method`] before anything of the body is read,
//! [`admit`] for a new call, and, where that says [`Admission::Challenge`], the digest with
//! [`ha1_for`] and then [`admit`] again with the user that was verified. Only the packet's source
//! address counts as an address; Via, Contact and kin are a stranger's claims.

pub mod number;

use std::net::SocketAddr;

use crate::base::bounded::Text;
use crate::base::counter::Counter;
use crate::base::packet::Transport;
use crate::directory::{
    AccessEntry, Application, Carrier, Directory, Ha1, Identified, Inbound, MediaSecurity, Name,
    Number, Trunk,
};
use number::{Dialled, dialled, spoken_number};

/// The methods that are taken, as in Allow.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO";

/// What a request for a new call says, as text taken from its headers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Source of the packet.
    pub source: SocketAddr,
    /// Transport that it came over.
    pub transport: Transport,
    /// User part of the Request-URI, escapes and parameters included; of a `tel:` URI the number.
    pub uri_user: &'a str,
    /// Host of the Request-URI; empty for a `tel:` URI.
    pub uri_host: &'a str,
    /// User part of From's URI; empty where there is none.
    pub from_user: &'a str,
    /// User part of the first P-Asserted-Identity (RFC 3325), or its `tel:` number. Honoured from
    /// identified peers only, and only as a claim that is checked for trunks.
    pub asserted_user: Option<&'a str>,
    /// Whether Privacy asks for `id`, `user`, `header` or `full` (RFC 3323, 3325).
    pub wants_privacy: bool,
    /// User part of the topmost Diversion (RFC 5806).
    pub diversion_user: Option<&'a str>,
    /// The user that digest verified; `None` before it did.
    pub digest_user: Option<&'a str>,
}

/// Who the callee sees calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerId {
    /// This number or name, as callbacks and the callee get it.
    Shown(Text<32>),
    /// Nobody.
    Private,
}

/// What becomes of a request for a new call.
#[derive(Clone, Debug)]
pub enum Admission<'d> {
    /// Ask for credentials of this trunk (401).
    Challenge(&'d Trunk),
    /// A trunk's call, outwards.
    Trunk(TrunkCall<'d>),
    /// A carrier's call to one of our numbers.
    Carrier(CarrierCall<'d>),
    /// Not admitted.
    Refuse(Refusal),
}

/// A call that a trunk may place.
#[derive(Clone, Debug)]
pub struct TrunkCall<'d> {
    /// The trunk.
    pub trunk: &'d Trunk,
    /// Whose call it is.
    pub application: &'d Application,
    /// The access-list entry that admits the source; `None` where the trunk has no lists.
    pub entry: Option<&'d AccessEntry>,
    /// The digest user; empty where the trunk asks for none.
    pub digest_user: Name,
    /// The dialled number, E.164 with `+`.
    pub number: Text<32>,
    /// Caller ID.
    pub caller: CallerId,
    /// Number that redirected the call; empty when none.
    pub rdnis: Text<32>,
}

/// A call that a carrier may hand over.
#[derive(Clone, Debug)]
pub struct CarrierCall<'d> {
    /// The carrier.
    pub carrier: &'d Carrier,
    /// The access-list entry that admits the source.
    pub entry: &'d AccessEntry,
    /// The number that was called.
    pub number: &'d Number,
    /// Whose number it is.
    pub application: &'d Application,
    /// Caller ID, as the carrier gives it.
    pub caller: CallerId,
    /// Number that redirected the call; empty when none.
    pub rdnis: Text<32>,
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Final status.
    pub status: u16,
    /// For the operator's eyes: the CDR's note.
    pub reason: &'static str,
    /// What counts it besides the calls ended, if anything does.
    pub counter: Option<Counter>,
}

impl Refusal {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, counter: None }
    }

    /// A source that nothing admits.
    const fn denied(reason: &'static str) -> Self {
        Self { status: 403, reason, counter: Some(Counter::AuthDenied) }
    }
}

/// Whether a method is taken at all; to be asked before the body is looked at. 405 (with
/// [`ALLOW`]) for SIP's other methods, 501 for what is none. Method names are case-sensitive
/// (RFC 3261 §7.1).
pub fn check_method(method: &str) -> Result<(), Refusal> {
    match method {
        "INVITE" | "ACK" | "BYE" | "CANCEL" | "OPTIONS" | "UPDATE" | "INFO" => Ok(()),
        "REGISTER" | "SUBSCRIBE" | "NOTIFY" | "PUBLISH" | "MESSAGE" | "REFER" | "PRACK" => {
            Err(Refusal::new(405, "the method is not taken here"))
        }
        _ => Err(Refusal::new(501, "no method of SIP that is known here")),
    }
}

/// Decides about a new call.
pub fn admit<'d>(directory: &'d Directory, request: &Request<'_>) -> Admission<'d> {
    let admission = match directory.identify(request.source.ip(), request.uri_host) {
        Identified::Trunk { trunk, entry } => admit_trunk(directory, request, trunk, entry),
        Identified::Carrier { carrier, entry } => admit_carrier(directory, request, carrier, entry),
        Identified::Stranger => {
            Err(Refusal::denied("no access list and no trunk knows the source"))
        }
    };
    admission.unwrap_or_else(Admission::Refuse)
}

/// The hashes to verify `username` with at `trunk`: the application's own key where the trunk
/// takes it, else an entry of its credential lists. `None`: no such user here; the caller goes
/// on with a dummy so that timing does not tell.
pub fn ha1_for<'d>(directory: &'d Directory, trunk: &Trunk, username: &str) -> Option<&'d Ha1> {
    if trunk.application_credentials && trunk.application.as_str() == username {
        return directory.application(username).map(|application| &application.ha1);
    }
    let lists = trunk.credential_lists.iter();
    let mut lists =
        lists.filter_map(|list| directory.credential_lists.get(usize::try_from(*list).ok()?));
    lists.find_map(|list| list.find(username)).map(|credential| &credential.ha1)
}

fn admit_trunk<'d>(
    directory: &'d Directory,
    request: &Request<'_>,
    trunk: &'d Trunk,
    entry: Option<&'d AccessEntry>,
) -> Result<Admission<'d>, Refusal> {
    if !trunk.needs_access_list() && !trunk.needs_digest() {
        return Err(Refusal::denied("the trunk has neither access lists nor credentials"));
    }
    // Before any challenge, so that a source that may not speak learns nothing about users.
    if trunk.needs_access_list() && entry.is_none() {
        return Err(Refusal::denied("the source is on none of the trunk's access lists"));
    }
    if !trunk.transports.contains(&request.transport) {
        return Err(Refusal::denied("the trunk does not allow this transport"));
    }
    // Only plain RTP is bridged, so a trunk that insists on SRTP gets no call rather than a call
    // that anybody on the way can hear.
    if trunk.media_security == MediaSecurity::Required {
        return Err(Refusal::new(488, "the trunk requires SRTP, and only plain RTP is bridged"));
    }
    let mut digest_user = Name::new();
    if trunk.needs_digest() {
        let Some(user) = request.digest_user else { return Ok(Admission::Challenge(trunk)) };
        // The digest was verified against this trunk's users; a user of another trunk is none.
        if ha1_for(directory, trunk, user).is_none() || digest_user.try_push_str(user).is_err() {
            return Err(Refusal { counter: Some(Counter::AuthFailed), ..NOT_A_USER });
        }
    }
    let Some(application) = directory.application(&trunk.application) else {
        return Err(Refusal::new(403, "the trunk's application does not exist"));
    };
    let number = match dialled(request.uri_user) {
        Dialled::Global(number) => number,
        Dialled::Incomplete(reason) => return Err(Refusal::new(484, reason)),
        Dialled::Local(reason) => return Err(Refusal::new(404, reason)),
    };
    if !trunk.allows_destination(&number) {
        return Err(Refusal::new(403, "the trunk may not call this destination"));
    }
    let caller = trunk_caller(directory, request, application);
    let rdnis = redirecting(request);
    let entry = if trunk.needs_access_list() { entry } else { None };
    Ok(Admission::Trunk(TrunkCall {
        trunk,
        application,
        entry,
        digest_user,
        number,
        caller,
        rdnis,
    }))
}

const NOT_A_USER: Refusal = Refusal::new(403, "the digest user is none of this trunk");

fn admit_carrier<'d>(
    directory: &'d Directory,
    request: &Request<'_>,
    carrier: &'d Carrier,
    entry: &'d AccessEntry,
) -> Result<Admission<'d>, Refusal> {
    // Carriers write numbers with and without `+`; either way it must be exactly one of ours.
    let number = spoken_number(request.uri_user).and_then(|n| directory.numbers.find(&n));
    let Some(number) = number else {
        return Err(Refusal::new(404, "the called number is none of ours"));
    };
    if number.inbound == Inbound::None {
        return Err(Refusal::new(404, "the called number takes no calls"));
    }
    let Some(application) = directory.application(&number.application) else {
        return Err(Refusal::new(404, "the called number's application does not exist"));
    };
    let caller = carrier_caller(request);
    let rdnis = redirecting(request);
    Ok(Admission::Carrier(CarrierCall { carrier, entry, number, application, caller, rdnis }))
}

/// A trunk may show numbers of its application; any other claim makes the call private.
fn trunk_caller(
    directory: &Directory,
    request: &Request<'_>,
    application: &Application,
) -> CallerId {
    if request.wants_privacy {
        return CallerId::Private;
    }
    let claim = request.asserted_user.unwrap_or(request.from_user);
    match spoken_number(claim) {
        Some(number) if directory.numbers.may_show(&application.key, &number) => {
            CallerId::Shown(number)
        }
        _ => CallerId::Private,
    }
}

/// A carrier's word is taken: what it asserts, else what From says.
fn carrier_caller(request: &Request<'_>) -> CallerId {
    let claim = request.asserted_user.unwrap_or(request.from_user);
    let hidden = ["", "anonymous", "unknown", "restricted", "unavailable", "private"];
    if request.wants_privacy || hidden.iter().any(|word| claim.eq_ignore_ascii_case(word)) {
        return CallerId::Private;
    }
    number::plain_user(claim).map_or(CallerId::Private, CallerId::Shown)
}

fn redirecting(request: &Request<'_>) -> Text<32> {
    request.diversion_user.and_then(number::plain_user).unwrap_or_default()
}

#[cfg(test)]
mod tests;
