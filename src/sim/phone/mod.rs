//! Phones: simple SIP user agents, sans-IO, for the simulator, the demo and tests. They share no
//! code with Carrick's own SIP machines, so that a mistake there is not made twice and hidden.
//!
//! In: [`Phone::receive`], [`Phone::expire`], [`Phone::call`]. Out: datagrams, [`Phone::events`],
//! [`Phone::summaries`]. When: [`Phone::next_deadline`].

mod answer;
mod call;
mod caller;
mod client;
pub mod digest;
mod in_dialog;
pub mod media;
pub mod script;
mod server;
pub mod session;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::sim::text::{SipText, Style};
use call::{PhoneCall, State};
use client::Client;
use media::Media;
use server::Server;
use session::{Codec, Flow, Session};

pub use call::Summary;
pub use script::{
    AckStyle, AnswerScript, CallScript, Datagram, Door, EndedBy, Mid, Outcome, PhoneEvent, What,
};

/// T1 of RFC 3261.
pub const T1: Duration = Duration::from_millis(500);
/// T2 of RFC 3261.
pub const T2: Duration = Duration::from_secs(4);
/// How long a transaction tries: 64*T1.
pub const PATIENCE: Duration = Duration::from_secs(32);
/// Calls that one phone holds at one time.
const CALLS_MAX: usize = 4096;

/// Who a phone is.
#[derive(Clone, Debug)]
pub struct PhoneConfig {
    /// Its name, for reports.
    pub name: String,
    /// Its SIP address.
    pub sip: SocketAddr,
    /// Where its media is received.
    pub media_ip: IpAddr,
    /// First media port; every call takes the next even one.
    pub media_port: u16,
    /// How it reaches the edge.
    pub transport: Transport,
    /// The edge's SIP address.
    pub edge: SocketAddr,
    /// User name and password for challenges.
    pub credentials: Option<(String, String)>,
    /// How it writes.
    pub style: Style,
    /// Repeats unanswered requests far too often.
    pub impatient: bool,
    /// What it speaks.
    pub codecs: Vec<Codec>,
}

impl PhoneConfig {
    /// A phone at `sip` that speaks G.711 over UDP.
    pub fn plain(name: &str, sip: SocketAddr, edge: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            sip,
            media_ip: sip.ip(),
            media_port: 40_000,
            transport: Transport::Udp,
            edge,
            credentials: None,
            style: Style::default(),
            impatient: false,
            codecs: vec![session::PCMU, session::PCMA, session::EVENTS],
        }
    }

    fn contact(&self, transport: Transport) -> String {
        let parameter = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        format!("<sip:{}@{}{parameter}>", self.name, self.sip)
    }

    fn formats(&self) -> Vec<(u8, String)> {
        self.codecs.iter().map(|codec| (codec.payload, codec.name.to_owned())).collect()
    }
}

/// What a phone has yet to do.
#[derive(Clone, Debug)]
enum Todo {
    Resend(String),
    GiveUpRequest(String),
    ForgetClient(String),
    ResendFinal(u64),
    ForgetServer(u64),
    Ring(u64),
    Outcome(u64),
    ResendAnswer(u64),
    Acknowledge(u64),
    GiveUpCall(u64),
    Middle(u64, Mid),
    HangUp(u64),
    Media(u64),
    ForkDeadline(u64, u64),
    AnswerDeadline(u64),
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    config: PhoneConfig,
    rng: Rng,
    calls: BTreeMap<u64, PhoneCall>,
    clients: BTreeMap<String, Client>,
    servers: BTreeMap<u64, Server>,
    scripts: BTreeMap<String, AnswerScript>,
    default: AnswerScript,
    doors: BTreeMap<String, digest::Challenge>,
    agenda: BTreeMap<(Instant, u64), Todo>,
    sequence: u64,
    next_call: u64,
    media_port: u16,
    events: Vec<PhoneEvent>,
    ports: BTreeMap<u16, u64>,
}

impl Phone {
    /// A phone that refuses incoming calls with 404 until told better.
    pub fn new(config: PhoneConfig, rng: Rng) -> Self {
        Self {
            media_port: config.media_port,
            config,
            rng,
            calls: BTreeMap::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            scripts: BTreeMap::new(),
            default: AnswerScript::refuse(404),
            doors: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
            next_call: 0,
            events: Vec::new(),
            ports: BTreeMap::new(),
        }
    }

