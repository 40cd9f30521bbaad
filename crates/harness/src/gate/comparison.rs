//! Compares two builds: matches their pairs, counts, times what the counts leave open, judges, and checks the budgets.

use std::time::Instant;

use super::{
    budgets::{self, Enforced},
    build::is_same_file,
    build_under_test::BuildUnderTest,
    counting::{self, BothCounts},
    counts::BuildCounts,
    error::GateError,
    gains,
    paired_timing::{self, PairedTiming},
    pairing::{self, Matched},
    protocol::GateCase,
    report::{CaseReport, Outcome},
    settings::Settings,
    verdict::{Breach, CountChange, Time, judge_time},
};
use crate::servers;
use worthit_pair::format;

/// Result of comparing all pairs.
#[derive(Debug)]
pub struct Comparison {
    /// Reports, one per pair.
    pub cases: Vec<CaseReport>,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// Number of pairs that were timed.
    pub timed: usize,
}

/// Compares all pairs of two builds. Pairs that depend on nothing that has changed are neither counted nor timed.
///
/// # Errors
/// If causes cannot be counted, or neither build has a requested pair.
pub fn compare(
    base: &BuildUnderTest,
    head: &BuildUnderTest,
    budgets: Option<&Enforced>,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Result<Comparison, GateError> {
    let pairs = pairing::select(pairing::pair_up(&base.cases, &head.cases), &settings.ids)?;
    let affected: Vec<&Matched> =
        pairs.iter().filter(|pair| !settings.skip || is_affected(pair, base, head)).collect();
    let cases = affected.iter().flat_map(|pair| pair.base.iter().chain(&pair.head));
    servers::start_named(cases.flat_map(|case| case.servers.iter().map(String::as_str)));
    // The budgets of a pair can change although nothing else does.
    let is_rebudgeted = |id: &str| budgets.is_some_and(|budgets| budgets.changed.contains(id));
    let is_left_out = |pair: &&Matched| !affected.iter().any(|other| std::ptr::eq(*other, *pair));
    let rebudgeted: Vec<&str> = pairs.iter().filter(is_left_out).map(Matched::head_id).collect();
    let rebudgeted: Vec<&str> = rebudgeted.into_iter().filter(|id| is_rebudgeted(id)).collect();
    let comparable = affected.iter().filter(|pair| pair.is_comparable()).count();
    progress(&format!("counting {comparable} of {} pairs", pairs.len()));
    let (tolerances, seed) = (&settings.tolerances, settings.seed);
    let counts = counting::count_both(base, head, &affected, &rebudgeted, tolerances, seed)?;
    let builds = Builds { base, head, affected, counts, budgets, settings };
    let timed: Vec<&Matched> = pairs.iter().filter(|pair| builds.is_timed(pair)).collect();
    let times = builds.time(&timed, progress);
    let (breaches, budget_notes) = builds.breaches(&pairs, &timed, progress);
    let cases = pairs.iter().map(|pair| {
        let time = times.iter().find(|(timed, _)| std::ptr::eq(*timed, pair));
        let mut report = builds.report(pair, time.map(|(_, time)| time));
        let own = breaches.iter().filter(|(id, _)| *id == report.case.key.pair);
        report.breaches = own.map(|(_, breach)| breach.clone()).collect();
        report
    });
    let cases = cases.collect();
    let silent = head.silent.iter().chain(&base.silent);
    let silent = silent.map(|(name, error)| format!("the bench `{name}` is excluded: {error}"));
    let notes = silent.chain(builds.counts.notes).chain(budget_notes).collect();
    Ok(Comparison { cases, notes, timed: timed.len() })
}

/// Returns whether a pair must be judged: it is not in both builds, or something that it depends on differs.
fn is_affected(pair: &Matched, base: &BuildUnderTest, head: &BuildUnderTest) -> bool {
    let is_renamed = pair.renamed_from().is_some();
    !pair.is_comparable() || is_renamed || head.difference(base, pair.head_id()).is_some()
}

/// Both builds and their counts.
struct Builds<'a> {
    base: &'a BuildUnderTest,
    head: &'a BuildUnderTest,
    /// Pairs that are judged; the others depend on nothing that has changed.
    affected: Vec<&'a Matched>,
    counts: BothCounts,
    budgets: Option<&'a Enforced>,
    settings: &'a Settings,
}

