//! Verdicts: what each signal says of a case, and what they say together. Pure functions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::protocol::GateCase;
use crate::statistics::Interval;
use worthit_pair::{causes, trial::Role};

/// What is said of a signal, a case or a run. The later outweighs the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No relevant change.
    Unchanged,
    /// Better by more than is relevant.
    Improved,
    /// It cannot be told; never fails a build.
    Undecided,
    /// Worse by more than is relevant, and confirmed.
    Regressed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Unchanged => "unchanged",
            Verdict::Improved => "improved",
            Verdict::Undecided => "undecided",
            Verdict::Regressed => "regressed",
        })
    }
}

/// A count of one iteration over the processes in which it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Least.
    pub least: u64,
    /// Greatest.
    pub most: u64,
}

impl Counted {
    /// Counted once.
    pub fn once(count: u64) -> Counted {
        Counted { least: count, most: count }
    }

    /// Counted in more processes.
    pub fn and(self, other: Counted) -> Counted {
        Counted { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Whether all processes agree.
    pub fn repeats(&self) -> bool {
        self.least == self.most
    }

    /// By how much more the most is than the least, as a share of it.
    fn spread(&self) -> f64 {
        (self.most - self.least) as f64 / self.least.max(1) as f64
    }
}

/// Name of the count of instructions beside those of causes.
pub const INSTRUCTIONS: &str = "instructions";

/// By how much counts may grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerances {
    /// Of instructions: 0.005 is half a percent.
    pub instructions: f64,
    /// Of bytes that the pair does not name as a cause: a path's length may be among them.
    pub bytes: f64,
    /// Of everything else.
    pub causes: f64,
}

impl Default for Tolerances {
    fn default() -> Tolerances {
        Tolerances { instructions: 0.005, bytes: 0.005, causes: 0.0 }
    }
}

/// What one iteration of a side does in both builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountChange {
    /// The side.
    pub role: Role,
    /// Id of the cause, or [`INSTRUCTIONS`].
    pub cause: String,
    /// In the base.
    pub base: Counted,
    /// In the head.
    pub head: Counted,
    /// What it says.
    pub verdict: Verdict,
}

impl CountChange {
    /// Head ÷ base, of the least counts.
    pub fn ratio(&self) -> f64 {
        self.head.least as f64 / self.base.least.max(1) as f64
    }

    /// Whether the builds differ though each repeats, as far as it has been counted; of
    /// instructions, or nearly repeats.
    pub fn is_open(&self) -> bool {
        let repeats = self.base.repeats() && self.head.repeats();
        let is_judged = self.cause == INSTRUCTIONS && self.verdict != Verdict::Unchanged;
        !self.is_same() && (repeats || is_judged)
    }

    /// Whether instructions differ from process to process by so much that what is tolerated could
    /// be chance: by more than half of it.
    pub fn varies(&self, tolerances: &Tolerances) -> bool {
        self.cause == INSTRUCTIONS && self.spread() > tolerances.instructions / 2.0
    }

    /// By how much either build's counts differ from process to process, as a share.
    fn spread(&self) -> f64 {
        self.base.spread().max(self.head.spread())
    }

    /// Whether both builds have counted the same, or what varies overlaps.
    pub fn is_same(&self) -> bool {
        self.base.least <= self.head.most && self.head.least <= self.base.most
    }

    /// Whether it tells of no change of the code: as [`CountChange::is_same`], of instructions within
    /// what a seed moves them by.
    pub fn is_alike(&self) -> bool {
        let is_close = (self.ratio() - 1.0).abs() <= SAME_INSTRUCTIONS;
        self.is_same() || self.cause == INSTRUCTIONS && is_close
    }
}

