//! The edge among programs that others wrote: SIPp, baresip, Python. Each test starts the program
//! itself, talks to it over loopback sockets and looks at what came out: what the peers saw, the
//! records, the callbacks.
//!
//! A test whose peer is not installed says so and passes, except where `CI=true`: there it fails.

#[path = "interop/backend.rs"]
mod backend;
#[path = "interop/edge.rs"]
mod edge;
#[path = "interop/peer.rs"]
mod peer;

#[path = "interop/audio.rs"]
mod audio;
#[path = "interop/bleed.rs"]
mod bleed;
#[path = "interop/callbacks.rs"]
mod callbacks;
#[path = "interop/calls.rs"]
mod calls;
#[path = "interop/crash.rs"]
mod crash;
#[path = "interop/in_dialog.rs"]
mod in_dialog;
#[path = "interop/load.rs"]
mod load;
#[path = "interop/operations.rs"]
mod operations;
#[path = "interop/refusals.rs"]
mod refusals;
