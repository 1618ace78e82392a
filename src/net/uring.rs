//! The backend over io_uring: a multishot receive on every socket, sends in one system call a
//! burst.
//!
//! Files are not registered with the ring: a multishot receive looks its file up once, and a send
//! saves too little to pay for keeping a second table in step with opening and closing ports.
//!
//! Path: sys::uring -> here -> shard -> net::desk -> here -> sys::uring

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::base::bounded::List;
use crate::base::counter::Counter;
use crate::base::limits::{BURST_MAX, DATAGRAM_BYTES_MAX};
use crate::base::packet::{Frame, Local, MediaPort, Outbox};
use crate::net::desk::{Desk, Engine};
use crate::net::{Handle, MEDIA_BUFFER_BYTES, MediaSlice, PacketIo, ROOM_BYTES, Setup};
use crate::sys::mmsg::Message;
use crate::sys::uring::{BufferPool, Event, Lent, PoolPlan, Ring, Unavailable};
use crate::sys::wake::{self, Sleeper, Waker};

/// Pools of the ring, by their place.
const SIP_POOL: u8 = 0;
const MEDIA_POOL: u8 = 1;
const PLANS: [PoolPlan; 2] = [
    PoolPlan { buffers: 64, datagram_bytes: DATAGRAM_BYTES_MAX + 1, room_bytes: ROOM_BYTES },
    // Sixteen bursts: multishot receives take buffers before the shard gets to see them.
    PoolPlan {
        buffers: 1024,
        datagram_bytes: MEDIA_BUFFER_BYTES - ROOM_BYTES,
        room_bytes: ROOM_BYTES,
    },
];

const _: () = assert!(PLANS[1].buffers as usize >= 4 * BURST_MAX);

/// The io_uring backend of one shard.
pub struct Uring {
    desk: Desk<Receives>,
    sleeper: Sleeper,
    sip: BufferPool,
    media: BufferPool,
}

/// The ring, and which receives on it are still wanted.
struct Receives {
    ring: Ring,
    slice: MediaSlice,
    /// How often each media port was opened or closed: what a former receive on the same port
    /// still reports bears an older number.
    generations: Vec<u8>,
}

/// What one turn brings: datagrams to lend, and receives that must be asked for again.
struct Harvest {
    sip: List<(Lent, Local), BURST_MAX>,
    media: List<(Lent, Local), BURST_MAX>,
    ended: List<(Local, u64), BURST_MAX>,
    is_watch_ended: bool,
}

