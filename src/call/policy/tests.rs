#![expect(clippy::cast_possible_truncation, reason = "small random numbers")]

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::base::bounded::text;
use crate::base::rng::Rng;
use crate::directory::{AccessTrie, Credential, CredentialList, MediaSecurity, Numbers};

const OFFICE: &str = "192.0.2.10:5060";
const CARRIER: &str = "198.51.100.1:5060";
const STRANGER: &str = "203.0.113.66:5060";

fn name(value: &str) -> Name {
    text(value).expect("fits")
}

fn ha1(fill: u8) -> Ha1 {
    Ha1 { md5: [fill; 32], sha256: [fill; 64] }
}

fn application(key: &str, fill: u8) -> Application {
    Application {
        key: name(key),
        secret: String::new(),
        ha1: ha1(fill),
        callback_primary: None,
        callback_fallback: None,
    }
}

fn trunk(trunk_name: &str, access_lists: &[u32], credential_lists: &[u32]) -> Trunk {
    Trunk {
        name: name(trunk_name),
        application: name("app"),
        domain: format!("{trunk_name}.edge.example"),
        access_lists: access_lists.to_vec(),
        credential_lists: credential_lists.to_vec(),
        application_credentials: false,
        origination: Vec::new(),
        calls_max: None,
        calls_per_second_max: None,
        allowed_destinations: vec!["1".to_owned(), "46".to_owned()],
        transports: vec![Transport::Udp, Transport::Tcp],
        media_security: MediaSecurity::Allowed,
        nat: false,
        usage: Arc::default(),
    }
}

fn number(digits: &str, owner: &str, inbound: Inbound) -> Number {
    Number { number: digits.to_owned(), application: name(owner), inbound }
}

fn directory() -> Directory {
    let entry = |list, address: &str, prefix| AccessEntry {
        list,
        list_name: name(&format!("list-{list}")),
        network: address.parse().expect("address"),
        prefix,
    };
    let credential = |user: &str, fill| Credential { username: name(user), ha1: ha1(fill) };
    let list = |list_name: &str, credentials| CredentialList { name: name(list_name), credentials };
    let mut keyed = trunk("keyed", &[], &[]);
    keyed.application_credentials = true;
    let mut orphan = trunk("orphan", &[0], &[]);
    orphan.application = name("nobody");
    Directory {
        host: "edge.example".to_owned(),
        applications: vec![application("app", 1), application("other", 2)],
        trunks: vec![
            trunk("listed", &[0], &[]),
            trunk("digest", &[], &[0]),
            trunk("both", &[0], &[0]),
            keyed,
            trunk("open", &[], &[]),
            orphan,
        ],
        credential_lists: vec![
            list("users", vec![credential("anna", 3), credential("bo", 4)]),
            list("others", vec![credential("cecilia", 5)]),
        ],
        access: AccessTrie::new(vec![entry(0, "192.0.2.0", 24), entry(1, "198.51.100.0", 24)]),
        numbers: Numbers::new(vec![
            number("+12015550100", "app", Inbound::Application),
            number("+12015550101", "app", Inbound::None),
            number("+12015550102", "other", Inbound::Trunk(name("listed"))),
            number("+12015550103", "nobody", Inbound::Application),
        ]),
        carriers: vec![Carrier {
            name: name("upstream"),
            uplinks: Vec::new(),
            prefixes: Vec::new(),
            priority: 1,
            weight: 1,
            credentials: None,
            access: vec![1],
            nat: false,
        }],
        ..Directory::default()
    }
}

fn request<'a>(source: &str, host: &'a str) -> Request<'a> {
    Request {
        source: source.parse().expect("address"),
        transport: Transport::Udp,
        uri_user: "+46701234567",
        uri_host: host,
        from_user: "+12015550100",
        asserted_user: None,
        wants_privacy: false,
        diversion_user: None,
        digest_user: None,
    }
}

