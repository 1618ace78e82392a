//! From the shards: finding or making the connection for a message, and writing.
//!
//! Path: shard -> net::mail -> here -> kernel sockets

use mio::net::TcpStream;

use super::{Protocol, Streams};
use crate::base::counter::Counter;
use crate::base::id::ShardId;
use crate::base::packet::{SipPath, StreamNotice, Transport};
use crate::base::pool::Key;
use crate::base::time::Instant;
use crate::net::{mail, sockets};

/// Letters of one shard carried in one turn.
const LETTERS: usize = 256;

impl<P: Protocol> Streams<P> {
    /// Carries what shards have sent.
    pub(super) fn carry(&mut self, now: Instant) {
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

    pub(super) fn write(&mut self, key: Key, now: Instant) {
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
}
