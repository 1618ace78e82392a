//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): asking for it, checking it, and
//! answering where a carrier asks.
//!
//! Asking and checking: an [`Authenticator`] a shard. [`Authenticator::challenge`] writes the
//! challenges of a 401, [`Authenticator::verify`] judges a request, a [`Budget`] counts guesses.
//! Answering: [`answer_challenge`] and [`Retries`]. ACK and CANCEL are never challenged (RFC 3261
//! §22.1).
//!
//! Path: `sip::transaction` -> here -> `shard::admission`

mod budget;
mod client;
mod nonce;
mod parameters;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use budget::{BAN_FIRST, BAN_MAX, Budget, FAILURES_MAX, FORGIVEN_AFTER};
pub use client::{ANSWER_BYTES_MAX, Account, Answer, Retries, answer_challenge};
pub use nonce::NONCE_LIFE;

use crate::base::bounded::{Text, text};
use crate::base::id::ShardId;
use crate::base::limits::SIP_URI_BYTES_MAX;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::crypto::digest::{self, Algorithm, Parts};
use crate::directory::{Ha1, Name};
use crate::wire::sip::{HeaderName, Message, Writer};

use nonce::Nonces;
use parameters::{Parameters, Unread};

/// What the credentials of a request are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The user knows the password, and this is no replay.
    Ok {
        /// Who.
        username: Name,
    },
    /// There are none for our realm: challenge.
    Missing,
    /// The password is right, but the nonce is old, used, of another shard or source: challenge
    /// with `stale`.
    Stale,
    /// The user or the password is wrong: challenge.
    Wrong {
        /// Whether the nonce is one that was given to this source, so that the source is real:
        /// then count it ([`Budget::failed`]).
        proven: bool,
    },
    /// Not what RFC 7616 says credentials are: answer 400.
    Malformed {
        /// What is wrong, for people.
        why: &'static str,
    },
}

/// Asks for passwords and checks them, on one shard.
#[derive(Debug)]
pub struct Authenticator {
    realm: Text<SIP_URI_BYTES_MAX>,
    /// Algorithms offered and taken, in the order of the challenges.
    algorithms: &'static [Algorithm],
    nonces: Nonces,
    /// What an unknown user is measured against, so that it takes as long as a known one.
    nobody: Ha1,
}

impl Authenticator {
    /// An authenticator for `realm`, which remembers at most `nonces_max` nonces in use.
    ///
    /// The realm is a host name; bytes that could not stand in a quoted string are left out.
    pub fn new(
        rng: &mut Rng,
        shard: ShardId,
        realm: &str,
        nonces_max: usize,
        now: Instant,
    ) -> Self {
        let mut nobody = Ha1 { md5: [0; 32], sha256: [0; 64] };
        for digit in nobody.md5.iter_mut().chain(&mut nobody.sha256) {
            *digit = b"0123456789abcdef"[usize::try_from(rng.below(16)).unwrap_or(0)];
        }
        let nonces = Nonces::new(rng, shard, nonces_max, now);
        let algorithms = &[Algorithm::Sha256, Algorithm::Md5];
        let mut authenticator = Self { realm: Text::new(), algorithms, nonces, nobody };
        authenticator.set_realm(realm);
        authenticator
    }

    /// Offers and takes these algorithms only, in this order; at first SHA-256, then MD5.
    pub fn set_algorithms(&mut self, algorithms: &'static [Algorithm]) {
        assert!(!algorithms.is_empty());
        self.algorithms = algorithms;
    }

    /// Another realm, after a reload.
    pub fn set_realm(&mut self, realm: &str) {
        self.realm.clear();
        for c in realm.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')) {
            if self.realm.try_push(c).is_err() {
                break;
            }
        }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Writes a challenge for each algorithm, the stronger first (RFC 8760 §2.4). All have the same
    /// nonce; a client answers one.
    pub fn challenge(
        &mut self,
        now: Instant,
        source: IpAddr,
        stale: bool,
        writer: &mut Writer<'_>,
    ) {
        self.challenge_with(self.algorithms, now, source, stale, writer);
    }

    /// The same with one algorithm only, the one that most equipment knows: for a request that is
    /// too short to be answered with more.
    pub fn challenge_briefly(
        &mut self,
        now: Instant,
        source: IpAddr,
        stale: bool,
        writer: &mut Writer<'_>,
    ) {
        let last = self.algorithms.len() - 1;
        self.challenge_with(&self.algorithms[last..], now, source, stale, writer);
    }

