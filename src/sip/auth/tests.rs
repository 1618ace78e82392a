//! Challenges, credentials and replays. The rows of the attack list that concern digest are
//! tests of their own.

use std::net::IpAddr;

use super::*;
use crate::base::time::Duration;
use crate::wire::sip::{Framing, Method};

const SHARD: ShardId = ShardId(3);
const REALM: &str = "edge.example";
const URI: &str = "sip:+15550100@edge.example";

struct World {
    authenticator: Authenticator,
    now: Instant,
    source: IpAddr,
    ha1: Ha1,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::from_nanos(5_000_000_000);
        let mut rng = Rng::from_number(seed);
        Self {
            authenticator: Authenticator::new(&mut rng, SHARD, REALM, 2, now),
            now,
            source: IpAddr::from([192, 0, 2, 7]),
            ha1: digest::ha1("alice", REALM, "secret"),
        }
    }

    fn challenge(&mut self, stale: bool) -> String {
        let mut buffer = [0; 2048];
        let mut writer = Writer::response(&mut buffer, 401, "Unauthorized");
        self.authenticator.challenge(self.now, self.source, stale, &mut writer);
        writer.header(HeaderName::Via, "SIP/2.0/UDP x;branch=z9hG4bK1");
        let length = writer.finish_empty().expect("fits");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    fn answer(&mut self, password: &str) -> String {
        let response = self.challenge(false);
        let response = Message::parse(response.as_bytes(), Framing::Datagram).expect("parses");
        let account = Account { username: "alice", password, realm: Some(REALM) };
        let answer = answer_challenge(&response, Method::Invite, URI, &account, "cafe");
        answer.expect("answerable").value.to_string()
    }

    fn verify(&mut self, authorization: &str) -> Verdict {
        let text = request(&[authorization]);
        self.verify_text(&text)
    }

    fn verify_text(&mut self, text: &str) -> Verdict {
        let request = Message::parse(text.as_bytes(), Framing::Datagram).expect("parses");
        let ha1 = self.ha1;
        self.authenticator.verify(self.now, self.source, &request, |username| {
            (username == "alice").then_some(ha1)
        })
    }
}

fn request(authorizations: &[&str]) -> String {
    let mut text = format!("INVITE {URI} SIP/2.0\r\n");
    for value in authorizations {
        text += &format!("Authorization: {value}\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn is_ok(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Ok { username } if username.as_str() == "alice")
}

fn is_malformed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Malformed { .. })
}

#[test]
fn a_challenge_offers_sha_256_first_and_is_answered_with_it() {
    let mut world = World::new(1);
    let text = world.challenge(true);
    let (sha, md5) = (text.find("algorithm=SHA-256"), text.find("algorithm=MD5"));
    assert!(sha.expect("sha") < md5.expect("md5"));
    assert_eq!(text.matches("qop=\"auth\", stale=true").count(), 2);
    assert!(!world.challenge(false).contains("stale"));
    let answer = world.answer("secret");
    assert!(answer.contains("algorithm=SHA-256"));
    assert!(is_ok(world.verify(&answer)));
}

#[test]
fn a_client_that_only_has_md5_is_let_in() {
    let mut world = World::new(2);
    let text = world.challenge(false);
    let nonce = text.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    let nonce = nonce.expect("nonce");
    let parts = Parts { method: "INVITE", uri: URI, nonce, nc: "0000000a", cnonce: "x" };
    let response = digest::response(Algorithm::Md5, &world.ha1, &parts);
    let authorization = format!(
        "Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{URI}\", \
         response=\"{response}\", cnonce=\"x\", nc=0000000a, qop=\"auth\""
    );
    assert!(is_ok(world.verify(&authorization)));
}

