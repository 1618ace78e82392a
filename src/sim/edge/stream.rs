//! The stream thread of the simulated edge: connections, whole messages out of pieces, and word
//! of what broke.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Outside;
use crate::base::id::FlowId;
use crate::base::packet::{SipPath, Transport};
use crate::base::time::Instant;
use crate::sim::network::{Connection, Delivery, End};
use crate::sim::scene;
use crate::wire::sip::framing::{Framed, Framer};

/// The listener for TCP, as the setup numbers it.
const LISTENER: u8 = 1;
/// First port that the edge connects from.
const PORT_FIRST: u16 = 30_000;

/// What the shards are told.
#[derive(Debug)]
pub(super) enum Word {
    /// A whole message.
    Message(SipPath, Vec<u8>),
    /// A message with this shard's cookie could not be sent.
    Failed(usize, u64),
    /// A connection is gone.
    Closed(FlowId),
}

/// The connections of the edge.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<Connection, Stream>,
    port: u16,
}

#[derive(Debug)]
struct Stream {
    end: End,
    peer: SocketAddr,
    framer: Framer,
    buffer: Vec<u8>,
    /// Messages of ours on a connection that may yet be refused: shard and cookie.
    waiting: Vec<(usize, u64)>,
}

impl Streams {
    /// Takes what the network brings.
    pub(super) fn take(
        &mut self,
        now: Instant,
        delivery: Delivery,
        outside: &mut Outside<'_>,
    ) -> Vec<Word> {
        match delivery {
            Delivery::Accepted { connection, from, .. } => {
                self.open.insert(connection, Stream::new(End::Acceptor, from));
                Vec::new()
            }
            Delivery::Closed { connection, .. } => {
                let Some(stream) = self.open.remove(&connection) else { return Vec::new() };
                let failed = stream.waiting.into_iter();
                let mut words: Vec<_> = failed.map(|(shard, c)| Word::Failed(shard, c)).collect();
                words.push(Word::Closed(FlowId(connection.0)));
                words
            }
            Delivery::Segment { connection, bytes, .. } => {
                self.segment(now, connection, &bytes, outside)
            }
            Delivery::Datagram { .. } => Vec::new(),
        }
    }

    /// Sends a message on its connection, on one to its peer, or on a new one.
    pub(super) fn send(
        &mut self,
        now: Instant,
        (shard, cookie): (usize, u64),
        path: SipPath,
        bytes: &[u8],
        outside: &mut Outside<'_>,
    ) -> Option<Word> {
        let named = path.flow.map(|flow| Connection(flow.0));
        let by_peer =
            || self.open.iter().find(|(_, stream)| stream.peer == path.peer).map(|(c, _)| *c);
        let found = match named {
            Some(named) => self.open.contains_key(&named).then_some(named),
            None => by_peer(),
        };
        let connection = match found {
            Some(connection) => connection,
            // A flow that is named and gone is not replaced behind its owner's back.
            None if named.is_some() => return Some(Word::Failed(shard, cookie)),
            None => self.connect(now, path.peer, outside),
        };
        let stream = self.open.get_mut(&connection)?;
        let ends = (scene::edge_sip(), stream.peer);
        outside.log.stream_message(now, ends, bytes);
        if !outside.network.write(now, connection, stream.end, bytes) {
            // Refused connections are learned of when the refusal arrives.
            stream.waiting.push((shard, cookie));
        }
        None
    }

    fn connect(&mut self, now: Instant, to: SocketAddr, outside: &mut Outside<'_>) -> Connection {
        self.port = (self.port + 1) % 10_000;
        let from = SocketAddr::new(scene::edge_sip().ip(), PORT_FIRST + self.port);
        let connection = outside.network.connect(now, from, to);
        self.open.insert(connection, Stream::new(End::Opener, to));
        connection
    }

    fn segment(
        &mut self,
        now: Instant,
        connection: Connection,
        bytes: &[u8],
        outside: &mut Outside<'_>,
    ) -> Vec<Word> {
        let Some(stream) = self.open.get_mut(&connection) else { return Vec::new() };
        stream.buffer.extend_from_slice(bytes);
        let mut words = Vec::new();
        loop {
            match stream.framer.next(&stream.buffer) {
                Framed::NeedMore { .. } => break,
                Framed::KeepAlive { consumed, .. } => {
                    stream.buffer.drain(..consumed);
                }
                Framed::Message { consumed, range } => {
                    let message = stream.buffer[range].to_vec();
                    stream.buffer.drain(..consumed);
                    outside.log.stream_message(now, (stream.peer, scene::edge_sip()), &message);
                    let path = SipPath {
                        transport: Transport::Tcp,
                        listener: LISTENER,
                        peer: stream.peer,
                        flow: Some(FlowId(connection.0)),
                    };
                    words.push(Word::Message(path, message));
                }
                Framed::Fatal(malformed) => {
                    outside.log.violation(now, format!("a phone's stream is fatal: {malformed:?}"));
                    outside.network.close(now, connection);
                    break;
                }
            }
        }
        words
    }
}

impl Stream {
    const fn new(end: End, peer: SocketAddr) -> Self {
        Self { end, peer, framer: Framer::new(), buffer: Vec::new(), waiting: Vec::new() }
    }
}
