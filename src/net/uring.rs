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
use crate::base::counter::{Counter, Counters};
use crate::base::limits::{BURST_MAX, DATAGRAM_BYTES_MAX, DATAGRAM_ROOM_BYTES, MEDIA_BUFFER_BYTES};
use crate::base::packet::{Frame, Local, MediaPort, Outbox};
use crate::net::desk::{Desk, Engine};
use crate::net::{Handle, MediaSlice, PacketIo, Setup};
use crate::sys::mmsg::Message;
use crate::sys::uring::{BufferPool, Event, Lent, PoolPlan, Ring, Unavailable};
use crate::sys::wake::{self, Sleeper, Waker};

/// Pools of the ring, by their place.
const SIP_POOL: u8 = 0;
const MEDIA_POOL: u8 = 1;
const PLANS: [PoolPlan; 2] = [
    PoolPlan {
        buffers: 64,
        datagram_bytes: DATAGRAM_BYTES_MAX + 1,
        room_bytes: DATAGRAM_ROOM_BYTES,
    },
    // Sixteen bursts: multishot receives take buffers before the shard gets to see them.
    PoolPlan {
        buffers: 1024,
        datagram_bytes: MEDIA_BUFFER_BYTES - DATAGRAM_ROOM_BYTES,
        room_bytes: DATAGRAM_ROOM_BYTES,
    },
];

const _: () = assert!(PLANS[1].buffers as usize >= 4 * BURST_MAX);

/// The io_uring backend of one shard.
pub struct Uring {
    desk: Desk<Receives>,
    sleeper: Sleeper,
    pools: Pools,
    harvest: Harvest,
}

struct Pools {
    sip: BufferPool,
    media: BufferPool,
}

/// The ring, and which receives on it are still wanted.
struct Receives {
    ring: Ring,
    slice: MediaSlice,
    /// How often each media port was closed: what a former receive on the same port
    /// still reports bears an older number.
    generations: Vec<u8>,
}

/// What one turn brings, empty between turns: datagrams to lend, and receives that must be asked
/// for again.
#[derive(Default)]
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
        let pools = Pools { sip, media };
        Ok(Self { desk, sleeper, pools, harvest: Harvest::default() })
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
    fn gather(&mut self) {
        let Self { desk, sleeper, pools, harvest } = self;
        while !harvest.is_full() {
            let Some(event) = desk.engine.ring.event() else { break };
            match event {
                Event::Receive { token, lent, is_ended, is_starved } => {
                    let local = desk.engine.local_of(token);
                    if let Some(lent) = lent {
                        harvest.keep(lent, local, pools, &desk.counters);
                    }
                    if is_starved {
                        desk.counters.count(Counter::NetBuffersExhausted);
                    }
                    if let (true, Some(local)) = (is_ended, local) {
                        harvest.ended.push((local, token));
                    }
                }
                Event::Readable { is_ended, .. } => {
                    sleeper.drain();
                    harvest.is_watch_ended |= is_ended;
                }
                Event::SendFailed => desk.counters.count(Counter::NetSendFailed),
            }
        }
    }

    fn lend(&mut self, handle: &mut Handle<'_>) -> usize {
        let Self { desk, pools, harvest, .. } = self;
        let mut frames = List::<Frame<'_>, BURST_MAX>::new();
        for (pool, datagrams) in
            [(&pools.sip, &mut harvest.sip), (&pools.media, &mut harvest.media)]
        {
            for (lent, local) in datagrams {
                let (Some(source), length) = (lent.source, lent.length) else { continue };
                frames.push(Frame::new(source, *local, pool.bytes(lent), length));
            }
        }
        if !frames.is_empty() {
            handle(&mut frames, desk);
            desk.forward(&frames);
        }
        frames.len()
    }

    /// Gives buffers back and asks again for receives that have ended.
    fn renew(&mut self) {
        let Self { desk, sleeper, pools, harvest } = self;
        for (lent, _) in harvest.sip.drain(..) {
            pools.sip.recycle(lent);
        }
        for (lent, _) in harvest.media.drain(..) {
            pools.media.recycle(lent);
        }
        for (local, token) in harvest.ended.drain(..) {
            // The shard may have closed the port meanwhile, and opened it anew, which asked for a
            // receive of its own.
            if desk.engine.token_of(local).1 == token {
                desk.rewatch(local);
            }
        }
        if std::mem::take(&mut harvest.is_watch_ended) {
            desk.engine.ring.watch(sleeper.as_fd(), 0);
        }
    }
}

impl Harvest {
    fn is_full(&self) -> bool {
        self.sip.len() + self.media.len() == BURST_MAX || self.ended.is_full()
    }

    /// Keeps a datagram for the burst, or gives its buffer back at once.
    fn keep(&mut self, lent: Lent, local: Option<Local>, pools: &mut Pools, counters: &Counters) {
        let is_sip = pools.sip.owns(&lent);
        match local {
            Some(local) if is_sip && lent.source.is_some() => self.sip.push((lent, local)),
            Some(local) if lent.source.is_some() && !lent.is_cut => self.media.push((lent, local)),
            _ => {
                if local.is_some() && lent.is_cut {
                    counters.count(Counter::NetDatagramsCut);
                }
                let pool = if is_sip { &mut pools.sip } else { &mut pools.media };
                pool.recycle(lent);
            }
        }
    }
}

impl PacketIo for Uring {
    fn poll(&mut self, wait: Option<Duration>, handle: &mut Handle<'_>) -> io::Result<usize> {
        self.desk.flush();
        self.wait(wait)?;
        self.gather();
        let count = self.lend(handle);
        self.renew();
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
