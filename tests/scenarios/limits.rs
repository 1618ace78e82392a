//! Limits of a trunk and of the edge: what is too much is refused with 503 and Retry-After, and
//! nothing of it stays.

use carrick::base::counter::Counter;
use carrick::base::time::Duration;

use crate::harness::World;
use crate::harness::flow;
use crate::harness::phone::{Caller, LIMITED, NORTH, PLAIN, header, one, reply};

fn limited(name: &str) -> Caller {
    Caller::new(LIMITED, name, "+4930123")
}

#[test]
fn a_trunk_has_only_so_many_calls_at_once() {
    let mut world = World::new();
    let first = flow::up(&mut world, &limited("one"));
    let second = flow::up(&mut world, &limited("two"));
    let sent = world.send(LIMITED, &limited("three").invite());
    assert_eq!(header(one(&sent, "503", LIMITED), "Retry-After"), Some("5"));
    assert_eq!(world.count(Counter::CallsLimited), 1);
    first.hang_up(&mut world);
    let third = flow::up(&mut world, &limited("four"));
    second.hang_up(&mut world);
    third.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn a_trunk_begins_only_so_many_calls_a_second() {
    let mut world = World::new();
    let mut begun = 0;
    for n in 0..8 {
        let caller = limited(&format!("fast-{n}"));
        let sent = world.send(LIMITED, &caller.invite());
        if sent.len() == 1 {
            assert_eq!(header(one(&sent, "503", LIMITED), "Retry-After"), Some("5"));
            continue;
        }
        begun += 1;
        let invite = one(&sent, "INVITE", NORTH).to_owned();
        let sent = world.send(NORTH, &reply(&invite, 486, "bob", "", ""));
        let refusal = one(&sent, "486", LIMITED).to_owned();
        world.send(LIMITED, &caller.ack(&refusal));
        world.record();
    }
    assert_eq!(begun, 5);
    world.pass(Duration::from_secs(1));
    flow::dial(&mut world, &limited("slow"), NORTH);
}

#[test]
fn a_full_shard_refuses_and_stays_sound() {
    let mut world = World::with(crate::harness::SETTINGS, 1, 4);
    let caller = |n| Caller::new(PLAIN, &format!("full-{n}"), "+4930123");
    let up: Vec<_> = (0..4).map(|n| flow::up(&mut world, &caller(n))).collect();
    let sent = world.send(PLAIN, &caller(9).invite());
    assert_eq!(header(one(&sent, "503", PLAIN), "Retry-After"), Some("5"));
    assert_eq!(world.count(Counter::CallsOverloaded), 1);
    for call in &up {
        call.hang_up(&mut world);
    }
    world.assert_clean();
}

#[test]
fn without_media_ports_a_call_is_refused() {
    let mut world = World::new();
    world.out.has_ports = false;
    let caller = Caller::new(PLAIN, "portless", "+4930123");
    let sent = world.send(PLAIN, &caller.invite());
    let refusal = one(&sent, "503", PLAIN).to_owned();
    assert_eq!(header(&refusal, "Retry-After"), Some("5"));
    assert_eq!(world.count(Counter::MediaPortsExhausted), 1);
    world.send(PLAIN, &caller.ack(&refusal));
    world.assert_clean();
}