/// Judges a count.
///
/// What a pair names repeats exactly. Another count that differs between processes of one build depends
/// on scheduling: an observation, which is never judged. Instructions may grow by as much as is tolerated or,
/// if that is more, by as much as they differ by. A count has grown if the least of the head is
/// more than what the most of the base may grow to.
pub fn judge_count(
    case: &GateCase,
    role: Role,
    cause: &str,
    base: Counted,
    head: Counted,
    tolerances: &Tolerances,
) -> CountChange {
    let is_named = case.causes.iter().any(|named| named == cause);
    let bytes =
        [causes::ALLOCATED_BYTES, causes::PEAK_BYTES, causes::BYTES_READ, causes::BYTES_WRITTEN];
    let tolerance = if cause == INSTRUCTIONS {
        tolerances.instructions
    } else if !is_named && bytes.iter().any(|of| of.id == cause) {
        tolerances.bytes
    } else {
        tolerances.causes
    };
    let verdict = Verdict::Unchanged;
    let change = CountChange { role, cause: cause.to_owned(), base, head, verdict };
    let spread = change.spread();
    let tolerance = if cause == INSTRUCTIONS { tolerance.max(spread) } else { tolerance };
    // The last factor is for the rounding of the others.
    let allowed = |from: u64| from as f64 * tolerance * (1.0 + 1e-9);
    let grown = |from: u64, to: u64| to.saturating_sub(from) as f64 > allowed(from);
    let is_observation = match cause == INSTRUCTIONS {
        true => case.is_open_loop(),
        false => !is_named && (case.is_open_loop() || spread > 0.0),
    };
    let verdict = if is_observation {
        Verdict::Unchanged
    } else if grown(base.most, head.least) {
        Verdict::Regressed
    } else if grown(head.most, base.least) {
        Verdict::Improved
    } else {
        Verdict::Unchanged
    };
    CountChange { verdict, ..change }
}

/// What the times say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// Time of the head ÷ time of the base with its 95 % interval, of the confirmation, or of the
    /// screen if there was none. `None` while there are too few restarts for an interval.
    pub change: Option<Interval>,
    /// Restarts, in all.
    pub restarts: usize,
    /// Restarts of the confirmation among them.
    pub confirming: usize,
}

/// The time of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Time {
    /// It was not measured, and need not be.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was measured.
    Judged {
        /// What the times say by themselves.
        found: TimeVerdict,
        /// What they say in the end.
        verdict: Verdict,
        /// Why the two differ.
        caveat: Option<String>,
        /// CPU time of all threads ÷ wall time.
        cpu_share: f64,
        /// Restarts during which others held the CPU.
        disturbed: usize,
    },
    /// It should have been measured.
    Missing {
        /// Why it was not.
        reason: String,
    },
}

impl Time {
    /// What the time says.
    pub fn verdict(&self) -> Verdict {
        match self {
            Time::Skipped { .. } => Verdict::Unchanged,
            Time::Judged { verdict, .. } => *verdict,
            Time::Missing { .. } => Verdict::Undecided,
        }
    }
}

/// Instructions that differ by less are the same: a randomly seeded hash moves them by 0.02 %.
const SAME_INSTRUCTIONS: f64 = 0.001;
/// What is on a CPU for more of its time is what a different layout can shift: its own code by where
/// the linker has put it, the kernel's on its behalf by where the heap begins.
const CPU_BOUND: f64 = 0.5;

/// A different layout shifts time by less than this.
const LAYOUT: f64 = 0.08;

/// What the times of a case say, given its counts. Where nothing that is counted has changed, the code
/// has not, and what is left is noise or where the linker has put it, which moves time by up
/// to 7 %: undecided, as it is without counted instructions. Threads may get in each other's way
/// without one more instruction, so theirs is believed when it is beyond what layout does. `disturbed`
/// of its restarts were.
pub fn judge_time(
    found: TimeVerdict,
    counts: &[CountChange],
    threads: usize,
    cpu_share: f64,
    disturbed: usize,
) -> Time {
    let is_beyond = found.change.is_some_and(|change| change.low > 1.0 + LAYOUT);
    let is_layout_bound = cpu_share >= CPU_BOUND && (threads <= 1 || !is_beyond);
    let instructions: Vec<&CountChange> =
        counts.iter().filter(|count| count.cause == INSTRUCTIONS).collect();
    let has_changed = counts.iter().any(|count| match count.cause == INSTRUCTIONS {
        true => !count.is_alike(),
        false => count.verdict != Verdict::Unchanged,
    });
    let is_red = found.verdict == Verdict::Regressed;
    let caveat = if is_red && disturbed * 3 > found.restarts {
        Some(format!("others held the CPU during {disturbed} of {} restarts", found.restarts))
    } else if is_red && is_layout_bound && instructions.is_empty() {
        Some("layout? Its instructions were not counted".to_owned())
    } else if is_red && is_layout_bound && !has_changed {
        Some("layout? It does exactly what it did, instruction for instruction".to_owned())
    } else {
        None
    };
    let verdict = if caveat.is_some() { Verdict::Undecided } else { found.verdict };
    Time::Judged { found, verdict, caveat, cpu_share, disturbed }
}

