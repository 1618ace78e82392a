//! L3: the machines of RFC 3261, sans-IO: they are told the time, read borrowed messages and send
//! through the [`Outbox`](crate::base::packet::Outbox) that they are lent.

pub mod auth;
pub mod dialog;
pub mod timers;
pub mod transaction;
