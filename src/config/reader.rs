//! Reads typed values out of a parsed document and collects what is wrong instead of stopping at
//! it. What cannot be read is replaced by a stand-in of the right type; the file is refused in the
//! end, so nobody sees one.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Kind, Need};
use super::report::{Finding, Severity};
use super::{Secret, Surroundings};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// What has been found so far, and what may not be shown.
pub(super) struct Sink<'s> {
    pub(super) findings: Vec<Finding>,
    pub(super) hidden: Vec<Range<usize>>,
    pub(super) surroundings: &'s dyn Surroundings,
}

impl<'s> Sink<'s> {
    pub(super) fn new(surroundings: &'s dyn Surroundings) -> Self {
        Self { findings: Vec::new(), hidden: Vec::new(), surroundings }
    }

    /// Notes an error: which setting, where, what is wrong, what was expected, what to do.
    pub(super) fn error(
        &mut self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Error, key, span, [message.into(), expected.into(), help.into()]);
    }

    /// Notes a warning.
    pub(super) fn warn(
        &mut self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Warning, key, span, [message.into(), expected.into(), help.into()]);
    }

    fn note(&mut self, severity: Severity, key: &str, span: Range<usize>, words: [String; 3]) {
        let [message, expected, help] = words;
        let key = key.to_owned();
        self.findings.push(Finding { severity, span, key, message, expected, help });
    }
}

/// One table of the document, read against its section of the table of settings.
pub(super) struct Section<'d> {
    known: &'static keys::Section,
    table: Option<&'d DeTable<'d>>,
    /// Where the table begins: what is missing is missing there.
    pub(super) span: Range<usize>,
}

impl<'d> Section<'d> {
    /// Opens a table and notes the settings that its section does not know. Without a table every
    /// setting is absent.
    pub(super) fn open(
        sink: &mut Sink<'_>,
        known: &'static keys::Section,
        table: Option<&'d DeTable<'d>>,
        span: Range<usize>,
    ) -> Self {
        for (name, value) in table.into_iter().flatten() {
            let Some(key) = known.key(name.get_ref()) else {
                hide(sink, value);
                unknown(sink, known.path, name.get_ref(), name.span(), known.keys);
                continue;
            };
            if key.secret {
                hide(sink, value);
            }
        }
        Self { known, table, span }
    }

