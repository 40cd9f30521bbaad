//! The gate: whether a change made a pair worse, judged by what does not cry wolf.

pub mod callgrind;
pub mod protocol;
pub mod worker;
