//! Private headers of a call (`X-…`), bounded as the service bounds them.

use crate::base::bounded::{List, Text};
use crate::base::limits::{
    PRIVATE_HEADER_NAME_BYTES_MAX, PRIVATE_HEADERS_BYTES_MAX, PRIVATE_HEADERS_MAX,
};

/// Names and values, at most 1,024 bytes in all and 50 bytes a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateHeaders {
    text: Text<PRIVATE_HEADERS_BYTES_MAX>,
    lengths: List<(u8, u16), PRIVATE_HEADERS_MAX>,
}

/// Why a header was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRefused {
    /// The name is empty, longer than 50 bytes or no SIP token.
    Name,
    /// The value holds a control character.
    Value,
    /// More than 1,024 bytes or 16 headers in all.
    TooMany,
}

impl std::fmt::Display for HeaderRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "a header name has 1 to 50 characters of a SIP token",
            Self::Value => "a header value has no control characters",
            Self::TooMany => "all headers together have at most 1024 bytes and 16 names",
        })
    }
}

impl PrivateHeaders {
    /// Adds a header; `X-` is put before a name that lacks it.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), HeaderRefused> {
        let prefix =
            if name.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("x-")) { "" } else { "X-" };
        let name_length = prefix.len() + name.len();
        if name.is_empty() || name_length > PRIVATE_HEADER_NAME_BYTES_MAX || !is_token(name) {
            return Err(HeaderRefused::Name);
        }
        if value.chars().any(char::is_control) {
            return Err(HeaderRefused::Value);
        }
        if self.text.remaining_capacity() < name_length + value.len() || self.lengths.is_full() {
            return Err(HeaderRefused::TooMany);
        }
        for part in [prefix, name, value] {
            self.text.push_str(part);
        }
        let lengths = (u8::try_from(name_length), u16::try_from(value.len()));
        let (Ok(name_length), Ok(value_length)) = lengths else {
            return Err(HeaderRefused::TooMany);
        };
        self.lengths.push((name_length, value_length));
        Ok(())
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.text.as_str();
        self.lengths.iter().map(move |(name, value)| {
            let (name, after) = rest.split_at(usize::from(*name));
            let (value, after) = after.split_at(usize::from(*value));
            rest = after;
            (name, value)
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

/// `token` of RFC 3261 §25.1.
fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_and_bounds() {
        let mut headers = PrivateHeaders::default();
        headers.push("x-one", "1").expect("fits");
        headers.push("two", "zwei 2").expect("fits");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("x-one", "1"), ("X-two", "zwei 2")]);
        assert_eq!(headers.push("a b", ""), Err(HeaderRefused::Name));
        assert_eq!(headers.push(&"n".repeat(49), ""), Err(HeaderRefused::Name));
        assert_eq!(headers.push("ok", "a\r\nEvil: 1"), Err(HeaderRefused::Value));
        assert_eq!(headers.push("big", &"v".repeat(1024)), Err(HeaderRefused::TooMany));
    }
}
