//! An application decides: every callback is signed, answered by Python, and carried out.

use std::time::Duration;

use serde_json::Value;

use super::backend::{Backend, Bad, Manner};
use super::edge::{CARRIER, CUSTOMER, Edge, KEY, OWN, Settings, WORLD, leg, machine, wait_for};
use super::peer::{Sipp, installed};

const PSTN: &str = r#"{"action": {"name": "connectPstn"}}"#;
const CONTINUE: &str = r#"{"action": {"name": "continue"}}"#;
const HANG_UP: &str = r#"{"action": {"name": "hangup"}}"#;

/// What a backend's failure costs the caller.
const CALLBACK_FAILED: &str = "503";

/// A call that is answered and talks for a second; SIPp's callee has `checks`.
fn talk(edge: &Edge, callee: Sipp) {
    let callee = callee.with(&["-rtp_echo"]).start(CUSTOMER);
    Sipp::new("uac", CUSTOMER)
        .word("DURATION", "1000")
        .word("HEADERS", "X-Account: 42")
        .start(&edge.target())
        .succeed();
    callee.succeed();
}

fn refused(edge: &Edge, code: &str) {
    Sipp::new("uac_refused", CUSTOMER).word("CODE", code).start(&edge.target()).succeed();
}

/// The events of one call, by kind, and that they agree about it.
fn of_one_call(backend: &Backend, kinds: &[&str]) -> Vec<Value> {
    let events: Vec<Value> = kinds.iter().map(|kind| backend.wait(kind, 1).remove(0)).collect();
    for event in &events {
        assert_eq!(event["callid"], events[0]["callid"], "{events:#?}");
        assert_eq!(event["applicationKey"], KEY, "{event:#?}");
        assert_eq!(event["version"], 1, "{event:#?}");
    }
    // Nothing comes again afterwards.
    let more = || (backend.of("dice").len() > 1).then_some(());
    assert!(wait_for(Duration::from_millis(700), more).is_none(), "{:#?}", backend.of("dice"));
    events
}

#[test]
fn connect_pstn_with_ace_and_dice() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let backend = Backend::start(PSTN, CONTINUE);
    let callee = Sipp::new("uas", CARRIER);
    let edge = Settings::office("pstn", &backend.toml(), &[callee.uri()]).start();
    talk(&edge, callee);
    let events = of_one_call(&backend, &["ice", "ace", "dice"]);
    let (ice, dice) = (&events[0], &events[2]);
    assert_eq!(ice["cli"], OWN.trim_start_matches('+'), "{ice:#?}");
    assert_eq!(ice["to"]["type"], "number", "{ice:#?}");
    assert_eq!(ice["to"]["endpoint"], WORLD, "{ice:#?}");
    assert_eq!(ice["sip"]["sourceIp"], CUSTOMER, "{ice:#?}");
    assert_eq!(ice["sip"]["trunk"], "office", "{ice:#?}");
    assert_eq!((&dice["result"], &dice["reason"]), (&"ANSWERED".into(), &"CALLERHANGUP".into()));
    let duration = dice["duration"].as_u64().expect("seconds");
    assert!((1..=2).contains(&duration), "{dice:#?}");
    let cdrs = edge.wait_cdrs(2);
    let a = leg(&cdrs, "a");
    assert_eq!(a["call_id"], dice["callid"], "{a:#?}");
    assert_eq!(a["bill_ms"].as_u64().expect("ms").div_ceil(1000), duration, "{a:#?}");
    edge.stop();
}

#[test]
fn connect_sip_carries_private_headers() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let callee = Sipp::new("uas", "127.0.0.5").word("CHECKS", concat!(
        r#"<ereg regexp="gold" search_in="hdr" header="X-Plan:" check_it="true" assign_to="k1"/>"#,
        r#"<ereg regexp="^INVITE sip:desk@" search_in="msg" check_it="true" assign_to="k2"/>"#,
    ));
    let uri = callee.uri().replace("sip:", "desk@");
    let ice = format!(
        "{{\"instructions\": [{{\"name\": \"setCookie\", \"key\": \"seen\", \"value\": \"1\"}}],
          \"action\": {{\"name\": \"connectSip\", \"destination\": {{\"endpoint\": \"{uri}\"}},
          \"callHeaders\": [{{\"key\": \"X-Plan\", \"value\": \"gold\"}}]}}}}"
    );
    let backend = Backend::start(&ice, CONTINUE);
    let edge = Settings::office("connect-sip", &backend.toml(), &[]).start();
    talk(&edge, callee);
    let events = of_one_call(&backend, &["ice", "ace", "dice"]);
    let headers = &events[0]["callHeaders"];
    assert_eq!(headers[0]["key"], "X-Account", "{headers:#?}");
    assert_eq!(headers[0]["value"], "42", "{headers:#?}");
    for event in &events[1..] {
        assert_eq!(event["cookies"][0]["key"], "seen", "{event:#?}");
    }
    edge.stop();
}