impl Builds<'_> {
    fn changes(&self, pair: &Matched) -> Vec<CountChange> {
        counting::changes(pair, &self.counts.base, &self.counts.head, &self.settings.tolerances)
    }

    /// Returns whether a pair is to be timed: both builds can run it, without a server, and are not the same program.
    fn is_timed(&self, pair: &Matched) -> bool {
        let BothCounts { base, head, .. } = &self.counts;
        let runs = |counts: &BuildCounts, id: &str| {
            !counts.problems.contains_key(id) && counts.by_pair.contains_key(id)
        };
        self.is_affected(pair)
            && pair.is_comparable()
            && !pair.is_judged_by_counts()
            && runs(base, pair.base_id())
            && runs(head, pair.head_id())
            && head.agrees_on(pair.head_id(), base, pair.base_id())
            && !(self.settings.skip && self.has_same_program(pair))
    }

    fn is_affected(&self, pair: &Matched) -> bool {
        self.affected.iter().any(|other| std::ptr::eq(*other, pair))
    }

    /// Returns whether the bench of a pair is the same program in both builds, byte for byte.
    fn has_same_program(&self, pair: &Matched) -> bool {
        let (base, head) = (self.base.program(pair.base_id()), self.head.program(pair.head_id()));
        is_same_file(base, head)
    }

    /// Times the optimized sides of pairs within the time limit.
    fn time<'a>(
        &self,
        timed: &[&'a Matched],
        progress: &mut dyn FnMut(&str),
    ) -> Vec<(&'a Matched, Time)> {
        if timed.is_empty() {
            return Vec::new();
        }
        let limit = self.settings.time_limit;
        let (rule, deadline) = (self.settings.rule(timed.len()), Instant::now() + limit);
        progress(&format!(
            "timing {}, for {limit:?} at most",
            format::counted(timed.len() as u64, "pairs")
        ));
        let (mut running, mut times) = (Vec::new(), Vec::new());
        for pair in timed {
            let (Some(from), Some(to)) = (&pair.base, &pair.head) else { continue };
            match PairedTiming::new(self.base.optimized(from), self.head.optimized(to)) {
                Ok(timing) => running.push((*pair, timing)),
                Err(error) => times.push((*pair, Time::Missing { reason: error.to_string() })),
            }
        }
        let (pairs, mut timings): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        paired_timing::decide_all(&mut timings, &rule, deadline, &mut |left| {
            progress(&format!("{} still undecided", format::counted(left as u64, "pairs")));
        });
        let judged = pairs.into_iter().zip(timings).map(|(pair, timing)| {
            let time = self.judge(pair, timing);
            (pair, time)
        });
        times.extend(judged);
        times
    }

    /// Judges the time of a pair, given its counts.
    fn judge(&self, pair: &Matched, timing: PairedTiming<'_>) -> Time {
        let (threads, cpu_share, disturbed) =
            (timing.threads(), timing.cpu_share(), timing.disturbed);
        match timing.found {
            Some(Ok(found)) if found.restarts > 0 => {
                judge_time(found, &self.changes(pair), threads, cpu_share, disturbed)
            }
            Some(Err(error)) => Time::Missing { reason: error.to_string() },
            _ => Time::Missing {
                reason: format!(
                    "the time limit of {:?} was reached first; raise it with --time-limit",
                    self.settings.time_limit
                ),
            },
        }
    }

    /// Returns the budgets that are not met, by pair id, and notes for the reader.
    ///
    /// Gains are measured only for pairs that are new or were timed; the others met their budgets before.
    fn breaches(
        &self,
        pairs: &[Matched],
        timed: &[&Matched],
        progress: &mut dyn FnMut(&str),
    ) -> (Vec<(String, Breach)>, Vec<String>) {
        let Some(budgets) = self.budgets else { return (Vec::new(), Vec::new()) };
        let counts = &self.counts.head;
        let (mut breaches, mut notes) = budgets::judge(&budgets.budgets, &self.head.cases, counts);
        let has_changed = |pair: &&Matched| {
            pair.base.is_none() || timed.iter().any(|other| std::ptr::eq(*other, *pair))
        };
        let changed: Vec<&GateCase> = pairs
            .iter()
            .filter(has_changed)
            .filter_map(|pair| pair.head.as_ref())
            .filter(|case| counts.by_pair.contains_key(&case.key.pair))
            .collect();
        let rule = |comparisons| self.settings.rule(comparisons);
        let (gain_breaches, gain_notes) =
            gains::breaches(&budgets.budgets, &changed, self.head, rule, progress);
        breaches.extend(gain_breaches);
        notes.extend(gain_notes);
        (breaches, notes)
    }

    /// Returns the report on a pair, without its budgets.
    fn report(&self, pair: &Matched, time: Option<&Time>) -> CaseReport {
        let case =
            pair.head.as_ref().or(pair.base.as_ref()).expect("in at least one build").clone();
        let renamed_from = pair.renamed_from().map(str::to_owned);
        let outcome = self.outcome(pair, time);
        CaseReport { case, renamed_from, outcome, breaches: Vec::new() }
    }

    fn outcome(&self, pair: &Matched, time: Option<&Time>) -> Outcome {
        let BothCounts { base, head, .. } = &self.counts;
        let (base_id, head_id) = (pair.base_id(), pair.head_id());
        let is_run = |counts: &BuildCounts, id: &str| counts.by_pair.contains_key(id);
        if let Some(problem) = head.problems.get(head_id) {
            Outcome::Broken { problem: problem.clone() }
        } else if !self.is_affected(pair) {
            Outcome::Unaffected
        } else if pair.base.is_none() || pair.head.is_none() {
            Outcome::OnlyIn { head: pair.head.is_some() }
        } else if let Some(difference) = pair.difference() {
            Outcome::NotComparable {
                reason: format!("{difference}, so the two measure different things"),
            }
        } else if let Some(problem) = base.problems.get(base_id) {
            Outcome::NotComparable { reason: format!("not proven in the base: {problem}") }
        } else if !is_run(head, head_id) || !is_run(base, base_id) {
            let is_study = pair.head.as_ref().is_some_and(|case| case.is_study);
            let reason = match is_study {
                true => "counted with its servers only; `cargo bench` says which is missing here",
                false => "cannot run here; `cargo bench` shows the reason",
            };
            Outcome::Unavailable { reason: reason.to_owned() }
        } else if !head.agrees_on(head_id, base, base_id) {
            let reason = "its sides agree within each build but not across builds: the input or the function differs";
            Outcome::NotComparable { reason: reason.to_owned() }
        } else {
            let reason = match pair.is_judged_by_counts() {
                true => "it is a study or uses a server, so its counts judge it",
                false => "its bench is the same program",
            };
            let skipped = Time::Skipped { reason: reason.to_owned() };
            Outcome::Judged { counts: self.changes(pair), time: time.cloned().unwrap_or(skipped) }
        }
    }
}
