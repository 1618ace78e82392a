//! Digest challenges and credentials (RFC 3261 §22, RFC 7616, RFC 8760): reading only; the sums
//! are `crypto`'s.

use super::error::Fault;
use super::params::quoted_end;
use super::table::{LWS, PARAM_VALUE, TOKEN, skip};

/// Digest algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`, and what an absent parameter means.
    #[default]
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-512-256`.
    Sha512T256,
    /// Any other (`none` among them): never to be accepted.
    Unknown,
}

impl Algorithm {
    fn parse(name: &str) -> Self {
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess, Self::Sha512T256]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .unwrap_or(Self::Unknown)
    }

    /// The name, as on the wire; empty for an unknown one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512T256 => "SHA-512-256",
            Self::Unknown => "",
        }
    }

    /// Hex digits of a sum.
    const fn hex_digits(self) -> usize {
        match self {
            Self::Md5 | Self::Md5Sess => 32,
            _ => 64,
        }
    }
}

/// What a client sends in Authorization or Proxy-Authorization. Values are without their quotes;
/// escapes in them stay, as the sum is taken over them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who.
    pub username: &'a str,
    /// Where.
    pub realm: &'a str,
    /// The server's nonce.
    pub nonce: &'a str,
    /// The Request-URI as the client wrote it into its sum.
    pub uri: &'a str,
    /// The sum: hex digits, as many as the algorithm makes.
    pub response: &'a str,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The server's opaque text.
    pub opaque: Option<&'a str>,
    /// Quality of protection; [`Credentials::cnonce`] and [`Credentials::nonce_count`] are there
    /// when it is.
    pub qop: Option<&'a str>,
    /// The client's nonce.
    pub cnonce: Option<&'a str>,
    /// The nonce count: eight hex digits on the wire; the text goes into the sum.
    pub nonce_count: Option<(&'a str, u32)>,
}

impl<'a> Credentials<'a> {
    /// Reads a header value.
    ///
    /// # Errors
    /// Another scheme; a missing, double or badly made parameter.
    pub fn parse(value: &'a str) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut seen = Seen::default();
        for_each(value, |at, name, text| {
            let slot = match seen.first(name, CREDENTIALS).map_err(|what| Fault::new(at, what))? {
                "username" => &mut found.username,
                "realm" => &mut found.realm,
                "nonce" => &mut found.nonce,
                "uri" => &mut found.uri,
                "response" => &mut found.response,
                "opaque" => found.opaque.insert(text),
                "qop" => found.qop.insert(text),
                "cnonce" => found.cnonce.insert(text),
                "algorithm" => {
                    found.algorithm = Algorithm::parse(text);
                    return Ok(());
                }
                "nc" => {
                    let count = nonce_count(text)
                        .ok_or_else(|| Fault::new(at, "nc is not 8 hex digits"))?;
                    found.nonce_count = Some((text, count));
                    return Ok(());
                }
                _ => return Ok(()),
            };
            *slot = text;
            Ok(())
        })?;
        for (name, text) in [
            ("no username", found.username),
            ("no realm", found.realm),
            ("no nonce", found.nonce),
            ("no uri", found.uri),
        ] {
            if text.is_empty() {
                return Err(Fault::new(0, name));
            }
        }
        if found.response.len() != found.algorithm.hex_digits()
            || !found.response.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(Fault::new(0, "response is not a sum of the algorithm"));
        }
        if found.qop.is_some() != (found.cnonce.is_some() && found.nonce_count.is_some()) {
            return Err(Fault::new(0, "qop, cnonce and nc go together"));
        }
        Ok(found)
    }
}

/// What a server sends in WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Where.
    pub realm: &'a str,
    /// The nonce to use.
    pub nonce: &'a str,
    /// The algorithm to use.
    pub algorithm: Algorithm,
    /// To be sent back as it is.
    pub opaque: Option<&'a str>,
    /// A comma-separated list of qualities of protection.
    pub qop: Option<&'a str>,
    /// Whether the last credentials were right and only their nonce was old.
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// Reads a header value.
    ///
    /// # Errors
    /// Another scheme; a missing, double or badly made parameter.
    pub fn parse(value: &'a str) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut seen = Seen::default();
        for_each(value, |at, name, text| {
            match seen.first(name, CHALLENGE).map_err(|what| Fault::new(at, what))? {
                "realm" => found.realm = text,
                "nonce" => found.nonce = text,
                "opaque" => found.opaque = Some(text),
                "qop" => found.qop = Some(text),
                "algorithm" => found.algorithm = Algorithm::parse(text),
                "stale" => found.stale = text.eq_ignore_ascii_case("true"),
                _ => {}
            }
            Ok(())
        })?;
        if !seen.has("realm", CHALLENGE) || found.nonce.is_empty() {
            return Err(Fault::new(0, "no realm or nonce"));
        }
        Ok(found)
    }

    /// Whether the server takes `qop=auth`.
    pub fn offers_auth(&self) -> bool {
        self.qop.is_some_and(|list| list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")))
    }
}

const CREDENTIALS: &[&str] = &[
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "opaque",
    "qop",
    "cnonce",
    "algorithm",
    "nc",
];
const CHALLENGE: &[&str] = &["realm", "nonce", "opaque", "qop", "algorithm", "stale"];

/// Which of a list of names came already.
#[derive(Default)]
struct Seen(u16);

impl Seen {
    /// The known name that `name` is, or an empty one; an error where it came before.
    fn first(&mut self, name: &str, known: &[&'static str]) -> Result<&'static str, &'static str> {
        let Some(index) = known.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
            return Ok("");
        };
        if self.0 & 1 << index != 0 {
            return Err("parameter twice");
        }
        self.0 |= 1 << index;
        Ok(known[index])
    }

    fn has(&self, name: &str, known: &[&str]) -> bool {
        known.iter().position(|known| *known == name).is_some_and(|at| self.0 & 1 << at != 0)
    }
}

/// Calls `each(offset, name, value)` for the parameters of a `Digest` value, in order. Strict: no
/// empty items, no junk between them, every quote closed.
fn for_each<'a>(
    value: &'a str,
    mut each: impl FnMut(usize, &'a str, &'a str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let bytes = value.as_bytes();
    let scheme = skip(bytes, 0, TOKEN);
    if !bytes[..scheme].eq_ignore_ascii_case(b"Digest") {
        return Err(Fault::new(0, "scheme is not Digest"));
    }
    let part = |start: usize, end: usize| value.get(start..end).unwrap_or("");
    let mut at = skip(bytes, scheme, LWS);
    loop {
        let name_end = skip(bytes, at, TOKEN);
        let equals = skip(bytes, name_end, LWS);
        if name_end == at || bytes.get(equals) != Some(&b'=') {
            return Err(Fault::new(at, "expected name=value"));
        }
        let start = skip(bytes, equals + 1, LWS);
        let (text, end) = if bytes.get(start) == Some(&b'"') {
            let end =
                quoted_end(bytes, start).ok_or_else(|| Fault::new(start, "unclosed quote"))?;
            (part(start + 1, end - 1), end)
        } else {
            let end = skip(bytes, start, PARAM_VALUE);
            (part(start, end), end)
        };
        if end == start {
            return Err(Fault::new(start, "empty value"));
        }
        each(at, part(at, name_end), text)?;
        at = skip(bytes, end, LWS);
        match bytes.get(at) {
            None => return Ok(()),
            Some(b',') => at = skip(bytes, at + 1, LWS),
            Some(_) => return Err(Fault::new(at, "expected ','")),
        }
    }
}

fn nonce_count(text: &str) -> Option<u32> {
    let hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { u32::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Digest username=\"b\\\"ob\", realm=\"e.x\", nonce=\"n,=1\",\r\n \
        uri=\"sip:e.x\", \
        response=\"0123456789abcdef0123456789ABCDEF\", algorithm=MD5, opaque=\"\", qop=auth, \
        cnonce=\"c\", nc=0000001f, x=y";

    #[test]
    fn credentials_are_read() {
        let read = Credentials::parse(GOOD).expect("good");
        assert_eq!((read.username, read.realm, read.nonce), ("b\\\"ob", "e.x", "n,=1"));
        assert_eq!((read.opaque, read.qop, read.cnonce), (Some(""), Some("auth"), Some("c")));
        assert_eq!(read.nonce_count, Some(("0000001f", 31)));
        assert_eq!(read.algorithm, Algorithm::Md5);
        let old = "digest username=u,realm=r,nonce=n,uri=\"sip:x\",\
            response=\"0123456789abcdef0123456789abcdef\"";
        assert_eq!(Credentials::parse(old).expect("no qop").qop, None);
    }

    #[test]
    fn bad_credentials_are_refused() {
        for (old, new) in [
            ("Digest ", "Basic "),
            ("Digest ", ""),
            ("realm=\"e.x\"", "realm=\"e.x\", realm=\"f.x\""),
            ("realm=\"e.x\"", "realm=\"\""),
            ("username=\"b\\\"ob\", ", ""),
            ("nc=0000001f", "nc=1f"),
            ("nc=0000001f", "nc=+000001f"),
            ("nc=0000001f", "nc=0000000001"),
            (", nc=0000001f", ""),
            ("qop=auth, ", ""),
            ("abcdef0", "abcdex0"),
            ("ABCDEF\"", "ABCDEF0\""),
            ("algorithm=MD5", "algorithm=none"),
            ("algorithm=MD5", "algorithm=SHA-256"),
            (", x=y", ","),
            (", x=y", ",,x=y"),
            (", x=y", ", x=\"y"),
            (", x=y", ", x"),
            (", x=y", " x=y"),
        ] {
            assert!(GOOD.contains(old));
            assert!(Credentials::parse(&GOOD.replacen(old, new, 1)).is_err(), "{new}");
        }
        for bad in ["", "Digest", "Digest ", "Digest ,", "Digest =", "Digest a=,"] {
            assert!(Credentials::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn challenges_are_read() {
        let read = Challenge::parse(
            "Digest realm=\"\", nonce=\"abc\", qop=\"auth,auth-int\", algorithm=SHA-256, \
            stale=TRUE",
        )
        .expect("challenge");
        assert!(read.stale && read.offers_auth());
        assert_eq!(read.algorithm, Algorithm::Sha256);
        assert!(Challenge::parse("Digest nonce=\"abc\"").is_err());
        assert!(Challenge::parse("Digest realm=\"a\"").is_err());
        assert!(!Challenge::parse("Digest realm=a, nonce=b").expect("old").offers_auth());
    }
}