/// An admission in one word and a status.
fn verdict(request: &Request<'_>) -> (&'static str, u16) {
    match admit(&directory(), request) {
        Admission::Challenge(_) => ("challenge", 401),
        Admission::Trunk(_) => ("trunk", 0),
        Admission::Carrier(_) => ("carrier", 0),
        Admission::Refuse(refusal) => {
            assert!(!refusal.reason.is_empty());
            ("refuse", refusal.status)
        }
    }
}

#[test]
fn who_gets_in_before_and_after_digest() {
    const REFUSED: (&str, u16) = ("refuse", 403);
    const CHALLENGED: (&str, u16) = ("challenge", 401);
    const IN: (&str, u16) = ("trunk", 0);
    for (source, host, user, expected) in [
        (OFFICE, "listed.edge.example", None, IN),
        (OFFICE, "LISTED.edge.example", None, IN),
        (OFFICE, "192.0.2.1", None, IN),
        ("[::ffff:192.0.2.10]:5060", "listed.edge.example", None, IN),
        (STRANGER, "listed.edge.example", None, REFUSED),
        (STRANGER, "listed.edge.example", Some("anna"), REFUSED),
        (STRANGER, "edge.example", None, REFUSED),
        (STRANGER, "digest.edge.example", None, CHALLENGED),
        (STRANGER, "digest.edge.example", Some("anna"), IN),
        (STRANGER, "digest.edge.example", Some("cecilia"), REFUSED),
        (STRANGER, "digest.edge.example", Some("app"), REFUSED),
        (OFFICE, "both.edge.example", None, CHALLENGED),
        (OFFICE, "both.edge.example", Some("bo"), IN),
        (STRANGER, "both.edge.example", None, REFUSED),
        (STRANGER, "both.edge.example", Some("bo"), REFUSED),
        (STRANGER, "keyed.edge.example", None, CHALLENGED),
        (STRANGER, "keyed.edge.example", Some("app"), IN),
        (STRANGER, "keyed.edge.example", Some("other"), REFUSED),
        (STRANGER, "keyed.edge.example", Some("anna"), REFUSED),
        (OFFICE, "open.edge.example", None, REFUSED),
        (OFFICE, "open.edge.example", Some("anna"), REFUSED),
        (OFFICE, "orphan.edge.example", None, REFUSED),
    ] {
        let request = Request { digest_user: user, ..request(source, host) };
        assert_eq!(verdict(&request), expected, "{source} {host} {user:?}");
    }
}

/// Random tables against the plain statement of the rule: nobody gets in, or is even challenged,
/// where no entry of the trunk's own lists holds the address.
#[test]
fn random_access_lists_admit_only_what_they_hold() {
    let mut rng = Rng::from_number(21);
    let (mut admitted, mut denied) = (0, 0);
    for _ in 0..400 {
        let mut directory = directory();
        // A small space, so that addresses hit.
        let address = |rng: &mut Rng| IpAddr::from([10, 0, 0, rng.below(16) as u8]);
        let entries: Vec<_> = (0..rng.below(6))
            .map(|_| AccessEntry {
                list: rng.below(3) as u32,
                list_name: name("list"),
                network: address(&mut rng),
                prefix: 28 + rng.below(5) as u8,
            })
            .collect();
        directory.access = AccessTrie::new(entries.clone());
        let lists: Vec<u32> = (0..3).filter(|_| rng.chance(1, 2)).collect();
        let with_digest = rng.chance(1, 2);
        directory.trunks = vec![trunk("t", &lists, if with_digest { &[0] } else { &[] })];
        directory.carriers.clear();
        for _ in 0..20 {
            let source = address(&mut rng);
            let text = format!("{source}:5060");
            let user = rng.chance(1, 2).then_some("anna");
            let request = Request { digest_user: user, ..request(&text, "t.edge.example") };
            let holds = |e: &AccessEntry| lists.contains(&e.list) && e.contains(source);
            let listed = lists.is_empty() || entries.iter().any(holds);
            let expected = match (listed, with_digest, user) {
                (false, ..) => "refuse",
                (true, false, _) if lists.is_empty() => "refuse",
                (true, true, None) => "challenge",
                _ => "trunk",
            };
            let found = match admit(&directory, &request) {
                Admission::Challenge(_) => "challenge",
                Admission::Trunk(_) => "trunk",
                Admission::Carrier(_) => "carrier",
                Admission::Refuse(_) => "refuse",
            };
            assert_eq!(found, expected, "{source} in {entries:?} of {lists:?}");
            admitted += u32::from(found == "trunk");
            denied += u32::from(found == "refuse");
        }
    }
    assert!(admitted > 500 && denied > 500, "{admitted} {denied}");
}

