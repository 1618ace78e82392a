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
use crate::sys::clock;
use crate::sys::wake::{self, Sleeper, Waker};

mod connection;
mod incoming;
mod outgoing;
mod setup;
mod sip;
#[cfg(test)]
mod tests;

use connection::{Connection, Overdue, source};
pub use setup::{Framed, Limits, Listener, Protocol, ShardEnd, StreamSetup};
pub use sip::Sip;

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
