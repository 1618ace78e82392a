use std::sync::Arc;

use super::*;
use crate::base::bounded::{List, Text, text};
use crate::base::id::ShardId;
use crate::base::pool::Key;
use crate::control::store::Entry;
use crate::crypto::callback_signature::{Signed, SigningKey, split_authorization};
use crate::directory::{Directory, Ha1};
use crate::link::ask::{Ace, Dialled, Evidence, Ice};
use crate::link::cdr::{Reason, Result_};
use crate::link::svaml::HangUpCause;
use crate::link::{Cdr, Dice, PrivateHeaders, Records};

const SECRET: &str = "BeIukql3pTKJ8RGL5zo0DA==";
const WALL: WallTime = WallTime(1_795_466_426_123);
const PSTN: &str = r#"{"action":{"name":"connectPstn"}}"#;

struct World {
    desk: Desk,
    now: Instant,
    calls: u64,
}

fn application(key: &str, primary: Option<&str>, fallback: Option<&str>) -> Application {
    Application {
        key: text(key).expect("fits"),
        secret: SECRET.to_owned(),
        ha1: Ha1 { md5: [0; 32], sha256: [0; 64] },
        callback_primary: primary.map(str::to_owned),
        callback_fallback: fallback.map(str::to_owned),
    }
}

fn directory() -> Directory {
    let applications = vec![
        application("both", Some("https://one.example/ice"), Some("https://two.example/ice")),
        application("single", Some("https://three.example"), None),
        application("none", None, None),
    ];
    Directory { applications, ..Directory::default() }
}

impl World {
    fn new() -> Self {
        let config = DeskConfig { questions_max: 4, deliveries_max: 2, ..DeskConfig::default() };
        let desk = Desk::new(config, Arc::new(directory()), Rng::from_number(1));
        Self { desk, now: Instant::from_nanos(1_000_000_000), calls: 0 }
    }

    fn pass(&mut self, ms: u64) -> Vec<Errand> {
        self.now += Duration::from_millis(ms);
        let mut out = Vec::new();
        self.desk.expire(self.now, WALL, &mut out);
        out
    }

    fn ask(&mut self, application: &str, question: Question) -> Vec<Errand> {
        self.calls += 1;
        let id = CallId::new(self.calls, [0; 10]);
        self.ask_of(id, application, question)
    }

    fn ask_of(&mut self, id: CallId, application: &str, question: Question) -> Vec<Errand> {
        let call = CallRef { shard: ShardId(3), key: Key::from_u64(self.calls) };
        let application = text(application).expect("fits");
        let ask = Ask { call, sequence: 1, id, application, at: WALL, question };
        let mut out = Vec::new();
        self.desk.ask(self.now, WALL, ask, &mut out);
        out
    }

    fn reply(&mut self, id: ErrandId, status: u16, body: &str) -> Vec<Errand> {
        let mut out = Vec::new();
        let outcome = PostOutcome::Replied { status, body: body.as_bytes().to_vec() };
        self.desk.posted(self.now, WALL, id, outcome, &mut out);
        out
    }

    fn fail(&mut self, id: ErrandId) -> Vec<Errand> {
        let mut out = Vec::new();
        let why = PostFailure::Connect("refused".to_owned());
        self.desk.posted(self.now, WALL, id, PostOutcome::Failed { why }, &mut out);
        out
    }

    fn due(&mut self, rows: Vec<OutboxRow>) -> Vec<Errand> {
        let mut out = Vec::new();
        self.desk.due(self.now, WALL, rows, &mut out);
        out
    }
}

fn ice() -> Question {
    let evidence = Evidence {
        source: "192.0.2.1:5060".parse().expect("address"),
        transport: crate::base::packet::Transport::Udp,
        trunk: Name::new(),
        access_entry: Text::new(),
        digest_user: Name::new(),
        from: Text::new(),
        request_uri: Text::new(),
        sip_call_id: Text::new(),
    };
    Question::Ice(Ice {
        cli: text("12015555555").expect("fits"),
        to: Dialled::Number(text("+12017777777").expect("fits")),
        rdnis: Text::new(),
        headers: PrivateHeaders::default(),
        evidence,
    })
}

