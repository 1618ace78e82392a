//! What time does to a call: silence, ringing for ever, talking for ever, a store that is slow.

use carrick::base::counter::Counter;
use carrick::base::time::Duration;
use carrick::link::cdr::Reason;
use carrick::link::svaml::{Action, ConnectOptions, ConnectPstn};

use crate::harness::World;
use crate::harness::flow::{self, CALLEE};
use crate::harness::phone::{ASKED, Caller, NORTH, PLAIN, one, reply, shorts};

fn connect(options: ConnectOptions) -> Action {
    Action::ConnectPstn(ConnectPstn { number: None, options })
}

#[test]
fn a_callback_that_is_silent_ends_the_call() {
    let mut world = World::new();
    let caller = Caller::new(ASKED, "unanswered", "+4930123");
    world.send(ASKED, &caller.invite());
    assert!(world.pass(Duration::from_millis(5_900)).is_empty());
    let sent = world.pass(Duration::from_millis(200));
    let refusal = one(&sent, "503", ASKED).to_owned();
    assert_eq!(world.count(Counter::AsksExpired), 1);
    world.send(ASKED, &caller.ack(&refusal));
    // Its answer after all is late, and changes nothing.
    assert!(world.answer(connect(ConnectOptions::default())).is_empty());
    world.assert_clean();
}

#[test]
fn a_target_that_is_silent_is_unreachable() {
    let mut world = World::new();
    flow::dial(&mut world, &Caller::new(PLAIN, "silent", "+4930123"), NORTH);
    let sent = world.pass(Duration::from_millis(4_100));
    one(&sent, "503", PLAIN);
    let invites = shorts(&sent).into_iter().filter(|short| short == "INVITE").count();
    assert_eq!(invites, 3, "after 0.5, 1.5 and 3.5 seconds");
    world.assert_clean();
}

#[test]
fn ringing_ends_after_the_scripts_time() {
    let mut world = World::new();
    let caller = Caller::new(ASKED, "ringing", "+4930123");
    world.send(ASKED, &caller.invite());
    let options = ConnectOptions { dial_timeout: Some(20), ..ConnectOptions::default() };
    let sent = world.answer(connect(options));
    let invite = one(&sent, "INVITE", NORTH).to_owned();
    world.send(NORTH, &reply(&invite, 180, "bob", "", ""));
    assert!(world.pass(Duration::from_millis(19_900)).is_empty());
    let sent = world.pass(Duration::from_millis(200));
    one(&sent, "CANCEL", NORTH);
    one(&sent, "480", ASKED);
    let (records, _) = world.record();
    assert_eq!(records.dice.expect("the application is told").reason, Reason::Timeout);
    world.assert_clean();
}

#[test]
fn talking_ends_after_the_longest_duration() {
    let mut world = World::new();
    let caller = Caller::new(ASKED, "talking", "+4930123");
    world.send(ASKED, &caller.invite());
    let options = ConnectOptions { max_duration: Some(60), ..ConnectOptions::default() };
    let sent = world.answer(connect(options));
    let invite = one(&sent, "INVITE", NORTH).to_owned();
    let dialled = flow::Dialled { caller, invite, carrier: NORTH };
    flow::connect(&mut world, dialled, "bob");
    assert!(world.pass(Duration::from_millis(59_900)).is_empty());
    let sent = world.pass(Duration::from_millis(200));
    one(&sent, "BYE", ASKED);
    one(&sent, "BYE", CALLEE);
    world.assert_clean();
}

#[test]
fn the_200_of_a_bye_waits_for_the_records_but_not_for_ever() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(PLAIN, "held", "+4930123"));
    let sent = world.send(PLAIN, &call.caller.inside("BYE", 8, &call.ok, ""));
    world.send(CALLEE, &reply(one(&sent, "BYE", CALLEE), 200, "", "", ""));
    assert!(world.pass(Duration::from_millis(1_900)).is_empty(), "the store is slow");
    let sent = world.pass(Duration::from_millis(200));
    assert_eq!(shorts(&sent), ["200"]);
    let (_, sent) = world.record();
    assert!(sent.is_empty(), "answered once");
    world.assert_clean();
}

#[test]
fn a_200_that_nobody_acknowledges_ends_in_bye() {
    let mut world = World::new();
    let caller = Caller::new(PLAIN, "deaf", "+4930123");
    let dialled = flow::dial(&mut world, &caller, NORTH);
    let body = crate::harness::phone::sdp("203.0.113.77", 6000);
    world.send(NORTH, &reply(&dialled.invite, 200, "bob", "", &body));
    let sent = world.pass(Duration::from_secs(33));
    let short = shorts(&sent);
    let times = |what: &str| short.iter().filter(|short| *short == what).count();
    assert_eq!(times("200"), 10, "{short:?}");
    assert!(sent.iter().any(|sent| sent.to.to_string() == PLAIN && sent.text.starts_with("BYE")));
    assert!(sent.iter().any(|sent| sent.to.to_string() == CALLEE && sent.text.starts_with("BYE")));
    world.assert_clean();
}

#[test]
fn a_bye_that_nobody_answers_is_given_up() {
    let mut world = World::new();
    let call = flow::up(&mut world, &Caller::new(PLAIN, "gone", "+4930123"));
    let sent = world.send(PLAIN, &call.caller.inside("BYE", 8, &call.ok, ""));
    one(&sent, "BYE", CALLEE);
    world.record();
    let sent = world.pass(Duration::from_secs(40));
    assert_eq!(shorts(&sent).len(), 10, "ten repetitions within 32 seconds: {sent:#?}");
    world.assert_clean();
}
