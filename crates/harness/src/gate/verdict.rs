//! Verdicts on a case: by each signal, and by all signals together. Pure functions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::protocol::GateCase;
use crate::statistics::Interval;
use worthit_pair::{causes, trial::Role};

/// Verdict on a signal, a case or a run; a later variant outweighs an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No relevant change.
    Unchanged,
    /// Better by more than is relevant.
    Improved,
    /// Too uncertain to decide; never fails a build.
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

/// Range of a count of one iteration, over the processes that counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Smallest count.
    pub least: u64,
    /// Largest count.
    pub most: u64,
}

impl Counted {
    /// Returns the range of a single count.
    pub fn once(count: u64) -> Counted {
        Counted { least: count, most: count }
    }

    /// Returns the range that covers both.
    pub fn and(self, other: Counted) -> Counted {
        Counted { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Returns whether all processes counted the same.
    pub fn repeats(&self) -> bool {
        self.least == self.most
    }

    /// Returns the width of the range as a share of the smallest count.
    fn spread(&self) -> f64 {
        (self.most - self.least) as f64 / self.least.max(1) as f64
    }
}

/// Id of the instruction count among those of causes.
pub const INSTRUCTIONS: &str = "instructions";

/// Tolerated growth of counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerances {
    /// Growth of instructions: 0.005 is 0.5 %.
    pub instructions: f64,
    /// Growth of byte counts that the pair does not name as causes; they may include the length of a path.
    pub bytes: f64,
    /// Growth of all other counts.
    pub causes: f64,
}

impl Default for Tolerances {
    fn default() -> Tolerances {
        Tolerances { instructions: 0.005, bytes: 0.005, causes: 0.0 }
    }
}

/// A count of one iteration of a side, in both builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountChange {
    /// The side.
    pub role: Role,
    /// Id of the cause, or [`INSTRUCTIONS`].
    pub cause: String,
    /// Count in the base.
    pub base: Counted,
    /// Count in the head.
    pub head: Counted,
    /// Verdict on the change.
    pub verdict: Verdict,
}

impl CountChange {
    /// Returns head ÷ base of the smallest counts.
    pub fn ratio(&self) -> f64 {
        self.head.least as f64 / self.base.least.max(1) as f64
    }

    /// Returns whether the builds differ and a recount could still show that the count merely varies.
    ///
    /// That is so while the count repeats within each build or, for instructions, while their change would be
    /// reported.
    pub fn is_open(&self) -> bool {
        let repeats = self.base.repeats() && self.head.repeats();
        let is_judged = self.cause == INSTRUCTIONS && self.verdict != Verdict::Unchanged;
        !self.overlaps() && (repeats || is_judged)
    }

    /// Returns whether instructions vary between processes by more than half their tolerance.
    ///
    /// If so, a change as large as the tolerance could be chance.
    pub fn varies(&self, tolerances: &Tolerances) -> bool {
        self.cause == INSTRUCTIONS && self.spread() > tolerances.instructions / 2.0
    }

    /// Returns the larger spread of both builds between processes, as a share.
    fn spread(&self) -> f64 {
        self.base.spread().max(self.head.spread())
    }

    /// Returns whether the ranges of both builds overlap.
    pub fn overlaps(&self) -> bool {
        self.base.least <= self.head.most && self.head.least <= self.base.most
    }

    /// Returns whether the count is no evidence of changed code.
    ///
    /// That is so if the ranges overlap, or if instructions differ by no more than a random seed can explain.
    pub fn is_within_noise(&self) -> bool {
        let is_close = (self.ratio() - 1.0).abs() <= SAME_INSTRUCTIONS;
        self.overlaps() || self.cause == INSTRUCTIONS && is_close
    }
}

/// Judges a count.
///
/// The counts that a pair names repeat exactly. Any other count that varies between processes of one build depends on
/// scheduling; it is an observation and never judged. Instructions may grow by their tolerance or by their spread
/// between processes, whichever is larger. A count has grown if the smallest count of the head exceeds the largest of
/// the base by more than its tolerance.
pub fn judge_count(
    case: &GateCase,
    role: Role,
    cause: &str,
    base: Counted,
    head: Counted,
    tolerances: &Tolerances,
) -> CountChange {
    let is_named = case.causes.iter().any(|named| named == cause);
    let byte_causes =
        [causes::ALLOCATED_BYTES, causes::PEAK_BYTES, causes::BYTES_READ, causes::BYTES_WRITTEN];
    let tolerance = if cause == INSTRUCTIONS {
        tolerances.instructions
    } else if !is_named && byte_causes.iter().any(|bytes| bytes.id == cause) {
        tolerances.bytes
    } else {
        tolerances.causes
    };
    let verdict = Verdict::Unchanged;
    let change = CountChange { role, cause: cause.to_owned(), base, head, verdict };
    let spread = change.spread();
    let tolerance = if cause == INSTRUCTIONS { tolerance.max(spread) } else { tolerance };
    // The last factor absorbs rounding errors.
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

/// Verdict of the times alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// Time of the head ÷ time of the base, with its 95 % confidence interval.
    ///
    /// It is that of the confirmation or, without one, of the screen; `None` while there are too few restarts for an
    /// interval.
    pub change: Option<Interval>,
    /// Number of restarts.
    pub restarts: usize,
    /// Number of restarts in the confirmation.
    pub confirming: usize,
}

