//! What a shard does with calls, one behaviour a test, bit for bit repeatable: real shards, phones
//! of text, a clock that the test sets.

mod harness;

#[path = "scenarios/crossing.rs"]
mod crossing;
#[path = "scenarios/hiding.rs"]
mod hiding;
#[path = "scenarios/limits.rs"]
mod limits;
#[path = "scenarios/outcomes.rs"]
mod outcomes;
#[path = "scenarios/refusals.rs"]
mod refusals;
#[path = "scenarios/repeats.rs"]
mod repeats;
#[path = "scenarios/rings.rs"]
mod rings;
#[path = "scenarios/time.rs"]
mod time;
