//! Carrick: a self-hosted SIP-trunking edge. Floors in order; a room may use those above it here.

pub mod base; // L0 nouns and containers
pub mod sys; // L1 the kernel, and all unsafe code
pub mod config; // L1 the settings file
pub mod directory; // L2 what is provisioned, one snapshot a version
pub mod link; // L2 what threads may say to each other
pub mod wire; // L2 bytes and values
pub mod crypto; // L2 keys and bytes
pub mod sip; // L3 RFC 3261 machines
pub mod media; // L3 per-flow packet machines
pub mod call; // L4 back-to-back call logic
pub mod shard; // L5 one core's whole world
pub mod net; // L5 packet backends
pub mod control; // L6 desk, webhooks, store, API
pub mod runtime; // L7 threads and rings
pub mod sim; // L7 the world without Linux
pub mod demo; // L8 the demonstration
pub mod cli; // L8 sub-commands
