//! Messages that cross each other: forks, CANCEL and 200, two offers at once, late answers.

use carrick::base::counter::Counter;
use carrick::base::time::Duration;
use carrick::link::cdr::LegLetter;

use crate::harness::World;
use crate::harness::flow::{self, CALLEE};
use crate::harness::phone::{
    ASKED, BACKUP, Caller, NORTH, PLAIN, from_tag, header, method, one, reply, sdp, shorts, to_tag,
};

/// Where the second fork takes requests.
const FORK: &str = "203.0.113.99:5090";

fn answer_of(invite: &str, tag: &str) -> String {
    reply(invite, 200, tag, "", &sdp("203.0.113.77", 6000))
}

#[test]
fn the_second_fork_gets_ack_and_bye_and_the_call_stays() {
    let mut world = World::new();
    let dialled = flow::dial(&mut world, &Caller::new(PLAIN, "fork", "+4930123"), NORTH);
    let invite = dialled.invite.clone();
    let call = flow::connect(&mut world, dialled, "bob");
    let contact = format!("Contact: <sip:carol@{FORK}>\r\n");
    let second = reply(&invite, 200, "carol", &contact, &sdp("203.0.113.88", 7000));
    let sent = world.send(NORTH, &second);
    let (ack, bye) = (one(&sent, "ACK", FORK), one(&sent, "BYE", FORK));
    assert_eq!(sent.len(), 2, "{sent:#?}");
    for request in [ack, bye] {
        assert_eq!(to_tag(request), "carol");
        assert_eq!(from_tag(request), from_tag(&invite));
        assert_eq!(header(request, "Call-ID"), header(&invite, "Call-ID"));
    }
    assert_eq!(header(ack, "CSeq"), Some("1 ACK"));
    assert!(world.send(FORK, &reply(bye, 200, "", "", "")).is_empty());
    assert_eq!(world.count(Counter::SipForksEnded), 1);
    assert_eq!(world.shards[0].census().calls, 1);
    call.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "race", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    world.send(NORTH, &reply(&dialled.invite, 180, "bob", "", ""));
    let sent = world.send(PLAIN, &caller.cancel());
    let cancel = one(&sent, "CANCEL", NORTH).to_owned();
    let refusal = one(&sent, "487", PLAIN).to_owned();
    world.send(PLAIN, &caller.ack(&refusal));
    let sent = world.send(NORTH, &answer_of(&dialled.invite, "bob"));
    one(&sent, "ACK", CALLEE);
    let bye = one(&sent, "BYE", CALLEE).to_owned();
    world.send(NORTH, &reply(&cancel, 481, "bob", "", ""));
    world.send(CALLEE, &reply(&bye, 200, "", "", ""));
    let (records, _) = world.record();
    let code = |letter| records.cdrs.iter().find(|cdr| cdr.leg == letter).map(|cdr| cdr.sip_code);
    assert_eq!(code(LegLetter::A), Some(487));
    world.assert_clean();
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "early", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let sent = world.send(PLAIN, &caller.cancel());
    assert!(!shorts(&sent).contains(&"CANCEL".to_owned()), "RFC 3261 §9.1: {sent:#?}");
    let refusal = one(&sent, "487", PLAIN).to_owned();
    world.send(PLAIN, &caller.ack(&refusal));
    let sent = world.send(NORTH, &reply(&dialled.invite, 180, "bob", "", ""));
    assert_eq!(shorts(&sent), ["CANCEL"], "and the 180 goes to nobody");
    world.send(NORTH, &reply(&sent[0].text, 200, "bob", "", ""));
    let sent = world.send(NORTH, &reply(&dialled.invite, 487, "bob", "", ""));
    assert_eq!(shorts(&sent), ["ACK"]);
    world.assert_clean();
}

#[test]
fn a_cancel_after_the_200_changes_nothing() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "late", "+4930123");
    let call = flow::up(&mut world, &caller);
    let sent = world.send(PLAIN, &caller.cancel());
    assert_eq!(shorts(&sent), ["200"], "the CANCEL's own answer");
    assert_eq!(world.shards[0].census().calls, 1);
    call.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn two_offers_at_once_are_glare() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(ASKED, "glare", "+4930123"));
    let hold = sdp("198.51.100.77", 4000).replace("sendrecv", "sendonly");
    let offer = call.caller.inside("INVITE", 8, &call.ok, &hold);
    let sent = world.send(ASKED, &offer);
    let theirs = one(&sent, "INVITE", CALLEE).to_owned();
    let crossing = call.callee("INVITE", 1, &sdp("203.0.113.77", 6000));
    let sent = world.send(CALLEE, &crossing);
    one(&sent, "491", CALLEE);
    let ack = call.callee("ACK", 1, "").replace("callee-ACK-1", "callee-INVITE-1");
    assert!(world.send(CALLEE, &ack).is_empty());
    // The callee sees glare too; its 491 goes back to whoever asked, and the call goes on.
    let sent = world.send(CALLEE, &reply(&theirs, 491, "", "", ""));
    one(&sent, "ACK", CALLEE);
    let refusal = one(&sent, "491", ASKED).to_owned();
    let ack = call.caller.request("ACK", "z9hG4bK-glare-8", 8, &to_tag(&refusal), "", "");
    assert!(world.send(ASKED, &ack).is_empty());
    call.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn a_target_that_was_given_up_is_cancelled_when_it_wakes_up() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "sleepy", "+44301");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let sent = world.pass(Duration::from_millis(4_100));
    let second = one(&sent, "INVITE", BACKUP).to_owned();
    assert_ne!(header(&second, "Call-ID"), header(&dialled.invite, "Call-ID"));
    // Ringing of the first goes to nobody; it is cancelled.
    let sent = world.send(NORTH, &reply(&dialled.invite, 180, "bob", "", ""));
    assert_eq!(shorts(&sent), ["CANCEL"]);
    // And a 200 all the same is acknowledged and ended.
    let sent = world.send(NORTH, &answer_of(&dialled.invite, "bob"));
    assert_eq!(shorts(&sent), ["ACK", "BYE"]);
    assert!(world.send(CALLEE, &reply(&sent[1].text, 200, "", "", "")).is_empty());
    let dialled = flow::Dialled { invite: second, carrier: BACKUP, ..dialled };
    let call = flow::connect(&mut world, dialled, "bob");
    call.hang_up(&mut world);
    world.assert_clean();
}

#[test]
fn both_sides_hang_up_at_once() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(PLAIN, "both", "+4930123"));
    let sent = world.send(PLAIN, &call.caller.inside("BYE", 8, &call.ok, ""));
    let ours = one(&sent, "BYE", CALLEE).to_owned();
    let sent = world.send(CALLEE, &call.callee("BYE", 1, ""));
    // The caller's BYE was held; the callee's takes its place, and the first is answered.
    assert!(sent.iter().all(|sent| method(&sent.text).is_empty()), "no third BYE: {sent:#?}");
    world.send(CALLEE, &reply(&ours, 200, "", "", ""));
    let before = sent.len();
    let (_, sent) = world.record();
    assert_eq!(before + sent.len(), 2, "each BYE has its 200 by now");
    world.assert_clean();
}
