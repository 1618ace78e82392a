//! One suite for all packet backends, over real sockets of the loopback interface.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::base::packet::{Local, MediaPort, Route, SipPath, Transport, Verdict};
use crate::sys::clock;

const WAIT: Option<Duration> = Some(Duration::from_secs(2));
const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

/// Runs a test over each backend that this machine permits, over IPv4 and IPv6.
fn each(test: impl Fn(&mut Rig)) {
    let mut backends = vec![Chosen::Epoll];
    match choose(Backend::Uring) {
        Ok((chosen, _)) => backends.push(chosen),
        Err(reason) => eprintln!("io_uring skipped: {reason}"),
    }
    for chosen in backends {
        for ip in ["127.0.0.1", "::1"] {
            let ip = ip.parse().expect("address");
            test(&mut Rig::new(chosen, ip, free_ports(ip)));
        }
    }
}

/// The first of sixteen free ports, below those that the kernel gives to peers. Where to look
/// differs between processes, so that several test runs on one machine stay apart.
fn free_ports(ip: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 128).expect("small") * 8;
    for _ in 0..1024 {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 1024;
        let first = 12_000 + block * 16;
        if (first..first + 16).all(|port| UdpSocket::bind((ip, port)).is_ok()) {
            return first;
        }
    }
    panic!("no sixteen free ports");
}

type Posted = Arc<Mutex<Vec<(Option<ShardId>, SipPath, u64, Vec<u8>)>>>;

struct Postbox {
    posted: Posted,
    room: usize,
}

impl Mail for Postbox {
    fn stream(&mut self, path: SipPath, cookie: u64, bytes: &[u8]) -> bool {
        self.post((None, path, cookie, bytes.to_vec()))
    }

    fn hand_over(&mut self, shard: ShardId, path: SipPath, bytes: &[u8]) -> bool {
        self.post((Some(shard), path, 0, bytes.to_vec()))
    }
}

impl Postbox {
    fn post(&self, letter: (Option<ShardId>, SipPath, u64, Vec<u8>)) -> bool {
        let mut posted = self.posted.lock().expect("postbox");
        let is_taken = posted.len() < self.room;
        if is_taken {
            posted.push(letter);
        }
        is_taken
    }
}

struct Rig {
    io: Box<dyn PacketIo + Send>,
    sip: SocketAddr,
    ip: IpAddr,
    first: u16,
    posted: Posted,
    counters: Arc<Counters>,
}

impl Rig {
    fn new(chosen: Chosen, ip: IpAddr, first: u16) -> Self {
        let socket = sockets::sip_udp(SocketAddr::new(ip, 0)).expect("listener");
        let sip = socket.local_addr().expect("address");
        let media = MediaSlice { addresses: vec![ip], first, last: first + 15 };
        let posted = Posted::default();
        let counters = Counters::shared();
        let mail = Box::new(Postbox { posted: Arc::clone(&posted), room: 2 });
        let setup =
            Setup { sip: vec![None, Some(socket)], media, mail, counters: Arc::clone(&counters) };
        let io = build(chosen, setup).expect("a backend");
        Self { io, sip, ip, first, posted, counters }
    }

    fn peer(&self) -> Peer {
        let socket = UdpSocket::bind((self.ip, 0)).expect("peer");
        socket.set_read_timeout(WAIT).expect("timeout");
        Peer(socket)
    }

    fn port(&self, n: u16) -> MediaPort {
        MediaPort { address: 0, port: self.first + n }
    }

    fn address(&self, n: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.first + n)
    }

    fn open(&mut self, n: u16) -> bool {
        let port = self.port(n);
        let mut is_open = false;
        self.io.outbox(&mut |out| is_open = out.open(port));
        is_open
    }

    fn close(&mut self, n: u16) {
        let port = self.port(n);
        self.io.outbox(&mut |out| out.close(port));
    }

    fn send(&mut self, route: Route, text: &str) -> bool {
        let mut is_sent = false;
        self.io.outbox(&mut |out| {
            is_sent = out.send(route, &mut |buffer| {
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                text.len()
            });
        });
        is_sent
    }

    /// Polls until `count` frames have come, or none came within two seconds.
    fn collect(&mut self, count: usize) -> Vec<(SocketAddr, Local, Vec<u8>)> {
        let mut all = Vec::new();
        let until = clock::now() + Duration::from_secs(2);
        while all.len() < count && clock::now() < until {
            self.io
                .poll(Some(Duration::from_millis(100)), &mut |frames, _| {
                    assert!(frames.len() <= crate::base::limits::BURST_MAX);
                    all.extend(frames.iter().map(|f| (f.source, f.local, f.bytes().to_vec())));
                })
                .expect("poll");
        }
        all
    }

    fn udp(&self, peer: &Peer) -> SipPath {
        SipPath { transport: Transport::Udp, listener: 1, peer: peer.address(), flow: None }
    }

    fn count(&self, counter: crate::base::counter::Counter) -> u64 {
        self.counters.read(counter)
    }
}