fn ace() -> Question {
    Question::Ace(Ace { to: Text::new() })
}

fn row(n: u64, application: &str) -> OutboxRow {
    OutboxRow {
        key: OutboxKey { call_id: CallId::new(n, [1; 10]), event: EventKind::Dice },
        application: application.to_owned(),
        body: b"{}".to_vec(),
        attempts: 0,
        created_at: WALL,
        next_at: WALL,
    }
}

fn post(errands: &[Errand]) -> &Post {
    match errands {
        [Errand::Post(post)] => post,
        other => panic!("one post expected: {other:?}"),
    }
}

fn answer(errands: &[Errand]) -> &Answer {
    match errands {
        [Errand::Answer { shard: ShardId(3), answer }, ..] => answer,
        other => panic!("an answer expected: {other:?}"),
    }
}

#[test]
fn a_question_is_posted_signed_and_answered() {
    let mut world = World::new();
    let out = world.ask("both", ice());
    let sent = post(&out);
    assert_eq!(sent.url, "https://one.example/ice");
    assert_eq!(sent.headers[0], ("content-type", "application/json".to_owned()));
    assert_eq!(sent.headers[1], ("x-timestamp", "2026-11-23T20:40:26.123Z".to_owned()));
    let (key, signature) = split_authorization(&sent.headers[2].1).expect("splits");
    assert!(sent.headers[2].1.starts_with("application both:"));
    assert_eq!(key, "both");
    let signed = Signed {
        method: "POST",
        body: &sent.body,
        content_type: "application/json",
        timestamp: "2026-11-23T20:40:26.123Z",
        path: "/ice",
    };
    assert!(SigningKey::from_secret(SECRET).expect("decodes").verify(&signed, signature));
    let body: serde_json::Value = serde_json::from_slice(&sent.body).expect("JSON");
    assert_eq!((&body["event"], &body["applicationKey"]), (&"ice".into(), &"both".into()));
    let id = sent.id;
    assert!(world.pass(40).is_empty());
    let out = world.reply(id, 200, PSTN);
    let answer = answer(&out);
    assert!(matches!(answer.outcome, Ok(Script { action: Action::ConnectPstn(_) })));
    assert_eq!((answer.took_ms, out.len()), (40, 1));
    assert_eq!(world.desk.next_deadline(), None);
    assert_eq!(world.desk.in_flight(), 0);
}

#[test]
fn the_fallback_follows_at_once_and_within_the_budget() {
    for failure in ["status", "connect", "timeout"] {
        let mut world = World::new();
        let start = world.now;
        let out = world.ask("both", ice());
        let first = post(&out).clone();
        let out = match failure {
            "status" => world.reply(first.id, 500, PSTN),
            "connect" => world.fail(first.id),
            _ => world.pass(3_000),
        };
        let second = post(&out);
        assert_eq!(second.url, "https://two.example/ice");
        assert_eq!(second.body, first.body);
        assert!(second.deadline <= start + Duration::from_secs(5));
        let out = world.reply(second.id, 204, PSTN);
        assert!(answer(&out).outcome.is_ok(), "{failure}");
    }
}

#[test]
fn silence_everywhere_is_answered_when_the_budget_ends() {
    let mut world = World::new();
    let out = world.ask("both", ice());
    let first = post(&out).id;
    let out = world.pass(3_000);
    let second = post(&out).id;
    assert!(world.pass(1_999).is_empty());
    let out = world.pass(1);
    assert_eq!(answer(&out).outcome, Err(Failure::Unreachable));
    assert_eq!(answer(&out).took_ms, 5_000);
    // What comes late changes nothing.
    for late in [first, second] {
        assert!(world.reply(late, 200, PSTN).is_empty());
    }
    assert_eq!(world.desk.stats().late, 2);
    assert_eq!(world.desk.in_flight(), 0);
}

