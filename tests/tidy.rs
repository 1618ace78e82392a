//! The house rules that a machine can check. Each finding is `file:line: what`; the message of the
//! test says why the rule is there. Numbers named `…_TODAY` may only fall.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which rooms a room may import. A path with `::` opens only that part of a room. `sys` is for
/// those that meet the kernel; nothing that a shard is made of may reach it, because then the
/// simulator could not stand in for the world.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sys", &["base"]),
    ("config", &["base"]),
    ("directory", &["base"]),
    ("link", &["base", "sys", "directory"]),
    ("wire", &["base"]),
    ("crypto", &["base", "directory", "wire"]),
    ("audio", &["base", "directory", "wire", "crypto"]),
    ("sip", &["base", "directory", "wire", "crypto"]),
    ("media", &["base", "directory", "wire", "crypto"]),
    ("call", &["base", "directory", "link", "wire", "crypto", "sip", "media", "audio"]),
    ("shard", &["base", "directory", "link", "wire", "crypto", "sip", "media", "audio", "call"]),
    // `net` and `shard` never meet; streams are framed by the same code that reads SIP.
    ("net", &["base", "sys", "wire::frame", "wire::sip"]),
    // Answers of backends are read by the room that runs them.
    (
        "control",
        &[
            "base",
            "sys::clock",
            "sys::log",
            "config",
            "directory",
            "link",
            "crypto",
            "call::script",
        ],
    ),
    ("runtime", PRODUCTION),
    (
        "sim",
        &[
            "base",
            "config",
            "directory",
            "link",
            "wire",
            "crypto",
            "sip",
            "media",
            "audio",
            "call",
            "shard",
            "control",
            "runtime::turn",
        ],
    ),
    ("bench", PRODUCTION_AND_RUNTIME),
    ("demo", PRODUCTION_RUNTIME_AND_SIM),
    (
        "cli",
        &[
            "base",
            "sys",
            "config",
            "directory",
            "link",
            "wire",
            "crypto",
            "sip",
            "media",
            "audio",
            "call",
            "shard",
            "net",
            "control",
            "runtime",
            "sim",
            "bench",
            "demo",
        ],
    ),
];

const PRODUCTION: &[&str] = &[
    "base",
    "sys",
    "config",
    "directory",
    "link",
    "wire",
    "crypto",
    "sip",
    "media",
    "audio",
    "call",
    "shard",
    "net",
    "control",
];
const PRODUCTION_AND_RUNTIME: &[&str] = &[
    "base",
    "sys",
    "config",
    "directory",
    "link",
    "wire",
    "crypto",
    "sip",
    "media",
    "audio",
    "call",
    "shard",
    "net",
    "control",
    "runtime",
];
// The demo has the simulator's phones for callers.
const PRODUCTION_RUNTIME_AND_SIM: &[&str] = &[
    "base",
    "sys",
    "config",
    "directory",
    "link",
    "wire",
    "crypto",
    "sip",
    "media",
    "audio",
    "call",
    "shard",
    "net",
    "control",
    "runtime",
    "sim",
];

/// Files that packets pass through; those that are not there yet are passed over.
const ON_THE_PATH: &[&str] = &[
    "src/sys/mmsg.rs",
    "src/net/epoll.rs",
    "src/net/uring.rs",
    "src/net/xdp.rs",
    "src/net/desk.rs",
    "src/net/stream.rs",
    "src/runtime/worker.rs",
    "src/runtime/turn.rs",
    "src/shard/mod.rs",
    "src/shard/ingress.rs",
    "src/shard/request.rs",
    "src/shard/response.rs",
    "src/shard/incoming.rs",
    "src/shard/outgoing.rs",
    "src/shard/effects.rs",
    "src/wire/sip/message.rs",
    "src/wire/sip/write.rs",
    "src/wire/rtp.rs",
    "src/wire/rtcp.rs",
    "src/sip/transaction/mod.rs",
    "src/sip/dialog/mod.rs",
    "src/media/relay.rs",
    "src/media/source.rs",
    "src/media/stream.rs",
    "src/media/report.rs",
    "src/media/srtp.rs",
];

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_AIM: usize = 400;
const FILE_LINES_MAX: usize = 700;
/// Functions that are one table, by file and name.
const TABLES: &[(&str, &str)] = &[("src/wire/sip/status.rs", "reason")];
/// Functions that are too long.
const FUNCTIONS_OVER_TODAY: usize = 2;
/// Lines that are too long.
const LINES_OVER_TODAY: usize = 18;
/// Files over the aim.
const FILES_OVER_AIM_TODAY: usize = 16;
/// Lines that write to standard error outside the rooms that talk to people.
const STANDARD_ERROR_TODAY: usize = 6;

