//! RFC 3261 figure 7 and RFC 6026 figure 5, row by row.

use super::super::*;
use super::world::{World, address, ms, path, request};
use crate::base::counter::Counter;
use crate::base::packet::Transport::{Tcp, Tls, Udp};
use crate::base::time::Duration;

const BRANCH: &str = "z9hG4bKa";

fn invite() -> String {
    request("INVITE", BRANCH, "")
}

#[test]
fn proceeding_repeats_the_last_provisional_response() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert_eq!(world.receive(&invite(), Udp), RequestMatch::Absorbed);
    assert!(world.sent().is_empty(), "nothing to repeat yet");
    assert!(world.respond(server, &invite(), 100));
    assert!(world.respond(server, &invite(), 180));
    world.sent();
    assert_eq!(world.receive(&invite(), Udp), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["SIP/2.0 180 x"]);
    let (sent, told) = world.pass(Duration::from_secs(600));
    assert!(sent.is_empty() && told.is_empty(), "Proceeding has no timer");
    assert_eq!(world.count(Counter::SipRetransmissionsReceived), 2);
}

#[test]
fn completed_runs_g_and_h() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 486));
    let (sent, told) = world.pass(ms(31_999));
    assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert!(told.is_empty());
    assert!(world.sent().iter().all(|line| line == "SIP/2.0 486 x"));
    assert_eq!(world.receive(&invite(), Udp), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["SIP/2.0 486 x"]);
    let (_, told) = world.pass(ms(1));
    let missing = TransactionEvent::AckMissing { server, owner: 42, accepted: false };
    assert_eq!(told, [(1, missing)]);
    assert!(world.table.is_empty());
}

#[test]
fn completed_to_confirmed_to_terminated() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 486));
    assert!(!world.respond(server, &invite(), 200), "a final response is final");
    world.sent();
    let ack = request("ACK", BRANCH, "us");
    assert_eq!(world.receive(&ack, Udp), RequestMatch::Absorbed);
    assert_eq!(world.receive(&ack, Udp), RequestMatch::Absorbed);
    assert_eq!(world.receive(&invite(), Udp), RequestMatch::Absorbed);
    let (sent, told) = world.pass(ms(4999));
    assert!(sent.is_empty() && told.is_empty() && world.sent().is_empty());
    assert_eq!(world.table.len(), 1);
    world.pass(ms(1));
    assert!(world.table.is_empty(), "timer I");
}

#[test]
fn an_ack_of_another_source_does_not_confirm() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 486));
    let mut stranger = path(Udp);
    stranger.peer = address("198.51.100.1:5070");
    let ack = request("ACK", BRANCH, "us");
    assert_eq!(world.receive_from(&ack, stranger), RequestMatch::Absorbed);
    let (sent, _) = world.pass(ms(500));
    assert_eq!(sent, [500]);
}

#[test]
fn a_2xx_is_repeated_until_acknowledged() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 200));
    assert!(!world.respond(server, &invite(), 200), "the table repeats it");
    let (sent, _) = world.pass(ms(4000));
    assert_eq!(sent, [500, 1500, 3500]);
    world.sent();
    assert_eq!(world.receive(&invite(), Udp), RequestMatch::Absorbed);
    assert!(world.sent().is_empty(), "absorbed without an answer");
    let wrong = request("ACK", "z9hG4bKb", "others");
    assert_eq!(world.receive(&wrong, Udp), RequestMatch::Ack { invite: None });
    let ack = request("ACK", "z9hG4bKb", "us");
    let matched = RequestMatch::Ack { invite: Some((server, 42)) };
    assert_eq!(world.receive(&ack, Udp), matched);
    world.table.acknowledged(world.now, server);
    let (sent, told) = world.pass(ms(27_999));
    assert!(sent.is_empty() && told.is_empty());
    assert_eq!(world.receive(&ack, Udp), matched, "a late repetition still has its dialog");
    let (_, told) = world.pass(ms(1));
    assert!(told.is_empty() && world.table.is_empty(), "timer L, after an ACK");
}

