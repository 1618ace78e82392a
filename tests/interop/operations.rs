//! What an operator does to a running edge: reload, drain, check.

use std::process::Command;
use std::time::Duration;

use carrick::sys::clock;

use super::edge::{CARRIER, CUSTOMER, Edge, KEY, Settings, leg, machine, program, wait_for};
use super::peer::{Running, Sipp, installed};

/// Address of a customer that comes with a reload.
const LATE: &str = "127.0.0.6";

fn call(edge: &Edge, milliseconds: &str) -> Running {
    let caller = Sipp::new("uac", CUSTOMER).word("DURATION", milliseconds);
    caller.start(&edge.target())
}

#[test]
fn reload_takes_a_sound_file_and_only_that() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let callee = Sipp::new("uas", CARRIER).with(&["-rtp_echo", "-m", "3"]);
    let edge = Settings::office("reload", "", &[callee.uri()]).start();
    let callee = callee.start(CUSTOMER);
    let live = call(&edge, "4000");
    let refused = Sipp::new("uac_refused", LATE).word("CODE", "403");
    refused.start(&edge.target()).succeed();

    let mut settings = edge.settings.clone();
    settings.directory.push_str(&format!(
        "[[access_list]]\nname = \"late\"\nranges = [\"{LATE}/32\"]\n\
         [[trunk]]\nname = \"late\"\napplication = \"{KEY}\"\naccess_lists = [\"late\"]\n"
    ));
    settings.write();
    edge.signal("HUP");
    clock::pause(Duration::from_millis(500));
    let late = Sipp::new("uac", LATE).word("DOMAIN", "late.sip.test").word("DURATION", "500");
    late.start(&edge.target()).succeed();

    std::fs::write(settings.file(), "[edge]\nhots = \"sip.test\"\n").expect("written");
    edge.signal("HUP");
    let told = || edge.log().contains("settings in force stay as they are").then_some(());
    assert!(wait_for(Duration::from_secs(3), told).is_some(), "{}", edge.log());
    assert!(edge.log().contains("hots"), "it does not say what is wrong: {}", edge.log());
    // Both the newer and the older customer are still known, and the live call is untouched.
    let late = Sipp::new("uac", LATE).word("DOMAIN", "late.sip.test").word("DURATION", "500");
    late.start(&edge.target()).succeed();
    live.succeed();
    callee.succeed();
    // A stranger's attempt is no call.
    let cdrs = edge.wait_cdrs(6);
    assert!(cdrs.iter().all(|cdr| cdr["result"] == "ANSWERED"), "{cdrs:#?}");
    edge.stop();
}

#[test]
fn a_drain_lets_calls_end_and_takes_no_new_ones() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let callee = Sipp::new("uas", CARRIER).with(&["-rtp_echo"]);
    let mut edge = Settings::office("drain", "", &[callee.uri()]).start();
    let callee = callee.start(CUSTOMER);
    let mut live = call(&edge, "4000");
    clock::pause(Duration::from_millis(700));
    Sipp::new("uac_options", CUSTOMER).word("CODE", "200").start(&edge.target()).succeed();
    edge.signal("TERM");
    clock::pause(Duration::from_millis(300));
    Sipp::new("uac_options", CUSTOMER).word("CODE", "503").start(&edge.target()).succeed();
    let retry = concat!(
        r#"<ereg regexp="[0-9]+" search_in="hdr" header="Retry-After:" check_it="true" "#,
        r#"assign_to="k1"/>"#
    );
    Sipp::new("uac_refused", CUSTOMER)
        .word("CODE", "503")
        .word("CHECKS", retry)
        .start(&edge.target())
        .succeed();
    assert!(live.runs(), "the call was over before the drain could be seen");
    assert_eq!(edge.wait(Duration::ZERO), None, "the edge left its call");
    live.succeed();
    callee.succeed();
    let code = edge.wait(Duration::from_secs(5));
    assert_eq!(code, Some(Some(0)), "an edge without calls ends: {}", edge.log());
    let cdrs = edge.cdrs();
    let call = leg(&cdrs, "b")["call_id"].clone();
    let of_call: Vec<_> = cdrs.into_iter().filter(|cdr| cdr["call_id"] == call).collect();
    assert_eq!(leg(&of_call, "a")["reason"], "CALLERHANGUP", "{of_call:#?}");
    assert!(leg(&of_call, "a")["rtp_pkts_out"].as_u64().expect("a count") > 150, "{of_call:#?}");
}

#[test]
fn a_drain_hangs_up_at_its_deadline() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    let callee = Sipp::new("uas", CARRIER).with(&["-rtp_echo"]);
    let mut settings = Settings::office("deadline", "", &[callee.uri()]);
    settings.drain = 1;
    let edge = settings.start();
    let callee = callee.start(CUSTOMER);
    let caller = Sipp::new("uac_ended", CUSTOMER).word("DURATION", "8000");
    let caller = caller.start(&edge.target());
    clock::pause(Duration::from_millis(700));
    edge.stop();
    caller.succeed();
    callee.succeed();
    let cdrs = super::edge::cdrs(&settings);
    assert_eq!(leg(&cdrs, "a")["release_by"], "edge", "{cdrs:#?}");
}

#[test]
fn check_accepts_the_examples() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files = std::fs::read_dir(folder).expect("examples").map(|file| file.expect("file").path());
    for file in files.filter(|file| file.extension().is_some_and(|e| e == "toml")) {
        let check = Command::new(program()).args(["check", "--config"]).arg(&file).output();
        let check = check.expect("carrick check runs");
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.success(), "{}: {said}", file.display());
    }
}
