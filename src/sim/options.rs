//! What a run is made of, drawn from its seed: each fault and each habit is there in some runs
//! and missing in others, so that rare ones meet each other.

use std::net::IpAddr;

use super::network::Conditions;
use super::phone::{AckStyle, AnswerScript, CallScript, Door, Mid, Outcome};
use super::scene::{self, Host};
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::Duration;

/// A run's make-up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards of the edge.
    pub shards: u16,
    /// Calls begin within this time.
    pub window: Duration,
    /// The network.
    pub conditions: Conditions,
    /// Media is sent.
    pub media: bool,
    /// Sessions change in mid-call.
    pub middle: bool,
    /// Callers give up early, acknowledge late or never.
    pub moody_callers: bool,
    /// Carriers refuse, redirect, fork, challenge or stay silent.
    pub moody_carriers: bool,
    /// The backend answers slowly, wrongly or not at all.
    pub moody_backend: bool,
    /// Phones write in odd ways.
    pub sloppy: bool,
    /// Some phones use TCP.
    pub tcp: bool,
    /// Strangers attack.
    pub hostile: bool,
    /// Trunks have limits.
    pub limits: bool,
    /// Rings to control are small, so that they fill.
    pub small_rings: bool,
    /// The edge's sockets now and then have no room, its ports cannot be had.
    pub clogged: bool,
    /// The edge dies and comes back, that long after the start.
    pub crash: Option<Duration>,
    /// A host is cut off from the edge: when, how long, which.
    pub cut: Option<(Duration, Duration, IpAddr)>,
    /// The directory is published anew.
    pub reload: Option<Duration>,
    /// The edge drains.
    pub drain: Option<Duration>,
    /// The calls.
    pub calls: Vec<CallPlan>,
}

/// One call that somebody is to place.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// When.
    pub at: Duration,
    /// Number dialled; no two calls share one.
    pub number: String,
    /// Who places it.
    pub caller: Host,
    /// What the caller does.
    pub script: CallScript,
    /// What those do who may be called for it.
    pub answers: Vec<(Host, AnswerScript)>,
    /// What the backend says to ICE.
    pub ice: Reply,
    /// What the backend says to ACE.
    pub ace: Reply,
}

/// What the backend does with a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// That long after it came.
    pub after: Duration,
    /// What.
    pub what: Answer,
}

/// What the backend answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `connectPstn`: seconds that the call may last, and whether callbacks are suppressed.
    ConnectPstn(Option<u32>, bool),
    /// `connectSip` to the host elsewhere.
    ConnectSip(Transport),
    /// `hangup`.
    HangUp,
    /// `continue`.
    Continue,
    /// SVAML that is not allowed here.
    Illegal,
    /// No JSON at all.
    Garbage,
    /// HTTP 500.
    Error,
    /// Nothing, ever.
    Silence,
}

impl Options {
    /// The make-up of a seed. `hours`: virtual hours over which calls begin; zero: a minute.
    pub fn draw(rng: &mut Rng, hours: u64) -> Self {
        let window = if hours == 0 { secs(60) } else { secs(hours * 3600) };
        let mut options = Self {
            shards: 1 + small(rng.below(4)),
            window,
            conditions: conditions(rng),
            media: rng.chance(1, 2),
            middle: rng.chance(1, 2),
            moody_callers: rng.chance(1, 2),
            moody_carriers: rng.chance(1, 2),
            moody_backend: rng.chance(1, 3),
            sloppy: rng.chance(1, 3),
            tcp: rng.chance(1, 3),
            hostile: rng.chance(1, 3),
            limits: rng.chance(1, 4),
            small_rings: rng.chance(1, 6),
            clogged: rng.chance(1, 8),
            crash: None,
            cut: None,
            reload: None,
            drain: None,
            calls: Vec::new(),
        };
        let within = |rng: &mut Rng| Duration::from_millis(rng.below(millis(window)));
        match rng.below(8) {
            0 | 1 => options.crash = Some(within(rng)),
            2 => {
                let host = Host::ALL[index(rng, Host::ALL.len())];
                let length = secs(1 + rng.below(60));
                options.cut = Some((within(rng), length, host.address().ip()));
            }
            3 => options.drain = Some(within(rng)),
            _ => {}
        }
        options.reload = rng.chance(1, 3).then(|| within(rng));
        let calls = if hours == 0 { 2 + rng.below(7) } else { hours * 120 };
        options.calls = (0..calls).map(|number| options.plan(rng, number)).collect();
        options
    }

    fn plan(&self, rng: &mut Rng, number: u64) -> CallPlan {
        let at = Duration::from_millis(rng.below(millis(self.window)));
        let inbound = rng.chance(1, 3);
        if inbound { self.inbound(rng, at, number) } else { self.outbound(rng, at, number) }
    }

    /// A call from a trunk to a number outside.
    fn outbound(&self, rng: &mut Rng, at: Duration, number: u64) -> CallPlan {
        let caller = [Host::Alpha, Host::Beta, Host::Gamma][index(rng, 3)];
        let number = scene::outside_number(number);
        let uri = format!("sip:{number}@{}", scene::domain(caller));
        let carriers = [Host::North, Host::South, Host::Elsewhere];
        let answers = carriers.map(|host| (host, self.answer(rng, host)));
        let ice = self.ice(rng);
        let script = self.script(rng, &uri, scene::CALLER_NUMBER);
        CallPlan { at, number, caller, script, answers: answers.to_vec(), ice, ace: self.ace(rng) }
    }

