//! L4: back-to-back call logic. Nothing here does I/O; machines say what shall be done.

pub mod offer;
pub mod outcome;
pub mod policy;
pub mod route;