#[test]
fn hang_up_before_and_after_the_answer() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let backend = Backend::start(HANG_UP, HANG_UP);
    let callee = Sipp::new("uas", CARRIER);
    let edge = Settings::office("hangup", &backend.toml(), &[callee.uri()]).start();
    refused(&edge, "603");
    let dice = backend.wait("dice", 1).remove(0);
    assert_eq!(dice["reason"], "MANAGERHANGUP", "{dice:#?}");
    assert_ne!(dice["result"], "ANSWERED", "{dice:#?}");
    assert!(dice.get("duration").is_none_or(|duration| duration == 0), "{dice:#?}");
    backend.answer_ice(PSTN);
    let callee = callee.start(CUSTOMER);
    // The callee has answered, but the caller was never connected: it is refused.
    refused(&edge, "480");
    callee.succeed();
    let dice = backend.wait("dice", 2);
    assert_eq!(dice[1]["reason"], "MANAGERHANGUP", "{dice:#?}");
    assert_ne!(dice[0]["callid"], dice[1]["callid"]);
    backend.answer_ace(CONTINUE);
    assert_eq!(backend.of("ace").len(), 1);
    edge.stop();
}

#[test]
fn a_wrong_secret_is_noticed_by_the_backend() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let backend = Backend::with_secret(PSTN, CONTINUE, "JViE5vDor0Sw3WllZka15Q==");
    let edge = Settings::office("secret", &backend.toml(), &[]).start();
    refused(&edge, CALLBACK_FAILED);
    assert!(backend.events().is_empty(), "{:#?}", backend.events());
    assert!(backend.errors().contains("refused: wrong signature"), "{}", backend.errors());
}

/// What becomes of a call whose backend answers ICE in that manner: the DiCE reason in its record.
fn misbehaves(name: &str, manner: Manner, code: &str, reason: &str) -> Bad {
    let bad = Bad::start(manner);
    let callback = format!("{{ primary = \"{}\" }}", bad.url());
    let mut settings = Settings::office(name, &callback, &["sip:127.0.0.2:9".to_owned()]);
    settings.budget = 1100;
    settings.drain = 0;
    let edge = settings.start();
    refused(&edge, code);
    let cdrs = edge.wait_cdrs(1);
    let a = leg(&cdrs, "a");
    assert_eq!(a["reason"], reason, "{a:#?}");
    assert_eq!(a["result"], "FAILED", "{a:#?}");
    assert_ne!(a["note"], "", "{a:#?}");
    edge.settle();
    bad
}

#[test]
fn backends_that_misbehave() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let failed = CALLBACK_FAILED;
    misbehaves("status", Manner::Says(500, "{}"), failed, "CALLBACKERROR");
    misbehaves("sleeps", Manner::Sleeps, failed, "CALLBACKERROR");
    let bad = misbehaves("no-json", Manner::Says(200, "connect!"), failed, "INVALIDSVAMLACTION");
    let told = wait_for(Duration::from_secs(5), || bad.of("notify").into_iter().next());
    let told = told.expect("the application is told that its answer is illegal");
    assert!(told["errorMsg"].as_str().is_some_and(|m| m.contains("Illegal SVAML")), "{told:#?}");
    let unknown = r#"{"action": {"name": "teleport"}}"#;
    misbehaves("unknown", Manner::Says(200, unknown), failed, "INVALIDSVAMLACTION");
}

#[test]
fn the_fallback_serves_when_the_primary_is_dead() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let bad = Bad::start(Manner::Says(502, ""));
    let backend = Backend::start(PSTN, CONTINUE);
    for primary in ["http://127.0.0.1:9/dead".to_owned(), bad.url()] {
        let callee = Sipp::new("uas", CARRIER);
        let callback = format!("{{ primary = \"{primary}\", fallback = \"{}\" }}", backend.url());
        let edge = Settings::office("fallback", &callback, &[callee.uri()]).start();
        let before = backend.of("dice").len();
        talk(&edge, callee);
        backend.wait("dice", before + 1);
        edge.stop();
    }
    assert!(bad.asked() >= 1);
    assert_eq!(backend.of("ice").len(), 2);
}
