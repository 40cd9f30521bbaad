//! What a run found: the types of a result. Their file is [`crate::result_file`].

mod merging;
mod stored;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    capacity::Capacity,
    limit,
    load::Load,
    machine::{Machine, Toolchain},
    numbers::Numbers,
    scaling,
    servers::UsedServer,
    statistics::{BreakEven, Interval, Summary, break_even},
    study::StudyResult,
};
use worthit_pair::{
    causes::Counts,
    format,
    limit::Needed,
    pair::{Metric, Rates, UnderLoad},
    plans::Plan,
    trial::{LoadAtRate, Role},
};

/// Schema name in every result.
pub(crate) const SCHEMA: &str = "worthit-run";
/// Schema version: raised when a reader of the old schema would misread the new one.
pub const VERSION: u64 = 3;

/// One run: all bench processes of one `cargo bench`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Always `worthit-run`.
    pub schema: String,
    /// Version of the schema.
    pub version: u64,
    /// Key of the run, and the name of its file.
    pub key: String,
    /// The cargo package whose pairs were measured; `None` in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Time when its first process started.
    pub started: Timestamp,
    /// Time when the last case was added.
    pub updated: Timestamp,
    /// Whether only the near end and the headline of each sweep were measured, briefly.
    pub quick: bool,
    /// Seed of all inputs.
    pub seed: u64,
    /// The machine that it ran on.
    pub machine: Machine,
    /// The toolchain that built the timed binaries.
    pub toolchain: Toolchain,
    /// The revision that was measured.
    pub revision: Revision,
    /// The thread ceiling of this machine; empty if no pair needed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceiling: Vec<scaling::Point>,
    /// What a timing loop added to an iteration, ns: for each process of the run, one reading for each of several copies
    /// of the loop; empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overhead: Vec<Vec<f64>>,
    /// The machine numbers; `None` if no limit needed them, and in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// Results by the ids of pairs. A missing pair was not part of this run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pairs: BTreeMap<String, PairResult>,
    /// Results by the ids of studies; empty in results of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub studies: BTreeMap<String, StudyResult>,
}

/// What identifies a run in a document about it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RunIdentity<'a> {
    /// Its key.
    run: &'a str,
    /// Its machine key.
    machine: &'a str,
    rustc: &'a str,
    revision: &'a Revision,
    quick: bool,
    seed: u64,
}

impl Run {
    /// Returns what identifies the run.
    pub fn identity(&self) -> RunIdentity<'_> {
        RunIdentity {
            run: &self.key,
            machine: &self.machine.key,
            rustc: &self.toolchain.rustc,
            revision: &self.revision,
            quick: self.quick,
            seed: self.seed,
        }
    }
}

/// Revision of the measured tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Commit id; `None` outside a git checkout.
    pub commit: Option<String>,
    /// Whether the tree had uncommitted changes.
    pub dirty: bool,
}

/// The result of one pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairResult {
    /// The technique in a few words.
    pub title: String,
    /// The naive implementation in a few words; empty in results of older versions.
    #[serde(default)]
    pub naive: String,
    /// The optimized implementation in a few words; empty in results of older versions.
    #[serde(default)]
    pub optimized: String,
    /// The quantity compared between the sides.
    pub metric: Metric,
    /// The unit of work; times are per unit.
    pub unit: String,
    /// The quantity that the sweep varies.
    pub axis: String,
    /// Unit of the axis.
    pub axis_unit: String,
    /// The second quantity that is varied, if any.
    pub parameter: Option<String>,
    /// The case that the pair speaks of where it may name only one; `None` in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<Headline>,
    /// The counted causes; the first one explains the gain.
    pub causes: Vec<NamedCause>,
    /// What both sides were asked for under open-loop load; `None` without such load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// The servers that it used; empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<UsedServer>,
    /// One sweep per value of the parameter; a single sweep without a label if there is no parameter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<Sweep>,
    /// Labels of its levels, in the order of the sweeps; empty in results of version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
}

