//! The demo as a newcomer runs it: real sockets, real HTTP, a real store.

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrick"));
    command.arg("demo").args(arguments).output().expect("the program runs")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

const NAMES: [&str; 6] =
    ["answered", "no-callback", "wrong-password", "busy-then-failover", "busy", "silent-backend"];

#[test]
fn every_call_goes_as_it_should() {
    let output = demo(&["--once", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(errors, "");
    let calls = lines(&output);
    let names: Vec<_> = calls.iter().filter_map(|call| call["name"].as_str()).collect();
    assert_eq!(names, NAMES);
    assert!(calls.iter().all(|call| call["ok"] == true), "{calls:?}");
    let statuses: Vec<_> = calls.iter().filter_map(|call| call["sip_status"].as_u64()).collect();
    assert_eq!(statuses, [200, 200, 401, 200, 486, 503]);
    for call in calls.iter().filter(|call| call["sip_status"] == 200) {
        let packets = [&call["rtp_a_to_b"], &call["rtp_b_to_a"]].map(serde_json::Value::as_u64);
        assert!(packets.iter().all(|count| count.is_some_and(|count| count >= 10)), "{call}");
        assert!(call["pdd_ms"].as_f64().is_some_and(|ms| ms > 50.0 && ms < 3000.0), "{call}");
        let legs: Vec<_> = call["cdr"].as_array().into_iter().flatten().collect();
        assert_eq!(legs.len(), 2);
        assert_eq!((&legs[0]["leg"], &legs[1]["leg"]), (&"a".into(), &"b".into()));
        assert_eq!(legs[0]["call_id"], legs[1]["call_id"]);
        assert!(legs.iter().all(|leg| leg["result"] == "ANSWERED" && leg["codec"] == "PCMU"));
        // What the edge counted is what the phones counted.
        assert_eq!(legs[1]["rtp_pkts_out"], call["rtp_a_to_b"]);
        assert_eq!(legs[0]["rtp_pkts_out"], call["rtp_b_to_a"]);
    }
}

#[test]
fn each_call_proves_what_it_is_for() {
    let calls = lines(&demo(&["--once", "--json"]));
    let call = |name: &str| {
        let found = calls.iter().find(|call| call["name"] == name);
        found.cloned().expect("a call of that name")
    };
    let events = |name: &str| -> Vec<String> {
        let call = call(name);
        let callbacks = call["callbacks"].as_array().cloned().unwrap_or_default();
        assert!(callbacks.iter().all(|callback| callback["signed"] == true), "{call}");
        callbacks.iter().filter_map(|c| c["event"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(events("answered"), ["ice", "ace", "dice"]);
    assert_eq!(events("busy"), ["ice", "dice"]);
    assert!(events("no-callback").is_empty() && events("wrong-password").is_empty());
    assert_eq!(call("wrong-password")["cdr"], serde_json::json!([]));
    let failover = call("busy-then-failover");
    assert_eq!(failover["cdr"][1]["route_attempt"], 2, "{failover}");
    assert_eq!(failover["cdr"][1]["routed_to"], "spacious");
    assert_eq!(call("no-callback")["cdr"][0]["reason"], "CALLEEHANGUP");
    let silent = call("silent-backend");
    assert_eq!(silent["cdr"][0]["reason"], "CALLBACKERROR", "{silent}");
    assert!(silent["cdr"][0]["callback_ms"].as_u64().is_some_and(|ms| ms >= 700), "{silent}");
}

#[test]
fn people_get_ladders_and_a_table() {
    let before = leftovers();
    let output = demo(&["--once"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for name in NAMES {
        assert_eq!(text.matches(&format!("\n{name}: ")).count(), 1, "{name}: {text}");
        assert!(text.contains(&format!("\n{name:<20} ok ")), "{name}: {text}");
    }
    for mark in ["INVITE (SDP)", "200 OK (SDP)", "ice, signed ✓", "dice, signed ✓", "◀═", "486"]
    {
        assert!(text.contains(mark), "{mark}: {text}");
    }
    let ladder = text.split("\nbusy-then-failover: ").nth(1).expect("its ladder");
    let ladder = ladder.split("\nbusy: ").next().unwrap_or_default();
    let positions = ["503 Service", "180 Ringing", "connectPstn"].map(|mark| ladder.find(mark));
    assert!(positions.iter().all(Option::is_some), "{ladder}");
    assert!(positions[2] < positions[0] && positions[0] < positions[1], "{ladder}");
    assert!(text.contains("6 of 6 calls") && !text.contains("What to try next"));
    assert!(!text.contains('\x1b'), "colour is for terminals");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    // Another run beside this one may have a folder of its own, but none stays.
    assert!(leftovers() <= before + 2);
}

/// Ctrl-C while the demo stays up.
#[test]
fn an_interrupt_drains_and_leaves_nothing_behind() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrick"));
    let mut child = command.arg("demo").stdout(Stdio::piped()).spawn().expect("the program runs");
    let out = child.stdout.take().expect("piped");
    let mut folder = None;
    for line in BufReader::new(out).lines() {
        let line = line.expect("UTF-8");
        if let Some((_, file)) = line.split_once("carrick check --config ") {
            folder = Some(std::path::PathBuf::from(file));
        }
        if line.contains("carrick init") {
            break;
        }
    }
    let settings = folder.expect("what to try next names the settings");
    assert!(settings.exists());
    let check = Command::new(env!("CARGO_BIN_EXE_carrick"))
        .args(["check", "--config"])
        .arg(&settings)
        .output()
        .expect("the program runs");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(!settings.exists());
}

fn leftovers() -> usize {
    let folder = std::fs::read_dir(std::env::temp_dir()).expect("a temporary folder");
    folder
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("carrick-demo-"))
        .count()
}
