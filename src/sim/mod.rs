//! L7': the world without Linux. The same shards, the same desk and the same records, under a
//! virtual clock and a network, phones, carriers and backends that misbehave as the seed says.

pub mod backend;
pub mod breaks;
mod checkers;
mod command;
pub mod edge;
pub mod hostile;
mod lines;
pub mod log;
pub mod network;
pub mod options;
pub mod phone;
pub mod queue;
pub mod run;
pub mod scene;
#[cfg(test)]
mod tests;
pub mod text;
pub mod world;

pub use command::main;
