//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

use std::fmt;
use std::net::IpAddr;

use super::error::Fault;
use super::params::Params;
use super::table::{CLASS, HOST, TOKEN, URI, URI_HEADER, URI_PARAM, USER, skip};

/// Scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other; the rest of the URI is not looked into.
    Other(&'a str),
}

/// A URI, split but not decoded: escapes stay as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The whole text.
    pub text: &'a str,
    /// Its scheme.
    pub scheme: Scheme<'a>,
    /// User part of a SIP URI, with its own `;` parameters; the subscriber number of a tel URI.
    pub user: Option<&'a str>,
    /// Password: text between the user's `:` and the `@`.
    pub password: Option<&'a str>,
    /// A name, an IPv4 address, or an IPv6 address in brackets; empty for tel and other schemes.
    pub host: &'a str,
    /// Port, where it is written.
    pub port: Option<u16>,
    /// Parameters (`;transport=tcp`).
    pub params: Params<'a>,
    /// Text behind `?`.
    pub headers: Option<&'a str>,
}

/// Why a user part is not an E.164 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberRefused {
    /// There is no user part.
    Absent,
    /// It does not begin with `+`: a local number, a name, a feature code.
    NotGlobal,
    /// It has `-`, `.`, `(` or `)` between digits (RFC 3966 §5.1.1); number plans are matched on
    /// digits alone, so such a number is refused and not quietly rewritten.
    VisualSeparator,
    /// It has some other character.
    NotDigits,
    /// It has no digit, or more than fifteen.
    Length,
}

impl<'a> Uri<'a> {
    /// Reads a URI and checks its grammar.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        match bytes {
            [s, i, p, b':', ..] if lower(*s, *i, *p) == *b"sip" => Self::sip(text, Scheme::Sip, 4),
            [s, i, p, b's' | b'S', b':', ..] if lower(*s, *i, *p) == *b"sip" => {
                Self::sip(text, Scheme::Sips, 5)
            }
            [t, e, l, b':', ..] if lower(*t, *e, *l) == *b"tel" => Self::tel(text),
            _ => Self::other(text),
        }
    }

    fn sip(text: &'a str, scheme: Scheme<'a>, start: usize) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let part = |start: usize, end: usize| text.get(start..end).unwrap_or("");
        let (mut user, mut password, mut host) = (None, None, start);
        // Up to the `@`, or (where there is none) up to the end of the host; no `@` can stand
        // behind that, so one pass tells.
        let end = escaped(bytes, start, USER)?;
        match bytes.get(end) {
            Some(b'@') => {
                user = Some(part(start, end));
                host = end + 1;
            }
            Some(b':') => {
                let password_end = escaped(bytes, end + 1, USER)?;
                if bytes.get(password_end) == Some(&b'@') {
                    user = Some(part(start, end));
                    password = Some(part(end + 1, password_end));
                    host = password_end + 1;
                }
            }
            _ => {}
        }
        if user == Some("") {
            return Err(Fault::new(start, "empty user part"));
        }
        let (host_end, port, after_port) = host_port(bytes, host, 0)?;
        let mut end = after_port;
        if bytes.get(end) == Some(&b';') {
            end = escaped(bytes, end, URI_PARAM)?;
        }
        let params = Params::new(part(after_port, end));
        let mut headers = None;
        if bytes.get(end) == Some(&b'?') {
            let query = end + 1;
            end = escaped(bytes, query, URI_HEADER)?;
            headers = Some(part(query, end));
        }
        if end != bytes.len() {
            return Err(Fault::new(end, "bad character in the URI"));
        }
        Ok(Self { text, scheme, user, password, host: part(host, host_end), port, params, headers })
    }

    fn tel(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let number_end = memchr::memchr(b';', bytes).unwrap_or(bytes.len());
        let user = text.get(4..number_end).unwrap_or("");
        let allowed = |byte: &u8| {
            byte.is_ascii_hexdigit()
                || matches!(byte, b'+' | b'*' | b'#' | b'-' | b'.' | b'(' | b')')
        };
        if let Some(at) = user.bytes().position(|byte| !allowed(&byte)) {
            return Err(Fault::new(4 + at, "bad character in the number"));
        }
        if user.is_empty() {
            return Err(Fault::new(4, "no number"));
        }
        let end = escaped(bytes, number_end, URI_PARAM)?;
        if end != bytes.len() {
            return Err(Fault::new(end, "bad character in the URI"));
        }
        Ok(Self {
            text,
            scheme: Scheme::Tel,
            user: Some(user),
            password: None,
            host: "",
            port: None,
            params: Params::new(text.get(number_end..).unwrap_or("")),
            headers: None,
        })
    }

    fn other(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let end = skip(bytes, 0, TOKEN);
        if end == 0 || bytes.get(end) != Some(&b':') || !bytes[0].is_ascii_alphabetic() {
            return Err(Fault::new(end, "no scheme"));
        }
        let bad = skip(bytes, end, URI);
        if bad != bytes.len() || bad == end + 1 {
            return Err(Fault::new(bad, "bad character in the URI"));
        }
        Ok(Self {
            text,
            scheme: Scheme::Other(&text[..end]),
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
        })
    }

    /// The host's address, where it is one and not a name.
    pub fn host_addr(&self) -> Option<IpAddr> {
        host_addr(self.host)
    }

    /// The user part without its own parameters (`+1555;phone-context=x` gives `+1555`).
    pub fn user_name(&self) -> Option<&'a str> {
        let user = self.user?;
        Some(user.split_once(';').map_or(user, |(name, _)| name))
    }

    /// The `transport` parameter, as written.
    pub fn transport(&self) -> Option<&'a str> {
        self.params.get("transport")
    }

    /// Whether the `lr` parameter is there, with or without a value (RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.contains("lr")
    }

    /// Whether two URIs name the same resource (RFC 3261 §19.1.4): scheme, host and most
    /// parameters without case, user and password with it, escapes decoded; a port that is written
    /// differs from one that is not. URIs of other schemes are the same if their text is.
    pub fn matches(&self, other: &Uri<'_>) -> bool {
        if let (Scheme::Other(_), _) | (_, Scheme::Other(_)) = (self.scheme, other.scheme) {
            return self.text == other.text;
        }
        self.scheme == other.scheme
            && same(self.user.unwrap_or(""), other.user.unwrap_or(""), u8::clone)
            && self.user.is_some() == other.user.is_some()
            && same(self.password.unwrap_or(""), other.password.unwrap_or(""), u8::clone)
            && self.password.is_some() == other.password.is_some()
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
            && params_match(self.params, other.params)
            && params_match(other.params, self.params)
            && same(self.headers.unwrap_or(""), other.headers.unwrap_or(""), u8::clone)
    }

    /// The user part as an E.164 number: `+` and one to fifteen digits.
    pub fn e164(&self) -> Option<&'a str> {
        self.number().ok()
    }

    /// The user part as an E.164 number, or why it is none.
    pub fn number(&self) -> Result<&'a str, NumberRefused> {
        let user = self.user_name().ok_or(NumberRefused::Absent)?;
        let digits = user.strip_prefix('+').ok_or(NumberRefused::NotGlobal)?;
        if let Some(bad) = digits.bytes().find(|byte| !byte.is_ascii_digit()) {
            return Err(match bad {
                b'-' | b'.' | b'(' | b')' => NumberRefused::VisualSeparator,
                _ => NumberRefused::NotDigits,
            });
        }
        if digits.is_empty() || digits.len() > 15 {
            return Err(NumberRefused::Length);
        }
        Ok(user)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Whether two texts are the same once escapes are decoded and `fold` is applied to each byte.
