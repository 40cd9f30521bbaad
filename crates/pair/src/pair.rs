//! What a pair is: data that a reviewer reads, the sweep it is measured on, and one function
//! that makes it ready.
//!
//! Nothing here runs a side or reads a clock; see [`crate::trial`] for that, and [`crate::contract`] for
//! answers that may differ.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{causes::Cause, trial::Trial};

pub use crate::{growth::Growth, limit::Limit, unavailable::Unavailable};

/// One technique: a naive and an optimized implementation of the same function.
#[derive(Debug)]
pub struct Pair {
    /// The technique in a few words, in the imperative: "Look up through an index".
    pub title: &'static str,
    /// What a reviewer needs to recognise the technique and to argue about it.
    pub review: Review,
    /// The side a competent person writes first.
    pub naive: Side,
    /// The best side we know.
    pub optimized: Side,
    /// How the answers of the sides may differ, in words; `None` if they must be equal. Where they may, the
    /// answer's type is one of [`crate::contract`], and its equality is what is proven.
    pub contract: Option<&'static str>,
    /// What the sweep varies; the break-even is found along it.
    pub axis: Axis,
    /// A second thing that is varied, if any.
    pub parameter: Option<Parameter>,
    /// The unit of work that the metric is given per, singular: "row", "request", "search".
    pub unit: &'static str,
    /// A well-kept crate doing the same job, which [`Trial::reference`] then runs beside the sides.
    pub peer: Option<&'static str>,
    /// What is compared.
    pub metric: Metric,
    /// What is counted; the first one explains the gain.
    pub causes: &'static [Claim],
    /// How the first cause explains the gain at the far end, and what else does.
    pub explanation: &'static str,
    /// The least this machine needs for the work of the optimized side.
    pub limit: Limit,
    /// How dear one proof is, which decides how many are tried.
    pub proof: Proof,
    /// Makes both sides ready at one case, off the clock.
    pub prepare: fn(&Case) -> Result<Trial, Unavailable>,
}

impl Pair {
    /// Values of the fields that most pairs leave alone: `..Pair::DEFAULTS`. The others must be given: a
    /// pair made of these alone is proven nowhere and says nothing.
    pub const DEFAULTS: Pair = Pair {
        title: "",
        review: Review { smell: "", remedy: "", keep_naive_when: "", costs: "", lint: None },
        naive: Side { summary: "", growth: Growth::Linear },
        optimized: Side { summary: "", growth: Growth::Linear },
        contract: None,
        axis: Axis {
            name: "",
            unit: "",
            is_size: true,
            points: Points::Fixed { default: &[], deep: &[] },
        },
        parameter: None,
        unit: "",
        peer: None,
        metric: Metric::Time,
        causes: &[],
        explanation: "",
        limit: Limit::None("nothing is said of it"),
        proof: Proof { resources: Resources::Memory, max_size: 300 },
        prepare: |_| Err(Unavailable(String::new())),
    };

    /// Whether its axis or its parameter is a number of threads.
    pub fn uses_threads(&self) -> bool {
        let by_parameter = |parameter: &Parameter| matches!(parameter.levels, Levels::Threads);
        matches!(self.axis.points, Points::Threads)
            || self.parameter.as_ref().is_some_and(by_parameter)
    }
}

/// The review card.
#[derive(Debug)]
pub struct Review {
    /// What the naive side looks like in a diff.
    pub smell: &'static str,
    /// What to write in its place.
    pub remedy: &'static str,
    /// When the naive side is the better choice.
    pub keep_naive_when: &'static str,
    /// What one pays: memory, staleness, `unsafe`, a dependency.
    pub costs: &'static str,
    /// The clippy lint that finds the smell (`clippy::…`), if there is one.
    pub lint: Option<&'static str>,
}

/// What is said of one implementation.
#[derive(Debug)]
pub struct Side {
    /// The implementation in a few words: "scan a Vec of what was seen".
    pub summary: &'static str,
    /// How its time is expected to grow along the axis.
    pub growth: Growth,
}

