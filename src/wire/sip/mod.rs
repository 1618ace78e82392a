//! SIP messages (RFC 3261): a borrowed index over received bytes, typed views of the header
//! values that a back-to-back edge needs, and a writer into a lent buffer.
//!
//! Order of use: [`Message::parse`] indexes and refuses what has no structure,
//! [`Message::validate`] refuses what has structure but breaks the standard, the typed accessors
//! then read what was checked. A refused request is answered through [`Message::salvage`].

pub mod call_key;
mod cseq;
pub mod digest;
mod error;
pub mod framing;
mod header;
mod line;
mod message;
mod method;
mod name_addr;
mod params;
mod salvage;
mod start;
pub mod status;
mod table;
mod uri;
mod validate;
mod via;
mod write;

pub use cseq::CSeq;
pub use error::{Fault, Malformed, Why};
pub use header::HeaderName;
pub use message::{Framing, Headers, Message, Values};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Params, ParamsIter, split_list};
pub use start::Start;
pub use uri::{NumberRefused, Scheme, Uri};
pub use validate::Checked;
pub use via::Via;
pub use write::Writer;

pub use super::sink::WriteError;

#[cfg(test)]
mod tests;
