//! Protocol between the gate and a worker.
//!
//! Each message is a line with one JSON document. The worker reads requests from its standard input and writes replies
//! to its standard output.
//!
//! Base and head are separate builds, so gate and worker may have different versions. The first line that a worker
//! writes is therefore its [`Hello`].

use serde::{Deserialize, Serialize};

use worthit_pair::{case::CaseKey, pair::Metric, trial::Role};

/// Version of the protocol; raised whenever a gate would misread an older worker.
pub const VERSION: u64 = 9;

/// First line of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol, under a name that no other program prints.
    pub worthit_gate_worker: u64,
}

/// Request of the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// List the cases of this build.
    Cases {
        /// Seed of all inputs.
        seed: u64,
    },
    /// Run at real-time priority from now on, if the system permits.
    SetRealtimePriority,
    /// Make a case ready.
    Prepare {
        /// The case.
        case: CaseKey,
        /// Seed of its input.
        seed: u64,
        /// Sides that will be requested; `None` for all sides, which are then also proven.
        roles: Option<Vec<Role>>,
    },
    /// Pin all threads to this core from now on.
    Pin {
        /// The core.
        core: usize,
    },
    /// Pin each thread of the case that is ready to a core of its own from now on.
    Spread,
    /// Run iterations of one side of the case that is ready.
    Batch {
        /// The side.
        role: Role,
        /// Number of iterations to run first, off the clock, to reload what the other program evicted from the caches.
        untimed: u64,
        /// Number of timed iterations.
        iterations: u64,
        /// Extra work, for the self-test.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        injected: Option<Injected>,
    },
    /// Run iterations of one side and count the instructions of each.
    Count {
        /// The side.
        role: Role,
        /// Number of iterations.
        iterations: u64,
        /// Extra work, for the self-test.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        injected: Option<Injected>,
    },
}

/// Case that represents a pair in the gate: its headline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateCase {
    /// Key of the case.
    pub key: CaseKey,
    /// Seed of its input.
    pub seed: u64,
    /// Title of the pair: the technique.
    pub title: String,
    /// Quantity that the sweep varies.
    pub axis: String,
    /// Unit of the axis.
    pub axis_unit: String,
    /// Unit of work.
    pub unit: String,
    /// Metric that is compared.
    pub metric: Metric,
    /// Ids of the causes that the pair names; their counts repeat exactly.
    pub causes: Vec<String>,
    /// Whether it is a study, whose requests are not timed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_study: bool,
    /// Names of the servers that the pair uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
}

impl GateCase {
    /// Returns whether the case is an open-loop load, whose requests start when they are due.
    ///
    /// Its threads spin until then, so their counts do not describe the code, except for causes that the pair names.
    pub fn is_open_loop(&self) -> bool {
        self.metric == Metric::P99Latency
    }
}

/// Extra work in one side, for the self-test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Injected {
    /// Computing for this share of a batch's time.
    Time(f64),
    /// This many steps of a few instructions each, in every counted iteration.
    Steps(u64),
}

/// Reply of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Reply to [`Request::Cases`].
    Cases(Vec<GateCase>),
    /// Reply to [`Request::SetRealtimePriority`]: whether the system permits it.
    HasRealtimePriority(bool),
    /// Reply to [`Request::Prepare`]: the case is ready.
    Ready {
        /// Number of threads that each side keeps busy.
        threads: Vec<(Role, usize)>,
    },
    /// The case cannot run here.
    Unavailable(String),
    /// The sides disagree, or something else is wrong.
    Unproven(String),
    /// Reply to [`Request::Pin`] and [`Request::Spread`].
    Pinned,
    /// Reply to [`Request::Batch`].
    Batch(Times),
    /// Reply to [`Request::Count`]: the counts are in callgrind's files.
    Counted,
}

/// Times of a batch, ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Time of the side itself.
    pub elapsed: u64,
    /// Wall time of the whole batch, including what is off the clock.
    pub wall: u64,
    /// CPU time of all threads, including time in the kernel.
    pub cpu: u64,
    /// Whether other processes held the CPU during the batch.
    pub disturbed: bool,
}
