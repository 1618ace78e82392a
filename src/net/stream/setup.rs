//! What the stream thread is made from: listeners, ways to the shards, SIP's rules, bounds.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::counter::Counters;
use crate::base::id::ShardId;
use crate::base::limits::{
    STREAM_CONNECTIONS_MAX, STREAM_CONNECTIONS_PER_SOURCE_MAX, STREAM_WRITE_BYTES_MAX,
};
use crate::base::packet::SipPath;
use crate::net::mail;
use crate::sys::wake::Waker;

/// What stands at the front of a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// No whole message yet.
    NeedMore {
        /// Whether one has begun: its sender is then on the clock. Line breaks between messages
        /// do not count.
        is_inside_message: bool,
    },
    /// Line breaks between messages.
    KeepAlive {
        /// Bytes to take from the front.
        consumed: usize,
        /// Whether they ask for one CRLF back (RFC 5626 §4.4.1).
        pong: bool,
    },
    /// A whole message.
    Message {
        /// Bytes to take from the front.
        consumed: usize,
        /// Where among them the message lies.
        range: Range<usize>,
    },
    /// The stream cannot be read on.
    Fatal {
        /// SIP status of the last answer; zero: none is given.
        status: u16,
    },
}

/// What the stream thread must know of SIP. The runtime supplies it.
pub trait Protocol {
    /// What framing remembers of one connection between reads.
    type Framer: Default;

    /// Looks at the bytes received and not yet taken. The caller takes what the answer says.
    fn frame(&mut self, framer: &mut Self::Framer, bytes: &[u8]) -> Framed;

    /// The shard that a message belongs to.
    fn owner(&mut self, path: &SipPath, message: &[u8]) -> ShardId;

    /// Writes the last answer on a connection whose bytes cannot be read on, if one can be given.
    fn refusal(&mut self, path: &SipPath, status: u16, bytes: &[u8], answer: &mut Vec<u8>);
}

/// How much the stream thread bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, in and out.
    pub connections_max: usize,
    /// Incoming connections of one IPv4 address or one IPv6 network of 64 bits.
    pub connections_per_source_max: usize,
    /// Bytes that wait for one peer to read them.
    pub write_bytes_max: usize,
    /// Time for a connection of ours to be established.
    pub connect: Duration,
    /// Time from being accepted to the end of the first message.
    pub first_message: Duration,
    /// Time from the first byte of a message to its last.
    pub message: Duration,
    /// Time that a peer may leave our bytes unread.
    pub write: Duration,
    /// Time without any message or keep-alive.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: STREAM_CONNECTIONS_MAX,
            connections_per_source_max: STREAM_CONNECTIONS_PER_SOURCE_MAX,
            write_bytes_max: STREAM_WRITE_BYTES_MAX,
            connect: Duration::from_secs(5),
            first_message: Duration::from_secs(5),
            message: Duration::from_secs(5),
            write: Duration::from_secs(10),
            idle: Duration::from_secs(1800),
        }
    }
}

/// A stream listener of the configuration.
#[derive(Debug)]
pub struct Listener {
    /// Its place in the configuration.
    pub index: u8,
    /// Its socket, from [`crate::net::sockets::sip_tcp`].
    pub socket: std::net::TcpListener,
}

/// The way to one shard and back.
#[derive(Debug)]
pub struct ShardEnd {
    /// Letters to the shard.
    pub to: mail::Sender,
    /// Letters from the shard.
    pub from: mail::Receiver,
    /// Wakes the shard.
    pub waker: Waker,
}

/// Everything that the stream thread is made from.
#[derive(Debug)]
pub struct StreamSetup<P> {
    /// Where to accept.
    pub listeners: Vec<Listener>,
    /// One end for each shard, in order.
    pub shards: Vec<ShardEnd>,
    /// Framing and ownership.
    pub protocol: P,
    /// Bounds.
    pub limits: Limits,
    /// Counters of this thread.
    pub counters: Arc<Counters>,
}