#[test]
fn who_has_no_url_is_told_at_once() {
    let mut world = World::new();
    for application in ["none", "unknown"] {
        let out = world.ask(application, ice());
        assert_eq!(answer(&out).outcome, Err(Failure::NoCallback));
    }
}

#[test]
fn illegal_answers_are_reported_once_and_not_repeated_elsewhere() {
    let mut world = World::new();
    let out = world.ask("both", ice());
    let id = post(&out).id;
    let out = world.reply(id, 200, r#"{"action":{"name":"connectPstn","maxDuration":99999}}"#);
    assert_eq!(answer(&out).outcome, Err(Failure::IllegalSvaml));
    let notice = post(&out[1..]).clone();
    assert_eq!((notice.kind, notice.url.as_str()), (EventKind::Notify, "https://one.example/ice"));
    let body: serde_json::Value = serde_json::from_slice(&notice.body).expect("JSON");
    assert_eq!((&body["type"], &body["errorCode"]), (&"callingerror".into(), &40001.into()));
    let message = body["errorMsg"].as_str().expect("text");
    assert!(message.contains("/action/maxDuration"), "{message}");
    assert!(world.fail(notice.id).is_empty());
    assert_eq!(world.desk.in_flight(), 0);
}

#[test]
fn an_empty_answer_is_continue_for_ace_only() {
    let mut world = World::new();
    let out = world.ask("single", ace());
    let id = post(&out).id;
    let out = world.reply(id, 200, " \n");
    assert_eq!(answer(&out).outcome, Ok(Script { action: Action::Continue }));
    let out = world.ask("single", ice());
    let id = post(&out).id;
    let out = world.reply(id, 200, "");
    assert_eq!(answer(&out).outcome, Err(Failure::IllegalSvaml));
}

#[test]
fn a_dead_primary_is_passed_over_and_probed() {
    let mut world = World::new();
    for _ in 0..5 {
        let out = world.ask("both", ice());
        assert_eq!(post(&out).url, "https://one.example/ice");
        let out = world.fail(post(&out).id);
        world.reply(post(&out).id, 200, PSTN);
    }
    assert_eq!(world.desk.dead_primaries().count(), 1);
    let out = world.ask("both", ice());
    assert_eq!(post(&out).url, "https://two.example/ice");
    // When the fallback fails too, the primary still is tried.
    let out = world.fail(post(&out).id);
    assert_eq!(post(&out).url, "https://one.example/ice");
    world.fail(post(&out).id);
    world.pass(30_000);
    let out = world.ask("both", ice());
    assert_eq!(post(&out).url, "https://one.example/ice", "the probe");
    let probe = post(&out).id;
    let out = world.ask("both", ice());
    assert_eq!(post(&out).url, "https://two.example/ice", "one probe at a time");
    world.reply(post(&out).id, 200, PSTN);
    world.reply(probe, 200, PSTN);
    let out = world.ask("both", ice());
    assert_eq!(post(&out).url, "https://one.example/ice");
    assert_eq!(world.desk.dead_primaries().count(), 0);
}

#[test]
fn a_dead_backend_fills_only_its_own_share() {
    let mut world = World::new();
    for _ in 0..4 {
        post(&world.ask("both", ice()));
    }
    let out = world.ask("both", ice());
    assert_eq!(answer(&out).outcome, Err(Failure::Unreachable));
    let out = world.ask("single", ice());
    let id = post(&out).id;
    assert!(answer(&world.reply(id, 200, PSTN)).outcome.is_ok());
    let mut answers = 0;
    for _ in 0..50 {
        answers += world.pass(100).iter().filter(|e| matches!(e, Errand::Answer { .. })).count();
    }
    assert_eq!(answers, 4);
    post(&world.ask("both", ice()));
}

fn connect_sip(endpoint: &str) -> String {
    format!(r#"{{"action":{{"name":"connectSip","destination":{{"endpoint":"{endpoint}"}}}}}}"#)
}

fn targets(answer: &Answer) -> Vec<SocketAddr> {
    match &answer.outcome {
        Ok(Script { action: Action::ConnectSip(connect) }) => connect.targets.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn hosts_are_resolved_before_the_answer() {
    let mut world = World::new();
    let out = world.ask("single", ice());
    let out = world.reply(post(&out).id, 200, &connect_sip("a@192.0.2.9"));
    assert_eq!(targets(answer(&out)), ["192.0.2.9:5060".parse().expect("address")]);
    let out = world.ask("single", ice());
    world.pass(10);
    let out = world.reply(post(&out).id, 200, &connect_sip("a@pbx.example:5070"));
    let [Errand::Resolve { id, host, deadline }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((host.name.as_str(), host.port), ("pbx.example", Some(5070)));
    assert_eq!(*deadline, world.now + Duration::from_millis(4_990));
    let addresses: Vec<SocketAddr> =
        (1..=20).map(|n| SocketAddr::from(([192, 0, 2, n], 5070))).collect();
    let mut out = Vec::new();
    world.desk.resolved(world.now, *id, &addresses, &mut out);
    assert_eq!(targets(answer(&out)), addresses[..8], "as many as a leg tries");
    world.desk.resolved(world.now, *id, &addresses, &mut out);
    assert_eq!(out.len(), 1, "once");
}

#[test]
fn a_name_that_does_not_resolve_in_time_leaves_no_targets() {
    let mut world = World::new();
    let out = world.ask("single", ice());
    world.reply(post(&out).id, 200, &connect_sip("a@slow.example"));
    let out = world.pass(5_000);
    assert!(targets(answer(&out)).is_empty());
    assert_eq!((world.desk.in_flight(), world.desk.stats().unresolved), (0, 1));
}

#[test]
fn cookies_come_back_in_later_events_of_the_call() {
    let mut world = World::new();
    let id = CallId::new(77, [0; 10]);
    let out = world.ask_of(id, "single", ice());
    let set = r#"{"instructions":[{"name":"setCookie","key":"a","value":"1"},
        {"name":"setCookie","key":"b","value":"2"}],"action":{"name":"connectPstn"}}"#;
    world.reply(post(&out).id, 200, set);
    let out = world.ask_of(id, "single", ace());
    let body: serde_json::Value = serde_json::from_slice(&post(&out).body).expect("JSON");
    assert_eq!(body["cookies"][1]["key"], "b");
    let again = r#"{"instructions":[{"name":"setCookie","key":"a","value":"9"}],
        "action":{"name":"continue"}}"#;
    world.reply(post(&out).id, 200, again);
    let Entry::Ended { outbox: Some(row), .. } = world.desk.ended(WALL, &records(id)) else {
        panic!("an event is due")
    };
    let body: serde_json::Value = serde_json::from_slice(&row.body).expect("JSON");
    assert_eq!(body["cookies"][0]["value"], "9");
    assert_eq!(body["cookies"].as_array().map(Vec::len), Some(2));
    assert!(world.desk.cookies.is_empty(), "forgotten with the call");
    // Over the call's whole life there are 1024 bytes.
    let out = world.ask_of(id, "single", ice());
    let big = "v".repeat(1000);
    let set = format!(
        r#"{{"instructions":[{{"name":"setCookie","key":"a","value":"{big}"}}],
            "action":{{"name":"hangup"}}}}"#
    );
    assert!(answer(&world.reply(post(&out).id, 200, &set)).outcome.is_ok());
    let out = world.ask_of(id, "single", ice());
    let set = set.replace("\"a\"", "\"other key of twenty-five\"");
    assert_eq!(answer(&world.reply(post(&out).id, 200, &set)).outcome, Err(Failure::IllegalSvaml));
}