/// The axis of a sweep.
#[derive(Debug)]
pub struct Axis {
    /// What varies: "rows", "selectivity", "threads".
    pub name: &'static str,
    /// Unit of the axis values, as written behind them: "rows", "%", "B".
    pub unit: &'static str,
    /// Whether the axis is the size of the input, so that proofs may try any size on it; else they
    /// try the measured points and vary [`Case::items`].
    pub is_size: bool,
    /// Where it is measured.
    pub points: Points,
}

/// The points of an axis, ascending.
#[derive(Debug)]
pub enum Points {
    /// The same on every machine.
    Fixed {
        /// Measured in every run.
        default: &'static [u64],
        /// Larger ones, measured on request (`--deep`).
        deep: &'static [u64],
    },
    /// 1, 2, 4, … up to the logical cores of this machine.
    Threads,
}

impl Points {
    /// The points of a usual run on this machine.
    pub fn default_points(&self) -> Vec<u64> {
        match self {
            Points::Fixed { default, .. } => default.to_vec(),
            Points::Threads => thread_counts(logical_cores()),
        }
    }

    /// The points measured on request.
    pub fn deep_points(&self) -> &'static [u64] {
        match self {
            Points::Fixed { deep, .. } => deep,
            Points::Threads => &[],
        }
    }
}

/// 1, 2, 4, … up to and including `cores`.
pub fn thread_counts(cores: u64) -> Vec<u64> {
    let powers = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n < cores);
    powers.chain([cores]).collect()
}

/// Logical cores this process may use.
pub fn logical_cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// The second thing a pair varies.
#[derive(Debug)]
pub struct Parameter {
    /// What varies: "round-trip time".
    pub name: &'static str,
    /// At most four values.
    pub levels: Levels,
}

/// The values of a [`Parameter`].
#[derive(Debug)]
pub enum Levels {
    /// The same on every machine.
    Fixed(&'static [Level]),
    /// 1, 2, 4, … up to the logical cores; the four largest at most.
    Threads,
}

/// One value of a [`Parameter`].
#[derive(Debug)]
pub struct Level {
    /// Stands in ids and tables: "in-process", "rtt=10ms". No spaces or slashes.
    pub label: &'static str,
    /// What `prepare` reads as [`Case::level`].
    pub value: u64,
    /// How its figures are got.
    pub origin: Origin,
}

/// How the figures of a [`Level`] are got.
#[derive(Debug)]
pub enum Origin {
    /// Measured at every point of the axis.
    Measured,
    /// Computed: metric of the nearest measured level before it + counted round trips × this
    /// distance. The model is confirmed by measuring at a real delay of the same length.
    Distance {
        /// Round-trip time added for each counted round trip, in µs.
        rtt_us: u64,
        /// Points of the axis where it is also measured.
        confirmed_at: &'static [u64],
    },
}

/// What is compared between the sides; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Wall time per unit of work.
    Time,
    /// 99th percentile of latency from the intended start, under open-loop load.
    P99Latency,
    /// Most bytes held on the heap while the side runs; counted, not timed.
    BytesHeld,
}

/// A counted cause and what the pair claims of it; a test holds the claim against the counts at
/// both ends of every sweep.
#[derive(Debug)]
pub struct Claim {
    /// What is counted.
    pub cause: Cause,
    /// The naive side's count for one iteration.
    pub naive: Count,
    /// The optimized side's count for one iteration.
    pub optimized: Count,
}

/// What a side claims of a count. Whatever is claimed, the same seed must give the same number.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Exactly this many.
    Exactly(fn(&Case) -> u64),
    /// At most this many.
    AtMost(fn(&Case) -> u64),
    /// At least this many.
    AtLeast(fn(&Case) -> u64),
}

/// What one proof of a pair opens, and how large its inputs get.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// Whether files, sockets, threads or databases are opened (then fewer proofs are tried).
    pub resources: Resources,
    /// Largest size of an input in property tests.
    pub max_size: u64,
}

impl Metric {
    /// What it is called in the heading of a column.
    pub fn heading(self) -> &'static str {
        match self {
            Metric::Time => "time",
            Metric::P99Latency => "p99 latency",
            Metric::BytesHeld => "bytes held",
        }
    }
}

