//! One connection: its bytes in and out, who waits for what, and when its patience ends.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::base::id::{FlowId, ShardId};
use crate::base::limits::SHARDS_MAX;
use crate::base::packet::{SipPath, Transport};
use crate::base::time::Instant;
use crate::net::stream::Limits;

/// Bytes that one connection may bring in one go; the rest waits for the next turn.
const READ_BYTES_MAX: usize = 256 * 1024;

/// The byte stream itself. TLS wraps the same socket and becomes a second form of it.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
}

impl Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
        }
    }

    fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
        }
    }
}

/// A message on its way out, for telling its sender if it never got there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Where in the stream of bytes out it ends.
    end: u64,
    pub(super) shard: ShardId,
    pub(super) cookie: u64,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// All there was.
    Empty,
    /// A good deal, and perhaps there is more.
    More,
    /// The peer has closed, or the connection broke.
    Closed,
}

/// Why a connection is out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It was never established.
    Connect,
    /// No message came, or one came too slowly, or nothing happened for long.
    Peer,
    /// The peer does not read.
    Reader,
}

/// A connection of the stream thread.
#[derive(Debug)]
pub(super) struct Connection<F> {
    stream: Stream,
    pub(super) peer: SocketAddr,
    pub(super) listener: u8,
    pub(super) transport: Transport,
    pub(super) is_inbound: bool,
    pub(super) is_connected: bool,
    /// Whether a whole message has come: until then the peer is nobody.
    pub(super) is_proven: bool,
    pub(super) framer: F,
    pub(super) input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of `output` that are sent already, and of the whole stream so far.
    sent: usize,
    sent_total: u64,
    marks: VecDeque<Mark>,
    shards: u64,
    pub(super) opened: Instant,
    active: Instant,
    partial_since: Option<Instant>,
    stalled_since: Option<Instant>,
}

const _: () = assert!(SHARDS_MAX <= 64, "the shards that know a connection are bits of one u64");

impl<F: Default> Connection<F> {
    pub(super) fn new(stream: TcpStream, path: SipPath, is_inbound: bool, now: Instant) -> Self {
        Self {
            stream: Stream::Plain(stream),
            peer: path.peer,
            listener: path.listener,
            transport: path.transport,
            is_inbound,
            is_connected: is_inbound,
            is_proven: false,
            framer: F::default(),
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            sent_total: 0,
            marks: VecDeque::new(),
            shards: 0,
            opened: now,
            active: now,
            partial_since: None,
            stalled_since: None,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        // Edge-triggered, so that standing interest in writing costs nothing.
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(self.stream.socket(), token, interest)
    }

    /// Asks whether a connection under way has been established.
    pub(super) fn finish_connect(&mut self, now: Instant) -> io::Result<bool> {
        let socket = self.stream.socket();
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => {
                self.is_connected = true;
                self.active = now;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there into `input`.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> ReadEnd {
        let mut total = 0;
        while total < READ_BYTES_MAX {
            match self.stream.read(scratch) {
                Ok(0) => return ReadEnd::Closed,
                Ok(n) => {
                    self.input.extend_from_slice(&scratch[..n]);
                    total += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ReadEnd::Empty,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return ReadEnd::Closed,
            }
        }
        ReadEnd::More
    }

    /// Notes what has been taken from the front of `input`, and starts or stops the clock of a
    /// message that has begun and not ended.
    pub(super) fn take(
        &mut self,
        consumed: usize,
        has_message: bool,
        is_inside: bool,
        now: Instant,
    ) {
        self.input.drain(..consumed);
        if has_message {
            self.is_proven = true;
        }
        if consumed > 0 {
            self.active = now;
        }
        if self.input.is_empty() {
            // A connection at rest holds no memory.
            self.input = Vec::new();
        }
        if !is_inside {
            self.partial_since = None;
        } else if has_message || self.partial_since.is_none() {
            self.partial_since = Some(now);
        }
    }

    /// Queues bytes and sends what the socket takes. `false`: the peer reads too slowly or the
    /// connection broke; it must be closed.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        mark: Option<(ShardId, u64)>,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let waiting = self.output.len() - self.sent;
        if let Some((shard, cookie)) = mark {
            self.shards |= shard_bit(shard);
            let end = self.sent_total + waiting as u64 + bytes.len() as u64;
            self.marks.push_back(Mark { end, shard, cookie });
        }
        if waiting + bytes.len() > limits.write_bytes_max {
            return false;
        }
        self.output.extend_from_slice(bytes);
        self.active = now;
        !self.is_connected || self.flush(now)
    }

    /// Sends what the socket takes. `false`: the connection broke.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return false,
                Ok(n) => {
                    self.sent += n;
                    self.sent_total += n as u64;
                    self.stalled_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled_since.get_or_insert(now);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        while self.marks.front().is_some_and(|mark| mark.end <= self.sent_total) {
            self.marks.pop_front();
        }
        if self.sent == self.output.len() {
            self.output = Vec::new();
            self.sent = 0;
        } else if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        true
    }

    /// A shard has been told of this connection, and wants to hear when it is gone.
    pub(super) fn introduce(&mut self, shard: ShardId) {
        self.shards |= shard_bit(shard);
    }

    /// Messages that have not wholly left.
    pub(super) fn unsent(&self) -> impl Iterator<Item = Mark> {
        self.marks.iter().copied()
    }

    /// The shards that know of this connection.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> {
        let shards = self.shards;
        (0..64u16).filter(move |n| shards >> n & 1 == 1).map(ShardId)
    }

    pub(super) fn path(&self, flow: FlowId) -> SipPath {
        let (transport, listener, peer) = (self.transport, self.listener, self.peer);
        SipPath { transport, listener, peer, flow: Some(flow) }
    }

    /// Whether a timer has run out.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Option<Overdue> {
        let is_past = |start: Instant, patience: Duration| now >= start + patience;
        if !self.is_connected {
            return is_past(self.opened, limits.connect).then_some(Overdue::Connect);
        }
        if self.stalled_since.is_some_and(|since| is_past(since, limits.write)) {
            return Some(Overdue::Reader);
        }
        let is_nobody = self.is_inbound && !self.is_proven;
        let is_overdue = (is_nobody && is_past(self.opened, limits.first_message))
            || self.partial_since.is_some_and(|since| is_past(since, limits.message))
            || is_past(self.active, limits.idle);
        is_overdue.then_some(Overdue::Peer)
    }
}

fn shard_bit(shard: ShardId) -> u64 {
    1 << (u32::from(shard.0) % 64)
}

/// Whom a limit per source counts: an IPv4 address, or an IPv6 network of 64 bits, because every
/// home has a whole one of those.
pub(super) fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}
