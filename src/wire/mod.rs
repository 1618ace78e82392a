//! L2: bytes and values, without state and without allocation.

pub mod rtcp;
pub mod rtp;
pub mod sip;
