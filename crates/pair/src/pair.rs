//! The definition of a pair: the text that a reviewer reads, the sweep to measure, and one function
//! that prepares both sides.
//!
//! Nothing here runs a side or reads a clock; [`crate::trial`] does. Answers that may differ need a type of
//! [`crate::contract`].

use std::fmt;

use worthit_servers::{Program, helper::Control};

use crate::{limit::NO_LIMIT, threads, trial::Trial};

pub use crate::{
    audited::{Check, Exempt},
    case::{Case, Shape},
    claim::{BrokenClaim, Claim, Count},
    explanation::{Explanation, FarEnd, KeepNaive, ShareOfCause},
    growth::Growth,
    limit::{Limit, Work},
    threads::logical_cores,
    trap::{ErasedTrap, Trap, ensure},
    unavailable::Unavailable,
    under_load::{Rates, UnderLoad},
};

/// One technique: a naive and an optimized implementation of the same function.
#[derive(Debug)]
pub struct Pair {
    /// The technique in a few words, in the imperative: "Look up through an index".
    pub title: &'static str,
    /// Ids that the pair had before its present one. They lead to it for ever, as reviews link to them.
    pub earlier_ids: &'static [&'static str],
    /// The review card: how to recognise the technique in a diff and when to apply it.
    pub review: Review,
    /// The side that a competent person writes first.
    pub naive: Side,
    /// The best side we know.
    pub optimized: Side,
    /// How the answers of the sides may differ, in words; `None` if they must be equal. If they may differ, all
    /// sides return a type of [`crate::contract`], and the proofs check its equality.
    pub contract: Option<&'static str>,
    /// What the timed input is, and what about it decides the gain: sizes, distribution, order, how much is found, how
    /// it is laid out. One or two sentences without figures of a gain.
    pub input: &'static str,
    /// What the sweep varies, usually the input size. The break-even is a value on this axis.
    pub axis: Axis,
    /// A second quantity to vary, if any. The axis is swept once for each of its levels.
    pub parameter: Option<Parameter>,
    /// The unit of work, singular: "row", "request", "search". The metric is reported per unit; see [`Trial::units`].
    pub unit: &'static str,
    /// The case that the pair speaks of where it may name only one: in README, in the gate and on overviews. A case
    /// in which the technique does what its card says, never an extreme of the sweep that the card calls unusual.
    pub headline: Headline,
    /// Well-maintained crates that do the same job. [`Trial::peer`] adds a side for each, in this order.
    pub peers: &'static [SideBeside],
    /// Other ways of our own to do it. [`Trial::alternative`] adds a side for each, in this order.
    pub alternatives: &'static [SideBeside],
    /// The quantity compared between the sides.
    pub metric: Metric,
    /// The counts that the pair claims for each side. The first one explains the gain.
    pub causes: &'static [Claim],
    /// What the first cause explains of the gain, as claims that are checked against measured results.
    pub explanation: Explanation,
    /// What would turn the pair into a toy, checked on the timed inputs.
    pub traps: &'static [&'static dyn ErasedTrap],
    /// The checks of the audit that the pair need not pass, with reasons.
    pub exempt: &'static [Exempt],
    /// The least work that the optimized side must do. The machine numbers turn it into a least time.
    pub limit: Limit,
    /// What one proof opens, which decides how many inputs are tried, and how large these get.
    pub proof: Proof,
    /// The servers that the pair uses. Without them it is a row with the reason, and its proof is left out.
    pub servers: &'static [Program],
    /// Says whether the machine has the hardware that the pair needs and most machines lack. Without it, its proof is left
    /// out, too.
    pub hardware: fn() -> Result<(), Unavailable>,
    /// The open-loop loads that both sides of the headline case are put under, if any; see [`Trial::under_load`].
    pub under_load: Option<UnderLoad>,
    /// What this program does as a process of its own for the pair, if it needs one; see [`crate::helper`].
    pub helper: Option<fn(Control)>,
    /// Builds the input and the sides of one case. Not timed.
    pub prepare: fn(&Case) -> Result<Trial, Unavailable>,
}