#[test]
fn wrong_password_and_unknown_user_look_alike() {
    let mut world = World::new(3);
    let proven = Verdict::Wrong { proven: true };
    let wrong = world.answer("Secret");
    assert_eq!(world.verify(&wrong), proven);
    let right = world.answer("secret");
    assert_eq!(world.verify(&right.replace("alice", "bob")), proven);
    let long = "a".repeat(65);
    assert_eq!(world.verify(&right.replace("alice", &long)), proven);
    world.source = IpAddr::from([192, 0, 2, 8]);
    let unproven = Verdict::Wrong { proven: false };
    assert_eq!(world.verify(&wrong), unproven, "the nonce was given to somebody else");
    assert_eq!(world.authenticator.remembered(), 0, "failures are not remembered");
}

#[test]
fn a_captured_request_is_worth_nothing() {
    let mut world = World::new(4);
    let answer = world.answer("secret");
    assert!(is_ok(world.verify(&answer)));
    world.now += Duration::from_secs(1);
    assert_eq!(world.verify(&answer), Verdict::Stale);
    world.now += Duration::from_secs(60);
    assert_eq!(world.verify(&answer), Verdict::Stale);
    assert_eq!(world.authenticator.remembered(), 0, "what expired is forgotten");
}

#[test]
fn a_nonce_is_of_one_source_shard_key_and_half_a_minute() {
    let mut world = World::new(5);
    let answer = world.answer("secret");
    world.source = IpAddr::from([192, 0, 2, 8]);
    assert_eq!(world.verify(&answer), Verdict::Stale);
    world.source = "::ffff:192.0.2.7".parse().expect("address");
    world.now += NONCE_LIFE - Duration::from_millis(1);
    assert!(is_ok(world.verify(&answer)));
    let answer = world.answer("secret");
    world.now += NONCE_LIFE;
    assert_eq!(world.verify(&answer), Verdict::Stale);

    let mut other = World::new(6);
    let foreign = other.answer("secret");
    assert_eq!(world.verify(&foreign), Verdict::Stale);
    // The same key on another shard: the shard's number is under the seal.
    let mut shard = World::new(5);
    let mut rng = Rng::from_number(5);
    shard.authenticator = Authenticator::new(&mut rng, ShardId(4), REALM, 2, shard.now);
    let foreign = shard.answer("secret");
    let mut world = World::new(5);
    assert_eq!(world.verify(&foreign), Verdict::Stale);
}

#[test]
fn a_forged_nonce_is_stale_and_no_more() {
    let mut world = World::new(7);
    for nonce in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(3000)] {
        let parts = Parts { method: "INVITE", uri: URI, nonce, nc: "00000001", cnonce: "x" };
        let response = digest::response(Algorithm::Md5, &world.ha1, &parts);
        let authorization = format!(
            "Digest username=\"alice\",realm=\"{REALM}\",nonce=\"{nonce}\",uri=\"{URI}\",\
             response=\"{response}\",cnonce=\"x\",nc=00000001,qop=auth"
        );
        assert_eq!(world.verify(&authorization), Verdict::Stale, "{nonce}");
    }
}

/// Signs with another count but the same nonce.
fn counted(world: &World, answer: &str, nc: &str) -> String {
    let nonce = answer.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    let nonce = nonce.expect("nonce");
    let parts = Parts { method: "INVITE", uri: URI, nonce, nc, cnonce: "x" };
    let response = digest::response(Algorithm::Sha256, &world.ha1, &parts);
    format!(
        "Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{URI}\", \
         response=\"{response}\", algorithm=SHA-256, cnonce=\"x\", nc={nc}, qop=auth"
    )
}

#[test]
fn counts_rise_strictly() {
    let mut world = World::new(8);
    let answer = world.answer("secret");
    for (nc, good) in [
        ("00000001", true),
        ("00000001", false),
        ("00000005", true),
        ("00000004", false),
        ("00000006", true),
        ("FFFFFFFF", true),
        ("ffffffff", false),
        ("00000007", false),
    ] {
        let signed = counted(&world, &answer, nc);
        let verdict = world.verify(&signed);
        assert_eq!(is_ok(verdict), good, "{nc}");
        assert!(good || verdict == Verdict::Stale);
    }
    for nc in ["00000000", "000000001", "1", "0000000g", "+0000001"] {
        let signed = counted(&world, &answer, nc);
        assert!(is_malformed(world.verify(&signed)), "{nc}");
    }
}