fn same(a: &str, b: &str, fold: impl Fn(&u8) -> u8) -> bool {
    decoded(a).map(|byte| fold(&byte)).eq(decoded(b).map(|byte| fold(&byte)))
}

/// The bytes of `text` with its escapes decoded.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let hex =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match *rest {
            [b'%', high, low, ref tail @ ..] => {
                rest = tail;
                Some(hex(high).unwrap_or(0) << 4 | hex(low).unwrap_or(0))
            }
            [byte, ref tail @ ..] => {
                rest = tail;
                Some(byte)
            }
            [] => None,
        }
    })
}

/// Whether each parameter of `a` is in `b` with the same value, or may be missing there: of those
/// that change where a request goes, none may.
fn params_match(a: Params<'_>, b: Params<'_>) -> bool {
    a.iter().all(|(name, value)| match b.get(name) {
        Some(other) => same(value.unwrap_or(""), other, u8::to_ascii_lowercase),
        None => !["transport", "user", "ttl", "method", "maddr"]
            .iter()
            .any(|special| special.eq_ignore_ascii_case(name)),
    })
}

/// The address written in `host`: IPv4, or IPv6 with or without brackets.
pub(crate) fn host_addr(host: &str) -> Option<IpAddr> {
    match host.as_bytes() {
        [b'[', .., b']'] => host[1..host.len() - 1].parse().ok().map(IpAddr::V6),
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', ..] => host.parse().ok(),
        _ => None,
    }
}

/// Reads `host [":" port]` at `at`, with bytes of the class `space` (none in a URI, white
/// space in a Via) let pass around the colon. Gives the host's end, the port, and the end of both.
#[inline]
pub(crate) fn host_port(
    bytes: &[u8],
    at: usize,
    space: u16,
) -> Result<(usize, Option<u16>, usize), Fault> {
    let host_end =
        if bytes.get(at) == Some(&b'[') { ipv6_end(bytes, at)? } else { skip(bytes, at, HOST) };
    if host_end == at {
        return Err(Fault::new(at, "no host"));
    }
    let colon = skip(bytes, host_end, space);
    if bytes.get(colon) != Some(&b':') {
        return Ok((host_end, None, host_end));
    }
    let digits = skip(bytes, colon + 1, space);
    let mut end = digits;
    let mut port = 0u32;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        port = (port * 10 + u32::from(digit - b'0')).min(1 << 20);
        end += 1;
    }
    match u16::try_from(port) {
        Ok(port) if port > 0 && end > digits => Ok((host_end, Some(port), end)),
        _ => Err(Fault::new(digits, "bad port")),
    }
}