/// A budget that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// What the budget says, and what was found.
    pub what: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::statistics::Interval;
    use worthit_pair::{cases::CaseKey, pair::Metric};

    pub(crate) fn case(id: &str, causes: &[&str]) -> GateCase {
        GateCase {
            key: CaseKey { pair: id.to_owned(), level: String::new(), point: 100 },
            seed: 42,
            title: format!("Title of {id}"),
            axis: "items".to_owned(),
            axis_unit: "items".to_owned(),
            unit: "item".to_owned(),
            metric: Metric::Time,
            causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        }
    }

    fn judged(cause: &str, base: (u64, u64), head: (u64, u64)) -> Verdict {
        let range = |(least, most)| Counted { least, most };
        let case = case("a/b", &["peak_bytes"]);
        let tolerances = Tolerances::default();
        judge_count(&case, Role::Optimized, cause, range(base), range(head), &tolerances).verdict
    }

    #[test]
    fn one_more_of_anything_but_instructions_and_unnamed_bytes_is_a_regression() {
        for cause in
            ["statements", "fsyncs", "allocations", "round_trips", "write_calls", "peak_bytes"]
        {
            assert_eq!(
                judged(cause, (1_000, 1_000), (1_001, 1_001)),
                Verdict::Regressed,
                "{cause}"
            );
            assert_eq!(judged(cause, (1_000, 1_000), (1_000, 1_000)), Verdict::Unchanged);
            assert_eq!(judged(cause, (1_000, 1_000), (999, 999)), Verdict::Improved);
        }
        assert_eq!(judged("fsyncs", (0, 0), (1, 1)), Verdict::Regressed);
        assert_eq!(judged("allocated_bytes", (1_000, 1_000), (1_004, 1_004)), Verdict::Unchanged);
        assert_eq!(judged("allocated_bytes", (1_000, 1_000), (1_006, 1_006)), Verdict::Regressed);
    }

    #[test]
    fn instructions_may_grow_by_half_a_percent() {
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_000), (10_050, 10_050)), Verdict::Unchanged);
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_000), (10_051, 10_051)), Verdict::Regressed);
        assert_eq!(judged(INSTRUCTIONS, (10_100, 10_100), (10_000, 10_000)), Verdict::Improved);
    }

    #[test]
    fn what_varies_from_process_to_process_is_an_observation() {
        assert_eq!(judged("allocations", (90, 110), (300, 300)), Verdict::Unchanged);
        assert_eq!(judged("allocations", (90, 90), (91, 92)), Verdict::Unchanged);
        assert_eq!(judged("peak_bytes", (90, 110), (111, 120)), Verdict::Regressed, "named");
        let close = (10_000, 10_020);
        assert_eq!(judged(INSTRUCTIONS, close, (10_100, 10_110)), Verdict::Regressed);
        assert_eq!(judged(INSTRUCTIONS, close, (10_060, 10_080)), Verdict::Unchanged);
        // They differ by 2 %, and may grow by as much.
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_400, 10_400)), Verdict::Unchanged);
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_410, 10_410)), Verdict::Regressed);
    }

    #[test]
    fn what_a_seed_moves_is_no_change_of_the_code() {
        let change = |cause: &str, head| CountChange {
            role: Role::Naive,
            cause: cause.to_owned(),
            base: Counted { least: 100_000, most: 100_010 },
            head: Counted::once(head),
            verdict: Verdict::Unchanged,
        };
        assert!(
            change(INSTRUCTIONS, 100_005).is_alike() && change(INSTRUCTIONS, 100_090).is_alike()
        );
        assert!(
            !change(INSTRUCTIONS, 100_110).is_alike() && !change(INSTRUCTIONS, 99_890).is_alike()
        );
        assert!(!change("allocations", 100_011).is_alike(), "of others each counts");
    }

    #[test]
    fn instructions_are_counted_again_as_long_as_they_would_be_judged() {
        let is_open = |base: (u64, u64), head: (u64, u64)| {
            let range = |(least, most)| Counted { least, most };
            let (base, head) = (range(base), range(head));
            let (case, tolerances) = (case("a/b", &[]), Tolerances::default());
            judge_count(&case, Role::Naive, INSTRUCTIONS, base, head, &tolerances).is_open()
        };
        assert!(is_open((10_000, 10_000), (10_001, 10_001)), "both repeat so far");
        assert!(is_open((10_000, 10_010), (10_100, 10_110)), "it would be a regression");
        assert!(!is_open((10_000, 10_010), (10_011, 10_020)), "no relevant change");
        assert!(!is_open((10_000, 10_010), (10_010, 10_200)), "they overlap");
    }

    #[test]
    fn of_an_open_loop_only_what_the_pair_names_is_judged() {
        let case = GateCase { metric: Metric::P99Latency, ..case("a/b", &["round_trips"]) };
        let judged = |cause| {
            let (base, head) = (Counted::once(1), Counted::once(9));
            judge_count(&case, Role::Optimized, cause, base, head, &Tolerances::default()).verdict
        };
        assert_eq!(judged("round_trips"), Verdict::Regressed);
        assert_eq!(judged("allocations"), Verdict::Unchanged);
        assert_eq!(judged(INSTRUCTIONS), Verdict::Unchanged);
    }

    fn times(verdict: Verdict) -> TimeVerdict {
        let change = Some(Interval { low: 1.04, estimate: 1.05, high: 1.06 });
        TimeVerdict { verdict, change, restarts: 30, confirming: 24 }
    }

    pub(crate) fn count(cause: &str, base: u64, head: u64) -> CountChange {
        let (base, head) = (Counted::once(base), Counted::once(head));
        judge_count(&case("a/b", &[]), Role::Optimized, cause, base, head, &Tolerances::default())
    }

    #[test]
    fn a_time_alone_does_not_fail_code_that_layout_can_shift() {
        let same = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 3)];
        let verdict = |counts: &[CountChange], threads, user, disturbed| {
            judge_time(times(Verdict::Regressed), counts, threads, user, disturbed).verdict()
        };
        assert_eq!(verdict(&same, 1, 0.9, 0), Verdict::Undecided, "layout?");
        assert_eq!(verdict(&[], 1, 0.9, 0), Verdict::Undecided, "nothing counted");
        assert_eq!(verdict(&same, 1, 0.1, 0), Verdict::Regressed, "it waits");
        assert_eq!(verdict(&same, 2, 1.9, 0), Verdict::Undecided, "layout? Of two threads");
        assert_eq!(verdict(&same, 2, 0.3, 0), Verdict::Regressed, "threads that wait");
        let far = Some(Interval { low: 1.09, estimate: 1.20, high: 1.31 });
        let far = TimeVerdict { change: far, ..times(Verdict::Regressed) };
        let verdict_of_far = |threads| judge_time(far.clone(), &same, threads, 1.9, 0).verdict();
        assert_eq!(verdict_of_far(2), Verdict::Regressed, "beyond layout");
        assert_eq!(verdict_of_far(1), Verdict::Undecided, "one thread needs other counts");
        let changed = [count(INSTRUCTIONS, 10_000, 10_020)];
        assert_eq!(verdict(&changed, 1, 0.9, 0), Verdict::Regressed, "other code");
        assert_eq!(verdict(&changed, 1, 0.9, 11), Verdict::Undecided, "disturbed");
        let fewer = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 2)];
        assert_eq!(verdict(&fewer, 1, 0.9, 0), Verdict::Regressed);
    }

    #[test]
    fn nothing_else_is_changed_by_a_caveat() {
        for kept in [Verdict::Unchanged, Verdict::Improved, Verdict::Undecided] {
            assert_eq!(judge_time(times(kept), &[], 1, 1.0, 30).verdict(), kept);
        }
    }
}