    /// How calls to `user` are answered.
    pub fn expect(&mut self, user: &str, script: AnswerScript) {
        self.scripts.insert(user.to_owned(), script);
    }

    /// How all other calls are answered.
    pub fn expect_any(&mut self, script: AnswerScript) {
        self.default = script;
    }

    /// Hangs up a call, whatever its script says.
    pub fn hang_up(&mut self, now: Instant, call: u64) {
        self.plan(now, Todo::HangUp(call));
    }

    /// Takes a datagram, or a whole message of a stream, that came to `local`.
    pub fn receive(
        &mut self,
        now: Instant,
        transport: Transport,
        (local, source): (SocketAddr, SocketAddr),
        bytes: &[u8],
        out: &mut Vec<Datagram>,
    ) {
        if local != self.config.sip {
            return self.hear(local, source, bytes);
        }
        if bytes.iter().all(|byte| b"\r\n\0".contains(byte)) {
            return;
        }
        let Some(message) = SipText::parse(bytes) else {
            return self.fault(0, now, "a message that cannot be read".to_owned());
        };
        if let Some(fault) = misses(&message) {
            self.fault(0, now, format!("{}: {fault}", message.start));
        }
        if message.status().is_some() {
            self.response(now, &message, out);
        } else {
            self.request(now, transport, source, &message, out);
        }
    }

