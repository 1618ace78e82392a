//! From a configuration to running threads: bind first, then build, then start, so that a refusal
//! leaves nothing behind.

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::bind::{Bound, bind};
use super::control_thread::{ControlThread, resolve_and_compile};
use super::rings::{ControlEnd, Post, Wakers};
use super::tap::Tap;
use super::worker::Worker;
use super::{Edge, Order};
use crate::base::bounded::{List, clipped};
use crate::base::counter::Counters;
use crate::base::id::ShardId;
use crate::base::limits::{ANSWERS_MAX, EVENTS_MAX, SHARDS_MAX, TRACE_MAX};
use crate::base::rng::Rng;
use crate::base::time::WallTime;
use crate::call::machine::Patience;
use crate::config::{self, Config};
use crate::crypto::digest::Algorithm;
use crate::directory::Snapshot;
use crate::link::Trace;
use crate::net::stream::{self, ShardEnd, StreamSetup, Streams};
use crate::net::{self, MediaSlice, mail};
use crate::shard::Shard;
use crate::shard::setup::{Listener, MediaAddress, Setup};
use crate::sip::timers::Timers;
use crate::sys::log::{self, Level};
use crate::sys::{affinity, clock, entropy, limits, wake};

/// Bytes of a ring of letters between two shards.
const HAND_OVER_RING_BYTES: usize = 256 * 1024;
/// Bytes of a ring of letters between a shard and the stream thread.
const STREAM_RING_BYTES: usize = 1024 * 1024;
/// Calls of one shard where nothing says less.
const SHARD_CALLS_MAX: usize = 16_384;
/// Time that a shard gives control beyond the callback's own budget.
const ASK_MARGIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What does not come from the configuration file.
#[derive(Debug, Default)]
pub struct Options {
    /// Whether ladders are wanted: the lines are read from [`Options::ladders`]' consumers.
    pub ladders: Option<std::sync::mpsc::Sender<rtrb::Consumer<Trace>>>,
    /// Times of a call, where they shall differ from the usual ones.
    pub patience: Option<Patience>,
    /// No log lines on standard error.
    pub quiet: bool,
}

/// Why the edge did not start, in a sentence that says what to do.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Turns any error into a sentence that begins with what was being done.
pub(super) fn while_<E: std::fmt::Display>(doing: &str) -> impl Fn(E) -> StartError + '_ {
    move |error| StartError(format!("{doing}: {error}"))
}

pub(super) fn start(config: Config, options: Options) -> Result<Edge, StartError> {
    let mut notes = Vec::new();
    let descriptors = limits::raise_descriptors().map_err(while_("raising the limit on files"))?;
    limits::forbid_core_dumps().map_err(while_("forbidding core dumps"))?;
    let cpus = affinity::processors().map_err(while_("reading the processor mask"))?;
    let shards = config.runtime.shards.unwrap_or(cpus.len()).clamp(1, SHARDS_MAX);
    let (chosen, why) = net::choose(backend(config.runtime.backend))
        .map_err(|unavailable| StartError(format!("{unavailable}")))?;
    notes.push(format!("packet backend: {why}"));
    notes.push(format!("{shards} shards, at most {descriptors} open files"));
    let bound = bind(&config, shards)?;
    let mut rng = Rng::new(entropy::seed().map_err(while_("reading the kernel's entropy"))?);
    let directory = resolve_and_compile(&config, None, 1, &mut rng);
    let counters: Vec<_> = (0..=shards).map(|_| Counters::shared()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let builder = Builder {
        config: &config,
        bound: &bound,
        shards,
        chosen,
        directory: Arc::clone(&directory),
        counters: counters.clone(),
        stop: Arc::clone(&stop),
        wakers: Arc::new(OnceLock::new()),
        wall_at_zero: WallTime(clock::wall().0.saturating_sub(clock::now().as_millis())),
        patience: options.patience.unwrap_or_else(|| patience(&config)),
    };
    let (orders, inbox) = mpsc::unbounded_channel::<Order>();
    let parts = builder.build(&mut rng, &options)?;
    let api = TcpListener::bind(config.api.listen)
        .map_err(while_(&format!("binding the API to {}", config.api.listen)))?;
    let api_address = api.local_addr().map_err(while_("reading the API's address"))?;
    let wakers = builder.wakers;
    let control = ControlThread {
        sleeper: Some(parts.control_sleeper),
        from: parts.from_shards,
        to: parts.to_shards,
        wakers: Arc::clone(&wakers),
        orders: inbox,
        api: Some(api),
        counters: counters.clone(),
        directory,
        rng: rng.fork(),
        quiet: options.quiet,
        config: config.clone(),
    };
    let control = control.spawn()?;
    let mut threads = Vec::new();
    for (index, worker) in parts.workers.into_iter().enumerate() {
        let cpu = config.runtime.pin.then(|| cpus[index % cpus.len()]);
        threads.push(spawn_worker(index, cpu, worker)?);
    }
    let mut all_wakers = wakers.get().cloned().unwrap_or_default();
    if let Some((waker, thread)) = parts.streams {
        all_wakers.push(waker);
        threads.push(thread);
    }
    Ok(Edge {
        orders,
        stop,
        wakers: all_wakers,
        control: Some(control),
        threads,
        counters,
        notes,
        listeners: bound.listeners.iter().map(|l| (l.transport, l.address)).collect(),
        api: api_address,
    })
}

fn backend(wanted: config::Backend) -> net::Backend {
    match wanted {
        config::Backend::Auto => net::Backend::Auto,
        config::Backend::IoUring => net::Backend::Uring,
        config::Backend::Epoll => net::Backend::Epoll,
    }
}

fn patience(config: &Config) -> Patience {
    Patience { ask: config.callbacks.budget + ASK_MARGIN, ..Patience::default() }
}

struct Builder<'b> {
    config: &'b Config,
    bound: &'b Bound,
    shards: usize,
    chosen: net::Chosen,
    directory: Snapshot,
    counters: Vec<Arc<Counters>>,
    stop: Arc<AtomicBool>,
    wakers: Wakers,
    wall_at_zero: WallTime,
    patience: Patience,
}

