//! L2: bytes to values and back. No state, no allocation; nothing that arrives can make it panic.

pub mod classify;
pub mod exercise;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod sink;
pub mod sip;

pub use classify::{Kind, classify};
