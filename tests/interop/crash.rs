//! The edge is killed in the middle of hundreds of calls and started again: what SIPp saw happen
//! is on record, and told once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick::sys::clock;
use serde_json::Value;

use super::backend::Backend;
use super::edge::{CARRIER, CUSTOMER, Settings, machine, wait_for};
use super::load::{by_call, is_pair};
use super::peer::{Running, Sipp, installed};

const CALLS: u32 = 400;
const RATE: u32 = 50;

/// Call-IDs that SIPp logged with a word.
fn logged(caller: &Running, word: &str) -> BTreeSet<String> {
    let ids = caller.logged().into_iter().filter_map(|line| {
        let (said, id) = line.split_once(' ')?;
        (said == word).then(|| id.trim().to_owned())
    });
    ids.collect()
}

/// All DiCE of a call say the same.
fn dice_by_call(backend: &Backend) -> BTreeMap<String, Value> {
    let mut calls: BTreeMap<String, Value> = BTreeMap::new();
    for dice in backend.of("dice") {
        let id = dice["callid"].as_str().expect("an id").to_owned();
        if let Some(earlier) = calls.insert(id, dice.clone()) {
            assert_eq!(earlier, dice, "one DiCE, two contents");
        }
    }
    calls
}

/// What SIPp saw.
struct Seen {
    answered: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// The same a second before the kill.
    long_answered: BTreeSet<String>,
    long_ended: BTreeSet<String>,
}

impl Seen {
    /// Compares with what is on record and was told: what is wrong, and how many calls had just
    /// been answered and are not on record.
    fn judge(&self, cdrs: &[Value], dice: &BTreeMap<String, Value>) -> (Vec<String>, u32) {
        let calls = by_call(cdrs);
        let callers = cdrs.iter().filter(|cdr| cdr["leg"] == "a");
        let call_of: BTreeMap<_, _> = callers
            .filter_map(|cdr| Some((cdr["sip_call_id"].as_str()?, cdr["call_id"].as_str()?)))
            .collect();
        let (mut wrong, mut unwritten) = (Vec::new(), 0);
        for sip_call_id in &self.answered {
            let ended = self.ended.contains(sip_call_id);
            let Some(id) = call_of.get(sip_call_id.as_str()) else {
                if ended || self.long_answered.contains(sip_call_id) {
                    wrong.push(format!("{sip_call_id}: no record"));
                }
                unwritten += 1;
                continue;
            };
            let records = &calls[*id];
            let Some(told) = dice.get(*id) else {
                wrong.push(format!("{sip_call_id} ({id}): no DiCE"));
                continue;
            };
            let lost =
                records.iter().all(|record| record["note"] == "edge restarted during the call");
            // A BYE may be on record though its 200 was never seen: it came as the edge was killed.
            let hung_up = !lost && told["reason"] == "CALLERHANGUP";
            let sound = is_pair(records)
                && told["result"] == "ANSWERED"
                && (hung_up || lost && !self.long_ended.contains(sip_call_id));
            if !sound {
                wrong.push(format!("{sip_call_id} ({id}): ended: {ended}, {records:#?} {told:#?}"));
            }
        }
        (wrong, unwritten)
    }
}

#[test]
fn killed_and_restarted() {
    if !installed(&["sipp", "python3"]) {
        return;
    }
    let _machine = machine();
    let backend = Backend::start(
        r#"{"action": {"name": "connectPstn"}}"#,
        r#"{"action": {"name": "continue"}}"#,
    );
    let callee = Sipp::new("uas", CARRIER).many(2 * CALLS, RATE).with(&["-rtp_echo"]);
    let mut settings = Settings::office("crash", &backend.toml(), &[callee.uri()]);
    settings.media = (10_000, 14_999);
    let edge = settings.start();
    let _callee = callee.start(CUSTOMER);
    let mut caller = Sipp::new("uac", CUSTOMER)
        .many(CALLS, RATE)
        .with(&["-recv_timeout", "12000"])
        .word("DURATION", "2000")
        .start(&edge.target());
    clock::pause(Duration::from_secs(3));
    // Records are written in groups, as fast as the disk takes them: what came about just before
    // the kill may not have got there, what is older must.
    let (long_answered, long_ended) = (logged(&caller, "answered"), logged(&caller, "ended"));
    clock::pause(Duration::from_secs(1));
    let settings = edge.kill();
    clock::pause(Duration::from_millis(500));
    let edge = settings.start();
    let over = caller.wait(Duration::from_secs(90));
    assert!(over.is_some(), "SIPp does not end: {}", caller.report());
    edge.settle();
    let (answered, ended) = (logged(&caller, "answered"), logged(&caller, "ended"));
    let cut = answered.difference(&ended).count();
    println!("{} calls answered, {} ended, {cut} cut", answered.len(), ended.len());
    assert!(long_answered.len() > 50 && ended.len() > 200, "too few calls for a test");
    assert!(cut > 50, "too few calls were alive when the edge was killed");
    let cdrs = edge.cdrs();
    let calls = by_call(&cdrs);
    let told = || (dice_by_call(&backend).len() >= calls.len()).then_some(());
    let _ = wait_for(Duration::from_secs(20), told);
    let dice = dice_by_call(&backend);
    let seen = Seen { answered, ended, long_answered, long_ended };
    let (wrong, unwritten) = seen.judge(&cdrs, &dice);
    println!("{unwritten} had just been answered and are not on record");
    assert!(wrong.is_empty(), "{} calls: {}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(unwritten < RATE, "{unwritten} calls are not on record");
    assert_eq!(dice.len(), calls.len(), "DiCE and calls on record");
    assert!(calls.values().all(|records| records.len() <= 2), "a leg is on record twice");
    edge.stop();
}