/// Rooms that talk to people on standard output.
const TALKERS: &[&str] = &["cli", "demo", "bench", "sim"];
/// Rooms in which the order of a std hash map cannot show in a replay.
const MAPS_WELCOME: &[&str] = &["control", "cli", "demo", "bench"];

#[test]
fn rooms_import_downwards_only() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut findings = Vec::new();
    for file in tree().iter().filter(|file| file.room().is_some()) {
        let room = file.room().unwrap_or("");
        let Some(allowed) = rooms.get(room) else {
            findings.push(format!("{}: room `{room}` is not in ROOMS", file.path));
            continue;
        };
        for (number, line) in file.code() {
            for path in imports(line) {
                let head = path.split("::").next().unwrap_or("");
                let within = |open: &&&str| {
                    path == **open || path.starts_with(&format!("{open}::")) || head == **open
                };
                let known = rooms.contains_key(head);
                if known && head != room && allowed.iter().find(within).is_none() {
                    findings.push(format!("{}:{number}: `{room}` imports `{path}`", file.path));
                }
            }
        }
    }
    report(&findings, "a room may import those below it, never above or beside (ARCHITECTURE.md)");
}

#[test]
fn call_reads_json_in_its_script_only() {
    let findings = find(|file, line| {
        file.room() == Some("call")
            && !file.path.starts_with("src/call/script")
            && line.contains("serde_json")
    });
    report(&findings, "JSON allocates: only the reader of SVAML, which control runs, may use it");
}

#[test]
fn lines_fit_the_screen() {
    let mut findings = Vec::new();
    for file in tree() {
        for (number, line) in file.lines() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                findings.push(format!("{}:{number}: {columns} columns", file.path));
            }
        }
    }
    ratchet(&findings, LINES_OVER_TODAY, "LINES_OVER_TODAY", "lines of more than 100 columns");
}

#[test]
fn files_stay_short() {
    let length = |file: &&File| file.text.lines().count();
    let files = tree();
    let too_long = files.iter().filter(|file| length(file) > FILE_LINES_MAX);
    let findings: Vec<_> =
        too_long.map(|f| format!("{}:1: {} lines", f.path, length(&f))).collect();
    report(&findings, "a file has at most 700 lines: split it where a name of the domain exists");
    let over: Vec<_> = files.iter().filter(|file| length(file) > FILE_LINES_AIM).collect();
    let names: Vec<_> = over.iter().map(|f| format!("{}: {}", f.path, length(f))).collect();
    ratchet(&names, FILES_OVER_AIM_TODAY, "FILES_OVER_AIM_TODAY", "files of more than 400 lines");
}

#[test]
fn functions_fit_the_head() {
    let mut findings = Vec::new();
    for file in tree() {
        for Function { name, line, length } in functions(&file) {
            let table = TABLES.contains(&(file.path.as_str(), name.as_str()));
            if length > FUNCTION_LINES_MAX && !table {
                findings.push(format!("{}:{line}: `{name}` has {length} lines", file.path));
            }
        }
    }
    let what = "functions of more than 70 lines: branches belong in the parent, work in leaves";
    ratchet(&findings, FUNCTIONS_OVER_TODAY, "FUNCTIONS_OVER_TODAY", what);
}

#[test]
fn nothing_is_left_undone_or_shouted() {
    let unfinished = ["todo!", "unimplemented!", "FIXME", "dbg!"];
    let findings = find_in_all(|_, line| unfinished.iter().any(|word| has_word(line, word)));
    report(&findings, "what is merged is finished; what is not is an issue");
    let findings = find(|file, line| {
        let speaks = has_word(line, "println!") || has_word(line, "print!");
        speaks && !TALKERS.contains(&file.room().unwrap_or("")) && file.path != "src/main.rs"
    });
    report(&findings, "standard output belongs to the sub-commands");
    let errors = find(|file, line| {
        has_word(line, "eprintln!") && !TALKERS.contains(&file.room().unwrap_or(""))
    });
    let name = "STANDARD_ERROR_TODAY";
    ratchet(&errors, STANDARD_ERROR_TODAY, name, "lines on standard error beside the log");
}

