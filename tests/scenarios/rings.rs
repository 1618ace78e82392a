//! Rings that are full, shards that own each other's datagrams, and a drain.

use carrick::base::counter::Counter;
use carrick::base::packet::Route;
use carrick::base::time::Duration;
use carrick::link::{ToControl, ToShard};

use crate::harness::flow::{self, CALLEE};
use crate::harness::phone::{ASKED, Caller, NORTH, PLAIN, header, one, reply, sdp, shorts, status};
use crate::harness::{SETTINGS, Sent, World, address, path};

#[test]
fn a_full_ring_to_control_refuses_new_calls_and_keeps_records() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(PLAIN, "kept", "+4930123"));
    world.control.room = 0;
    // A question that cannot be asked is a call refused, with its records kept.
    let caller = Caller::new(ASKED, "unasked", "+4930123");
    let sent = world.send(ASKED, &caller.invite());
    let refusal = one(&sent, "503", ASKED).to_owned();
    assert_eq!(header(&refusal, "Retry-After"), Some("5"));
    world.send(ASKED, &caller.ack(&refusal));
    let sent = world.send(PLAIN, &call.caller.inside("BYE", 8, &call.ok, ""));
    world.send(CALLEE, &reply(one(&sent, "BYE", CALLEE), 200, "", "", ""));
    // The BYE's sender is not kept waiting for ever.
    let sent = world.pass(Duration::from_millis(2_100));
    one(&sent, "200", PLAIN);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.shards[0].census().calls, 2, "until their records are written");
    world.control.room = 1024;
    world.control.said.clear();
    world.pass(Duration::from_millis(10));
    let ended = |word: &&ToControl| matches!(word, ToControl::Ended(_));
    assert_eq!(world.control.said.iter().filter(ended).count(), 2);
    world.assert_clean();
}

#[test]
fn the_answered_leg_goes_on_where_control_cannot_be_asked() {
    let mut world = World::new();
    let dialled = flow::dial(&mut world, &Caller::new(ASKED, "ace", "+4930123"), NORTH);
    world.control.room = 0;
    let answer = reply(&dialled.invite, 200, "bob", "", &sdp("203.0.113.77", 6000));
    let sent = world.send(NORTH, &answer);
    one(&sent, "200", ASKED);
}

/// Passes a datagram to shard 0 as the kernel might, and from there to its owner.
fn anywhere(world: &mut World, from: &str, text: &str) -> (Vec<Sent>, bool) {
    world.arrive(0, address(from), text.as_bytes());
    let mut handed = None;
    for (route, bytes) in world.out.contents() {
        if let Route::HandOver { shard, path } = route {
            handed = Some((usize::from(shard.0), path, bytes.to_vec()));
        }
    }
    let sent = world.take();
    let Some((owner, way, bytes)) = handed else { return (sent, false) };
    assert!(sent.is_empty(), "whose it is not says nothing");
    assert_eq!((owner, way), (1, path(from)));
    assert_eq!(bytes, text.as_bytes());
    world.on(owner, |shard, now, out, control| {
        shard.receive_message(now, way, &bytes, out, control);
    });
    (world.take(), true)
}

#[test]
fn the_owning_shard_gets_every_datagram_of_its_call() {
    let mut world = World::with(SETTINGS, 2, 16);
    let mut handed_over = 0;
    for n in 0..16 {
        let caller = Caller::new(PLAIN, &format!("owner-{n}"), "+4930123");
        let (sent, handed) = anywhere(&mut world, PLAIN, &caller.invite());
        handed_over += usize::from(handed);
        let invite = one(&sent, "INVITE", NORTH).to_owned();
        // The callee's side carries the owner in its Call-ID, so its answers find the way too.
        let ok = reply(&invite, 200, "bob", "", &sdp("203.0.113.77", 6000));
        let (sent, answer_handed) = anywhere(&mut world, NORTH, &ok);
        assert_eq!(answer_handed, handed);
        let ok = one(&sent, "200", PLAIN).to_owned();
        anywhere(&mut world, PLAIN, &caller.ack(&ok));
        let (sent, _) = anywhere(&mut world, PLAIN, &caller.inside("BYE", 8, &ok, ""));
        let bye = one(&sent, "BYE", CALLEE).to_owned();
        anywhere(&mut world, CALLEE, &reply(&bye, 200, "", "", ""));
        let records = world.records().expect("ended");
        let shard = usize::from(records.call.shard.0);
        assert_eq!(shard, usize::from(handed));
        let word = ToShard::Recorded(records.call);
        world.on(shard, |shard, now, out, control| shard.command(now, word, out, control));
        one(&world.take(), "200", PLAIN);
    }
    assert!((3..=13).contains(&handed_over), "{handed_over} of 16 are the other shard's");
    world.assert_clean();
}

#[test]
fn a_full_hand_over_ring_is_loss_on_the_network() {
    let mut world = World::with(SETTINGS, 2, 16);
    let theirs = (0..64).map(|n| Caller::new(PLAIN, &format!("full-{n}"), "+4930123"));
    world.out.room = 0;
    for caller in theirs {
        let text = caller.invite();
        if carrick::wire::sip::call_key::owner(caller.call_id.as_bytes(), 2) == 1 {
            world.arrive(0, address(PLAIN), text.as_bytes());
            assert_eq!(world.count(Counter::SipQueueFull), 1);
            assert_eq!(world.count(Counter::SipHandedOver), 0);
            return;
        }
    }
    panic!("none of many calls is the other shard's");
}

#[test]
fn a_draining_shard_takes_no_calls_and_says_when_it_is_empty() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(PLAIN, "last", "+4930123"));
    world.say(ToShard::Drain);
    let sent = world.send(PLAIN, &Caller::new(PLAIN, "new", "+4930123").invite());
    assert_eq!(header(one(&sent, "503", PLAIN), "Retry-After"), Some("5"));
    let ask = call.caller.request("OPTIONS", "z9hG4bK-options", 1, "", "", "");
    one(&world.send(PLAIN, &ask), "503", PLAIN);
    let drained = |world: &World| {
        world.control.said.iter().filter(|word| matches!(word, ToControl::Drained(_))).count()
    };
    assert_eq!(drained(&world), 0);
    call.hang_up(&mut world);
    world.pass(Duration::from_secs(50));
    assert_eq!(drained(&world), 1, "said once");
    world.assert_clean();
}

#[test]
fn the_end_of_a_drain_ends_calls_in_every_state() {
    let mut world = World::new();
    flow::up(&mut world, &Caller::new(PLAIN, "talking", "+4930123"));
    world.send(ASKED, &Caller::new(ASKED, "asking", "+4930123").invite());
    let ringing = flow::dial(&mut world, &Caller::new(PLAIN, "ringing", "+4930123"), NORTH);
    world.send(NORTH, &reply(&ringing.invite, 180, "bob", "", ""));
    let sent = world.say(ToShard::EndAll);
    let mut short = shorts(&sent);
    short.sort();
    assert_eq!(short, ["503", "503", "BYE", "BYE", "CANCEL"]);
    let refusals = sent.iter().filter(|sent| status(&sent.text) == 503);
    assert!(refusals.into_iter().all(|sent| header(&sent.text, "Retry-After") == Some("5")));
    world.assert_clean();
}