/// What the threads are made from.
struct Parts {
    workers: Vec<Worker>,
    streams: Option<(wake::Waker, JoinHandle<()>)>,
    control_sleeper: wake::Sleeper,
    from_shards: Vec<rtrb::Consumer<crate::link::ToControl>>,
    to_shards: Vec<rtrb::Producer<crate::link::ToShard>>,
}

impl Builder<'_> {
    fn build(&self, rng: &mut Rng, options: &Options) -> Result<Parts, StartError> {
        let (control_waker, control_sleeper) = wake::pair().map_err(while_("making a waker"))?;
        let mut hand_over = self.hand_over_rings();
        let mut to_streams = Vec::new();
        let mut from_streams = Vec::new();
        for _ in 0..self.shards {
            to_streams.push(mail::ring(STREAM_RING_BYTES));
            from_streams.push(mail::ring(STREAM_RING_BYTES));
        }
        let (mut stream_senders, stream_receivers): (Vec<_>, Vec<_>) =
            to_streams.into_iter().unzip();
        let (shard_senders, mut shard_receivers): (Vec<_>, Vec<_>) =
            from_streams.into_iter().unzip();
        let has_streams = self.bound.listeners.iter().any(|l| l.transport.is_reliable());
        let streams_waker = Arc::new(OnceLock::new());
        let mut parts = Parts {
            workers: Vec::new(),
            streams: None,
            control_sleeper,
            from_shards: Vec::new(),
            to_shards: Vec::new(),
        };
        let mut wakers = Vec::new();
        for index in 0..self.shards {
            let sender = stream_senders.remove(0);
            let (shard_hand_over, mut letters) = hand_over.remove(0);
            letters.push(shard_receivers.remove(0));
            let post = Post {
                streams: has_streams.then(|| (sender, Arc::clone(&streams_waker))),
                shards: shard_hand_over,
                wakers: Arc::clone(&self.wakers),
            };
            let io = self.backend(index, post)?;
            wakers.push(io.waker());
            let (words, from) = rtrb::RingBuffer::new(EVENTS_MAX);
            let (to, inbox) = rtrb::RingBuffer::new(ANSWERS_MAX);
            parts.from_shards.push(from);
            parts.to_shards.push(to);
            let tap = options.ladders.as_ref().map(|ladders| {
                let (tap, lines) = Tap::new(TRACE_MAX, Arc::clone(&self.counters[index]));
                // Nobody reads: the ring fills and lines are dropped.
                let _ = ladders.send(lines);
                tap
            });
            parts.workers.push(Worker {
                shard: self.shard(index, rng.fork()),
                io,
                control: ControlEnd { words, waker: control_waker.clone() },
                words: inbox,
                letters,
                tap,
                spin: self.config.runtime.spin,
                stop: Arc::clone(&self.stop),
            });
        }
        // Set once, here.
        let _ = self.wakers.set(wakers.clone());
        if has_streams {
            let ends = shard_senders.into_iter().zip(stream_receivers).zip(&wakers);
            let ends = ends
                .map(|((to, from), waker)| ShardEnd { to, from, waker: waker.clone() })
                .collect();
            parts.streams = Some(self.streams(ends, &streams_waker)?);
        }
        Ok(parts)
    }

    /// For each shard: its senders to the others, and its receivers from them.
    fn hand_over_rings(&self) -> Vec<(Vec<Option<mail::Sender>>, Vec<mail::Receiver>)> {
        let mut ends: Vec<(Vec<Option<mail::Sender>>, Vec<mail::Receiver>)> =
            (0..self.shards).map(|_| (Vec::new(), Vec::new())).collect();
        for from in 0..self.shards {
            for to in 0..self.shards {
                if from == to {
                    ends[from].0.push(None);
                    continue;
                }
                let (sender, receiver) = mail::ring(HAND_OVER_RING_BYTES);
                ends[from].0.push(Some(sender));
                ends[to].1.push(receiver);
            }
        }
        ends
    }

    fn backend(
        &self,
        index: usize,
        post: Post,
    ) -> Result<Box<dyn net::PacketIo + Send>, StartError> {
        let (first, last) = self.slice(index);
        let addresses = self.config.media.addresses.iter().map(|address| address.bind).collect();
        let setup = net::Setup {
            sip: self.bound.listeners.iter().map(|l| l.udp.borrow_mut().pop()).collect(),
            media: MediaSlice { addresses, first, last },
            mail: Box::new(post),
            counters: Arc::clone(&self.counters[index]),
        };
        net::build(self.chosen, setup).map_err(while_("building the packet backend"))
    }

    /// The shard's part of the media ports: whole pairs, beginning with an even port.
    fn slice(&self, index: usize) -> (u16, u16) {
        let media = &self.config.media;
        let pairs = usize::from(media.port_last - media.port_first).div_ceil(2);
        let each = pairs / self.shards;
        let start = usize::from(media.port_first) + index * each * 2;
        let port = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        (port(start), port(start + each * 2 - 1))
    }

    fn shard(&self, index: usize, rng: Rng) -> Shard {
        let config = self.config;
        let listeners: List<Listener, { crate::shard::setup::LISTENERS_MAX }> = self
            .bound
            .listeners
            .iter()
            .map(|listener| Listener {
                transport: listener.transport,
                bound: listener.address,
                advertised: listener.advertised,
            })
            .collect();
        let media: List<MediaAddress, 8> = config
            .media
            .addresses
            .iter()
            .map(|address| MediaAddress { bound: address.bind, advertised: address.advertised })
            .collect();
        let (first, last) = self.slice(index);
        let calls_by_ports = usize::from(last - first).div_ceil(2) * media.len() / 2;
        let calls_max = config.runtime.calls_max.map_or(SHARD_CALLS_MAX, |calls| {
            usize::try_from(calls).unwrap_or(usize::MAX).div_ceil(self.shards)
        });
        let setup = Setup {
            id: ShardId(u16::try_from(index).unwrap_or(u16::MAX)),
            shards: u16::try_from(self.shards).unwrap_or(u16::MAX),
            listeners,
            host: clipped(&config.edge.host),
            media,
            ports: (first, last),
            all_ports: (config.media.port_first, config.media.port_last),
            quarantine: config.media.quarantine,
            digest: match config.sip.digest {
                config::DigestOffer::Both => &[Algorithm::Sha256, Algorithm::Md5],
                config::DigestOffer::Sha256 => &[Algorithm::Sha256],
                config::DigestOffer::Md5 => &[Algorithm::Md5],
            },
            calls_max: calls_max.min(calls_by_ports.max(1) + ENDING_CALLS),
            timers: Timers { t1: config.sip.t1, t2: config.sip.t2, t4: config.sip.t4 },
            patience: self.patience,
            wall_at_zero: self.wall_at_zero,
        };
        let counters = Arc::clone(&self.counters[index]);
        Shard::new(setup, Arc::clone(&self.directory), rng, clock::now(), counters)
    }

    fn streams(
        &self,
        shards: Vec<ShardEnd>,
        to_set: &OnceLock<wake::Waker>,
    ) -> Result<(wake::Waker, JoinHandle<()>), StartError> {
        let listeners = self
            .bound
            .listeners
            .iter()
            .zip(0u8..)
            .filter_map(|(listener, index)| {
                let socket = listener.tcp.borrow_mut().take()?;
                Some(stream::Listener { index, socket })
            })
            .collect();
        let setup = StreamSetup {
            listeners,
            shards,
            protocol: stream::Sip::new(u16::try_from(self.shards).unwrap_or(u16::MAX)),
            limits: stream::Limits::default(),
            counters: Arc::clone(&self.counters[self.shards]),
        };
        let mut streams = Streams::new(setup).map_err(while_("building the stream thread"))?;
        let waker = streams.waker();
        // Set once, here.
        let _ = to_set.set(waker.clone());
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new()
            .name("carrick-streams".into())
            .spawn(move || {
                if let Err(error) = streams.run(&stop) {
                    log::line(Level::Error, &format!("the stream thread ended: {error}"));
                }
            })
            .map_err(while_("starting the stream thread"))?;
        Ok((waker, thread))
    }
}

/// Calls that may be ending, and so without media, beside those that ports allow.
const ENDING_CALLS: usize = 256;

fn spawn_worker(
    index: usize,
    cpu: Option<usize>,
    worker: Worker,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(format!("carrick-shard-{index}"))
        .spawn(move || {
            if let Some(cpu) = cpu
                && let Err(error) = affinity::pin(cpu)
            {
                log::line(Level::Warn, &format!("shard {index} stays unpinned: {error}"));
            }
            if let Err(error) = worker.run() {
                log::line(Level::Error, &format!("shard {index} ended: {error}"));
            }
        })
        .map_err(while_("starting a shard"))
}
