use super::*;
use crate::base::limits::PRIVATE_HEADERS_BYTES_MAX;

fn ice(json: &str) -> Result<Parsed, ScriptError> {
    parse(json.as_bytes(), Event::Ice)
}

fn refused(json: &str, event: Event) -> (String, String) {
    let error = parse(json.as_bytes(), event).expect_err(json);
    (error.pointer, error.why.into_owned())
}

fn sip(endpoint: &str, more: &str) -> Result<(ConnectSip, Option<Host>), ScriptError> {
    let parsed = ice(&format!(
        r#"{{"action":{{"name":"connectSip",
            "destination":{{"type":"sip","endpoint":"{endpoint}"}}{more}}}}}"#
    ))?;
    match parsed.script.action {
        Action::ConnectSip(connect) => Ok((connect, parsed.resolve)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn connect_pstn_with_everything() {
    let parsed = ice(r#"{"instructions":[{"name":"SetCookie","key":"a","value":"b"}],
        "action":{"name":"ConnectPSTN","number":"46700000000","cli":"+12015555555","maxDuration":60,
        "dialTimeout":20,"suppressCallbacks":true,"locale":"en-US","indications":"se",
        "amd":null}}"#)
    .expect("legal");
    assert_eq!(parsed.cookies, [("a".to_owned(), "b".to_owned())]);
    let Action::ConnectPstn(connect) = parsed.script.action else { panic!() };
    assert_eq!(connect.number.as_deref(), Some("+46700000000"));
    let expected = ConnectOptions {
        cli: Cli::Number(Text::from("+12015555555").expect("fits")),
        max_duration: Some(60),
        dial_timeout: Some(20),
        suppress_callbacks: true,
    };
    assert_eq!(connect.options, expected);
}

#[test]
fn bare_actions() {
    let action = |json: &str, event| parse(json.as_bytes(), event).expect("legal").script.action;
    let pstn = action(r#"{"action":{"name":"connectpstn","cli":"private"}}"#, Event::Ice);
    let options = ConnectOptions { cli: Cli::Private, ..ConnectOptions::default() };
    assert_eq!(pstn, Action::ConnectPstn(ConnectPstn { number: None, options }));
    assert_eq!(action(r#"{"action":{"name":"Continue"}}"#, Event::Ace), Action::Continue);
    for (cause, expected) in [
        ("", HangUpCause::Normal),
        (r#","hangupCause":0"#, HangUpCause::Normal),
        (r#","hangupCause":1"#, HangUpCause::Busy),
        (r#","hangupCause":2"#, HangUpCause::Congestion),
    ] {
        let json = format!(r#"{{"action":{{"name":"HANGUP"{cause}}}}}"#);
        assert_eq!(action(&json, Event::Ace), Action::HangUp(expected));
    }
}

#[test]
fn every_form_of_a_sip_destination() {
    let host = |name: &str, port, transport| Some(Host { name: name.into(), port, transport });
    for (endpoint, more, uri, resolve) in [
        ("a@Foo.com", "", "sip:a@foo.com", host("foo.com", None, Transport::Udp)),
        (
            "sip:a@foo.com:5070",
            "",
            "sip:a@foo.com:5070",
            host("foo.com", Some(5070), Transport::Udp),
        ),
        (
            "SIP:+46@foo.com",
            r#","transport":"tcp""#,
            "sip:+46@foo.com;transport=tcp",
            host("foo.com", None, Transport::Tcp),
        ),
        (
            "sip:a@foo.com;transport=TLS",
            "",
            "sip:a@foo.com;transport=tls",
            host("foo.com", None, Transport::Tls),
        ),
        (
            "sip:a@foo.com;transport=udp;user=phone",
            r#","transport":"UDP""#,
            "sip:a@foo.com;user=phone",
            host("foo.com", None, Transport::Udp),
        ),
        ("sips:a@foo.com", "", "sips:a@foo.com", host("foo.com", None, Transport::Tls)),
        ("a%20b;x=1@foo.com", "", "sip:a%20b;x=1@foo.com", host("foo.com", None, Transport::Udp)),
        ("a@192.0.2.1", "", "sip:a@192.0.2.1", None),
        ("a@[2001:DB8::1]:5080", "", "sip:a@[2001:db8::1]:5080", None),
    ] {
        let (connect, resolved) = sip(endpoint, more).expect(endpoint);
        assert_eq!(connect.uri.as_str(), uri);
        assert_eq!(resolved, resolve, "{endpoint}");
        assert_eq!(connect.targets.is_empty(), resolve.is_some());
    }
    let (connect, _) = sip("a@192.0.2.1", r#","transport":"TLS""#).expect("legal");
    assert_eq!(connect.targets[0].to_string(), "192.0.2.1:5061");
    let (connect, _) = sip("a@[2001:DB8::1]:5080", "").expect("legal");
    assert_eq!(connect.targets[0].to_string(), "[2001:db8::1]:5080");
}

#[test]
fn malformed_sip_destinations() {
    for endpoint in [
        "foo.com",
        "@foo.com",
        "a@",
        "a@foo..com",
        "a@foo.com:0",
        "a@foo.com:99999",
        "a@foo.com:+5",
        "a b@foo.com",
        "a:secret@foo.com",
        "sip:a@foo.com?X-Evil=1",
        "http:a@foo.com",
        "a@0x7f.1",
        "a@127.1",
        "a@2130706433",
        "a@[::1",
        "a@[::1]x",
        "a%2@foo.com",
        "<sip:a@foo.com>",
        "sip:a@foo.com;maddr=10.0.0.1",
        "a@foo.com;transport=sctp",
        "a@foo\\r\\nVia: x",
        "sip:a@foo.com;transport=tcp;transport=tcp",
    ] {
        let error = sip(endpoint, "").expect_err(endpoint);
        assert_eq!(error.pointer, "/action/destination/endpoint", "{endpoint}");
    }
    assert!(sip(&format!("{}@foo.com", "a".repeat(256)), "").is_err());
    assert!(sip("sip:a@foo.com;transport=tcp", r#","transport":"TLS""#).is_err());
    assert_eq!(sip("a@b.c", r#","transport":"sctp""#).expect_err("").pointer, "/action/transport");
}

#[test]
fn call_headers_are_bounded() {
    let more = r#","callHeaders":[{"key":"one","value":"1"},{"key":"X-Two","value":null}]"#;
    let (connect, _) = sip("a@b.c", more).expect("legal");
    let headers: Vec<_> = connect.headers.iter().collect();
    assert_eq!(headers, [("X-one", "1"), ("X-Two", "")]);
    let big = "v".repeat(PRIVATE_HEADERS_BYTES_MAX);
    let more =
        format!(r#","callHeaders":[{{"key":"a","value":"1"}},{{"key":"b","value":"{big}"}}]"#);
    assert_eq!(sip("a@b.c", &more).expect_err("").pointer, "/action/callHeaders/1");
    let more = r#","callHeaders":[{"key":"a","value":"1\r\nVia: x"}]"#;
    assert_eq!(sip("a@b.c", more).expect_err("").pointer, "/action/callHeaders/0");
}

#[test]
fn refusals_point_at_the_culprit() {
    for (json, event, pointer) in [
        ("", Event::Ice, ""),
        ("[]", Event::Ice, ""),
        (r#"{"action":{"name":"hangup"}} x"#, Event::Ice, ""),
        (r#"{"instructions":[]}"#, Event::Ice, ""),
        (r#"{"action":[{"name":"hangup"}]}"#, Event::Ice, "/action"),
        (r#"{"action":{"name":"hangup"},"Action":{"name":"continue"}}"#, Event::Ice, ""),
        (r#"{"action":{}}"#, Event::Ice, "/action"),
        (r#"{"action":{"name":7}}"#, Event::Ice, "/action/name"),
        (r#"{"action":{"name":"hangup","hangupCause":3}}"#, Event::Ice, "/action/hangupCause"),
        (r#"{"action":{"name":"explode"}}"#, Event::Ice, "/action/name"),
        (r#"{"action":{"name":"continue"}}"#, Event::Ice, "/action/name"),
        (r#"{"action":{"name":"connectPstn"}}"#, Event::Ace, "/action/name"),
        (r#"{"action":{"name":"connectPstn","number":"0123"}}"#, Event::Ice, "/action/number"),
        (
            r#"{"action":{"name":"connectPstn","maxDuration":14401}}"#,
            Event::Ice,
            "/action/maxDuration",
        ),
        (r#"{"action":{"name":"connectPstn","maxDuration":0}}"#, Event::Ice, "/action/maxDuration"),
        (
            r#"{"action":{"name":"connectPstn","dialTimeout":1.5}}"#,
            Event::Ice,
            "/action/dialTimeout",
        ),
        (r#"{"action":{"name":"connectPstn","dtmf":"12"}}"#, Event::Ice, "/action/dtmf"),
        (r#"{"action":{"name":"connectPstn","amd":{"enabled":true}}}"#, Event::Ice, "/action/amd"),
        (r#"{"action":{"name":"connectPstn","cli":"bob"}}"#, Event::Ice, "/action/cli"),
        (r#"{"action":{"name":"connectSip"}}"#, Event::Ice, "/action"),
        (
            r#"{"instructions":[{"name":"setCookie","key":"a","value":"b"},{"name":"dance"}],
                "action":{"name":"hangup"}}"#,
            Event::Ice,
            "/instructions/1/name",
        ),
        (r#"{"instructions":{},"action":{"name":"hangup"}}"#, Event::Ice, "/instructions"),
    ] {
        assert_eq!(refused(json, event).0, pointer, "{json}");
    }
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for name in ["runMenu", "connectConf", "park", "connectMxp", "connectStream"] {
        let (_, why) = refused(&format!(r#"{{"action":{{"name":"{name}"}}}}"#), Event::Ice);
        assert_eq!(why, format!("{name} is not carried out by this version"));
    }
    for name in ["playFiles", "say", "startRecording", "answer", "sendDtmf", "stopRecording"] {
        let json =
            format!(r#"{{"instructions":[{{"name":"{name}"}}],"action":{{"name":"hangup"}}}}"#);
        let (pointer, why) = refused(&json, Event::Ice);
        assert_eq!(pointer, "/instructions/0/name");
        assert_eq!(why, format!("{name} is not carried out by this version"));
    }
}

#[test]
fn size_depth_and_counts_are_bounded() {
    let deep =
        format!(r#"{{"x":{}{},"action":{{"name":"hangup"}}}}"#, "[".repeat(31), "]".repeat(31));
    assert!(ice(&deep).is_ok());
    let deeper = "[".repeat(200_000);
    assert_eq!(refused(&deeper, Event::Ice).1, "an answer nests at most 32 deep");
    let quoted = format!(r#"{{"x":"{}\"[","action":{{"name":"hangup"}}}}"#, "[".repeat(100));
    assert!(ice(&quoted).is_ok());
    let long =
        format!(r#"{{"x":"{}","action":{{"name":"hangup"}}}}"#, "x".repeat(SCRIPT_BYTES_MAX));
    assert_eq!(refused(&long, Event::Ice).1, "an answer has at most 256 KiB");
    let many = r#"{"name":"setCookie","key":"a","value":"b"},"#.repeat(17);
    let many =
        format!(r#"{{"instructions":[{}],"action":{{"name":"hangup"}}}}"#, &many[..many.len() - 1]);
    assert_eq!(refused(&many, Event::Ice).0, "/instructions");
    let big = "v".repeat(COOKIES_BYTES_MAX);
    let big = format!(
        r#"{{"instructions":[{{"name":"setCookie","key":"a","value":"{big}"}}],
            "action":{{"name":"hangup"}}}}"#
    );
    assert_eq!(refused(&big, Event::Ice).0, "/instructions");
}
