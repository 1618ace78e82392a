//! Carrick.
pub mod base;
pub mod sys;
