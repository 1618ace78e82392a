//! The machines against their figures, and a client table against a server table over a link
//! that loses, doubles and reorders.

mod client;
mod invite_client;
mod invite_server;
mod link;
mod server;
mod world;
