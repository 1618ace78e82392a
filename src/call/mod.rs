//! L4: back-to-back call logic.

pub mod offer;
pub mod outcome;
pub mod policy;
pub mod route;
pub mod script;
