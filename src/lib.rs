//! Carrick.
pub mod base;
pub mod directory;
pub mod link;
pub mod sim;
