//! One function a parser that reads hostile bytes in every way the edge does and asserts what must
//! hold of any input. The fuzzer's targets call these, and so do the torture and mutation tests, so
//! that what the fuzzer checks is checked on a stable compiler too.

use super::sdp;
use super::sip::framing::{Framed, Framer};
use super::sip::{
    Framing, HeaderName, Malformed, Message, Method, NameAddr, Uri, Why, Writer, call_key, digest,
    status,
};
use crate::base::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::base::packet::Transport;

/// A datagram on a SIP port.
pub fn sip_datagram(bytes: &[u8]) {
    let _ = super::classify(bytes);
    let mut room = vec![0; STREAM_MESSAGE_BYTES_MAX * 2];
    message(bytes, Framing::Datagram, &mut room);
}

/// A stream: however it is cut into reads, the same messages come out.
pub fn sip_stream(bytes: &[u8]) {
    let mut room = vec![0; STREAM_MESSAGE_BYTES_MAX * 2];
    let whole = read_stream(bytes, bytes.len().max(1));
    for range in &whole.0 {
        message(&bytes[range.clone()], Framing::Stream, &mut room);
    }
    let size = bytes.first().map_or(1, |byte| usize::from(*byte % 61) + 1);
    assert_eq!(whole, read_stream(bytes, size), "reads of {size} bytes");
}

/// A URI; one that can be read can be written and read again.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let address = NameAddr::parse(text);
    if let Ok(address) = address {
        let _ = (address.tag(), address.parse_uri(), address.params.iter().count());
    }
    let uri = match Uri::parse(text) {
        Ok(uri) => uri,
        Err(fault) => {
            assert!(fault.at <= text.len());
            return;
        }
    };
    let _ = (uri.host_addr(), uri.number(), uri.transport(), uri.is_loose_router());
    assert!(uri.matches(&uri), "a URI is the same as itself: {text}");
    let mut room = vec![0; text.len() + 256];
    let mut writer = Writer::request(&mut room, Method::Options, text);
    let length = writer.finish_empty().expect("what was read as a URI can be written");
    let message = Message::parse(&room[..length], Framing::Stream).expect("reads back");
    assert_eq!(message.request_uri(), Some(text));
}

/// A session description.
pub fn sdp(bytes: &[u8]) {
    match sdp::Session::parse(bytes) {
        Ok(session) => {
            let _ = session.audio();
            for media in &session.media {
                assert!(!media.is_active() || media.connection.is_some());
                assert!(!media.protocol.is_rtp() || !media.formats.is_empty());
                let _ = (media.effective_direction(), media.rtcp_target());
                for format in &media.formats {
                    assert!(format.payload_type < 128);
                    let _ = format.parameter("annexb");
                }
            }
        }
        Err(fault) => assert!(fault.at <= bytes.len() + 1),
    }
}

/// An Authorization or WWW-Authenticate value.
pub fn digest_header(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(credentials) = digest::Credentials::parse(text) {
        assert!(!credentials.realm.is_empty() && !credentials.nonce.is_empty());
        assert_ne!(credentials.algorithm, digest::Algorithm::Unknown);
        assert_eq!(credentials.qop.is_some(), credentials.nonce_count.is_some());
    }
    if let Ok(challenge) = digest::Challenge::parse(text) {
        let _ = challenge.offers_auth();
    }
}

fn message(bytes: &[u8], framing: Framing, room: &mut [u8]) {
    let message = match Message::parse(bytes, framing) {
        Ok(message) => message,
        Err(malformed) => {
            assert!(malformed.at <= bytes.len(), "{malformed}");
            answer_refused(bytes, malformed, room);
            return;
        }
    };
    read_everything(&message);
    assert_eq!(
        call_key::call_id_of(bytes),
        message.header_bytes(HeaderName::CallId).filter(|value| !value.is_empty()),
        "the scan and the index name the same Call-ID"
    );
    sdp(message.body());
    match message.validate() {
        Ok(()) => answer_accepted(&message, room),
        Err(malformed) => {
            assert!(malformed.at <= bytes.len(), "{malformed}");
            answer_refused(bytes, malformed, room);
        }
    }
}

