//! Credential lists: user names and the hashes that digest needs. Passwords are not kept.

use super::Name;

/// H(user ":" realm ":" password), once a digest algorithm, as lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    /// With MD5.
    pub md5: [u8; 32],
    /// With SHA-256.
    pub sha256: [u8; 64],
}

impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha1(secret)")
    }
}

/// A user who may place calls.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Digest user name.
    pub username: Name,
    /// Hashes for the edge's realm.
    pub ha1: Ha1,
}

/// A list of users that trunks refer to.
#[derive(Clone, Debug, Default)]
pub struct CredentialList {
    /// The list's name.
    pub name: Name,
    /// Its users, sorted by user name.
    pub credentials: Vec<Credential>,
}

impl CredentialList {
    /// The user of that name.
    pub fn find(&self, username: &str) -> Option<&Credential> {
        let found =
            self.credentials.binary_search_by(|c| c.username.as_str().cmp(username)).ok()?;
        self.credentials.get(found)
    }
}