/// What a proof opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resources {
    /// Memory only: at least 256 proofs.
    Memory,
    /// Files, sockets, threads or databases: at least 32 proofs.
    System,
}

/// Content of an input, where it can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What reality looks like; the only shape that is timed.
    Realistic,
    /// Uniformly random.
    Random,
    /// Few distinct values.
    DuplicateHeavy,
    /// Ascending.
    Sorted,
    /// Extremes, boundaries and whatever breaks naive assumptions.
    Adversarial,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 5] =
        [Shape::Realistic, Shape::Random, Shape::DuplicateHeavy, Shape::Sorted, Shape::Adversarial];
}

/// The 64-bit FNV-1a hash (Fowler, Noll and Vo), the same on every machine for ever.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One point of a sweep, with its seed.
#[derive(Clone, Debug)]
pub struct Case {
    /// Value on the axis.
    pub point: u64,
    /// Value of the parameter; 0 where the pair has none.
    pub level: u64,
    /// Seed of the run; see [`Case::rng`].
    pub seed: u64,
    /// Content of the input.
    pub shape: Shape,
    /// In proofs: the size that replaces the fixed sizes of the pair, see [`Case::items`].
    pub proof_size: Option<u64>,
}

impl Case {
    /// The case that is timed at `point` and `level`.
    pub fn realistic(point: u64, level: u64, seed: u64) -> Case {
        Case { point, level, seed, shape: Shape::Realistic, proof_size: None }
    }

    /// Size of an input whose size is not the axis: `usual` when timed, anything from 0 up in
    /// property tests.
    pub fn items(&self, usual: u64) -> usize {
        self.proof_size.map_or(usual, |size| size.min(usual)) as usize
    }

    /// A random number generator for one `purpose`: the same seed, point and purpose give the
    /// same numbers on every machine, for ever (ChaCha8; the key is the FNV-1a hash of the three).
    pub fn rng(&self, purpose: &str) -> ChaCha8Rng {
        let bytes = self.seed.to_le_bytes().into_iter().chain(self.point.to_le_bytes());
        ChaCha8Rng::seed_from_u64(fnv1a(bytes.chain(purpose.bytes())))
    }

    /// `count` numbers of this case's shape. [`Shape::Realistic`] and [`Shape::Random`] are uniform
    /// over all of `u64`.
    pub fn values(&self, count: usize) -> Vec<u64> {
        let mut rng = self.rng("values");
        match self.shape {
            Shape::Realistic | Shape::Random => (0..count).map(|_| rng.random()).collect(),
            Shape::DuplicateHeavy => (0..count).map(|_| rng.random_range(0..3)).collect(),
            Shape::Sorted => {
                let mut values: Vec<u64> =
                    (0..count).map(|_| rng.random_range(0..2 * count as u64)).collect();
                values.sort_unstable();
                values
            }
            Shape::Adversarial => {
                let extremes = [0, u64::MAX, 1, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 32];
                (0..count)
                    .map(|i| match rng.random_range(0..3) {
                        0 => extremes[i % extremes.len()],
                        1 => (count - i) as u64,
                        _ => (i as u64) << 48,
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_end_with_all_cores() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
        assert_eq!(thread_counts(8), [1, 2, 4, 8]);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let case = Case::realistic(3, 0, 42);
        assert_eq!(case.values(3), GOLDEN);
        assert_ne!(case.values(3), Case::realistic(4, 0, 42).values(3));
        assert_ne!(case.values(3), Case::realistic(3, 0, 43).values(3));
    }

    /// Never to be changed: results of other days and machines rest on these numbers.
    const GOLDEN: [u64; 3] =
        [15_199_483_247_605_180_311, 3_084_741_056_694_896_899, 881_751_400_747_860_533];

    #[test]
    fn shapes_have_the_content_they_are_named_for() {
        let values = |shape| Case { shape, ..Case::realistic(100, 0, 1) }.values(100);
        assert!(values(Shape::Sorted).is_sorted());
        assert!(values(Shape::DuplicateHeavy).iter().all(|value| *value < 3));
        assert!(values(Shape::Adversarial).contains(&u64::MAX));
    }
}
