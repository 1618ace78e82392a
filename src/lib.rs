//! Carrick.
pub mod base;
pub mod cli;
pub mod config;
pub mod directory;
pub mod link;
