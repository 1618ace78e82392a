//! L7': the world without Linux. The same shards, the same desk and the same records, under a
//! virtual clock and a network, phones, carriers and backends that misbehave as the seed says.

pub mod backend;
pub mod network;
pub mod options;
pub mod phone;
pub mod queue;
pub mod scene;
pub mod text;
