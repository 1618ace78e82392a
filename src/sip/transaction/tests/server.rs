//! RFC 3261 figure 8, row by row, and responses without a transaction.

use super::super::*;
use super::world::{Tape, World, address, ms, parse, path, request};
use crate::base::packet::Transport::{Tcp, Udp};
use crate::base::rng::Rng;
use crate::base::table::HashKey;
use crate::base::time::Duration;
use crate::wire::sip::HeaderName;

fn bye() -> String {
    request("BYE", "z9hG4bKbye", "us")
}

#[test]
fn trying_swallows_proceeding_and_completed_answer_again() {
    let mut world = World::new(4);
    let server = world.begin(&bye(), Udp);
    assert_eq!(world.receive(&bye(), Udp), RequestMatch::Absorbed);
    assert!(world.sent().is_empty(), "Trying discards repetitions");
    assert!(world.respond(server, &bye(), 100));
    assert_eq!(world.receive(&bye(), Udp), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["SIP/2.0 100 x", "SIP/2.0 100 x"]);
    assert!(world.respond(server, &bye(), 200));
    assert!(!world.respond(server, &bye(), 200), "Completed takes no other answer");
    assert_eq!(world.receive(&bye(), Udp), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["SIP/2.0 200 x", "SIP/2.0 200 x"]);
    let (sent, told) = world.pass(ms(31_999));
    assert!(sent.is_empty() && told.is_empty(), "a server repeats nothing by itself");
    assert_eq!(world.table.len(), 1);
    world.pass(ms(1));
    assert!(world.table.is_empty(), "timer J");
}

#[test]
fn over_a_stream_the_final_response_ends_it() {
    let mut world = World::new(4);
    let server = world.begin(&bye(), Tcp);
    assert!(world.respond(server, &bye(), 481));
    assert!(world.table.is_empty(), "timer J is zero");
    assert!(!world.respond(server, &bye(), 200));
}

#[test]
fn over_a_full_stream_the_final_response_waits_for_room() {
    let mut world = World::new(4);
    let server = world.begin(&bye(), Tcp);
    world.tape.full = true;
    assert!(world.respond(server, &bye(), 200));
    world.pass(ms(499));
    world.tape.full = false;
    let (sent, _) = world.pass(Duration::from_secs(5));
    assert_eq!(sent, [1]);
    assert!(world.table.is_empty());
}

#[test]
fn an_answer_that_is_not_written_changes_nothing() {
    let mut world = World::new(4);
    let server = world.begin(&bye(), Udp);
    let (now, mut tape) = (world.now, Tape::default());
    assert!(!world.table.respond(now, server, 200, &mut |_| 0, &mut tape));
    assert!(tape.sent.is_empty());
    assert!(world.respond(server, &bye(), 200));
}

#[test]
fn the_head_of_a_request_is_kept_until_its_final_response() {
    let mut world = World::new(4);
    let text = request("INVITE", "z9hG4bKa", "").replace(
        "Route: <sip:proxy.example;lr>",
        "Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nVia: SIP/2.0/UDP first.example;branch=1",
    );
    let server = world.begin(&text, Udp);
    assert!(world.respond(server, &text, 180));
    let mut buffer = [0; 1024];
    let (length, from) = world.table.copy_head(server, &mut buffer).expect("kept");
    assert_eq!(from, path(Udp));
    let head = parse(&buffer[..length]);
    let request = parse(text.as_bytes());
    assert_eq!(head.start(), request.start());
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::RecordRoute] {
        assert!(head.values(name).eq(request.values(name)) && head.has(name), "{name}");
    }
    assert_eq!((head.call_id(), head.cseq()), (request.call_id(), request.cseq()));
    assert_eq!(world.table.copy_head(server, &mut [0; 64]), None, "does not fit");
    assert!(world.respond(server, &text, 200));
    assert_eq!(world.table.copy_head(server, &mut buffer), None);
}

#[test]
fn the_owner_can_change() {
    let mut world = World::new(4);
    let text = request("INVITE", "z9hG4bKa", "");
    let server = world.begin(&text, Udp);
    assert_eq!(world.table.server_owner(server), Some(42));
    world.table.set_server_owner(server, 43);
    let cancel = world.receive(&request("CANCEL", "z9hG4bKa", ""), Udp);
    assert_eq!(cancel, RequestMatch::Cancel { invite: Some((server, 43)) });
    assert!(world.respond(server, &text, 487));
    world.pass(ms(32_000));
    assert_eq!(world.table.server_owner(server), None);
}

#[test]
fn an_answer_without_state_goes_back_to_the_source_with_its_own_tag() {
    let mut tape = Tape::default();
    let text = request("OPTIONS", "z9hG4bKo", "").replace("Via: ", "v: ");
    let message = parse(text.as_bytes());
    let key = HashKey::new(&mut Rng::from_number(1));
    let tag = stateless_tag(key, &message);
    assert_eq!(tag, stateless_tag(key, &message), "the same for every repetition");
    let other = text.replace("Call-ID: one", "Call-ID: two");
    assert_ne!(tag, stateless_tag(key, &parse(other.as_bytes())));
    let mut from = path(Udp);
    from.peer = address("198.51.100.7:33000");
    let mut more = |writer: &mut crate::wire::sip::Writer<'_>| {
        writer.header(HeaderName::RetryAfter, "5");
    };
    assert!(stateless_response(&message, from, 503, &tag, usize::MAX, &mut more, &mut tape));
    let (path, cookie, bytes) = tape.sent.pop().expect("sent");
    assert_eq!((path, cookie), (from, 0));
    let answer = parse(&bytes);
    assert_eq!(answer.status(), Some(503));
    assert_eq!(answer.to().expect("To").tag(), Some(tag.as_str()));
    assert_eq!(answer.retry_after(), Some(5));
    let via = answer.top_via().expect("Via");
    assert_eq!(via.received(), Some(from.peer.ip()));
    assert_eq!(via.rport(), Some(Some(33000)));
}
