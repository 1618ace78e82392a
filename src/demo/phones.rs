//! Callers, callee and carriers: the simulator's phones on real sockets, all on one thread.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Happening;
use super::scenario::{self, Caller, Party, Scenario};
use super::world::{self, PASSWORD, USER};
use crate::base::packet::Transport;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::sim::phone::media::MAGIC;
use crate::sim::phone::{CallScript, Datagram, Phone, PhoneConfig, Summary};
use crate::sim::text::SipText;
use crate::sys::clock;
use crate::sys::poll::Poller;

/// The longest wait, so that a wish to stop is noticed.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Datagrams that are read from one socket in one turn.
const BURST: usize = 64;
const DATAGRAM_BYTES: usize = 65_536;
/// Media ports of a phone that are open beyond those in use.
const PORTS_AHEAD: u16 = 8;
/// Bytes before an RTP packet's payload.
const RTP_HEADER: usize = 12;

/// Who a phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The caller of the call with that place in [`scenario::ALL`].
    Caller(usize),
    /// One that is called.
    Party(Party),
}

/// A call of a phone, as it stands.
#[derive(Clone, Debug)]
pub(super) struct PhoneCall {
    pub(super) role: Role,
    pub(super) summary: Summary,
}

/// Sockets of the phones, before the edge's address is known.
#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<(Role, UdpSocket, SocketAddr)>,
}

impl Sockets {
    pub(super) fn bind() -> io::Result<Self> {
        let callers = scenario::ALL.iter().enumerate().map(|(index, call)| {
            // Who guesses passwords is not heard for a while: that must not be the others.
            let last = if call.caller == Caller::Guesser { 66 } else { 1 };
            (Role::Caller(index), Ipv4Addr::new(127, 0, 0, last))
        });
        let parties = Party::ALL.into_iter().map(|party| (Role::Party(party), Ipv4Addr::LOCALHOST));
        let bind = |(role, ip): (Role, Ipv4Addr)| {
            let socket = UdpSocket::bind((ip, 0))?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok((role, socket, address))
        };
        Ok(Self { sockets: callers.chain(parties).map(bind).collect::<io::Result<_>>()? })
    }

    /// SIP address of a phone that is called.
    pub(super) fn address(&self, party: Party) -> SocketAddr {
        let found = self.sockets.iter().find(|(role, ..)| *role == Role::Party(party));
        found.map(|(_, _, address)| *address).expect("every party has a socket")
    }
}