#[test]
fn a_miss_of_the_access_list_says_nothing_about_users_and_is_counted() {
    let directory = directory();
    let Admission::Refuse(refusal) = admit(&directory, &request(STRANGER, "both.edge.example"))
    else {
        panic!("admitted")
    };
    assert_eq!((refusal.status, refusal.counter), (403, Some(Counter::AuthDenied)));
}

#[test]
fn transports_are_the_trunk_s_choice() {
    let mut tls = request(OFFICE, "listed.edge.example");
    tls.transport = Transport::Tls;
    assert_eq!(verdict(&tls), ("refuse", 403));
    tls.transport = Transport::Tcp;
    assert_eq!(verdict(&tls), ("trunk", 0));
}

#[test]
fn a_trunk_that_insists_on_srtp_never_gets_plain_media() {
    let mut directory = directory();
    directory.trunks[0].media_security = MediaSecurity::Required;
    match admit(&directory, &request(OFFICE, "listed.edge.example")) {
        Admission::Refuse(refusal) => assert_eq!(refusal.status, 488),
        other => panic!("{other:?}"),
    }
}

#[test]
fn destinations_are_checked_as_numbers() {
    for (user, expected) in [
        ("+12025550199", ("trunk", 0)),
        ("%2B1-202-555-0199", ("trunk", 0)),
        ("+881612345678", ("refuse", 403)),
        ("+4470000000", ("refuse", 403)),
        ("0046701234567", ("refuse", 404)),
        ("01146701234567", ("refuse", 404)),
        ("46701234567", ("refuse", 404)),
        ("anna", ("refuse", 404)),
        ("+4", ("refuse", 484)),
        ("", ("refuse", 484)),
        ("+4670123456789012", ("refuse", 484)),
    ] {
        let request = Request { uri_user: user, ..request(OFFICE, "listed.edge.example") };
        assert_eq!(verdict(&request), expected, "{user}");
    }
    // A bad number is not told to whoever has no credentials yet.
    let request = Request { uri_user: "anna", ..request(STRANGER, "digest.edge.example") };
    assert_eq!(verdict(&request), ("challenge", 401));
}

#[test]
fn a_trunk_shows_only_numbers_of_its_application() {
    let shown = |from: &str, asserted: Option<&str>, wants_privacy| {
        let directory = directory();
        let request = Request {
            from_user: from,
            asserted_user: asserted,
            wants_privacy,
            ..request(OFFICE, "listed.edge.example")
        };
        let Admission::Trunk(call) = admit(&directory, &request) else { panic!("refused") };
        match call.caller {
            CallerId::Shown(number) => number.as_str().to_owned(),
            CallerId::Private => "private".to_owned(),
        }
    };
    assert_eq!(shown("+12015550100", None, false), "+12015550100");
    assert_eq!(shown("12015550101", None, false), "+12015550101");
    assert_eq!(shown("+12015550102", None, false), "private", "another application's");
    assert_eq!(shown("+12025550199", None, false), "private", "nobody's");
    assert_eq!(shown("anonymous", None, false), "private");
    assert_eq!(shown("anonymous", Some("+12015550100"), false), "+12015550100");
    assert_eq!(shown("+12015550100", Some("+12025550199"), false), "private");
    assert_eq!(shown("+12015550100", None, true), "private");
}

