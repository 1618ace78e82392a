//! The world: the edge, its neighbours and the network between them, and what happens to them,
//! under one virtual clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::backend::Backend;
use super::breaks::Break;
use super::checkers;
use super::edge::{Edge, Outside};
use super::hostile::{self, Hostile};
use super::lines::Lines;
use super::log::Log;
use super::network::{Conditions, Delivery, Network};
use super::options::{CallPlan, Options};
use super::phone::{Datagram, Phone, PhoneConfig, PhoneEvent, What, session};
use super::queue::Queue;
use super::scene::{self, Host};
use super::text::Style;
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// Longest that a phone's script may take from its INVITE on: it gives up, or talks.
const SCRIPT_MAX: Duration = Duration::from_secs(125);
/// In which everything must settle once the last script is over: 64*T1 and 40 s.
pub const SETTLE: Duration = Duration::from_secs(32 + 40);
/// How long undelivered events may take to be delivered after that.
const OUTBOX_SETTLE: Duration = Duration::from_secs(40 * 60);
/// Things planned at one time.
const PLANS_MAX: usize = 100_000;
/// Steps of one run; more is a loop without progress.
const STEPS_MAX: u64 = 20_000_000;
/// How long a crashed edge is away.
const AWAY: Duration = Duration::from_secs(2);
/// From drain to the end of all calls.
const DRAIN: Duration = Duration::from_secs(60);

/// What is to be done to the world.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Call(usize),
    Crash,
    Return,
    Cut,
    Heal,
    Reload,
    Drain,
    EndAll,
    Calm,
}

/// What a phone told, kept for the checkers.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who.
    pub host: Host,
    /// What.
    pub event: PhoneEvent,
}

