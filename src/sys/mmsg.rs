//! Many datagrams a system call: `recvmmsg` and `sendmmsg` over memory made at the start.
//!
//! Path: kernel sockets -> here -> net::epoll -> shard -> net::epoll -> here -> kernel sockets
#![expect(unsafe_code, reason = "message headers carry raw pointers")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::sys::address::{RAW_ADDRESS_BYTES, RawAddress};

/// Buffers for received datagrams, filled socket by socket and lent out all at once.
///
/// The pages of a buffer are touched, and so take memory, only once a datagram lands in it.
pub struct ReceiveBatch {
    buffers: Box<[u8]>,
    buffer_bytes: usize,
    room_bytes: usize,
    names: Box<[RawAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    used: usize,
}

// SAFETY: the raw pointers in `vectors` and `headers` point into the boxes beside them, which
// move with them; they are written anew before every system call.
unsafe impl Send for ReceiveBatch {}

/// A datagram in its buffer.
#[derive(Debug)]
pub struct Datagram<'b> {
    /// Who sent it; `None` for a family that is neither IPv4 nor IPv6.
    pub source: Option<SocketAddr>,
    /// The whole buffer: the datagram, and room behind it.
    pub buffer: &'b mut [u8],
    /// Bytes of the datagram.
    pub length: usize,
    /// Whether the datagram was longer than the buffer less its room, and lost its end.
    pub is_cut: bool,
}

impl ReceiveBatch {
    /// `count` buffers of `buffer_bytes` each, of which the last `room_bytes` stay free behind a
    /// datagram.
    pub fn new(count: usize, buffer_bytes: usize, room_bytes: usize) -> Self {
        assert!(count > 0 && room_bytes < buffer_bytes);
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            buffers: vec![0; count * buffer_bytes].into(),
            buffer_bytes,
            room_bytes,
            names: vec![RawAddress::empty(); count].into(),
            vectors: vec![vector; count].into(),
            headers: vec![empty_header(); count].into(),
            used: 0,
        }
    }

    /// Takes at most `most` datagrams from `socket` without waiting, behind those already here,
    /// and says how many came. Fewer than asked for: the socket is empty.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let count = most.min(self.free());
        if count == 0 {
            return Ok(0);
        }
        self.point_headers(count);
        let headers = self.headers[self.used..self.used + count].as_mut_ptr();
        let asked = libc::c_uint::try_from(count).unwrap_or(libc::c_uint::MAX);
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: `headers` are `count` message headers whose names, vectors and buffers were
        // pointed just now at boxes owned by `self`, borrowed mutably for the whole call.
        let n = unsafe { libc::recvmmsg(fd, headers, asked, flags, ptr::null_mut()) };
        match usize::try_from(n) {
            Ok(n) => {
                self.used += n;
                Ok(n)
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error => Err(error),
            },
        }
    }

    /// Gives all buffers back.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// The datagrams received since the last [`ReceiveBatch::clear`], in order.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let received = self.names.iter().zip(&self.headers).take(self.used);
        self.buffers.chunks_exact_mut(self.buffer_bytes).zip(received).map(
            |(buffer, (name, header))| Datagram {
                source: name.get(),
                length: (header.msg_len as usize).min(buffer.len()),
                buffer,
                is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            },
        )
    }

    /// Buffers still free.
    pub fn free(&self) -> usize {
        self.headers.len() - self.used
    }

    fn point_headers(&mut self, count: usize) {
        let slots = self.used..self.used + count;
        let buffers = self.buffers.chunks_exact_mut(self.buffer_bytes).skip(self.used);
        let names = &mut self.names[slots.clone()];
        let vectors = &mut self.vectors[slots.clone()];
        let headers = &mut self.headers[slots];
        for (((buffer, name), vector), header) in
            buffers.zip(names).zip(vectors).zip(headers.iter_mut())
        {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = self.buffer_bytes - self.room_bytes;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = RAW_ADDRESS_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_flags = 0;
        }
    }
}

/// A datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Socket that it leaves from.
    pub socket: BorrowedFd<'a>,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Headers for sending many datagrams at once.
pub struct SendBatch {
    names: Box<[RawAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: as for `ReceiveBatch`; payload pointers are written anew before every system call.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Headers for `count` datagrams a system call.
    pub fn new(count: usize) -> Self {
        assert!(count > 0);
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            names: vec![RawAddress::empty(); count].into(),
            vectors: vec![vector; count].into(),
            headers: vec![empty_header(); count].into(),
        }
    }

