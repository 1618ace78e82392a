//! The phones' side of streams: which connection leads where, and whole messages out of pieces.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::network::{Connection, Delivery, End, Network};
use super::scene;
use super::text::framed;
use crate::base::time::Instant;

/// First port that phones connect from.
const PORT_FIRST: u16 = 20_000;

/// The connections of all phones.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: BTreeMap<Connection, Line>,
    port: u16,
}

#[derive(Debug)]
struct Line {
    end: End,
    /// SIP address of the phone, and the edge's address as the phone sees it.
    phone: SocketAddr,
    edge: SocketAddr,
    buffer: Vec<u8>,
}

/// A message, where it came to and where it came from.
pub(super) type Whole = ((SocketAddr, SocketAddr), Vec<u8>);

impl Lines {
    /// Whether a delivery is the edge's; `None`: nobody's.
    pub(super) fn is_for_edge(&self, delivery: &Delivery, network: &Network) -> Option<bool> {
        let is_edge = |address: SocketAddr| address.ip() == scene::edge_sip().ip();
        match delivery {
            Delivery::Datagram { .. } => None,
            Delivery::Accepted { to, .. } => Some(is_edge(*to)),
            Delivery::Segment { connection, end, .. } | Delivery::Closed { connection, end } => {
                match (network.ends(*connection), self.open.get(connection)) {
                    (Some((from, to)), _) => {
                        Some(is_edge(if *end == End::Opener { from } else { to }))
                    }
                    // Gone for the network already, and for whoever opened it not yet.
                    (None, Some(line)) => Some(line.end != *end),
                    (None, None) => Some(true),
                }
            }
        }
    }

    /// Takes what arrives at a phone.
    pub(super) fn take(&mut self, delivery: Delivery) -> Vec<Whole> {
        match delivery {
            Delivery::Accepted { connection, from, to } => {
                let line = Line { end: End::Acceptor, phone: to, edge: from, buffer: Vec::new() };
                self.open.insert(connection, line);
                Vec::new()
            }
            Delivery::Closed { connection, .. } => {
                self.open.remove(&connection);
                Vec::new()
            }
            Delivery::Segment { connection, bytes, .. } => {
                let Some(line) = self.open.get_mut(&connection) else { return Vec::new() };
                line.buffer.extend(bytes);
                let mut whole = Vec::new();
                while let Some(length) = framed(&line.buffer) {
                    let message: Vec<u8> = line.buffer.drain(..length).collect();
                    whole.push(((line.phone, line.edge), message));
                }
                whole
            }
            Delivery::Datagram { .. } => Vec::new(),
        }
    }

    /// Sends from a phone, on the connection to that address or on a new one.
    pub(super) fn send(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        network: &mut Network,
    ) {
        let known = self.open.iter().find(|(_, line)| (line.phone, line.edge) == (from, to));
        let connection = match known {
            Some((connection, _)) => *connection,
            // Nobody listens where the edge connected from.
            None if to != scene::edge_sip() => return,
            None => {
                self.port = (self.port + 1) % 10_000;
                let own = SocketAddr::new(from.ip(), PORT_FIRST + self.port);
                let connection = network.connect(now, own, to);
                let line = Line { end: End::Opener, phone: from, edge: to, buffer: Vec::new() };
                self.open.insert(connection, line);
                connection
            }
        };
        let end = self.open.get(&connection).map_or(End::Opener, |line| line.end);
        // What a broken connection swallows is missed by whoever waits for the answer.
        network.write(now, connection, end, bytes);
    }
}