/// A case of a pair, by its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// Label of its level; empty without one.
    pub level: String,
    /// Its point on the axis.
    pub point: u64,
}

/// What the sides of a pair were asked for under open-loop load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The largest 99th percentile of latency, µs.
    pub p99_us: u64,
    /// Whether the highest rate that meets it was searched for. Otherwise the pair states the rates.
    pub is_searched: bool,
}

/// The names of a cause in results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCause {
    /// Key of the counts.
    pub id: String,
    /// The noun after a number.
    pub label: String,
}

/// One sweep along the axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Value of the parameter; empty without one.
    pub level: String,
    /// Cases, ascending in the axis.
    pub cases: Vec<CaseResult>,
    /// Where the optimized side starts or stops winning. Computed from the cases, also when a result is read.
    #[serde(skip_deserializing)]
    pub break_even: BreakEven,
}

/// The result at one point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Value on the axis.
    pub point: u64,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Both sides were measured.
    Measured(Box<Measured>),
    /// Computed from a measured case and counted round trips.
    Computed(Computed),
    /// The case cannot run on this machine.
    Unavailable {
        /// Why, and how to fix that.
        reason: String,
    },
}

/// A measured case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "stored::Measured")]
pub struct Measured {
    /// Units of work in one iteration.
    pub units_per_iteration: u64,
    /// Inputs that the sides rotate through. Counts are sums over one iteration on each.
    pub inputs: u64,
    /// The sides: naive, optimized, then peers and alternatives.
    pub sides: Vec<SideResult>,
    /// Naive ÷ optimized.
    pub gain: Interval,
    /// Gain within each process; several only if the run had several rounds.
    pub processes: Vec<Interval>,
    /// The least work of an iteration of the optimized side; empty if no machine number bounds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<Needed>,
    /// Whether each thread of a pair that uses several was placed on a core of its own, as far as the system allowed it;
    /// `false` in results of older versions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub are_threads_placed: bool,
    /// Other load on the machine meanwhile (the worst of the processes).
    pub load: Load,
    /// Number of processes during which other processes held the CPU.
    pub marked_processes: u64,
    /// Why the case is left out of headlines and break-evens: other processes held the CPU in at least half of the
    /// processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// One side of a measured case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideResult {
    /// The role of the side.
    pub role: Role,
    /// `naive`, `optimized`, or the name of the peer or alternative.
    pub name: String,
    /// Metric per unit of work, ns; of several processes, each figure is the median of theirs.
    pub time_ns: Summary,
    /// Exact counts of one iteration on each input, summed; empty if nothing was counted.
    #[serde(default)]
    pub causes: Counts,
    /// Query plans of the statements that it ran; empty where no database was asked, or where it does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Plan>,
    /// For a peer or an alternative: its time ÷ that of the optimized side, interleaved as for the gain; the ratio of
    /// bytes where the pair compares bytes held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_optimized: Option<Interval>,
    /// What each of several processes found, from which the two above are made. It is not saved: a run that is still
    /// being measured is read from a file with a case for each process.
    #[serde(skip)]
    pub processes: Vec<SideOfProcess>,
    /// Quantities that depend on the scheduler; never asserted or gated.
    #[serde(default)]
    pub observations: BTreeMap<String, Summary>,
    /// Open-loop loads that the side was put under, in the order in which they were sent, those of all processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<LoadAtRate>,
}

/// The times of one side in one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SideOfProcess {
    /// Metric per unit of work, ns.
    pub time_ns: Summary,
    /// For a peer or an alternative: its time ÷ that of the optimized side.
    pub against_optimized: Option<Interval>,
}