#[test]
fn a_2xx_that_nobody_acknowledges_is_told() {
    for transport in [Udp, Tcp, Tls] {
        let mut world = World::new(4);
        let server = world.begin(&invite(), transport);
        assert!(world.respond(server, &invite(), 200));
        let (sent, told) = world.pass(ms(32_000));
        assert_eq!(sent.len(), 10, "end to end, so over streams too");
        let missing = TransactionEvent::AckMissing { server, owner: 42, accepted: true };
        assert_eq!(told, [(32_000, missing)]);
        assert!(world.table.is_empty());
    }
}

#[test]
fn an_ack_to_2xx_with_the_branch_of_its_invite_is_understood() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 200));
    let matched = RequestMatch::Ack { invite: Some((server, 42)) };
    assert_eq!(world.receive(&request("ACK", BRANCH, "us"), Udp), matched);
}

#[test]
fn streams_repeat_no_failure_and_end_with_the_ack() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Tcp);
    assert!(world.respond(server, &invite(), 486));
    let (sent, _) = world.pass(ms(20_000));
    assert!(sent.is_empty());
    assert_eq!(world.receive(&request("ACK", BRANCH, "us"), Tcp), RequestMatch::Absorbed);
    assert!(world.table.is_empty(), "timer I is zero");
}

#[test]
fn a_response_that_its_stream_cannot_carry_takes_a_new_one_to_sent_by() {
    let mut world = World::new(4);
    let mut from = path(Tcp);
    from.peer = address("192.0.2.9:40001");
    let text = invite();
    let message = super::world::parse(text.as_bytes());
    let server = world.table.begin(world.now, &message, from, 42).expect("room");
    assert!(world.respond(server, &text, 486));
    let cookie = world.tape.sent[0].1;
    assert_eq!(cookie, server.to_u64());
    assert_eq!(world.table.stream_failed(world.now, cookie, &mut world.tape), None);
    let (again, _, bytes) = world.tape.sent.pop().expect("sent again");
    assert_eq!((again.peer, again.flow), (address("192.0.2.9:5070"), None));
    assert!(bytes.starts_with(b"SIP/2.0 486"));
    let failed = TransactionEvent::ServerFailed { server, owner: 42 };
    let told = world.table.stream_failed(world.now, cookie, &mut world.tape);
    assert_eq!(told, Some(failed));
    assert!(world.table.is_empty());
    assert_eq!(world.table.stream_failed(world.now, cookie, &mut world.tape), None);
}

#[test]
fn a_failure_that_a_full_queue_refused_is_sent_when_there_is_room() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Tcp);
    world.tape.full = true;
    assert!(world.respond(server, &invite(), 486));
    world.pass(ms(600));
    assert!(world.sent().is_empty());
    world.tape.full = false;
    let (sent, _) = world.pass(ms(10_000));
    assert_eq!(sent.len(), 1);
    assert_eq!(world.receive(&request("ACK", BRANCH, "us"), Tcp), RequestMatch::Absorbed);
    assert!(world.table.is_empty());
}

#[test]
fn cancel_finds_its_invite_from_the_same_source_only() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    assert!(world.respond(server, &invite(), 180));
    let cancel = request("CANCEL", BRANCH, "");
    let mut stranger = path(Udp);
    stranger.peer = address("198.51.100.1:5070");
    let none = RequestMatch::Cancel { invite: None };
    assert_eq!(world.receive_from(&cancel, stranger), none);
    assert_eq!(world.receive(&request("CANCEL", "z9hG4bKb", ""), Udp), none);
    let found = RequestMatch::Cancel { invite: Some((server, 42)) };
    assert_eq!(world.receive(&cancel, Udp), found);
    let message = super::world::parse(cancel.as_bytes());
    let own = world.table.begin(world.now, &message, path(Udp), 42).expect("room");
    assert!(world.respond(own, &cancel, 200));
    assert!(world.respond(server, &invite(), 487));
    world.sent();
    assert_eq!(world.receive(&cancel, Udp), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["SIP/2.0 200 x"]);
    assert_eq!(world.receive(&request("ACK", BRANCH, "us"), Udp), RequestMatch::Absorbed);
    world.pass(ms(40_000));
    assert!(world.table.is_empty());
}

