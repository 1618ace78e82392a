//! L1: the kernel, and all `unsafe` of the house, behind safe types.
//!
//! Every wrapper here owns the memory whose addresses it gives to the kernel, so that no caller
//! can free it too early.

pub mod affinity;
pub mod alloc;
pub mod clock;
pub mod entropy;
pub mod limits;
pub mod log;
pub mod mmsg;
pub mod poll;
pub mod uring;
pub mod wake;

mod address;
