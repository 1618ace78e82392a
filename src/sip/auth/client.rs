//! Answering the challenge of a carrier (RFC 7616 §3.4, RFC 8760 §2.5).
//!
//! Whose password is given out is the caller's choice, by the peer that was called, and never by
//! the realm that a message names: a callee could otherwise ask for a carrier's password.

use std::fmt::Write as _;

use super::parameters::Parameters;
use crate::base::bounded::Text;
use crate::crypto::digest::{self, Algorithm, Parts};
use crate::wire::sip::{HeaderName, Message, Method};

/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 1536;

/// Who we are at a peer.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
    /// The only realm that is answered; `None`: whichever the peer names.
    pub realm: Option<&'a str>,
}

impl std::fmt::Debug for Account<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A header line to be added to the request when it is sent again (with a new branch and CSeq).
#[derive(Clone, Debug)]
pub struct Answer {
    /// Authorization, or Proxy-Authorization.
    pub header: HeaderName,
    /// Its value.
    pub value: Text<ANSWER_BYTES_MAX>,
    /// Whether the peer only wants a fresh nonce and had nothing against the password.
    pub stale: bool,
}

/// How often a request was sent again because of challenges. A peer that asks forever gets no
/// answer (one, and one more where it said `stale`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    answered: bool,
    answered_stale: bool,
}

impl Retries {
    /// Whether this answer may be sent; counts it if so.
    pub fn permit(&mut self, stale: bool) -> bool {
        let permitted = !self.answered || (stale && !self.answered_stale);
        self.answered_stale |= self.answered && permitted;
        self.answered = true;
        permitted
    }
}

#[derive(Clone, Copy)]
struct Challenge<'a> {
    header: HeaderName,
    algorithm: Algorithm,
    realm: &'a str,
    nonce: &'a str,
    opaque: Option<&'a str>,
    has_qop: bool,
    stale: bool,
}

/// The answer to the strongest challenge of a 401 or 407 that Carrick can answer. `uri` is the
/// request's Request-URI; `cnonce` is random text. `None`: there is none that can be answered,
/// for this account.
pub fn answer_challenge(
    response: &Message<'_>,
    method: Method<'_>,
    uri: &str,
    account: &Account<'_>,
    cnonce: &str,
) -> Option<Answer> {
    let (asks, header) = match response.status()? {
        401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
        407 => (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
        _ => return None,
    };
    let mut best: Option<Challenge<'_>> = None;
    for value in response.headers(asks) {
        let Some(challenge) = Challenge::read(value, header) else {
            continue;
        };
        let ours = account.realm.is_none_or(|realm| realm == challenge.realm);
        let better = best.is_none_or(|best| {
            best.algorithm == Algorithm::Md5 && challenge.algorithm == Algorithm::Sha256
        });
        if ours && better {
            best = Some(challenge);
        }
    }
    best?.answer(method, uri, account, cnonce)
}

impl<'a> Challenge<'a> {
    /// `None`: not Digest, not well-formed, or not of an algorithm and qop that Carrick has.
    fn read(value: &'a str, header: HeaderName) -> Option<Self> {
        let parameters = Parameters::parse(value).ok()?;
        let algorithm = match parameters.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name)?,
        };
        let has_qop = match parameters.get("qop") {
            None => false,
            Some(list) => {
                list.split(',').find(|qop| qop.trim().eq_ignore_ascii_case("auth"))?;
                true
            }
        };
        Some(Self {
            header,
            algorithm,
            realm: parameters.quoted("realm")?,
            nonce: parameters.quoted("nonce")?,
            opaque: parameters.quoted("opaque"),
            has_qop,
            stale: parameters.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    fn answer(
        &self,
        method: Method<'_>,
        uri: &str,
        account: &Account<'_>,
        cnonce: &str,
    ) -> Option<Answer> {
        let (username, realm, nonce) = (account.username, self.realm, self.nonce);
        let unquotable = |text: &str| text.contains(['"', '\\']);
        if unquotable(username) || unquotable(cnonce) || unquotable(uri) {
            return None;
        }
        let ha1 = digest::ha1(username, realm, account.password);
        let parts = Parts { method: method.name(), uri, nonce, nc: "00000001", cnonce };
        let response = if self.has_qop {
            digest::response(self.algorithm, &ha1, &parts)
        } else {
            digest::response_without_qop(self.algorithm, &ha1, &parts)
        };
        let algorithm = self.algorithm.name();
        let mut value = Text::new();
        write!(
            value,
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}"
        )
        .ok()?;
        if self.has_qop {
            write!(value, ", cnonce=\"{cnonce}\", qop=auth, nc=00000001").ok()?;
        }
        if let Some(opaque) = self.opaque {
            write!(value, ", opaque=\"{opaque}\"").ok()?;
        }
        Some(Answer { header: self.header, value, stale: self.stale })
    }
}
