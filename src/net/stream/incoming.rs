//! From the network: accepting, reading, cutting into messages, delivering.
//!
//! Path: kernel sockets -> here -> net::mail -> shard

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::connection::{ReadEnd, source};
use super::{Framed, Protocol, Streams};
use crate::base::counter::Counter;
use crate::base::id::FlowId;
use crate::base::packet::{SipPath, Transport};
use crate::base::pool::Key;
use crate::base::time::Instant;

/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 64;

impl<P: Protocol> Streams<P> {
    pub(super) fn accept(&mut self, now: Instant) {
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
    pub(super) fn make_room(&mut self) -> bool {
        if self.connections.len() < self.connections.capacity() {
            return true;
        }
        let nobodies = self.connections.iter().filter(|(_, c)| c.is_inbound && !c.is_proven);
        let Some((key, _)) = nobodies.min_by_key(|(_, c)| c.opened) else { return false };
        self.counters.count(Counter::StreamRefused);
        self.close(key);
        true
    }

    pub(super) fn read(&mut self, key: Key, now: Instant) {
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
        let end = loop {
            let bytes = &connection.input[at..];
            match self.protocol.frame(&mut connection.framer, bytes) {
                Framed::NeedMore { is_inside_message } => break Ok(is_inside_message),
                Framed::Fatal { status } => break Err(status),
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
        let is_inside_message = match end {
            Ok(is_inside_message) => is_inside_message,
            Err(status) => {
                let mut answer = Vec::new();
                if status != 0 {
                    self.protocol.refusal(&path, status, &connection.input[at..], &mut answer);
                }
                connection.send(&answer, None, &self.limits, now);
                self.counters.count(Counter::StreamMalformed);
                self.close(key);
                return false;
            }
        };
        connection.take(at, has_message, is_inside_message, now);
        if !is_sent {
            self.counters.count(Counter::StreamSlowReaders);
            self.close(key);
        }
        is_sent
    }
}
