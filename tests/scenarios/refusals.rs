//! Requests that are refused before a call begins, each with its status and what must be said
//! with it.

use carrick::base::counter::Counter;

use crate::harness::World;
use crate::harness::flow::{self, CALLEE};
use crate::harness::phone::{Caller, NORTH, PLAIN, header, one, sdp};

fn caller() -> Caller {
    Caller::new(PLAIN, "refusal", "+4930123")
}

/// Sends it; the only answer, which must have this status. Nothing may stay behind.
#[track_caller]
fn refused(text: &str, status: u16) -> String {
    let mut world = World::new();
    let sent = world.send(PLAIN, text);
    let answer = one(&sent, &status.to_string(), PLAIN).to_owned();
    assert_eq!(sent.len(), 1);
    assert_eq!(header(&answer, "CSeq"), header(text, "CSeq"));
    world.assert_clean();
    answer
}

#[test]
fn methods_that_are_not_taken() {
    let request = |method| caller().request(method, "z9hG4bK-m", 1, "", "", "");
    let answer = refused(&request("REGISTER"), 405);
    assert_eq!(header(&answer, "Allow"), Some("INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"));
    refused(&request("REFER"), 405);
    refused(&request("DANCE"), 501);
}

#[test]
fn requests_outside_any_dialog() {
    for method in ["BYE", "INFO", "UPDATE", "CANCEL"] {
        refused(&caller().request(method, "z9hG4bK-o", 1, "", "", ""), 481);
        refused(&caller().request(method, "z9hG4bK-o", 1, "nobody", "", ""), 481);
    }
    refused(&caller().request("INVITE", "z9hG4bK-o", 1, "nobody", "", ""), 481);
    let ack = caller().request("ACK", "z9hG4bK-o", 1, "nobody", "", "");
    assert!(World::new().send(PLAIN, &ack).is_empty(), "an ACK is never answered");
}

#[test]
fn bodies_that_are_no_session_description() {
    let mut odd = caller();
    odd.extra = "Content-Type: application/isup\r\n".to_owned();
    let answer = refused(&odd.invite(), 415);
    assert_eq!(header(&answer, "Accept"), Some("application/sdp"));
    odd.extra = "Content-Encoding: gzip\r\n".to_owned();
    refused(&odd.invite(), 415);
    let broken = Caller { body: "v=0\r\nthis is no description\r\n".to_owned(), ..caller() };
    refused(&broken.invite(), 400);
}

#[test]
fn schemes_extensions_and_hops() {
    let phone = Caller { uri: "mailto:bob@edge.test".to_owned(), ..caller() };
    refused(&phone.invite(), 416);
    let strict = Caller { extra: "Require: 100rel, timer\r\n".to_owned(), ..caller() };
    let answer = refused(&strict.invite(), 420);
    let lines = answer.lines().filter(|line| line.starts_with("Unsupported: "));
    let named = lines.collect::<String>();
    assert!(named.contains("100rel") && named.contains("timer"), "{answer}");
    let tired = Caller { extra: "Max-Forwards: 0\r\n".to_owned(), ..caller() };
    refused(&tired.invite(), 483);
}

#[test]
fn a_hop_less_goes_out() {
    let mut world = World::new();
    let near = Caller { extra: "Max-Forwards: 9\r\n".to_owned(), ..caller() };
    let dialled = flow::dial(&mut world, &near, NORTH);
    assert_eq!(header(&dialled.invite, "Max-Forwards"), Some("8"));
}

#[test]
fn numbers_that_are_none() {
    let dial = |uri: &str| Caller { uri: uri.to_owned(), ..caller() }.invite();
    refused(&dial("sip:+49@edge.test"), 484);
    refused(&dial("sip:reception@edge.test"), 404);
}

#[test]
fn a_version_that_is_not_spoken_and_bytes_that_are_no_sip() {
    refused(&caller().invite().replace("edge.test SIP/2.0", "edge.test SIP/3.0"), 505);
    refused(&caller().invite().replace("CSeq: 7 INVITE", "CSeq: 7 BYE"), 400);
    let mut world = World::new();
    for noise in ["", "\r\n\r\n", "hello", "\0\0\0\0"] {
        assert!(world.send(PLAIN, noise).is_empty());
    }
    assert_eq!(world.count(Counter::SipKeepAlives), 3);
}

#[test]
fn the_same_request_by_another_way_is_merged() {
    let mut world = World::new();
    let first = caller();
    flow::dial(&mut world, &first, NORTH);
    let other = Caller { branch: "z9hG4bK-other-way".to_owned(), ..first };
    one(&world.send(PLAIN, &other.invite()), "482", PLAIN);
    assert_eq!(world.shards[0].census().calls, 1);
}

#[test]
fn strangers_learn_nothing() {
    let stranger = Caller { address: "192.0.2.200:5060", ..caller() };
    let mut world = World::new();
    one(&world.send(stranger.address, &stranger.invite()), "403", stranger.address);
    assert_eq!(world.count(Counter::AuthDenied), 1);
    world.assert_clean();
}

#[test]
fn an_offer_that_points_media_at_the_edge_is_refused() {
    let own = sdp(crate::harness::MEDIA, crate::harness::PORT_FIRST);
    refused(&Caller { body: own.clone(), ..caller() }.invite(), 488);
    refused(&Caller { body: sdp("127.0.0.1", 4000), ..caller() }.invite(), 488);
    let mut world = World::new();
    let call = flow::up(&mut world, &caller());
    let again = call.caller.inside("INVITE", 8, &call.ok, &own);
    one(&world.send(PLAIN, &again), "488", PLAIN);
    one(&world.send(CALLEE, &call.callee("INVITE", 1, &own)), "488", CALLEE);
    call.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn options_are_answered_without_state() {
    let mut world = World::new();
    let ask = caller().request("OPTIONS", "z9hG4bK-options", 1, "", "", "");
    let sent = world.send(PLAIN, &ask);
    let answer = one(&sent, "200", PLAIN);
    assert!(header(answer, "Allow").is_some() && header(answer, "Accept").is_some());
    assert_eq!(world.shards[0].census().transactions, 0);
}