struct Peer(UdpSocket);

impl Peer {
    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("address")
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, to).expect("send");
    }

    fn receive(&self) -> (SocketAddr, Vec<u8>) {
        let mut buffer = [0; 20_000];
        let (n, from) = self.0.recv_from(&mut buffer).expect("a datagram");
        (from, buffer[..n].to_vec())
    }

    fn is_quiet(&self) -> bool {
        self.0.set_nonblocking(true).expect("nonblocking");
        let result = self.0.recv_from(&mut [0; 16]);
        self.0.set_nonblocking(false).expect("blocking");
        result.is_err()
    }
}

#[test]
fn a_burst_arrives_with_sources_and_ports() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(0) && rig.open(1));
        for n in 0..100u8 {
            peer.send(rig.sip, &[n, 0]);
            peer.send(rig.address(u16::from(n % 2)), &[n, 1]);
        }
        let frames = rig.collect(200);
        assert_eq!(frames.len(), 200);
        assert!(frames.iter().all(|(source, ..)| *source == peer.address()));
        for local in [Local::Sip(1), Local::Media(rig.port(0)), Local::Media(rig.port(1))] {
            let of: Vec<u8> =
                frames.iter().filter(|(_, l, _)| *l == local).map(|(_, _, b)| b[0]).collect();
            assert!(of.is_sorted(), "order on one socket is kept: {of:?}");
            assert_eq!(of.len(), if local == Local::Sip(1) { 100 } else { 50 });
        }
    });
}

#[test]
fn forwarded_frames_leave_rewritten_from_the_port_asked_for() {
    each(|rig| {
        let (a, b) = (rig.peer(), rig.peer());
        assert!(rig.open(0) && rig.open(2));
        let (to, from) = (b.address(), Local::Media(rig.port(2)));
        for n in 0..20u8 {
            a.send(rig.address(0), &[n; 10]);
        }
        let mut seen = 0;
        while seen < 20 {
            let polled = rig.io.poll(WAIT, &mut |frames, _| {
                for frame in frames {
                    frame.bytes_mut()[0] += 100;
                    frame.set_length(12);
                    frame.bytes_mut()[10..].copy_from_slice(b"ok");
                    frame.verdict = Verdict::Forward { from, to };
                }
            });
            seen += polled.expect("poll");
        }
        for n in 0..20u8 {
            let (source, bytes) = b.receive();
            assert_eq!(source, rig.address(2));
            assert_eq!((bytes[0], &bytes[1..10], &bytes[10..]), (n + 100, &[n; 9][..], &b"ok"[..]));
        }
        assert!(a.is_quiet());
    });
}

#[test]
fn dropped_frames_and_closed_ports_send_nothing() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(0));
        let (to, closed) = (peer.address(), Local::Media(rig.port(5)));
        peer.send(rig.address(0), b"drop");
        assert_eq!(rig.collect(1).len(), 1);
        peer.send(rig.address(0), b"from a closed port");
        let polled = rig.io.poll(WAIT, &mut |frames, _| {
            frames[0].verdict = Verdict::Forward { from: closed, to };
        });
        assert_eq!(polled.expect("poll"), 1);
        assert!(peer.is_quiet());
        assert_eq!(rig.count(crate::base::counter::Counter::NetSendFailed), 1);
    });
}

