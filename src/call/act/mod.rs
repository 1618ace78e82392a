//! What moves a call: one act a file. Each takes the call and what happened, changes the call, and
//! leaves effects.

pub mod acknowledged;
pub mod answered;
pub mod deadline;
pub mod dial;
pub mod failed;
pub mod hang_up;
pub mod progress;
pub mod reoffer;
pub mod script;
