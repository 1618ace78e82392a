//! RFC 3261 figure 5 and RFC 6026 figure 4, row by row, with ACK and CANCEL.

use super::super::*;
use super::world::{World, copy, ms, parse, path, request};
use crate::base::packet::Transport::{Tcp, Udp};
use crate::base::time::Duration;
use crate::wire::sip::{HeaderName, Method};

fn matched(client: ClientKey, kind: ResponseKind) -> ResponseMatch {
    ResponseMatch::Matched { client, owner: 42, kind }
}

fn acknowledge(world: &mut World, client: ClientKey, tag: &str) -> bool {
    let text = request("ACK", "z9hG4bKack", tag);
    let mut write = |buffer: &mut [u8]| copy(&text, buffer);
    world.table.acknowledge(world.now, client, path(Udp), &mut write, &mut world.tape)
}

#[test]
fn calling_runs_a_and_b() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    let (sent, told) = world.pass(ms(32_000));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15500, 31500], "A doubles without limit");
    assert_eq!(told, [(32_000, TransactionEvent::ClientTimeout { client, owner: 42 })]);
    assert!(world.table.is_empty());
}

#[test]
fn over_a_stream_only_b_runs() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Tcp);
    let (sent, told) = world.pass(ms(32_000));
    assert!(sent.is_empty());
    assert_eq!(told, [(32_000, TransactionEvent::ClientTimeout { client, owner: 42 })]);
}

#[test]
fn proceeding_waits_as_long_as_it_rings() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    for status in [100, 180, 183] {
        assert_eq!(world.answer("INVITE", status, "b"), matched(client, ResponseKind::Provisional));
    }
    let (sent, told) = world.pass(Duration::from_secs(3600));
    assert!(sent.is_empty() && told.is_empty());
    assert_eq!(world.table.client_owner(client), Some(42));
}

#[test]
fn a_failure_is_acknowledged_with_what_the_invite_had() {
    for before in [None, Some(180)] {
        let mut world = World::new(4);
        let client = world.call(Method::Invite, Udp);
        before.map(|status| world.answer("INVITE", status, "b"));
        world.tape.sent.clear();
        assert_eq!(world.answer("INVITE", 486, "busy"), matched(client, ResponseKind::Final));
        let (to, cookie, bytes) = world.tape.sent.pop().expect("an ACK");
        assert_eq!((to, cookie), (path(Udp), 0));
        let ack = parse(&bytes);
        assert_eq!(ack.method(), Some(Method::Ack));
        assert_eq!(ack.request_uri(), Some("sip:bob@example.org"));
        assert_eq!(ack.values(HeaderName::Via).count(), 1);
        assert_eq!(ack.top_via().expect("Via").branch(), Some("z9hG4bKours"));
        assert_eq!(ack.to().expect("To").tag(), Some("busy"));
        assert_eq!(ack.from().expect("From").tag(), Some("them"));
        assert_eq!(ack.cseq().expect("CSeq").number, 7);
        assert_eq!(ack.header(HeaderName::Route), Some("<sip:proxy.example;lr>"));
        assert_eq!(ack.validate(), Ok(()));
        assert_eq!(world.answer("INVITE", 486, "busy"), ResponseMatch::Absorbed);
        assert_eq!(world.answer("INVITE", 180, "busy"), ResponseMatch::Absorbed);
        assert_eq!(world.sent(), ["ACK sip:bob@example.org SIP/2.0"]);
        let late = world.answer("INVITE", 200, "fork");
        assert_eq!(late, matched(client, ResponseKind::Another2xx));
        let (sent, told) = world.pass(ms(31_999));
        assert!(sent.is_empty() && told.is_empty());
        assert_eq!(world.table.len(), 1);
        world.pass(ms(1));
        assert!(world.table.is_empty(), "timer D");
    }
}

#[test]
fn over_a_stream_a_failure_ends_it() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Tcp);
    assert_eq!(world.answer("INVITE", 404, "b"), matched(client, ResponseKind::Final));
    assert!(world.table.is_empty(), "timer D is zero");
    assert_eq!(world.sent().len(), 2);
}

#[test]
fn the_ack_to_a_2xx_is_repeated_with_it() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    assert_eq!(world.answer("INVITE", 200, "b"), matched(client, ResponseKind::Final));
    world.sent();
    assert_eq!(world.answer("INVITE", 200, "b"), matched(client, ResponseKind::Repeated2xx));
    assert!(world.sent().is_empty(), "the owner has not acknowledged yet");
    assert!(acknowledge(&mut world, client, "b"));
    assert_eq!(world.answer("INVITE", 200, "b"), matched(client, ResponseKind::Repeated2xx));
    let ack = "ACK sip:bob@example.org SIP/2.0";
    assert_eq!(world.sent(), [ack, ack]);
    assert_eq!(world.answer("INVITE", 180, "b"), ResponseMatch::Absorbed);
    assert_eq!(world.answer("INVITE", 486, "b"), ResponseMatch::Absorbed);
    assert!(world.sent().is_empty());
    let (sent, told) = world.pass(ms(31_999));
    assert!(sent.is_empty() && told.is_empty(), "an INVITE that was answered is not repeated");
    assert_eq!(world.table.len(), 1);
    world.pass(ms(1));
    assert!(world.table.is_empty(), "timer M");
    assert_eq!(world.answer("INVITE", 200, "b"), ResponseMatch::Stray);
}

