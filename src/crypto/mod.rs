//! L2: keys and bytes: digests and signatures.

pub mod callback_signature;
pub mod digest;