#[test]
fn own_messages_leave_by_their_routes() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(3));
        let sip = Route::Sip { path: rig.udp(&peer), cookie: 0 };
        let media = Route::Media { from: rig.port(3), to: peer.address() };
        assert!(rig.send(sip, "sip") && rig.send(media, "media") && rig.send(sip, ""));
        rig.io.flush();
        assert_eq!(peer.receive(), (rig.sip, b"sip".to_vec()));
        assert_eq!(peer.receive(), (rig.address(3), b"media".to_vec()));
        assert!(peer.is_quiet(), "an empty message is none");
        let elsewhere = Route::Media { from: rig.port(4), to: peer.address() };
        assert!(!rig.send(elsewhere, "from a port that is not open"));
        // More than the queue holds: nothing is lost, the queue is flushed on the way.
        for n in 0..300 {
            assert!(rig.send(sip, &format!("message {n} {}", "x".repeat(1000))));
            if n % 50 == 49 {
                rig.io.flush();
                for _ in 0..50 {
                    peer.receive();
                }
            }
        }
        let stream = SipPath { transport: Transport::Tcp, ..rig.udp(&peer) };
        let hand_over = Route::HandOver { shard: ShardId(3), path: rig.udp(&peer) };
        let by_stream = Route::Sip { path: stream, cookie: 9 };
        assert!(rig.send(by_stream, "stream") && rig.send(hand_over, "other shard"));
        assert!(!rig.send(by_stream, "no room"), "a full ring is a refusal");
        let posted = rig.posted.lock().expect("postbox").clone();
        assert_eq!(posted[0], (None, stream, 9, b"stream".to_vec()));
        assert_eq!(posted[1], (Some(ShardId(3)), rig.udp(&peer), 0, b"other shard".to_vec()));
        assert_eq!(rig.count(crate::base::counter::Counter::MailFull), 1);
    });
}

#[test]
fn media_ports_open_and_close_while_running() {
    each(|rig| {
        let peer = rig.peer();
        for round in 0..20u8 {
            assert!(rig.open(0), "round {round}");
            assert!(!rig.open(0), "a port opens once");
            peer.send(rig.address(0), &[round]);
            let frames = rig.collect(1);
            assert_eq!(frames[0].2, [round]);
            // A last message before the port closes still leaves.
            let last = Route::Media { from: rig.port(0), to: peer.address() };
            assert!(rig.send(last, "bye"));
            rig.close(0);
            rig.close(0);
            assert_eq!(peer.receive().1, b"bye");
            peer.send(rig.address(0), b"to nobody");
            assert_eq!(rig.io.poll(NO_WAIT, &mut |_, _| {}).expect("poll"), 0);
        }
        let outside = MediaPort { address: 1, ..rig.port(0) };
        rig.io.outbox(&mut |out| assert!(!out.open(outside)));
        assert!(!rig.open(16), "outside the slice");
        let _stranger = UdpSocket::bind(rig.address(7)).expect("bind");
        assert!(!rig.open(7), "taken by another program");
        assert!(rig.open(8));
    });
}

#[test]
fn ports_open_and_close_inside_a_burst() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(0));
        let (mine, other) = (rig.port(0), rig.port(1));
        peer.send(rig.address(0), b"hello");
        let polled = rig.io.poll(WAIT, &mut |_, out| {
            out.close(mine);
            assert!(out.open(other));
        });
        assert_eq!(polled.expect("poll"), 1);
        peer.send(rig.address(0), b"late");
        peer.send(rig.address(1), b"new");
        let frames = rig.collect(1);
        assert_eq!(frames[0].1, Local::Media(other));
        assert_eq!(frames.len(), 1);
    });
}

#[test]
fn a_sleeping_poll_wakes_at_once_and_a_deadline_is_kept() {
    each(|rig| {
        let waker = rig.io.waker();
        for _ in 0..3 {
            let is_woken = Arc::new(AtomicBool::new(false));
            let (theirs, mark) = (waker.clone(), Arc::clone(&is_woken));
            let other = std::thread::spawn(move || {
                clock::pause(Duration::from_millis(30));
                mark.store(true, Ordering::Release);
                theirs.wake();
            });
            // A poll may return early once in a while; it must not do so all the time.
            let mut polls = 0;
            while !is_woken.load(Ordering::Acquire) {
                assert_eq!(rig.io.poll(None, &mut |_, _| {}).expect("poll"), 0);
                polls += 1;
            }
            assert!(polls <= 3, "{polls} polls in one sleep");
            other.join().expect("thread");
        }
        // A wake before the sleep is not lost.
        waker.wake();
        assert_eq!(rig.io.poll(None, &mut |_, _| {}).expect("poll"), 0);
        let mut polls = 0;
        let until = clock::now() + Duration::from_millis(20);
        while clock::now() < until {
            let rest = until - clock::now();
            assert_eq!(rig.io.poll(Some(rest), &mut |_, _| {}).expect("poll"), 0);
            polls += 1;
        }
        assert!(polls <= 4, "{polls} polls until one deadline");
    });
}

