//! The seam: what a packet backend and a shard say to each other. Neither imports the other.
//!
//! A backend lends a burst of [`Frame`]s; the shard rewrites them in place and leaves a
//! [`Verdict`] on each. Messages of the shard's own go through an [`Outbox`], which lends the
//! buffer to write into. The same types carry io_uring, AF_XDP, epoll and the simulated network.

use std::net::SocketAddr;

use crate::base::id::FlowId;

/// One of the edge's own sockets or ports, as both sides of the seam name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Local {
    /// A SIP listener, by its place in the configuration.
    Sip(u8),
    /// A media port of the shard's slice.
    Media(MediaPort),
}

/// A media port: which of the configured media addresses, and the UDP port on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaPort {
    /// Index into the configured media addresses.
    pub address: u8,
    /// UDP port.
    pub port: u16,
}

/// What becomes of a frame once the shard has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Give the buffer back; nothing is sent.
    Drop,
    /// Send the frame's bytes, as they now are, from `from` to `to`.
    Forward {
        /// The edge's port that the datagram leaves from.
        from: Local,
        /// Where it goes.
        to: SocketAddr,
    },
}

/// A received datagram in a lent buffer.
#[derive(Debug)]
pub struct Frame<'b> {
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it arrived.
    pub local: Local,
    /// Set by the shard; [`Verdict::Drop`] until then.
    pub verdict: Verdict,
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> Frame<'b> {
    /// A frame over `buffer`, whose first `length` bytes are the datagram. The rest is room that
    /// the shard may grow into (an SRTP tag).
    pub fn new(source: SocketAddr, local: Local, buffer: &'b mut [u8], length: usize) -> Self {
        assert!(length <= buffer.len());
        Self { source, local, verdict: Verdict::Drop, buffer, length }
    }

    /// The datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The datagram, to be rewritten in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// The whole buffer: the datagram and the room behind it.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.buffer
    }

    /// Sets how much of the buffer is the datagram.
    pub fn set_length(&mut self, length: usize) {
        assert!(length <= self.buffer.len());
        self.length = length;
    }
}

/// A SIP transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream under TLS.
    Tls,
}

impl Transport {
    /// Upper-case, as in Via (`SIP/2.0/UDP`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Lower-case, as in `;transport=udp`.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Whether the transport itself repeats lost bytes, so that SIP need not (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Reads either case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|t| text.eq_ignore_ascii_case(t.name()))
    }
}

/// The way a SIP message came, and the way back to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipPath {
    /// Transport of the message.
    pub transport: Transport,
    /// Index of the configured SIP listener that it came in on, or leaves from.
    pub listener: u8,
    /// The peer's address, as the socket saw it.
    pub peer: SocketAddr,
    /// The connection, for a stream transport that has one already. `None` on a stream path asks
    /// for one: an open connection to `peer` is reused, else one is made.
    pub flow: Option<FlowId>,
}

/// Where a message of the shard's own goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A SIP message. `cookie` comes back with [`StreamNotice::Failed`] if a stream cannot carry
    /// it; zero where nobody waits.
    Sip {
        /// Transport, listener, peer, connection.
        path: SipPath,
        /// The sender's own mark, for example its client transaction.
        cookie: u64,
    },
    /// A media packet from one of the shard's ports.
    Media {
        /// Port that it leaves from.
        from: MediaPort,
        /// Where it goes.
        to: SocketAddr,
    },
    /// The bytes of a SIP datagram that belongs to another shard. The written bytes are the
    /// datagram as it came.
    HandOver {
        /// The owner.
        shard: crate::base::id::ShardId,
        /// How the datagram came.
        path: SipPath,
    },
}

/// What a stream thread tells a shard besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamNotice {
    /// The message with this cookie could not be sent: no connection, or it broke first.
    Failed {
        /// Mark given with [`Route::Sip`].
        cookie: u64,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        flow: FlowId,
    },
}

/// Takes what a shard sends of its own accord, and its wishes for media ports.
pub trait Outbox {
    /// Lends a buffer; `write` fills it and says how many bytes it wrote (zero: send nothing).
    /// `false`: no room, nothing was sent; the caller counts it as loss on the network.
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool;

    /// Makes a media port receive. `false`: the port cannot be had (taken, or out of descriptors).
    fn open(&mut self, port: MediaPort) -> bool;

    /// Stops receiving on a media port and frees what it held.
    fn close(&mut self, port: MediaPort);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_grows_into_its_room_only() {
        let mut buffer = [0u8; 8];
        let source = "127.0.0.1:5060".parse().expect("address");
        let mut frame = Frame::new(source, Local::Sip(0), &mut buffer, 4);
        frame.set_length(8);
        assert_eq!(frame.bytes().len(), 8);
        assert_eq!(frame.verdict, Verdict::Drop);
    }

    #[test]
    fn transport_reads_either_case() {
        assert_eq!(Transport::parse("tls"), Some(Transport::Tls));
        assert_eq!(Transport::parse("Udp"), Some(Transport::Udp));
        assert_eq!(Transport::parse("sctp"), None);
    }
}
