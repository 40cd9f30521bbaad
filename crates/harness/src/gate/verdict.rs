//! Verdicts on a case: by each signal, and by all signals together. Pure functions.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::protocol::GateCase;
use crate::statistics::Interval;
use worthit_pair::{causes, format, trial::Role};

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

/// Range of a count, over the processes that counted it.
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

/// A count of a side, in both builds.
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
    /// Number of iterations, one on each input, that the counts are summed over.
    pub iterations: u64,
    /// Verdict on the change.
    pub verdict: Verdict,
}

impl CountChange {
    /// Writes a range of counts as the mean of an iteration: "12.5", "3…4".
    pub fn per_iteration(&self, counted: Counted) -> String {
        let [least, most] =
            [counted.least, counted.most].map(|sum| format::mean(sum, self.iterations));
        if counted.repeats() { least } else { format!("{least}…{most}") }
    }

    /// Returns head ÷ base of the smallest counts.
    pub fn ratio(&self) -> f64 {
        self.head.least as f64 / self.base.least.max(1) as f64
    }

    /// Returns the name of the count for reports: `full scan steps`.
    pub fn name(&self) -> String {
        self.cause.replace('_', " ")
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
    /// That is so if the ranges overlap, or if the gap between those of instructions is no wider than a random seed or
    /// their own spread between processes can explain.
    pub fn is_within_noise(&self) -> bool {
        let (above, below) =
            (self.base.least.max(self.head.least), self.base.most.min(self.head.most));
        let gap = above.saturating_sub(below);
        let share = gap as f64 / self.base.least.max(1) as f64;
        let is_close = || share <= SAME_INSTRUCTIONS.max(self.spread());
        self.overlaps() || self.cause == INSTRUCTIONS && is_close()
    }
}

/// Judges a count, the sum over `iterations`.
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
    iterations: u64,
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
    let change = CountChange { role, cause: cause.to_owned(), base, head, iterations, verdict };
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
    /// Whether the upper bound of the change is below the size from which a growth is relevant.
    pub is_no_longer: bool,
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
/// If no count has changed, the code has not changed either. A different time is then noise or linker layout, which
/// shifts the time of CPU-bound code by up to 7 %, so the verdict is undecided. It is also undecided if instructions
/// were not counted. Several threads can slow each other down without executing more instructions, so a change of their
/// time is believed if it exceeds what layout does (8 %). All this holds for shorter times as for longer ones.
pub fn judge_time(
    found: TimeVerdict,
    counts: &[CountChange],
    threads: usize,
    cpu_share: f64,
    disturbed: usize,
) -> Time {
    let is_beyond = found
        .change
        .is_some_and(|change| change.low > 1.0 + LAYOUT || change.high < 1.0 / (1.0 + LAYOUT));
    let is_layout_bound = cpu_share >= CPU_BOUND && (threads <= 1 || !is_beyond);
    let mut instructions = counts.iter().filter(|count| count.cause == INSTRUCTIONS);
    let has_changed = counts.iter().any(|count| match count.cause == INSTRUCTIONS {
        true => !count.is_within_noise(),
        false => count.verdict != Verdict::Unchanged,
    });
    let is_change = matches!(found.verdict, Verdict::Regressed | Verdict::Improved);
    let caveat = if is_change && is_disturbed(disturbed, found.restarts) {
        Some(format!(
            "other processes held the CPU during {disturbed} of {} restarts",
            found.restarts
        ))
    } else if is_change && is_layout_bound && instructions.next().is_none() {
        Some("possibly a layout effect: its instructions were not counted".to_owned())
    } else if is_change && is_layout_bound && !has_changed {
        Some("possibly a layout effect: none of its counts has changed".to_owned())
    } else {
        None
    };
    let verdict = if caveat.is_some() { Verdict::Undecided } else { found.verdict };
    Time::Judged { found, verdict, caveat, cpu_share, disturbed }
}

/// Returns whether other processes held the CPU so often that times prove nothing.
fn is_disturbed(disturbed: usize, restarts: usize) -> bool {
    disturbed * 3 > restarts
}

/// Verdict on a case by all signals together.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Reason why a signal that improved does not make the case improved.
    pub reason: Option<String>,
}

/// Judges a case by all signals together; none is ignored because another is better.
///
/// A case regresses if any count or its time does. It improves if no signal is worse and either
/// - its time is confirmed to be shorter, or
/// - the optimized side does less of something other than instructions, and its time is confirmed not to be longer.
///
/// Fewer instructions alone are no improvement: a locked instruction or a cache miss costs as much as hundreds of others.
pub fn judge(counts: &[CountChange], time: &Time) -> Judgement {
    let decided = |verdict| Judgement { verdict, reason: None };
    let held_back = |verdict, reason: String| Judgement { verdict, reason: Some(reason) };
    if counts.iter().any(|count| count.verdict == Verdict::Regressed) {
        return decided(Verdict::Regressed);
    }
    let fewer: Vec<&CountChange> =
        counts.iter().filter(|count| count.verdict == Verdict::Improved).collect();
    let causes = fewer.iter().filter(|count| count.cause != INSTRUCTIONS);
    let does_less = causes.clone().any(|count| count.role == Role::Optimized);
    let by_time = time.verdict();
    if fewer.is_empty() || matches!(by_time, Verdict::Improved | Verdict::Regressed) {
        return decided(by_time);
    }
    let names: BTreeSet<String> = fewer.iter().map(|count| count.name()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(" and ");
    match time {
        Time::Judged { found, disturbed, .. }
            if does_less && found.is_no_longer && !is_disturbed(*disturbed, found.restarts) =>
        {
            decided(Verdict::Improved)
        }
        Time::Judged { .. } if by_time == Verdict::Undecided => held_back(
            by_time,
            format!("fewer {names}, but whether its time is longer is undecided"),
        ),
        Time::Judged { .. } if does_less => {
            held_back(by_time, format!("fewer {names}, but its time may be longer"))
        }
        Time::Judged { .. } if causes.count() > 0 => held_back(
            by_time,
            format!("fewer {names} on the naive side are no improvement of the optimized side"),
        ),
        Time::Judged { .. } => {
            held_back(by_time, format!("fewer {names} without a shorter time are no improvement"))
        }
        Time::Skipped { .. } | Time::Missing { .. } => {
            held_back(by_time, format!("fewer {names}, but its time was not measured"))
        }
    }
}

/// A budget that is not met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// The budget, and what was measured.
    pub what: String,
}

#[cfg(test)]
pub(crate) mod tests;
