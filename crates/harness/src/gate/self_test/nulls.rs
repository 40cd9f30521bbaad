//! Null (A/A) comparisons: the head against builds in which nothing that is measured has changed.
//!
//! The easy kind compares the same build. The other kinds compare builds that differ in unrelated code: one has a scratch
//! pair and unused functions; in others, the linker placed all functions in another order. Like an
//! unrelated edit, they move the measured code to other addresses. Every comparison is judged in full, by counts and time.

use std::{io, path::Path, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        build::Builder,
        build_under_test::BuildUnderTest,
        counting,
        error::GateError,
        paired_timing::PairedTiming,
        pairing::Matched,
        scratch,
        settings::Settings,
        verdict::{CountChange, Verdict, judge, judge_time},
    },
    SelfTest, TIME_LIMITS, Test,
};

/// Kind of the null comparisons in which the builds do not differ.
pub const SAME_BUILD: &str = "the same build";
/// Seeds of the orders in which the linker places functions. Null runs take them in turn.
const PLACEMENTS: [u32; 3] = [4711, 4712, 4713];

/// Null comparisons of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nulls {
    /// Number of comparisons.
    pub comparisons: usize,
    /// Number that regressed by counts.
    pub alarms_by_counts: usize,
    /// Number that regressed by time.
    pub alarms_by_time: usize,
    /// Number that improved, by counts or time.
    #[serde(default)]
    pub improvements: usize,
    /// Number whose times alone changed, which layout or load may explain.
    pub held_back: usize,
    /// Number that is undecided.
    pub undecided: usize,
}

impl Nulls {
    /// Returns the number of false alarms; a false improvement is one too.
    pub fn alarms(&self) -> usize {
        self.alarms_by_counts + self.alarms_by_time + self.improvements
    }
}

/// Builds of one kind, which the null runs take in turn; at least one.
pub(super) struct Variants {
    pub kind: &'static str,
    pub builds: Vec<BuildUnderTest>,
}

/// A change to an exported package.
type Change<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

/// Builds variants of the head in which nothing that is measured has changed, as many as `runs` null runs need.
pub(super) fn variants(
    builder: &Builder,
    tested: &BuildUnderTest,
    runs: usize,
    settings: &Settings,
    notes: &mut Vec<String>,
    progress: &mut dyn FnMut(&str),
) -> Vec<Variants> {
    let first = tested.cases.first().map(|case| case.key.pair.clone()).unwrap_or_default();
    let mut build = |kind: &'static str, name: &str, change: Change<'_>| {
        progress(&format!("building {kind}"));
        match builder.build_changed(&tested.revision, name, change) {
            Ok(build) => {
                if kind != SAME_BUILD && build.is_same_as(&tested.build) {
                    notes.push(format!("{kind}: the build is the same, byte for byte"));
                }
                Some(BuildUnderTest::new(tested.revision.clone(), build, settings.seed))
            }
            Err(error) => {
                notes.push(format!("not compared with {kind}: {error}"));
                None
            }
        }
    };
    let (added, placed) = ("a scratch pair added", "functions placed differently");
    let mut kinds = vec![
        (SAME_BUILD, build(SAME_BUILD, "", &|_| Ok(())).into_iter().collect::<Vec<_>>()),
        (
            added,
            build(added, added, &|package| scratch::add_pair(package, &first))
                .into_iter()
                .collect(),
        ),
    ];
    let placements = PLACEMENTS.into_iter().take(runs).map_while(|seed| {
        let change = |package: &Path| scratch::place_differently(package, seed);
        build(placed, &format!("{placed}, {seed}"), &change)
    });
    kinds.push((placed, placements.collect()));
    let kinds = kinds.into_iter().filter(|(_, builds)| !builds.is_empty());
    kinds.map(|(kind, builds)| Variants { kind, builds }).collect()
}