#[test]
fn a_full_memory_asks_again_and_empties_with_time() {
    let mut world = World::new(9);
    let answers: Vec<String> = (0..3).map(|_| world.answer("secret")).collect();
    assert!(is_ok(world.verify(&answers[0])));
    assert!(is_ok(world.verify(&answers[1])));
    assert_eq!(world.verify(&answers[2]), Verdict::Stale);
    world.now += NONCE_LIFE;
    let answer = world.answer("secret");
    assert!(is_ok(world.verify(&answer)));
    assert_eq!(world.authenticator.remembered(), 1);
}

#[test]
fn the_method_and_uri_are_under_the_seal() {
    let mut world = World::new(10);
    let answer = world.answer("secret");
    let other = request(&[&answer]).replace(&format!("INVITE {URI}"), "INVITE sip:b@edge.example");
    assert!(is_malformed(world.verify_text(&other)));
    let other = request(&[&answer]).replace("INVITE sip", "BYE sip");
    assert_eq!(world.verify_text(&other), Verdict::Wrong { proven: true });
    assert!(is_ok(world.verify(&answer)));
}

#[test]
fn algorithm_games_are_refused() {
    let mut world = World::new(11);
    let answer = world.answer("secret");
    for (from, to) in [
        ("algorithm=SHA-256", "algorithm=none"),
        ("algorithm=SHA-256", "algorithm=MD5-sess"),
        ("algorithm=SHA-256", "algorithm=SHA-256-sess"),
        ("algorithm=SHA-256", "algorithm=MD5"),
        ("qop=auth", "qop=auth-int"),
        (", qop=auth", ""),
        (", nc=00000001", ""),
        (", cnonce=\"cafe\"", ""),
        ("cnonce=\"cafe\"", "cnonce=\"\""),
        ("username=\"alice\"", "username=\"alice\", username=\"bob\""),
        ("username=\"alice\"", "username=\"alice\", realm=\"other\""),
        ("username=\"alice\"", "username=\"alice\", nonce=\"x\""),
        ("username=\"alice\"", "username*=UTF-8''alice"),
        ("username=\"alice\"", "username=alice"),
        ("realm=\"edge.example\", ", ""),
    ] {
        assert!(answer.contains(from), "{from}");
        let changed = answer.replacen(from, to, 1);
        assert!(is_malformed(world.verify(&changed)), "{to}");
    }
    let short = &answer[answer.find("response=\"").expect("response") + 10..][..64];
    for response in ["", &short[..63], &format!("{short}0")] {
        let changed = answer.replace(short, response);
        assert!(is_malformed(world.verify(&changed)), "{response}");
    }
    assert!(is_ok(world.verify(&answer.replace("SHA-256", "sha-256"))));
}

#[test]
fn only_our_realm_counts_and_only_once() {
    let mut world = World::new(12);
    assert_eq!(world.verify_text(&request(&[])), Verdict::Missing);
    assert_eq!(world.verify("Basic YWxpY2U6c2VjcmV0"), Verdict::Missing);
    assert_eq!(world.verify("Digest username=\"a\", realm=\"other\""), Verdict::Missing);
    let answer = world.answer("secret");
    let twice = request(&[&answer, &answer]);
    assert!(is_malformed(world.verify_text(&twice)));
    let beside = request(&["Digest username=\"a\", realm=\"other\"", "Basic x", &answer]);
    assert!(is_ok(world.verify_text(&beside)));
}