    /// Does what is due by `now`.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Datagram>) {
        while let Some((key, _)) = self.agenda.first_key_value()
            && key.0 <= now
        {
            let Some((_, todo)) = self.agenda.pop_first() else { return };
            self.perform(now, todo, out);
        }
    }

    /// When [`Phone::expire`] is next due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.agenda.first_key_value().map(|(key, _)| key.0)
    }

    /// What happened since last asked.
    pub fn events(&mut self) -> Vec<PhoneEvent> {
        std::mem::take(&mut self.events)
    }

    /// What became of all calls so far.
    pub fn summaries(&self) -> impl Iterator<Item = Summary> {
        self.calls.values().map(|call| {
            let media = call.media.figures().clone();
            Summary { media, fork: call.fork, ..call.summary.clone() }
        })
    }

    /// Whether no call is up and no transaction waits for anything.
    pub fn is_idle(&self) -> bool {
        self.calls.values().all(PhoneCall::is_over) && !self.clients.values().any(Client::waits)
    }

    /// Who it is.
    pub const fn config(&self) -> &PhoneConfig {
        &self.config
    }

    /// Changes who it is: another password, another edge.
    pub const fn config_mut(&mut self) -> &mut PhoneConfig {
        &mut self.config
    }

    fn perform(&mut self, now: Instant, todo: Todo, out: &mut Vec<Datagram>) {
        match todo {
            Todo::Resend(branch) => self.resend(now, branch, out),
            Todo::GiveUpRequest(branch) => self.give_up_request(now, &branch),
            Todo::ForgetClient(branch) => {
                self.clients.remove(&branch);
            }
            Todo::ResendFinal(server) => self.resend_final(now, server, out),
            Todo::ForgetServer(server) => {
                self.servers.remove(&server);
            }
            Todo::Ring(call) => self.ring(now, call, out),
            Todo::Outcome(call) => self.outcome(now, call, out),
            Todo::ResendAnswer(call) => self.resend_answer(now, call, out),
            Todo::Acknowledge(call) => self.send_ack(call, out),
            Todo::GiveUpCall(call) => self.cancel(now, call, out),
            Todo::Middle(call, mid) => self.middle(now, call, mid, out),
            Todo::HangUp(call) => self.bye(now, call, out),
            Todo::Media(call) => self.speak(now, call, out),
            Todo::AnswerDeadline(call) => {
                if self.calls.get(&call).is_some_and(|call| call.state == State::Up) {
                    let fault = "2xx carried an offer, and ACK no answer".to_owned();
                    self.fault(call, now, fault);
                }
            }
            Todo::ForkDeadline(one, other) => {
                let is_up = |call| self.calls.get(&call).is_some_and(|call| !call.is_over());
                if is_up(one) && is_up(other) {
                    self.fault(one, now, "the losing answer of a fork was not ended".to_owned());
                }
            }
        }
    }

    fn plan(&mut self, at: Instant, todo: Todo) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), todo);
    }

    fn event(&mut self, call: u64, at: Instant, what: What) {
        self.events.push(PhoneEvent { at, call, what });
    }

    fn fault(&mut self, call: u64, at: Instant, sentence: String) {
        self.event(call, at, What::Fault(sentence));
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.rng.token::<16>())
    }

    /// A media port and the session that is described with it.
    fn new_media(&mut self, call: u64) -> (Media, Session) {
        let port = self.media_port;
        self.media_port = match self.media_port.checked_add(2) {
            Some(next) if next < 65_000 => next,
            _ => self.config.media_port,
        };
        self.ports.insert(port, call);
        let local = SocketAddr::new(self.config.media_ip, port);
        let session = Session {
            media: local,
            formats: self.config.formats(),
            flow: Flow::SendRecv,
            id: self.rng.below(1 << 40),
            version: 1,
        };
        (Media::new(local, &mut self.rng), session)
    }

    fn hear(&mut self, local: SocketAddr, source: SocketAddr, bytes: &[u8]) {
        // RTCP comes on the odd port above.
        let port = local.port() & !1;
        let call = self.ports.get(&port).and_then(|call| self.calls.get_mut(call));
        if let Some(call) = call
            && local.port() == port
        {
            call.media.hear(source, bytes);
        }
    }

    fn speak(&mut self, now: Instant, number: u64, out: &mut Vec<Datagram>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Some((to, bytes)) = call.media.packet(now) {
            let from = call.media.local;
            out.push(Datagram { transport: Transport::Udp, from, to, bytes });
        }
        if let Some(due) = call.media.due {
            self.plan(due, Todo::Media(number));
        }
    }

    fn start_media(&mut self, now: Instant, number: u64) {
        if self.calls.get_mut(&number).is_some_and(|call| call.start_media(now)) {
            self.plan(now, Todo::Media(number));
        }
    }

    /// The call of a dialog: Call-ID, our tag, and the other side's.
    fn find(&self, message: &SipText) -> Option<u64> {
        let (call_id, local) = (message.header("call-id")?, message.tag("to")?);
        let remote = message.tag("from")?;
        let matches = |call: &PhoneCall| {
            call.call_id == call_id
                && call.local_tag == local
                && (call.remote_tag == remote || call.remote_tag.is_empty())
        };
        self.calls.iter().find(|(_, call)| matches(call)).map(|(number, _)| *number)
    }

    /// The dialog stands: what the script has for it is planned.
    fn confirmed(&mut self, now: Instant, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.summary.confirmed_at.is_some() {
            return;
        }
        call.summary.confirmed_at = Some(now);
        call.state = State::Up;
        let (during, talk) = (call.during().to_vec(), call.talk());
        self.event(number, now, What::Confirmed);
        for (after, mid) in during {
            self.plan(now + after, Todo::Middle(number, mid));
        }
        if let Some(talk) = talk {
            self.plan(now + talk, Todo::HangUp(number));
        }
        self.start_media(now, number);
    }
}

/// What every message must have (RFC 3261 §8.1.1, §8.2.6) and this one lacks.
fn misses(message: &SipText) -> Option<String> {
    for name in ["via", "from", "to", "call-id", "cseq", "content-length"] {
        if message.header(name).is_none() {
            return Some(format!("no {name}"));
        }
    }
    let (_, method) = message.cseq()?;
    if message.tag("from").is_none() {
        return Some("no tag in From".to_owned());
    }
    let status = message.status();
    if status.is_none() && message.header("max-forwards").is_none() {
        return Some("no Max-Forwards".to_owned());
    }
    if status.is_some_and(|status| status > 100) && message.tag("to").is_none() {
        return Some("no tag in To".to_owned());
    }
    let makes_dialog = method == "INVITE" && status.is_none_or(|s| (200..300).contains(&s));
    if makes_dialog && message.address("contact").is_none() {
        return Some("no Contact".to_owned());
    }
    (!message.body.is_empty() && message.header("content-type").is_none())
        .then(|| "a body without Content-Type".to_owned())
}

#[cfg(test)]
mod tests;