#[test]
fn a_large_datagram_comes_whole_and_a_larger_one_is_known() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(0));
        peer.send(rig.sip, &vec![1; DATAGRAM_BYTES_MAX]);
        peer.send(rig.sip, &vec![2; DATAGRAM_BYTES_MAX + 1]);
        peer.send(rig.sip, &vec![3; 3 * DATAGRAM_BYTES_MAX]);
        peer.send(rig.address(0), &vec![4; 1500]);
        peer.send(rig.address(0), &vec![5; 3000]);
        peer.send(rig.sip, b"end");
        let frames = rig.collect(5);
        let mut lengths: Vec<_> = frames.iter().map(|(_, _, b)| (b[0], b.len())).collect();
        lengths.sort_unstable();
        let cut = DATAGRAM_BYTES_MAX + 1;
        let whole = DATAGRAM_BYTES_MAX;
        assert_eq!(lengths, [(1, whole), (2, cut), (3, cut), (4, 1500), (b'e', 3)]);
        rig.collect(0);
        rig.io.poll(NO_WAIT, &mut |_, _| {}).expect("poll");
        assert_eq!(rig.count(crate::base::counter::Counter::NetDatagramsCut), 1);
    });
}

#[test]
fn ten_thousand_packets_both_ways_without_loss() {
    each(|rig| {
        let (a, b) = (rig.peer(), rig.peer());
        for n in 0..8 {
            assert!(rig.open(n));
        }
        let (first, to) = (rig.first, b.address());
        let mut received = vec![0u8; 10_000];
        for block in 0..500usize {
            for n in 0..20 {
                let sequence = u32::try_from(block * 20 + n).expect("small");
                a.send(rig.address(u16::try_from(n % 8).expect("small")), &sequence.to_be_bytes());
            }
            let mut relayed = 0;
            while relayed < 20 {
                relayed += rig
                    .io
                    .poll(WAIT, &mut |frames, _| {
                        for frame in frames {
                            let Local::Media(port) = frame.local else { panic!("not media") };
                            let out = first + (port.port - first) / 2 * 2;
                            let from = Local::Media(MediaPort { address: 0, port: out });
                            frame.verdict = Verdict::Forward { from, to };
                        }
                    })
                    .expect("poll");
            }
            for _ in 0..20 {
                let (_, bytes) = b.receive();
                let sequence = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
                received[sequence as usize] += 1;
            }
        }
        assert!(received.iter().all(|n| *n == 1), "each packet arrives once");
    });
}

#[test]
fn a_flooded_port_does_not_starve_the_others() {
    each(|rig| {
        let (flood, quiet) = (rig.peer(), rig.peer());
        for n in 0..8 {
            assert!(rig.open(n));
        }
        quiet.send(rig.address(7), b"quiet");
        let mut polls = 0;
        let mut is_found = false;
        while !is_found {
            for n in (0..7).cycle().take(140) {
                flood.send(rig.address(n), b"flood");
            }
            let local = Local::Media(rig.port(7));
            let seen = &mut |frames: &mut [Frame<'_>], _: &mut dyn Outbox| {
                is_found |= frames.iter().any(|f| f.local == local);
            };
            assert!(rig.io.poll(WAIT, seen).expect("poll") > 0);
            polls += 1;
            assert!(polls <= 16, "starved");
        }
    });
}

#[test]
fn a_port_reopened_inside_a_burst_that_starved_receives_once() {
    each(|rig| {
        let peer = rig.peer();
        assert!(rig.open(0));
        // More datagrams than io_uring has buffers, so that its receive ends for want of them.
        let sender = peer.0.try_clone().expect("clone");
        let to = rig.address(0);
        for _ in 0..2000 {
            sender.send_to(b"many", to).expect("send");
        }
        let port = rig.port(0);
        let mut polled = 1;
        while polled > 0 {
            let reopen = &mut |_: &mut [Frame<'_>], out: &mut dyn Outbox| {
                out.close(port);
                assert!(out.open(port));
            };
            polled = rig.io.poll(Some(Duration::from_millis(20)), reopen).expect("poll");
        }
        peer.send(to, b"one");
        assert_eq!(rig.collect(1).len(), 1);
        rig.close(0);
        assert!(rig.open(0));
        peer.send(to, b"two");
        assert_eq!(rig.collect(1)[0].2, b"two");
    });
}

#[test]
fn epoll_needs_no_probe_and_auto_always_finds_a_backend() {
    assert_eq!(choose(Backend::Epoll).expect("epoll").0, Chosen::Epoll);
    let (chosen, reason) = choose(Backend::Auto).expect("a backend");
    assert_eq!(chosen == Chosen::Uring, reason.starts_with("io_uring"), "{reason}");
}