#[test]
fn unsafe_is_in_sys_and_says_why_it_is_sound() {
    let outside = find_in_all(|file, line| {
        file.path.starts_with("src/") && file.room() != Some("sys") && has_word(line, "unsafe")
    });
    report(&outside, "`unsafe` is in src/sys only");
    let mut findings = Vec::new();
    for file in tree().iter().filter(|file| file.room() == Some("sys")) {
        let lines: Vec<_> = file.text.lines().collect();
        for (number, line) in file.code() {
            let block = line.contains("unsafe {") || line.contains("unsafe impl");
            let from = number.saturating_sub(8);
            let said = lines[from..number].iter().any(|line| line.contains("SAFETY:"));
            if block && !said {
                findings.push(format!("{}:{number}: no SAFETY comment", file.path));
            }
        }
    }
    report(&findings, "each unsafe block has `// SAFETY:` above it: what holds, who sees to it");
}

#[test]
fn lint_exceptions_are_expected_and_give_a_reason() {
    let findings = find_in_all(|_, line| line.contains("#[allow(") || line.contains("#![allow("));
    report(&findings, "write #[expect(lint, reason = \"…\")]: it complains once it is not needed");
    let mut findings = Vec::new();
    for file in tree() {
        let lines: Vec<_> = file.text.lines().collect();
        for (number, line) in file.code() {
            let start = line.contains("#[expect(") || line.contains("#![expect(");
            let end = (number + 6).min(lines.len());
            if start && !lines[number - 1..end].iter().any(|line| line.contains("reason")) {
                findings.push(format!("{}:{number}: no reason", file.path));
            }
        }
    }
    report(&findings, "each #[expect] has a reason");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = tree().into_iter().filter(|file| !file.is_test_module());
    let silent = silent.filter(|file| !file.text.starts_with("//!"));
    let findings: Vec<_> = silent.map(|file| format!("{}:1: no module doc", file.path)).collect();
    report(&findings, "a file opens with `//!`: what it is for, and what must stay true");
}

#[test]
fn files_on_the_packet_path_say_where_they_stand() {
    let files = tree();
    let listed = files.iter().filter(|file| ON_THE_PATH.contains(&file.path.as_str()));
    let silent = listed.filter(|file| {
        let doc = file.text.lines().take_while(|line| line.starts_with("//!"));
        !doc.into_iter().any(|line| line.contains("Path:") && line.contains("here"))
    });
    let findings: Vec<_> = silent.map(|file| format!("{}:1: no Path line", file.path)).collect();
    report(&findings, "a packet can be followed by `//! Path: before -> here -> after`");
}

#[test]
fn replay_is_not_spoilt_by_hash_order() {
    let findings = find(|file, line| {
        let std_map = line.contains("std::collections") && line.contains("Hash");
        let below = file.room().is_some_and(|room| !MAPS_WELCOME.contains(&room));
        below && std_map
    });
    report(
        &findings,
        "std's hash maps have another order in every run: use base::table or BTreeMap",
    );
}

#[test]
fn a_shard_takes_no_lock() {
    let rooms = ["base", "wire", "sip", "media", "call", "shard"];
    let locks = ["Mutex", "RwLock", "Condvar", "OnceLock", "LazyLock", "Once", "Barrier"];
    let findings = find(|file, line| {
        let on_the_shard = file.room().is_some_and(|room| rooms.contains(&room));
        on_the_shard && locks.iter().any(|lock| has_word(line, lock))
    });
    report(&findings, "a call lives on one shard: what it needs is there, and nothing is locked");
}

#[test]
fn the_rules_themselves_can_fail() {
    assert_eq!(imports("use crate::{base::time, net::{a, b}};"), ["base::time", "net"]);
    assert_eq!(imports("let x: crate::sys::Y = crate::base::z();"), ["sys::Y", "base::z"]);
    assert!(has_word("x; println!()", "println!") && !has_word("eprintln!()", "println!"));
    assert!(has_word("unsafe {", "unsafe") && !has_word("unsafe_code", "unsafe"));
    let long = format!("fn short() {{}}\nfn f(\n    a: u8,\n) {{\n{}}}\n", "    a();\n".repeat(80));
    let file = File { path: "x.rs".to_owned(), text: long };
    let found: Vec<_> = functions(&file).into_iter().map(|f| (f.name, f.line, f.length)).collect();
    assert_eq!(found, [("f".to_owned(), 2, 84)]);
    let rooms: Vec<_> = ROOMS.iter().map(|(room, _)| *room).collect();
    for (room, allowed) in ROOMS {
        for path in *allowed {
            let head = path.split("::").next().unwrap_or("");
            assert!(rooms.contains(&head), "{room} may import {path}, which is no room");
        }
    }
}