impl Pair {
    /// Values for the fields that most pairs leave alone: `earlier_ids`, `contract`, `parameter`, `peers`, `alternatives`, `metric`,
    /// `traps`, `exempt`, `proof`, `servers`, `hardware`, `under_load` and `helper`. End a pair with `..Pair::DEFAULTS` and
    /// set all other fields: their defaults are empty, and such a pair fails its proof.
    pub const DEFAULTS: Pair = Pair {
        title: "",
        earlier_ids: &[],
        review: Review { smell: "", remedy: "", keep_naive_when: "", costs: "", lint: Lint::None },
        naive: Side { summary: "", growth: Growth::Linear },
        optimized: Side { summary: "", growth: Growth::Linear },
        contract: None,
        input: "",
        axis: Axis {
            name: "",
            unit: "",
            is_size: true,
            points: Points::Fixed { default: &[], deep: &[] },
        },
        parameter: None,
        unit: "",
        headline: Headline::At { level: "", point: 0 },
        peers: &[],
        alternatives: &[],
        metric: Metric::Time,
        causes: &[],
        explanation: Explanation {
            why: "",
            share_of_cause: ShareOfCause::Within(0.0, 0.0),
            far_end: FarEnd::Settled,
            keep_naive: KeepNaive::Nowhere,
        },
        traps: &[],
        exempt: &[],
        limit: Limit::None(NO_LIMIT),
        proof: Proof { resources: Resources::Memory, max_size: 300 },
        servers: &[],
        hardware: || Ok(()),
        under_load: None,
        helper: None,
        prepare: |_| Err(Unavailable(String::new())),
    };

    /// Returns whether the axis or the parameter is a number of threads.
    pub fn uses_threads(&self) -> bool {
        let by_parameter = |parameter: &Parameter| matches!(parameter.levels, Levels::Threads);
        matches!(self.axis.points, Points::Threads)
            || self.parameter.as_ref().is_some_and(by_parameter)
    }
}

/// The review card: what a reviewer of a diff reads about the technique.
#[derive(Debug)]
pub struct Review {
    /// What the naive side looks like in a diff.
    pub smell: &'static str,
    /// What to write instead.
    pub remedy: &'static str,
    /// When the naive side is the better choice.
    pub keep_naive_when: &'static str,
    /// What the optimized side costs: memory, staleness, `unsafe`, a dependency.
    pub costs: &'static str,
    /// The clippy lint that finds the smell.
    pub lint: Lint,
}

/// The clippy lint that finds a smell. The naive side expects it (`#[expect(clippy::…)]`), which proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lint {
    /// No lint of any group reports the naive side and not the optimized one.
    None,
    /// This one, `clippy::…`, which clippy reports without a flag.
    Default(&'static str),
    /// This one, where the group named second is switched on: `clippy::pedantic`.
    Switched(&'static str, &'static str),
}

/// Prints the lint with the flag that it needs: "`clippy::needless_collect` (with `-W clippy::nursery`)".
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lint::None => write!(f, "none"),
            Lint::Default(name) => write!(f, "`{name}`"),
            Lint::Switched(name, group) => write!(f, "`{name}` (with `-W {group}`)"),
        }
    }
}

/// The case that a pair speaks of where it may name only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// This case.
    At {
        /// Label of its level; empty if the pair has no parameter.
        level: &'static str,
        /// Its point on the axis.
        point: u64,
    },
    /// The case on all cores, where threads are the axis: this level at the largest point that is not oversubscribed.
    AllCoresAt(&'static str),
    /// The case on all cores, where threads are the parameter: this point at the last level that is not oversubscribed.
    AllCoresOf(u64),
}

/// A side that is run beside the naive and the optimized one.
#[derive(Debug)]
pub struct SideBeside {
    /// Its name in ids and tables; for a peer, the name of the crate.
    pub name: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
}