/// The world of one seed.
#[derive(Debug)]
pub struct World {
    pub(super) options: Options,
    pub(super) edge: Edge,
    pub(super) phones: BTreeMap<Host, Phone>,
    pub(super) backend: Backend,
    pub(super) hostile: Option<Hostile>,
    pub(super) log: Log,
    pub(super) told: Vec<Told>,
    /// When the edge died; it lost what was not committed.
    pub(super) crashed_at: Option<Instant>,
    pub(super) now: Instant,
    network: Network,
    lines: Lines,
    plans: Queue<Plan>,
    up: bool,
    version: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, hours: u64, tracing: bool, breaks: Option<Break>) -> Self {
        let mut rng = Rng::from_number(seed);
        let mut options = Options::draw(&mut rng, hours);
        if breaks == Some(Break::Amplify) {
            options.hostile = true;
        }
        let usages = scene::usages();
        let directory =
            scene::directory(1, options.calls.len(), options.limits, options.tcp, &usages);
        let now = Instant::ZERO;
        let edge = Edge::new(now, &options, Arc::new(directory), usages, rng.fork(), breaks);
        let mut world = Self {
            network: Network::new(rng.fork(), options.conditions),
            phones: Host::ALL
                .iter()
                .map(|host| (*host, phone(*host, &options, &mut rng)))
                .collect(),
            backend: Backend::default(),
            hostile: options.hostile.then(|| Hostile::new(rng.fork(), options.window)),
            lines: Lines::default(),
            log: Log::new(tracing),
            told: Vec::new(),
            plans: Queue::new(PLANS_MAX),
            up: true,
            version: 1,
            crashed_at: None,
            now,
            edge,
            options,
        };
        world.plan_all(&mut rng);
        world
    }

    /// Runs to the end and checks. What was wrong is in the log.
    pub fn run(&mut self) {
        let text = format!("{:?}", Options { calls: Vec::new(), ..self.options.clone() });
        self.log.line(self.now, &text);
        let settled = Instant::ZERO + self.options.window + SCRIPT_MAX + DRAIN + SETTLE;
        let end = self.run_until(settled);
        checkers::settled(self);
        // Events that the backend did not take are tried for a long time, ever more slowly.
        if end {
            let end = self.now + OUTBOX_SETTLE;
            while self.edge.is_asking() && self.log.violations().is_empty() && self.now < end {
                let next = self.now + Duration::from_secs(30);
                self.run_until(next);
            }
        }
        checkers::finished(self);
    }

    /// Calls placed.
    pub fn calls(&self) -> usize {
        self.options.calls.len()
    }

    /// The log.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Virtual time that both sides of all calls talked.
    pub fn talked(&self) -> Duration {
        let all = self.phones.values().flat_map(Phone::summaries);
        all.filter(|summary| summary.placed)
            .filter_map(|summary| Some(summary.ended?.0.since(summary.answered_at?)))
            .sum()
    }

    /// Virtual time that has passed.
    pub const fn now(&self) -> Instant {
        self.now
    }

    fn plan_all(&mut self, rng: &mut Rng) {
        for index in 0..self.options.calls.len() {
            let CallPlan { at, number, answers, ice, ace, .. } = self.options.calls[index].clone();
            self.backend.plan(&number, ice, ace);
            for (host, script) in answers {
                if let Some(phone) = self.phones.get_mut(&host) {
                    phone.expect(&number, script);
                }
            }
            self.plan(at, Plan::Call(index));
        }
        let window = self.options.window;
        if self.options.moody_backend && rng.chance(1, 3) {
            let from = Instant::ZERO + window / 4;
            self.backend.dead_between(from, from + Duration::from_secs(1 + rng.below(30)));
        }
        if let Some(at) = self.options.crash {
            self.plan(at, Plan::Crash);
            self.plan(at + AWAY, Plan::Return);
        }
        if let Some((at, length, _)) = self.options.cut {
            self.plan(at, Plan::Cut);
            self.plan(at + length, Plan::Heal);
        }
        if let Some(at) = self.options.reload {
            self.plan(at, Plan::Reload);
        }
        if let Some(at) = self.options.drain {
            self.plan(at, Plan::Drain);
            self.plan(at + DRAIN, Plan::EndAll);
        }
        self.plan(window + SCRIPT_MAX, Plan::Calm);
        let forgetful = self.options.cut.is_some()
            || self.options.crash.is_some()
            || checkers::resets(&self.options);
        if forgetful {
            // Calls whose BYE never arrived last for hours; the operator ends them.
            self.plan(window + SCRIPT_MAX + DRAIN, Plan::EndAll);
        }
    }

    fn plan(&mut self, after: Duration, plan: Plan) {
        let filed = self.plans.push(Instant::ZERO + after, plan);
        assert!(filed.is_ok(), "plans are bounded by calls");
    }

    /// `false`: something is wrong already.
    fn run_until(&mut self, end: Instant) -> bool {
        for _ in 0..STEPS_MAX {
            let next = self.next_deadline();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    return true;
                }
            }
            self.step();
            if !self.log.violations().is_empty() {
                return false;
            }
        }
        self.log.violation(self.now, "the world makes no progress".to_owned());
        false
    }

    fn next_deadline(&self) -> Option<Instant> {
        let phones = self.phones.values().filter_map(Phone::next_deadline);
        let hostile = self.hostile.as_ref().and_then(Hostile::next_deadline);
        let edge = if self.up { self.edge.next_deadline() } else { None };
        let others = [self.network.next_deadline(), self.plans.next_deadline(), hostile, edge];
        phones.chain(others.into_iter().flatten()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(plan) = self.plans.pop(now) {
            self.carry_out(plan);
        }
        while let Some(delivery) = self.network.receive(now) {
            self.log.arrives(now, &delivery);
            self.deliver(delivery);
        }
        let mut out = Vec::new();
        for (host, phone) in &mut self.phones {
            phone.expire(now, &mut out);
            let events = phone.events().into_iter();
            self.told.extend(events.map(|event| Told { host: *host, event }));
        }
        self.note_faults();
        self.send(out);
        if let Some(hostile) = &mut self.hostile {
            for (to, bytes) in hostile.act(now) {
                let from = SocketAddr::new(hostile::ADDRESS, 5060);
                self.network.send(now, from, to, bytes);
            }
            if let Some(fault) = hostile.faults().first().cloned() {
                self.log.violation(now, fault);
            }
        }
        if self.up {
            let (network, backend, log) = (&mut self.network, &mut self.backend, &mut self.log);
            self.edge.expire(now, &mut Outside { network, backend, log });
        }
        if let Some(fault) = self.backend.faults().first().cloned() {
            self.log.violation(now, fault);
        }
    }

    fn carry_out(&mut self, plan: Plan) {
        let now = self.now;
        self.log.line(now, &format!("{plan:?}"));
        match plan {
            Plan::Call(index) => {
                let CallPlan { caller, script, .. } = self.options.calls[index].clone();
                let mut out = Vec::new();
                if let Some(phone) = self.phones.get_mut(&caller) {
                    phone.call(now, script, &mut out);
                }
                self.send(out);
            }
            Plan::Crash => {
                self.up = false;
                self.crashed_at = Some(now);
                for host in [scene::edge_sip().ip(), scene::edge_media()] {
                    self.network.crash(now, host);
                }
            }
            Plan::Return => {
                self.up = true;
                let usages = scene::usages();
                let directory = Arc::new(self.directory(&usages));
                self.edge.crash(now, &self.options, directory, usages, &mut self.log);
            }
            Plan::Cut => {
                if let Some((_, _, host)) = self.options.cut {
                    self.network.cut(host, scene::edge_sip().ip());
                    self.network.cut(host, scene::edge_media());
                }
            }
            Plan::Heal => self.network.heal(),
            Plan::Reload if self.up => {
                self.version += 1;
                let directory = Arc::new(self.directory(&self.edge.usages.clone()));
                self.edge.publish(now, &directory);
            }
            Plan::Drain if self.up => self.edge.drain(now),
            Plan::EndAll if self.up => self.edge.end_all(now),
            Plan::Reload | Plan::Drain | Plan::EndAll => {}
            Plan::Calm => self.network.set_conditions(Conditions::CALM),
        }
    }

    fn directory(
        &self,
        usages: &[Arc<crate::directory::usage::Usage>],
    ) -> crate::directory::Directory {
        let (calls, limits) = (self.options.calls.len(), self.options.limits);
        scene::directory(self.version, calls, limits, self.options.tcp, usages)
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        let edge_host = |address: &SocketAddr| {
            address.ip() == scene::edge_sip().ip() || address.ip() == scene::edge_media()
        };
        if let Delivery::Datagram { from, to, bytes } = &delivery {
            if let Some(hostile) = &mut self.hostile {
                if to.ip() == hostile::ADDRESS {
                    return hostile.receive(bytes);
                }
                if from.port() == 5060 && from.ip() != hostile::ADDRESS {
                    hostile.overhear(*to, bytes);
                }
            }
            if !edge_host(to) {
                return self.hand_to_phone(Transport::Udp, (*to, *from), &bytes.clone());
            }
        } else {
            let Some(to_edge) = self.lines.is_for_edge(&delivery, &self.network) else { return };
            if !to_edge {
                for (ends, bytes) in self.lines.take(delivery) {
                    self.hand_to_phone(Transport::Tcp, ends, &bytes);
                }
                return;
            }
        }
        if self.up {
            let (network, backend, log) = (&mut self.network, &mut self.backend, &mut self.log);
            self.edge.deliver(now, delivery, &mut Outside { network, backend, log });
        }
    }

    fn hand_to_phone(
        &mut self,
        transport: Transport,
        ends: (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        let host = Host::ALL.into_iter().find(|host| host.address().ip() == ends.0.ip());
        let Some(phone) = host.and_then(|host| self.phones.get_mut(&host)) else { return };
        let mut out = Vec::new();
        phone.receive(self.now, transport, ends, bytes, &mut out);
        self.send(out);
    }

    fn send(&mut self, out: Vec<Datagram>) {
        for datagram in out {
            let Datagram { transport, from, to, bytes } = datagram;
            if transport == Transport::Udp {
                self.network.send(self.now, from, to, bytes);
            } else {
                self.log.stream_message(self.now, (from, to), &bytes);
                self.lines.send(self.now, (from, to), &bytes, &mut self.network);
            }
        }
    }

    fn note_faults(&mut self) {
        let mut seen = self.told.len();
        while seen > 0 {
            seen -= 1;
            let Told { host, event } = &self.told[seen];
            if event.at < self.now {
                break;
            }
            let text = format!("{} call {}: {:?}", host.name(), event.call, event.what);
            self.log.line(self.now, &text);
            if let What::Fault(sentence) = &event.what
                && !checkers::excused(self, sentence)
            {
                let sentence = format!("phone {}: {sentence}", self.told[seen].host.name());
                self.log.violation(self.now, sentence);
            }
        }
    }
}

fn phone(host: Host, options: &Options, rng: &mut Rng) -> Phone {
    let mut config = PhoneConfig::plain(host.name(), host.address(), scene::edge_sip());
    if matches!(host, Host::Alpha | Host::Gamma) {
        let (username, password) = scene::TRUNK_USER;
        let wrong = host == Host::Gamma && rng.chance(1, 8);
        let password = if wrong { "wrong" } else { password };
        config.credentials = Some((username.to_owned(), password.to_owned()));
    }
    if options.tcp && matches!(host, Host::Beta | Host::Gamma) {
        config.transport = Transport::Tcp;
    }
    if options.sloppy {
        config.style = Style {
            compact: rng.chance(1, 2),
            folded: rng.chance(1, 2),
            lower: rng.chance(1, 2),
            spaced: rng.chance(1, 2),
            no_rport: rng.chance(1, 2),
        };
        config.impatient = rng.chance(1, 3);
    }
    if rng.chance(1, 3) {
        config.codecs = vec![session::OPUS, session::PCMA, session::PCMU, session::EVENTS];
    }
    Phone::new(config, rng.fork())
}
