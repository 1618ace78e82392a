//! L6: one thread that may allocate and wait. Shards ask, control answers; it keeps what must not
//! be lost, and talks to the customers' backends.

pub mod api;
pub mod callback_url;
pub mod cdr;
pub mod compile;
pub mod difference;
pub mod desk;
pub mod dns;
pub mod event;
pub mod metrics;
pub mod rfc3339;
pub mod service;
pub mod store;
pub mod webhook;

pub use service::{Handle, Service, Shards};