/// The running phones.
#[derive(Debug)]
pub(super) struct Phones {
    calls: Arc<Mutex<Vec<PhoneCall>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Phones {
    /// Starts the phones; the callers call at once.
    pub(super) fn start(
        sockets: Sockets,
        edge: SocketAddr,
        rng: &mut Rng,
        happenings: Sender<Happening>,
    ) -> io::Result<Self> {
        let mut switchboard = Switchboard {
            poller: Poller::new(BURST)?,
            lines: Vec::new(),
            buffer: vec![0; DATAGRAM_BYTES],
            happenings,
        };
        for (role, socket, address) in sockets.sockets {
            switchboard.add(role, (socket, address), edge, rng)?;
        }
        let (calls, stop) = (Arc::<Mutex<_>>::default(), Arc::<AtomicBool>::default());
        let (board, is_stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("demo-phones".into())
            .spawn(move || switchboard.run(&board, &is_stopped))?;
        Ok(Self { calls, stop, thread: Some(thread) })
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<PhoneCall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Switchboard {
    poller: Poller,
    lines: Vec<Line>,
    buffer: Vec<u8>,
    happenings: Sender<Happening>,
}

/// A phone with its sockets.
struct Line {
    role: Role,
    phone: Phone,
    sip: UdpSocket,
    media: BTreeMap<u16, UdpSocket>,
    /// The first media port that is not open yet.
    next_port: u16,
    /// Calls that the phone has had.
    calls: u16,
    /// Media ports whose peer is a stranger's phone: it hears itself.
    echoes: Vec<u16>,
}

impl Switchboard {
    fn add(
        &mut self,
        role: Role,
        (sip, address): (UdpSocket, SocketAddr),
        edge: SocketAddr,
        rng: &mut Rng,
    ) -> io::Result<()> {
        let first = world::udp_range(world::PORTS_OF_PHONES, 2 * PORTS_AHEAD, rng)?;
        let (name, credentials) = match role {
            Role::Caller(index) => ("caller", credentials(scenario::ALL[index].caller)),
            Role::Party(Party::Callee) => ("callee", None),
            Role::Party(_) => ("carrier", None),
        };
        let config = PhoneConfig {
            media_ip: Ipv4Addr::LOCALHOST.into(),
            media_port: first,
            credentials,
            ..PhoneConfig::plain(name, address, edge)
        };
        let mut phone = Phone::new(config, rng.fork());
        if let Role::Party(party) = role {
            for (number, script) in scenario::answers(party) {
                match number {
                    Some(number) => phone.expect(number, script),
                    None => phone.expect_any(script),
                }
            }
        }
        self.poller.add(sip.as_fd(), token(self.lines.len(), 0))?;
        let (media, echoes) = (BTreeMap::new(), Vec::new());
        let mut line = Line { role, phone, sip, media, next_port: first, calls: 0, echoes };
        line.open_ahead(&mut self.poller, self.lines.len())?;
        self.lines.push(line);
        Ok(())
    }

    fn run(mut self, board: &Mutex<Vec<PhoneCall>>, stop: &AtomicBool) {
        let mut out = Vec::new();
        for line in &mut self.lines {
            if let Role::Caller(index) = line.role {
                let call = &scenario::ALL[index];
                line.phone.call(clock::now(), script(call), &mut out);
                line.calls += 1;
            }
        }
        while !stop.load(Ordering::Acquire) {
            self.send(&mut out);
            let now = clock::now();
            let due = self.lines.iter().filter_map(|line| line.phone.next_deadline()).min();
            let wait = due.map_or(WAIT_MAX, |due| (due - now).min(WAIT_MAX));
            let ready = match self.poller.wait(Some(wait)) {
                Ok(ready) => ready,
                Err(error) => return eprintln!("demo: the phones are dead: {error}"),
            };
            for index in 0..ready {
                self.read(self.poller.token(index), &mut out);
            }
            let now = clock::now();
            for (index, line) in self.lines.iter_mut().enumerate() {
                line.phone.expire(now, &mut out);
                for event in line.phone.events() {
                    line.calls = line.calls.max(u16::try_from(event.call).unwrap_or(u16::MAX));
                }
                // A call without a port has no media, which its caller hears.
                let _ = line.open_ahead(&mut self.poller, index);
            }
            let calls = self.lines.iter().flat_map(|line| {
                line.phone.summaries().map(|summary| PhoneCall { role: line.role, summary })
            });
            *board.lock().unwrap_or_else(PoisonError::into_inner) = calls.collect();
        }
    }

    fn read(&mut self, token: u64, out: &mut Vec<Datagram>) {
        let (index, port) = place(token);
        let Some(line) = self.lines.get_mut(index) else { return };
        for _ in 0..BURST {
            let socket = match port {
                0 => &line.sip,
                port => match line.media.get(&port) {
                    Some(socket) => socket,
                    None => return,
                },
            };
            let Ok(local) = socket.local_addr() else { return };
            let Ok((length, source)) = socket.recv_from(&mut self.buffer) else { return };
            let bytes = &self.buffer[..length];
            if port == 0 {
                for header in private_headers(bytes) {
                    // The main thread may be gone already.
                    let _ = self.happenings.send(header);
                }
            } else if is_foreign_speech(bytes) {
                line.echo(port, source, bytes);
                continue;
            }
            line.phone.receive(clock::now(), Transport::Udp, (local, source), bytes, out);
        }
    }

    fn send(&self, out: &mut Vec<Datagram>) {
        for datagram in out.drain(..) {
            let of = |line: &&Line| line.owns(datagram.from);
            let Some(line) = self.lines.iter().find(of) else { continue };
            let port = datagram.from.port();
            let socket = match line.media.get(&port) {
                Some(_) if line.echoes.contains(&port) => continue,
                Some(socket) => socket,
                None => &line.sip,
            };
            // UDP may lose anything, and SIP asks again.
            let _ = socket.send_to(&datagram.bytes, datagram.to);
        }
    }
}

impl Line {
    fn owns(&self, address: SocketAddr) -> bool {
        let config = self.phone.config();
        let is_media = address.ip() == config.media_ip && self.media.contains_key(&address.port());
        address == config.sip || is_media
    }

    /// Opens the ports that the phone's next calls will name.
    fn open_ahead(&mut self, poller: &mut Poller, index: usize) -> io::Result<()> {
        let config = self.phone.config();
        let wanted = u32::from(config.media_port) + 2 * u32::from(self.calls + PORTS_AHEAD);
        while u32::from(self.next_port) < wanted {
            let port = self.next_port;
            self.next_port = port.saturating_add(2);
            let socket = UdpSocket::bind((config.media_ip, port))?;
            socket.set_nonblocking(true)?;
            poller.add(socket.as_fd(), token(index, port))?;
            self.media.insert(port, socket);
        }
        Ok(())
    }

    /// A stranger's phone hears itself in place of our tone.
    fn echo(&mut self, port: u16, source: SocketAddr, bytes: &[u8]) {
        if !self.echoes.contains(&port) {
            self.echoes.push(port);
        }
        if let Some(socket) = self.media.get(&port) {
            // UDP may lose anything.
            let _ = socket.send_to(bytes, source);
        }
    }
}

fn credentials(caller: Caller) -> Option<(String, String)> {
    let password = match caller {
        Caller::Office => PASSWORD,
        Caller::Guesser => "password",
        Caller::Warehouse => return None,
    };
    Some((USER.to_owned(), password.to_owned()))
}

fn script(call: &Scenario) -> CallScript {
    let uri = format!("sip:{}@{}", call.number, call.caller.domain());
    CallScript::plain(&uri, world::CALLER_NUMBER, call.talk)
}

fn token(index: usize, port: u16) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX >> 16) << 16 | u64::from(port)
}

fn place(token: u64) -> (usize, u16) {
    let port = u16::try_from(token & 0xffff).unwrap_or(0);
    (usize::try_from(token >> 16).unwrap_or(usize::MAX), port)
}

/// The private headers of an INVITE.
fn private_headers(bytes: &[u8]) -> Vec<Happening> {
    let Some(message) = SipText::parse(bytes) else { return Vec::new() };
    if message.method() != Some("INVITE") {
        return Vec::new();
    }
    let sip_call_id = message.header("call-id").unwrap_or("").to_owned();
    let private = message.headers.iter().filter(|(name, _)| name.starts_with("x-"));
    private
        .map(|(name, value)| Happening::PrivateHeader {
            sip_call_id: sip_call_id.clone(),
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}

/// RTP that is none of the demo's own phones'.
fn is_foreign_speech(bytes: &[u8]) -> bool {
    let is_rtcp = bytes.get(1).is_some_and(|kind| (192..=223).contains(kind));
    let mark = bytes.get(RTP_HEADER..RTP_HEADER + MAGIC.len());
    bytes.first().is_some_and(|first| first >> 6 == 2) && !is_rtcp && mark != Some(MAGIC)
}

/// When the call was over for this phone; `None`: it is not.
pub(super) fn over(summary: &Summary) -> bool {
    let refused = summary.status >= 300;
    refused || summary.ended.is_some() || summary.timed_out || summary.cancelled
}

/// Milliseconds from INVITE to `at`.
pub(super) fn since_begin(summary: &Summary, at: Instant) -> f64 {
    (at - summary.begun_at).as_secs_f64() * 1000.0
}