fn records(id: CallId) -> Records {
    let dice = Dice {
        application: text("single").expect("fits"),
        from: text("private").expect("fits"),
        to: Dialled::Number(text("+12017777777").expect("fits")),
        result: Result_::Busy,
        reason: Reason::Busy,
        duration: None,
        at: WALL,
    };
    let mut cdrs = List::new();
    cdrs.push(Cdr::default());
    let call = CallRef { shard: ShardId(3), key: Key::from_u64(1) };
    Records { call, id, cdrs, dice: Some(dice) }
}

#[test]
fn records_become_entries_with_the_calls_result() {
    let mut world = World::new();
    let id = CallId::new(5, [0; 10]);
    let Entry::Answered { dice: Some(dice), .. } = world.desk.answered(&records(id)) else {
        panic!("a journal entry")
    };
    assert_eq!(dice.application, "single");
    let Entry::Ended { cdrs, outbox, .. } = world.desk.ended(WALL, &records(id)) else { panic!() };
    assert_eq!((cdrs[0].result, cdrs[0].node.as_str()), (Result_::Busy, "edge"));
    assert!(outbox.is_some());
    let silent = Records { dice: None, ..records(id) };
    assert!(matches!(world.desk.ended(WALL, &silent), Entry::Ended { outbox: None, .. }));
}

