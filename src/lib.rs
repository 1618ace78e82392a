//! Carrick.
pub mod base;
pub mod net;
pub mod sys;
