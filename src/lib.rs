//! Carrick.
pub mod base;
