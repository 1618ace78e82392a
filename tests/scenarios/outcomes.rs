//! What the caller is told when the callee does not take the call.

use carrick::link::cdr::LegLetter;
use carrick::link::svaml::{Action, HangUpCause};

use crate::harness::World;
use crate::harness::flow;
use crate::harness::phone::{ASKED, BACKUP, Caller, NORTH, PLAIN, header, one, reply, shorts};

/// The callee answers with `status`; what the caller gets and what its record says.
fn refused(status: u16) -> (u16, u16) {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "refused", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let secret = "Contact: <sip:elsewhere@203.0.113.50>\r\nWarning: 399 x \"bob\"\r\n";
    let sent = world.send(NORTH, &reply(&dialled.invite, status, "bob", secret, ""));
    assert_eq!(shorts(&sent).iter().filter(|short| *short == "ACK").count(), 1, "{sent:#?}");
    let to_caller = sent.iter().find(|sent| sent.to.to_string() == PLAIN).expect("told").clone();
    assert!(!to_caller.text.contains("elsewhere") && !to_caller.text.contains("bob"));
    assert!(header(&to_caller.text, "Reason").is_some_and(|r| r.starts_with("Q.850;cause=")));
    assert!(world.send(PLAIN, &caller.ack(&to_caller.text)).is_empty());
    let (records, _) = world.record();
    let code = |letter| records.cdrs.iter().find(|cdr| cdr.leg == letter).expect("one").sip_code;
    assert_eq!(code(LegLetter::B), status);
    world.assert_clean();
    (crate::harness::phone::status(&to_caller.text), code(LegLetter::A))
}

#[test]
fn each_class_of_refusal_reaches_the_caller_in_the_edges_words() {
    for (theirs, ours) in [
        (300, 480),
        (302, 480),
        (400, 500),
        (401, 503),
        (403, 403),
        (404, 404),
        (407, 503),
        (415, 488),
        (486, 486),
        (487, 480),
        (488, 488),
        (500, 503),
        (503, 503),
        (600, 600),
        (603, 603),
        (699, 603),
    ] {
        assert_eq!(refused(theirs), (ours, ours), "the callee says {theirs}");
    }
}

#[test]
fn failures_of_a_target_move_on_and_answers_of_a_callee_do_not() {
    for (status, moves) in [(503, true), (500, true), (408, true), (486, false), (603, false)] {
        let mut world = World::new();
        let caller = Caller::new(PLAIN, "over", "+44301");
        let dialled = flow::dial(&mut world, &caller, NORTH);
        let sent = world.send(NORTH, &reply(&dialled.invite, status, "bob", "", ""));
        let second = sent.iter().find(|sent| sent.to.to_string() == BACKUP);
        assert_eq!(second.is_some(), moves, "{status}: {sent:#?}");
        if let Some(second) = second {
            let invite = second.text.clone();
            let dialled = flow::Dialled { invite, carrier: BACKUP, ..dialled };
            let call = flow::connect(&mut world, dialled, "bob");
            call.hang_up(&mut world);
        }
        world.assert_clean();
    }
}

#[test]
fn the_callback_may_refuse() {
    for (cause, status) in
        [(HangUpCause::Normal, 603), (HangUpCause::Busy, 486), (HangUpCause::Congestion, 503)]
    {
        let mut world = World::new();
        let caller = Caller::new(ASKED, "scripted", "+4930123");
        world.send(ASKED, &caller.invite());
        let sent = world.answer(Action::HangUp(cause));
        one(&sent, &status.to_string(), ASKED);
        world.assert_clean();
    }
}

#[test]
fn an_answer_that_cannot_be_used_ends_both_legs() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "video", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let video =
        crate::harness::phone::sdp("203.0.113.77", 6000).replace("RTP/AVP 0 8", "RTP/AVP 18");
    let sent = world.send(NORTH, &reply(&dialled.invite, 200, "bob", "", &video));
    one(&sent, "488", PLAIN);
    let short = shorts(&sent);
    assert!(short.contains(&"ACK".to_owned()) && short.contains(&"BYE".to_owned()), "{short:?}");
    world.assert_clean();
}

#[test]
fn a_callee_that_points_media_at_the_edge_is_refused() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "loop", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let own = crate::harness::phone::sdp(crate::harness::MEDIA, crate::harness::PORT_FIRST);
    let sent = world.send(NORTH, &reply(&dialled.invite, 200, "bob", "", &own));
    one(&sent, "488", PLAIN);
    world.assert_clean();
}
