//! The stream thread against real TCP peers of the loopback interface.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Peer;
use std::thread::JoinHandle;

use super::connection::source;
use super::*;
use crate::base::packet::Transport;
use crate::net::{mail, sockets};

/// A toy protocol: `<shard> <length>\n`, then so many bytes. `?` asks for a pong, `_` waits
/// outside of messages.
#[derive(Debug)]
struct Toy;

impl Protocol for Toy {
    type Framer = ();

    fn frame(&mut self, (): &mut (), bytes: &[u8]) -> Framed {
        match bytes.first() {
            None | Some(b'_') => return Framed::NeedMore { is_inside_message: false },
            Some(b'?') => return Framed::KeepAlive { consumed: 1, pong: true },
            Some(b'0'..=b'9') => {}
            Some(_) => return Framed::Fatal { status: 400 },
        }
        let more = Framed::NeedMore { is_inside_message: true };
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return more };
        let head = std::str::from_utf8(&bytes[..end]).expect("text");
        let length: usize = head.split(' ').nth(1).expect("length").parse().expect("number");
        let consumed = end + 1 + length;
        if bytes.len() < consumed {
            return more;
        }
        Framed::Message { consumed, range: 0..consumed }
    }

    fn owner(&mut self, _: &SipPath, message: &[u8]) -> ShardId {
        ShardId(u16::from(message[0] - b'0'))
    }

    fn refusal(&mut self, _: &SipPath, _: u16, _: &[u8], answer: &mut Vec<u8>) {
        answer.extend_from_slice(b"400");
    }
}

/// A letter, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Message(SipPath, Vec<u8>),
    Notice(StreamNotice),
}

/// The stream thread, seen from two shards.
struct Rig {
    address: SocketAddr,
    ends: Vec<(mail::Sender, mail::Receiver)>,
    waker: Waker,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const SOON: Limits = Limits {
    connections_max: 8,
    connections_per_source_max: 6,
    write_bytes_max: 64 * 1024,
    connect: Duration::from_secs(2),
    first_message: Duration::from_millis(400),
    message: Duration::from_millis(400),
    write: Duration::from_millis(400),
    idle: Duration::from_millis(1500),
};

impl Rig {
    fn new(limits: Limits) -> Self {
        let socket = sockets::sip_tcp("127.0.0.1:0".parse().expect("address")).expect("listener");
        let address = socket.local_addr().expect("address");
        let (mut shards, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (to, from_streams) = mail::ring(1 << 20);
            let (to_streams, from) = mail::ring(1 << 20);
            let (waker, _) = wake::pair().expect("waker");
            shards.push(ShardEnd { to, from, waker });
            ends.push((to_streams, from_streams));
        }
        let counters = Counters::shared();
        let listeners = vec![Listener { index: 3, socket }];
        let theirs = Arc::clone(&counters);
        let setup = StreamSetup { listeners, shards, protocol: Toy, limits, counters: theirs };
        let mut streams = Streams::new(setup).expect("streams");
        let (waker, stop) = (streams.waker(), Arc::new(AtomicBool::new(false)));
        let theirs = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || streams.run(&theirs).expect("run")));
        Self { address, ends, waker, counters, stop, thread }
    }

    fn peer(&self) -> Peer {
        let peer = Peer::connect(self.address).expect("connect");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        peer.set_nodelay(true).expect("nodelay");
        peer
    }

    fn next(&mut self, shard: usize) -> Got {
        let until = clock::now() + Duration::from_secs(5);
        while clock::now() < until {
            match self.ends[shard].1.receive() {
                Some(mail::Letter::Message { path, bytes, .. }) => {
                    return Got::Message(path, bytes.to_vec());
                }
                Some(mail::Letter::Notice(notice)) => return Got::Notice(notice),
                None => clock::pause(Duration::from_millis(1)),
            }
        }
        panic!("no letter for shard {shard}");
    }

    fn message(&mut self, shard: usize) -> (SipPath, String) {
        match self.next(shard) {
            Got::Message(path, bytes) => (path, String::from_utf8(bytes).expect("text")),
            Got::Notice(notice) => panic!("{notice:?}"),
        }
    }

    fn send(&mut self, shard: usize, path: SipPath, cookie: u64, bytes: &[u8]) {
        assert!(self.ends[shard].0.message(path, cookie, bytes));
        self.waker.wake();
    }

    fn to(&self, peer: SocketAddr) -> SipPath {
        SipPath { transport: Transport::Tcp, listener: 3, peer, flow: None }
    }

    fn wait_for(&self, counter: Counter, count: u64) {
        let until = clock::now() + Duration::from_secs(5);
        while self.counters.read(counter) < count {
            assert!(clock::now() < until, "{} stays below {count}", counter.name());
            clock::pause(Duration::from_millis(1));
        }
        assert_eq!(self.counters.read(counter), count, "{}", counter.name());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        let result = self.thread.take().expect("thread").join();
        assert!(result.is_ok() || std::thread::panicking());
    }
}

fn read(peer: &mut Peer, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).expect("bytes");
    bytes
}

