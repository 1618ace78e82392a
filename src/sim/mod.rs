//! L7': the world without Linux. The same shards, the same desk and the same records, under a
//! virtual clock and a network, phones, carriers and backends that misbehave as the seed says.

pub mod network;
pub mod phone;
pub mod queue;
pub mod text;
