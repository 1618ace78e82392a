//! The backend for every Linux: epoll, `recvmmsg` and `sendmmsg`, a socket a port.
//!
//! Path: sys::poll, sys::mmsg -> here -> shard -> net::desk -> here -> sys::mmsg

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::base::bounded::List;
use crate::base::counter::Counter;
use crate::base::limits::{BURST_MAX, DATAGRAM_BYTES_MAX, DATAGRAM_ROOM_BYTES, MEDIA_BUFFER_BYTES};
use crate::base::packet::{Frame, Local, MediaPort, Outbox};
use crate::net::desk::{Desk, Engine};
use crate::net::{Handle, PacketIo, SIP_BUFFER_BYTES, Setup};
use crate::sys::mmsg::{Message, ReceiveBatch, SendBatch};
use crate::sys::poll::Poller;
use crate::sys::wake::{self, Sleeper, Waker};

/// SIP datagrams of one burst.
const SIP_BURST: usize = BURST_MAX / 2;
/// Datagrams that one media port may contribute to a burst: a flooded port must not fill it.
const MEDIA_SHARE: usize = BURST_MAX / 4;
/// Token of the waker; sockets have tokens below it.
const WAKER: u64 = u64::MAX;

const _: () = assert!(SIP_BUFFER_BYTES - DATAGRAM_ROOM_BYTES > DATAGRAM_BYTES_MAX);

/// Received datagrams of one kind, with the socket that each came in on.
struct Inbox<const N: usize> {
    batch: ReceiveBatch,
    locals: List<Local, N>,
}

/// The epoll backend of one shard.
pub struct Epoll {
    desk: Desk<Readiness>,
    sleeper: Sleeper,
    sip: Inbox<SIP_BURST>,
    media: Inbox<BURST_MAX>,
    /// Descriptors of the last wait that were not read yet are `next..ready`.
    next: usize,
    ready: usize,
}

struct Readiness {
    poller: Poller,
    batch: SendBatch,
}

impl Epoll {
    /// A backend over the given sockets.
    pub fn new(setup: Setup) -> io::Result<Self> {
        let mut poller = Poller::new(BURST_MAX)?;
        let (_, sleeper) = wake::pair()?;
        poller.add(sleeper.as_fd(), WAKER)?;
        let engine = Readiness { poller, batch: SendBatch::new(BURST_MAX) };
        let desk = Desk::new(setup, engine)
            .ok_or_else(|| io::Error::other("epoll refused to watch a SIP socket"))?;
        let sip = ReceiveBatch::new(SIP_BURST, SIP_BUFFER_BYTES, DATAGRAM_ROOM_BYTES);
        let media = ReceiveBatch::new(BURST_MAX, MEDIA_BUFFER_BYTES, DATAGRAM_ROOM_BYTES);
        Ok(Self {
            desk,
            sleeper,
            sip: Inbox { batch: sip, locals: List::new() },
            media: Inbox { batch: media, locals: List::new() },
            next: 0,
            ready: 0,
        })
    }

    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let is_sleep = wait != Some(Duration::ZERO);
        let may_sleep = is_sleep && self.sleeper.try_sleep();
        let wait = if may_sleep { wait } else { Some(Duration::ZERO) };
        self.next = 0;
        self.ready = 0;
        let result = self.desk.engine.poller.wait(wait);
        self.sleeper.awake();
        self.ready = result?;
        Ok(())
    }

    /// Reads ready sockets until the burst is full or all have been read once.
    fn gather(&mut self) {
        while self.next < self.ready {
            let received = self.sip.locals.len() + self.media.locals.len();
            let free = BURST_MAX - received;
            let token = self.desk.engine.poller.token(self.next);
            if token == WAKER {
                self.sleeper.drain();
                self.next += 1;
                continue;
            }
            let local = local_of(token);
            // A port closed since the wait is not there any more.
            if let Some(socket) = self.desk.socket(local) {
                let is_read = match local {
                    Local::Sip(_) => self.sip.fill(socket, local, free.min(SIP_BURST)),
                    Local::Media(_) => self.media.fill(socket, local, free.min(MEDIA_SHARE)),
                };
                if !is_read {
                    // No room: this socket is the first of the next burst.
                    return;
                }
            }
            self.next += 1;
        }
    }

    fn lend(&mut self, handle: &mut Handle<'_>) -> usize {
        let mut frames = List::<Frame<'_>, BURST_MAX>::new();
        for (datagram, local) in self.sip.batch.datagrams().zip(&self.sip.locals) {
            let Some(source) = datagram.source else { continue };
            frames.push(Frame::new(source, *local, datagram.buffer, datagram.length));
        }
        for (datagram, local) in self.media.batch.datagrams().zip(&self.media.locals) {
            if datagram.is_cut {
                self.desk.counters.count(Counter::NetDatagramsCut);
                continue;
            }
            let Some(source) = datagram.source else { continue };
            frames.push(Frame::new(source, *local, datagram.buffer, datagram.length));
        }
        if !frames.is_empty() {
            handle(&mut frames, &mut self.desk);
            self.desk.forward(&frames);
        }
        frames.len()
    }
}

impl PacketIo for Epoll {
    fn poll(&mut self, wait: Option<Duration>, handle: &mut Handle<'_>) -> io::Result<usize> {
        self.desk.flush();
        if self.next == self.ready {
            self.wait(wait)?;
        } else {
            // Sockets of the last wait are still to be read; the caller will look into its rings.
            self.sleeper.awake();
        }
        self.gather();
        let count = self.lend(handle);
        self.sip.clear();
        self.media.clear();
        self.desk.flush();
        Ok(count)
    }

    fn outbox(&mut self, write: &mut dyn FnMut(&mut dyn Outbox)) {
        write(&mut self.desk);
    }

    fn flush(&mut self) {
        self.desk.flush();
    }

    fn waker(&self) -> Waker {
        self.sleeper.waker()
    }
}

impl<const N: usize> Inbox<N> {
    /// Reads one socket. `false`: there was no room for even one datagram.
    fn fill(&mut self, socket: BorrowedFd<'_>, local: Local, most: usize) -> bool {
        if most == 0 || self.batch.free() == 0 {
            return false;
        }
        // An error on one socket (a pending ICMP message, memory pressure) is not the shard's:
        // reading it has cleared it, and the socket goes on.
        let received = self.batch.receive(socket, most).unwrap_or(0);
        for _ in 0..received {
            self.locals.push(local);
        }
        true
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.locals.clear();
    }
}

impl Engine for Readiness {
    fn watch(&mut self, socket: BorrowedFd<'_>, local: Local) -> bool {
        self.poller.add(socket, token_of(local)).is_ok()
    }

    fn unwatch(&mut self, _local: Local) {
        // Closing the socket takes it out of the epoll set.
    }

    fn send(&mut self, messages: &mut [Message<'_>]) -> usize {
        self.batch.send(messages)
    }
}

const SIP_BIT: u64 = 1 << 32;

fn token_of(local: Local) -> u64 {
    match local {
        Local::Sip(listener) => SIP_BIT | u64::from(listener),
        Local::Media(port) => u64::from(port.address) << 16 | u64::from(port.port),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the parts of a token are taken apart")]
fn local_of(token: u64) -> Local {
    if token & SIP_BIT != 0 {
        return Local::Sip(token as u8);
    }
    Local::Media(MediaPort { address: (token >> 16) as u8, port: token as u16 })
}
