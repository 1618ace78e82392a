//! Many calls at fifty a second, with media and callbacks: nothing fails, nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick::sys::clock;
use serde_json::Value;

use super::backend::Backend;
use super::edge::{CARRIER, CUSTOMER, Edge, Settings, machine, wait_for};
use super::peer::{Sipp, installed};

const RATE: u32 = 50;

/// Media ports that are bound on this host.
fn bound_media_ports(edge: &Edge) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{}/net/udp", edge.pid())).expect("sockets");
    let ports = text.lines().skip(1).filter_map(|line| {
        let local = line.split_whitespace().nth(1)?;
        u16::from_str_radix(local.rsplit(':').next()?, 16).ok()
    });
    let (first, last) = edge.settings.media;
    ports.filter(|port| (first..=last).contains(port)).count()
}

/// Records by call: what each leg says.
pub(crate) fn by_call(cdrs: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut calls: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for cdr in cdrs {
        let id = cdr["call_id"].as_str().expect("an id").to_owned();
        calls.entry(id).or_default().push(cdr);
    }
    calls
}

/// Exactly one record a leg.
pub(crate) fn is_pair(records: &[&Value]) -> bool {
    let legs: Vec<_> = records.iter().filter_map(|record| record["leg"].as_str()).collect();
    legs.len() == 2 && legs.contains(&"a") && legs.contains(&"b")
}

/// Each call has a pair of records, each leg media both ways for the time that it held.
fn records_are_complete(cdrs: &[Value], count: u32, hold: Duration) {
    let calls = by_call(cdrs);
    assert_eq!(calls.len(), count as usize, "calls with records");
    let expected = hold.as_secs() * 50;
    for (id, records) in &calls {
        assert!(is_pair(records), "{id}: {records:#?}");
        for record in records {
            assert_eq!(record["result"], "ANSWERED", "{record:#?}");
            assert_eq!(record["reason"], "CALLERHANGUP", "{record:#?}");
            for member in ["rtp_pkts_in", "rtp_pkts_out"] {
                let packets = record[member].as_u64().expect("a count");
                // SIPp's own timers decide how many packets there were.
                assert!(packets >= expected / 2, "{member}: {record:#?}");
            }
        }
    }
    let sum = |leg: &str, member: &str| -> u64 {
        let of_leg = cdrs.iter().filter(|cdr| cdr["leg"] == leg);
        of_leg.map(|cdr| cdr[member].as_u64().expect("a count")).sum()
    };
    let (sent, relayed) = (sum("a", "rtp_pkts_in"), sum("b", "rtp_pkts_out"));
    println!("packets from callers {sent}, relayed {relayed}, echoed {}", sum("b", "rtp_pkts_in"));
    assert!(sent - relayed <= sent / 200, "of {sent} packets {relayed} were relayed");
}

#[test]
fn a_thousand_calls() {
    many_calls("u1", "", 1000, Duration::from_secs(5));
}

/// All of them on one connection to either side.
#[test]
fn two_hundred_calls_over_tcp() {
    many_calls("t1", ";transport=tcp", 200, Duration::from_secs(2));
}

fn many_calls(transport: &str, suffix: &str, count: u32, hold: Duration) {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let backend = Backend::start(
        r#"{"action": {"name": "connectPstn"}}"#,
        r#"{"action": {"name": "continue"}}"#,
    );
    let callee = Sipp::new("uas", CARRIER).many(count, RATE).with(&["-rtp_echo", "-t", transport]);
    let mut settings =
        Settings::office("load", &backend.toml(), &[format!("{}{suffix}", callee.uri())]);
    settings.media = (10_000, 14_999);
    let edge = settings.start();
    let before = edge.descriptors();
    let begun = clock::now();
    let callee = callee.start(CUSTOMER);
    let caller = Sipp::new("uac", CUSTOMER)
        .many(count, RATE)
        .with(&["-t", transport])
        .word("DURATION", &hold.as_millis().to_string())
        .start(&edge.target());
    caller.succeed();
    callee.succeed();
    println!("{count} calls took {:.1?}", clock::now() - begun);
    edge.settle();
    assert_eq!(bound_media_ports(&edge), 0, "media ports are left open");
    records_are_complete(&edge.wait_cdrs(2 * count as usize), count, hold);
    let dice = backend.wait("dice", count as usize);
    let ids: BTreeSet<_> = dice.iter().map(|dice| dice["callid"].as_str()).collect();
    assert_eq!(ids.len(), count as usize, "a call's DiCE came twice, another's never");
    for counter in ["calls_overloaded_total", "invariant_failed_total", "mail_full_total"] {
        assert!(edge.metric(&format!("carrick_{counter}")) == 0.0, "{counter}");
    }
    // Connections to the backend would rest for a while before they are closed.
    drop(backend);
    let back = || (edge.descriptors() <= before).then_some(());
    let back = wait_for(Duration::from_secs(20), back);
    let now = edge.descriptors();
    assert!(back.is_some(), "open files: {before} before, {now} after");
    edge.stop();
}
