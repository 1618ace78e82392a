//! The index, the checks and the writer, together.

use super::*;

const INVITE: &[u8] = b"INVITE sip:+14155550100@edge.example:5060;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5061;rport;branch=z9hG4bKabc, \
    SIP/2.0/TCP a.example;branch=z9hG4bKd\r\n\
    v: SIP/2.0/TCP b.example;branch=z9hG4bKe\r\n\
    f: \"Alice, A.\" <sip:+14155550111@pbx.example>;tag=from1\r\n\
    t: <sip:+14155550100@edge.example>\r\n\
    i: 3848276298220188511@pbx\r\n\
    CSeq:\r\n 4711 INVITE\r\n\
    Max-Forwards : 70\r\n\
    m: <sip:alice@192.0.2.10:5061>\r\n\
    Supported: timer, 100rel,\r\n\treplaces\r\n\
    k: path\r\n\
    X-Account: 17\r\n\
    Session-Expires: 1800;refresher=uas\r\n\
    c: application/sdp;charset=utf-8\r\n\
    l: 4\r\n\r\nv=0\r\nignored";

fn parse(bytes: &[u8]) -> Message<'_> {
    let message = Message::parse(bytes, Framing::Datagram).expect("parse");
    message.validate().expect("validate");
    message
}

/// `INVITE` with one line replaced (or, where `old` is empty, added in front).
fn changed(old: &str, new: &str) -> Vec<u8> {
    let text = std::str::from_utf8(INVITE).expect("text");
    assert!(text.contains(old));
    let text = if old.is_empty() {
        text.replacen("\r\n", &format!("\r\n{new}"), 1)
    } else {
        text.replacen(old, new, 1)
    };
    text.into_bytes()
}

fn refusal(bytes: &[u8]) -> Malformed {
    match Message::parse(bytes, Framing::Datagram) {
        Ok(message) => message.validate().expect_err("accepted"),
        Err(malformed) => malformed,
    }
}

#[test]
fn every_value_is_found() {
    let message = parse(INVITE);
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!(message.uri().expect("uri").e164(), Some("+14155550100"));
    assert_eq!(message.call_id(), Ok("3848276298220188511@pbx"));
    assert_eq!(message.cseq(), Ok(CSeq { number: 4711, method: Method::Invite }));
    assert_eq!(message.from().expect("from").display, "Alice, A.");
    assert_eq!(message.from().expect("from").tag(), Some("from1"));
    assert_eq!(message.to().expect("to").tag(), None);
    assert_eq!(message.top_via().expect("via").branch(), Some("z9hG4bKabc"));
    assert_eq!(message.values(HeaderName::Via).count(), 3);
    assert_eq!(message.headers(HeaderName::Via).count(), 2);
    let supported: Vec<_> = message.values(HeaderName::Supported).collect();
    assert_eq!(supported, ["timer", "100rel", "replaces", "path"]);
    assert!(message.lists(HeaderName::Supported, "100REL"));
    assert_eq!(message.max_forwards(), Some(70));
    assert_eq!(message.contact().expect("contact").uri, "sip:alice@192.0.2.10:5061");
    assert_eq!(message.header_named("x-account"), Some("17"));
    assert_eq!(message.session_expires(), Some((1800, Some("uas"))));
    assert_eq!(message.content_type(), Some("application/sdp"));
    assert_eq!(message.body(), b"v=0\r");
    assert_eq!(message.all_headers().count(), 14);
    assert_eq!(message.header(HeaderName::Route), None);
}

#[test]
fn leading_breaks_are_skipped_and_counted() {
    let bytes = [b"\r\n\r\n", INVITE].concat();
    assert_eq!(parse(&bytes).cseq().expect("cseq").number, 4711);
    let bytes = [&b"\r\n"[..], &changed("CSeq:", "CSeq(")].concat();
    let fault = refusal(&bytes);
    assert_eq!((fault.why, fault.status), (Why::HeaderName, 400));
    assert_eq!(bytes[fault.at], b'(');
}

#[test]
fn single_headers_may_not_come_twice() {
    for (line, name) in [
        ("From: <sip:x@y>;tag=1\r\n", HeaderName::From),
        ("t: <sip:x@y>\r\n", HeaderName::To),
        ("Call-ID: 2\r\n", HeaderName::CallId),
        ("CSeq: 1 INVITE\r\n", HeaderName::CSeq),
        ("Content-Length: 4\r\n", HeaderName::ContentLength),
        ("Max-Forwards: 1\r\n", HeaderName::MaxForwards),
    ] {
        let fault = refusal(&changed("", line));
        assert_eq!((fault.why, fault.status), (Why::Duplicate(name), 400));
    }
}

