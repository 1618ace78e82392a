//! L5: packet backends over the seam of `base::packet`, stream connections, and the rings between
//! threads that carry SIP messages.
//!
//! A backend is one shard's window on the network. It knows sockets and nothing of calls; the
//! shard knows calls and nothing of sockets. All backends behave alike and pass the same tests.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::base::counter::Counters;
use crate::base::id::ShardId;
use crate::base::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_ROOM_BYTES};
use crate::base::packet::{Frame, MediaPort, Outbox, SipPath};
use crate::sys::uring::Unavailable;
use crate::sys::wake::Waker;

mod desk;
pub mod epoll;
pub mod mail;
pub mod sockets;
pub mod stream;
pub mod uring;

/// Bytes of a SIP datagram's buffer. One byte more than the largest datagram is received, so that
/// a frame longer than [`DATAGRAM_BYTES_MAX`] is known to have lost its end.
pub(crate) const SIP_BUFFER_BYTES: usize = DATAGRAM_BYTES_MAX + 1 + DATAGRAM_ROOM_BYTES;

/// What a burst is lent to: rewrites the frames, leaves verdicts, and may send through the outbox.
pub type Handle<'h> = dyn FnMut(&mut [Frame<'_>], &mut dyn Outbox) + 'h;

/// The packet backend of one shard. Build it anywhere, then use it from one thread only.
pub trait PacketIo {
    /// Sends what is queued, then waits until something arrives, the waker is used or the time is
    /// up (`None`: no limit; zero: do not wait), lends at most one burst to `handle`, and sends
    /// what the verdicts say. `handle` is not called without frames. Says how many frames came.
    ///
    /// A SIP frame longer than [`DATAGRAM_BYTES_MAX`] is one that lost its end.
    ///
    /// After this call look into the rings that the waker stands for.
    ///
    /// # Errors
    /// Only if waiting itself fails, which no retry cures. Single datagrams and sockets that fail
    /// are counted instead.
    fn poll(&mut self, wait: Option<Duration>, handle: &mut Handle<'_>) -> io::Result<usize>;

    /// Lends the outbox without a burst, for what follows from answers and deadlines. What is
    /// written leaves with [`PacketIo::flush`] or the next [`PacketIo::poll`].
    fn outbox(&mut self, write: &mut dyn FnMut(&mut dyn Outbox));

    /// Sends what is queued.
    fn flush(&mut self);

    /// Wakes a sleeping [`PacketIo::poll`] from other threads.
    fn waker(&self) -> Waker;
}

/// Where a shard's messages go that no UDP socket carries. The runtime supplies it, over the rings
/// of [`mail`].
pub trait Mail {
    /// A SIP message for a stream connection. `false`: the ring is full.
    fn stream(&mut self, path: SipPath, cookie: u64, bytes: &[u8]) -> bool;

    /// A SIP datagram that belongs to another shard. `false`: the ring is full.
    fn hand_over(&mut self, shard: ShardId, path: SipPath, bytes: &[u8]) -> bool;
}

/// The media ports of one shard.
#[derive(Clone, Debug)]
pub struct MediaSlice {
    /// Configured media addresses, in order; [`MediaPort::address`] counts them.
    pub addresses: Vec<IpAddr>,
    /// First port of the shard's slice.
    pub first: u16,
    /// Last port of the shard's slice, itself included.
    pub last: u16,
}

impl MediaSlice {
    /// The place of a port in a table of all of the slice's ports; `None` for ports outside it.
    pub fn index(&self, port: MediaPort) -> Option<usize> {
        let address = usize::from(port.address);
        let is_inside = (self.first..=self.last).contains(&port.port);
        (is_inside && address < self.addresses.len())
            .then(|| address * self.ports() + usize::from(port.port - self.first))
    }

    /// Ports over all addresses.
    pub fn len(&self) -> usize {
        self.addresses.len() * self.ports()
    }

    /// Whether there is no port at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn ports(&self) -> usize {
        (usize::from(self.last) + 1).saturating_sub(usize::from(self.first))
    }
}

/// What a backend is built from.
pub struct Setup {
    /// One socket for each configured SIP listener, in order; `None` for listeners that are not
    /// UDP. Made by [`sockets::sip_udp`].
    pub sip: Vec<Option<UdpSocket>>,
    /// The shard's media ports. None is open at first.
    pub media: MediaSlice,
    /// The way to stream connections and other shards.
    pub mail: Box<dyn Mail + Send>,
    /// The shard's counters; the backend writes on the shard's thread.
    pub counters: Arc<Counters>,
}

/// Which backend the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where this host permits it, else epoll.
    #[default]
    Auto,
    /// io_uring, or no start.
    Uring,
    /// epoll.
    Epoll,
}

/// The backend that all shards of this process use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// [`uring::Uring`].
    Uring,
    /// [`epoll::Epoll`].
    Epoll,
}

/// Chooses the backend, once a process, by trying io_uring out. The text says why, for the log.
///
/// # Errors
/// If io_uring is asked for and this host does not permit it.
pub fn choose(wanted: Backend) -> Result<(Chosen, String), Unavailable> {
    match (wanted, wanted_probe(wanted)) {
        (Backend::Epoll, _) => Ok((Chosen::Epoll, "epoll, as configured".into())),
        (Backend::Uring, Ok(())) => Ok((Chosen::Uring, "io_uring, as configured".into())),
        (Backend::Uring, Err(reason)) => Err(reason),
        (Backend::Auto, Ok(())) => Ok((Chosen::Uring, "io_uring, which this host permits".into())),
        (Backend::Auto, Err(reason)) => Ok((Chosen::Epoll, format!("epoll, because {reason}"))),
    }
}

/// Builds the chosen backend for one shard.
///
/// # Errors
/// What the kernel says; descriptors or memory ran out.
pub fn build(chosen: Chosen, setup: Setup) -> io::Result<Box<dyn PacketIo + Send>> {
    match chosen {
        Chosen::Epoll => Ok(Box::new(epoll::Epoll::new(setup)?)),
        Chosen::Uring => Ok(Box::new(uring::Uring::new(setup).map_err(io::Error::other)?)),
    }
}

fn wanted_probe(wanted: Backend) -> Result<(), Unavailable> {
    if wanted == Backend::Epoll { Ok(()) } else { crate::sys::uring::probe() }
}

#[cfg(test)]
mod tests;