    /// A call from a carrier to one of our numbers.
    fn inbound(&self, rng: &mut Rng, at: Duration, number: u64) -> CallPlan {
        let caller = [Host::North, Host::South][index(rng, 2)];
        let number = scene::own_number(number);
        let uri = format!("sip:{number}@{}", scene::EDGE_SIP);
        let answers = [Host::Alpha, Host::Elsewhere, Host::North, Host::South];
        let answers = answers.map(|host| (host, self.answer(rng, host)));
        let script = self.script(rng, &uri, "+15550100");
        let what = if rng.chance(1, 3) {
            Answer::ConnectPstn(None, false)
        } else {
            Answer::ConnectSip(Transport::Udp)
        };
        let ice = if self.moody_backend { self.ice(rng) } else { reply(rng, what) };
        CallPlan { at, number, caller, script, answers: answers.to_vec(), ice, ace: self.ace(rng) }
    }

    fn script(&self, rng: &mut Rng, uri: &str, from: &str) -> CallScript {
        let talk = rng.chance(2, 3).then(|| between(rng, 0, 12_000));
        let mut script = CallScript::plain(uri, from, talk);
        script.media = self.media;
        script.offer = !rng.chance(1, 6);
        script.during = self.during(rng);
        if self.moody_callers {
            script.give_up = rng.chance(1, 3).then(|| between(rng, 0, 6_000));
            script.ack = match rng.below(8) {
                0 => AckStyle::Late(between(rng, 0, 5_000)),
                1 => AckStyle::Never,
                _ => AckStyle::Prompt,
            };
            script.headers.push(("X-Customer".to_owned(), "number 7".to_owned()));
        }
        script.give_up = script.give_up.or(Some(secs(90)));
        script
    }

    fn answer(&self, rng: &mut Rng, host: Host) -> AnswerScript {
        let mut script = AnswerScript::plain(between(rng, 0, 4_000));
        script.media = self.media;
        // Somebody must hang up: where the caller waits, the callee does.
        script.talk = Some(between(rng, 0, 15_000));
        script.during = self.during(rng);
        if host == Host::South {
            let (username, password) = scene::CARRIER_USER;
            let (username, password) = (username.to_owned(), password.to_owned());
            script.challenge = Some(Door { username, password, sha256: rng.chance(1, 2) });
        }
        if !self.moody_carriers {
            return script;
        }
        script.trying = rng.chance(3, 4);
        let status = [180, 183, 181][index(rng, 3)];
        script.ring = rng.chance(4, 5).then(|| (between(rng, 0, 1_500), status, rng.chance(1, 2)));
        script.outcome.1 = match rng.below(12) {
            0 => Outcome::Refuse(486),
            1 => Outcome::Refuse(503),
            2 => Outcome::Refuse([404, 480, 500, 600, 603, 488][index(rng, 6)]),
            3 => Outcome::Silence,
            4 => Outcome::Fork,
            5 => Outcome::Redirect(format!("sip:elsewhere@{}", scene::EDGE_SIP)),
            _ => Outcome::Answer,
        };
        script
    }

    fn during(&self, rng: &mut Rng) -> Vec<(Duration, Mid)> {
        if !self.middle {
            return Vec::new();
        }
        let all = [Mid::Hold, Mid::Resume, Mid::Delayed, Mid::Update, Mid::Info];
        // Round times, so that both sides often act at the same one: glare.
        (0..rng.below(4)).map(|_| (secs(rng.below(6)), all[index(rng, all.len())])).collect()
    }

    fn ice(&self, rng: &mut Rng) -> Reply {
        let seconds = rng.chance(1, 4).then(|| small(1 + rng.below(8)).into());
        let transport = if self.tcp { Transport::Tcp } else { Transport::Udp };
        let what = match rng.below(if self.moody_backend { 12 } else { 6 }) {
            0 | 1 => Answer::ConnectSip(transport),
            2..=5 => Answer::ConnectPstn(seconds, rng.chance(1, 6)),
            6 => Answer::HangUp,
            7 => Answer::Illegal,
            8 => Answer::Garbage,
            9 => Answer::Error,
            10 => Answer::Silence,
            _ => Answer::Continue,
        };
        self.late(rng, what)
    }

    fn ace(&self, rng: &mut Rng) -> Reply {
        let what = match rng.below(if self.moody_backend { 6 } else { 1 }) {
            1 => Answer::HangUp,
            2 => Answer::Error,
            3 => Answer::Silence,
            4 => Answer::Garbage,
            _ => Answer::Continue,
        };
        self.late(rng, what)
    }

    fn late(&self, rng: &mut Rng, what: Answer) -> Reply {
        let slow = self.moody_backend && rng.chance(1, 4);
        let after = if slow { between(rng, 0, 6_000) } else { between(rng, 1, 80) };
        Reply { after, what }
    }
}

fn reply(rng: &mut Rng, what: Answer) -> Reply {
    Reply { after: between(rng, 1, 80), what }
}

fn conditions(rng: &mut Rng) -> Conditions {
    let calm = rng.chance(1, 4);
    if calm {
        return Conditions::CALM;
    }
    let some = |rng: &mut Rng, most: u64| if rng.chance(1, 2) { rng.below(most) } else { 0 };
    Conditions {
        loss: some(rng, 100),
        duplication: some(rng, 50),
        corruption: 0,
        delay: Duration::from_micros(100 + rng.below(60_000)),
        jitter: Duration::from_micros(some(rng, 50_000)),
        refused: some(rng, 100),
        reset: some(rng, 20),
    }
}

/// A time between `least` and `most` milliseconds.
pub fn between(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + rng.below((most - least).max(1)))
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn index(rng: &mut Rng, length: usize) -> usize {
    usize::try_from(rng.below(length as u64)).unwrap_or(0)
}
