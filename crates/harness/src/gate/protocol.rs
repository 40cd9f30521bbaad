//! What the gate and a worker say to each other: one JSON document a line, a request on the
//! worker's standard input, its reply on standard output.
//!
//! The base and the head are other builds, so both sides of the conversation may be of different
//! versions; the first line a worker writes is its [`Hello`].

use serde::{Deserialize, Serialize};

use worthit_pair::{cases::CaseKey, pair::Metric, trial::Role};

/// Raised whenever a gate would misread an older worker.
pub const VERSION: u64 = 8;

/// The first line of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol, under a name that no other program says.
    pub worthit_gate_worker: u64,
}

/// What the gate asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Which cases does this build have?
    Cases {
        /// Seed of all inputs.
        seed: u64,
    },
    /// Go before all that others run, from now on, if the system lets you.
    SetRealtimePriority,
    /// Make a case ready.
    Prepare {
        /// The case.
        case: CaseKey,
        /// Seed of its input.
        seed: u64,
        /// Which sides will be asked for; `None` for all, which are then proven too.
        roles: Option<Vec<Role>>,
    },
    /// Run on this core alone from now on, with all threads.
    Pin {
        /// The core.
        core: usize,
    },
    /// Keep each thread of the case that is ready on a core of its own from now on.
    Spread,
    /// Run iterations of one side of the case that is ready.
    Batch {
        /// Which side.
        role: Role,
        /// How many first, off the clock: what the other program has left of the caches is made up for.
        untimed: u64,
        /// How many then.
        iterations: u64,
        /// Extra work, for the self-test.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        injected: Option<Injected>,
    },
    /// Run one side so often, and have the instructions of each iteration counted.
    Count {
        /// Which side.
        role: Role,
        /// How many iterations.
        iterations: u64,
        /// Extra work, for the self-test.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        injected: Option<Injected>,
    },
}

/// The case that stands for a pair in the gate: its far end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateCase {
    /// The case.
    pub key: CaseKey,
    /// Seed of its input.
    pub seed: u64,
    /// The technique.
    pub title: String,
    /// What the sweep varies.
    pub axis: String,
    /// Unit of the axis.
    pub axis_unit: String,
    /// The unit of work.
    pub unit: String,
    /// What is compared.
    pub metric: Metric,
    /// Causes that the pair names: their counts repeat exactly.
    pub causes: Vec<String>,
}

impl GateCase {
    /// Whether it is a load whose requests start when they are due: its threads spin until then, so
    /// that beside what the pair names nothing that they do is the code's.
    pub fn is_open_loop(&self) -> bool {
        self.metric == Metric::P99Latency
    }
}

/// Extra work in one side, for the self-test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Injected {
    /// This share of the time of a batch, spent computing.
    Time(f64),
    /// So many steps of a few instructions, in each counted iteration.
    Steps(u64),
}

/// What a worker replies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Cases`].
    Cases(Vec<GateCase>),
    /// To [`Request::SetRealtimePriority`]: whether the system lets it.
    HasRealtimePriority(bool),
    /// The case is ready.
    Ready {
        /// Threads that each side keeps busy.
        threads: Vec<(Role, usize)>,
    },
    /// The case cannot run here.
    Unavailable(String),
    /// The sides do not agree, or something else is not as it should be.
    Unproven(String),
    /// To [`Request::Pin`] and [`Request::Spread`].
    Pinned,
    /// To [`Request::Batch`].
    Batch(Times),
    /// To [`Request::Count`]: the counts are in callgrind's files.
    Counted,
}

/// Times of a batch, ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// In the side itself.
    pub elapsed: u64,
    /// Of the whole batch, with what is off the clock.
    pub wall: u64,
    /// Of all threads on the CPU, the kernel on their behalf included.
    pub cpu: u64,
    /// Whether others held the CPU meanwhile.
    pub disturbed: bool,
}