/// One implementation, as the card describes it.
#[derive(Debug)]
pub struct Side {
    /// The implementation in a few words: "scan a Vec of the items seen so far".
    pub summary: &'static str,
    /// How the time of one iteration is expected to grow along the axis.
    pub growth: Growth,
}

/// The axis of a sweep: the quantity that varies along it, and where it is measured.
#[derive(Debug)]
pub struct Axis {
    /// What varies: "rows", "selectivity", "threads".
    pub name: &'static str,
    /// Unit printed after each axis value: "rows", "%", "B".
    pub unit: &'static str,
    /// Whether the axis is the size of the input. If so, proofs try any size up to [`Proof::max_size`] on it.
    /// If not, they try the measured points and vary [`Case::items`].
    pub is_size: bool,
    /// The points to measure.
    pub points: Points,
}

/// The points of an axis, ascending.
#[derive(Debug)]
pub enum Points {
    /// The same points on every machine.
    Fixed {
        /// Points of a default run.
        default: &'static [u64],
        /// Larger points, which `--deep` adds.
        deep: &'static [u64],
    },
    /// 1, 2, 3, 4, 6, 8, … up to the logical cores of this machine, and one point that is oversubscribed; see
    /// [`crate::threads`].
    Threads,
}

impl Points {
    /// Returns the points of a default run on this machine.
    pub fn default_points(&self) -> Vec<u64> {
        match self {
            Points::Fixed { default, .. } => default.to_vec(),
            Points::Threads => threads::points(),
        }
    }

    /// Returns the points that `--deep` adds.
    pub fn deep_points(&self) -> &'static [u64] {
        match self {
            Points::Fixed { deep, .. } => deep,
            Points::Threads => &[],
        }
    }
}

/// The second quantity that a pair varies.
#[derive(Debug)]
pub struct Parameter {
    /// What varies: "round-trip time".
    pub name: &'static str,
    /// Its values, at most four.
    pub levels: Levels,
}

/// The values of a [`Parameter`].
#[derive(Debug)]
pub enum Levels {
    /// The same values on every machine.
    Fixed(&'static [Level]),
    /// One thread, and at most three more numbers up to all logical cores of this machine; oversubscribed, only the
    /// headline's point.
    Threads,
}

/// One value of a [`Parameter`].
#[derive(Debug)]
pub struct Level {
    /// Its name in ids and tables: "in-process", "rtt=10ms". No spaces or slashes.
    pub label: &'static str,
    /// The value that `prepare` reads as [`Case::level`].
    pub value: u64,
    /// Whether its figures are measured or computed.
    pub origin: Origin,
}

/// How the figures of a [`Level`] are obtained.
#[derive(Debug)]
pub enum Origin {
    /// Measured at every point of the axis.
    Measured,
    /// Computed: metric of the nearest measured level before it + counted round trips × `rtt_us`.
    /// A measurement with a real delay of the same length confirms the model.
    Distance {
        /// Round-trip time added for each counted round trip, in µs.
        rtt_us: u64,
        /// Points of the axis where the real delay is measured too.
        confirmed_at: &'static [u64],
    },
}

/// The quantity compared between the sides; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Wall time per unit of work.
    Time,
    /// 99th percentile of latency under open-loop load, counted from the intended start.
    P99Latency,
    /// Peak bytes held on the heap while the side runs; counted, not timed.
    BytesHeld,
}

/// How to prove a pair: what one proof opens, and how large its inputs get.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// What one proof opens. If it opens files, sockets, threads or databases, fewer inputs are tried.
    pub resources: Resources,
    /// Size of the largest input in property tests.
    pub max_size: u64,
}

impl Metric {
    /// Returns the heading of its column.
    pub fn heading(self) -> &'static str {
        match self {
            Metric::Time => "time",
            Metric::P99Latency => "p99 latency",
            Metric::BytesHeld => "bytes held",
        }
    }
}

/// What one proof opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resources {
    /// Memory only: at least 256 inputs are tried.
    Memory,
    /// Files, sockets, threads or databases: at least 32 inputs are tried.
    System,
}
