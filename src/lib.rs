//! Carrick.
pub mod base;
pub mod call;
pub mod directory;
pub mod link;