#[test]
fn deliveries_are_retried_ever_more_slowly_and_given_up() {
    let mut world = World::new();
    let mut current = row(1, "single");
    let mut pauses = Vec::new();
    for _ in 0..14 {
        let out = world.due(vec![current.clone()]);
        let out = world.fail(post(&out).id);
        let [Errand::Retry { attempts, at, .. }] = &out[..] else { panic!("{out:?}") };
        current.attempts = *attempts;
        assert!(world.due(vec![current.clone()]).is_empty(), "not before the store has noted it");
        world.desk.settled(current.key);
        pauses.push(at.0 - WALL.0);
    }
    assert!((500..=1_000).contains(&pauses[0]), "{pauses:?}");
    assert!((4_000..=8_000).contains(&pauses[3]), "{pauses:?}");
    assert!((450_000..=900_000).contains(&pauses[13]), "{pauses:?}");
    current.created_at = WallTime(WALL.0 - 3 * 24 * 3_600_000);
    let out = world.due(vec![current.clone()]);
    let out = world.reply(post(&out).id, 503, "");
    assert!(matches!(&out[..], [Errand::Dead { why, .. }] if why.contains("503")), "{out:?}");
    let out = world.due(vec![row(2, "single")]);
    let out = world.reply(post(&out).id, 200, "");
    assert!(matches!(&out[..], [Errand::Delivered(_)]));
}

#[test]
fn deliveries_keep_to_their_share_and_are_not_doubled() {
    let mut world = World::new();
    let out = world.due(vec![row(1, "single"), row(1, "single")]);
    assert_eq!(out.len(), 1);
    let out = world.due(vec![row(2, "single"), row(3, "single"), row(4, "both")]);
    let posts = out.iter().filter(|errand| matches!(errand, Errand::Post(_))).count();
    assert_eq!(posts, 2, "one more of this application, one of the other");
    // Questions have a share of their own.
    post(&world.ask("single", ice()));
    let out = world.due(vec![row(9, "none")]);
    assert!(matches!(&out[..], [Errand::Retry { .. }]), "{out:?}");
}

#[test]
fn a_new_snapshot_is_in_force_for_the_next_try() {
    let mut world = World::new();
    let out = world.ask("both", ice());
    let id = post(&out).id;
    let mut changed = directory();
    changed.applications.retain(|application| application.key.as_str() != "both");
    world.desk.publish(Arc::new(changed));
    let out = world.fail(id);
    assert_eq!(answer(&out).outcome, Err(Failure::Unreachable), "no key to sign with");
    let out = world.ask("both", ice());
    assert_eq!(answer(&out).outcome, Err(Failure::NoCallback));
}

#[test]
fn hang_up_causes_travel() {
    let mut world = World::new();
    let out = world.ask("single", ice());
    let out = world.reply(post(&out).id, 200, r#"{"action":{"name":"hangup","hangupCause":1}}"#);
    let busy = Script { action: Action::HangUp(HangUpCause::Busy) };
    assert_eq!(answer(&out).outcome, Ok(busy));
}
