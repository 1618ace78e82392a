//! The parameter list of challenges and credentials (RFC 7616 §3.3, §3.4): one strict grammar for
//! both. What is not exactly it is refused, because a second reading is where attacks live.

use crate::base::bounded::List;

/// Parameters of one header value.
const PARAMETERS_MAX: usize = 20;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parameter<'a> {
    name: &'a str,
    /// Without its quotes; escapes stay.
    value: &'a str,
    quoted: bool,
}

/// The parameters of a `Digest` value; no name twice.
#[derive(Clone, Debug)]
pub(super) struct Parameters<'a>(List<Parameter<'a>, PARAMETERS_MAX>);

/// Why a value is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Another scheme (Basic, AKA ...): none of ours.
    OtherScheme,
    /// Not the grammar.
    Malformed(&'static str),
}

impl<'a> Parameters<'a> {
    /// Reads `Digest name=value, name="value" ...`.
    pub(super) fn parse(value: &'a str) -> Result<Self, Unread> {
        let (scheme, rest) = value.split_at(value.find(is_space).unwrap_or(value.len()));
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(Unread::OtherScheme);
        }
        let mut parameters = Self(List::new());
        let mut rest = rest.trim_start_matches(is_space);
        loop {
            let (parameter, behind) = one(rest).map_err(Unread::Malformed)?;
            if parameters.find(parameter.name).is_some() {
                return Err(Unread::Malformed("a parameter is there twice"));
            }
            if parameters.0.try_push(parameter).is_err() {
                return Err(Unread::Malformed("too many parameters"));
            }
            rest = behind.trim_start_matches(is_space);
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind.trim_start_matches(is_space),
                None if rest.is_empty() => return Ok(parameters),
                None => return Err(Unread::Malformed("expected a comma")),
            }
        }
    }

    /// A parameter that is quoted or a token.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|parameter| parameter.value)
    }

    /// A parameter that has to be quoted.
    pub(super) fn quoted(&self, name: &str) -> Option<&'a str> {
        self.find(name).filter(|parameter| parameter.quoted).map(|parameter| parameter.value)
    }

    fn find(&self, name: &str) -> Option<Parameter<'a>> {
        self.0.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name)).copied()
    }
}

fn one(text: &str) -> Result<(Parameter<'_>, &str), &'static str> {
    let (name, rest) = token(text);
    if name.is_empty() {
        return Err("expected a parameter");
    }
    let rest = rest.trim_start_matches(is_space).strip_prefix('=').ok_or("expected '='")?;
    let rest = rest.trim_start_matches(is_space);
    let Some(inner) = rest.strip_prefix('"') else {
        let (value, rest) = token(rest);
        return match value {
            "" => Err("empty value"),
            _ => Ok((Parameter { name, value, quoted: false }, rest)),
        };
    };
    let bytes = inner.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let value = inner.get(..at).unwrap_or("");
                let rest = inner.get(at + 1..).unwrap_or("");
                return Ok((Parameter { name, value, quoted: true }, rest));
            }
            b'\\' => at += 2,
            0..0x20 | 0x7f => return Err("a control character in a value"),
            _ => at += 1,
        }
    }
    Err("unclosed quote")
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// White space, with the line breaks of folds, which the message index has checked.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_quotes_and_white_space() {
        let text = "digest\t username = \"a \\\" b\" ,nc=00000001,\r\n qop=auth";
        let parameters = Parameters::parse(text).expect("good");
        assert_eq!(parameters.quoted("USERNAME"), Some("a \\\" b"));
        assert_eq!(parameters.get("nc"), Some("00000001"));
        assert_eq!(parameters.quoted("nc"), None);
        assert_eq!(parameters.get("qop"), Some("auth"));
        assert_eq!(parameters.get("uri"), None);
    }

    #[test]
    fn refuses_everything_else() {
        let malformed = |text: &str| matches!(Parameters::parse(text), Err(Unread::Malformed(_)));
        for bad in [
            "Digest",
            "Digest ",
            "Digest ,,,,",
            "Digest a=b,",
            "Digest a=b,,c=d",
            "Digest ,a=b",
            "Digest username=\"t1",
            "Digest a",
            "Digest a=",
            "Digest =b",
            "Digest a=b c=d",
            "Digest a=b;c=d",
            "Digest a=\"b\"c",
            "Digest a=b,A=c",
            "Digest a=\"b\\",
            "Digest a=\"\u{1}\"",
        ] {
            assert!(malformed(bad), "{bad}");
        }
        let many: Vec<String> = (0..21).map(|n| format!("a{n}=b")).collect();
        assert!(malformed(&format!("Digest {}", many.join(","))));
        assert_eq!(Parameters::parse("Basic dDE6cHc=").expect_err("none"), Unread::OtherScheme);
        assert_eq!(Parameters::parse("").expect_err("none"), Unread::OtherScheme);
    }
}
