//! Questions that shards put to control, and their answers.

use std::net::SocketAddr;

use super::PrivateHeaders;
use super::cdr::{Reason, Result_};
use super::svaml::Script;
use crate::base::bounded::Text;
use crate::base::id::{CallId, CallRef};
use crate::base::limits::{SIP_IDENTIFIER_BYTES_MAX, SIP_URI_BYTES_MAX};
use crate::base::packet::Transport;
use crate::base::time::WallTime;
use crate::directory::Name;

/// A question about one call. The call goes on waiting, with a deadline of its own.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub call: CallRef,
    /// Rises with each question of a call, so that a late answer to an earlier one is known.
    pub sequence: u16,
    /// The call's name.
    pub id: CallId,
    /// Whose call it is: decides URL and key.
    pub application: Name,
    /// When it was put.
    pub at: WallTime,
    /// What is asked.
    pub question: Question,
}

/// What is asked.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "lives in ring slots that are made once")]
pub enum Question {
    /// A call came in: how shall it be connected?
    Ice(Ice),
    /// The callee answered: shall the call go on?
    Ace(Ace),
}

/// Incoming Call Event.
#[derive(Clone, Debug)]
pub struct Ice {
    /// The caller's number without `+`, or `private`.
    pub cli: Text<64>,
    /// What was dialled.
    pub to: Dialled,
    /// Number that redirected the call; empty when none.
    pub rdnis: Text<64>,
    /// Private headers of the INVITE.
    pub headers: PrivateHeaders,
    /// How we know who is calling.
    pub evidence: Evidence,
}

/// What a caller dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// A number to be reached through carriers (termination); E.164 with `+`.
    Number(Text<32>),
    /// One of our numbers (origination); E.164 with `+`.
    Did(Text<32>),
}

/// Answered Call Event.
#[derive(Clone, Debug)]
pub struct Ace {
    /// What the callee was called as.
    pub to: Text<SIP_URI_BYTES_MAX>,
}

/// How a request was identified and authenticated: the `sip` object of ICE.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Where the INVITE came from.
    pub source: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
    /// Trunk or carrier that it was identified as.
    pub trunk: Name,
    /// The access-list entry that admits the source, as `list: network/prefix`; empty when none
    /// was needed.
    pub access_entry: Text<128>,
    /// Digest user name; empty when no digest was asked for.
    pub digest_user: Name,
    /// URI of From.
    pub from: Text<SIP_URI_BYTES_MAX>,
    /// Request-URI.
    pub request_uri: Text<SIP_URI_BYTES_MAX>,
    /// Call-ID of the incoming leg.
    pub sip_call_id: Text<SIP_IDENTIFIER_BYTES_MAX>,
}

/// Disconnected Call Event: delivered at least once.
#[derive(Clone, Debug)]
pub struct Dice {
    /// Whose call it was.
    pub application: Name,
    /// Caller's number without `+`, or `private`.
    pub from: Text<64>,
    /// What was called.
    pub to: Dialled,
    /// Outcome.
    pub result: Result_,
    /// Why it ended.
    pub reason: Reason,
    /// Seconds from answer to end, rounded up; `None` when not answered.
    pub duration: Option<u32>,
    /// When it ended.
    pub at: WallTime,
}

/// What control answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who asked.
    pub call: CallRef,
    /// The question's number.
    pub sequence: u16,
    /// The script in force from now on, or why there is none.
    pub outcome: Result<Script, Failure>,
    /// Milliseconds that the callback took, over all URLs tried.
    pub took_ms: u32,
}

/// Why there is no script. What follows from it is the event's own rule: ICE ends the call, ACE
/// goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time, with a success status, over any URL.
    Unreachable,
    /// The answer is no SVAML, or asks for something that is not allowed here.
    IllegalSvaml,
    /// The application has no callback URL (any more).
    NoCallback,
}