    fn challenge_with(
        &mut self,
        algorithms: &[Algorithm],
        now: Instant,
        source: IpAddr,
        stale: bool,
        writer: &mut Writer<'_>,
    ) {
        let nonce = self.nonces.make(now, source);
        let realm = &self.realm;
        let stale = if stale { ", stale=true" } else { "" };
        for algorithm in algorithms {
            // A lone MD5 goes unnamed, as every client since RFC 2617 reads it.
            let (label, name) = match (algorithms.len(), algorithm) {
                (1, Algorithm::Md5) => ("", ""),
                _ => (", algorithm=", algorithm.name()),
            };
            writer.header_fmt(
                HeaderName::WwwAuthenticate,
                format_args!(
                    "Digest realm=\"{realm}\", nonce=\"{nonce}\"{label}{name}, \
                     qop=\"auth\"{stale}"
                ),
            );
        }
    }

    /// Judges the Authorization of a request from `source`. `lookup` finds the hashes of a user
    /// of the trunk that the request is for.
    pub fn verify(
        &mut self,
        now: Instant,
        source: IpAddr,
        request: &Message<'_>,
        lookup: impl FnOnce(&str) -> Option<Ha1>,
    ) -> Verdict {
        let credentials = match self.credentials(request) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Verdict::Missing,
            Err(why) => return Verdict::Malformed { why },
        };
        let username = text::<{ crate::base::limits::NAME_BYTES_MAX }>(credentials.username);
        let known = username.and_then(|username| lookup(&username));
        let ha1 = known.unwrap_or(self.nobody);
        let expected = digest::response(credentials.algorithm, &ha1, &credentials.parts);
        let right = digest::matches(&expected, credentials.response);
        let (Some(username), Some(_), true) = (username, known, right) else {
            let proven = self.nonces.is_good(now, source, credentials.parts.nonce);
            return Verdict::Wrong { proven };
        };
        if self.nonces.take(now, source, credentials.parts.nonce, credentials.count) {
            Verdict::Ok { username }
        } else {
            Verdict::Stale
        }
    }

    /// Nonces in use that are remembered now.
    pub const fn remembered(&self) -> usize {
        self.nonces.remembered()
    }

    /// The one Authorization for our realm.
    fn credentials<'a>(
        &self,
        request: &Message<'a>,
    ) -> Result<Option<Credentials<'a>>, &'static str> {
        let mut found = None;
        for value in request.headers(HeaderName::Authorization) {
            let parameters = match Parameters::parse(value) {
                Ok(parameters) => parameters,
                Err(Unread::OtherScheme) => continue,
                Err(Unread::Malformed(why)) => return Err(why),
            };
            if parameters.quoted("realm").ok_or("no realm")? != self.realm.as_str() {
                continue;
            }
            if found.is_some() {
                return Err("two credentials for one realm");
            }
            let credentials = Credentials::read(&parameters, request)?;
            if !self.algorithms.contains(&credentials.algorithm) {
                return Err("the algorithm was not offered");
            }
            found = Some(credentials);
        }
        Ok(found)
    }
}

/// Credentials that are well-formed and about this request.
struct Credentials<'a> {
    username: &'a str,
    algorithm: Algorithm,
    response: &'a str,
    count: u32,
    parts: Parts<'a>,
}

impl<'a> Credentials<'a> {
    fn read(parameters: &Parameters<'a>, request: &Message<'a>) -> Result<Self, &'static str> {
        let quoted = |name| parameters.quoted(name);
        let algorithm = match parameters.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name).ok_or("algorithm is not MD5 or SHA-256")?,
        };
        if parameters.get("qop").ok_or("no qop")? != "auth" {
            return Err("qop is not auth");
        }
        let nc = parameters.get("nc").ok_or("no nc")?;
        if nc.len() != 8 || !nc.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("nc is not eight hex digits");
        }
        let count = u32::from_str_radix(nc, 16).map_err(|_| "nc is no number")?;
        if count == 0 {
            return Err("nc begins with one");
        }
        let uri = quoted("uri").ok_or("no uri")?;
        if request.request_uri() != Some(uri) {
            return Err("uri is not the Request-URI");
        }
        let response = quoted("response").ok_or("no response")?;
        if response.len() != algorithm.digits() {
            return Err("response is not as long as the algorithm's");
        }
        let method = request.method().ok_or("not a request")?.name();
        let nonce = quoted("nonce").ok_or("no nonce")?;
        let cnonce = quoted("cnonce").filter(|cnonce| !cnonce.is_empty()).ok_or("no cnonce")?;
        let username = quoted("username").ok_or("no username")?;
        let parts = Parts { method, uri, nonce, nc, cnonce };
        Ok(Self { username, algorithm, response, count, parts })
    }
}