/// Time of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Time {
    /// Not measured, because there was no need to.
    Skipped {
        /// Reason.
        reason: String,
    },
    /// Measured.
    Judged {
        /// Verdict of the times alone.
        found: TimeVerdict,
        /// Final verdict.
        verdict: Verdict,
        /// Reason why the two differ.
        caveat: Option<String>,
        /// CPU time of all threads ÷ wall time.
        cpu_share: f64,
        /// Number of restarts during which other processes held the CPU.
        disturbed: usize,
    },
    /// Not measured, although it should have been.
    Missing {
        /// Reason.
        reason: String,
    },
}

impl Time {
    /// Returns the final verdict of the time.
    pub fn verdict(&self) -> Verdict {
        match self {
            Time::Skipped { .. } => Verdict::Unchanged,
            Time::Judged { verdict, .. } => *verdict,
            Time::Missing { .. } => Verdict::Undecided,
        }
    }
}

/// Relative difference up to which instruction counts are the same; a randomly seeded hash moves them by 0.02 %.
const SAME_INSTRUCTIONS: f64 = 0.001;
/// CPU time ÷ wall time from which a side counts as CPU-bound, so that a different layout can shift its time.
///
/// Linker layout shifts the time of its own code. The start of the heap shifts the time that the kernel spends on it.
const CPU_BOUND: f64 = 0.5;

/// Upper bound on the relative shift of time by a different layout.
const LAYOUT: f64 = 0.08;

/// Judges the time of a case, given its counts and the number of disturbed restarts.
///
/// If no count has changed, the code has not changed either. A slowdown is then noise or linker layout, which shifts
/// the time of CPU-bound code by up to 7 %, so the verdict is undecided. It is also undecided if instructions were not
/// counted. Several threads can slow each other down without executing more instructions, so their slowdown is believed
/// if it exceeds what layout does (8 %).
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
        true => !count.is_within_noise(),
        false => count.verdict != Verdict::Unchanged,
    });
    let is_red = found.verdict == Verdict::Regressed;
    let caveat = if is_red && disturbed * 3 > found.restarts {
        Some(format!(
            "other processes held the CPU during {disturbed} of {} restarts",
            found.restarts
        ))
    } else if is_red && is_layout_bound && instructions.is_empty() {
        Some("possibly a layout effect: its instructions were not counted".to_owned())
    } else if is_red && is_layout_bound && !has_changed {
        Some("possibly a layout effect: none of its counts has changed".to_owned())
    } else {
        None
    };
    let verdict = if caveat.is_some() { Verdict::Undecided } else { found.verdict };
    Time::Judged { found, verdict, caveat, cpu_share, disturbed }
}

/// A budget that is not met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// The budget, and what was measured.
    pub what: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::statistics::Interval;
    use worthit_pair::{case::CaseKey, pair::Metric};

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
    fn counts_that_vary_between_processes_are_observations() {
        assert_eq!(judged("allocations", (90, 110), (300, 300)), Verdict::Unchanged);
        assert_eq!(judged("allocations", (90, 90), (91, 92)), Verdict::Unchanged);
        assert_eq!(judged("peak_bytes", (90, 110), (111, 120)), Verdict::Regressed, "named");
        let close = (10_000, 10_020);
        assert_eq!(judged(INSTRUCTIONS, close, (10_100, 10_110)), Verdict::Regressed);
        assert_eq!(judged(INSTRUCTIONS, close, (10_060, 10_080)), Verdict::Unchanged);
        // They vary by 2 %, so they may grow by 2 %.
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_400, 10_400)), Verdict::Unchanged);
        assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_410, 10_410)), Verdict::Regressed);
    }

    #[test]
    fn the_effect_of_a_random_seed_is_not_a_change_of_the_code() {
        let change = |cause: &str, head| CountChange {
            role: Role::Naive,
            cause: cause.to_owned(),
            base: Counted { least: 100_000, most: 100_010 },
            head: Counted::once(head),
            verdict: Verdict::Unchanged,
        };
        assert!(
            change(INSTRUCTIONS, 100_005).is_within_noise()
                && change(INSTRUCTIONS, 100_090).is_within_noise()
        );
        assert!(
            !change(INSTRUCTIONS, 100_110).is_within_noise()
                && !change(INSTRUCTIONS, 99_890).is_within_noise()
        );
        assert!(!change("allocations", 100_011).is_within_noise(), "each one counts");
    }

    #[test]
    fn instructions_are_recounted_while_they_would_be_reported_as_changed() {
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
    fn an_open_loop_is_judged_only_by_the_causes_that_its_pair_names() {
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
    fn time_alone_does_not_fail_code_that_layout_can_shift() {
        let same = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 3)];
        let verdict = |counts: &[CountChange], threads, user, disturbed| {
            judge_time(times(Verdict::Regressed), counts, threads, user, disturbed).verdict()
        };
        assert_eq!(verdict(&same, 1, 0.9, 0), Verdict::Undecided, "layout?");
        assert_eq!(verdict(&[], 1, 0.9, 0), Verdict::Undecided, "nothing counted");
        assert_eq!(verdict(&same, 1, 0.1, 0), Verdict::Regressed, "it waits");
        assert_eq!(verdict(&same, 2, 1.9, 0), Verdict::Undecided, "layout? (two threads)");
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
    fn a_caveat_changes_only_regressions() {
        for kept in [Verdict::Unchanged, Verdict::Improved, Verdict::Undecided] {
            assert_eq!(judge_time(times(kept), &[], 1, 1.0, 30).verdict(), kept);
        }
    }
}
