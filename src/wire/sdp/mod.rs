//! Session descriptions (RFC 8866) as offers and answers use them (RFC 3264): a bounded model
//! over borrowed text, and a writer into a lent buffer.

mod format;
mod media;
mod session;
mod write;

pub use super::sink::WriteError;
pub use super::sip::Fault;
pub use format::Format;
pub use media::{CRYPTO_MAX, Direction, Media, Protocol};
pub use session::{Origin, Session};
pub use write::Writer;

#[cfg(test)]
mod tests;