/// A computed case: metric of a measured case + counted round trips × distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    /// The measured level that it is based on.
    pub from: String,
    /// Round-trip time added per counted round trip, µs.
    pub rtt_us: u64,
    /// Time of an iteration of the naive side, ns.
    pub naive_ns: f64,
    /// Time of an iteration of the optimized side, ns.
    pub optimized_ns: f64,
    /// Naive ÷ optimized.
    pub gain: f64,
    /// Round-trip time above which the optimized side wins, µs: 0 if it wins at any distance, `None` if it does not
    /// make fewer round trips.
    pub break_even_rtt_us: Option<f64>,
    /// The same case measured at a real delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Box<Measured>>,
}

impl Objective {
    /// Returns the largest 99th percentile of latency.
    pub fn p99(self) -> Duration {
        Duration::from_micros(self.p99_us)
    }
}

impl From<UnderLoad> for Objective {
    fn from(under_load: UnderLoad) -> Objective {
        let is_searched = under_load.rates == Rates::Capacity;
        Objective { p99_us: under_load.p99.as_micros() as u64, is_searched }
    }
}

impl PairResult {
    /// Returns the case at a point of a level, if it was recorded.
    pub fn case(&self, level: &str, point: u64) -> Option<&CaseResult> {
        let sweep = self.sweeps.iter().find(|sweep| sweep.level == level)?;
        sweep.cases.iter().find(|case| case.point == point)
    }

    /// Returns a point of the axis with its unit: "65,536 items".
    pub fn place(&self, point: u64) -> String {
        format::counted(point, &self.axis_unit).trim_end().to_owned()
    }
}

impl Outcome {
    /// Returns why the case cannot run, if it cannot. Some pairs say "not measured: …" themselves; that is left out.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Unavailable { reason } => Some(reason.trim_start_matches("not measured: ")),
            _ => None,
        }
    }
}

impl CaseResult {
    /// Returns the measurement, if the case was measured.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            _ => None,
        }
    }
}

impl Measured {
    /// Returns the side of a role.
    pub fn side(&self, role: Role) -> Option<&SideResult> {
        self.sides.iter().find(|side| side.role == role)
    }

    /// Returns the capacity of a side at the objective; `None` if none was searched for.
    pub fn capacity(&self, role: Role, objective: Objective) -> Option<Capacity> {
        let loads = &self.side(role)?.loads;
        let is_searched = objective.is_searched && !loads.is_empty();
        is_searched.then(|| Capacity::of(loads, objective.p99()))
    }

    /// Returns the count of a cause in one iteration of a side, as the mean over the inputs.
    pub fn count(&self, role: Role, cause: &str) -> Option<f64> {
        let total = self.side(role)?.causes.get_by_id(cause)?;
        Some(total as f64 / self.inputs.max(1) as f64)
    }

    /// Returns the same in words: "4,096".
    pub fn count_in_words(&self, role: Role, cause: &str) -> Option<String> {
        let total = self.side(role)?.causes.get_by_id(cause)?;
        Some(format::mean(total, self.inputs))
    }

    /// Returns the peers, or the alternatives, with [`SideResult::against_optimized`].
    pub fn beside(
        &self,
        is_wanted: fn(Role) -> bool,
    ) -> impl Iterator<Item = (&SideResult, Interval)> {
        let sides = self.sides.iter().filter(move |side| is_wanted(side.role));
        sides.filter_map(|side| Some((side, side.against_optimized?)))
    }

    /// Returns how close the optimized side comes to its limit, by the machine numbers of the run.
    pub fn share_of_limit(&self, numbers: Option<&Numbers>) -> limit::Share {
        let iteration_ns = |role| {
            let side = self.side(role);
            side.map_or(0.0, |side| side.time_ns.median * self.units_per_iteration as f64)
        };
        let [naive_ns, optimized_ns] = [Role::Naive, Role::Optimized].map(iteration_ns);
        limit::share(&self.needed, numbers, naive_ns, optimized_ns)
    }
}

impl SideResult {
    /// Makes a side of which only this is known.
    pub fn new(role: Role, name: &str, time_ns: Summary, causes: Counts) -> SideResult {
        SideResult {
            role,
            name: name.to_owned(),
            time_ns,
            causes,
            plans: Vec::new(),
            against_optimized: None,
            processes: Vec::new(),
            observations: BTreeMap::new(),
            loads: Vec::new(),
        }
    }
}

