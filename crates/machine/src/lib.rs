//! What a machine can do, as everyone should know of theirs: raw readings, without judgement.
//!
//! Each kind of number has a file of its own, which says how it is measured; only `readings.rs` reads the
//! clock. What cannot be measured here says why. The harness makes medians, tables and limits of the readings.
//! A crate of its own, as it is timed: it is built as pairs are, and the harness need not be.

mod arithmetic;
mod caches;
pub mod ceiling;
mod disk;
mod echo;
mod memory;
mod network;
mod readings;
mod sqlite;
mod system;

use serde::{Deserialize, Serialize};
use worthit_pair::unavailable::Unavailable;

pub use memory::ALL_CORES;
pub use readings::Effort;

/// Begins the ids of dependent reads, one a level.
pub const LATENCY: &str = "latency";
/// Begins the ids of independent reads, one a level.
pub const INDEPENDENT_READ: &str = "independent_read";
/// Begins the ids of streams on one core, one a level.
pub const BANDWIDTH: &str = "bandwidth";
/// Hash of a word by foldhash.
pub const FOLDHASH: &str = "foldhash";
/// Bytes written to the page cache.
pub const PAGE_CACHE_WRITE: &str = "page_cache_write";
/// Append and flush.
pub const FSYNC: &str = "fsync";
/// A byte to a thread and back by TCP.
pub const LOOPBACK: &str = "loopback_round_trip";
/// A prepared statement.
pub const STATEMENT: &str = "sqlite_statement";

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Time of one operation, ns.
    Nanoseconds,
    /// Bytes per nanosecond, which is GB/s.
    BytesPerNanosecond,
    /// Multiply-adds per nanosecond, which is 10⁹ a second.
    MultiplyAddsPerNanosecond,
}

/// One pass over all numbers, in the order of the table.
pub fn pass(effort: &Effort) -> Vec<Reading> {
    let mut numbers = memory::numbers(effort);
    numbers.extend(arithmetic::numbers(effort));
    numbers.extend(system::numbers(effort));
    numbers.push(network::number(effort));
    numbers.push(sqlite::number(effort));
    // Last, as what the device still does afterwards would disturb the others.
    numbers.extend(disk::numbers(effort));
    numbers
}

/// A number as it was read, pass by pass.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Stable name: `latency_l1`.
    pub id: String,
    /// What is measured, in a few words.
    pub what: String,
    /// Unit of the readings.
    pub unit: Unit,
    /// How: sizes, instructions, devices.
    pub detail: String,
    /// The largest working set that this level of memory holds, bytes; `None` where no size bounds it.
    pub holds_bytes: Option<u64>,
    /// The readings, or why there are none and what to do about it.
    pub readings: Result<Vec<f64>, Unavailable>,
}

impl Reading {
    /// A number of its readings, or of the reason why there are none.
    pub fn of(
        (id, what, unit): (impl Into<String>, impl Into<String>, Unit),
        detail: impl Into<String>,
        readings: Result<Vec<f64>, Unavailable>,
    ) -> Reading {
        let (id, what, detail) = (id.into(), what.into(), detail.into());
        Reading { id, what, unit, detail, holds_bytes: None, readings }
    }

    /// Adds the readings of another pass; what cannot be measured in one has none.
    pub fn join(&mut self, again: Reading) {
        match (&mut self.readings, again.readings) {
            (Ok(readings), Ok(more)) => readings.extend(more),
            (Ok(_), Err(reason)) => self.readings = Err(reason),
            (Err(_), _) => {}
        }
    }
}
