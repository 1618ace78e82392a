//! The one table of settings. The reader knows keys, types, defaults and ranges from it, `init`
//! writes its file from it, and `explain` prints from it, so that none can differ.

mod host;
mod provisioning;

use std::fmt;

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number from `min` to `max`, in `unit` ("" where it counts things).
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Unit in words.
        unit: &'static str,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An array of strings.
    Texts,
    /// A table, or an array of tables, with the settings of the section of that path.
    Tables(&'static str),
}

/// Whether a setting must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// Without it, what its description says happens.
    Optional,
    /// Without it, this TOML value counts.
    Default(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name inside its section.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it must be there.
    pub need: Need,
    /// A TOML value that shows the form.
    pub example: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its path: `sip`, `trunk`, `trunk.origination`.
    pub path: &'static str,
    /// Whether it may be there many times (`[[trunk]]`).
    pub repeated: bool,
    /// What it is for.
    pub doc: &'static str,
    /// Its settings.
    pub keys: &'static [Key],
}

/// All sections: the host's own first, then what is provisioned.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    host::SECTIONS.iter().chain(provisioning::SECTIONS)
}

/// The section of that path.
pub fn section(path: &str) -> Option<&'static Section> {
    sections().find(|section| section.path == path)
}

impl Section {
    /// The setting of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether the section stands in the file under a header of its own.
    pub fn is_top(&self) -> bool {
        !self.path.contains('.')
    }

    /// How a header of it looks.
    pub fn header(&self) -> String {
        if self.repeated { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string in quotes"),
            Self::Integer { min, max, unit: "" } => write!(f, "a number from {min} to {max}"),
            Self::Integer { min, max, unit } => {
                write!(f, "a number of {unit} from {min} to {max}")
            }
            Self::Boolean => f.write_str("true or false"),
            Self::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "one of {}", quoted.join(", "))
            }
            Self::Texts => f.write_str("an array of strings"),
            Self::Tables(_) => f.write_str("a table, as in `{ key = value }`"),
        }
    }
}

/// What `carrick explain` prints for a section's path or a setting's (`sip`, `sip.t1_ms`); the
/// error suggests the nearest path.
pub fn explain(path: &str) -> Result<String, String> {
    if let Some(section) = section(path) {
        let mut text = format!("{}\n  {}\n\n", section.header(), wrapped(section.doc, "  "));
        for key in section.keys {
            text.push_str(&format!("  {}: {}\n", key.name, key.kind));
        }
        return Ok(text);
    }
    let found = path.rsplit_once('.').and_then(|(outer, name)| section(outer)?.key(name));
    let Some(key) = found else {
        let near = nearest(path, &paths()).map(|p| format!("; did you mean `{p}`?"));
        return Err(format!("there is no setting `{path}`{}", near.unwrap_or_default()));
    };
    let need = match key.need {
        Need::Required => "required".to_owned(),
        Need::Optional => "optional".to_owned(),
        Need::Default(value) => format!("default {value}"),
    };
    let doc = wrapped(key.doc, "  ");
    let Key { kind, example, .. } = key;
    let name = key.name;
    Ok(format!(
        "{path}\n  {doc}\n\n  type:    {kind}\n  need:    {need}\n  example: {name} = {example}\n"
    ))
}

/// `words` as lines of at most 90 columns, each but the first after `indent`.
pub(super) fn wrapped(words: &str, indent: &str) -> String {
    let mut text = String::new();
    let mut column = indent.len();
    for word in words.split_whitespace() {
        if column + word.len() + 1 > 90 {
            text.push('\n');
            text.push_str(indent);
            column = indent.len();
        } else if !text.is_empty() {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

fn paths() -> Vec<String> {
    let own = sections().map(|section| section.path.to_owned());
    let keys = sections().flat_map(|s| s.keys.iter().map(|k| format!("{}.{}", s.path, k.name)));
    own.chain(keys).collect()
}

/// The candidate that `word` most likely stands for, if any is near.
pub fn nearest<'c, S: AsRef<str>>(word: &str, candidates: &'c [S]) -> Option<&'c str> {
    let score = |c: &&'c S| strsim::jaro_winkler(&word.to_lowercase(), &c.as_ref().to_lowercase());
    let best = candidates.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) >= 0.8).then(|| best.as_ref())
}

const fn key(name: &'static str, kind: Kind, need: Need, example: &'static str) -> Key {
    Key { name, kind, need, example, doc: "", secret: false }
}

impl Key {
    const fn text(name: &'static str, need: Need, example: &'static str) -> Self {
        key(name, Kind::Text, need, example)
    }

    const fn texts(name: &'static str, need: Need, example: &'static str) -> Self {
        key(name, Kind::Texts, need, example)
    }

    const fn secret(name: &'static str, example: &'static str) -> Self {
        let mut key = key(name, Kind::Text, Need::Optional, example);
        key.secret = true;
        key
    }

    const fn boolean(name: &'static str, default: &'static str) -> Self {
        key(name, Kind::Boolean, Need::Default(default), default)
    }

    const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        default: &'static str,
    ) -> Self {
        key(name, Kind::Choice(words), Need::Default(default), default)
    }

    const fn integer(
        name: &'static str,
        min: i64,
        max: i64,
        unit: &'static str,
        default: &'static str,
    ) -> Self {
        key(name, Kind::Integer { min, max, unit }, Need::Default(default), default)
    }

    const fn limit(name: &'static str, max: i64, example: &'static str) -> Self {
        key(name, Kind::Integer { min: 1, max, unit: "" }, Need::Optional, example)
    }

    const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_and_its_default_has_its_type() {
        for section in sections() {
            assert!(!section.doc.is_empty(), "{}", section.path);
            for key in section.keys {
                let path = format!("{}.{}", section.path, key.name);
                assert!(key.doc.ends_with('.'), "{path} has no description");
                let mut values = vec![key.example];
                if let Need::Default(value) = key.need {
                    values.push(value);
                }
                for value in values {
                    let value = toml::de::DeValue::parse(value).expect(&path);
                    let value = value.get_ref();
                    let fits = match key.kind {
                        Kind::Text => value.is_str(),
                        Kind::Boolean => value.is_bool(),
                        Kind::Texts => value.is_array(),
                        Kind::Choice(words) => words.contains(&value.as_str().unwrap_or("")),
                        Kind::Integer { min, max, .. } => value
                            .as_integer()
                            .and_then(|i| i.as_str().parse::<i64>().ok())
                            .is_some_and(|i| (min..=max).contains(&i)),
                        Kind::Tables(inner) => {
                            assert!(super::section(inner).is_some(), "{path}: no {inner}");
                            value.is_array() || value.is_table()
                        }
                    };
                    assert!(fits, "{path} = {value:?}");
                }
            }
        }
    }

    #[test]
    fn explains_and_suggests() {
        let text = explain("sip.t1_ms").expect("there");
        assert!(text.contains("milliseconds") && text.contains("default 500"), "{text}");
        assert!(explain("trunk").expect("there").contains("origination"));
        let error = explain("sip.t1").expect_err("not there");
        assert!(error.contains("`sip.t1_ms`"), "{error}");
    }
}
