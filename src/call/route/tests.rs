#![expect(clippy::cast_possible_truncation, reason = "small random numbers")]

use super::*;
use crate::base::bounded::text;
use crate::directory::{OriginationUri, Uplink};
use crate::link::PrivateHeaders;
use crate::link::svaml::ConnectOptions;

fn resolved(addresses: &[&str]) -> Resolved {
    addresses.iter().map(|a| a.parse().expect("address")).collect()
}

fn uplink(host: &str, addresses: &[&str]) -> Uplink {
    Uplink {
        uri: format!("sip:{host}"),
        host: host.to_owned(),
        transport: Transport::Udp,
        resolved: resolved(addresses),
    }
}

fn carrier(name: &str, prefixes: &[&str], priority: u16, weight: u16) -> Carrier {
    // An address of its own, so that plans are told apart.
    let last = name.bytes().fold(0u8, u8::wrapping_add);
    Carrier {
        name: text(name).expect("fits"),
        uplinks: vec![uplink(&format!("{name}.example"), &[&format!("192.0.2.{last}:5060")])],
        prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        priority,
        weight,
        credentials: None,
        access: Vec::new(),
        nat: false,
    }
}

fn trunk(origination: Vec<OriginationUri>) -> Trunk {
    Trunk {
        name: text("pbx").expect("fits"),
        application: Name::new(),
        domain: String::new(),
        access_lists: Vec::new(),
        credential_lists: Vec::new(),
        application_credentials: false,
        origination,
        calls_max: None,
        calls_per_second_max: None,
        allowed_destinations: Vec::new(),
        transports: vec![Transport::Udp],
        media_security: MediaSecurity::Allowed,
        nat: true,
        usage: Arc::default(),
    }
}

