//! L4: back-to-back call logic.

pub mod script;
