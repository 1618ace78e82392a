//! L1: the host's TOML file: parse -> check -> [`Config`]. All that is wrong is reported at once,
//! each with line, caret, what was expected and what to do. A `Config` that exists is sound: names
//! that refer to something refer to something that is there, and units are units.

mod host;
pub mod keys;
mod model;
mod provisioning;
mod reader;
mod references;
mod report;
mod secret;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use model::*;
pub use report::{Errors, Problem, Severity, Warning, counted, to_json};
pub use secret::Secret;
pub use template::template;

use reader::{Section, Sink, did_you_mean, hide, listed, open_all};
use report::{Finding, guess_hidden, render};

/// What a file may refer to outside itself.
pub trait Surroundings {
    /// The text of a file that a setting names.
    fn read(&self, path: &str) -> std::io::Result<String>;
    /// An environment variable.
    fn environment(&self, name: &str) -> Option<String>;
    /// Where a path that a setting names leads.
    fn path(&self, path: &str) -> PathBuf;
}

/// The host that the program runs on; relative paths start at the directory of the file.
#[derive(Clone, Debug)]
pub struct HostSurroundings {
    directory: PathBuf,
}

impl HostSurroundings {
    /// Surroundings of the file of that name.
    pub fn of(file_name: &str) -> Self {
        let directory = Path::new(file_name).parent().map(Path::to_owned).unwrap_or_default();
        Self { directory }
    }
}

impl Surroundings for HostSurroundings {
    fn read(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.path(path))
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }
}

impl Config {
    /// Parses the text of a file; `file_name` is for messages and for paths that are relative.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, warnings included. Where the text is no TOML, only that.
    pub fn parse(source: &str, file_name: &str) -> Result<(Self, Vec<Warning>), Errors> {
        Self::parse_with(source, file_name, &HostSurroundings::of(file_name))
    }

    /// As [`Config::parse`], with other surroundings than the host's.
    ///
    /// # Errors
    ///
    /// As [`Config::parse`].
    pub fn parse_with(
        source: &str,
        file_name: &str,
        surroundings: &dyn Surroundings,
    ) -> Result<(Self, Vec<Warning>), Errors> {
        let file = file_name.to_owned();
        let (document, syntax) = DeTable::parse_recoverable(source);
        if !syntax.is_empty() {
            let hidden = guess_hidden(source);
            let findings = syntax.iter().map(syntax_error).collect();
            let mut problems = render(file_name, source, &hidden, findings);
            // What follows on the same line is most often a consequence.
            problems.dedup_by_key(|problem| problem.line);
            return Err(Errors { file, problems });
        }
        let mut sink = Sink::new(surroundings);
        let config = read(&mut sink, document.get_ref());
        let problems = render(file_name, source, &sink.hidden, sink.findings);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(Errors { file, problems });
        }
        Ok((config, problems))
    }
}

fn syntax_error(error: &toml::de::Error) -> Finding {
    let message = error.message().lines().next().unwrap_or("");
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let expected = match expected {
        "" | "nothing" => String::new(),
        _ => format!("expected {expected}"),
    };
    Finding {
        severity: Severity::Error,
        span: error.span().unwrap_or(0..0),
        key: String::new(),
        message: format!("this is no TOML: {message}"),
        expected,
        help: match message {
            "duplicate key" => "each setting and each [table] stands once; [[table]] repeats",
            _ => "strings go in quotes, arrays in [ ], and each setting on a line of its own",
        }
        .to_owned(),
    }
}

fn read(sink: &mut Sink<'_>, document: &DeTable<'_>) -> Config {
    let root = Root { document };
    root.check_names(sink);
    let host = host::read(sink, &root);
    let provisioned = provisioning::read(sink, &root, &host.edge, &host.callbacks);
    references::check(sink, &provisioned, &host.edge);
    let provisioning::Provisioned {
        applications,
        trunks,
        access_lists,
        credential_lists,
        numbers,
        carriers,
    } = provisioned;
    let host::Host { edge, sip, media, runtime, api, callbacks, drain, log } = host;
    fn values<T>(read: Vec<provisioning::Read<T>>) -> Vec<T> {
        read.into_iter().map(|read| read.value).collect()
    }
    Config {
        edge,
        sip,
        media,
        runtime,
        api,
        callbacks,
        drain,
        log,
        applications: values(applications),
        trunks: values(trunks),
        access_lists: values(access_lists),
        credential_lists: values(credential_lists),
        numbers: values(numbers),
        carriers: values(carriers),
    }
}

/// The document itself.
struct Root<'d> {
    document: &'d DeTable<'d>,
}

impl<'d> Root<'d> {
    fn check_names(&self, sink: &mut Sink<'_>) {
        let top = || keys::sections().filter(|section| section.is_top());
        let names: Vec<_> = top().map(|section| section.path).collect();
        for (name, value) in self.document {
            let word = name.get_ref().as_ref();
            if names.contains(&word) {
                continue;
            }
            hide(sink, value);
            let home = top().find(|section| section.key(word).is_some());
            let help = match (did_you_mean(word, &names), home) {
                (help, _) if !help.is_empty() => help,
                (_, Some(section)) => format!("`{word}` belongs in {}", section.header()),
                _ => String::new(),
            };
            let message = format!("`{word}` is no table of this file");
            sink.error("", name.span(), message, format!("expected {}", listed(&names)), help);
        }
    }

    /// A table that may stand once; where it is absent, all its settings are.
    fn one(&self, sink: &mut Sink<'_>, path: &'static str) -> Section<'d> {
        let known = keys::section(path).expect("a section of the table of settings");
        let (table, span) = match self.find(path) {
            Some(value) if value.get_ref().is_table() => (value.get_ref().as_table(), value.span()),
            Some(value) => {
                wrong_header(sink, path, value, &known.header());
                (None, value.span())
            }
            None => (None, 0..0),
        };
        Section::open(sink, known, table, span)
    }

    /// The tables of a section that may stand many times.
    fn many(&self, sink: &mut Sink<'_>, path: &'static str) -> Vec<Section<'d>> {
        let known = keys::section(path).expect("a section of the table of settings");
        let Some(value) = self.find(path) else { return Vec::new() };
        if let Some(array) = value.get_ref().as_array() {
            return open_all(sink, known, array, path);
        }
        wrong_header(sink, path, value, &known.header());
        let table = value.get_ref().as_table();
        table.map(|t| Section::open(sink, known, Some(t), value.span())).into_iter().collect()
    }

    fn find(&self, path: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.document.iter().find(|(name, _)| name.get_ref() == path).map(|(_, value)| value)
    }
}

fn wrong_header(sink: &mut Sink<'_>, path: &str, value: &Spanned<DeValue<'_>>, header: &str) {
    hide(sink, value);
    let message = format!("`{path}` has the wrong form");
    let help = format!("write {header} on a line of its own, and the settings below it");
    sink.error(path, value.span(), message, format!("expected {header}"), help);
}
