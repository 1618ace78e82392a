//! Datagrams that come twice, as they do: every request of a call is sent again, and so is every
//! response, and nothing happens twice.

use carrick::base::counter::Counter;
use carrick::base::time::Duration;

use crate::harness::flow::CALLEE;
use crate::harness::phone::{ASKED, Caller, NORTH, PLAIN, callee_request, one, reply, sdp, shorts};
use crate::harness::{Sent, World};
use carrick::link::svaml::{Action, ConnectPstn};

/// Sends it twice: the first answer, after the second was found to be the same or nothing new.
fn twice(world: &mut World, from: &str, text: &str, again: &[&str]) -> Vec<Sent> {
    let first = world.send(from, text);
    let second = world.send(from, text);
    assert_eq!(shorts(&second), again, "the repetition of {text}");
    for sent in &second {
        assert!(first.iter().any(|earlier| earlier.text == sent.text), "another answer");
    }
    first
}

#[test]
fn everything_comes_twice_and_happens_once() {
    let mut world = World::new();
    let caller = Caller::new(ASKED, "twice", "+4930123");
    twice(&mut world, ASKED, &caller.invite(), &["100"]);
    assert_eq!(world.control.said.len(), 1, "one question");
    let sent = world.answer(Action::ConnectPstn(ConnectPstn::default()));
    let invite = one(&sent, "INVITE", NORTH).to_owned();
    assert_eq!(shorts(&world.send(NORTH, &reply(&invite, 180, "bob", "", ""))), ["180"]);
    let answer = reply(&invite, 200, "bob", "", &sdp("203.0.113.77", 6000));
    twice(&mut world, NORTH, &answer, &["ACK"]);
    let sent = world.answer(Action::Continue);
    let ok = one(&sent, "200", ASKED).to_owned();
    // The caller has not got it: its INVITE again is absorbed (RFC 6026 §7.1), and the 200 comes by
    // itself until the ACK.
    assert!(world.send(ASKED, &caller.invite()).is_empty());
    let sent = world.pass(Duration::from_millis(600));
    assert_eq!(one(&sent, "200", ASKED), ok);
    twice(&mut world, ASKED, &caller.ack(&ok), &[]);
    assert!(world.pass(Duration::from_secs(5)).is_empty());
    let bye = callee_request(&invite, "bob", "BYE", 1, "");
    let sent = twice(&mut world, CALLEE, &bye, &[]);
    let theirs = one(&sent, "BYE", ASKED).to_owned();
    assert_eq!(shorts(&world.pass(Duration::from_millis(600))), ["BYE"], "it was lost");
    twice(&mut world, ASKED, &reply(&theirs, 200, "", "", ""), &[]);
    let (_, sent) = world.record();
    assert_eq!(shorts(&sent), ["200"]);
    assert_eq!(world.send(CALLEE, &bye)[0].text, sent[0].text);
    assert!(world.count(Counter::SipRetransmissionsReceived) >= 5);
    assert_eq!(world.count(Counter::CallsEnded), 1);
    world.assert_clean();
}

#[test]
fn cancel_and_refusal_come_twice() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "again", "+4930123");
    let sent = world.send(PLAIN, &caller.invite());
    let invite = one(&sent, "INVITE", NORTH).to_owned();
    world.send(NORTH, &reply(&invite, 100, "", "", ""));
    let first = world.send(PLAIN, &caller.cancel());
    let refusal = one(&first, "487", PLAIN).to_owned();
    let again = world.send(PLAIN, &caller.cancel());
    assert_eq!(shorts(&again), ["200"], "no second CANCEL, no second 487");
    assert_eq!(again[0].text, one(&first, "200", PLAIN), "the same To-tag (RFC 3261 §9.2)");
    // Unacknowledged, the 487 is repeated; the CANCEL too.
    let sent = world.pass(Duration::from_millis(600));
    assert_eq!(one(&sent, "487", PLAIN), refusal);
    one(&sent, "CANCEL", NORTH);
    world.send(PLAIN, &caller.ack(&refusal));
    let theirs = reply(&invite, 487, "bob", "", "");
    twice(&mut world, NORTH, &theirs, &["ACK"]);
    world.assert_clean();
}

#[test]
fn responses_that_belong_to_nothing_are_dropped() {
    let mut world = World::new();
    let stray = reply(&Caller::new(PLAIN, "stray", "+4930123").invite(), 200, "x", "", "");
    assert!(world.send(NORTH, &stray).is_empty());
    world.assert_clean();
}