#[test]
fn faults_name_the_place_and_the_answer() {
    for (old, new, why, status) in [
        ("4711", "2147483648", "CSeq: number is not below 2^31", 400),
        ("4711 INVITE", "4711 BYE", "CSeq method differs from the request's", 400),
        (
            "sip:+14155550100@edge.example:5060",
            "http://x",
            "Request-URI scheme is not supported",
            416,
        ),
        ("SIP/2.0\r\n", "SIP/3.0\r\n", "SIP version is not 2.0", 505),
        ("l: 4", "l: +4", "Content-Length: not a decimal number", 400),
        ("l: 4", "l: 0x4", "Content-Length: not a decimal number", 400),
        ("l: 4", "l: 40", "body shorter than Content-Length", 400),
        ("l: 4", "l: 18446744073709551620", "body too large", 413),
        ("i: 3848276298220188511@pbx\r\n", "", "no Call-ID header", 400),
        ("Max-Forwards : 70", "Max-Forwards : 256", "Max-Forwards: not 0 to 255", 400),
        ("X-Account: 17", "X-Account: \u{0}", "NUL byte in a header", 400),
        ("X-Account: 17", "X-Account: 1\r7", "line break is not CRLF", 400),
        ("X-Account: 17", "X-Account: 1\n7: x", "line break is not CRLF", 400),
        ("X-Account:", "X-Account\u{1}:", "bad header name", 400),
        ("X-Account:", "X-Account\u{b}:", "bad header name", 400),
        (";transport=udp SIP", "?Route=x SIP", "Request-URI: headers are not allowed", 400),
    ] {
        let bytes = changed(old, new);
        let fault = refusal(&bytes);
        assert_eq!((fault.why.to_string().as_str(), fault.status), (why, status), "{new}");
        assert!(fault.at <= bytes.len());
    }
}

#[test]
fn limits_are_kept() {
    let long = changed("X-Account: 17", &format!("X-Account: {}", "a".repeat(4096)));
    assert_eq!(refusal(&long).why, Why::HeaderLineTooLong);
    let many = changed("", &"a: b\r\n".repeat(115));
    assert_eq!(refusal(&many).why, Why::TooManyHeaders);
    let most = changed("", &"a: b\r\n".repeat(114));
    assert_eq!(parse(&most).all_headers().count(), 128);
    let large = [INVITE, &[b'a'; 16 * 1024]].concat();
    assert_eq!((refusal(&large).why, refusal(&large).status), (Why::TooLarge, 513));
    let uri = changed("sip:+14155550100@", &format!("sip:{}@", "1".repeat(256)));
    assert_eq!((refusal(&uri).why, refusal(&uri).status), (Why::RequestUriTooLong, 414));
}

#[test]
fn responses_and_acks_are_never_answered() {
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 99999999999 INVITE\r\n\r\n";
    assert_eq!(refusal(text.as_bytes()).status, 0);
    let ack = String::from_utf8(changed("4711 INVITE", "4711 BYE")).expect("text");
    assert_eq!(refusal(ack.replacen("INVITE", "ACK", 1).as_bytes()).status, 0);
    assert_eq!(refusal(b"GET / HTTP/1.1\r\n\r\n").status, 0);
    assert_eq!(refusal(b"\x80\x00\x01\x02").status, 0);
}

#[test]
fn text_that_is_not_utf8_spoils_its_own_header_only() {
    let mut bytes = changed("X-Account: 17", "X-Account: #\r\nX-After: \u{e9}");
    let at = bytes.iter().position(|byte| *byte == b'#').expect("mark");
    bytes[at] = 0xe9;
    let message = parse(&bytes);
    assert_eq!(message.header_named("X-Account"), None);
    assert_eq!(message.header_named("X-After"), Some("\u{e9}"));
    assert_eq!(message.call_id(), Ok("3848276298220188511@pbx"));
}

#[test]
fn a_refused_request_can_be_answered() {
    let bytes = changed("l: 4", "l: -4");
    let fault = Message::parse(&bytes, Framing::Datagram).expect_err("negative length");
    let request = Message::salvage(&bytes).expect("salvage");
    let source = "198.51.100.7:40000".parse().expect("address");
    let mut buffer = [0; 1024];
    let length = Writer::response_to(
        &mut buffer,
        &request,
        source,
        fault.status,
        status::reason(fault.status),
        Some("edge1"),
    )
    .finish_empty()
    .expect("fits");
    let response = parse(&buffer[..length]);
    assert_eq!(response.status(), Some(400));
    assert_eq!(response.to().expect("to").tag(), Some("edge1"));
    assert_eq!(response.cseq().expect("cseq").number, 4711);
    let via = response.top_via().expect("via");
    assert_eq!(via.branch(), Some("z9hG4bKabc"));
    assert_eq!(via.response_target(5060), Some(source));
    assert_eq!(response.values(HeaderName::Via).count(), 3);
    for bad_line in ["INVITE  sip:a@b SIP/2.0", "INVITE <sip:a@b> SIP/2.0", "INVITE sip:a SIP/9.0"]
    {
        let bytes = format!("{bad_line}\r\nCall-ID: 1\r\n(bad)\r\nCSeq: 1 INVITE\r\n\r\n");
        let request = Message::salvage(bytes.as_bytes()).expect(bad_line);
        assert_eq!(request.method(), Some(Method::Invite));
        assert_eq!((request.call_id(), request.has(HeaderName::CSeq)), (Ok("1"), true));
    }
    assert!(Message::salvage(b"ACK sip:a@b SIP/9.0\r\n\r\n").is_none());
    assert!(Message::salvage(b"GET / HTTP/1.1\r\n\r\n").is_none());
    assert!(Message::salvage(b"SIP/2.0 999 x\r\n\r\n").is_none());
}