impl Uring {
    /// A backend over the given sockets, or why this host permits none.
    pub fn new(setup: Setup) -> Result<Self, Unavailable> {
        let (ring, pools) = Ring::new(&PLANS, BURST_MAX)?;
        let broken = |what: &str| Unavailable(format!("io_uring gives no {what}"));
        let Ok([sip, media]) = <[BufferPool; 2]>::try_from(pools) else {
            return Err(broken("second pool"));
        };
        let generations = vec![0; setup.media.len()];
        let mut engine = Receives { ring, slice: setup.media.clone(), generations };
        let (_, sleeper) = wake::pair().map_err(|error| Unavailable(error.to_string()))?;
        if !engine.ring.watch(sleeper.as_fd(), 0) {
            return Err(broken("watch on the waker"));
        }
        let desk = Desk::new(setup, engine).ok_or_else(|| broken("receive on a SIP socket"))?;
        Ok(Self { desk, sleeper, sip, media })
    }

    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let ring = &mut self.desk.engine.ring;
        let is_sleep = wait != Some(Duration::ZERO) && !ring.has_events();
        let may_sleep = is_sleep && self.sleeper.try_sleep();
        let result = ring.enter(if may_sleep { wait } else { Some(Duration::ZERO) });
        self.sleeper.awake();
        result
    }

    /// Takes events until the burst is full or none is left.
    fn gather(&mut self) -> Harvest {
        let (sip, media, ended) = (List::new(), List::new(), List::new());
        let mut harvest = Harvest { sip, media, ended, is_watch_ended: false };
        while harvest.sip.len() + harvest.media.len() < BURST_MAX && !harvest.ended.is_full() {
            let Some(event) = self.desk.engine.ring.event() else { break };
            match event {
                Event::Receive { token, lent, is_ended, is_starved } => {
                    let local = self.desk.engine.local_of(token);
                    if let Some(lent) = lent {
                        self.keep(lent, local, &mut harvest);
                    }
                    if is_starved {
                        self.desk.counters.count(Counter::NetBuffersExhausted);
                    }
                    if let (true, Some(local)) = (is_ended, local) {
                        harvest.ended.push((local, token));
                    }
                }
                Event::Readable { is_ended, .. } => {
                    self.sleeper.drain();
                    harvest.is_watch_ended |= is_ended;
                }
                Event::SendFailed => self.desk.counters.count(Counter::NetSendFailed),
            }
        }
        harvest
    }

    /// Keeps a datagram for the burst, or gives its buffer back at once.
    fn keep(&mut self, lent: Lent, local: Option<Local>, harvest: &mut Harvest) {
        let is_sip = self.sip.owns(&lent);
        match local {
            Some(local) if is_sip && lent.source.is_some() => harvest.sip.push((lent, local)),
            Some(local) if lent.source.is_some() && !lent.is_cut => {
                harvest.media.push((lent, local));
            }
            _ => {
                if local.is_some() && lent.is_cut {
                    self.desk.counters.count(Counter::NetDatagramsCut);
                }
                let pool = if is_sip { &mut self.sip } else { &mut self.media };
                pool.recycle(lent);
            }
        }
    }

    fn lend(&mut self, harvest: &mut Harvest, handle: &mut Handle<'_>) -> usize {
        let mut frames = List::<Frame<'_>, BURST_MAX>::new();
        let pools = [(&self.sip, &mut harvest.sip), (&self.media, &mut harvest.media)];
        for (pool, datagrams) in pools {
            for (lent, local) in datagrams {
                let (Some(source), length) = (lent.source, lent.length) else { continue };
                frames.push(Frame::new(source, *local, pool.bytes(lent), length));
            }
        }
        if !frames.is_empty() {
            handle(&mut frames, &mut self.desk);
            self.desk.forward(&frames);
        }
        frames.len()
    }

    /// Gives buffers back and asks again for receives that have ended.
    fn renew(&mut self, harvest: Harvest) {
        for (lent, _) in harvest.sip {
            self.sip.recycle(lent);
        }
        for (lent, _) in harvest.media {
            self.media.recycle(lent);
        }
        for (local, token) in harvest.ended {
            // The shard may have closed the port meanwhile, and opened it anew, which asked for a
            // receive of its own.
            if self.desk.engine.token_of(local).1 == token {
                self.desk.rewatch(local);
            }
        }
        if harvest.is_watch_ended {
            self.desk.engine.ring.watch(self.sleeper.as_fd(), 0);
        }
    }
}

impl PacketIo for Uring {
    fn poll(&mut self, wait: Option<Duration>, handle: &mut Handle<'_>) -> io::Result<usize> {
        self.desk.flush();
        self.wait(wait)?;
        let mut harvest = self.gather();
        let count = self.lend(&mut harvest, handle);
        self.renew(harvest);
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

const SIP_BIT: u64 = 1 << 32;

impl Receives {
    /// Pool and token of the present receive on `local`.
    fn token_of(&self, local: Local) -> (u8, u64) {
        match local {
            Local::Sip(listener) => (SIP_POOL, SIP_BIT | u64::from(listener)),
            Local::Media(port) => {
                let index = self.slice.index(port);
                let generation = index.map_or(0, |index| self.generations[index]);
                let (address, port) = (u64::from(port.address), u64::from(port.port));
                (MEDIA_POOL, u64::from(generation) << 24 | address << 16 | port)
            }
        }
    }

    /// The socket of a token; `None` for a receive that was cancelled.
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a token are taken apart")]
    fn local_of(&self, token: u64) -> Option<Local> {
        if token & SIP_BIT != 0 {
            return Some(Local::Sip(token as u8));
        }
        let port = MediaPort { address: (token >> 16) as u8, port: token as u16 };
        let generation = (token >> 24) as u8;
        let is_current = self.generations[self.slice.index(port)?] == generation;
        is_current.then_some(Local::Media(port))
    }

    fn renumber(&mut self, local: Local) {
        if let Local::Media(port) = local
            && let Some(index) = self.slice.index(port)
        {
            self.generations[index] = self.generations[index].wrapping_add(1);
        }
    }
}

impl Engine for Receives {
    fn watch(&mut self, socket: BorrowedFd<'_>, local: Local) -> bool {
        let (pool, token) = self.token_of(local);
        self.ring.receive(socket, pool, token)
    }

    fn unwatch(&mut self, local: Local) {
        let (pool, token) = self.token_of(local);
        self.ring.cancel(pool, token);
        self.renumber(local);
    }

    fn settle(&mut self) {
        // Submits cancellations and lets them take effect, which frees the sockets they held. An
        // error here will show in the next poll.
        let _ = self.ring.enter(Some(Duration::ZERO));
    }

    fn send(&mut self, messages: &mut [Message<'_>]) -> usize {
        self.ring.send(messages)
    }
}
