//! What happens within a call: hold and resume from either side, UPDATE, INFO.

use super::calls::one_call;
use super::edge::{CARRIER, CUSTOMER, leg, machine};
use super::peer::{Sipp, installed};

#[test]
fn the_caller_holds_and_resumes() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = one_call(
        Sipp::new("uac_hold", CUSTOMER).word("DURATION", "500"),
        Sipp::new("uas_held", CARRIER),
        2,
    );
    assert_eq!(leg(&cdrs, "a")["reason"], "CALLERHANGUP");
}

#[test]
fn the_callee_holds_and_resumes() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = one_call(
        Sipp::new("uac_held", CUSTOMER).word("DURATION", "500"),
        Sipp::new("uas_hold", CARRIER).word("DURATION", "500"),
        2,
    );
    assert_eq!(leg(&cdrs, "b")["result"], "ANSWERED");
}

#[test]
fn update_and_info() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let cdrs = one_call(
        Sipp::new("uac_update", CUSTOMER).word("DURATION", "500"),
        Sipp::new("uas_update", CARRIER),
        2,
    );
    assert_eq!(leg(&cdrs, "a")["result"], "ANSWERED");
}