#[test]
fn spoofed_received_is_overwritten() {
    let bytes = changed("branch=z9hG4bKabc", "received=10.0.0.1;branch=z9hG4bKabc;rport=7");
    let mut buffer = [0; 1024];
    let mut writer = Writer::response(&mut buffer, 100, "Trying");
    writer.copy_vias(&parse(&bytes), "[2001:db8::5]:5066".parse().expect("address"));
    let length = writer.finish_empty().expect("fits");
    let text = std::str::from_utf8(&buffer[..length]).expect("text");
    let top = text.lines().nth(1).expect("via");
    assert_eq!(
        top,
        "Via: SIP/2.0/UDP 192.0.2.10:5061;branch=z9hG4bKabc;received=2001:db8::5;rport=5066, \
         SIP/2.0/TCP a.example;branch=z9hG4bKd"
    );
}

#[test]
fn what_is_written_reads_back() {
    let mut buffer = [0; 2048];
    let mut writer = Writer::request(&mut buffer, Method::Invite, "sip:bob@192.0.2.4;lr");
    writer
        .via(crate::base::packet::Transport::Udp, "192.0.2.1:5060", "z9hG4bKown")
        .header(HeaderName::MaxForwards, "70")
        .header_fmt(HeaderName::From, format_args!("<sip:{}@edge>;tag={}", "+1555", "t1"))
        .header(HeaderName::To, "<sip:bob@192.0.2.4>")
        .header(HeaderName::CallId, "abc-s3")
        .header_fmt(HeaderName::CSeq, format_args!("{} INVITE", 1))
        .header_named("X-Private", "a: b")
        .copy(&parse(INVITE), HeaderName::Supported);
    let length = writer
        .finish_with("application/sdp", |room| {
            room[..5].copy_from_slice(b"v=0\r\n");
            Some(5)
        })
        .expect("fits");
    let message = parse(&buffer[..length]);
    assert_eq!(message.header_named("X-Private"), Some("a: b"));
    assert_eq!(message.header(HeaderName::Supported), Some("timer, 100rel, replaces"));
    assert_eq!(message.top_via().expect("via").rport(), Some(None));
    assert_eq!(
        (message.body(), message.content_type()),
        (&b"v=0\r\n"[..], Some("application/sdp"))
    );
    assert!(Message::parse(&buffer[..length], Framing::Stream).is_ok());
}

#[test]
fn nothing_unsafe_or_too_long_is_written() {
    let mut buffer = [0; 128];
    for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b"] {
        let mut writer = Writer::response(&mut buffer, 200, "OK");
        assert_eq!(
            writer.header(HeaderName::Subject, value).finish_empty(),
            Err(WriteError::Unsafe)
        );
        let mut writer = Writer::response(&mut buffer, 200, "OK");
        writer.header_fmt(HeaderName::Subject, format_args!("x{value}"));
        assert_eq!(writer.finish_empty(), Err(WriteError::Unsafe));
        assert_eq!(
            Writer::response(&mut buffer, 200, value).finish_empty(),
            Err(WriteError::Unsafe)
        );
    }
    for uri in ["sip:a b", "sip:a\r\n", "", "<sip:a>", "sip:a\u{e9}"] {
        let mut writer = Writer::request(&mut buffer, Method::Bye, uri);
        assert_eq!(writer.finish_empty(), Err(WriteError::Unsafe), "{uri}");
    }
    let mut writer = Writer::response(&mut buffer, 200, "OK");
    assert_eq!(writer.header_named("X y", "z").finish_empty(), Err(WriteError::Unsafe));
    for room in 0..128 {
        let mut writer = Writer::response(&mut buffer[..room], 200, "OK");
        let result = writer.header(HeaderName::Subject, &"s".repeat(150)).finish("a/b", b"c");
        assert_eq!(result, Err(WriteError::Overflow));
    }
}