/// The offset behind a bracketed IPv6 address, which must be one.
fn ipv6_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let fault = Fault::new(at, "bad IPv6 address");
    let close = memchr::memchr(b']', &bytes[at..]).ok_or(fault)? + at;
    let text = std::str::from_utf8(&bytes[at + 1..close]).map_err(|_| fault)?;
    text.parse::<std::net::Ipv6Addr>().map_err(|_| fault)?;
    Ok(close + 1)
}

/// The end of a run of `class` characters and `%` escapes that begins at `at`.
#[inline]
fn escaped(bytes: &[u8], mut at: usize, class: u16) -> Result<usize, Fault> {
    while let Some(byte) = bytes.get(at) {
        if CLASS[usize::from(*byte)] & class != 0 {
            at += 1;
        } else if *byte == b'%' {
            match bytes.get(at + 1..at + 3) {
                Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => at += 3,
                _ => return Err(Fault::new(at, "bad escape")),
            }
        } else {
            break;
        }
    }
    Ok(at)
}

fn lower(a: u8, b: u8, c: u8) -> [u8; 3] {
    [a.to_ascii_lowercase(), b.to_ascii_lowercase(), c.to_ascii_lowercase()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_all_parts() {
        let uri =
            Uri::parse("SIP:+15551234;phone-context=a:pw@[2001:db8::1]:5070;transport=tcp;lr?X=y")
                .expect("uri");
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(uri.user, Some("+15551234;phone-context=a"));
        assert_eq!(uri.password, Some("pw"));
        assert_eq!((uri.host, uri.port), ("[2001:db8::1]", Some(5070)));
        assert_eq!(uri.host_addr(), "2001:db8::1".parse().ok());
        assert_eq!((uri.transport(), uri.is_loose_router()), (Some("tcp"), true));
        assert_eq!(uri.headers, Some("X=y"));
        assert_eq!(uri.e164(), Some("+15551234"));
        let tel = Uri::parse("tel:+1-201-555-0123;phone-context=example.com").expect("tel");
        assert_eq!(tel.user, Some("+1-201-555-0123"));
        assert_eq!(tel.number(), Err(NumberRefused::VisualSeparator));
        let other = Uri::parse("soap.beep://192.0.2.103:3002").expect("other");
        assert_eq!(other.scheme, Scheme::Other("soap.beep"));
        assert_eq!(other.number(), Err(NumberRefused::Absent));
    }

    #[test]
    fn odd_but_valid_uris_are_read() {
        for text in [
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it\
             +has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            "sip:sips%3Auser%40example.com@example.net",
            "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31",
            "sip:user;par=u%40example.net@example.com",
            "sips:[::1]",
            "sip:#31#4711@pbx.example",
            "isbn:2983792873",
        ] {
            assert!(Uri::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn bad_uris_are_refused() {
        for text in [
            "",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@b@c",
            "sip:2001:db8::10",
            "sip:[2001:db8:::1]",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:",
            "sip:a@b :5060",
            "sip:a@b;x y",
            "sip:a%zz@b",
            "sip:a%4",
            "sip:a b@c",
            "tel:",
            "tel:+1 2",
            "tel:12;x=\"",
            "host",
            "1a:b",
            "x:",
            " sip:a@b",
            "sip:a@b ",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn comparison_follows_the_standard() {
        let matches = |a: &str, b: &str| {
            let (a, b) = (Uri::parse(a).expect(a), Uri::parse(b).expect(b));
            assert_eq!(a.matches(&b), b.matches(&a));
            a.matches(&b)
        };
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;a=1;b=2", "sip:carol@chicago.com;b=2;a=1"),
            ("tel:+1", "TEL:+1"),
        ] {
            assert!(matches(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:a@b;x=1", "sip:a@b;x=2"),
            ("sip:a@b", "sips:a@b"),
            ("sip:b", "sip:a@b"),
            ("sip:a@b?x=y", "sip:a@b"),
        ] {
            assert!(!matches(a, b), "{a} {b}");
        }
    }

    #[test]
    fn numbers_are_counted() {
        let number = |user: &str| Uri::parse(&format!("sip:{user}@h")).expect(user).number().err();
        assert_eq!(number("+123456789012345"), None);
        assert_eq!(number("+1234567890123456"), Some(NumberRefused::Length));
        assert_eq!(number("+"), Some(NumberRefused::Length));
        assert_eq!(number("+1(555)"), Some(NumberRefused::VisualSeparator));
        assert_eq!(number("+1555a"), Some(NumberRefused::NotDigits));
        assert_eq!(number("5551234"), Some(NumberRefused::NotGlobal));
    }
}