/// One file of the project.
struct File {
    /// From the root of the project.
    path: String,
    text: String,
}

impl File {
    /// The room under `src`, if it is in one.
    fn room(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        inner.split_once('/').map(|(room, _)| room)
    }

    /// Tests that the file beside them declares and describes.
    fn is_test_module(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Lines with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(number, line)| (number, line.split(" // ").next().unwrap_or("")))
    }

    /// As `code`, up to the tests at the end.
    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let none = self.is_test_module() || !self.path.starts_with("src/");
        let end = |(_, line): &(usize, &str)| !line.starts_with("#[cfg(test)]");
        self.code().take_while(end).filter(move |_| !none)
    }
}

/// All Rust files of src, tests, benches and fuzz, but this one, by path.
fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        gather(root, &root.join(folder), &mut files);
    }
    assert!(files.len() > 50, "the tree is where it is looked for");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    for path in paths {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() && !path.ends_with("target") {
            gather(root, &path, files);
        } else if is_rust && !path.ends_with("tests/tidy.rs") {
            let text = std::fs::read_to_string(&path).expect("a file of the project");
            let path = path.strip_prefix(root).expect("inside the project");
            files.push(File { path: path.display().to_string(), text });
        }
    }
}

/// Production lines for which `wrong` holds.
fn find(wrong: impl Fn(&File, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree() {
        for (number, line) in file.production().filter(|(_, line)| wrong(&file, line)) {
            findings.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    findings
}

/// Lines, those of tests too, for which `wrong` holds.
fn find_in_all(wrong: impl Fn(&File, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree() {
        for (number, line) in file.code().filter(|(_, line)| wrong(&file, line)) {
            findings.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    findings
}

fn report(findings: &[String], why: &str) {
    assert!(findings.is_empty(), "{why}\n  {}\n", findings.join("\n  "));
}

/// A count that may only fall: more is refused, and less should be written down.
fn ratchet(findings: &[String], today: usize, name: &str, what: &str) {
    let count = findings.len();
    let list = findings.join("\n  ");
    assert!(count <= today, "{count} {what}; {name} allows {today}\n  {list}\n");
    if count < today {
        println!("only {count} {what} are left: set {name} to {count}");
    }
}

/// What follows each `crate::` of the line; of a group, each member's room.
fn imports(line: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let Some(group) = rest.strip_prefix('{') else {
            let path = rest.split(|c| !part(c)).next().unwrap_or("");
            paths.push(path.trim_end_matches(':').to_owned());
            continue;
        };
        let (mut depth, mut path) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => paths.push(std::mem::take(&mut path)),
                _ if depth == 0 && part(c) => path.push(c),
                _ => {}
            }
        }
        paths.push(path);
        for path in &mut paths {
            *path = path.trim_end_matches(':').to_owned();
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

struct Function {
    name: String,
    line: usize,
    length: usize,
}

/// Functions of formatted code: a body ends at the first brace that stands as far in as its `fn`.
fn functions(file: &File) -> Vec<Function> {
    let lines: Vec<_> = file.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if line.ends_with(';') || line.ends_with('}') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let same = |line: &&str| line.len() > indent && !line[..indent + 1].ends_with(' ');
        let rest = lines[index + 1..].iter().enumerate();
        for (offset, line) in rest.filter(|(_, line)| same(line) && line.is_char_boundary(indent)) {
            if line[indent..].starts_with('}') {
                found.push(Function { name, line: index + 1, length: offset + 2 });
                break;
            }
            if line.ends_with(';') {
                break;
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "pub(super)", "pub(crate)", "const", "async", "unsafe", "extern", "\"C\""];
    let qualified = |word: &str| words.contains(&word) || word.starts_with("pub(in");
    if !before.split_whitespace().all(|word| qualified(word) || word.contains("::")) {
        return None;
    }
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}
