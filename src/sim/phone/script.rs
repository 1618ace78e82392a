//! What a phone does in a call, and what it tells about it.

use std::net::SocketAddr;

use crate::base::packet::Transport;
use crate::base::time::{Duration, Instant};

/// A message on its way out of a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Over what it goes; media goes over UDP.
    pub transport: Transport,
    /// The phone's own address: its SIP address or a media port.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A call that a phone places.
#[derive(Clone, Debug)]
pub struct CallScript {
    /// Request-URI and To.
    pub uri: String,
    /// User part of From.
    pub from: String,
    /// Whether INVITE carries the offer; if not, 2xx must, and ACK answers.
    pub offer: bool,
    /// CANCEL goes out that long after INVITE if there is no final response.
    pub give_up: Option<Duration>,
    /// BYE goes out that long after the answer; `None`: wait for the other side.
    pub talk: Option<Duration>,
    /// What is done meanwhile: how long after the answer, and what.
    pub during: Vec<(Duration, Mid)>,
    /// Whether to send media.
    pub media: bool,
    /// How ACK is sent.
    pub ack: AckStyle,
    /// Further headers of INVITE.
    pub headers: Vec<(String, String)>,
}

impl CallScript {
    /// A plain call to `uri`: talks for `talk`, then hangs up.
    pub fn plain(uri: &str, from: &str, talk: Option<Duration>) -> Self {
        Self {
            uri: uri.to_owned(),
            from: from.to_owned(),
            offer: true,
            give_up: None,
            talk,
            during: Vec::new(),
            media: true,
            ack: AckStyle::Prompt,
            headers: Vec::new(),
        }
    }
}

/// How a caller acknowledges a 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckStyle {
    /// At once, and again for each repeated 2xx.
    Prompt,
    /// The first one only after this long.
    Late(Duration),
    /// Never.
    Never,
}

/// What a phone does in the middle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mid {
    /// re-INVITE with `sendonly`.
    Hold,
    /// re-INVITE with `sendrecv`.
    Resume,
    /// re-INVITE without a description.
    Delayed,
    /// UPDATE with a description.
    Update,
    /// INFO with a DTMF relay body.
    Info,
}

/// How a phone answers a call.
#[derive(Clone, Debug)]
pub struct AnswerScript {
    /// 407 first, with these credentials; SHA-256 or MD5.
    pub challenge: Option<Door>,
    /// 100 at once.
    pub trying: bool,
    /// When it rings, with which status, and whether with a description (early media).
    pub ring: Option<(Duration, u16, bool)>,
    /// What comes of it, that long after INVITE.
    pub outcome: (Duration, Outcome),
    /// BYE goes out that long after the ACK; `None`: wait for the other side.
    pub talk: Option<Duration>,
    /// What is done meanwhile: how long after the ACK, and what.
    pub during: Vec<(Duration, Mid)>,
    /// Whether to send media.
    pub media: bool,
}

impl AnswerScript {
    /// Rings after 100 ms, answers after `after`, waits for the other side to hang up.
    pub fn plain(after: Duration) -> Self {
        Self {
            challenge: None,
            trying: true,
            ring: Some((Duration::from_millis(100), 180, false)),
            outcome: (after, Outcome::Answer),
            talk: None,
            during: Vec::new(),
            media: true,
        }
    }

    /// Refuses at once.
    pub fn refuse(status: u16) -> Self {
        let outcome = (Duration::ZERO, Outcome::Refuse(status));
        Self { ring: None, outcome, ..Self::plain(Duration::ZERO) }
    }
}

/// What opens a carrier's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// SHA-256 instead of MD5.
    pub sha256: bool,
}

/// What comes of an incoming call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200.
    Answer,
    /// Two 200s with different To-tags, as forking proxies produce them.
    Fork,
    /// This status.
    Refuse(u16),
    /// 302 to this URI.
    Redirect(String),
    /// No final response.
    Silence,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// This phone.
    Us,
    /// The other side.
    Them,
}

/// Something happened to a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneEvent {
    /// When.
    pub at: Instant,
    /// The phone's number of the call.
    pub call: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A call came in for this user.
    Incoming(String),
    /// 401 or 407 came.
    Challenged,
    /// A provisional response other than 100 came.
    Ringing(u16),
    /// It carried a description.
    EarlyMedia,
    /// 2xx came or went.
    Answered,
    /// The call failed with this status.
    Failed(u16),
    /// The dialog stands: ACK came or went.
    Confirmed,
    /// The other side held, resumed or changed something.
    Reoffered,
    /// The other side's INFO came.
    Informed,
    /// The other side gave up before the answer.
    Cancelled,
    /// BYE came or went and is done.
    Ended(EndedBy),
    /// A request of ours got no final response in 64*T1.
    TimedOut(String),
    /// The other side broke a rule.
    Fault(String),
}
