//! Carrick.
pub mod base;
pub mod crypto;
pub mod directory;
pub mod link;
pub mod sip;
pub mod wire;
