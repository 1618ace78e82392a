//! SVAML as a shard sees it: checked, bounded, with every host resolved. Control reads the JSON
//! (`call::script`), so that nothing on a shard parses what a stranger's web server sends.

use std::net::SocketAddr;

use super::PrivateHeaders;
use crate::base::bounded::{List, Text};
use crate::base::limits::{SIP_URI_BYTES_MAX, TARGETS_MAX};
use crate::base::packet::Transport;

/// An answer: what to do with the call. Instructions that only concern control (`setCookie`) are
/// carried out there and do not travel.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Exactly one.
    pub action: Action,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "lives in ring slots that are made once")]
pub enum Action {
    /// End the call.
    HangUp(HangUpCause),
    /// Go on: after ACE, connect the legs.
    Continue,
    /// Call a number through the carriers.
    ConnectPstn(ConnectPstn),
    /// Call a SIP address.
    ConnectSip(ConnectSip),
}

/// How `hangup` refuses a call that is not answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUpCause {
    /// 603 Decline.
    #[default]
    Normal,
    /// 486 Busy Here.
    Busy,
    /// 503 Service Unavailable.
    Congestion,
}

/// Who the callee sees calling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cli {
    /// The caller's own number, where it may be shown.
    #[default]
    Caller,
    /// Nobody: anonymous From and `Privacy: id`.
    Private,
    /// This number, where it may be shown.
    Number(Text<32>),
}

/// What both connect actions have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectOptions {
    /// Caller ID.
    pub cli: Cli,
    /// Seconds that the call may last once answered.
    pub max_duration: Option<u32>,
    /// Seconds that it may ring.
    pub dial_timeout: Option<u32>,
    /// No ACE and DiCE.
    pub suppress_callbacks: bool,
}

/// `connectPstn`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectPstn {
    /// E.164 with `+`; `None`: the number that was dialled.
    pub number: Option<Text<32>>,
    /// The rest.
    pub options: ConnectOptions,
}

/// `connectSip`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectSip {
    /// Request-URI to call.
    pub uri: Text<SIP_URI_BYTES_MAX>,
    /// Transport to use.
    pub transport: Transport,
    /// The host's addresses, in the order to try; empty: the name did not resolve.
    pub targets: List<SocketAddr, TARGETS_MAX>,
    /// Private headers to send.
    pub headers: PrivateHeaders,
    /// The rest.
    pub options: ConnectOptions,
}
