//! The log: lines on standard error, for people or as JSON, from a level upwards. Cold paths only;
//! what happens per packet or per message is counted instead.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What must be repaired.
    Error,
    /// What should be looked at.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);
static QUIET: AtomicBool = AtomicBool::new(false);

/// Sets what is written and how; from the settings, at the start.
pub fn set(level: Level, json: bool) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    JSON.store(json, Ordering::Relaxed);
}

/// Writes nothing at all from now on: another program part owns the terminal.
pub fn silence() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes a line, if its level is asked for. Control characters are escaped, so that nothing that
/// a stranger chose can move a terminal's cursor or forge a line.
pub fn line(level: Level, text: &str) {
    if QUIET.load(Ordering::Relaxed) || level as u8 > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let line = if JSON.load(Ordering::Relaxed) { json(level, text) } else { plain(level, text) };
    // A standard error that is gone leaves nobody to tell.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn plain(level: Level, text: &str) -> String {
    let mark = match level {
        Level::Error | Level::Warn => format!("{}: ", level.word()),
        Level::Info | Level::Debug => String::new(),
    };
    let mut line = format!("carrick: {mark}");
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

fn json(level: Level, text: &str) -> String {
    let time = super::clock::wall().to_rfc3339();
    let mut line = format!("{{\"time\":\"{time}\",\"level\":\"{}\",\"message\":\"", level.word());
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            c if c.is_control() => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push_str("\"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forges_a_line_or_moves_a_cursor() {
        assert_eq!(plain(Level::Info, "a\u{1b}[2Jb"), "carrick: a\\u{1b}[2Jb\n");
        assert_eq!(plain(Level::Warn, "x"), "carrick: warn: x\n");
        let line = json(Level::Error, "say \"hi\"\r\n\\");
        assert!(line.ends_with("\"message\":\"say \\\"hi\\\"\\u000d\\u000a\\\\\"}\n"), "{line}");
    }
}
