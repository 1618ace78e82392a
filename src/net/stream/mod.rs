//! SIP over TCP, on a thread of its own: accepts, frames, delivers whole messages to the shards
//! that own them, and carries the shards' messages out.
//!
//! A stranger costs as little as possible here: connections are counted per source, a message must
//! come soon and quickly, a peer that does not read is cut, and when the table is full those who
//! have not said anything yet go first.
//!
//! Path: kernel sockets -> here -> net::mail -> shard -> net::mail -> here -> kernel sockets

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::base::counter::{Counter, Counters};
use crate::base::id::{FlowId, ShardId};
use crate::base::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::base::packet::{SipPath, StreamNotice, Transport};
use crate::base::pool::{Key, Pool};
use crate::base::time::Instant;
use crate::net::{mail, sockets};
use crate::sys::clock;
use crate::sys::wake::{self, Sleeper, Waker};

mod connection;
#[cfg(test)]
mod tests;

use connection::{Connection, Overdue, ReadEnd, source};

/// What stands at the front of a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// No whole message yet.
    NeedMore,
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
    Fatal,
}

/// What the stream thread must know of SIP. The runtime supplies it.
pub trait Protocol {
    /// What framing remembers of one connection between reads.
    type Framer: Default;

    /// Looks at the bytes received and not yet taken. The caller takes what the answer says.
    fn frame(&mut self, framer: &mut Self::Framer, bytes: &[u8]) -> Framed;

    /// The shard that a message belongs to.
    fn owner(&mut self, path: &SipPath, message: &[u8]) -> ShardId;

    /// The last answer on a connection whose bytes are no SIP, if one can be given at all.
    fn refusal(&mut self, bytes: &[u8], answer: &mut Vec<u8>);
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
            connections_max: 8192,
            connections_per_source_max: 256,
            write_bytes_max: 256 * 1024,
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
    /// Its socket, from [`sockets::sip_tcp`].
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

/// The stream thread's world.
#[derive(Debug)]
pub struct Streams<P: Protocol> {
    poll: Poll,
    events: Events,
    sleeper: Sleeper,
    listeners: Vec<Accepting>,
    connections: Pool<Connection<P::Framer>>,
    by_peer: BTreeMap<(Transport, SocketAddr), Key>,
    by_source: BTreeMap<IpAddr, usize>,
    shards: Vec<ShardEnd>,
    /// Shards that got letters in this turn.
    told: u64,
    /// Connections with more to read than one turn allows.
    unread: Vec<Key>,
    protocol: P,
    limits: Limits,
    counters: Arc<Counters>,
    scratch: Box<[u8]>,
    sweep: Instant,
}

#[derive(Debug)]
struct Accepting {
    index: u8,
    ip: IpAddr,
    socket: TcpListener,
    /// Whether there may be more to accept.
    is_ready: bool,
}

const WAKER: Token = Token(0);
/// Tokens of listeners; those of connections have a generation in the upper half.
const FIRST_LISTENER: usize = 1;
const EVENTS: usize = 256;
/// Connections accepted, and letters of one shard carried, in one turn.
const ACCEPTS: usize = 64;
const LETTERS: usize = 256;
const SCRATCH_BYTES: usize = 64 * 1024;
/// How often timers are looked at; they are seconds long.
const SWEEP: Duration = Duration::from_millis(100);

const _: () = assert!(SCRATCH_BYTES >= STREAM_MESSAGE_BYTES_MAX);

impl<P: Protocol> Streams<P> {
    /// The thread's world, ready to run.
    ///
    /// # Errors
    /// What the kernel says; descriptors ran out.
    pub fn new(setup: StreamSetup<P>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (_, sleeper) = wake::pair()?;
        let registry = poll.registry();
        registry.register(&mut SourceFd(&sleeper.as_raw_fd()), WAKER, Interest::READABLE)?;
        let mut listeners = Vec::new();
        for (n, listener) in setup.listeners.into_iter().enumerate() {
            listener.socket.set_nonblocking(true)?;
            let ip = listener.socket.local_addr()?.ip();
            let mut socket = TcpListener::from_std(listener.socket);
            registry.register(&mut socket, Token(FIRST_LISTENER + n), Interest::READABLE)?;
            listeners.push(Accepting { index: listener.index, ip, socket, is_ready: true });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            sleeper,
            listeners,
            connections: Pool::new(setup.limits.connections_max),
            by_peer: BTreeMap::new(),
            by_source: BTreeMap::new(),
            shards: setup.shards,
            told: 0,
            unread: Vec::new(),
            protocol: setup.protocol,
            limits: setup.limits,
            counters: setup.counters,
            scratch: vec![0; SCRATCH_BYTES].into(),
            sweep: Instant::ZERO,
        })
    }

