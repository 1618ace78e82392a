//! Calls that do not come about: who is refused, what is passed on, who gives up.

use serde_json::Value;

use super::edge::{CARRIER, CUSTOMER, STRANGER, Settings, leg, machine};
use super::peer::{Sipp, installed};

/// A caller that is refused with `code` before any leg to a carrier; its record, where the edge
/// leaves one.
fn refused(caller: Sipp, code: &str) -> Vec<Value> {
    // Nobody listens there: a call that came so far would hang, not be refused.
    let edge = Settings::office("refused", "", &["sip:127.0.0.2:9".to_owned()]).start();
    caller.word("CODE", code).start(&edge.target()).succeed();
    edge.settle();
    let cdrs = edge.cdrs();
    assert!(cdrs.iter().all(|cdr| cdr["leg"] == "a"), "{cdrs:#?}");
    edge.stop();
    cdrs
}

#[test]
fn strangers_and_what_is_no_number() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    refused(Sipp::new("uac_refused", STRANGER), "403");
    // Its own domain does not help a stranger, neither does the edge's.
    refused(Sipp::new("uac_refused", STRANGER).word("DOMAIN", "sip.test"), "403");
    refused(Sipp::new("uac_refused", CUSTOMER).word("NUMBER", "0442071838750"), "404");
    refused(Sipp::new("uac_refused", CUSTOMER).word("NUMBER", "reception"), "404");
    refused(Sipp::new("uac_refused", CUSTOMER).word("NUMBER", "+12"), "484");
    refused(Sipp::new("uac_refused", CUSTOMER).word("NUMBER", "+1234567890123456"), "484");
}

#[test]
fn a_borrowed_caller_id_is_hidden() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let anonymous = concat!(
        r#"<ereg regexp="sip:anonymous@anonymous.invalid" search_in="hdr" header="From:" "#,
        r#"check_it="true" assign_to="k1"/>"#,
        r#"<ereg regexp="id" search_in="hdr" header="Privacy:" check_it="true" assign_to="k2"/>"#,
        r#"<ereg regexp="3312345678" search_in="msg" check_it_inverse="true" assign_to="k3"/>"#,
    );
    let cdrs = super::calls::one_call(
        Sipp::new("uac", CUSTOMER).word("CALLER", "+33123456789").word("DURATION", "200"),
        Sipp::new("uas", CARRIER).word("CHECKS", anonymous),
        2,
    );
    assert_eq!(leg(&cdrs, "a")["result"], "ANSWERED");
}

#[test]
fn busy_is_passed_on() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = super::calls::one_call(
        Sipp::new("uac_refused", CUSTOMER).word("CODE", "486"),
        Sipp::new("uas_refuses", CARRIER).word("CODE", "486"),
        2,
    );
    for letter in ["a", "b"] {
        let record = leg(&cdrs, letter);
        assert_eq!(record["sip_code"], 486, "{record:#?}");
        assert_eq!((&record["result"], &record["reason"]), (&"BUSY".into(), &"BUSY".into()));
        assert!(record["t_answer"].is_null() && record["bill_ms"] == 0, "{record:#?}");
    }
}

#[test]
fn the_caller_gives_up_while_it_rings() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = super::calls::one_call(
        Sipp::new("uac_cancel", CUSTOMER).word("DURATION", "500"),
        Sipp::new("uas_rings", CARRIER),
        2,
    );
    let a = leg(&cdrs, "a");
    assert_eq!((&a["result"], &a["reason"]), (&"NOANSWER".into(), &"CANCEL".into()), "{a:#?}");
    assert_eq!(a["sip_code"], 487, "{a:#?}");
    assert_eq!(a["release_by"], "caller", "{a:#?}");
    assert!(a["ring_ms"].as_u64().expect("it rang") >= 400, "{a:#?}");
}

#[test]
fn a_callee_that_rings_on_is_not_answered() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = super::calls::one_call(
        Sipp::new("uac_cancel", CUSTOMER).word("DURATION", "6000"),
        Sipp::new("uas_rings", CARRIER),
        2,
    );
    let b = leg(&cdrs, "b");
    assert!(b["ring_ms"].as_u64().expect("it rang") >= 5500, "{b:#?}");
    assert!(b["t_answer"].is_null(), "{b:#?}");
}

#[test]
fn options_tells_that_the_edge_is_there() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let edge = Settings::office("options", "", &[]).start();
    Sipp::new("uac_options", CUSTOMER).word("CODE", "200").start(&edge.target()).succeed();
    edge.stop();
}