    /// Sends all messages without waiting, one system call a socket, and says how many the kernel
    /// refused: those are lost, as on the network. Messages are reordered between sockets, never
    /// on one.
    pub fn send(&mut self, messages: &mut [Message<'_>]) -> usize {
        order_by_socket(messages);
        let mut failed = 0;
        for run in messages.chunk_by(|a, b| a.socket.as_raw_fd() == b.socket.as_raw_fd()) {
            for part in run.chunks(self.headers.len()) {
                failed += self.send_from_one(part);
            }
        }
        failed
    }

    fn send_from_one(&mut self, messages: &[Message<'_>]) -> usize {
        let Some(first) = messages.first() else { return 0 };
        self.point_headers(messages);
        let (mut next, mut failed) = (0, 0);
        while next < messages.len() {
            let rest = &mut self.headers[next..messages.len()];
            let count = libc::c_uint::try_from(rest.len()).unwrap_or(libc::c_uint::MAX);
            let fd = first.socket.as_raw_fd();
            // SAFETY: the headers were pointed just now at names and vectors owned by `self` and
            // at payloads that `messages` borrows for the whole call; the kernel only reads them.
            let n = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => next += n,
                _ => {
                    let error = io::Error::last_os_error();
                    match error.kind() {
                        io::ErrorKind::Interrupted => {}
                        // The socket's buffer is full: what is left would wait, and must not.
                        io::ErrorKind::WouldBlock => return failed + messages.len() - next,
                        // Only the first message was refused; those behind it may do better.
                        _ => {
                            next += 1;
                            failed += 1;
                        }
                    }
                }
            }
        }
        failed
    }

    fn point_headers(&mut self, messages: &[Message<'_>]) {
        let slots = self.names.iter_mut().zip(&mut self.vectors).zip(&mut self.headers);
        for (((name, vector), header), message) in slots.zip(messages) {
            header.msg_hdr.msg_namelen = name.set(message.to);
            vector.iov_base = message.bytes.as_ptr().cast_mut().cast();
            vector.iov_len = message.bytes.len();
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
    }
}

/// Brings messages of one socket together and keeps their order; insertion, because bursts are
/// short and mostly in order, and because a stable sort of the library's would allocate.
fn order_by_socket(messages: &mut [Message<'_>]) {
    for end in 1..messages.len() {
        let mut at = end;
        while at > 0 && messages[at - 1].socket.as_raw_fd() > messages[at].socket.as_raw_fd() {
            messages.swap(at - 1, at);
            at -= 1;
        }
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: a message header is made of integers and pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBatch").field("used", &self.used).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch").field("count", &self.headers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").expect("bind")
    }

    #[test]
    fn datagrams_from_several_sockets_share_a_batch() {
        let (a, b, peer) = (socket(), socket(), socket());
        let mut batch = ReceiveBatch::new(4, 64, 16);
        assert_eq!(batch.receive(a.as_fd(), 4).expect("empty"), 0);
        for (to, text) in [(&a, "one"), (&a, "two"), (&b, "three"), (&b, "four"), (&b, "five")] {
            peer.send_to(text.as_bytes(), to.local_addr().expect("address")).expect("send");
        }
        assert_eq!(batch.receive(a.as_fd(), 9).expect("receive"), 2);
        assert_eq!(batch.receive(b.as_fd(), 1).expect("receive"), 1);
        assert_eq!(batch.receive(b.as_fd(), 9).expect("receive"), 1);
        assert_eq!(batch.receive(b.as_fd(), 9).expect("full"), 0);
        let texts: Vec<_> = batch
            .datagrams()
            .map(|d| {
                assert_eq!(d.source, peer.local_addr().ok());
                String::from_utf8_lossy(&d.buffer[..d.length]).into_owned()
            })
            .collect();
        assert_eq!(texts, ["one", "two", "three", "four"]);
        batch.clear();
        assert_eq!(batch.receive(b.as_fd(), 9).expect("receive"), 1);
    }

    #[test]
    fn a_long_datagram_is_marked_as_cut_and_leaves_the_room_alone() {
        let (a, peer) = (socket(), socket());
        peer.send_to(&[7; 100], a.local_addr().expect("address")).expect("send");
        let mut batch = ReceiveBatch::new(2, 64, 16);
        batch.receive(a.as_fd(), 2).expect("receive");
        let datagram = batch.datagrams().next().expect("one");
        assert!(datagram.is_cut);
        assert_eq!((datagram.length, datagram.buffer.len()), (48, 64));
        assert_eq!(datagram.buffer[48..], [0; 16]);
    }

    #[test]
    fn one_refused_message_does_not_hold_up_the_others() {
        let (a, b, peer) = (socket(), socket(), socket());
        let to = peer.local_addr().expect("address");
        let nowhere = "127.0.0.1:0".parse().expect("address");
        let message =
            |from: &'static str, socket, to| Message { socket, to, bytes: from.as_bytes() };
        let mut messages = [
            message("b1", b.as_fd(), to),
            message("a1", a.as_fd(), to),
            message("lost", a.as_fd(), nowhere),
            message("a2", a.as_fd(), to),
            message("b2", b.as_fd(), to),
        ];
        assert_eq!(SendBatch::new(2).send(&mut messages), 1);
        let mut buffer = [0; 8];
        let mut texts = Vec::new();
        for _ in 0..4 {
            let n = peer.recv(&mut buffer).expect("receive");
            texts.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
        }
        texts.sort_by_key(|t| t.as_bytes()[0]);
        assert_eq!(texts, ["a1", "a2", "b1", "b2"]);
    }
}