    /// Wakes the thread, after a shard has sent it a letter.
    pub fn waker(&self) -> Waker {
        self.sleeper.waker()
    }

    /// Connections at present.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Serves until `stop` is set (and the waker used).
    ///
    /// # Errors
    /// Only if waiting itself fails.
    pub fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Acquire) {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn: waits for something to do, does it, and looks at the timers.
    ///
    /// # Errors
    /// Only if waiting itself fails.
    pub fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        let now = clock::now();
        let tokens: Vec<_> =
            self.events.iter().map(|e| (e.token(), e.is_readable(), e.is_writable())).collect();
        for key in std::mem::take(&mut self.unread) {
            self.read(key, now);
        }
        for (token, is_readable, is_writable) in tokens {
            if token == WAKER {
                self.sleeper.drain();
            } else if let Some(listener) = self.listeners.get_mut(token.0 - FIRST_LISTENER) {
                listener.is_ready = true;
            } else {
                let key = Key::from_u64(token.0 as u64);
                if is_writable {
                    self.write(key, now);
                }
                if is_readable {
                    self.read(key, now);
                }
            }
        }
        self.accept(now);
        self.carry(now);
        if now >= self.sweep {
            self.sweep(now);
            self.sweep = now + SWEEP;
        }
        for (n, shard) in self.shards.iter().enumerate() {
            if self.told >> n & 1 == 1 {
                shard.waker.wake();
            }
        }
        self.told = 0;
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let has_work = !self.unread.is_empty() || self.listeners.iter().any(|l| l.is_ready);
        let may_sleep = self.sleeper.try_sleep() && !has_work;
        // Letters that the last turn's budget left behind need no wake.
        let has_letters = self.shards.iter().any(|shard| !shard.from.is_empty());
        let wait = if may_sleep && !has_letters { SWEEP } else { Duration::ZERO };
        let result = self.poll.poll(&mut self.events, Some(wait));
        self.sleeper.awake();
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, now: Instant) {
        for n in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                if !self.listeners[n].is_ready {
                    break;
                }
                match self.listeners[n].socket.accept() {
                    Ok((stream, peer)) => self.admit(n, stream, peer, now),
                    Err(error) => {
                        // Out of descriptors: the next sweep tries again. A connection that the
                        // peer has taken back already: there may be others behind it.
                        let is_passing = error.kind() == io::ErrorKind::ConnectionAborted;
                        self.listeners[n].is_ready = is_passing;
                    }
                }
            }
        }
    }

    fn admit(&mut self, listener: usize, stream: TcpStream, peer: SocketAddr, now: Instant) {
        let source = source(peer.ip());
        let count = self.by_source.get(&source).copied().unwrap_or(0);
        if count >= self.limits.connections_per_source_max || !self.make_room() {
            self.counters.count(Counter::StreamRefused);
            return;
        }
        let index = self.listeners[listener].index;
        let path = SipPath { transport: Transport::Tcp, listener: index, peer, flow: None };
        if self.enter(stream, path, true, now).is_some() {
            *self.by_source.entry(source).or_insert(0) += 1;
            self.counters.count(Counter::StreamAccepted);
        }
    }

    /// Makes sure that one more connection fits, at the cost of the oldest that has not said
    /// anything yet.
    fn make_room(&mut self) -> bool {
        if self.connections.len() < self.connections.capacity() {
            return true;
        }
        let nobodies = self.connections.iter().filter(|(_, c)| c.is_inbound && !c.is_proven);
        let Some((key, _)) = nobodies.min_by_key(|(_, c)| c.opened) else { return false };
        self.counters.count(Counter::StreamRefused);
        self.close(key);
        true
    }

    /// Takes a connection into the table.
    fn enter(
        &mut self,
        stream: TcpStream,
        path: SipPath,
        is_inbound: bool,
        now: Instant,
    ) -> Option<Key> {
        tune(&stream);
        let connection = Connection::new(stream, path, is_inbound, now);
        let key = self.connections.insert(connection).ok()?;
        let token = Token(usize::try_from(key.to_u64()).ok()?);
        let connection = self.connections.get_mut(key)?;
        if connection.register(self.poll.registry(), token).is_err() {
            self.connections.remove(key);
            return None;
        }
        self.by_peer.insert((path.transport, path.peer), key);
        Some(key)
    }

    /// Carries what shards have sent.
    fn carry(&mut self, now: Instant) {
        for n in 0..self.shards.len() {
            let shard = ShardId(u16::try_from(n).expect("at most SHARDS_MAX"));
            for _ in 0..LETTERS {
                // The ring leaves the table for a moment, because sending needs all of it.
                let Some(letter) = self.shards[n].from.receive() else { break };
                let mail::Letter::Message { path, cookie, bytes } = letter else { continue };
                let mut message = std::mem::take(&mut self.scratch);
                let length = bytes.len();
                message[..length].copy_from_slice(bytes);
                if !self.send(shard, path, cookie, &message[..length], now) {
                    self.tell(shard, StreamNotice::Failed { cookie });
                }
                self.scratch = message;
            }
        }
    }

    /// Sends one message. `false`: there is no connection for it, and none can be made.
    fn send(
        &mut self,
        shard: ShardId,
        path: SipPath,
        cookie: u64,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        let key = match path.flow {
            Some(flow) => Some(Key::from_u64(flow.0)),
            None => self.by_peer.get(&(path.transport, path.peer)).copied(),
        };
        let key = key.filter(|key| self.connections.get(*key).is_some());
        let key = if path.flow.is_some() { key } else { key.or_else(|| self.connect(path, now)) };
        let Some(key) = key else { return false };
        let Some(connection) = self.connections.get_mut(key) else { return false };
        if !connection.send(bytes, Some((shard, cookie)), &self.limits, now) {
            self.counters.count(Counter::StreamSlowReaders);
            // Closing tells the senders of all messages that have not left, this one's too.
            self.close(key);
        }
        true
    }

    fn connect(&mut self, path: SipPath, now: Instant) -> Option<Key> {
        if path.transport != Transport::Tcp || !self.make_room() {
            return None;
        }
        let listener = self.listeners.iter().find(|l| l.index == path.listener);
        let from = listener.map_or(sockets::ANYWHERE, |l| l.ip);
        let stream = sockets::connect(from, path.peer);
        let key = stream
            .ok()
            .and_then(|stream| self.enter(TcpStream::from_std(stream), path, false, now));
        if key.is_none() {
            self.counters.count(Counter::StreamConnectFailed);
        }
        key
    }

    fn write(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_connected {
            match connection.finish_connect(now) {
                Ok(true) => self.counters.count(Counter::StreamConnected),
                Ok(false) => return,
                Err(_) => {
                    self.counters.count(Counter::StreamConnectFailed);
                    return self.close(key);
                }
            }
        }
        if !connection.flush(now) {
            self.close(key);
        }
    }

    fn read(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_connected {
            return;
        }
        let end = connection.read(&mut self.scratch);
        if !self.digest(key, now) {
            return;
        }
        match end {
            ReadEnd::Empty => {}
            ReadEnd::More => self.unread.push(key),
            ReadEnd::Closed => self.close(key),
        }
    }

    /// Cuts a connection's bytes into messages and delivers them. `false`: it was closed.
    fn digest(&mut self, key: Key, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let path = connection.path(FlowId(key.to_u64()));
        let (mut at, mut has_message, mut pongs) = (0, false, 0);
        let is_fatal = loop {
            let bytes = &connection.input[at..];
            match self.protocol.frame(&mut connection.framer, bytes) {
                Framed::NeedMore => break false,
                Framed::Fatal => break true,
                Framed::KeepAlive { consumed, pong } => {
                    pongs += usize::from(pong);
                    at += consumed;
                }
                Framed::Message { consumed, range } => {
                    let message = &bytes[range];
                    let owner = self.protocol.owner(&path, message);
                    let index = usize::from(owner.0);
                    if self.shards[index].to.message(path, 0, message) {
                        self.told |= 1 << index;
                    } else {
                        self.counters.count(Counter::MailFull);
                    }
                    connection.introduce(owner);
                    has_message = true;
                    at += consumed;
                }
            }
        };
        let is_sent = pongs == 0 || connection.send(b"\r\n", None, &self.limits, now);
        if is_fatal {
            let mut answer = Vec::new();
            self.protocol.refusal(&connection.input[at..], &mut answer);
            connection.send(&answer, None, &self.limits, now);
            self.counters.count(Counter::StreamMalformed);
            self.close(key);
            return false;
        }
        connection.take(at, has_message, now);
        if !is_sent {
            self.counters.count(Counter::StreamSlowReaders);
            self.close(key);
        }
        is_sent
    }

    /// Closes what is out of time.
    fn sweep(&mut self, now: Instant) {
        let limits = &self.limits;
        let overdue =
            |(key, c): (Key, &Connection<P::Framer>)| Some((key, c.overdue(limits, now)?));
        let keys: Vec<_> = self.connections.iter().filter_map(overdue).collect();
        for (key, why) in keys {
            self.counters.count(match why {
                Overdue::Connect => Counter::StreamConnectFailed,
                Overdue::Peer => Counter::StreamTimedOut,
                Overdue::Reader => Counter::StreamSlowReaders,
            });
            self.close(key);
        }
        for listener in &mut self.listeners {
            listener.is_ready = true;
        }
    }

    /// Takes a connection out of the table and tells the shards that knew it.
    fn close(&mut self, key: Key) {
        let Some(connection) = self.connections.remove(key) else { return };
        let peer = (connection.transport, connection.peer);
        if self.by_peer.get(&peer) == Some(&key) {
            self.by_peer.remove(&peer);
        }
        if connection.is_inbound {
            let source = source(connection.peer.ip());
            if let Some(count) = self.by_source.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.by_source.remove(&source);
                }
            }
        }
        for mark in connection.unsent().filter(|mark| mark.cookie != 0) {
            self.tell(mark.shard, StreamNotice::Failed { cookie: mark.cookie });
        }
        let flow = FlowId(key.to_u64());
        for shard in connection.shards() {
            self.tell(shard, StreamNotice::Closed { flow });
        }
    }

    fn tell(&mut self, shard: ShardId, notice: StreamNotice) {
        if notice == (StreamNotice::Failed { cookie: 0 }) {
            return;
        }
        let index = usize::from(shard.0);
        if self.shards[index].to.notice(notice) {
            self.told |= 1 << index;
        } else {
            self.counters.count(Counter::MailFull);
        }
    }
}

/// Peers that vanish without a word are noticed, and small messages leave at once.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10));
    // A socket without these still works.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
}
