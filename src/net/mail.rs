//! Rings for letters of any length between two threads: SIP messages from stream connections to
//! shards and back, and datagrams from the shard that received them to the shard that owns them.
//!
//! One thread sends and one receives. Nothing is allocated after the start, and a full ring is a
//! refusal that the sender counts. Wake the receiver after sending (`sys::wake`).
//!
//! Path: net::stream or a shard's outbox -> here -> shard::ingress or net::stream

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::base::id::FlowId;
use crate::base::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::base::packet::{SipPath, StreamNotice, Transport};

/// Bytes in front of each letter.
const HEADER_BYTES: usize = 56;

/// What arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Letter<'a> {
    /// A SIP message.
    Message {
        /// How it came, or is to go.
        path: SipPath,
        /// The sender's mark, see [`crate::base::packet::Route::Sip`]; zero if nobody waits.
        cookie: u64,
        /// The message.
        bytes: &'a mut [u8],
    },
    /// News of a connection.
    Notice(StreamNotice),
}

/// The sending end.
#[derive(Debug)]
pub struct Sender {
    ring: rtrb::Producer<u8>,
}

/// The receiving end, with room to unroll a letter that lies across the ring's end.
#[derive(Debug)]
pub struct Receiver {
    ring: rtrb::Consumer<u8>,
    letter: Box<[u8]>,
}

/// A ring of `bytes` bytes; each letter takes 56 more than its message.
pub fn ring(bytes: usize) -> (Sender, Receiver) {
    let (producer, consumer) = rtrb::RingBuffer::new(bytes);
    let letter = vec![0; STREAM_MESSAGE_BYTES_MAX].into();
    (Sender { ring: producer }, Receiver { ring: consumer, letter })
}

impl Sender {
    /// Sends a SIP message. `false`: there is no room, or the message is longer than any may be.
    pub fn message(&mut self, path: SipPath, cookie: u64, bytes: &[u8]) -> bool {
        self.send(Header { kind: Kind::Message, path, cookie, length: bytes.len() }, bytes)
    }

    /// Sends news of a connection. `false`: there is no room.
    pub fn notice(&mut self, notice: StreamNotice) -> bool {
        let (kind, cookie) = match notice {
            StreamNotice::Failed { cookie } => (Kind::Failed, cookie),
            StreamNotice::Closed { flow } => (Kind::Closed, flow.0),
        };
        self.send(Header { kind, path: NOWHERE, cookie, length: 0 }, &[])
    }

    fn send(&mut self, header: Header, bytes: &[u8]) -> bool {
        if bytes.len() > STREAM_MESSAGE_BYTES_MAX || self.ring.slots() < HEADER_BYTES + bytes.len()
        {
            return false;
        }
        // The receiver may see the header before the message, and then waits for the rest.
        let is_sent = self.ring.push_entire_slice(&header.encode()).is_ok()
            && self.ring.push_entire_slice(bytes).is_ok();
        assert!(is_sent, "there was room a moment ago, and only we fill it");
        true
    }
}

impl Receiver {
    /// The next letter, if a whole one is there.
    pub fn receive(&mut self) -> Option<Letter<'_>> {
        let mut encoded = [0; HEADER_BYTES];
        copy(&self.ring.read_chunk(HEADER_BYTES).ok()?, 0, &mut encoded);
        let header = Header::decode(&encoded);
        let chunk = self.ring.read_chunk(HEADER_BYTES + header.length).ok()?;
        let bytes = &mut self.letter[..header.length];
        copy(&chunk, HEADER_BYTES, bytes);
        chunk.commit_all();
        let Header { path, cookie, .. } = header;
        Some(match header.kind {
            Kind::Message => Letter::Message { path, cookie, bytes },
            Kind::Failed => Letter::Notice(StreamNotice::Failed { cookie }),
            Kind::Closed => Letter::Notice(StreamNotice::Closed { flow: FlowId(cookie) }),
        })
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// Copies what lies `skip` bytes into the chunk, which may be in two parts.
fn copy(chunk: &rtrb::chunks::ReadChunk<'_, u8>, skip: usize, to: &mut [u8]) {
    let (first, second) = chunk.as_slices();
    let from_first = first.get(skip..).unwrap_or(&[]);
    let n = from_first.len().min(to.len());
    to[..n].copy_from_slice(&from_first[..n]);
    let rest = &mut to[n..];
    let skip = skip.saturating_sub(first.len());
    rest.copy_from_slice(&second[skip..skip + rest.len()]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Failed,
    Closed,
}

/// What stands in front of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    kind: Kind,
    path: SipPath,
    cookie: u64,
    length: usize,
}

const NOWHERE: SipPath = SipPath {
    transport: Transport::Udp,
    listener: 0,
    peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    flow: None,
};

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut to = [0; HEADER_BYTES];
        to[0] = match self.kind {
            Kind::Message => 0,
            Kind::Failed => 1,
            Kind::Closed => 2,
        };
        to[1] = match self.path.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        };
        to[2] = self.path.listener;
        to[3] = u8::from(self.path.flow.is_some());
        to[4] = u8::from(self.path.peer.is_ipv6());
        to[6..8].copy_from_slice(&self.path.peer.port().to_ne_bytes());
        let length = u32::try_from(self.length).expect("checked against 64 KiB");
        to[8..12].copy_from_slice(&length.to_ne_bytes());
        match self.path.peer {
            SocketAddr::V4(peer) => to[24..28].copy_from_slice(&peer.ip().octets()),
            SocketAddr::V6(peer) => {
                to[12..16].copy_from_slice(&peer.flowinfo().to_ne_bytes());
                to[16..20].copy_from_slice(&peer.scope_id().to_ne_bytes());
                to[24..40].copy_from_slice(&peer.ip().octets());
            }
        }
        to[40..48].copy_from_slice(&self.path.flow.unwrap_or(FlowId(0)).0.to_ne_bytes());
        to[48..56].copy_from_slice(&self.cookie.to_ne_bytes());
        to
    }

    fn decode(from: &[u8; HEADER_BYTES]) -> Self {
        let port = u16::from_ne_bytes(part(from, 6));
        let peer = if from[4] == 0 {
            SocketAddr::new(Ipv4Addr::from(part::<4>(from, 24)).into(), port)
        } else {
            let ip = Ipv6Addr::from(part::<16>(from, 24));
            let flowinfo = u32::from_ne_bytes(part(from, 12));
            let scope = u32::from_ne_bytes(part(from, 16));
            SocketAddrV6::new(ip, port, flowinfo, scope).into()
        };
        let flow = (from[3] == 1).then(|| FlowId(u64::from_ne_bytes(part(from, 40))));
        let transport = [Transport::Udp, Transport::Tcp, Transport::Tls][usize::from(from[1])];
        Self {
            kind: [Kind::Message, Kind::Failed, Kind::Closed][usize::from(from[0])],
            path: SipPath { transport, listener: from[2], peer, flow },
            cookie: u64::from_ne_bytes(part(from, 48)),
            length: u32::from_ne_bytes(part(from, 8)) as usize,
        }
    }
}