fn read_everything(message: &Message<'_>) {
    let _ = (message.start(), message.uri(), message.call_id(), message.cseq());
    let _ = (message.max_forwards(), message.expires(), message.rseq(), message.rack());
    let _ = (message.retry_after(), message.session_expires(), message.min_se());
    let _ = (message.content_type(), message.lists(HeaderName::Supported, "100rel"));
    for (name, value) in message.all_headers() {
        assert!(!name.is_empty() && !value.contains('\0') || value.contains("\\\0"));
        let id = HeaderName::parse(name.as_bytes());
        assert!(message.has(id));
        let items = message.values(id).count();
        assert!(items <= message.headers(id).map(str::len).sum::<usize>() + 1);
        digest_header(value.as_bytes());
    }
    for address in [message.from(), message.to(), message.contact()].into_iter().flatten() {
        let _ = (address.tag(), address.parse_uri(), address.params.get("x"));
    }
    if let Ok(via) = message.top_via() {
        let _ = (via.branch(), via.received(), via.rport(), via.response_target(5060));
        let _ = (via.has_cookie(), via.maddr(), via.transport());
    }
}

/// What every later step relies on after `validate`, and that an answer made from a good request is
/// a good response to the same request.
fn answer_accepted(message: &Message<'_>, room: &mut [u8]) {
    let call_id = message.call_id().expect("checked");
    let cseq = message.cseq().expect("checked");
    let from = message.from().expect("checked");
    message.to().expect("checked");
    let branch = message.top_via().expect("checked").branch();
    if !message.is_request() {
        return;
    }
    assert!(message.uri().is_ok());
    let source = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
    let length = Writer::response_to(room, message, source, 200, "OK", Some("tag1"))
        .copy(message, HeaderName::RecordRoute)
        .via(Transport::Udp, "192.0.2.9", "z9hG4bKx")
        .finish_empty()
        .expect("an answer has room");
    let written = &room[..length];
    let response = match Message::parse(written, Framing::Stream) {
        // The line with the added parameters may pass the limit that it was just below.
        Err(Malformed { why: Why::HeaderLineTooLong | Why::TooManyHeaders, .. }) => return,
        response => response.expect("an answer parses"),
    };
    response.validate().expect("an answer is valid");
    assert_eq!(response.call_id(), Ok(call_id));
    assert_eq!(response.cseq(), Ok(cseq));
    assert_eq!(response.from().map(|from| from.tag()), Ok(from.tag()));
    let via = response.top_via().expect("checked");
    assert_eq!((via.branch(), via.response_target(5060)), (branch, Some(source)));
    assert!(response.to().expect("checked").tag().is_some());
}

/// A refused request can be answered, and the answer is one message and no more.
fn answer_refused(bytes: &[u8], malformed: Malformed, room: &mut [u8]) {
    let Some(request) = Message::salvage(bytes) else { return };
    let code = if malformed.status == 0 { 400 } else { malformed.status };
    let source = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
    let reason = status::reason(code);
    let written =
        Writer::response_to(room, &request, source, code, reason, Some("t")).finish_empty();
    let Ok(length) = written else { return };
    match Message::parse(&room[..length], Framing::Stream) {
        Err(Malformed { why: Why::HeaderLineTooLong | Why::TooManyHeaders, .. }) => {}
        Ok(response) => assert_eq!(response.status(), Some(code)),
        Err(other) => panic!("an answer to a refused request must parse: {other}"),
    }
}

/// Where the messages of a stream lie, how many pings are answered, and whether it ends in a fault.
fn read_stream(bytes: &[u8], size: usize) -> (Vec<std::ops::Range<usize>>, bool) {
    let (mut framer, mut messages) = (Framer::new(), Vec::new());
    let (mut taken, mut received) = (0, 0);
    while received < bytes.len() {
        received = (received + size).min(bytes.len());
        loop {
            let consumed = match framer.next(&bytes[taken..received]) {
                Framed::NeedMore { at_least } => {
                    assert!(at_least > 0);
                    break;
                }
                Framed::KeepAlive { consumed, .. } => consumed,
                Framed::Message { consumed, range } => {
                    messages.push(taken + range.start..taken + range.end);
                    consumed
                }
                Framed::Fatal(fault) => {
                    assert!(fault.at <= received);
                    return (messages, true);
                }
            };
            assert!(consumed > 0 && taken + consumed <= received);
            taken += consumed;
        }
    }
    (messages, false)
}
