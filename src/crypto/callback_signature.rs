//! Signatures of callbacks and of REST requests: HMAC-SHA256 over method, body digest, content
//! type, timestamp and path.
//!
//! ```text
//! StringToSign = METHOD \n base64(MD5(body)) | "" \n Content-Type \n "x-timestamp:" value \n path
//! ```
//!
//! Everything is signed as the bytes that travel: the header values are used verbatim, the path
//! as the sender saw it. Nothing is parsed, so nothing can be normalised differently elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// The word before key and signature in `Authorization`. Lower case, because one of the official
/// validators compares it exactly.
pub const SCHEME: &str = "application";

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'m> {
    /// Upper-case method.
    pub method: &'m str,
    /// The body's exact bytes; an empty one contributes an empty line, not MD5 of nothing.
    pub body: &'m [u8],
    /// Value of Content-Type, verbatim; empty when there is none.
    pub content_type: &'m str,
    /// Value of x-timestamp, verbatim.
    pub timestamp: &'m str,
    /// Path as signed.
    pub path: &'m str,
}

/// The key of signatures: what an application secret decodes to.
#[derive(Clone)]
pub struct SigningKey {
    mac: Hmac<Sha256>,
}

/// The secret is no base64 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretMalformed;

impl std::fmt::Display for SecretMalformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an application secret is base64 text, in either alphabet")
    }
}

impl std::error::Error for SecretMalformed {}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// Decodes `secret`: standard or URL-safe alphabet, padded or not, because the official
    /// clients accept all of these.
    pub fn from_secret(secret: &str) -> Result<Self, SecretMalformed> {
        let bytes = decode_leniently(secret).ok_or(SecretMalformed)?;
        let mac = Hmac::new_from_slice(&bytes).map_err(|_| SecretMalformed)?;
        Ok(Self { mac })
    }

    /// The signature, in padded standard base64.
    pub fn sign(&self, signed: &Signed<'_>) -> String {
        STANDARD.encode(self.mac_of(signed).finalize().into_bytes())
    }

    /// Value of `Authorization` for a callback.
    pub fn authorization(&self, key: &str, signed: &Signed<'_>) -> String {
        format!("{SCHEME} {key}:{}", self.sign(signed))
    }

    /// Whether `signature` (base64) is right; the time taken does not depend on where it is wrong.
    pub fn verify(&self, signed: &Signed<'_>, signature: &str) -> bool {
        let Some(bytes) = decode_leniently(signature) else {
            return false;
        };
        self.mac_of(signed).verify_slice(&bytes).is_ok()
    }

    fn mac_of(&self, signed: &Signed<'_>) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        let md5 = content_md5(signed.body);
        let lines = [signed.method, &md5, signed.content_type, "x-timestamp:"];
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                mac.update(b"\n");
            }
            mac.update(line.as_bytes());
        }
        for part in [signed.timestamp, "\n", signed.path] {
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// base64(MD5(body)), or nothing for an empty body.
pub fn content_md5(body: &[u8]) -> String {
    if body.is_empty() { String::new() } else { STANDARD.encode(Md5::digest(body)) }
}

/// Key and signature of an `Authorization` value: the scheme in any case, one space, then the
/// text before and after the first colon. `None`: another scheme, or not this shape.
pub fn split_authorization(value: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let (key, signature) = rest.trim().split_once(':')?;
    (!key.is_empty() && !signature.is_empty()).then_some((key, signature))
}

fn decode_leniently(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let standard: String = text
        .trim()
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    LENIENT.decode(standard).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/signing.toml");

    #[derive(serde::Deserialize)]
    struct Vectors {
        sinch: Vec<Row>,
    }

    #[derive(serde::Deserialize)]
    struct Row {
        id: String,
        method: String,
        path: String,
        content_type: String,
        timestamp: String,
        body: String,
        key: String,
        secret: String,
        content_md5: String,
        signature: String,
        expect: String,
    }

    #[test]
    fn published_and_derived_vectors() {
        let Ok(text) = std::fs::read_to_string(VECTORS) else {
            println!("skipped: {VECTORS} is absent");
            return;
        };
        let vectors: Vectors = toml::from_str(&text).expect("vectors parse");
        assert!(vectors.sinch.len() >= 20, "{} rows", vectors.sinch.len());
        for row in &vectors.sinch {
            let signed = Signed {
                method: &row.method,
                body: row.body.as_bytes(),
                content_type: &row.content_type,
                timestamp: &row.timestamp,
                path: &row.path,
            };
            let key = SigningKey::from_secret(&row.secret).expect("secret decodes");
            let matches = row.expect == "match";
            assert_eq!(key.verify(&signed, &row.signature), matches, "{}", row.id);
            assert_eq!(key.sign(&signed) == row.signature, matches, "{}", row.id);
            if !row.content_md5.is_empty() {
                assert_eq!(content_md5(signed.body), row.content_md5, "{}", row.id);
            }
            let value = key.authorization(&row.key, &signed);
            let (name, signature) = split_authorization(&value).expect("own value splits");
            assert_eq!(name, row.key);
            assert!(key.verify(&signed, signature));
        }
    }

    /// The example of the service's own documentation, so that a checkout alone proves the form.
    #[test]
    fn every_signed_part_counts() {
        let key = SigningKey::from_secret("JViE5vDor0Sw3WllZka15Q==").expect("decodes");
        let signed = Signed {
            method: "POST",
            body: br#"{"message":"Hello world"}"#,
            content_type: "application/json",
            timestamp: "2014-06-04T13:41:58Z",
            path: "/v1/sms/+46700000000",
        };
        let signature = "qDXMwzfaxCRS849c/2R0hg0nphgdHciTo7OdM6MsdnM=";
        assert_eq!(key.sign(&signed), signature);
        let changed = [
            Signed { method: "PUT", ..signed },
            Signed { body: br#"{"message": "Hello world"}"#, ..signed },
            Signed { content_type: "application/json; charset=utf-8", ..signed },
            Signed { timestamp: "2014-06-04T13:41:59Z", ..signed },
            Signed { path: "/calling/v1/callouts", ..signed },
        ];
        assert!(changed.iter().all(|c| !key.verify(c, signature)));
        assert!(!key.verify(&signed, &signature[..40]));
        assert!(!key.verify(&signed, "not base64!"));
        assert!(!key.verify(&signed, ""));
    }

    #[test]
    fn other_schemes_and_shapes_are_refused() {
        assert_eq!(split_authorization("Application k:s"), Some(("k", "s")));
        for wrong in ["service k:s", "application", "application k", "application :s", ""] {
            assert_eq!(split_authorization(wrong), None, "{wrong}");
        }
        assert!(SigningKey::from_secret("not base64 at all!").is_err());
    }
}
