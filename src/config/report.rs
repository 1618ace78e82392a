//! What is wrong with a file, said so that it can be repaired: place, line, caret, what was
//! expected, what to do. Values of secret settings are never part of it.

use std::fmt;
use std::ops::Range;

/// Whether a file can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but look here.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong. `Display` writes the block that people read.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The setting concerned, as `carrick explain` takes it; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What was expected there.
    pub expected: String,
    /// How to repair it; may be empty.
    pub help: String,
    /// The line with secrets masked.
    shown: String,
    /// First column and width of the caret under `shown`, from 0.
    caret: (usize, usize),
}

/// A problem that does not stop the file from being used.
pub type Warning = Problem;

/// Everything that is wrong with a file that was refused, warnings too, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The file as the caller named it.
    pub file: String,
    /// At least one is an error.
    pub problems: Vec<Problem>,
}

/// A problem before the line was looked up.
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) span: Range<usize>,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) expected: String,
    pub(super) help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, shown, expected, .. } = self;
        let gutter = " ".repeat(line.to_string().len());
        let (before, width) = (" ".repeat(self.caret.0), "^".repeat(self.caret.1));
        writeln!(f, "{}: {message}", self.severity.name())?;
        writeln!(f, "{gutter}--> {file}:{line}:{column}")?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{line} | {shown}")?;
        writeln!(f, "{gutter} | {before}{}", format!("{width} {expected}").trim_end())?;
        if !self.help.is_empty() {
            writeln!(f, "{gutter} = help: {}", self.help)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, .. } = self;
        write!(f, "{} at {file}:{line}:{column}: {message}", self.severity.name())
    }
}

impl Errors {
    /// How many errors and how many warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        (errors, self.problems.len() - errors)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        let (errors, warnings) = self.counts();
        write!(f, "{}: {}", self.file, counted(errors, "error"))?;
        if warnings > 0 {
            write!(f, ", {}", counted(warnings, "warning"))?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// `2 errors`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The machine's form of a report: `{"file", "ok", "problems": [{"severity", "line", "column",
/// "key", "message", "expected", "help"}]}`.
pub fn to_json(file: &str, problems: &[Problem]) -> serde_json::Value {
    let ok = problems.iter().all(|problem| problem.severity == Severity::Warning);
    let each = |problem: &Problem| {
        serde_json::json!({
            "severity": problem.severity.name(),
            "line": problem.line,
            "column": problem.column,
            "key": problem.key,
            "message": problem.message,
            "expected": problem.expected,
            "help": problem.help,
        })
    };
    serde_json::json!({
        "file": file,
        "ok": ok,
        "problems": problems.iter().map(each).collect::<Vec<_>>(),
    })
}

/// Looks the lines up, hides the `hidden` ranges of the source and sorts by place.
pub(super) fn render(
    file: &str,
    source: &str,
    hidden: &[Range<usize>],
    mut findings: Vec<Finding>,
) -> Vec<Problem> {
    findings.sort_by_key(|finding| (finding.span.start, finding.severity));
    findings.into_iter().map(|finding| place(file, source, hidden, finding)).collect()
}

fn place(file: &str, source: &str, hidden: &[Range<usize>], finding: Finding) -> Problem {
    let Finding { severity, span, key, message, expected, help } = finding;
    let at = floor(source, span.start.min(source.len()));
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[at..].find('\n').map_or(source.len(), |newline| at + newline);
    let end = if source[start..end].ends_with('\r') { end - 1 } else { end };
    let (shown, caret) = masked(source, start..end, hidden, at..span.end);
    Problem {
        severity,
        file: file.to_owned(),
        line: source[..start].matches('\n').count() + 1,
        column: source[start..at].chars().count() + 1,
        key,
        message,
        expected,
        help,
        shown,
        caret,
    }
}

/// The line with `***` for each hidden stretch and a blank for each control character, and where
/// the caret goes under it.
fn masked(
    source: &str,
    line: Range<usize>,
    hidden: &[Range<usize>],
    caret: Range<usize>,
) -> (String, (usize, usize)) {
    let (mut shown, mut column, mut was_hidden) = (String::new(), 0, false);
    let (mut from, mut to) = (None, None);
    for (offset, character) in source[line.clone()].char_indices() {
        let at = line.start + offset;
        let is_hidden = hidden.iter().any(|range| range.contains(&at));
        if at >= caret.start {
            from = from.or(Some(column));
        }
        if at >= caret.end {
            to = to.or(Some(column));
        }
        if is_hidden && !was_hidden {
            shown.push_str("***");
            column += 3;
        } else if !is_hidden {
            shown.push(if character.is_control() { ' ' } else { character });
            column += 1;
        }
        was_hidden = is_hidden;
    }
    let from = from.unwrap_or(column);
    (shown, (from, to.unwrap_or(column).saturating_sub(from).max(1)))
}

fn floor(source: &str, mut at: usize) -> usize {
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What to hide where the file is no TOML, so that nobody knows which bytes are values: on each
/// line that belongs to a setting whose name hints at a secret, everything behind the first `=`
/// that follows the hint; and whole lines that carry on such a value.
pub(super) fn guess_hidden(source: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let (mut start, mut carries_on) = (0, false);
    for line in source.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let hint = ["secret", "pass", "token", "pwd"].iter().filter_map(|w| lower.find(w)).min();
        let end = start + line.trim_end().len();
        if let Some(hint) = hint {
            let equals = line[hint..].find('=').map(|at| hint + at + 1);
            let from = equals.unwrap_or(hint).min(line.trim_end().len());
            hidden.push(start + from..end);
            carries_on = true;
        } else if line.contains('=') || line.trim_start().starts_with('[') {
            // A new setting or table: but base64 ends in `=` too, so a key must come first.
            let key = line.split('=').next().unwrap_or("").trim();
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]{\" ".contains(c);
            carries_on &= !(key.chars().all(plain) && line.contains([' ', '[']));
        }
        if carries_on && hint.is_none() {
            hidden.push(start..end);
        }
        start += line.len();
    }
    hidden
}
