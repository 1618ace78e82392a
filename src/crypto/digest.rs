//! The arithmetic of HTTP and SIP digest authentication (RFC 7616 §3.4, RFC 8760): hashes in
//! lower-case hex, with MD5 and SHA-256. What may be used, and when, is `sip::auth`'s business.

use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base::bounded::Text;
use crate::directory::Ha1;

/// A hash that digest authentication may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5; what a challenge without `algorithm` means (RFC 7616 §3.3).
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// As written in a challenge.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Reads either case. The session variants are none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|a| text.eq_ignore_ascii_case(a.name()))
    }

    /// Hex digits of one hash.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }
}

/// A hash in lower-case hex.
pub type Hex = Text<64>;

/// What goes into a response besides HA1 (RFC 7616 §3.4.1), always with `qop=auth`.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Request method.
    pub method: &'a str,
    /// The `uri` parameter.
    pub uri: &'a str,
    /// Server nonce, as quoted.
    pub nonce: &'a str,
    /// Nonce count: eight hex digits.
    pub nc: &'a str,
    /// Client nonce.
    pub cnonce: &'a str,
}

/// HA1 of both algorithms: H(user ":" realm ":" password).
pub fn ha1(user: &str, realm: &str, password: &str) -> Ha1 {
    let parts = [user, realm, password];
    Ha1 {
        md5: fixed(&hash(Algorithm::Md5, &parts)),
        sha256: fixed(&hash(Algorithm::Sha256, &parts)),
    }
}

/// The response over `ha1`: H(HA1:nonce:nc:cnonce:auth:HA2), HA2 = H(method:uri).
pub fn response(algorithm: Algorithm, ha1: &Ha1, parts: &Parts<'_>) -> Hex {
    let ha2 = hash(algorithm, &[parts.method, parts.uri]);
    let ha1 = hex_of(algorithm, ha1);
    hash(algorithm, &[ha1, parts.nonce, parts.nc, parts.cnonce, "auth", &ha2])
}

/// The response to a challenge without `qop`, for peers of RFC 2069: H(HA1:nonce:HA2). Never
/// accepted, only given.
pub fn response_without_qop(algorithm: Algorithm, ha1: &Ha1, parts: &Parts<'_>) -> Hex {
    let ha2 = hash(algorithm, &[parts.method, parts.uri]);
    hash(algorithm, &[hex_of(algorithm, ha1), parts.nonce, &ha2])
}

/// HA1 as text. It is hex digits by construction; were it not, a response would match nothing.
fn hex_of(algorithm: Algorithm, ha1: &Ha1) -> &str {
    let digits = match algorithm {
        Algorithm::Md5 => &ha1.md5[..],
        Algorithm::Sha256 => &ha1.sha256[..],
    };
    std::str::from_utf8(digits).unwrap_or_default()
}

/// Whether two hashes are the same, in a time that does not depend on where they differ. Hex
/// digits of either case; the whole length counts.
pub fn matches(expected: &Hex, given: &str) -> bool {
    let mut lower = [0; 64];
    if given.len() != expected.len() {
        return false;
    }
    let lower = &mut lower[..given.len()];
    lower.copy_from_slice(given.as_bytes());
    lower.make_ascii_lowercase();
    expected.as_bytes().ct_eq(lower).into()
}

/// H over `parts` joined by colons.
fn hash(algorithm: Algorithm, parts: &[&str]) -> Hex {
    match algorithm {
        Algorithm::Md5 => hex(&digest_of(Md5::new(), parts)),
        Algorithm::Sha256 => hex(&digest_of(Sha256::new(), parts)),
    }
}

fn digest_of<D: sha2::Digest>(mut hasher: D, parts: &[&str]) -> sha2::digest::Output<D> {
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            hasher.update(b":");
        }
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn hex(bytes: &[u8]) -> Hex {
    let mut text = Hex::new();
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

fn fixed<const N: usize>(hex: &Hex) -> [u8; N] {
    let mut digits = [0; N];
    digits.copy_from_slice(&hex.as_bytes()[..N]);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts<'_> = Parts {
        method: "GET",
        uri: "/dir/index.html",
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        nc: "00000001",
        cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };

    /// The example of RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616_example() {
        let ha1 = ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(&ha1.md5, b"3d78807defe7de2157e2b0b6573a855f");
        let md5 = response(Algorithm::Md5, &ha1, &PARTS);
        assert_eq!(md5.as_str(), "8ca523f5e9506fed4657c9700eebdbec");
        let sha256 = response(Algorithm::Sha256, &ha1, &PARTS);
        assert_eq!(
            sha256.as_str(),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn a_response_matches_whole_and_in_either_case_only() {
        let ha1 = ha1("a", "b", "c");
        let expected = response(Algorithm::Md5, &ha1, &PARTS);
        assert!(matches(&expected, &expected));
        assert!(matches(&expected, &expected.to_ascii_uppercase()));
        assert!(!matches(&expected, &expected[..31]));
        assert!(!matches(&expected, ""));
        assert!(!matches(&expected, &format!("{}0", expected.as_str())));
        let mut other = expected.to_string();
        let last = if other.ends_with('0') { "1" } else { "0" };
        other.replace_range(31.., last);
        assert!(!matches(&expected, &other));
    }

    #[test]
    fn every_part_counts() {
        let ha1 = ha1("a", "b", "c");
        let base = response(Algorithm::Sha256, &ha1, &PARTS);
        for parts in [
            Parts { method: "PUT", ..PARTS },
            Parts { uri: "/", ..PARTS },
            Parts { nonce: "x", ..PARTS },
            Parts { nc: "00000002", ..PARTS },
            Parts { cnonce: "x", ..PARTS },
        ] {
            assert_ne!(response(Algorithm::Sha256, &ha1, &parts), base);
        }
        assert_eq!(Algorithm::parse("md5"), Some(Algorithm::Md5));
        assert_eq!(Algorithm::parse("MD5-sess"), None);
    }
}