fn origination(uri: &str, priority: u16, weight: u16, addresses: &[&str]) -> OriginationUri {
    let transport = Transport::Tcp;
    OriginationUri {
        uri: uri.to_owned(),
        priority,
        weight,
        transport,
        resolved: resolved(addresses),
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.attempts.iter().map(|attempt| attempt.via.as_str()).collect()
}

#[test]
fn longest_prefix_then_priority() {
    let carriers = vec![
        carrier("all", &[], 0, 1),
        carrier("us", &["1"], 5, 1),
        carrier("us-cheap", &["1"], 1, 1),
        carrier("nyc", &["44", "1212"], 9, 1),
    ];
    let directory = Directory { carriers, ..Directory::default() };
    let mut rng = Rng::from_number(1);
    let plan = plan_pstn(&directory, "+12125550100", &mut rng);
    assert_eq!(names(&plan), ["nyc", "us-cheap", "us", "all"]);
    assert_eq!(plan.attempts[0].request_uri.as_str(), "sip:+12125550100@nyc.example");
    assert_eq!(names(&plan_pstn(&directory, "+46700000000", &mut rng)), ["all"]);
    assert!(plan.note.is_empty());
}

#[test]
fn prefix_choice_agrees_with_a_naive_matcher() {
    let mut rng = Rng::from_number(77);
    for round in 0..500 {
        let mut carriers = Vec::new();
        for i in 0..rng.below(7) {
            let prefixes: Vec<String> = (0..rng.below(4))
                .map(|_| (0..=rng.below(4)).map(|_| (b'1' + rng.below(3) as u8) as char).collect())
                .collect();
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let name = char::from(b'a' + i as u8).to_string();
            carriers.push(carrier(&name, &prefixes, rng.below(3) as u16, rng.below(3) as u16));
        }
        let digits: String = (0..8).map(|_| (b'1' + rng.below(3) as u8) as char).collect();
        let directory = Directory { carriers, ..Directory::default() };
        let plan = plan_pstn(&directory, &format!("+{digits}"), &mut rng);
        // The naive way: cut the number shorter and shorter and see who has exactly that prefix.
        let mut expected: Vec<(usize, u16, bool, &str)> = Vec::new();
        for candidate in &directory.carriers {
            let mut cuts = (1..=digits.len()).rev();
            let length = cuts.find(|n| candidate.prefixes.iter().any(|p| *p == digits[..*n]));
            let takes = length.is_some() || candidate.prefixes.is_empty();
            if takes {
                let generality = digits.len() - length.unwrap_or(0);
                let weightless = candidate.weight == 0;
                expected.push((generality, candidate.priority, weightless, &candidate.name));
            }
        }
        expected.sort_unstable();
        let rank_of = |name: &str| {
            let found = expected.iter().find(|e| e.3 == name).expect("planned carriers match");
            (found.0, found.1, found.2)
        };
        let planned: Vec<_> = names(&plan).into_iter().map(rank_of).collect();
        let ranks: Vec<_> = expected.iter().map(|e| (e.0, e.1, e.2)).collect();
        assert_eq!(planned, ranks, "round {round}: {digits}");
        assert_eq!(plan.note.is_empty(), !planned.is_empty(), "round {round}");
    }
}

#[test]
fn weights_come_out_in_proportion() {
    let carriers = vec![
        carrier("one", &[], 1, 10),
        carrier("two", &[], 1, 30),
        carrier("three", &[], 1, 60),
        carrier("spare", &[], 1, 0),
    ];
    let directory = Directory { carriers, ..Directory::default() };
    let mut rng = Rng::from_number(5);
    let (mut first, mut second) = ([0u32; 3], 0u32);
    for _ in 0..20_000 {
        let plan = plan_pstn(&directory, "+4670", &mut rng);
        let order = names(&plan);
        assert_eq!(order[3], "spare", "weight zero comes last");
        let place = ["one", "two", "three"].iter().position(|n| *n == order[0]);
        first[place.expect("weighted")] += 1;
        second += u32::from(order[0] == "three" && order[1] == "two");
    }
    for (count, share) in first.into_iter().zip([2_000, 6_000, 12_000]) {
        assert!(count.abs_diff(share) < 300, "{first:?}");
    }
    // After "three" the rest is drawn 10 : 30.
    assert!(second.abs_diff(9_000) < 300, "{second}");
}

#[test]
fn same_seed_same_plan() {
    let carriers = (0..9).map(|i| carrier(&format!("c{i}"), &[], 1, 7)).collect();
    let directory = Directory { carriers, ..Directory::default() };
    let plan = |seed| {
        let plan = plan_pstn(&directory, "+4670", &mut Rng::from_number(seed));
        names(&plan).join(",")
    };
    assert_eq!(plan(3), plan(3));
    assert_ne!(plan(3), plan(4));
}

#[test]
fn addresses_in_order_bounded_and_once() {
    let mut first = carrier("first", &[], 1, 1);
    let many: Vec<String> = (1..=6).map(|i| format!("198.51.100.{i}:5060")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    first.uplinks = vec![
        uplink("gone.example:5080", &[]),
        uplink("a.example;transport=udp", &many),
        uplink("a.example;transport=udp", &many[..2]),
    ];
    first.credentials = Some(Arc::new(CarrierCredentials {
        username: "user".to_owned(),
        password: "secret".to_owned(),
    }));
    let mut second = carrier("second", &[], 2, 1);
    second.uplinks = vec![uplink("b.example", &many)];
    second.nat = true;
    let directory = Directory { carriers: vec![second, first], ..Directory::default() };
    let plan = plan_pstn(&directory, "+4670", &mut Rng::from_number(1));
    assert_eq!(plan.attempts.len(), TARGETS_MAX);
    assert_eq!(plan.note.as_str(), "first: gone.example:5080 does not resolve");
    assert_eq!(plan.attempts[5].target, "198.51.100.6:5060".parse().expect("address"));
    let uri = plan.attempts[0].request_uri;
    assert_eq!(uri.as_str(), "sip:+4670@a.example;transport=udp");
    assert!(plan.attempts[0].credentials.is_some() && !plan.attempts[0].nat);
    assert_eq!(plan.attempts[6].via.as_str(), "second");
    assert!(plan.attempts[6].credentials.is_none() && plan.attempts[6].nat);
}

#[test]
fn nothing_to_try_says_why() {
    let mut rng = Rng::from_number(1);
    let mut unresolved = carrier("x", &["46"], 1, 1);
    unresolved.uplinks = vec![uplink("x.example", &[])];
    let mut directory = Directory { carriers: vec![unresolved], ..Directory::default() };
    let plan = plan_pstn(&directory, "+4670", &mut rng);
    assert!(plan.attempts.is_empty());
    assert_eq!(plan.note.as_str(), "x: x.example does not resolve");
    assert_eq!(plan_pstn(&directory, "+1", &mut rng).note.as_str(), "no carrier takes +1");
    directory.carriers[0].uplinks.clear();
    let note = plan_pstn(&directory, "+4670", &mut rng).note;
    assert_eq!(note.as_str(), "the carriers of this number have no address");
    let plan = plan_origination(&trunk(Vec::new()), "+4670", &mut rng);
    assert_eq!(plan.note.as_str(), "trunk pbx has no origination URI");
}

#[test]
fn origination_fills_in_the_number() {
    let long = format!("sip:{{number}}@{}.example", "h".repeat(250));
    let trunk = trunk(vec![
        origination("sip:office@pbx.example:5062", 2, 1, &["192.0.2.9:5062"]),
        origination(&long, 0, 1, &["192.0.2.7:5060"]),
        origination("sip:{number}@192.0.2.8;transport=tcp", 1, 1, &["192.0.2.8:5060"]),
    ]);
    let plan = plan_origination(&trunk, "+12015550123", &mut Rng::from_number(1));
    let uris: Vec<_> = plan.attempts.iter().map(|a| a.request_uri.as_str()).collect();
    let expected = ["sip:+12015550123@192.0.2.8;transport=tcp", "sip:office@pbx.example:5062"];
    assert_eq!(uris, expected);
    assert_eq!(plan.note.as_str(), "pbx: the Request-URI exceeds 256 bytes");
    assert_eq!(plan.attempts[0].transport, Transport::Tcp);
    assert!(plan.attempts[0].nat);
}

#[test]
fn a_trunk_that_insists_on_srtp_is_not_called_in_plain() {
    let mut trunk = trunk(vec![origination("sip:{number}@b.example", 1, 1, &["192.0.2.8:5060"])]);
    assert_eq!(plan_origination(&trunk, "+4670", &mut Rng::from_number(1)).attempts.len(), 1);
    trunk.media_security = MediaSecurity::Required;
    let plan = plan_origination(&trunk, "+4670", &mut Rng::from_number(1));
    assert!(plan.attempts.is_empty());
    assert_eq!(plan.note.as_str(), "trunk pbx requires SRTP");
}

#[test]
fn sip_targets_as_resolved() {
    let mut connect = ConnectSip {
        uri: text("sip:anna@host.example").expect("fits"),
        transport: Transport::Tcp,
        targets: resolved(&["192.0.2.1:5060", "[2001:db8::1]:5060"]),
        headers: PrivateHeaders::default(),
        options: ConnectOptions::default(),
    };
    let plan = plan_sip(&connect);
    assert_eq!(plan.attempts.len(), 2);
    assert_eq!(plan.attempts[1].target.to_string(), "[2001:db8::1]:5060");
    assert_eq!(plan.attempts[0].via.as_str(), "sip:anna@host.example");
    connect.targets.clear();
    assert_eq!(plan_sip(&connect).note.as_str(), "sip:anna@host.example does not resolve");
}

#[test]
fn only_failures_of_the_target_move_on() {
    for status in 300..700 {
        let moves = should_fail_over(AttemptFailure::Status(status), false);
        assert_eq!(moves, matches!(status, 408 | 500 | 502 | 503 | 504), "{status}");
    }
    assert!(should_fail_over(AttemptFailure::Timeout, false));
    assert!(should_fail_over(AttemptFailure::Transport, true));
    assert!(!should_fail_over(AttemptFailure::Status(408), true), "the phone rang out");
    assert!(!should_fail_over(AttemptFailure::Timeout, true));
    assert!(should_fail_over(AttemptFailure::Status(503), true));
}