impl Test<'_> {
    /// Makes the full decision on every pair, although nothing has changed; returns whether it called any pair
    /// regressed or improved.
    pub(super) fn null_run(
        &self,
        kind: &str,
        variant: &BuildUnderTest,
        found: &mut SelfTest,
    ) -> Result<bool, GateError> {
        let ids = self.ids();
        let (mut counts, _) = counting::count_instructions(variant, &ids, 0);
        counts.add_causes(&variant.build, &ids, self.settings.seed, None)?;
        let mut base = self.counts.clone();
        let pairs: Vec<&Matched> = self.pairs.iter().collect();
        let sides = ((self.tested, &mut base), (variant, &mut counts));
        let (tolerances, seed) = (&self.settings.tolerances, self.settings.seed);
        counting::recount(sides.0, sides.1, &pairs, tolerances, seed)?;
        let nulls = found.nulls.entry(kind.to_owned()).or_default();
        let mut failed = false;
        for pair in &self.pairs {
            let Some(case) = &pair.head else { continue };
            let id = &case.key.pair;
            let changes = counting::changes(pair, &base, &counts, &self.settings.tolerances);
            let by_counts: Vec<&CountChange> =
                changes.iter().filter(|change| change.verdict == Verdict::Regressed).collect();
            for count in &by_counts {
                found.alarms.push(format!("{id} ({kind}): {count:?}"));
            }
            failed |= !by_counts.is_empty();
            if pair.is_judged_by_counts() {
                nulls.comparisons += 1;
                nulls.alarms_by_counts += usize::from(!by_counts.is_empty());
                continue;
            }
            let timing = PairedTiming::new(self.tested.optimized(case), variant.optimized(case));
            let mut timing = match timing {
                Ok(timing) => timing,
                Err(error) => {
                    found.notes.push(format!("{id} was not timed: {error}"));
                    continue;
                }
            };
            timing.decide(&self.rule(), Instant::now() + TIME_LIMITS[1]);
            let (threads, share, disturbed) =
                (timing.threads(), timing.cpu_share(), timing.disturbed);
            let times = match timing.found {
                Some(Ok(times)) => times,
                failed => {
                    found.notes.push(format!("{id} was not timed: {failed:?}"));
                    continue;
                }
            };
            let (by_times, change) = (times.verdict, times.change);
            let time = judge_time(times, &changes, threads, share, disturbed);
            let verdict = judge(&changes, &time).verdict;
            nulls.comparisons += 1;
            nulls.alarms_by_counts += usize::from(!by_counts.is_empty());
            nulls.alarms_by_time += usize::from(time.verdict() == Verdict::Regressed);
            nulls.improvements += usize::from(verdict == Verdict::Improved);
            let is_change = matches!(by_times, Verdict::Regressed | Verdict::Improved);
            nulls.held_back += usize::from(is_change && time.verdict() != by_times);
            nulls.undecided += usize::from(verdict == Verdict::Undecided);
            if time.verdict() == Verdict::Regressed || verdict == Verdict::Improved {
                let differ = changes.iter().filter(|change| !change.overlaps());
                let differ: Vec<String> = differ
                    .map(|change| {
                        let [base, head] =
                            [change.base, change.head].map(|count| change.per_iteration(count));
                        format!("{} {base} → {head}", change.name())
                    })
                    .collect();
                let differ = differ.join(", ");
                found.alarms.push(format!("{id} ({kind}): {verdict}, time {change:?}; {differ}"));
            }
            failed |= matches!(verdict, Verdict::Regressed | Verdict::Improved);
        }
        Ok(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_improvement_is_a_false_alarm() {
        let nulls = Nulls { comparisons: 9, improvements: 2, undecided: 3, ..Nulls::default() };
        assert_eq!(nulls.alarms(), 2);
        assert_eq!(Nulls { alarms_by_counts: 1, alarms_by_time: 4, ..nulls }.alarms(), 7);
    }
}