#[test]
fn the_same_request_by_two_ways_is_merged() {
    let mut world = World::new(4);
    let server = world.begin(&invite(), Udp);
    let other_way = request("INVITE", "z9hG4bKother", "");
    assert_eq!(world.receive(&other_way, Udp), RequestMatch::Merged);
    let other_sent_by = invite().replace("192.0.2.9:5070;branch", "192.0.2.8:5070;branch");
    assert_eq!(world.receive(&other_sent_by, Udp), RequestMatch::Merged);
    let next = other_way.replace("CSeq: 7", "CSeq: 8");
    assert_eq!(world.receive(&next, Udp), RequestMatch::New);
    let in_dialog = request("INVITE", "z9hG4bKother", "us");
    assert_eq!(world.receive(&in_dialog, Udp), RequestMatch::New, "a To-tag is never merged");
    let options = request("OPTIONS", "z9hG4bKother", "");
    assert_eq!(world.receive(&options, Udp), RequestMatch::New);
    assert!(world.respond(server, &invite(), 486));
    world.pass(ms(32_000));
    assert_eq!(world.receive(&other_way, Udp), RequestMatch::New);
}

#[test]
fn clients_of_rfc_2543_are_told_apart_by_the_whole_request() {
    let mut world = World::new(4);
    for branch in ["1", "z9hG4bK"] {
        let old = |method: &str, tag: &str| request(method, branch, tag);
        let server = world.begin(&old("INVITE", ""), Udp);
        assert!(world.respond(server, &old("INVITE", ""), 486));
        assert_eq!(world.receive(&old("INVITE", ""), Udp), RequestMatch::Absorbed);
        let cancel = RequestMatch::Cancel { invite: Some((server, 42)) };
        assert_eq!(world.receive(&old("CANCEL", ""), Udp), cancel);
        let other = old("INVITE", "").replace("Call-ID: one", "Call-ID: two");
        assert_eq!(world.receive(&other, Udp), RequestMatch::New);
        assert_eq!(world.receive(&old("ACK", "us"), Udp), RequestMatch::Absorbed);
        world.pass(ms(5000));
        assert!(world.table.is_empty(), "acknowledged, and timer I has passed");
    }
}

#[test]
fn branches_of_two_clients_do_not_meet() {
    let mut world = World::new(4);
    world.begin(&invite(), Udp);
    let case = invite().replace(BRANCH, "z9hG4bKA").replace("Call-ID: one", "Call-ID: two");
    assert_eq!(world.receive(&case, Udp), RequestMatch::New);
    let named = request("INVITE", "z9hG4bKn", "").replace("192.0.2.9:5070", "Host.Example");
    let named = named.replace("Call-ID: one", "Call-ID: three");
    world.begin(&named, Udp);
    let same = named.replace("Host.Example", "hOST.eXAMPLE");
    assert_eq!(world.receive(&same, Udp), RequestMatch::Absorbed);
    let longer = named.replace("Host.Example", "Host.Example.");
    assert_ne!(world.receive(&longer, Udp), RequestMatch::Absorbed);
}

#[test]
fn a_full_table_refuses_and_recovers() {
    let mut world = World::new(1);
    let server = world.begin(&invite(), Tcp);
    let other = invite().replace("Call-ID: one", "Call-ID: two").replace(BRANCH, "z9hG4bKb");
    let message = super::world::parse(other.as_bytes());
    let refused = world.table.begin(world.now, &message, path(Tcp), 1);
    assert_eq!(refused, Err(Refused::Full));
    assert_eq!(world.count(Counter::SipQueueFull), 1);
    assert!(world.respond(server, &invite(), 486));
    world.receive(&request("ACK", BRANCH, "us"), Tcp);
    assert!(world.table.begin(world.now, &message, path(Tcp), 1).is_ok());
}

#[test]
fn acks_and_responses_have_no_server_transaction() {
    let mut world = World::new(4);
    for text in [request("ACK", BRANCH, "us"), super::world::response("INVITE", 200, "x")] {
        let message = super::world::parse(text.as_bytes());
        let begun = world.table.begin(world.now, &message, path(Udp), 1);
        assert_eq!(begun, Err(Refused::Unwritten));
    }
    let ack = world.receive(&request("ACK", BRANCH, "us"), Udp);
    assert_eq!(ack, RequestMatch::Ack { invite: None });
    assert!(world.table.is_empty() && world.tape.sent.is_empty());
}