fn is_cut(peer: &mut Peer) -> bool {
    let mut rest = Vec::new();
    // A reset is as good an end as a proper one.
    peer.read_to_end(&mut rest).map_err(|e| e.kind()) != Err(io::ErrorKind::WouldBlock)
}

#[test]
fn split_and_pipelined_messages_reach_their_shards_and_answers_come_back() {
    let mut rig = Rig::new(SOON);
    let mut peer = rig.peer();
    for part in [&b"0 "[..], b"5\nhe", b"llo1 3\nabc0 2", b"\nxy?1 0\n"] {
        peer.write_all(part).expect("write");
        clock::pause(Duration::from_millis(20));
    }
    let (path, text) = rig.message(0);
    assert_eq!(text, "0 5\nhello");
    let peer_address = peer.local_addr().expect("address");
    assert_eq!(SipPath { flow: None, ..path }, rig.to(peer_address));
    assert_eq!(rig.message(1), (path, "1 3\nabc".into()));
    assert_eq!(rig.message(0), (path, "0 2\nxy".into()));
    assert_eq!(rig.message(1), (path, "1 0\n".into()));
    assert_eq!(read(&mut peer, 2), b"\r\n");
    rig.send(1, path, 7, b"answer");
    assert_eq!(read(&mut peer, 6), b"answer");
    drop(peer);
    let closed = Got::Notice(StreamNotice::Closed { flow: path.flow.expect("a flow") });
    assert_eq!((rig.next(0), rig.next(1)), (closed.clone(), closed));
    // The connection is gone, so an answer to it fails, and says so.
    rig.send(1, path, 8, b"late");
    assert_eq!(rig.next(1), Got::Notice(StreamNotice::Failed { cookie: 8 }));
}

#[test]
fn large_messages_pass_both_ways() {
    let limits = Limits { write_bytes_max: 1 << 20, ..SOON };
    let mut rig = Rig::new(limits);
    let mut peer = rig.peer();
    let body = "z".repeat(60_000);
    for _ in 0..10 {
        peer.write_all(format!("0 60000\n{body}").as_bytes()).expect("write");
    }
    for _ in 0..10 {
        let (path, text) = rig.message(0);
        assert_eq!(text.len(), 60_008);
        rig.send(0, path, 1, body.as_bytes());
    }
    assert!(read(&mut peer, 600_000).iter().all(|b| *b == b'z'));
}

#[test]
fn silent_and_slow_peers_are_cut_and_busy_ones_are_not() {
    let mut rig = Rig::new(SOON);
    let (mut silent, mut slow, mut late) = (rig.peer(), rig.peer(), rig.peer());
    let mut busy = rig.peer();
    late.write_all(b"0 1\na0 9\n").expect("a message, then half of one");
    for _ in 0..12 {
        slow.write_all(b"1").expect("write");
        busy.write_all(b"1 1\nb").expect("write");
        clock::pause(Duration::from_millis(50));
        if rig.counters.read(Counter::StreamTimedOut) == 3 {
            break;
        }
    }
    rig.wait_for(Counter::StreamTimedOut, 3);
    assert!(is_cut(&mut silent) && is_cut(&mut slow) && is_cut(&mut late));
    busy.write_all(b"?").expect("write");
    assert_eq!(read(&mut busy, 2), b"\r\n");
    // What waits between messages is not on the message's clock.
    busy.write_all(b"_").expect("write");
    clock::pause(SOON.message + Duration::from_millis(300));
    assert_eq!(rig.counters.read(Counter::StreamTimedOut), 3);
    let (_, text) = rig.message(0);
    assert_eq!(text, "0 1\na");
}

#[test]
fn an_idle_peer_is_cut_in_the_end_and_its_shard_hears_of_it() {
    let mut rig = Rig::new(SOON);
    let mut peer = rig.peer();
    peer.write_all(b"0 1\na").expect("write");
    let (path, _) = rig.message(0);
    let start = clock::now();
    assert!(is_cut(&mut peer));
    assert!(clock::now() - start > Duration::from_secs(1), "a proven peer has more time");
    let flow = path.flow.expect("a flow");
    assert_eq!(rig.next(0), Got::Notice(StreamNotice::Closed { flow }));
}

#[test]
fn bytes_that_are_no_sip_are_answered_and_cut() {
    let rig = Rig::new(SOON);
    let mut peer = rig.peer();
    peer.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("write");
    assert_eq!(read(&mut peer, 3), b"400");
    assert!(is_cut(&mut peer));
    rig.wait_for(Counter::StreamMalformed, 1);
}

