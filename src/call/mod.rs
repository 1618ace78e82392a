//! L4: back-to-back call logic.

pub mod act;
pub mod effect;
pub mod leg;
pub mod machine;
pub mod offer;
pub mod outcome;
pub mod policy;
pub mod records;
pub mod route;
pub mod script;
pub mod state;
