//! L2: bytes to values and back. No state, no allocation; nothing that arrives can make it panic.

pub mod classify;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip;
