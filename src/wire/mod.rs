//! L2: bytes and values, without state and without allocation.

pub mod classify;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod sink;
pub mod sip;

pub use classify::{Kind, classify};
