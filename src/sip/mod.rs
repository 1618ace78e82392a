//! L3: RFC 3261 machines, sans-IO.
pub mod dialog;