impl Sweep {
    /// Returns the gains that are measured and unmarked, for headlines and break-evens.
    pub fn headline_gains(&self) -> Vec<(u64, Interval)> {
        let unmarked = |case: &CaseResult| {
            let measured = case.measured()?;
            measured.mark.is_none().then_some((case.point, measured.gain))
        };
        self.cases.iter().filter_map(unmarked).collect()
    }

    pub(crate) fn find_break_even(&mut self) {
        let gains = self.headline_gains();
        let measured = self.cases.iter().filter(|case| case.measured().is_some()).count();
        self.break_even = break_even(&gains, measured - gains.len());
    }
}

impl Run {
    /// Creates a run without results.
    pub fn new(
        key: &str,
        started: Timestamp,
        quick: bool,
        seed: u64,
        machine: Machine,
        revision: Revision,
    ) -> Run {
        Run {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            key: key.to_owned(),
            package: None,
            started,
            updated: started,
            quick,
            seed,
            machine,
            toolchain: Toolchain::current(),
            revision,
            ceiling: Vec::new(),
            overhead: Vec::new(),
            numbers: None,
            pairs: BTreeMap::new(),
            studies: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn measured(gain: f64, mark: bool) -> Measured {
        let gain = Interval { low: gain * 0.99, estimate: gain, high: gain * 1.01 };
        Measured {
            units_per_iteration: 1,
            inputs: 1,
            sides: vec![],
            gain,
            processes: vec![gain],
            needed: vec![],
            are_threads_placed: false,
            load: Load::default(),
            marked_processes: u64::from(mark),
            mark: mark.then(|| "other processes held the CPU".to_owned()),
        }
    }

    pub(crate) fn case(point: u64, gain: f64, mark: bool) -> CaseResult {
        CaseResult { point, outcome: Outcome::Measured(Box::new(measured(gain, mark))) }
    }

    pub(crate) fn pair() -> PairResult {
        PairResult {
            title: "t".to_owned(),
            naive: "n".to_owned(),
            optimized: "o".to_owned(),
            metric: Metric::Time,
            unit: "u".to_owned(),
            axis: "a".to_owned(),
            axis_unit: "b".to_owned(),
            parameter: None,
            headline: None,
            causes: vec![],
            objective: None,
            servers: vec![],
            sweeps: vec![],
            levels: vec![],
        }
    }

    pub(crate) fn run() -> Run {
        let revision = Revision { commit: None, dirty: false };
        Run::new("key", Timestamp::UNIX_EPOCH, false, 42, Machine::current(), revision)
    }

    pub(crate) fn add(run: &mut Run, levels: &[&str], level: &str, case: CaseResult) {
        let levels = levels.iter().map(|label| (*label).to_owned()).collect();
        let pair = run.pairs.entry("f/p".to_owned()).or_insert(PairResult { levels, ..pair() });
        pair.add(level, case);
    }

    pub(crate) fn sweep(cases: Vec<CaseResult>) -> Sweep {
        let mut run = run();
        for case in cases {
            add(&mut run, &[""], "", case);
        }
        run.pairs["f/p"].sweeps[0].clone()
    }

    #[test]
    fn marked_and_unavailable_cases_are_left_out_of_the_break_even() {
        let unavailable = Outcome::Unavailable { reason: "no".to_owned() };
        let found = sweep(vec![
            case(4, 3.0, false),
            case(1, 0.5, true),
            CaseResult { point: 2, outcome: unavailable },
        ]);
        assert_eq!(found.cases.iter().map(|case| case.point).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(found.break_even.crossings, []);
        assert_eq!(found.break_even.summary, "wins from 4 on; marked points excluded: 1");
        assert_eq!(
            sweep(vec![case(1, 0.5, false), case(4, 3.0, false)]).break_even.crossings.len(),
            1
        );
    }
}
