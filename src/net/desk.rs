//! What all backends share: the table of sockets, the queue of the shard's own messages, and the
//! outbox over both.
//!
//! Path: shard -> here -> net::epoll or net::uring -> kernel sockets

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::base::bounded::List;
use crate::base::counter::{Counter, Counters};
use crate::base::limits::{
    BURST_MAX, DATAGRAM_BYTES_MAX, MEDIA_BUFFER_BYTES, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX,
};
use crate::base::packet::{Frame, Local, MediaPort, Outbox, Route, Transport, Verdict};
use crate::net::{Mail, MediaSlice, Setup, sockets};
use crate::sys::mmsg::Message;

/// What is peculiar to a backend.
pub(super) trait Engine {
    /// Makes a socket receive, as `local`.
    fn watch(&mut self, socket: BorrowedFd<'_>, local: Local) -> bool;

    /// Stops that, before the socket is closed.
    fn unwatch(&mut self, local: Local);

    /// Lets the kernel finish what closed sockets still hold.
    fn settle(&mut self) {}

    /// Sends all messages now and says how many were refused.
    fn send(&mut self, messages: &mut [Message<'_>]) -> usize;
}

/// The sockets of one shard, by what the seam calls them.
struct Sockets {
    sip: Vec<Option<UdpSocket>>,
    media: Vec<Option<UdpSocket>>,
    slice: MediaSlice,
}

impl Sockets {
    fn of(&self, local: Local) -> Option<BorrowedFd<'_>> {
        let socket = match local {
            Local::Sip(listener) => self.sip.get(usize::from(listener))?,
            Local::Media(port) => self.media.get(self.slice.index(port)?)?,
        };
        socket.as_ref().map(UdpSocket::as_fd)
    }
}

#[derive(Clone, Copy)]
struct Queued {
    from: Local,
    to: SocketAddr,
    start: usize,
    length: usize,
}

/// The shard's own messages, back to back in one block of memory.
struct Queue {
    bytes: Box<[u8]>,
    used: usize,
    messages: List<Queued, OUTBOX_MESSAGES_MAX>,
}

/// A shard's sockets, its queue, and the engine that moves the bytes.
pub(super) struct Desk<E> {
    pub(super) engine: E,
    sockets: Sockets,
    queue: Queue,
    mail: Box<dyn Mail + Send>,
    pub(super) counters: Arc<Counters>,
}

impl<E: Engine> Desk<E> {
    /// Takes the sockets in and makes the SIP listeners receive. `None`: the engine refused one.
    pub(super) fn new(setup: Setup, engine: E) -> Option<Self> {
        let ports = setup.media.len();
        let mut media = Vec::with_capacity(ports);
        media.resize_with(ports, || None);
        let sockets = Sockets { sip: setup.sip, media, slice: setup.media };
        let bytes = vec![0; OUTBOX_BYTES_MAX].into();
        let queue = Queue { bytes, used: 0, messages: List::new() };
        let (mail, counters) = (setup.mail, setup.counters);
        let mut desk = Self { engine, sockets, queue, mail, counters };
        for listener in 0..desk.sockets.sip.len() {
            let local = Local::Sip(u8::try_from(listener).ok()?);
            let Some(socket) = desk.sockets.of(local) else { continue };
            if !desk.engine.watch(socket, local) {
                return None;
            }
        }
        Some(desk)
    }

    /// The open socket of `local`.
    pub(super) fn socket(&self, local: Local) -> Option<BorrowedFd<'_>> {
        self.sockets.of(local)
    }

    /// Makes an open socket receive again, after its engine gave up on it.
    pub(super) fn rewatch(&mut self, local: Local) {
        if let Some(socket) = self.sockets.of(local) {
            // A refusal means that the engine is broken, which the next poll reports.
            self.engine.watch(socket, local);
        }
    }

    /// Sends the frames that are to be forwarded.
    pub(super) fn forward(&mut self, frames: &[Frame<'_>]) {
        let mut messages = List::<Message<'_>, BURST_MAX>::new();
        for frame in frames {
            let Verdict::Forward { from, to } = frame.verdict else { continue };
            match self.sockets.of(from) {
                Some(socket) => messages.push(Message { socket, to, bytes: frame.bytes() }),
                None => self.counters.count(Counter::NetSendFailed),
            }
        }
        if !messages.is_empty() {
            let failed = self.engine.send(&mut messages);
            self.counters.add(Counter::NetSendFailed, failed as u64);
        }
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) {
        for queued in self.queue.messages.chunks(BURST_MAX) {
            let mut messages = List::<Message<'_>, BURST_MAX>::new();
            for message in queued {
                let bytes = &self.queue.bytes[message.start..message.start + message.length];
                if let Some(socket) = self.sockets.of(message.from) {
                    messages.push(Message { socket, to: message.to, bytes });
                }
            }
            let failed = self.engine.send(&mut messages);
            self.counters.add(Counter::NetSendFailed, failed as u64);
        }
        self.queue.messages.clear();
        self.queue.used = 0;
    }

    /// Queues a datagram; the caller has made room for `most` bytes.
    fn queue(&mut self, from: Local, to: SocketAddr, most: usize, write: &mut Writer<'_>) -> bool {
        if self.sockets.of(from).is_none() {
            return false;
        }
        let start = self.queue.used;
        let length = write(&mut self.queue.bytes[start..start + most]);
        assert!(length <= most, "wrote {length} bytes into a buffer of {most}");
        if length > 0 {
            self.queue.messages.push(Queued { from, to, start, length });
            self.queue.used += length;
        }
        true
    }

    /// Writes into the free end of the queue's memory without queueing.
    fn scratch(&mut self, write: &mut Writer<'_>) -> (usize, usize) {
        let start = self.queue.used;
        let length = write(&mut self.queue.bytes[start..start + DATAGRAM_BYTES_MAX]);
        assert!(length <= DATAGRAM_BYTES_MAX, "wrote {length} bytes beyond the buffer");
        (start, start + length)
    }

    fn make_room(&mut self, most: usize) {
        if self.queue.messages.is_full() || self.queue.used + most > self.queue.bytes.len() {
            self.flush();
        }
    }
}

type Writer<'w> = dyn FnMut(&mut [u8]) -> usize + 'w;

impl<E: Engine> Outbox for Desk<E> {
    fn send(&mut self, route: Route, write: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        self.make_room(DATAGRAM_BYTES_MAX);
        match route {
            Route::Media { from, to } => {
                self.queue(Local::Media(from), to, MEDIA_BUFFER_BYTES, write)
            }
            Route::Sip { path, .. } if path.transport == Transport::Udp => {
                self.queue(Local::Sip(path.listener), path.peer, DATAGRAM_BYTES_MAX, write)
            }
            Route::Sip { path, cookie } => {
                let (start, end) = self.scratch(write);
                let bytes = &self.queue.bytes[start..end];
                let is_taken = bytes.is_empty() || self.mail.stream(path, cookie, bytes);
                if !is_taken {
                    self.counters.count(Counter::MailFull);
                }
                is_taken
            }
            Route::HandOver { shard, path } => {
                let (start, end) = self.scratch(write);
                let bytes = &self.queue.bytes[start..end];
                let is_taken = bytes.is_empty() || self.mail.hand_over(shard, path, bytes);
                if !is_taken {
                    self.counters.count(Counter::MailFull);
                }
                is_taken
            }
        }
    }

    fn open(&mut self, port: MediaPort) -> bool {
        let Some(index) = self.sockets.slice.index(port) else { return false };
        if self.sockets.media[index].is_some() {
            return false;
        }
        let ip = self.sockets.slice.addresses[usize::from(port.address)];
        let address = SocketAddr::new(ip, port.port);
        // The kernel may still hold the port's former socket for an operation being cancelled.
        let socket = sockets::media(address).or_else(|_| {
            self.engine.settle();
            sockets::media(address)
        });
        let Ok(socket) = socket else { return false };
        if !self.engine.watch(socket.as_fd(), Local::Media(port)) {
            return false;
        }
        self.sockets.media[index] = Some(socket);
        true
    }

    fn close(&mut self, port: MediaPort) {
        let Some(index) = self.sockets.slice.index(port) else { return };
        if self.sockets.media[index].is_none() {
            return;
        }
        // A last RTCP BYE may still wait to leave from this port.
        if self.queue.messages.iter().any(|m| m.from == Local::Media(port)) {
            self.flush();
        }
        self.engine.unwatch(Local::Media(port));
        self.sockets.media[index] = None;
    }
}
