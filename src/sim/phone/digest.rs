//! Digest access authentication as a phone does it: answers challenges, and as a carrier puts
//! them. RFC 7616, RFC 8760.

use md5::Digest as _;

use crate::base::rng::Rng;

/// What a challenge says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// Opaque, to be echoed.
    pub opaque: Option<String>,
    /// Whether `qop=auth` is offered.
    pub auth: bool,
    /// SHA-256 instead of MD5.
    pub sha256: bool,
    /// Only the nonce was wrong.
    pub stale: bool,
}

impl Challenge {
    /// Reads the value of WWW-Authenticate or Proxy-Authenticate; `None`: nothing that we know.
    pub fn parse(value: &str) -> Option<Self> {
        let get = |name: &str| field(value, name);
        let sha256 = match get("algorithm") {
            None => false,
            Some(name) if name.eq_ignore_ascii_case("md5") => false,
            Some(name) if name.eq_ignore_ascii_case("sha-256") => true,
            Some(_) => return None,
        };
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            auth: get("qop").is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth")),
            sha256,
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The value that puts this challenge.
    pub fn value(&self) -> String {
        let algorithm = if self.sha256 { "SHA-256" } else { "MD5" };
        let qop = if self.auth { ", qop=\"auth\"" } else { "" };
        let Self { realm, nonce, .. } = self;
        format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}{qop}")
    }

    /// The value of Authorization that answers it. `nonce_count` counts uses of this nonce.
    pub fn answer(
        &self,
        (username, password): (&str, &str),
        (method, uri): (&str, &str),
        nonce_count: u32,
        rng: &mut Rng,
    ) -> String {
        let ha1 = self.hash(&format!("{username}:{}:{password}", self.realm));
        let ha2 = self.hash(&format!("{method}:{uri}"));
        let Self { realm, nonce, .. } = self;
        let algorithm = if self.sha256 { "SHA-256" } else { "MD5" };
        let mut value = format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", algorithm={algorithm}"
        );
        if self.auth {
            let cnonce = rng.token::<16>();
            let response =
                self.hash(&format!("{ha1}:{nonce}:{nonce_count:08x}:{cnonce}:auth:{ha2}"));
            value += &format!(
                ", qop=auth, nc={nonce_count:08x}, cnonce=\"{cnonce}\", response=\"{response}\""
            );
        } else {
            let response = self.hash(&format!("{ha1}:{nonce}:{ha2}"));
            value += &format!(", response=\"{response}\"");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }

    /// Whether `value` (of an Authorization header) answers this challenge for a password.
    pub fn accepts(
        &self,
        value: &str,
        (username, password): (&str, &str),
        method: &str,
    ) -> Result<(), String> {
        let get = |name: &str| field(value, name).unwrap_or_default();
        for (name, wanted) in [("username", username), ("realm", &self.realm)] {
            let found = get(name);
            if found != wanted {
                return Err(format!("{name} is {found}, not {wanted}"));
            }
        }
        if get("nonce") != self.nonce {
            return Err("the nonce is not the one of the challenge".to_owned());
        }
        let ha1 = self.hash(&format!("{username}:{}:{password}", self.realm));
        let ha2 = self.hash(&format!("{method}:{}", get("uri")));
        let nonce = &self.nonce;
        let expected = if self.auth {
            let (count, cnonce, qop) = (get("nc"), get("cnonce"), get("qop"));
            self.hash(&format!("{ha1}:{nonce}:{count}:{cnonce}:{qop}:{ha2}"))
        } else {
            self.hash(&format!("{ha1}:{nonce}:{ha2}"))
        };
        if get("response") == expected { Ok(()) } else { Err("wrong response".to_owned()) }
    }

    fn hash(&self, text: &str) -> String {
        if self.sha256 {
            hex(&sha2::Sha256::digest(text.as_bytes()))
        } else {
            hex(&md5::Md5::digest(text.as_bytes()))
        }
    }
}

/// H(username:realm:password) with MD5 and SHA-256, for a directory.
pub fn ha1(username: &str, realm: &str, password: &str) -> (String, String) {
    let text = format!("{username}:{realm}:{password}");
    (hex(&md5::Md5::digest(text.as_bytes())), hex(&sha2::Sha256::digest(text.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One `name=value` or `name="value"` of a challenge or its answer.
fn field(value: &str, name: &str) -> Option<String> {
    let rest = value.trim_start();
    let mut rest = rest.split_once(' ').map(|(_, rest)| rest)?;
    while let Some((key, after)) = rest.split_once('=') {
        let (found, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (found, next) = quoted.split_once('"')?;
                (found, next.split_once(',').map_or("", |(_, next)| next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(found.trim().to_owned());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1: the worked example, both algorithms.
    #[test]
    fn answers_as_the_rfc_does() {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cases = [
            (false, "8ca523f5e9506fed4657c9700eebdbec"),
            (true, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (sha256, expected) in cases {
            let challenge = Challenge {
                realm: "http-auth@example.org".to_owned(),
                nonce: nonce.to_owned(),
                auth: true,
                sha256,
                ..Challenge::default()
            };
            let value = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"{nonce}\", \
                 uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"{cnonce}\", \
                 response=\"{expected}\""
            );
            let user = ("Mufasa", "Circle of Life");
            assert_eq!(challenge.accepts(&value, user, "GET"), Ok(()));
            assert!(challenge.accepts(&value, ("Mufasa", "circle of life"), "GET").is_err());
            assert!(challenge.accepts(&value, user, "PUT").is_err());
        }
    }

    #[test]
    fn own_answers_are_accepted() {
        let mut rng = Rng::from_number(1);
        for (auth, sha256) in [(true, true), (true, false), (false, false)] {
            let challenge = Challenge {
                realm: "r, with comma".to_owned(),
                nonce: "n".to_owned(),
                auth,
                sha256,
                ..Challenge::default()
            };
            let read = Challenge::parse(&challenge.value()).expect("reads");
            assert_eq!(read, challenge);
            let value = read.answer(("u", "p"), ("INVITE", "sip:x"), 1, &mut rng);
            assert_eq!(challenge.accepts(&value, ("u", "p"), "INVITE"), Ok(()));
        }
        assert_eq!(Challenge::parse("Digest realm=\"r\", nonce=\"n\", algorithm=AKA"), None);
    }
}
