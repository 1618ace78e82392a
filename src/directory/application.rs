//! Applications: a customer's program, reached by signed callbacks.

use super::Name;

/// An application: whose calls these are, and who is asked about them.
#[derive(Clone)]
pub struct Application {
    /// Application key: the user name of digest and of signatures.
    pub key: Name,
    /// Application secret as configured: base64 text. The digest password is this text itself, the
    /// signature key is what it decodes to.
    pub secret: String,
    /// HA1 of key, realm and secret, for digest.
    pub ha1: super::Ha1,
    /// Where callbacks go first; `None`: no callbacks, calls go where To says.
    pub callback_primary: Option<String>,
    /// Where they go when the primary fails.
    pub callback_fallback: Option<String>,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("key", &self.key).finish_non_exhaustive()
    }
}