    /// The full path of a setting.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.known.path)
    }

    /// Where a setting's value stands, or the section where it is absent.
    pub(super) fn place(&self, name: &str) -> Range<usize> {
        self.find(name).map_or_else(|| self.span.clone(), |(_, span)| span)
    }

    /// Whether the setting is in the file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A string; `None` where it is absent or wrong.
    pub(super) fn text(&self, sink: &mut Sink<'_>, name: &str) -> Option<At<String>> {
        let value = self.value(sink, name)?;
        let Some(text) = value.value.as_str() else {
            self.wrong_type(sink, name, &value);
            return None;
        };
        Some(At { value: text.to_owned(), span: value.span })
    }

    /// An array of strings.
    pub(super) fn texts(&self, sink: &mut Sink<'_>, name: &str) -> Vec<At<String>> {
        let Some(value) = self.value(sink, name) else { return Vec::new() };
        let Some(array) = value.value.as_array() else {
            self.wrong_type(sink, name, &value);
            return Vec::new();
        };
        let default = !self.has(name);
        let mut texts = Vec::new();
        for item in array.iter() {
            let span = if default { value.span.clone() } else { item.span() };
            match item.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), span }),
                None => {
                    let kind = described(item.get_ref());
                    let message = format!("`{name}` holds {kind} among its strings");
                    sink.error(&self.path(name), span, message, "expected a string in quotes", "");
                }
            }
        }
        texts
    }

    /// A number in the range of the table; the smallest where it is wrong, `None` where it is
    /// absent and has no default.
    pub(super) fn number<T: TryFrom<i64>>(&self, sink: &mut Sink<'_>, name: &str) -> Option<T> {
        let key = self.known(name);
        let Kind::Integer { min, max, .. } = key.kind else {
            panic!("`{name}` is read as the table of settings says");
        };
        let value = self.value(sink, name)?;
        let Some(integer) = value.value.as_integer() else {
            self.wrong_type(sink, name, &value);
            return T::try_from(min).ok();
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let Some(number) = number.filter(|number| (min..=max).contains(number)) else {
            let message = format!("`{name}` is out of range");
            sink.error(&self.path(name), value.span, message, format!("expected {}", key.kind), "");
            return T::try_from(min).ok();
        };
        T::try_from(number).ok()
    }

    /// `true` or `false`; `None` where it is absent and has no default.
    pub(super) fn boolean(&self, sink: &mut Sink<'_>, name: &str) -> Option<bool> {
        let value = self.value(sink, name)?;
        let boolean = value.value.as_bool();
        if boolean.is_none() {
            self.wrong_type(sink, name, &value);
        }
        boolean
    }

    /// The place of the word in the table's list of words.
    pub(super) fn choice(&self, sink: &mut Sink<'_>, name: &str) -> Option<At<&'static str>> {
        let Kind::Choice(words) = self.known(name).kind else {
            panic!("`{name}` is read as the table of settings says");
        };
        let text = self.text(sink, name)?;
        let found = words.iter().find(|word| **word == text.value);
        if found.is_none() {
            let message = format!("`{}` is no value of `{name}`", text.value);
            let expected = format!("expected {}", Kind::Choice(words));
            let help = did_you_mean(&text.value, words);
            sink.error(&self.path(name), text.span.clone(), message, expected, help);
        }
        Some(At { value: found?, span: text.span })
    }

    /// The table, or the tables of an array, opened.
    pub(super) fn tables(&self, sink: &mut Sink<'_>, name: &str) -> Vec<Self> {
        let Kind::Tables(inner) = self.known(name).kind else {
            panic!("`{name}` is read as the table of settings says");
        };
        let inner = keys::section(inner).expect("a test opens every section of the table");
        let Some((value, span)) = self.find(name) else {
            self.missing(sink, name);
            return Vec::new();
        };
        match value {
            DeValue::Table(table) if !inner.repeated => {
                vec![Self::open(sink, inner, Some(table), span)]
            }
            DeValue::Array(array) if inner.repeated => {
                open_all(sink, inner, array, &self.path(name))
            }
            _ => {
                self.hide(sink, name);
                let message = format!("`{name}` is {}", described(value));
                let expected =
                    if inner.repeated { "expected an array of tables" } else { "expected a table" };
                let help = format!("write {name} = {}", self.known(name).example);
                sink.error(&self.path(name), span, message, expected, help);
                Vec::new()
            }
        }
    }

    /// A secret that is written here, or in the file that `NAME_file` names, or in the environment
    /// variable that `NAME_env` names where the section has such a setting. `None` where there is
    /// none, or it cannot be had.
    pub(super) fn secret(&self, sink: &mut Sink<'_>, name: &str) -> Option<At<Secret>> {
        let (file, env) = (format!("{name}_file"), format!("{name}_env"));
        let given: Vec<_> = [name, &file, &env].into_iter().filter(|name| self.has(name)).collect();
        if let [_, second, ..] = given[..] {
            let message = format!("`{}` and `{second}` are both given", given[0]);
            let help = "keep one of them";
            sink.error(&self.path(name), self.place(second), message, "expected only one", help);
            return None;
        }
        let given = *given.first()?;
        let text = self.text(sink, given)?;
        let fetched = if given == name {
            Ok(text.value)
        } else if given == file {
            let first = |all: String| all.lines().next().unwrap_or("").trim().to_owned();
            sink.surroundings.read(&text.value).map(first).map_err(|e| e.to_string())
        } else {
            sink.surroundings.environment(&text.value).ok_or_else(|| "it is not set".to_owned())
        };
        match fetched {
            Ok(value) if !value.is_empty() => {
                Some(At { value: Secret::new(value), span: text.span })
            }
            Ok(_) => {
                let message = format!("`{given}` gives an empty {name}");
                sink.error(&self.path(given), text.span, message, "expected some text", "");
                None
            }
            Err(why) => {
                let message = format!("`{given}` cannot be read: {why}");
                let help = "paths start at the directory of this file";
                let help = if given == file { help } else { "set it where carrick runs" };
                sink.error(&self.path(given), text.span, message, "named here", help);
                None
            }
        }
    }

    /// Hides a setting's value from every report.
    pub(super) fn hide(&self, sink: &mut Sink<'_>, name: &str) {
        if let Some(value) = self.entry(name) {
            hide(sink, value);
        }
    }

    /// A raw value for what has no type of its own.
    pub(super) fn raw(&self, name: &str) -> Option<&'d DeValue<'d>> {
        self.find(name).map(|(value, _)| value)
    }

    fn find(&self, name: &str) -> Option<(&'d DeValue<'d>, Range<usize>)> {
        let value = self.entry(name)?;
        Some((value.get_ref(), value.span()))
    }

    fn entry(&self, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        let mut entries = self.table?.iter();
        entries.find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    /// The value in the file, or the default of the table.
    fn value(&self, sink: &mut Sink<'_>, name: &str) -> Option<At<DeValue<'d>>> {
        if let Some((value, span)) = self.find(name) {
            return Some(At { value: value.clone(), span });
        }
        if let Need::Default(literal) = self.known(name).need {
            let value = DeValue::parse(literal).expect("a test reads every default");
            return Some(At { value: value.into_inner(), span: self.span.clone() });
        }
        self.missing(sink, name);
        None
    }

    fn missing(&self, sink: &mut Sink<'_>, name: &str) {
        let key = self.known(name);
        if key.need != Need::Required {
            return;
        }
        let header = self.known.header();
        let message = format!("{header} has no `{name}`");
        let help = format!("add {name} = {}", key.example);
        sink.error(&self.path(name), self.span.clone(), message, "needed here", help);
    }

    fn known(&self, name: &str) -> &'static Key {
        let Some(key) = self.known.key(name) else {
            panic!("`{}.{name}` is not in the table of settings", self.known.path);
        };
        key
    }

    fn wrong_type(&self, sink: &mut Sink<'_>, name: &str, value: &At<DeValue<'_>>) {
        let key = self.known(name);
        let message = format!("`{name}` is {}", described(&value.value));
        let expected = format!("expected {}", key.kind);
        let help = format!("write it as in {name} = {}", key.example);
        sink.error(&self.path(name), value.span.clone(), message, expected, help);
    }
}

/// Opens the tables of an array.
pub(super) fn open_all<'d>(
    sink: &mut Sink<'_>,
    known: &'static keys::Section,
    array: &'d toml::de::DeArray<'d>,
    path: &str,
) -> Vec<Section<'d>> {
    let mut sections = Vec::new();
    for item in array.iter() {
        match item.get_ref().as_table() {
            Some(table) => sections.push(Section::open(sink, known, Some(table), item.span())),
            None => {
                hide(sink, item);
                let message = format!("`{path}` holds {}", described(item.get_ref()));
                sink.error(path, item.span(), message, "expected a table { key = value }", "");
            }
        }
    }
    sections
}