fn part<const N: usize>(from: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|n| from[at + n])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(peer: &str, flow: Option<u64>) -> SipPath {
        let peer = peer.parse().expect("address");
        SipPath { transport: Transport::Tls, listener: 7, peer, flow: flow.map(FlowId) }
    }

    #[test]
    fn letters_read_back_whole_across_the_rings_end() {
        let (mut sender, mut receiver) = ring(1000);
        let paths = [
            path("192.0.2.1:5061", Some(u64::MAX)),
            path("[2001:db8::9]:1", None),
            path("[fe80::1%7]:65535", Some(0)),
        ];
        for n in 0..500usize {
            let path = paths[n % 3];
            let text = vec![u8::try_from(n % 251).expect("small"); n % 400];
            assert!(sender.message(path, n as u64, &text));
            let cookie = n as u64;
            let Some(Letter::Message { path: p, cookie: c, bytes }) = receiver.receive() else {
                panic!("letter {n} is missing");
            };
            assert_eq!((p, c, &*bytes), (path, cookie, &text[..]));
            assert!(receiver.receive().is_none() && receiver.is_empty());
        }
    }

    #[test]
    fn a_full_ring_refuses_and_goes_on_once_read() {
        let (mut sender, mut receiver) = ring(2 * (HEADER_BYTES + 10));
        let to = path("192.0.2.1:5060", None);
        assert!(sender.message(to, 1, &[1; 10]) && sender.message(to, 2, &[2; 10]));
        assert!(!sender.message(to, 3, &[]), "not even an empty one fits");
        assert!(!sender.notice(StreamNotice::Failed { cookie: 9 }));
        assert!(matches!(receiver.receive(), Some(Letter::Message { cookie: 1, .. })));
        assert!(sender.notice(StreamNotice::Failed { cookie: 9 }));
        assert!(matches!(receiver.receive(), Some(Letter::Message { cookie: 2, .. })));
        let failed = StreamNotice::Failed { cookie: 9 };
        assert_eq!(receiver.receive(), Some(Letter::Notice(failed)));
        let closed = StreamNotice::Closed { flow: FlowId(5) };
        assert!(sender.notice(closed));
        assert_eq!(receiver.receive(), Some(Letter::Notice(closed)));
    }

    #[test]
    fn the_largest_message_fits_and_one_byte_more_does_not() {
        let (mut sender, mut receiver) = ring(4 * STREAM_MESSAGE_BYTES_MAX);
        let to = path("192.0.2.1:5060", None);
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(STREAM_MESSAGE_BYTES_MAX + 1).collect();
        assert!(!sender.message(to, 0, &text));
        for _ in 0..20 {
            assert!(sender.message(to, 0, &text[..STREAM_MESSAGE_BYTES_MAX]));
            let Some(Letter::Message { bytes, .. }) = receiver.receive() else { panic!() };
            assert_eq!(*bytes, text[..STREAM_MESSAGE_BYTES_MAX]);
        }
        let (mut small, _receiver) = ring(1000);
        assert!(!small.message(to, 0, &text[..1000]), "larger than the whole ring");
    }

    #[test]
    fn two_threads_lose_and_tear_nothing() {
        let (mut sender, mut receiver) = ring(5000);
        let to = path("192.0.2.1:5060", None);
        let sending = std::thread::spawn(move || {
            for n in 0..50_000u64 {
                let fill = n.to_le_bytes()[0];
                let length = usize::try_from(n % 700).expect("small");
                while !sender.message(to, n, &vec![fill; length]) {
                    std::thread::yield_now();
                }
            }
        });
        for n in 0..50_000u64 {
            loop {
                let Some(letter) = receiver.receive() else {
                    std::thread::yield_now();
                    continue;
                };
                let Letter::Message { cookie, bytes, .. } = letter else { panic!() };
                assert_eq!((cookie, bytes.len() as u64), (n, n % 700));
                assert!(bytes.iter().all(|b| *b == n.to_le_bytes()[0]));
                break;
            }
        }
        sending.join().expect("thread");
    }
}
