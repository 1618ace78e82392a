//! The program as an operator runs it: exit codes, and what is left alone.

use std::path::PathBuf;
use std::process::{Command, Output};

fn carrick(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carrick")).args(arguments).output().expect("the program runs")
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

#[test]
fn init_writes_what_check_accepts_and_overwrites_nothing() {
    let file = folder("init").join("carrick.toml");
    let path = file.to_str().expect("UTF-8");
    let first = carrick(&["init", "--host", "edge.example.org", path]);
    assert!(first.status.success(), "{first:?}");
    let check = carrick(&["check", "--config", path]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let written = std::fs::read_to_string(&file).expect("the file");
    assert!(written.contains("host = \"edge.example.org\""));
    std::fs::write(&file, "mine").expect("written");
    let second = carrick(&["init", path]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already there"));
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "mine");
}

#[test]
fn check_fails_with_all_errors_for_people_and_machines() {
    let file = folder("check").join("carrick.toml");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, "[edge]\nhots = \"a\"\n[media]\nports = 7\n").expect("written");
    let people = carrick(&["check", "--config", path]);
    assert_eq!(people.status.code(), Some(1));
    let text = String::from_utf8_lossy(&people.stderr);
    assert!(text.contains(":2:1") && text.contains("4 errors"), "{text}");
    let machines = carrick(&["check", "--json", "--config", path]);
    assert_eq!(machines.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&machines.stdout).expect("JSON");
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(4));
    let absent = carrick(&["check", "--json", "--config", "/nonexistent/carrick.toml"]);
    assert_eq!(absent.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&absent.stdout).expect("JSON");
    assert_eq!(json["ok"], false);
}

#[test]
fn explain_knows_settings_and_suggests_others() {
    let known = carrick(&["explain", "media.ports"]);
    assert!(String::from_utf8_lossy(&known.stdout).contains("10000-20000"));
    let unknown = carrick(&["explain", "media.port"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`media.ports`"));
}