#[test]
fn evidence_of_a_trunk_s_call() {
    let directory = directory();
    let request = Request {
        digest_user: Some("anna"),
        diversion_user: Some("+46800000000;x=y"),
        ..request(OFFICE, "both.edge.example")
    };
    let Admission::Trunk(call) = admit(&directory, &request) else { panic!("refused") };
    assert_eq!(call.trunk.name.as_str(), "both");
    assert_eq!(call.application.key.as_str(), "app");
    assert_eq!(call.entry.expect("matched").to_string(), "list-0: 192.0.2.0/24");
    assert_eq!(call.digest_user.as_str(), "anna");
    assert_eq!(call.number.as_str(), "+46701234567");
    assert_eq!(call.rdnis.as_str(), "+46800000000");
}

#[test]
fn carriers_reach_our_numbers_only() {
    for (user, expected) in [
        ("+12015550100", ("carrier", 0)),
        ("12015550100", ("carrier", 0)),
        ("+12015550102", ("carrier", 0)),
        ("+12015550101", ("refuse", 404)),
        ("+12015550103", ("refuse", 404)),
        ("+46701234567", ("refuse", 404)),
        ("2015550100", ("refuse", 404)),
        ("", ("refuse", 404)),
    ] {
        let request = Request { uri_user: user, ..request(CARRIER, "edge.example") };
        assert_eq!(verdict(&request), expected, "{user}");
    }
}

#[test]
fn a_carrier_s_caller_is_shown_as_given() {
    let caller = |from: &str, asserted: Option<&str>, wants_privacy| {
        let directory = directory();
        let request = Request {
            uri_user: "+12015550102",
            from_user: from,
            asserted_user: asserted,
            wants_privacy,
            ..request(CARRIER, "198.51.100.200")
        };
        let Admission::Carrier(call) = admit(&directory, &request) else { panic!("refused") };
        assert_eq!(call.application.key.as_str(), "other");
        assert_eq!(call.entry.list, 1);
        match call.caller {
            CallerId::Shown(number) => number.as_str().to_owned(),
            CallerId::Private => "private".to_owned(),
        }
    };
    assert_eq!(caller("+46701234567", None, false), "+46701234567");
    assert_eq!(caller("0701-23 45", None, false), "private", "no user part of a URI");
    assert_eq!(caller("0701-2345", None, false), "07012345");
    assert_eq!(caller("Anonymous", None, false), "private");
    assert_eq!(caller("Anonymous", Some("+46701234567"), false), "+46701234567");
    assert_eq!(caller("+46701234567", None, true), "private");
    assert_eq!(caller("\u{1b}[31m", None, false), "private");
}

#[test]
fn hashes_are_the_trunk_s_own_users() {
    let directory = directory();
    let find = |trunk_name: &str, user: &str| {
        let trunk = directory.trunk(trunk_name).expect("there");
        ha1_for(&directory, trunk, user).map(|ha1| ha1.md5[0])
    };
    assert_eq!(find("digest", "anna"), Some(3));
    assert_eq!(find("digest", "bo"), Some(4));
    assert_eq!(find("digest", "cecilia"), None);
    assert_eq!(find("digest", "app"), None);
    assert_eq!(find("keyed", "app"), Some(1));
    assert_eq!(find("keyed", "other"), None);
    assert_eq!(find("listed", "anna"), None);
}

#[test]
fn methods() {
    for method in ALLOW.split(", ") {
        assert_eq!(check_method(method), Ok(()));
    }
    let status = |method: &str| check_method(method).expect_err("refused").status;
    for method in ["REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER", "PRACK"] {
        assert_eq!(status(method), 405);
    }
    for method in ["invite", "NEWMETHOD", "", "INVITEE"] {
        assert_eq!(status(method), 501, "{method}");
    }
}
