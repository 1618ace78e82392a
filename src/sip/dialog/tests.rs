//! Dialogs of both roles: what they are made of, in which order they take requests, and where
//! theirs go.

use super::*;
use crate::base::id::FlowId;
use crate::base::packet::Transport;
use crate::wire::sip::Framing;

fn path(transport: Transport, peer: &str) -> SipPath {
    let flow = transport.is_reliable().then_some(FlowId(5));
    SipPath { transport, listener: 0, peer: peer.parse().expect("an address"), flow }
}

fn udp() -> SipPath {
    path(Transport::Udp, "192.0.2.9:5060")
}

fn parse(text: &str) -> Message<'_> {
    Message::parse(text.as_bytes(), Framing::Datagram).expect("parses")
}

fn invite(more: &str) -> String {
    format!(
        "INVITE sip:bob@edge.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa\r\n\
         From: \"Alice\" <sip:alice@pbx.example>;tag=theirs\r\n\
         To: <sip:bob@edge.example>\r\n\
         Call-ID: call\r\n\
         CSeq: 100 INVITE\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

const CONTACT: &str = "Contact: <sip:alice@192.0.2.9:5062>\r\n";

fn callee(more: &str) -> Dialog {
    let text = invite(more);
    Dialog::incoming(&parse(&text), udp(), "ours", "<sip:edge@192.0.2.1>").expect("a dialog")
}

fn in_dialog(method: &str, cseq: u32, more: &str) -> String {
    format!(
        "{method} sip:edge@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKb{cseq}\r\n\
         From: \"Alice\" <sip:alice@pbx.example>;tag=theirs\r\n\
         To: <sip:bob@edge.example>;tag=ours\r\n\
         Call-ID: call\r\n\
         CSeq: {cseq} {method}\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

fn accept(dialog: &mut Dialog, text: &str) -> Result<(), u16> {
    dialog.accept_request(&parse(text)).map_err(|unfit| unfit.status)
}

fn outgoing() -> Dialog {
    Dialog::outgoing(&Outgoing {
        call_id: "ours@edge",
        local_tag: "ours",
        local: "<sip:+1555@edge.example>",
        remote: "<sip:bob@carrier.example>",
        target: "sip:bob@carrier.example",
        route_set: "<sip:outbound.example;lr>",
        contact: "<sip:edge@192.0.2.1>",
        path: udp(),
    })
    .expect("a draft")
}

fn response(status: u16, tag: &str, more: &str) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    format!(
        "SIP/2.0 {status} x\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
         From: <sip:+1555@edge.example>;tag=ours\r\n\
         To: <sip:bob@carrier.example>{tag}\r\n\
         Call-ID: ours@edge\r\n\
         CSeq: 1 INVITE\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

fn fork(draft: &Dialog, status: u16, tag: &str, more: &str) -> Result<Dialog, Unfit> {
    draft.fork(&parse(&response(status, tag, more)), udp())
}

/// What a dialog writes for this method.
fn written(dialog: &Dialog, method: Method<'_>, cseq: u32) -> String {
    let mut buffer = [0; 4096];
    let length = dialog
        .request(&mut buffer, method, cseq, "192.0.2.1:5060", "z9hG4bKnew")
        .finish_empty()
        .expect("written");
    let text = String::from_utf8(buffer[..length].to_vec()).expect("text");
    assert_eq!(parse(&text).validate(), Ok(()));
    text
}

fn header(text: &str, name: HeaderName) -> Option<String> {
    parse(text).header(name).map(str::to_string)
}

fn hop(dialog: &Dialog) -> (String, bool) {
    let path = dialog.next_hop();
    (path.peer.to_string(), path.flow.is_some())
}

/// Every state against every event; what is not listed here is illegal.
#[test]
fn states_and_events() {
    use DialogEvent as Event;
    use DialogState as State;
    let legal = [
        (State::Calling, Event::Provisional, State::Early),
        (State::Calling, Event::Success, State::Confirmed),
        (State::Calling, Event::Failure, State::Terminated),
        (State::Calling, Event::Lost, State::Terminated),
        (State::Early, Event::Provisional, State::Early),
        (State::Early, Event::Success, State::Confirmed),
        (State::Early, Event::Failure, State::Terminated),
        (State::Early, Event::Bye, State::Terminated),
        (State::Early, Event::Lost, State::Terminated),
        (State::Confirmed, Event::Bye, State::Terminated),
        (State::Confirmed, Event::Lost, State::Terminated),
    ];
    for state in State::ALL {
        for event in Event::ALL {
            let expected = legal.iter().find(|row| (row.0, row.1) == (state, event));
            assert_eq!(state.next(event), expected.map(|row| row.2), "{state:?} {event:?}");
        }
    }
}

#[test]
fn a_callee_learns_from_the_invite() {
    let more = format!("{CONTACT}Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>;x=y\r\n");
    let mut dialog = callee(&more);
    assert_eq!((dialog.role(), dialog.state()), (Role::Callee, DialogState::Early));
    assert_eq!((dialog.local_tag(), dialog.remote_tag()), ("ours", "theirs"));
    assert_eq!(dialog.remote(), "\"Alice\" <sip:alice@pbx.example>");
    assert_eq!(dialog.route_set(), "<sip:p2.example;lr>, <sip:p1.example;lr>;x=y");
    assert_eq!(dialog.remote_cseq(), Some(100));
    assert!(dialog.apply(DialogEvent::Success));
    assert!(!dialog.apply(DialogEvent::Success));
    let cseq = dialog.next_cseq();
    let bye = written(&dialog, Method::Bye, cseq);
    assert!(bye.starts_with("BYE sip:alice@192.0.2.9:5062 SIP/2.0\r\n"));
    assert_eq!(header(&bye, HeaderName::Route).as_deref(), Some(dialog.route_set()));
    let from = header(&bye, HeaderName::From);
    assert_eq!(from.as_deref(), Some("<sip:bob@edge.example>;tag=ours"));
    let to = header(&bye, HeaderName::To);
    assert_eq!(to.as_deref(), Some("\"Alice\" <sip:alice@pbx.example>;tag=theirs"));
    assert_eq!(header(&bye, HeaderName::CSeq).as_deref(), Some("1 BYE"));
    assert_eq!(header(&bye, HeaderName::MaxForwards).as_deref(), Some("70"));
    assert_eq!(header(&bye, HeaderName::Contact), None);
    let cseq = dialog.next_cseq();
    let again = written(&dialog, Method::Invite, cseq);
    assert_eq!(header(&again, HeaderName::CSeq).as_deref(), Some("2 INVITE"));
    assert_eq!(header(&again, HeaderName::Contact).as_deref(), Some("<sip:edge@192.0.2.1>"));
}

#[test]
fn an_invite_that_makes_no_dialog_is_refused() {
    let long = format!("Contact: <sip:{}@192.0.2.9>\r\n", "a".repeat(300));
    let many = format!("{CONTACT}{}", "Record-Route: <sip:proxy.example;lr>\r\n".repeat(60));
    for more in ["", "Contact: *\r\n", "Contact: <tel:+1555>\r\n", &long, &many] {
        let text = invite(more);
        let made = Dialog::incoming(&parse(&text), udp(), "ours", "<sip:x>");
        assert_eq!(made.expect_err("refused").status, 400, "{more}");
    }
    let text = invite(CONTACT).replace("Call-ID: call", &format!("Call-ID: {}", "x".repeat(257)));
    assert!(Dialog::incoming(&parse(&text), udp(), "ours", "<sip:x>").is_err());
}

#[test]
fn a_display_name_that_cannot_be_kept_is_left_out() {
    for display in [&"A".repeat(129), "Ali\r\n ce"] {
        let text = invite(CONTACT).replace("\"Alice\"", &format!("\"{display}\""));
        let dialog = Dialog::incoming(&parse(&text), udp(), "ours", "<sip:x>").expect("a dialog");
        assert_eq!(dialog.remote(), "<sip:alice@pbx.example>");
    }
}

#[test]
fn requests_come_in_order_and_with_the_right_tags() {
    let mut dialog = callee(CONTACT);
    assert_eq!(accept(&mut dialog, &in_dialog("INVITE", 100, CONTACT)), Err(500));
    assert_eq!(accept(&mut dialog, &in_dialog("INFO", 99, "")), Err(500));
    assert_eq!(accept(&mut dialog, &in_dialog("ACK", 100, "")), Ok(()));
    assert_eq!(accept(&mut dialog, &in_dialog("INFO", 200, "")), Ok(()), "gaps are legal");
    assert_eq!(accept(&mut dialog, &in_dialog("INFO", 200, "")), Err(500));
    let bye = in_dialog("BYE", 201, "");
    for wrong in [
        bye.replace("tag=ours", "tag=OURS"),
        bye.replace(";tag=ours", ""),
        bye.replace("tag=theirs", "tag=other"),
        bye.replace(";tag=theirs", ""),
        bye.replace("Call-ID: call", "Call-ID: CALL"),
    ] {
        assert_eq!(accept(&mut dialog, &wrong), Err(481), "{wrong}");
    }
    assert_eq!(dialog.remote_cseq(), Some(200), "what was refused moved nothing");
    assert_eq!(accept(&mut dialog, &bye), Ok(()));
    assert!(dialog.apply(DialogEvent::Bye));
    assert_eq!(accept(&mut dialog, &in_dialog("BYE", 202, "")), Err(481));
}

#[test]
fn only_invite_and_update_move_the_target() {
    let mut dialog = callee(CONTACT);
    let moved = |user: &str| format!("Contact: <sip:{user}@192.0.2.9>\r\n");
    assert_eq!(accept(&mut dialog, &in_dialog("INFO", 101, &moved("info"))), Ok(()));
    assert_eq!(dialog.remote_target(), "sip:alice@192.0.2.9:5062");
    assert_eq!(accept(&mut dialog, &in_dialog("UPDATE", 102, &moved("update"))), Ok(()));
    assert_eq!(dialog.remote_target(), "sip:update@192.0.2.9");
    let bad = "Contact: <tel:+1555>\r\n";
    assert_eq!(accept(&mut dialog, &in_dialog("INVITE", 103, bad)), Err(400));
    assert_eq!(accept(&mut dialog, &in_dialog("INVITE", 103, &moved("invite"))), Ok(()));
    assert_eq!(dialog.remote_target(), "sip:invite@192.0.2.9");
    dialog.refresh_target(&parse(&response(200, "x", &moved("answer"))));
    assert_eq!(dialog.remote_target(), "sip:answer@192.0.2.9");
}

#[test]
fn a_caller_goes_from_draft_through_early_to_confirmed() {
    let mut draft = outgoing();
    let cseq = draft.next_cseq();
    let first = written(&draft, Method::Invite, cseq);
    assert!(first.starts_with("INVITE sip:bob@carrier.example SIP/2.0\r\n"));
    assert_eq!(header(&first, HeaderName::Route).as_deref(), Some("<sip:outbound.example;lr>"));
    assert_eq!(
        header(&first, HeaderName::To).as_deref(),
        Some("<sip:bob@carrier.example>"),
        "no tag yet"
    );
    assert!(fork(&draft, 100, "", "").is_err());
    assert!(fork(&draft, 180, "", CONTACT).is_err(), "without a tag no early dialog");
    assert!(fork(&draft, 486, "a", "").is_err());

    let routes = "Record-Route: <sip:p1.example;lr>\r\nRecord-Route: <sip:p2.example;lr>\r\n";
    let mut early = fork(&draft, 183, "a", &format!("{CONTACT}{routes}")).expect("early");
    assert_eq!(early.state(), DialogState::Early);
    assert_eq!(early.route_set(), "<sip:p2.example;lr>, <sip:p1.example;lr>");
    assert_eq!(early.remote_target(), "sip:alice@192.0.2.9:5062");
    let other = parse_fork(&mut early, 200, "b", CONTACT);
    assert!(other.is_err(), "another fork");
    assert_eq!(early.state(), DialogState::Early);
    let moved = "Contact: <sip:new@192.0.2.9>\r\nRecord-Route: <sip:p3.example;lr>\r\n";
    assert_eq!(parse_fork(&mut early, 200, "a", moved), Ok(()));
    assert_eq!(early.state(), DialogState::Confirmed);
    assert_eq!(early.route_set(), "<sip:p3.example;lr>", "recomputed from the 2xx");
    assert_eq!(early.remote_target(), "sip:new@192.0.2.9");
    let ack = written(&early, Method::Ack, early.local_cseq());
    assert!(ack.starts_with("ACK sip:new@192.0.2.9 SIP/2.0\r\n"));
    assert_eq!(header(&ack, HeaderName::CSeq).as_deref(), Some("1 ACK"));
    assert_eq!(header(&ack, HeaderName::To).as_deref(), Some("<sip:bob@carrier.example>;tag=a"));
    assert_eq!(early.next_cseq(), 2);

    let late = fork(&draft, 200, "b", CONTACT).expect("another fork is a dialog of its own");
    assert_eq!((late.remote_tag(), late.state()), ("b", DialogState::Confirmed));
    let mute = fork(&draft, 200, "c", "").expect("it has to be acknowledged");
    assert_eq!(mute.remote_target(), "sip:bob@carrier.example");
    let many = "Record-Route: <sip:proxy.example;lr>\r\n".repeat(60);
    assert!(fork(&draft, 200, "d", &many).is_err());
}

fn parse_fork(dialog: &mut Dialog, status: u16, tag: &str, more: &str) -> Result<(), Unfit> {
    dialog.advance(&parse(&response(status, tag, more)))
}

#[test]
fn a_failed_call_is_over() {
    let draft = outgoing();
    let mut early = fork(&draft, 180, "a", "").expect("a provisional may lack Contact");
    assert_eq!(parse_fork(&mut early, 486, "a", ""), Ok(()));
    assert_eq!(early.state(), DialogState::Terminated);
    assert!(parse_fork(&mut early, 200, "a", CONTACT).is_err());
}

#[test]
fn a_peer_of_rfc_2543_has_no_tags() {
    let text = invite(CONTACT).replace(";tag=theirs", "");
    let mut dialog = Dialog::incoming(&parse(&text), udp(), "ours", "<sip:x>").expect("a dialog");
    let bye = in_dialog("BYE", 101, "").replace(";tag=theirs", "");
    assert_eq!(accept(&mut dialog, &bye), Ok(()));
    let ours = written(&dialog, Method::Bye, 1);
    let to = header(&ours, HeaderName::To);
    assert_eq!(to.as_deref(), Some("\"Alice\" <sip:alice@pbx.example>"));
    let confirmed = fork(&outgoing(), 200, "", CONTACT).expect("a dialog");
    assert_eq!(confirmed.remote_tag(), "");
}

#[test]
fn a_strict_router_becomes_the_request_uri() {
    let routes = "Record-Route: <sip:192.0.2.50>, <sip:loose.example;lr>\r\n";
    let dialog = callee(&format!("{CONTACT}{routes}"));
    let bye = written(&dialog, Method::Bye, 1);
    assert!(bye.starts_with("BYE sip:192.0.2.50 SIP/2.0\r\n"));
    let text = parse(&bye);
    let values: Vec<_> = text.values(HeaderName::Route).collect();
    assert_eq!(values, ["<sip:loose.example;lr>", "<sip:alice@192.0.2.9:5062>"]);
    assert_eq!(hop(&dialog), ("192.0.2.50:5060".into(), false));
    let single = callee(&format!("{CONTACT}Record-Route: <sip:192.0.2.50>\r\n"));
    let bye = written(&single, Method::Bye, 1);
    let route = header(&bye, HeaderName::Route);
    assert_eq!(route.as_deref(), Some("<sip:alice@192.0.2.9:5062>"));
}

#[test]
fn the_next_hop_is_the_first_route_or_the_target() {
    let named = "Contact: <sip:alice@pbx.example>\r\n";
    assert_eq!(hop(&callee(named)), ("192.0.2.9:5060".into(), false), "names: where it came from");
    assert_eq!(hop(&callee(CONTACT)), ("192.0.2.9:5062".into(), false));
    let routed = format!("{CONTACT}Record-Route: <sip:192.0.2.50:5070;lr>\r\n");
    assert_eq!(hop(&callee(&routed)), ("192.0.2.50:5070".into(), false));
    let routed = format!("{CONTACT}Record-Route: <sip:proxy.example;lr>\r\n");
    assert_eq!(hop(&callee(&routed)), ("192.0.2.9:5060".into(), false));
    let six = "Contact: <sip:alice@[2001:db8::5]>\r\n";
    assert_eq!(hop(&callee(six)), ("[2001:db8::5]:5060".into(), false));
}

#[test]
fn behind_address_translation_requests_go_where_the_peer_is() {
    let text = invite("Contact: <sip:alice@10.0.0.5:5060>\r\n")
        .replace("192.0.2.9:5060;", "10.0.0.5:5060;");
    let from = path(Transport::Udp, "198.51.100.7:31000");
    let dialog = Dialog::incoming(&parse(&text), from, "ours", "<sip:x>").expect("a dialog");
    assert_eq!(hop(&dialog), ("198.51.100.7:31000".into(), false));
    let private = "Contact: <sip:bob@192.168.1.2>\r\n";
    let caller = fork(&outgoing(), 200, "a", private).expect("a dialog");
    assert_eq!(hop(&caller), ("192.0.2.9:5060".into(), false));
}

#[test]
fn a_connection_that_leads_there_is_used_again() {
    let text = invite("Contact: <sip:alice@192.0.2.9:5060;transport=tcp>\r\n");
    let from = path(Transport::Tcp, "192.0.2.9:40001");
    let mut dialog = Dialog::incoming(&parse(&text), from, "ours", "<sip:x>").expect("a dialog");
    assert_eq!(hop(&dialog), ("192.0.2.9:40001".into(), true));
    let bye = written(&dialog, Method::Bye, 1);
    assert!(bye.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;rport;branch=z9hG4bKnew\r\n"));
    // The connection is gone: a new one goes where Contact says.
    dialog.set_path(SipPath { flow: None, ..from });
    assert_eq!(hop(&dialog), ("192.0.2.9:5060".into(), false));
    let text = invite("Contact: <sips:alice@192.0.2.77>\r\n");
    let from = path(Transport::Tls, "192.0.2.9:40001");
    let dialog = Dialog::incoming(&parse(&text), from, "ours", "<sip:x>").expect("a dialog");
    assert_eq!(hop(&dialog), ("192.0.2.77:5061".into(), false));
}
