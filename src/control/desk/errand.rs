//! What the desk asks others to do, and what they tell it.

use std::sync::Arc;

use super::stats::Outcome;
use crate::base::id::ShardId;
use crate::base::time::{Duration, Instant, WallTime};
use crate::call::script::Host;
use crate::control::event::EventKind;
use crate::control::store::OutboxKey;
use crate::directory::Name;
use crate::link::Answer;

/// An errand's number, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrandId(pub(super) u64);

#[cfg(test)]
impl ErrandId {
    /// A number for tests of those who run errands.
    pub(crate) fn for_test(number: u64) -> Self {
        Self(number)
    }
}

/// Something to be done.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "handed over at once, never kept")]
pub enum Errand {
    /// Send a callback; [`super::Desk::posted`] takes the outcome.
    Post(Post),
    /// Find a host's addresses (RFC 3263); [`super::Desk::resolved`] takes them.
    Resolve {
        /// Its number.
        id: ErrandId,
        /// The host.
        host: Host,
        /// After this nobody waits for it.
        deadline: Instant,
    },
    /// Answer a shard.
    Answer {
        /// The shard.
        shard: ShardId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Note in the store that an event was delivered.
    Delivered(OutboxKey),
    /// Note in the store that an event is to be tried again.
    Retry {
        /// Which.
        key: OutboxKey,
        /// Times that it was tried.
        attempts: u32,
        /// When to try again.
        at: WallTime,
        /// What went wrong.
        why: String,
    },
    /// Note in the store that an event is given up.
    Dead {
        /// Which.
        key: OutboxKey,
        /// What went wrong last.
        why: String,
    },
}

/// A callback to be sent.
#[derive(Clone, Debug)]
pub struct Post {
    /// Its number.
    pub id: ErrandId,
    /// Which event it carries.
    pub kind: EventKind,
    /// Whose it is.
    pub application: Name,
    /// Where it goes.
    pub url: String,
    /// Headers to send, names in lower case, values byte for byte.
    pub headers: [(&'static str, String); 3],
    /// Body to send, byte for byte.
    pub body: Arc<[u8]>,
    /// Time for the connection to come about.
    pub connect: Duration,
    /// When the whole reply must be there.
    pub deadline: Instant,
}

/// What became of a [`Post`].
#[derive(Clone, Debug)]
pub enum PostOutcome {
    /// The backend replied.
    Replied {
        /// HTTP status.
        status: u16,
        /// The whole body.
        body: Vec<u8>,
    },
    /// It did not.
    Failed {
        /// Why.
        why: PostFailure,
    },
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// The deadline came first.
    Timeout,
    /// No connection: refused, unreachable, no such name, no trust.
    Connect(String),
    /// The name leads to addresses where callbacks do not go.
    Forbidden(String),
    /// The reply has more bytes than an answer may have.
    TooLarge,
    /// The connection or the reply broke, or the errand cannot be carried out.
    Broken(String),
}

impl PostFailure {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout => Outcome::Timeout,
            Self::Connect(_) => Outcome::Connect,
            Self::Forbidden(_) => Outcome::Forbidden,
            Self::TooLarge | Self::Broken(_) => Outcome::Broken,
        }
    }
}

impl std::fmt::Display for PostFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("no reply in time"),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Forbidden(why) => write!(f, "address not allowed: {why}"),
            Self::TooLarge => f.write_str("the reply is larger than 256 KiB"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}
