//! Reading, refusing, and reading back what was written.

use super::*;
use crate::base::limits::SDP_BYTES_MAX;

const OFFER: &str = "v=0\r\n\
    o=alice 2890844526 2890844527 IN IP4 pbx.example\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.10\r\n\
    b=AS:64\r\n\
    t=0 0\r\n\
    a=sendonly\r\n\
    m=audio 49170 RTP/SAVP 111 0 8 18 101\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    a=fmtp:111 useinbandfec=1;maxptime=20\r\n\
    a=fmtp:18 annexb=no\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\n\
    a=ptime:20\r\n\
    a=maxptime:40.0\r\n\
    a=rtcp:53020 IN IP6 2001:db8::7\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n\
    a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:def\r\n\
    m=image 49180 udptl t38\r\n\
    c=IN IP6 2001:db8::9\r\n\
    m=video 0 RTP/AVP 31\r\n\
    a=recvonly\r\n";

fn parse(text: &str) -> Session<'_> {
    Session::parse(text.as_bytes()).expect("parse")
}

fn refusal(old: &str, new: &str) -> &'static str {
    assert!(OFFER.contains(old));
    Session::parse(OFFER.replacen(old, new, 1).as_bytes()).expect_err(new).what
}

#[test]
fn an_offer_is_read() {
    let session = parse(OFFER);
    assert_eq!((session.origin.id, session.origin.address), ("2890844526", "pbx.example"));
    let (place, audio) = session.audio().expect("audio");
    assert_eq!((place, audio.port, audio.port_count), (0, 49170, 1));
    assert!(audio.protocol.is_secure());
    assert_eq!(audio.connection, "192.0.2.10".parse().ok());
    assert_eq!(audio.direction, Direction::SendOnly);
    let names: Vec<_> = audio.formats.iter().map(|f| (f.encoding, f.clock, f.channels)).collect();
    let expected = [("opus", 48000, 2), ("PCMU", 8000, 1), ("PCMA", 8000, 1), ("G729", 8000, 1)];
    assert_eq!(names[..4], expected);
    assert!(audio.formats[4].is_telephone_event());
    assert_eq!(audio.format(18).and_then(|f| f.parameter("annexb")), Some("no"));
    assert_eq!(audio.format(111).and_then(|f| f.parameter("MaxPtime")), Some("20"));
    assert_eq!((audio.ptime, audio.maxptime), (Some(20), Some(40)));
    assert_eq!(audio.rtcp_target(), Some(("2001:db8::7".parse().expect("address"), 53020)));
    assert_eq!(audio.crypto.len(), 2);
    let image = &session.media[1];
    assert_eq!((image.protocol, image.format_text), (Protocol::Other("udptl"), "t38"));
    assert_eq!(image.connection, "2001:db8::9".parse().ok());
    assert_eq!(image.direction, Direction::SendOnly);
    let video = &session.media[2];
    assert!(!video.is_active());
    assert_eq!(video.direction, Direction::RecvOnly);
    // Line feeds alone, and empty lines at the end, are let pass.
    assert_eq!(parse(&OFFER.replace("\r\n", "\n")), session);
    assert_eq!(parse(&format!("{OFFER}\r\n\r\n")), session);
}

#[test]
fn both_forms_of_hold_are_seen() {
    let held = OFFER.replacen("192.0.2.10", "0.0.0.0", 1).replacen("a=sendonly\r\n", "", 1);
    let session = parse(&held);
    assert!(session.media[0].is_address_hold());
    assert_eq!(session.media[0].direction, Direction::SendRecv);
    assert_eq!(session.media[0].effective_direction(), Direction::SendOnly);
    assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
    let mux = OFFER.replacen("a=ptime", "a=rtcp-mux\r\na=ptime", 1);
    assert_eq!(parse(&mux).media[0].rtcp_target().map(|(_, port)| port), Some(49170));
}

