#![expect(clippy::cast_possible_truncation, reason = "small random numbers")]

use super::*;
use crate::base::rng::Rng;
use crate::media::leg::{self as media, Learning, PayloadType};

const SDP: &str = "application/sdp";

fn parse(text: &str) -> Description {
    Description::parse(text.replace('\n', "\r\n").as_bytes(), SDP)
        .unwrap_or_else(|error| panic!("{error:?} in {text}"))
}

fn refused(text: &str) -> u16 {
    let result = Description::parse(text.replace('\n', "\r\n").as_bytes(), SDP);
    result.and_then(|d| d.require_plain_audio()).expect_err(text).status
}

/// A description of one audio line: payload list, then further lines.
fn audio(address: &str, formats: &str, lines: &[&str]) -> String {
    let mut text = format!(
        "v=0\no=x 7 8 IN IP4 {address}\ns=-\nc=IN IP4 {address}\nt=0 0\n\
        m=audio 4000 RTP/AVP {formats}\n"
    );
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn ours(port: u16) -> LocalMedia {
    let address = "198.51.100.7".parse().expect("address");
    LocalMedia { address, rtp_port: port, rtcp_port: port + 1, mux: false }
}

fn session() -> LocalSession {
    LocalSession { id: 99, version: 1, digest: None }
}

struct Written {
    text: String,
    numbers: Numbers,
}

fn offered(source: &Description, previous: Option<&Description>, media: &LocalMedia) -> Written {
    let mut buffer = [0; 4096];
    let offered = offer_for(source, previous, media, &mut session(), &mut buffer).expect("offer");
    let text = String::from_utf8_lossy(&buffer[..offered.length]).into_owned();
    Written { text, numbers: offered.numbers }
}

fn answered(offer: &Description, answer: &Description, bridge: &Bridge) -> String {
    let mut buffer = [0; 4096];
    let media = ours(10_000);
    let length =
        answer_for(offer, answer, bridge, &media, &mut session(), &mut buffer).expect("answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn bridge(offer: &Description, answer: &Description) -> Result<Bridge, OfferError> {
    Bridge::new(offer, &Numbers::assign(offer, None), answer, (false, false))
}

fn numbers(side: &Side) -> Vec<(u8, u8)> {
    side.payloads.iter().map(|payload| (payload.number, payload.becomes)).collect()
}

#[test]
fn the_offer_has_all_formats_and_nothing_of_the_peer_s_network() {
    let text = "v=0\no=alice 2890844526 2890844527 IN IP4 10.9.8.7\ns=secret\ni=x\n\
        u=http://leak.example\ne=a@leak.example\nc=IN IP4 192.0.2.1\nb=AS:84\nt=0 0\n\
        a=ice-ufrag:leak\na=sendonly\n\
        m=audio 4000 RTP/AVP 96 8 101 77 110\na=rtpmap:96 opus/48000/2\n\
        a=fmtp:96 useinbandfec=1; maxplaybackrate=16000\na=rtpmap:101 telephone-event/8000\n\
        a=fmtp:101 0-16\na=rtpmap:110 x-new/16000\na=ptime:30\na=maxptime:60\n\
        a=candidate:1 1 UDP 1 10.9.8.7 4000 typ host\na=fingerprint:sha-256 AA\n\
        a=rtcp:4009 IN IP4 192.0.2.2\na=rtcp-mux\na=ssrc:1 cname:leak\n";
    let source = parse(text);
    let local = LocalMedia { mux: true, ..ours(12_000) };
    let written = offered(&source, None, &local);
    let expected = "v=0\r\no=- 99 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\n\
        t=0 0\r\nm=audio 12000 RTP/AVP 96 8 101 110\r\na=rtpmap:96 opus/48000/2\r\n\
        a=fmtp:96 useinbandfec=1; maxplaybackrate=16000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtpmap:110 x-new/16000\r\n\
        a=ptime:30\r\na=maxptime:60\r\na=sendonly\r\na=rtcp-mux\r\n";
    assert_eq!(written.text, expected);
    assert_eq!(source.origin, (2_890_844_526, 2_890_844_527));
    assert_eq!(source.rtcp, Some("192.0.2.2:4009".parse().expect("address")));
    assert!(source.is_hold() && source.mux);
}

#[test]
fn ipv6_and_odd_rtcp_ports_are_said() {
    let source = parse(&audio("192.0.2.1", "0", &[]));
    let address = "2001:db8::7".parse().expect("address");
    let local = LocalMedia { address, rtp_port: 10_000, rtcp_port: 10_003, mux: false };
    let text = offered(&source, None, &local).text;
    assert!(text.contains("\r\nc=IN IP6 2001:db8::7\r\n") && text.contains("a=rtcp:10003\r\n"));
    let back = parse(&text.replace("\r\n", "\n"));
    assert_eq!(back.rtp_address(), "[2001:db8::7]:10000".parse().expect("address"));
}

#[test]
fn the_answer_speaks_the_offerer_s_numbers_and_refuses_other_lines() {
    let offer = parse(
        "v=0\no=x 7 8 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
        m=video 5000 RTP/AVP 31 32\nm=audio 4000 RTP/AVP 0 8 96 101\n\
        a=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000\n\
        m=audio 4002 RTP/SAVP 0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n",
    );
    // The answerer prefers otherwise, numbers otherwise, and adds what nobody offered.
    let answer = parse(&audio(
        "203.0.113.5",
        "111 100 8 3",
        &[
            "a=rtpmap:111 OPUS/48000/2",
            "a=fmtp:111 usedtx=1",
            "a=rtpmap:100 telephone-event/8000",
            "a=fmtp:100 0-11",
            "a=ptime:40",
        ],
    ));
    let bridge = bridge(&offer, &answer).expect("common codecs");
    let expected = "v=0\r\no=- 99 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\n\
        t=0 0\r\nm=video 0 RTP/AVP 31\r\nm=audio 10000 RTP/AVP 8 96 101\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 OPUS/48000/2\r\na=fmtp:96 usedtx=1\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-11\r\na=ptime:40\r\na=sendrecv\r\n\
        m=audio 0 RTP/SAVP 0\r\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    assert_eq!(answered(&offer, &answer, &bridge), expected);
    assert_eq!(bridge.codec.as_str(), "PCMA");
    assert_eq!(numbers(&bridge.offerer), [(8, 8), (96, 111), (101, 100)]);
    // The answerer sends what it was offered; its own numbers are taken as well.
    assert_eq!(numbers(&bridge.answerer), [(8, 8), (96, 96), (101, 101), (111, 96), (100, 101)]);
    assert_eq!(bridge.answerer.rtp, "203.0.113.5:4000".parse().expect("address"));
    assert!(bridge.offerer.payloads[2].is_event);
}

#[test]
fn the_relay_gets_the_same_agreement() {
    let offer = parse(&audio("192.0.2.1", "8 96", &["a=rtpmap:96 opus/48000/2", "a=sendonly"]));
    let answer = parse(&audio("203.0.113.5", "111", &["a=rtpmap:111 opus/48000/2", "a=rtcp:9"]));
    let bridge = bridge(&offer, &answer).expect("common codec");
    let caller = bridge.offerer.negotiated(Learning::SignalledOnly);
    assert_eq!(caller.receive[..], [PayloadType { number: 96, clock: 48_000 }]);
    assert_eq!(caller.direction, media::Direction { send: false, receive: true });
    assert_eq!((caller.remote_rtp.port(), caller.remote_rtcp), (4000, None));
    let callee = bridge.answerer.negotiated(Learning::Nat);
    assert_eq!(callee.direction, media::Direction { send: true, receive: false });
    assert_eq!(callee.remote_rtcp, Some("203.0.113.5:9".parse().expect("address")));
    assert_eq!(bridge.offerer.map().get(96), Some(111));
    assert_eq!(
        (bridge.answerer.map().get(96), bridge.answerer.map().get(111)),
        (Some(96), Some(96))
    );
    assert_eq!(bridge.offerer.map().get(8), None);
}

#[test]
fn no_common_speech_is_no_call() {
    let event = "a=rtpmap:101 telephone-event/8000";
    let offer = parse(&audio("192.0.2.1", "0 101", &[event]));
    let status = |answer: &str| bridge(&offer, &parse(answer)).expect_err(answer).status;
    assert_eq!(status(&audio("192.0.2.2", "8 101", &[event])), 488);
    assert_eq!(status(&audio("192.0.2.2", "101", &[event])), 488);
    assert_eq!(status(&audio("192.0.2.2", "0", &[]).replace("audio 4000", "audio 0")), 488);
    assert_eq!(status(&audio("192.0.2.2", "0", &[]).replace("RTP/AVP", "RTP/SAVP")), 488);
}

#[test]
fn hold_passes_in_both_spellings_and_back() {
    let live = audio("192.0.2.1", "0", &[]);
    let there = audio("203.0.113.5", "0", &[]);
    for (offer, direction, answer, answered_with, sends, receives) in [
        (live.clone(), "sendrecv", there.clone(), "sendrecv", true, true),
        (
            live.clone() + "a=sendonly\n",
            "sendonly",
            there.clone() + "a=recvonly\n",
            "recvonly",
            true,
            false,
        ),
        // An answer that takes too much is cut to what may answer.
        (live.clone() + "a=sendonly\n", "sendonly", there.clone(), "recvonly", true, false),
        (
            live.clone() + "a=inactive\n",
            "inactive",
            there.clone() + "a=inactive\n",
            "inactive",
            false,
            false,
        ),
        (
            audio("0.0.0.0", "0", &[]),
            "sendonly",
            there.clone() + "a=recvonly\n",
            "recvonly",
            true,
            false,
        ),
        (
            audio("0.0.0.0", "0", &["a=recvonly"]),
            "inactive",
            there.clone(),
            "inactive",
            false,
            false,
        ),
        (live.clone(), "sendrecv", audio("0.0.0.0", "0", &[]), "sendonly", false, true),
        (
            live.clone() + "a=recvonly\n",
            "recvonly",
            there.clone() + "a=sendonly\n",
            "sendonly",
            false,
            true,
        ),
    ] {
        let (offer, answer) = (parse(&offer), parse(&answer));
        let written = offered(&offer, None, &ours(10_000)).text;
        assert!(written.contains(&format!("a={direction}\r\n")), "{direction}: {written}");
        assert!(!written.contains("0.0.0.0"));
        let bridge = bridge(&offer, &answer).expect("common codec");
        let text = answered(&offer, &answer, &bridge);
        assert!(text.contains(&format!("a={answered_with}\r\n")), "{answered_with}: {text}");
        assert_eq!(
            (bridge.offerer.sends, bridge.offerer.receives),
            (sends, receives),
            "{direction}"
        );
        assert_eq!((bridge.answerer.receives, bridge.answerer.sends), (sends, receives));
    }
}

#[test]
fn session_direction_and_address_yield_to_the_media_line_s() {
    let text = "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\na=inactive\n\
        m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.3\na=recvonly\n";
    let description = parse(text);
    assert_eq!(description.direction(), Direction::RecvOnly);
    assert_eq!(description.rtp_address(), "192.0.2.3:4000".parse().expect("address"));
}

#[test]
fn a_re_invite_of_the_callee_keeps_the_caller_s_numbers_and_lines() {
    let caller = parse(
        "v=0\no=x 7 8 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
        m=audio 4000 RTP/AVP 96 101 98\na=rtpmap:96 opus/48000/2\n\
        a=rtpmap:101 telephone-event/8000\na=rtpmap:98 speex/8000\nm=video 5000 RTP/AVP 31\n",
    );
    // The callee numbers the other way round and brings a codec whose number is taken.
    let callee = parse(&audio(
        "203.0.113.5",
        "101 96 98 18",
        &["a=rtpmap:101 opus/48000/2", "a=rtpmap:96 telephone-event/8000", "a=rtpmap:98 AMR/8000"],
    ));
    let written = offered(&callee, Some(&caller), &ours(10_000));
    let expected = "m=audio 10000 RTP/AVP 96 101 97 18\r\na=rtpmap:96 opus/48000/2\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=rtpmap:97 AMR/8000\r\na=rtpmap:18 G729/8000\r\n\
        a=sendrecv\r\nm=video 0 RTP/AVP 31\r\n";
    assert!(written.text.ends_with(expected), "{}", written.text);
    let answer = parse(&audio(
        "192.0.2.1",
        "96 101",
        &["a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000"],
    ));
    let bridge = Bridge::new(&callee, &written.numbers, &answer, (false, false)).expect("common");
    assert_eq!(numbers(&bridge.offerer), [(101, 96), (96, 101)]);
    assert_eq!(numbers(&bridge.answerer), [(96, 101), (101, 96)]);
}

#[test]
fn the_version_rises_when_something_changes_and_only_then() {
    let live = parse(&audio("192.0.2.1", "0 8", &[]));
    let moved = parse(&audio("192.0.2.99", "0 8", &[]));
    let held = parse(&audio("192.0.2.1", "0 8", &["a=sendonly"]));
    let mut session = LocalSession::new(&mut Rng::from_number(1));
    let mut say = |source: &Description, media: &LocalMedia| {
        let mut buffer = [0; 1024];
        let length =
            offer_for(source, None, media, &mut session, &mut buffer).expect("fits").length;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let origin = text.lines().nth(1).expect("an o= line").to_owned();
        origin.split(' ').nth(2).expect("a version").parse::<u64>().expect("number")
    };
    assert_eq!(say(&live, &ours(10_000)), 1);
    assert_eq!(say(&live, &ours(10_000)), 1);
    assert_eq!(say(&moved, &ours(10_000)), 1, "the peer's own address is not ours to tell");
    assert_eq!(say(&held, &ours(10_000)), 2);
    assert_eq!(say(&live, &ours(10_000)), 3);
    assert_eq!(say(&live, &ours(10_002)), 4);
    assert_eq!(say(&live, &ours(10_002)), 4);
    assert!(live.same_media(&live) && !live.same_media(&held) && !live.same_media(&moved));
    let refreshed = parse(&audio("192.0.2.1", "0 8", &[]).replace("o=x 7 8", "o=x 7 9"));
    assert!(live.same_media(&refreshed));
}

#[test]
fn mux_needs_both_sides_of_each_leg() {
    let offer = parse(&audio("192.0.2.1", "0", &["a=rtcp-mux"]));
    let answer = parse(&audio("203.0.113.5", "0", &["a=rtcp:4007"]));
    let numbers = Numbers::assign(&offer, None);
    let bridge = Bridge::new(&offer, &numbers, &answer, (true, true)).expect("common");
    assert_eq!((bridge.offerer.mux, bridge.answerer.mux), (true, false));
    assert_eq!(bridge.offerer.rtcp, None);
    assert_eq!(bridge.answerer.rtcp, Some("203.0.113.5:4007".parse().expect("address")));
    assert!(!Bridge::new(&offer, &numbers, &answer, (false, true)).expect("common").offerer.mux);
    let media = LocalMedia { mux: true, ..ours(10_000) };
    let mut buffer = [0; 1024];
    for (source, expected) in [(&offer, true), (&answer, false)] {
        let length = answer_for(source, &answer, &bridge, &media, &mut session(), &mut buffer);
        let text = String::from_utf8_lossy(&buffer[..length.expect("fits")]).into_owned();
        assert_eq!(text.contains("rtcp-mux"), expected);
    }
}

#[test]
fn what_is_refused_and_how() {
    let good = audio("192.0.2.1", "0", &[]);
    let changed = |from: &str, to: &str| good.replace(from, to);
    let numbers: String = (0..33).map(|number| format!(" {number}")).collect();
    for (text, status) in [
        (changed("v=0", "v=1"), 400),
        (changed("o=x 7 8 IN IP4 192.0.2.1\n", ""), 400),
        (changed("s=-", "bogus"), 400),
        (changed("s=-", "S=-"), 400),
        (changed("c=IN IP4 192.0.2.1\n", ""), 400),
        (changed("c=IN IP4 192.0.2.1", "c=IN IP4 media.example"), 488),
        (changed("c=IN IP4 192.0.2.1", "c=IN IP6 192.0.2.1"), 488),
        (changed("c=IN IP4 192.0.2.1", "c=ATM x y"), 488),
        (changed("c=IN IP4 192.0.2.1", "c=IN IP4 224.2.1.1/127"), 488),
        (changed("audio 4000", "audio 70000"), 400),
        (changed("audio 4000", "audio -1"), 400),
        (changed("audio 4000", "audio +4000"), 400),
        (changed("audio 4000", "audio 4000/2"), 488),
        (changed("audio 4000", "audio 0"), 488),
        (changed("audio 4000", "video 4000"), 488),
        (changed("RTP/AVP 0", "RTP/AVP"), 400),
        (changed("RTP/AVP 0", "RTP/AVP 128"), 400),
        (changed("RTP/AVP 0", "RTP/AVP 4294967296"), 400),
        (changed("RTP/AVP 0", "RTP/AVP x"), 400),
        (changed("RTP/AVP", "RTP/SAVP"), 488),
        (changed("RTP/AVP 0", "udptl t38"), 488),
        (changed("RTP/AVP", "RTP/\u{7}AVP"), 400),
        (good.clone() + "a=rtpmap:0 PCMU/0\n", 400),
        (good.clone() + "a=rtpmap:0 PCMU/8000/0\n", 400),
        (good.clone() + "a=ptime:0\n", 400),
        (changed("RTP/AVP 0", "RTP/AVP 0 0"), 400),
        (good.clone() + "a=fmtp:0 a\0b\n", 400),
        (good.clone() + "a=rtcp:0\n", 400),
        (good.clone() + &"m=video 1 RTP/AVP 31\n".repeat(8), 488),
        (good.clone() + &"a=x\n".repeat(257), 488),
        (good.clone() + &format!("a={}\n", "x".repeat(4096)), 488),
        (changed("RTP/AVP 0", &format!("RTP/AVP{}", numbers)), 488),
        (String::new(), 400),
    ] {
        assert_eq!(refused(&text), status, "{text}");
    }
    let body = good.as_bytes();
    assert!(
        Description::parse(body, "Application/SDP ; charset=utf-8").is_ok(),
        "bare LF is taken"
    );
    for content_type in ["", "text/plain", "multipart/mixed;boundary=x", "application/sdpx"] {
        assert_eq!(Description::parse(body, content_type).expect_err(content_type).status, 415);
    }
    assert_eq!(Description::parse(b"v=0\r\n\xff=\r\n", SDP).expect_err("bytes").status, 400);
}

#[test]
fn a_plain_line_goes_before_a_secure_one_and_a_live_one_before_a_refused_one() {
    let base = "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n";
    let port = |lines: &str| parse(&format!("{base}{lines}")).rtp_port;
    assert_eq!(port("m=audio 1 RTP/SAVP 0\nm=audio 2 RTP/AVP 0\n"), 2);
    assert_eq!(port("m=audio 0 RTP/AVP 0\nm=audio 2 RTP/AVP 0\n"), 2);
    assert_eq!(port("m=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP 0\n"), 1);
    let secure = parse(&format!("{base}m=audio 1 RTP/SAVP 0\n"));
    assert_eq!(secure.protocol, Protocol::Savp);
    assert_eq!(secure.require_plain_audio().expect_err("secure").warning, 302);
}

#[test]
fn formats_nobody_explains_and_text_beyond_the_room_are_left_out() {
    let long = format!("a=fmtp:18 {}", "x".repeat(800));
    let description =
        parse(&audio("192.0.2.1", "0 99 18 13", &[&long, "a=ptime:5000", "a=maxptime:x"]));
    let names: Vec<_> = description.formats().map(|format| format.name).collect();
    assert_eq!(names, ["PCMU", "CN"]);
    assert_eq!((description.ptime, description.maxptime), (None, None));
    let mut buffer = [0; 40];
    let source = parse(&audio("192.0.2.1", "0", &[]));
    let error = offer_for(&source, None, &ours(10_000), &mut session(), &mut buffer);
    assert_eq!(error.expect_err("too small").status, 500);
}

#[test]
fn addresses_of_a_description_are_judged() {
    let policy = AddressPolicy {
        signalling_peer: "192.0.2.1".parse().expect("address"),
        own: &["198.51.100.7".parse().expect("address")],
        own_ports: 10_000..=20_000,
    };
    let status = |text: &str| policy.check(&parse(text)).map_err(|error| error.status);
    assert_eq!(status(&audio("192.0.2.1", "0", &[])), Ok(()));
    assert_eq!(status(&audio("0.0.0.0", "0", &[])), Ok(()), "a hold");
    assert_eq!(status(&audio("127.0.0.1", "0", &[])), Err(488));
    assert_eq!(status(&audio("192.0.2.1", "0", &["a=rtcp:53 IN IP4 127.0.0.1"])), Err(488));
    assert_eq!(status(&audio("127.0.0.1", "0", &[]).replace("audio 4000", "audio 0")), Ok(()));
}

const CODECS: [(&str, u32, u8, Option<u8>); 9] = [
    ("PCMU", 8000, 1, Some(0)),
    ("PCMA", 8000, 1, Some(8)),
    ("G722", 8000, 1, Some(9)),
    ("G729", 8000, 1, Some(18)),
    ("opus", 48000, 2, None),
    ("telephone-event", 8000, 1, None),
    ("telephone-event", 48000, 1, None),
    ("AMR-WB", 16000, 1, None),
    ("x-strange", 32000, 1, None),
];

/// A random choice of codecs in random order under random numbers.
fn random_audio(rng: &mut Rng, address: &str) -> String {
    let mut dynamic: Vec<u8> = (96..=127).collect();
    let mut codecs: Vec<_> = CODECS.iter().filter(|_| rng.chance(2, 3)).collect();
    let (mut list, mut lines) = (String::from(""), Vec::new());
    while !codecs.is_empty() {
        let at = rng.below(codecs.len() as u64) as usize;
        let (name, clock, channels, fixed) = codecs.swap_remove(at);
        let at = rng.below(dynamic.len() as u64) as usize;
        let number = fixed.unwrap_or_else(|| dynamic.swap_remove(at));
        list.push_str(&format!(" {number}"));
        lines.push(format!("a=rtpmap:{number} {name}/{clock}/{channels}"));
    }
    if list.is_empty() {
        list.push_str(" 3");
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    audio(address, list.trim(), &lines)
}

type Codec = (String, u32, u8);

fn codec_of(description: &Description, number: u8) -> Option<Codec> {
    let format = description.formats().find(|format| format.payload_type == number)?;
    Some((format.name.to_owned(), format.clock, format.channels))
}

fn codecs(description: &Description) -> Vec<Codec> {
    let one = |format: FormatView<'_>| (format.name.to_owned(), format.clock, format.channels);
    description.formats().map(one).collect()
}

#[test]
fn random_exchanges_keep_names_and_never_invent_codecs() {
    let mut bridged = 0;
    for seed in 0..3_000 {
        let mut rng = Rng::from_number(seed);
        let offer = parse(&random_audio(&mut rng, "192.0.2.1"));
        let answer = parse(&random_audio(&mut rng, "203.0.113.5"));
        let before = rng.chance(1, 2).then(|| parse(&random_audio(&mut rng, "203.0.113.5")));
        let written = offered(&offer, before.as_ref(), &ours(12_000));
        let onward = parse(&written.text.replace("\r\n", "\n"));
        assert_eq!(codecs(&onward), codecs(&offer), "seed {seed}");
        if let Some(before) = &before {
            for format in onward.formats() {
                let meaning = codec_of(before, format.payload_type);
                let now = codec_of(&onward, format.payload_type);
                assert!(meaning.is_none() || meaning == now, "seed {seed}: a number changed");
            }
        }
        let Ok(bridge) = Bridge::new(&offer, &written.numbers, &answer, (false, false)) else {
            let both = codecs(&offer).into_iter().filter(|codec| codecs(&answer).contains(codec));
            assert!(both.clone().all(|codec| codec.0 == "telephone-event"), "seed {seed}");
            continue;
        };
        bridged += 1;
        let text = answered(&offer, &answer, &bridge);
        let back = parse(&text.replace("\r\n", "\n"));
        let expected: Vec<_> =
            codecs(&offer).into_iter().filter(|codec| codecs(&answer).contains(codec)).collect();
        assert_eq!(codecs(&back), expected, "seed {seed}: the offerer's order, both sides' codecs");
        for format in back.formats() {
            let number = format.payload_type;
            assert_eq!(codec_of(&offer, number), codec_of(&back, number), "seed {seed}");
        }
        maps_are_inverse(&bridge, &offer, &onward, &answer, seed);
    }
    assert!(bridged > 1_500, "{bridged}");
}

fn maps_are_inverse(
    bridge: &Bridge,
    offer: &Description,
    onward: &Description,
    answer: &Description,
    seed: u64,
) {
    for payload in &bridge.offerer.payloads {
        let codec = codec_of(offer, payload.number);
        assert!(codec.is_some() && codec == codec_of(answer, payload.becomes), "seed {seed}");
        let backwards = bridge.answerer.payloads.iter().filter(|p| p.becomes == payload.number);
        assert!(backwards.count() >= 1, "seed {seed}");
        // What the answerer is told to send for this codec comes back as the same codec.
        let told = onward.formats().find(|format| codec_of(onward, format.payload_type) == codec);
        let told = told.expect("offered").payload_type;
        assert_eq!(bridge.answerer.becomes(told), Some(payload.number), "seed {seed}");
    }
    let mut seen = Vec::new();
    for payload in &bridge.answerer.payloads {
        assert!(!seen.contains(&payload.number), "seed {seed}: a number means one thing");
        seen.push(payload.number);
        let onwards = bridge.offerer.becomes(payload.becomes);
        assert!(onwards.is_some(), "seed {seed}: what comes back may be sent");
    }
}

#[test]
fn damaged_descriptions_never_panic() {
    let mut rng = Rng::from_number(4);
    let whole = random_audio(&mut rng, "192.0.2.1");
    for _ in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.below(256) as u8,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let Ok(description) = Description::parse(&bytes, SDP) else { continue };
        let mut buffer = [0; 4096];
        let media = ours(10_000);
        if let Ok(offered) = offer_for(&description, None, &media, &mut session(), &mut buffer) {
            let text = &buffer[..offered.length];
            Description::parse(text, SDP).expect("what is written can be read");
        }
    }
}

#[test]
fn torture_bodies_get_a_refusal_or_a_description_that_can_be_offered_on() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/torture/derived-open");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("skipped: {folder} is absent");
        return;
    };
    let policy = AddressPolicy {
        signalling_peer: "192.0.2.1".parse().expect("address"),
        own: &[],
        own_ports: 10_000..=20_000,
    };
    let mut bodies = 0;
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let message = std::fs::read(file.path()).expect("readable");
        let Some(at) = message.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let body = &message[at + 4..];
        bodies += u32::from(!body.is_empty());
        let judged = Description::parse(body, SDP).and_then(|d| policy.check(&d).map(|()| d));
        assert!(name != "sdp-c-loopback.udp" || judged.is_err(), "media to the edge's own host");
        let Ok(description) = judged else { continue };
        let mut buffer = [0; 4096];
        let media = ours(10_000);
        if let Ok(offered) = offer_for(&description, None, &media, &mut session(), &mut buffer) {
            Description::parse(&buffer[..offered.length], SDP).expect("what is written is read");
        }
    }
    assert!(bodies > 10, "{bodies}");
}
