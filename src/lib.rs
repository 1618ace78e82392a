//! Carrick.
pub mod base;
pub mod call;
pub mod control;
pub mod crypto;
pub mod directory;
pub mod link;
