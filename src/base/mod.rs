//! L0: nouns and containers. Imports nothing of Carrick.

pub mod blocks;
pub mod bounded;
pub mod counter;
pub mod id;
pub mod limits;
pub mod packet;
pub mod pool;
pub mod rng;
pub mod table;
pub mod time;
pub mod wheel;
