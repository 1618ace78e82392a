//! The states of the four machines, and what the table keeps of one transaction.

use std::time::Duration;

use crate::base::blocks::Block;
use crate::base::packet::SipPath;
use crate::base::wheel::TimerId;

/// RFC 3261 figure 7, amended by RFC 6026 figure 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteServer {
    /// Not answered finally.
    Proceeding,
    /// Answered 300 to 699; waits for the ACK (timers G, H).
    Completed,
    /// Acknowledged; swallows repeated ACKs (timer I).
    Confirmed,
    /// Answered 2xx (timer L); the 2xx is repeated until it is acknowledged.
    Accepted {
        /// Whether the dialog has seen the ACK.
        acknowledged: bool,
    },
}

/// RFC 3261 figure 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Nothing was answered.
    Trying,
    /// Answered provisionally.
    Proceeding,
    /// Answered finally (timer J).
    Completed,
}

/// RFC 3261 figure 5, amended by RFC 6026 figure 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteClient {
    /// Sent (timers A, B).
    Calling {
        /// CANCEL is to follow the first provisional response.
        cancel: bool,
    },
    /// Answered provisionally. Without a timer of its own: ringing may take as long as it likes,
    /// until it is cancelled.
    Proceeding {
        /// CANCEL was sent; the final response is due within 64*T1.
        cancelled: bool,
    },
    /// Answered 300 to 699, and acknowledged (timer D).
    Completed,
    /// Answered 2xx (timer M).
    Accepted,
}

/// RFC 3261 figure 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Sent (timers E, F).
    Trying,
    /// Answered provisionally (timers E, F).
    Proceeding,
    /// Answered finally (timer K).
    Completed,
}

/// Which machine, and where it stands. `Terminated` is absence from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InviteServer(InviteServer),
    Server(Server),
    InviteClient(InviteClient),
    Client(Client),
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) state: State,
    pub(super) owner: u64,
    /// A CANCEL of the table's own: its owner is told nothing.
    pub(super) silent: bool,
    /// Where the kept copy goes.
    pub(super) path: SipPath,
    /// Hash of what matches a message to this transaction.
    pub(super) identity: u128,
    /// Server only: hash of Call-ID, From-tag and CSeq, where it is filed under that too.
    pub(super) request: Option<u128>,
    /// Hash of the To-tag of the 2xx, ours or the peer's; zero while there is none.
    pub(super) tag: u64,
    /// What would be sent again: a request, a response or an ACK.
    pub(super) copy: Option<Block>,
    /// Server only: what its final response will repeat of the request.
    pub(super) head: Option<Block>,
    /// The pause before the retransmission that is under way.
    pub(super) pause: Duration,
    pub(super) repeat: Option<TimerId>,
    pub(super) end: Option<TimerId>,
    /// Server on a stream: the port in sent-by, for a new connection when this one is gone.
    pub(super) sent_by_port: u16,
    /// Whether that new connection was tried.
    pub(super) rerouted: bool,
}

impl Transaction {
    pub(super) const fn new(state: State, owner: u64, path: SipPath, identity: u128) -> Self {
        Self {
            state,
            owner,
            silent: false,
            path,
            identity,
            request: None,
            tag: 0,
            copy: None,
            head: None,
            pause: Duration::ZERO,
            repeat: None,
            end: None,
            sent_by_port: 0,
            rerouted: false,
        }
    }

    pub(super) const fn is_reliable(&self) -> bool {
        self.path.transport.is_reliable()
    }
}
