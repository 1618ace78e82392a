//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route and kin
//! (RFC 3261 §20.10, §20.20, §20.39).

use super::error::Fault;
use super::params::{Params, quoted_end};
use super::table::{DISPLAY, LWS, SPEC_END, find, skip, trim};
use super::uri::Uri;

/// An address with a display name and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name: without its quotes, with its escapes; empty where there is none.
    pub display: &'a str,
    /// The address, as text; [`NameAddr::parse_uri`] reads it.
    pub uri: &'a str,
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list), without white space at its ends. The URI's own grammar is
    /// left to [`NameAddr::parse_uri`].
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let (display, open) = match bytes.first() {
            None => return Err(Fault::new(0, "empty")),
            Some(b'<') => ("", 0),
            Some(b'"') => {
                let end = quoted_end(bytes, 0).ok_or(Fault::new(0, "unclosed quote"))?;
                let open = skip(bytes, end, LWS);
                if bytes.get(open) != Some(&b'<') {
                    return Err(Fault::new(open, "expected '<' behind the display name"));
                }
                (text.get(1..end - 1).unwrap_or(""), open)
            }
            Some(_) => {
                let open = find(bytes, 0, SPEC_END);
                let open = skip(bytes, open, DISPLAY);
                match bytes.get(open) {
                    Some(b'<') => (plain_display(text, open)?, open),
                    _ => return Self::addr_spec(text),
                }
            }
        };
        let rest = &bytes[open + 1..];
        let Some(close) = memchr::memchr(b'>', rest).map(|close| open + 1 + close) else {
            return Err(Fault::new(open, "unclosed '<'"));
        };
        let uri = text.get(open + 1..close).unwrap_or("");
        let params = skip(bytes, close + 1, LWS);
        if params < bytes.len() && bytes[params] != b';' {
            return Err(Fault::new(params, "expected ';' behind '>'"));
        }
        Ok(Self { display, uri, params: Params::new(text.get(params..).unwrap_or("")) })
    }

    /// An address without angle brackets: what follows its first `;` belongs to the header, and a
    /// `?` or a comma may not stand in it (RFC 3261 §20.10).
    fn addr_spec(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let end = find(bytes, 0, SPEC_END);
        if matches!(bytes.get(end), Some(b'?' | b',' | b'<' | b'>' | b'"')) {
            return Err(Fault::new(end, "an address of this shape needs angle brackets"));
        }
        let params = skip(bytes, end, LWS);
        if params < bytes.len() && bytes[params] != b';' {
            return Err(Fault::new(params, "expected ';' behind the address"));
        }
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("");
        Ok(Self { display: "", uri: part(0..end), params: Params::new(part(params..bytes.len())) })
    }

    /// The `tag` parameter, where it is there and not empty.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The address, read. The fault's offset is within [`NameAddr::uri`].
    pub fn parse_uri(&self) -> Result<Uri<'a>, Fault> {
        Uri::parse(self.uri)
    }
}

/// A display name without quotes: tokens and white space (and, for the sake of peers that do not
/// quote, non-ASCII text).
fn plain_display(text: &str, open: usize) -> Result<&str, Fault> {
    let bytes = text.as_bytes();
    let end = skip(bytes, 0, DISPLAY);
    if end != open {
        return Err(Fault::new(end, "display name needs quotes"));
    }
    Ok(trim(text.get(..open).unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_shapes() {
        for (text, display, uri, tag) in [
            ("<sip:a@b>;tag=1", "", "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", "", "sip:a@b", Some("1")),
            ("sip:a@b", "", "sip:a@b", None),
            ("caller<sip:a@b;x=y>;TAG = 2", "caller", "sip:a@b;x=y", Some("2")),
            (
                "\"J, \\\"R\\\" <x>\"  <sip:a@b>\r\n  ;\r\n  tag = 98",
                "J, \\\"R\\\" <x>",
                "sip:a@b",
                Some("98"),
            ),
            ("T desk phone <tel:+123>", "T desk phone", "tel:+123", None),
            ("sip:a@b ;   tag    = 19", "", "sip:a@b", Some("19")),
            ("sip:a@b;x=\"<\";tag=7", "", "sip:a@b", Some("7")),
        ] {
            let name = NameAddr::parse(text).expect(text);
            assert_eq!((name.display, name.uri, name.tag()), (display, uri, tag), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for bad in [
            "",
            "\"Mr. J. User <sip:j@example.com>",
            "Bell, Alexander <sip:a@b>;tag=43",
            "sip:user@example.com?Route=%3Csip:x%3E",
            "<sip:a@b",
            "<sip:a@b> tag=1",
            "\"x\" sip:a@b",
            "sip:a@b tag=1",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad}");
        }
    }
}
