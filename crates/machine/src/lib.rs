//! Machine numbers: raw readings of what this machine can do, such as memory latency and the cost of a system call.
//!
//! Each kind of number has its own file, which says how it is measured. Only `readings.rs` and `ceiling.rs` read the
//! clock. A number that cannot be measured on this machine states why. The harness turns readings into medians,
//! tables and limits.
//!
//! This is a separate crate because its code is timed: it is optimized as pairs are, and the harness need not be.

mod arithmetic;
mod caches;
pub mod ceiling;
mod disk;
mod echo;
mod memory;
mod network;
pub mod overhead;
mod queue;
mod readings;
mod sqlite;
mod system;

use serde::{Deserialize, Serialize};
use worthit_pair::unavailable::Unavailable;

pub use readings::Effort;

/// Id prefix of dependent reads, one number per memory level.
pub const LATENCY: &str = "latency";
/// Id prefix of independent reads, one number per memory level.
pub const INDEPENDENT_READ: &str = "independent_read";
/// Id prefix of streams on one core, one number per memory level.
pub const BANDWIDTH: &str = "bandwidth";
/// Id of the hash of a word by foldhash.
pub const FOLDHASH: &str = "foldhash";
/// Id of writes to the page cache.
pub const PAGE_CACHE_WRITE: &str = "page_cache_write";
/// Id of reads from the page cache.
pub const PAGE_CACHE_READ: &str = "page_cache_read";
/// Id of a random read of the device, one at a time.
pub const DEVICE_READ: &str = "device_read";
/// Id of a random read of the device, many in flight.
pub const QUEUED_DEVICE_READ: &str = "queued_device_read";
/// Id of the cheapest system call.
pub const SYSTEM_CALL: &str = "syscall";
/// Id of a thread's start and end.
pub const THREAD: &str = "thread";
/// Id of streams from memory on all cores.
pub const BANDWIDTH_OF_ALL_CORES: &str = "bandwidth_memory_all_cores";
/// Id of an append and its flush.
pub const FSYNC: &str = "fsync";
/// Id of the 99th percentile of an append and its flush.
pub const FSYNC_P99: &str = "fsync_p99";
/// Id of the round trip of a byte to another thread over TCP.
pub const LOOPBACK: &str = "loopback_round_trip";
/// Id of an overwrite of a page and its flush.
pub const OVERWRITING_FSYNC: &str = "overwriting_fsync";
/// Id of the 99th percentile of an overwrite of a page and its flush.
pub const OVERWRITING_FSYNC_P99: &str = "overwriting_fsync_p99";
/// Id of a prepared statement on a database in memory.
pub const STATEMENT: &str = "sqlite_statement";
/// Id of a prepared statement that looks up a row of a file.
pub const FILE_STATEMENT: &str = "sqlite_file_statement";
/// Id of a row that a statement returns.
pub const ROW: &str = "sqlite_row";
/// Id of an atomic addition that no other thread contends for.
pub const ATOMIC: &str = "atomic";
/// Id of an atomic addition that threads on all cores contend for.
pub const CONTENDED_ATOMIC: &str = "contended_atomic";

/// Unit of a machine number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Time of one operation, ns.
    Nanoseconds,
    /// Bytes per nanosecond, equal to GB/s.
    BytesPerNanosecond,
    /// Multiply-adds per nanosecond, equal to 10⁹ per second.
    MultiplyAddsPerNanosecond,
}

/// Measures each number once, in the order of the table.
pub fn pass(effort: &Effort) -> Vec<Reading> {
    let mut numbers = memory::numbers(effort);
    numbers.extend(arithmetic::numbers(effort));
    numbers.extend(system::numbers(effort));
    numbers.push(network::number(effort));
    numbers.extend(sqlite::numbers(effort));
    // Last, as the device stays busy afterwards and would disturb the other numbers.
    numbers.extend(disk::numbers(effort));
    numbers
}

/// A machine number with its raw readings, from one or more passes.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Stable name: `latency_l1`.
    pub id: String,
    /// Short name for tables: "dependent read, L2".
    pub what: String,
    /// Unit of the readings.
    pub unit: Unit,
    /// How it is measured: sizes, instructions, devices.
    pub detail: String,
    /// The largest working set that this memory level holds, bytes; `None` if no size bounds it.
    pub holds_bytes: Option<u64>,
    /// The readings, or the reason why there are none and what to do about it.
    pub readings: Result<Vec<f64>, Unavailable>,
}

impl Reading {
    /// Makes a number from its readings, or from the reason why there are none.
    pub fn of(
        (id, what, unit): (impl Into<String>, impl Into<String>, Unit),
        detail: impl Into<String>,
        readings: Result<Vec<f64>, Unavailable>,
    ) -> Reading {
        let (id, what, detail) = (id.into(), what.into(), detail.into());
        Reading { id, what, unit, detail, holds_bytes: None, readings }
    }

    /// Adds the readings of another pass. If either pass could not measure the number, it has no readings.
    pub fn join(&mut self, again: Reading) {
        match (&mut self.readings, again.readings) {
            (Ok(readings), Ok(more)) => readings.extend(more),
            (Ok(_), Err(reason)) => self.readings = Err(reason),
            (Err(_), _) => {}
        }
    }
}