#[test]
fn every_fork_that_answers_is_told() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    world.answer("INVITE", 200, "b");
    assert!(acknowledge(&mut world, client, "b"));
    let another = matched(client, ResponseKind::Another2xx);
    assert_eq!(world.answer("INVITE", 200, "c"), another);
    assert!(acknowledge(&mut world, client, "c"));
    assert_eq!(world.answer("INVITE", 200, "c"), another);
    world.tape.sent.clear();
    world.answer("INVITE", 200, "b");
    let (_, _, bytes) = world.tape.sent.pop().expect("the first fork's ACK was kept");
    assert_eq!(parse(&bytes).to().expect("To").tag(), Some("b"));
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Pending);
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Pending);
    assert_eq!(world.sent(), ["INVITE sip:bob@example.org SIP/2.0"]);
    world.answer("INVITE", 100, "");
    let (to, _, bytes) = world.tape.sent.pop().expect("a CANCEL");
    assert_eq!(to, path(Udp));
    let cancel = parse(&bytes);
    assert_eq!(cancel.method(), Some(Method::Cancel));
    assert_eq!(cancel.request_uri(), Some("sip:bob@example.org"));
    assert_eq!(cancel.top_via().expect("Via").branch(), Some("z9hG4bKours"));
    assert_eq!(cancel.to().expect("To").tag(), None);
    assert_eq!(cancel.cseq().expect("CSeq").number, 7);
    assert_eq!(cancel.header(HeaderName::Route), Some("<sip:proxy.example;lr>"));
    assert_eq!(cancel.validate(), Ok(()));
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Sent);
    assert!(world.sent().is_empty(), "once is enough");
    assert_eq!(world.answer("CANCEL", 200, "b"), ResponseMatch::Absorbed);
    assert_eq!(world.answer("INVITE", 487, "b"), matched(client, ResponseKind::Final));
    assert_eq!(world.sent(), ["ACK sip:bob@example.org SIP/2.0"]);
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Finished);
    world.pass(ms(32_000));
    assert!(world.table.is_empty());
}

#[test]
fn a_cancel_that_nobody_hears_ends_the_invite() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    world.answer("INVITE", 180, "b");
    world.tape.sent.clear();
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Sent);
    let (sent, told) = world.pass(ms(32_000));
    assert_eq!(sent.len(), 10, "CANCEL is repeated like any request");
    assert!(world.sent().iter().all(|line| line.starts_with("CANCEL")));
    let timeout = TransactionEvent::ClientTimeout { client, owner: 42 };
    assert_eq!(told, [(32_000, timeout)], "and nobody is told of the CANCEL itself");
    assert!(world.table.is_empty());
}

#[test]
fn an_answer_that_crosses_the_cancel_wins() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Udp);
    world.answer("INVITE", 180, "b");
    world.table.cancel(world.now, client, &mut world.tape);
    assert_eq!(world.answer("INVITE", 200, "b"), matched(client, ResponseKind::Final));
    assert_eq!(world.answer("CANCEL", 481, "b"), ResponseMatch::Absorbed);
    let (_, told) = world.pass(ms(40_000));
    assert!(told.is_empty() && world.table.is_empty());
    // With the wish pending, a 2xx as the very first response.
    let client = world.call(Method::Invite, Udp);
    world.table.cancel(world.now, client, &mut world.tape);
    world.sent();
    assert_eq!(world.answer("INVITE", 200, "b"), matched(client, ResponseKind::Final));
    assert!(world.sent().is_empty(), "no CANCEL after the final response");
}

#[test]
fn in_a_full_table_cancel_is_sent_once() {
    let mut world = World::new(1);
    let client = world.call(Method::Invite, Udp);
    world.answer("INVITE", 180, "b");
    world.tape.sent.clear();
    assert_eq!(world.table.cancel(world.now, client, &mut world.tape), CancelOutcome::Sent);
    assert_eq!(world.sent(), ["CANCEL sip:bob@example.org SIP/2.0"]);
    let (sent, told) = world.pass(ms(32_000));
    assert!(sent.is_empty());
    assert_eq!(told, [(32_000, TransactionEvent::ClientTimeout { client, owner: 42 })]);
}

#[test]
fn a_broken_stream_fails_the_invite_until_it_was_answered() {
    let mut world = World::new(4);
    let client = world.call(Method::Invite, Tcp);
    world.answer("INVITE", 100, "");
    let told = world.table.stream_failed(world.now, client.to_u64(), &mut world.tape);
    assert_eq!(told, None);
    world.answer("INVITE", 500, "x");
    let client = world.call(Method::Invite, Tcp);
    let told = world.table.stream_failed(world.now, client.to_u64(), &mut world.tape);
    assert_eq!(told, Some(TransactionEvent::ClientFailed { client, owner: 42 }));
    assert!(world.table.is_empty());
}

#[test]
fn ack_and_cancel_take_the_connection_that_the_answer_came_on() {
    let mut world = World::new(4);
    let (now, mut unconnected) = (world.now, path(Tcp));
    unconnected.flow = None;
    let text = request("INVITE", "z9hG4bKours", "");
    let mut write = |buffer: &mut [u8]| copy(&text, buffer);
    let tape = &mut world.tape;
    let begun =
        world.table.request(now, Method::Invite, "z9hG4bKours", unconnected, 42, &mut write, tape);
    assert!(begun.is_ok());
    let text = super::world::response("INVITE", 486, "b");
    let message = parse(text.as_bytes());
    world.table.receive_response(now, &message, path(Tcp), &mut world.tape);
    assert_eq!(world.tape.sent.pop().expect("an ACK").0, path(Tcp));
}