#[test]
fn torture_inputs_never_authenticate() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/torture/derived-open");
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: {folder} is not here");
        return;
    };
    let mut world = World::new(13);
    world.authenticator.set_realm("edge");
    world.ha1 = digest::ha1("t1", "edge", "pw");
    let mut seen = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
        if !name.starts_with("digest-") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        let Ok(request) = Message::parse(&bytes, Framing::Datagram) else {
            continue;
        };
        seen += 1;
        let ha1 = world.ha1;
        let lookup = |user: &str| (user == "t1").then_some(ha1);
        let verdict = world.authenticator.verify(world.now, world.source, &request, lookup);
        assert!(matches!(
            verdict,
            Verdict::Missing | Verdict::Malformed { .. } | Verdict::Wrong { .. }
        ));
        println!("{name}: {verdict:?}");
    }
    assert!(seen >= 9, "{seen}");
}

fn asked(status: u16, headers: &[&str]) -> String {
    let mut text = format!("SIP/2.0 {status} x\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn answered(text: &str, realm: Option<&str>) -> Option<Answer> {
    let response = Message::parse(text.as_bytes(), Framing::Datagram).expect("parses");
    let account = Account { username: "u", password: "p", realm };
    answer_challenge(&response, Method::Invite, "sip:a@b", &account, "c0")
}

#[test]
fn the_strongest_challenge_that_we_have_is_answered() {
    let text = asked(
        401,
        &[
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", algorithm=SHA-512-256, \
             qop=\"auth\"",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"3\", algorithm=SHA-256, \
             qop=\"auth-int,auth\", opaque=\"o\", stale=TRUE",
        ],
    );
    let answer = answered(&text, None).expect("answerable");
    assert_eq!(answer.header, HeaderName::Authorization);
    assert!(answer.value.contains("nonce=\"3\"") && answer.value.contains("opaque=\"o\""));
    assert!(answer.value.contains("qop=auth, nc=00000001"));
    assert!(answer.stale);

    let text = asked(407, &["Proxy-Authenticate: Digest realm=\"r\", nonce=\"1\""]);
    let answer = answered(&text, Some("r")).expect("answerable");
    assert_eq!(answer.header, HeaderName::ProxyAuthorization);
    assert!(!answer.value.contains("qop"));
    assert!(answered(&text, Some("another")).is_none(), "no password for a foreign realm");
}

#[test]
fn what_cannot_be_answered_is_not() {
    for header in [
        "WWW-Authenticate: Basic realm=\"r\"",
        "WWW-Authenticate: Digest realm=\"r\"",
        "WWW-Authenticate: Digest nonce=\"1\"",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=MD5-sess",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", qop=\"auth-int\"",
        "Proxy-Authenticate: Digest realm=\"r\", nonce=\"1\"",
    ] {
        assert!(answered(&asked(401, &[header]), None).is_none(), "{header}");
    }
    let long = "n".repeat(1500);
    let header = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{long}\"");
    assert!(answered(&asked(401, &[&header]), None).is_none());
    let good = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"";
    assert!(answered(&asked(403, &[good]), None).is_none());
}

#[test]
fn a_peer_that_asks_forever_is_left_alone() {
    let mut retries = Retries::default();
    assert!(retries.permit(false));
    assert!(!retries.permit(false));
    assert!(retries.permit(true));
    assert!(!retries.permit(true));
    let mut retries = Retries::default();
    assert!(retries.permit(true));
    assert!(retries.permit(true));
    assert!(!retries.permit(true));
}

#[test]
fn equipment_that_reads_md5_only_is_offered_md5_only() {
    let mut world = World::new(77);
    world.authenticator.set_algorithms(&[Algorithm::Md5]);
    let challenge = world.challenge(false);
    assert!(!challenge.contains("algorithm"), "{challenge}");
    assert!(!challenge.contains("SHA-256"), "{challenge}");
    let answer = world.answer("secret");
    assert!(matches!(world.verify(&answer), Verdict::Ok { .. }));
    // An algorithm that was not offered is not taken, whatever it proves.
    world.authenticator.set_algorithms(&[Algorithm::Sha256]);
    assert!(matches!(world.verify(&answer), Verdict::Malformed { .. }));
}
