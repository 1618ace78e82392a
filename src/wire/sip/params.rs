//! `;name=value` lists, as behind a name-addr, a Via or inside a URI, and comma-separated lists.

use super::error::Fault;
use super::table::{LWS, PARAM_MARK, PARAM_VALUE, TOKEN, find, skip, trim};

/// Parameters: nothing, or text that begins with `;`. Names are compared without case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Parameters over `raw`, which is empty or begins with `;` (not checked here).
    pub(crate) const fn new(raw: &'a str) -> Self {
        Self(raw)
    }

    /// The text, with its leading `;`.
    pub const fn raw(&self) -> &'a str {
        self.0
    }

    /// Name and value of each, in order. The value is `None` for `;lr`; quotes stay on.
    pub const fn iter(&self) -> ParamsIter<'a> {
        ParamsIter { rest: self.0 }
    }

    /// The value of the first parameter of this name: empty for one without a value.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.unwrap_or(""))
    }

    /// Whether a parameter of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Checks the grammar of `generic-param` (RFC 3261 §25.1): each has a name, and a value where
    /// it has an equals sign. `received` and `maddr` may hold an IPv6 address without brackets.
    /// Gives the value of the first parameter called `wanted` on the way, as [`Params::get`] does,
    /// but nothing for an empty one.
    pub(crate) fn check(&self, wanted: &str) -> Result<Option<&'a str>, Fault> {
        let bytes = self.0.as_bytes();
        let (mut at, mut found) = (0, None);
        while at < bytes.len() {
            if bytes[at] != b';' {
                return Err(Fault::new(at, "expected ';'"));
            }
            let name = skip(bytes, at + 1, LWS);
            at = skip(bytes, name, TOKEN);
            if at == name {
                return Err(Fault::new(at, "empty parameter name"));
            }
            let is_wanted = bytes[name..at].eq_ignore_ascii_case(wanted.as_bytes());
            at = skip(bytes, at, LWS);
            if bytes.get(at) != Some(&b'=') {
                continue;
            }
            let value = skip(bytes, at + 1, LWS);
            at = match bytes.get(value) {
                Some(b'"') => {
                    quoted_end(bytes, value).ok_or_else(|| Fault::new(value, "unclosed quote"))?
                }
                _ => skip(bytes, value, PARAM_VALUE),
            };
            if at == value {
                return Err(Fault::new(at, "empty parameter value"));
            }
            if is_wanted && found.is_none() {
                found = self.0.get(value..at);
            }
            at = skip(bytes, at, LWS);
        }
        Ok(found)
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = (&'a str, Option<&'a str>);
    type IntoIter = ParamsIter<'a>;

    fn into_iter(self) -> ParamsIter<'a> {
        self.iter()
    }
}

/// The parameters of a list, in order.
#[derive(Clone, Debug)]
pub struct ParamsIter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for ParamsIter<'a> {
    type Item = (&'a str, Option<&'a str>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest.as_bytes();
        if bytes.is_empty() {
            return None;
        }
        let mut equals = None;
        let mut at = find(bytes, 1, PARAM_MARK);
        while let Some(mark) = bytes.get(at) {
            match mark {
                b';' => break,
                b'"' => at = quoted_end(bytes, at).unwrap_or(bytes.len()) - 1,
                _ => equals = equals.or(Some(at)),
            }
            at = find(bytes, at + 1, PARAM_MARK);
        }
        // Every cut is beside an ASCII byte, so each piece is text; `get` says so without a panic.
        let piece = |start: usize, end: usize| trim(self.rest.get(start..end).unwrap_or(""));
        let item = match equals {
            Some(equals) => (piece(1, equals), Some(piece(equals + 1, at))),
            None => (piece(1, at), None),
        };
        self.rest = self.rest.get(at..).unwrap_or("");
        Some(item)
    }
}

/// The offset behind the quoted string that begins at `at`, or `None` where it is not closed.
#[inline]
pub(crate) fn quoted_end(bytes: &[u8], at: usize) -> Option<usize> {
    debug_assert_eq!(bytes.get(at), Some(&b'"'));
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Splits a comma-separated value at its top level: commas inside quotes and angle brackets do
/// not count. Gives the first item, trimmed, and what is behind its comma.
pub fn split_list(text: &str) -> (&str, Option<&str>) {
    let bytes = text.as_bytes();
    if memchr::memchr(b',', bytes).is_none() {
        return (trim(text), None);
    }
    let mut in_angles = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if !in_angles => at = quoted_end(bytes, at).unwrap_or(bytes.len()) - 1,
            b'<' => in_angles = true,
            b'>' => in_angles = false,
            b',' if !in_angles => {
                return (trim(text.get(..at).unwrap_or("")), text.get(at + 1..));
            }
            _ => {}
        }
        at += 1;
    }
    (trim(text), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_behind_quotes_and_folds() {
        let params = Params::new(" ;a=\"x;y\\\"=\"; lr\r\n ;Tag = 17".trim_start());
        assert_eq!(params.get("tag"), Some("17"));
        assert_eq!(params.get("LR"), Some(""));
        assert_eq!(params.get("a"), Some("\"x;y\\\"=\""));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.iter().count(), 3);
        assert_eq!(params.check("tag"), Ok(Some("17")));
    }

    #[test]
    fn empty_names_and_open_quotes_are_faults() {
        for bad in [";", ";;a", ";a=", ";a=\"x", ";a b", ";=1", ";a=b,c"] {
            assert!(Params::new(bad).check("").is_err(), "{bad}");
            assert!(Params::new(bad).iter().count() < 4);
        }
        assert_eq!(Params::new(";received=2001:db8::9:255;rport").check("rport"), Ok(None));
    }

    #[test]
    fn lists_split_outside_quotes_and_angles_only() {
        let (first, rest) = split_list(" \"a,b\" <sip:a,b@c> ;x , <sip:d>");
        assert_eq!(first, "\"a,b\" <sip:a,b@c> ;x");
        assert_eq!(split_list(rest.expect("rest")), ("<sip:d>", None));
        assert_eq!(split_list("\"open, quote"), ("\"open, quote", None));
    }
}
