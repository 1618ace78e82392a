//! L2: bytes to values and back. No state, no allocation.

pub mod rtcp;
pub mod rtp;
