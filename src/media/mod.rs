//! L3: per-flow packet machines, sans-IO. They know RTP and the peers' addresses, no SIP.
//!
//! Every leg is an RTP session of its own (RFC 7092: a media terminator, even where the payload
//! is copied). Whatever feeds a leg, its SSRC, sequence and timestamps go on.

mod incoming;
pub mod leg;
mod outgoing;
pub mod ports;
pub mod quality;
pub mod relay;
mod report;
mod source;
