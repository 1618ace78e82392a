use std::net::UdpSocket;
use std::os::fd::AsFd;

use super::*;

const PLAN: PoolPlan = PoolPlan { buffers: 4, datagram_bytes: 32, room_bytes: 8 };

fn rig() -> Option<(Ring, Vec<BufferPool>, UdpSocket)> {
    if let Err(reason) = probe() {
        eprintln!("skipped: {reason}");
        return None;
    }
    let (ring, pools) = Ring::new(&[PLAN, PLAN], 8).expect("ring");
    Some((ring, pools, UdpSocket::bind("127.0.0.1:0").expect("bind")))
}

fn next(ring: &mut Ring) -> Event {
    for _ in 0..100 {
        if let Some(event) = ring.event() {
            return event;
        }
        ring.enter(Some(Duration::from_millis(10))).expect("enter");
    }
    panic!("nothing happened");
}

#[test]
fn a_pool_runs_dry_and_goes_on_after_recycling() {
    let Some((mut ring, mut pools, socket)) = rig() else { return };
    assert!(ring.receive(socket.as_fd(), 1, 7));
    ring.enter(Some(Duration::ZERO)).expect("enter");
    let to = socket.local_addr().expect("address");
    for n in 0..6u8 {
        socket.send_to(&[n; 40], to).expect("send");
    }
    let mut held = Vec::new();
    loop {
        let Event::Receive { token: 7, lent, is_ended, is_starved } = next(&mut ring) else {
            panic!("a receive was expected");
        };
        held.extend(lent);
        if is_ended {
            assert!(is_starved);
            break;
        }
    }
    assert_eq!(held.len(), 4);
    for (n, mut lent) in (0u8..).zip(held) {
        assert_eq!((lent.source, lent.length, lent.is_cut), (Some(to), 32, true));
        assert!(pools[1].owns(&lent) && !pools[0].owns(&lent));
        let bytes = pools[1].bytes(&mut lent);
        assert_eq!((bytes.len(), &bytes[..32]), (40, &[n; 32][..]));
        assert!(bytes[32..].iter().all(|b| *b == 0), "the room stays free");
        pools[1].recycle(lent);
    }
    assert!(ring.receive(socket.as_fd(), 1, 7));
    for n in 4..6u8 {
        let Event::Receive { lent: Some(mut lent), .. } = next(&mut ring) else { panic!("{n}") };
        assert_eq!(pools[1].bytes(&mut lent)[0], n);
        pools[1].recycle(lent);
    }
}

#[test]
fn a_cancelled_receive_ends_and_frees_its_port() {
    let Some((mut ring, _pools, socket)) = rig() else { return };
    let address = socket.local_addr().expect("address");
    assert!(ring.receive(socket.as_fd(), 0, 1));
    ring.enter(Some(Duration::ZERO)).expect("enter");
    ring.cancel(0, 1);
    drop(socket);
    let event = next(&mut ring);
    assert!(matches!(event, Event::Receive { token: 1, lent: None, is_ended: true, .. }));
    drop(ring);
    UdpSocket::bind(address).expect("the port is free");
}

#[test]
fn a_dropped_ring_leaves_no_port_behind() {
    let Some((mut ring, pools, socket)) = rig() else { return };
    let address = socket.local_addr().expect("address");
    assert!(ring.receive(socket.as_fd(), 0, 1));
    ring.enter(Some(Duration::ZERO)).expect("enter");
    drop((socket, ring, pools));
    UdpSocket::bind(address).expect("the port is free");
}

#[test]
fn refused_messages_are_reported_and_others_sent() {
    let Some((mut ring, _pools, socket)) = rig() else { return };
    let to = socket.local_addr().expect("address");
    let nowhere = "127.0.0.1:0".parse().expect("address");
    let message = |to, bytes| Message { socket: socket.as_fd(), to, bytes };
    let messages: Vec<_> =
        (0..20).map(|n| message(if n == 3 { nowhere } else { to }, &b"text"[..])).collect();
    assert_eq!(ring.send(&messages), 0);
    assert!(matches!(next(&mut ring), Event::SendFailed));
    assert!(ring.event().is_none());
    let mut buffer = [0; 8];
    for _ in 0..19 {
        assert_eq!(socket.recv(&mut buffer).expect("receive"), 4);
    }
}

#[test]
fn a_ring_may_be_built_on_one_thread_and_used_on_another() {
    let Some((mut ring, _pools, socket)) = rig() else { return };
    std::thread::spawn(move || {
        let to = socket.local_addr().expect("address");
        ring.send(&[Message { socket: socket.as_fd(), to, bytes: b"moved" }]);
        assert_eq!(socket.recv(&mut [0; 8]).expect("receive"), 5);
    })
    .join()
    .expect("thread");
}