/// Notes a name that is not in the table of settings.
pub(super) fn unknown(
    sink: &mut Sink<'_>,
    path: &str,
    name: &str,
    span: Range<usize>,
    keys: &[Key],
) {
    let names: Vec<_> = keys.iter().map(|key| key.name).collect();
    let elsewhere = keys::sections().find(|s| s.is_top() && s.key(name).is_some());
    let help = match (did_you_mean(name, &names), elsewhere) {
        (help, _) if !help.is_empty() => help,
        (_, Some(section)) => format!("`{name}` belongs in {}", section.header()),
        _ => format!("carrick explain {path} lists the settings"),
    };
    let message = format!("`{name}` is not a setting of [{path}]");
    sink.error(path, span, message, format!("expected {}", listed(&names)), help);
}

/// Hides a value, and all that is in it, from every report. A table that dotted keys make has the
/// place of its key only, so its values are hidden one by one.
pub(super) fn hide(sink: &mut Sink<'_>, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|inner| hide(sink, inner)),
        DeValue::Array(array) => array.iter().for_each(|inner| hide(sink, inner)),
        _ => sink.hidden.push(value.span()),
    }
}

/// "did you mean `x`?", or nothing.
pub(super) fn did_you_mean<S: AsRef<str>>(word: &str, candidates: &[S]) -> String {
    let near = keys::nearest(word, candidates);
    near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default()
}

/// "a, b or c".
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The type of a value in words; never the value.
pub(super) fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
