//! Packet backends on their steady path allocate nothing, and closed ports leave nothing behind.
//!
//! One test, because descriptors are counted for the whole process.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use carrick::base::counter::Counters;
use carrick::base::id::ShardId;
use carrick::base::packet::{Frame, Local, MediaPort, Outbox, Route, SipPath, Transport, Verdict};
use carrick::net::{Backend, Chosen, Mail, MediaSlice, PacketIo, Setup, build, choose, sockets};
use carrick::sys::alloc::{CountingAllocator, counted};
use carrick::sys::limits::open_descriptors;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const PORTS: u16 = 64;

struct NoMail;

impl Mail for NoMail {
    fn stream(&mut self, _: SipPath, _: u64, _: &[u8]) -> bool {
        false
    }

    fn hand_over(&mut self, _: ShardId, _: SipPath, _: &[u8]) -> bool {
        false
    }
}

/// The first media port: other test runs on this machine have another.
fn first() -> u16 {
    28_672 + u16::try_from(std::process::id() % 64).expect("small") * PORTS
}

fn port(n: u16) -> MediaPort {
    MediaPort { address: 0, port: first() + n }
}

#[test]
fn the_steady_path_allocates_nothing_and_descriptors_come_back() {
    let mut backends = vec![Chosen::Epoll];
    match choose(Backend::Uring) {
        Ok((chosen, _)) => backends.push(chosen),
        Err(reason) => eprintln!("io_uring skipped: {reason}"),
    }
    for chosen in backends {
        let before = open_descriptors().expect("count");
        let socket = sockets::sip_udp("127.0.0.1:0".parse().expect("address")).expect("bind");
        let sip = socket.local_addr().expect("address");
        let (first, last) = (first(), first() + PORTS - 1);
        let setup = Setup {
            sip: vec![Some(socket)],
            media: MediaSlice { addresses: vec![sip.ip()], first, last },
            mail: Box::new(NoMail),
            counters: Counters::shared(),
        };
        let mut io = build(chosen, setup).expect("a backend");
        relay(io.as_mut(), sip, chosen);
        drop(io);
        assert_eq!(open_descriptors().expect("count"), before, "{chosen:?} dropped");
    }
}

fn relay(io: &mut dyn PacketIo, sip: SocketAddr, chosen: Chosen) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("peer");
    let to = peer.local_addr().expect("address");
    let path = SipPath { transport: Transport::Udp, listener: 0, peer: to, flow: None };
    let round = |io: &mut dyn PacketIo| {
        for n in 0..PORTS {
            io.outbox(&mut |out| assert!(out.open(port(n))));
        }
        for n in 0..PORTS {
            peer.send_to(&[0; 172], (sip.ip(), first() + n)).expect("send");
        }
        peer.send_to(b"OPTIONS", sip).expect("send");
        let mut frames = 0;
        while frames < usize::from(PORTS) + 1 {
            let answer = &mut |burst: &mut [Frame<'_>], out: &mut dyn Outbox| {
                for frame in burst {
                    frame.verdict = Verdict::Forward { from: frame.local, to };
                    if frame.local == Local::Sip(0) {
                        let route = Route::Sip { path, cookie: 0 };
                        assert!(out.send(route, &mut |buffer| {
                            buffer[..2].copy_from_slice(b"ok");
                            2
                        }));
                    }
                }
            };
            frames += io.poll(Some(Duration::from_secs(1)), answer).expect("poll");
        }
        let mut buffer = [0; 256];
        for _ in 0..=usize::from(PORTS) + 1 {
            peer.recv(&mut buffer).expect("an answer");
        }
        io.outbox(&mut |out| {
            for n in 0..PORTS {
                out.close(port(n));
            }
        });
        io.flush();
    };
    round(io);
    io.poll(Some(Duration::ZERO), &mut |_, _| {}).expect("poll");
    let open = open_descriptors().expect("count");
    let ((), allocations) = counted(|| {
        for _ in 0..5 {
            round(io);
        }
    });
    assert_eq!(allocations, 0, "{chosen:?} allocates on its steady path");
    io.poll(Some(Duration::ZERO), &mut |_, _| {}).expect("poll");
    assert_eq!(open_descriptors().expect("count"), open, "{chosen:?} after closing ports");
}
