//! Nothing of one leg is to be seen on the other: addresses, names, identifiers, descriptions.

use carrick::base::bounded::{List, clipped};
use carrick::base::packet::Transport;
use carrick::link::PrivateHeaders;
use carrick::link::svaml::{Action, ConnectOptions, ConnectSip};

use crate::harness::flow::{self, CALLEE};
use crate::harness::phone::{ASKED, Caller, NORTH, PLAIN, header, one, reply, sdp};
use crate::harness::{Sent, World, address};

/// What only the caller's side may hold.
const CALLERS: [&str; 7] =
    ["198.51.100.", "caller-a", "tag-hidden", "z9hG4bK-hidden", "alice", "4711", "10.9.8.7"];
/// What only the callee's side may hold.
const CALLEES: [&str; 5] = ["203.0.113.66", "203.0.113.77", "bob", "Zoiper", "sip:203.0.113.1"];

/// Everything that was sent, with the caller's share first.
fn split(all: &[Sent], caller: &str) -> (String, String) {
    let (ours, theirs): (Vec<_>, Vec<_>) =
        all.iter().partition(|sent| sent.to.to_string() == caller);
    let text = |part: Vec<&Sent>| part.iter().map(|sent| sent.text.clone()).collect::<String>();
    (text(ours), text(theirs))
}

fn whole_call(world: &mut World) -> Vec<Sent> {
    let mut caller = Caller::new(PLAIN, "hidden", "+4930123");
    caller.extra = "Via: SIP/2.0/UDP 10.9.8.7;branch=z9hG4bK-hidden-inner\r\n\
                    User-Agent: alice-phone\r\nSubject: alice\r\nX-Secret: alice\r\n"
        .to_owned();
    let mut all = world.send(PLAIN, &caller.invite());
    let invite = one(&all, "INVITE", NORTH).to_owned();
    let server = "Server: Zoiper\r\nContact: <sip:bob@203.0.113.66:5070>\r\n";
    all.extend(world.send(NORTH, &reply(&invite, 183, "bob", server, &sdp("203.0.113.77", 6000))));
    all.extend(world.send(NORTH, &reply(&invite, 200, "bob", server, &sdp("203.0.113.77", 6000))));
    let ok = one(&all, "200", PLAIN).to_owned();
    all.extend(world.send(PLAIN, &caller.ack(&ok)));
    let hold = sdp("198.51.100.78", 4002).replace("sendrecv", "sendonly");
    let sent = world.send(PLAIN, &caller.inside("INVITE", 8, &ok, &hold));
    let theirs = one(&sent, "INVITE", CALLEE).to_owned();
    all.extend(sent);
    let held = sdp("203.0.113.77", 6000).replace("sendrecv", "recvonly");
    let sent = world.send(CALLEE, &reply(&theirs, 200, "", server, &held));
    let again = one(&sent, "200", PLAIN).to_owned();
    all.extend(sent);
    all.extend(world.send(PLAIN, &caller.ack(&again)));
    let call = flow::Connected { caller, invite, ok };
    all.extend(world.send(CALLEE, &call.callee("BYE", 1, "")));
    let bye = one(&all, "BYE", PLAIN).to_owned();
    all.extend(world.send(PLAIN, &reply(&bye, 200, "", "", "")));
    all.extend(world.record().1);
    world.assert_clean();
    all
}

#[test]
fn neither_leg_sees_the_other() {
    let all = whole_call(&mut World::new());
    let (caller, callee) = split(&all, PLAIN);
    for word in CALLERS {
        assert!(!callee.contains(word), "{word} of the caller's in {callee}");
    }
    for word in CALLEES {
        assert!(!caller.contains(word), "{word} of the callee's in {caller}");
    }
    // The words are there to be seen, on their own side.
    assert!(caller.contains("z9hG4bK-hidden") && callee.contains("bob"));
}

#[test]
fn an_anonymous_caller_is_nobody() {
    let mut world = World::new();
    let mut caller = Caller::new(PLAIN, "anonymous", "+4930123");
    caller.extra = "Privacy: id\r\nP-Asserted-Identity: <sip:+46700000001@x>\r\n".to_owned();
    let dialled = flow::dial(&mut world, &caller, NORTH);
    assert!(!dialled.invite.contains("4670000"), "{}", dialled.invite);
    let from = header(&dialled.invite, "From").expect("From");
    assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{from}");
    assert_eq!(header(&dialled.invite, "Privacy"), Some("id"));
}

fn connect_sip(headers: PrivateHeaders) -> Action {
    Action::ConnectSip(ConnectSip {
        uri: clipped("sip:echo@203.0.113.1"),
        transport: Transport::Udp,
        targets: List::from_iter([address(NORTH)]),
        headers,
        options: ConnectOptions::default(),
    })
}

#[test]
fn private_headers_are_reported_within_their_bounds_and_sent_as_the_answer_says() {
    let mut world = World::new();
    let mut caller = Caller::new(ASKED, "private", "+4930123");
    let long = "v".repeat(1000);
    let name = "n".repeat(60);
    caller.extra =
        format!("X-One: 1\r\nx-two: zwei\r\nX-{name}: no\r\nX-Long: {long}\r\nX-Big: {long}\r\n");
    world.send(ASKED, &caller.invite());
    let carrick::link::ask::Question::Ice(ice) = world
        .control
        .said
        .iter()
        .find_map(|word| match word {
            carrick::link::ToControl::Ask(ask) => Some(ask.question.clone()),
            _ => None,
        })
        .expect("asked")
    else {
        panic!("ICE comes first");
    };
    let reported: Vec<_> = ice.headers.iter().collect();
    assert_eq!(reported, [("X-One", "1"), ("x-two", "zwei"), ("X-Long", &*long)]);
    let mut headers = PrivateHeaders::default();
    headers.push("account", "42").expect("fits");
    let sent = world.answer(connect_sip(headers));
    let invite = one(&sent, "INVITE", NORTH);
    assert_eq!(header(invite, "X-account"), Some("42"));
    assert_eq!(header(invite, "X-One"), None, "the caller's own are the callback's to send");
    assert!(invite.starts_with("INVITE sip:echo@203.0.113.1 SIP/2.0\r\n"));
}