#[test]
fn a_source_has_its_share_and_nobodies_make_room() {
    let mut rig = Rig::new(Limits { first_message: Duration::from_secs(60), ..SOON });
    let mut peers: Vec<_> = (0..6).map(|_| rig.peer()).collect();
    rig.wait_for(Counter::StreamAccepted, 6);
    let mut seventh = rig.peer();
    assert!(is_cut(&mut seventh));
    rig.wait_for(Counter::StreamRefused, 1);
    // The second speaks; when connections of ours need room, the first goes.
    peers[1].write_all(b"0 1\na").expect("write");
    rig.message(0);
    let mut open = Vec::new();
    for n in 2..5u8 {
        let other = std::net::TcpListener::bind(format!("127.0.0.{n}:0")).expect("bind");
        let to = rig.to(other.local_addr().expect("address"));
        rig.send(0, to, 0, b"hello");
        let (mut accepted, _) = other.accept().expect("accept");
        assert_eq!(read(&mut accepted, 5), b"hello");
        if n == 4 {
            assert!(is_cut(&mut peers[0]));
        }
        open.push(accepted);
    }
    peers[1].write_all(b"?").expect("write");
    assert_eq!(read(&mut peers[1], 2), b"\r\n");
}

#[test]
fn connections_are_made_once_and_used_again_both_ways() {
    let mut rig = Rig::new(SOON);
    let carrier = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = rig.to(carrier.local_addr().expect("address"));
    rig.send(0, to, 1, b"first");
    rig.send(1, to, 2, b"second");
    let (mut accepted, _) = carrier.accept().expect("accept");
    let both = read(&mut accepted, 11);
    assert!(both == b"firstsecond" || both == b"secondfirst");
    accepted.write_all(b"1 2\nok").expect("write");
    let (path, text) = rig.message(1);
    assert_eq!((path.peer, text.as_str()), (to.peer, "1 2\nok"));
    rig.send(1, path, 3, b"third");
    assert_eq!(read(&mut accepted, 5), b"third");
    carrier.set_nonblocking(true).expect("nonblocking");
    assert!(carrier.accept().is_err(), "one connection is enough");
    rig.wait_for(Counter::StreamConnected, 1);
    // Once it is closed, the next message makes a new one.
    drop(accepted);
    let flow = path.flow.expect("a flow");
    assert_eq!(rig.next(1), Got::Notice(StreamNotice::Closed { flow }));
    carrier.set_nonblocking(false).expect("blocking");
    rig.send(0, to, 4, b"again");
    let (mut accepted, _) = carrier.accept().expect("accept");
    assert_eq!(read(&mut accepted, 5), b"again");
}

#[test]
fn a_connection_that_cannot_be_made_is_reported_with_its_cookie() {
    let mut rig = Rig::new(SOON);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = rig.to(listener.local_addr().expect("address"));
    drop(listener);
    rig.send(0, to, 77, b"hello");
    rig.send(1, to, 0, b"nobody waits for this one");
    assert_eq!(rig.next(0), Got::Notice(StreamNotice::Failed { cookie: 77 }));
    let tls = SipPath { transport: Transport::Tls, ..to };
    rig.send(1, tls, 78, b"hello");
    loop {
        match rig.next(1) {
            Got::Notice(StreamNotice::Closed { .. }) => {}
            other => break assert_eq!(other, Got::Notice(StreamNotice::Failed { cookie: 78 })),
        }
    }
}

#[test]
fn a_peer_that_does_not_read_is_cut_and_the_unsent_is_reported() {
    let mut rig = Rig::new(SOON);
    let mut peer = rig.peer();
    peer.write_all(b"0 1\na").expect("write");
    let (path, _) = rig.message(0);
    let big = vec![b'x'; 60_000];
    let mut last = 0;
    while rig.counters.read(Counter::StreamSlowReaders) == 0 {
        last += 1;
        assert!(last < 10_000, "never cut");
        if !rig.ends[0].0.message(path, last, &big) {
            clock::pause(Duration::from_millis(1));
        }
        rig.waker.wake();
    }
    let mut failed = Vec::new();
    let flow = path.flow.expect("a flow");
    loop {
        match rig.next(0) {
            Got::Notice(StreamNotice::Failed { cookie }) => failed.push(cookie),
            Got::Notice(StreamNotice::Closed { flow: f }) => break assert_eq!(f, flow),
            Got::Message(..) => panic!("a message"),
        }
    }
    assert!(!failed.is_empty() && failed.is_sorted(), "{failed:?}");
    drop(peer);
}

#[test]
fn a_message_followed_by_a_close_is_delivered() {
    let mut rig = Rig::new(Limits { connections_per_source_max: 8, ..SOON });
    for n in 0..50 {
        let mut peer = rig.peer();
        let text = format!("0 3\n{n:03}");
        peer.write_all(text.as_bytes()).expect("write");
        drop(peer);
        assert_eq!(rig.message(0).1, text);
        assert!(matches!(rig.next(0), Got::Notice(StreamNotice::Closed { .. })));
    }
    rig.wait_for(Counter::StreamAccepted, 50);
}

#[test]
fn ipv6_sources_are_counted_by_network() {
    let home = source("2001:db8:1:2:3:4:5:6".parse().expect("address"));
    assert_eq!(home, source("2001:db8:1:2::1".parse::<IpAddr>().expect("address")));
    assert_ne!(home, source("2001:db8:1:3::1".parse::<IpAddr>().expect("address")));
}
