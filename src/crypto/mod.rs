//! L2: keys and bytes. Nothing here knows a message.

pub mod digest;
