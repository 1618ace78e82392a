//! L2: keys and bytes.

pub mod callback_signature;