#[test]
fn what_has_no_reading_is_refused() {
    for (old, new, what) in [
        ("v=0", "v=1", "does not begin with v=0"),
        ("v=0\r\n", "", "does not begin with v=0"),
        ("s=-", "v=0", "v= twice"),
        ("s=-", "o=a 1 1 IN IP4 x", "o= twice"),
        ("t=0 0", "s=-", "s= twice"),
        ("o=alice 2890844526 2890844527 IN IP4 pbx.example\r\n", "", "no o= line"),
        ("o=alice", "o=alice x", "o= line has not six fields"),
        ("c=IN IP4 192.0.2.10\r\n", "", "no c= line for a media line"),
        ("192.0.2.10", "pbx.example", "c= is not a unicast IP address"),
        ("192.0.2.10", "224.2.1.1/127", "c= is not a unicast IP address"),
        ("192.0.2.10", "::1", "c= is not a unicast IP address"),
        ("t=0 0", "c=IN IP4 192.0.2.10", "c= twice"),
        ("t=0 0", "m =video 3227 RTP/AVP 31", "line is not letter=value"),
        ("t=0 0", "", "line is not letter=value"),
        ("49170", "-1", "bad port"),
        ("49170", "+1", "bad port"),
        ("49170", "65536", "bad port"),
        ("49170", "49170/0", "bad port"),
        ("m=audio", &format!("m={}", "A".repeat(1024)), "bad media kind"),
        (" RTP/SAVP 111 0 8 18 101", "", "m= line is not kind, port, protocol, formats"),
        ("111 0 8", "4294967296 0 8", "bad payload type"),
        ("111 0 8", "128 0 8", "bad payload type"),
        ("111 0 8", "8 0 8", "payload type twice"),
        ("opus/48000", "opus/0", "bad clock rate"),
        ("opus/48000", "opus/x", "bad clock rate"),
        ("48000/2", "48000/256", "bad channels"),
        ("a=ptime:20", "a=ptime:0", "packet time of zero"),
        ("a=ptime:20", "a=", "attribute without a name"),
        ("a=ptime:20", "a=:20", "attribute without a name"),
        ("a=fmtp:18 annexb=no", "a=fmtp:18 annexb=\0", "control byte in a line"),
        ("a=rtcp:53020", "a=rtcp:0", "bad rtcp"),
    ] {
        assert_eq!(refusal(old, new), what, "{new}");
    }
    assert_eq!(Session::parse(b"").expect_err("empty").what, "no o= line");
    assert_eq!(Session::parse(b"v=0\r\n\xff").expect_err("bytes").at, 5);
}

#[test]
fn limits_are_kept() {
    let with = |lines: String| format!("{OFFER}{lines}");
    let refused = |text: String| Session::parse(text.as_bytes()).expect_err("limit").what;
    assert_eq!(refused(with("m=audio 1 RTP/AVP 0\r\n".repeat(6))), "too many media lines");
    assert_eq!(parse(&with("m=audio 1 RTP/AVP 0\r\n".repeat(5))).media.len(), 8);
    assert_eq!(refused(with("a=x\r\n".repeat(257))), "too many attributes");
    assert_eq!(refused(with("a=crypto:1\r\n".repeat(9))), "too many crypto lines");
    assert_eq!(refused(with(" ".repeat(SDP_BYTES_MAX))), "description too long");
    let types: Vec<_> = (0..33).map(|number| number.to_string()).collect();
    let line = format!("m=audio 1 RTP/AVP {}\r\n", types.join(" "));
    assert_eq!(refused(with(line)), "too many formats");
}

#[test]
fn what_is_written_reads_back() {
    let offer = parse(OFFER);
    let mut buffer = [0; 1024];
    let address = "2001:db8::1".parse().expect("address");
    let opus = Format { fmtp: "useinbandfec=1", ..offer.media[0].formats[0] };
    let formats = [opus, Format::of_type(8)];
    let length = Writer::new(&mut buffer, 7, 8, address)
        .audio(10_000, Protocol::RtpSavp, &formats)
        .ptime(20)
        .maxptime(60)
        .direction(Direction::RecvOnly)
        .rtcp(10_001, None)
        .rtcp_mux()
        .crypto(format_args!("{} {}", 1, "AES_CM_128_HMAC_SHA1_80 inline:abc"))
        .reject(&offer.media[1])
        .reject(&offer.media[2])
        .finish()
        .expect("fits");
    let text = std::str::from_utf8(&buffer[..length]).expect("text");
    let answer = parse(text);
    assert_eq!((answer.origin.id, answer.origin.version), ("7", "8"));
    assert_eq!(answer.media.len(), 3);
    let audio = &answer.media[0];
    assert_eq!(audio.formats[..], formats);
    assert_eq!((audio.port, audio.connection), (10_000, Some(address)));
    assert_eq!((audio.ptime, audio.maxptime, audio.rtcp_mux), (Some(20), Some(60), true));
    assert_eq!((audio.direction, audio.rtcp), (Direction::RecvOnly, Some((10_001, None))));
    assert_eq!(audio.crypto[..], ["1 AES_CM_128_HMAC_SHA1_80 inline:abc"]);
    assert_eq!((answer.media[1].port, answer.media[1].format_text), (0, "t38"));
    assert_eq!(answer.media[2].formats[0].encoding, "H261");
    let mut small = [0; 1024];
    let attribute = "x".repeat(1000);
    for room in 0..1000 {
        let result = Writer::new(&mut small[..room], 7, 8, address)
            .audio(10_000, Protocol::RtpSavp, &formats)
            .attribute(&attribute)
            .finish();
        assert_eq!(result, Err(WriteError::Overflow), "{room}");
    }
    let mut writer = Writer::new(&mut small, 7, 8, address);
    assert_eq!(writer.attribute("a\r\nm=x").finish(), Err(WriteError::Unsafe));
}
