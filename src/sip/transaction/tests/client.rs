//! RFC 3261 figure 6, row by row.

use super::super::*;
use super::world::{Tape, World, copy, ms, path, request};
use crate::base::counter::Counter;
use crate::base::packet::Transport::{Tcp, Udp};
use crate::wire::sip::Method;

fn matched(client: ClientKey, kind: ResponseKind) -> ResponseMatch {
    ResponseMatch::Matched { client, owner: 42, kind }
}

#[test]
fn trying_runs_e_and_f() {
    let mut world = World::new(4);
    let client = world.call(Method::Bye, Udp);
    let (sent, told) = world.pass(ms(32_000));
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert_eq!(told, [(32_000, TransactionEvent::ClientTimeout { client, owner: 42 })]);
    assert!(world.table.is_empty());
    assert_eq!(world.count(Counter::SipRetransmissionsSent), 10);
    assert_eq!(world.count(Counter::SipSent), 11);
}

#[test]
fn proceeding_repeats_every_t2_and_f_still_runs() {
    let mut world = World::new(4);
    let client = world.call(Method::Bye, Udp);
    world.pass(ms(600));
    assert_eq!(world.answer("BYE", 100, "x"), matched(client, ResponseKind::Provisional));
    let (sent, told) = world.pass(ms(31_400));
    assert_eq!(sent, [900, 4900, 8900, 12900, 16900, 20900, 24900, 28900]);
    assert_eq!(told, [(31_400, TransactionEvent::ClientTimeout { client, owner: 42 })]);
}

#[test]
fn completed_swallows_repetitions_for_k() {
    let mut world = World::new(4);
    let client = world.call(Method::Bye, Udp);
    assert_eq!(world.answer("BYE", 200, "x"), matched(client, ResponseKind::Final));
    assert_eq!(world.answer("BYE", 200, "x"), ResponseMatch::Absorbed);
    assert_eq!(world.answer("BYE", 100, "x"), ResponseMatch::Absorbed);
    let (sent, told) = world.pass(ms(4999));
    assert!(sent.is_empty() && told.is_empty());
    assert_eq!(world.table.len(), 1);
    world.pass(ms(1));
    assert!(world.table.is_empty());
    assert_eq!(world.answer("BYE", 200, "x"), ResponseMatch::Stray);
    assert_eq!(world.count(Counter::SipStray), 1);
}

#[test]
fn streams_repeat_nothing_and_end_with_the_response() {
    let mut world = World::new(4);
    let client = world.call(Method::Options, Tcp);
    let (sent, _) = world.pass(ms(31_000));
    assert!(sent.is_empty());
    assert_eq!(world.answer("OPTIONS", 404, "x"), matched(client, ResponseKind::Final));
    assert!(world.table.is_empty(), "timer K is zero");
}

#[test]
fn a_response_of_another_method_or_branch_is_stray() {
    let mut world = World::new(4);
    world.call(Method::Bye, Udp);
    assert_eq!(world.answer("INVITE", 200, "x"), ResponseMatch::Stray);
    let text = super::world::response("BYE", 200, "x").replace("z9hG4bKours", "z9hG4bKyours");
    let message = super::world::parse(text.as_bytes());
    let (now, tape) = (world.now, &mut world.tape);
    let answer = world.table.receive_response(now, &message, path(Udp), tape);
    assert_eq!(answer, ResponseMatch::Stray);
}

#[test]
fn a_broken_stream_fails_what_was_not_answered() {
    let mut world = World::new(4);
    let client = world.call(Method::Bye, Tcp);
    let cookie = client.to_u64();
    assert_eq!(world.tape.sent[0].1, cookie);
    let told = world.table.stream_failed(world.now, cookie, &mut world.tape);
    assert_eq!(told, Some(TransactionEvent::ClientFailed { client, owner: 42 }));
    assert!(world.table.is_empty());
    assert_eq!(world.table.stream_failed(world.now, 0, &mut world.tape), None);
    let client = world.call(Method::Bye, Tcp);
    world.answer("BYE", 100, "x");
    let told = world.table.stream_failed(world.now, client.to_u64(), &mut world.tape);
    assert_eq!(told, None, "it had arrived");
}

#[test]
fn what_cannot_begin_leaves_nothing() {
    let mut world = World::new(1);
    let text = request("BYE", "z9hG4bKours", "x");
    let mut tape = Tape::default();
    let mut begin = |path, write: &mut Write<'_>, full| {
        tape.full = full;
        world.table.request(world.now, Method::Bye, "z9hG4bKours", path, 1, write, &mut tape)
    };
    assert_eq!(begin(path(Udp), &mut |_| 0, false), Err(Refused::Unwritten));
    assert_eq!(begin(path(Tcp), &mut |b| copy(&text, b), true), Err(Refused::Unsent));
    // A datagram that was not taken is one that was lost: timer E repeats it.
    assert!(begin(path(Udp), &mut |b| copy(&text, b), true).is_ok());
    assert_eq!(begin(path(Udp), &mut |b| copy(&text, b), false), Err(Refused::Full));
    let (sent, told) = world.pass(ms(32_000));
    assert_eq!((sent.len(), told.len()), (10, 1));
    assert!(world.table.is_empty());
}

#[test]
fn without_room_for_a_copy_nothing_begins() {
    let mut world = World::new(4);
    // Two messages of more than 2 KiB need the one large block that four transactions have.
    let long = request("BYE", "z9hG4bKours", "x")
        .replace("Call-ID: one", &format!("Call-ID: {}", "x".repeat(3000)));
    let mut tape = Tape::default();
    let mut begin = |branch: &str| {
        let mut write = |buffer: &mut [u8]| copy(&long, buffer);
        world.table.request(world.now, Method::Bye, branch, path(Udp), 1, &mut write, &mut tape)
    };
    assert!(begin("z9hG4bK1").is_ok());
    assert_eq!(begin("z9hG4bK2"), Err(Refused::Full));
    world.pass(ms(32_000));
    assert!(world.table.is_empty());
}
