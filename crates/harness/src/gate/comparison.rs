//! Both builds are there: counting, timing and judging every pair.

use std::time::Instant;

use rayon::prelude::*;

use super::{
    GateError, Settings,
    budgets::{self, Budgets, GainBudget},
    build_under_test::BuildUnderTest,
    client::WorkerError,
    counts::{BuildCounts, JUDGED},
    instructions,
    paired_timing::{self, PairedTiming},
    pairing::{self, Matched},
    protocol::GateCase,
    signed_rank,
    timing::Program,
    verdict::{
        Breach, CaseReport, CountChange, INSTRUCTIONS, Outcome, Time, judge_count, judge_time,
    },
};
use crate::{machine::Machine, nearest::nearest};
use worthit_pair::trial::Role;

/// How often causes, and instructions that vary, are counted again in both builds as long as those differ:
/// what varies by itself is then known as such.
const RECOUNTS: usize = 5;
/// How often instructions are that repeat so far.
const RECOUNTS_OF_WHAT_REPEATS: usize = 2;

/// Restarts in which a gain is measured for its budget: enough for the level of the rule.
const RESTARTS_OF_A_GAIN: usize = 24;

/// What was found of all pairs.
#[derive(Debug)]
pub struct Found {
    /// One a pair.
    pub cases: Vec<CaseReport>,
    /// What the reader must know besides.
    pub notes: Vec<String>,
    /// How many were timed.
    pub timed: usize,
}

/// Compares all pairs of two builds.
///
/// # Errors
/// If causes cannot be counted, or a filter selects nothing.
pub fn compare(
    mut base: BuildUnderTest,
    mut head: BuildUnderTest,
    prefix: &str,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, GateError> {
    let mut notes = Vec::new();
    for (name, error) in head.silent.iter().chain(&base.silent) {
        notes.push(format!("the bench `{name}` is left out: {error}"));
    }
    let matched = select(pairing::pair_up(&base.cases, &head.cases), &settings.ids)?;
    let both: Vec<&Matched> = matched.iter().filter(|matched| is_comparable(matched)).collect();
    progress(&format!("counting {} pairs", both.len()));
    let (base_ids, head_ids) = (ids(&both, base_id), ids(&both, head_id));
    // What is new must be proven too.
    let of_head: Vec<&str> =
        matched.iter().filter(|pair| pair.head.is_some()).map(head_id).collect();
    add_missing_causes(&mut base, &base_ids, settings.seed)?;
    let has_valgrind = instructions::is_available();
    if has_valgrind {
        add_missing_instructions(&mut base, &base_ids, &mut notes);
    }
    if head.build.is_same_as(&base.build) {
        // The same binaries: what varies by itself shall not look like a change.
        head.counts = base.counts.clone();
    }
    add_missing_causes(&mut head, &of_head, settings.seed)?;
    if has_valgrind {
        add_missing_instructions(&mut head, &head_ids, &mut notes);
        notes.dedup();
    } else {
        notes.push(
            "instructions are not counted, as valgrind is not here: changes of 1 % go unseen, and a slower CPU-bound \
             side is at most undecided. Install it: apt-get install valgrind"
                .to_owned(),
        );
    }
    let (mut of_base, mut of_head) =
        (std::mem::take(&mut base.counts), std::mem::take(&mut head.counts));
    recount((&base, &mut of_base), (&head, &mut of_head), &both, settings)?;
    (base.counts, head.counts) = (of_base, of_head);
    base.counts.save(&base.build, settings.seed);
    head.counts.save(&head.build, settings.seed);

    let others = |pair: &Matched| -> Vec<&str> {
        let ids = base.cases.iter().chain(&head.cases).map(|case| case.key.id.as_str());
        ids.filter(|id| *id != head_id(pair) && *id != base_id(pair)).collect()
    };
    let is_timed = |pair: &&&Matched| {
        let is_settled = || {
            let (from, to) = (&base.revision.files, &head.revision.files);
            let changes = changes(pair, &base.counts, &head.counts, settings);
            changes.iter().all(CountChange::is_alike)
                && has_valgrind
                && pairing::has_same_code(from, to, prefix, &others(pair))
        };
        can_be_judged(pair, &base.counts, &head.counts) && !(settings.skip && is_settled())
    };
    let timed: Vec<&Matched> = both.iter().filter(is_timed).copied().collect();
    let times = time(&timed, &base, &head, settings, progress);

    let (mut breaches, said) = match &settings.budgets {
        Some(budgets) => budgets::judge(budgets, &head.cases, &head.counts),
        None => (Vec::new(), Vec::new()),
    };
    notes.extend(said);
    if let Some(budgets) = &settings.budgets {
        // What has not changed has held before.
        let changed = matched
            .iter()
            .filter(|pair| pair.base.is_none() || timed.iter().any(|of| std::ptr::eq(*of, *pair)));
        let changed: Vec<&Matched> = changed.collect();
        breaches.extend(gain_breaches(budgets, &changed, &head, settings, &mut notes, progress));
    }
    let cases = matched.iter().map(|pair| {
        let time = times.iter().find(|(of, _)| std::ptr::eq(*of, pair)).map(|(_, time)| time);
        let mut report = report(pair, &base, &head, time, settings);
        let own = breaches.iter().filter(|(id, _)| *id == report.case.key.id);
        report.breaches = own.map(|(_, breach)| breach.clone()).collect();
        report
    });
    Ok(Found { cases: cases.collect(), notes, timed: timed.len() })
}

/// The pairs that are asked for, by their ids or names; all if none is.
///
/// # Errors
/// If one that is asked for is in neither build.
pub(super) fn select(matched: Vec<Matched>, ids: &[String]) -> Result<Vec<Matched>, GateError> {
    let is = |pair: &Matched, id: &str| {
        [&pair.base, &pair.head].into_iter().flatten().any(|case| {
            case.key.id == id || case.key.id.split_once('/').is_some_and(|(_, name)| name == id)
        })
    };
    if let Some(unknown) = ids.iter().find(|id| !matched.iter().any(|pair| is(pair, id))) {
        let cases = matched.iter().filter_map(|pair| pair.head.as_ref().or(pair.base.as_ref()));
        let hint = nearest(unknown, cases.map(|case| case.key.id.as_str()));
        let hint = hint.map_or(String::new(), |id| format!(", did you mean `{id}`?"));
        return Err(GateError::UnknownPair { asked: unknown.clone(), hint });
    }
    let selected = |pair: &Matched| ids.is_empty() || ids.iter().any(|id| is(pair, id));
    Ok(matched.into_iter().filter(selected).collect())
}

fn is_comparable(pair: &Matched) -> bool {
    pair.base.is_some() && pair.head.is_some() && pair.difference().is_none()
}

fn base_id(pair: &Matched) -> &str {
    pair.base.as_ref().map_or("", |case| &case.key.id)
}

fn head_id(pair: &Matched) -> &str {
    pair.head.as_ref().map_or("", |case| &case.key.id)
}

fn ids<'a>(pairs: &[&'a Matched], id: fn(&Matched) -> &str) -> Vec<&'a str> {
    pairs.iter().map(|pair| id(pair)).collect()
}

/// Counts whatever is not counted yet of all pairs of a build, and keeps it.
///
/// # Errors
/// If causes cannot be counted.
pub(super) fn count(
    tested: &mut BuildUnderTest,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<(), GateError> {
    let cases = tested.cases.clone();
    let ids: Vec<&str> = cases.iter().map(|case| case.key.id.as_str()).collect();
    add_missing_causes(tested, &ids, settings.seed)?;
    if instructions::is_available() {
        add_missing_instructions(tested, &ids, notes);
    }
    tested.counts.save(&tested.build, settings.seed);
    Ok(())
}

fn add_missing_causes(
    tested: &mut BuildUnderTest,
    ids: &[&str],
    seed: u64,
) -> Result<(), GateError> {
    let missing: Vec<&str> =
        ids.iter().filter(|id| !tested.counts.has_causes(id)).copied().collect();
    Ok(tested.counts.add_causes(&tested.build, &missing, seed, None)?)
}

fn add_missing_instructions(tested: &mut BuildUnderTest, ids: &[&str], notes: &mut Vec<String>) {
    let missing: Vec<&str> =
        ids.iter().filter(|id| !tested.counts.has_instructions(id)).copied().collect();
    let (counts, said) = count_instructions(tested, &missing);
    tested.counts.merge(counts);
    notes.extend(said);
}

/// The instructions of pairs, counted on all cores, for what is counted does not mind the company; and
/// what could not be counted.
pub(super) fn count_instructions(
    tested: &BuildUnderTest,
    ids: &[&str],
) -> (BuildCounts, Vec<String>) {
    let count = |id: &&str| {
        let mut counts = BuildCounts::default();
        let case = tested.cases.iter().find(|case| case.key.id == **id)?;
        let counted = counts.add_instructions(tested.program(id), &case.key, &JUDGED, None);
        Some(((*id).to_owned(), counted.map(|()| counts)))
    };
    let counted: Vec<(String, Result<BuildCounts, WorkerError>)> =
        ids.par_iter().filter_map(count).collect();
    let (mut all, mut notes) = (BuildCounts::default(), Vec::new());
    for (id, counted) in counted {
        match counted {
            Ok(counts) => all.merge(counts),
            // The case is a row that says so itself.
            Err(WorkerError::Unavailable(_)) => {}
            Err(error) => notes.push(format!("the instructions of {id} are not counted: {error}")),
        }
    }
    (all, notes)
}

/// Counts again what differs, in both builds, until it is known to vary by itself or has differed
/// often enough.
///
/// # Errors
/// If causes cannot be counted.
pub(super) fn recount(
    (base, base_counts): (&BuildUnderTest, &mut BuildCounts),
    (head, head_counts): (&BuildUnderTest, &mut BuildCounts),
    both: &[&Matched],
    settings: &Settings,
) -> Result<(), GateError> {
    for nth in 0..RECOUNTS {
        let open = |pair: &Matched, of_instructions: bool| {
            changes(pair, base_counts, head_counts, settings).iter().any(|change| {
                (change.cause == INSTRUCTIONS) == of_instructions
                    && is_counted_again(change, nth, settings)
            })
        };
        let disagrees =
            |pair: &Matched| !head_counts.agrees_on(head_id(pair), base_counts, base_id(pair));
        let of = |wanted: &dyn Fn(&Matched) -> bool| {
            both.iter().filter(|pair| wanted(pair)).copied().collect::<Vec<&Matched>>()
        };
        let suspects = of(&|pair| open(pair, false) || disagrees(pair));
        let suspects_by_instructions = of(&|pair| open(pair, true));
        let again =
            |tested: &BuildUnderTest, counts: &mut BuildCounts, id: fn(&Matched) -> &str| {
                counts.add_causes(&tested.build, &ids(&suspects, id), settings.seed, None)?;
                // What fails now has failed before, and was noted.
                let by_instructions = ids(&suspects_by_instructions, id);
                counts.merge(count_instructions(tested, &by_instructions).0);
                Ok::<_, GateError>(())
            };
        again(base, base_counts, base_id)?;
        again(head, head_counts, head_id)?;
    }
    Ok(())
}

/// Whether what was counted again `nth` times differs still, and is worth counting once more.
pub(super) fn is_counted_again(change: &CountChange, nth: usize, settings: &Settings) -> bool {
    let repeats = change.cause == INSTRUCTIONS && !change.varies(&settings.tolerances);
    let most = if repeats { RECOUNTS_OF_WHAT_REPEATS } else { RECOUNTS };
    nth < most && change.is_open()
}

/// Every count of a pair that either build has.
pub(super) fn changes(
    pair: &Matched,
    base: &BuildCounts,
    head: &BuildCounts,
    settings: &Settings,
) -> Vec<CountChange> {
    let Some(case) = &pair.head else { return Vec::new() };
    let (Some(from), Some(to)) = (base.by_pair.get(base_id(pair)), head.by_pair.get(head_id(pair)))
    else {
        return Vec::new();
    };
    let of = |role: Role| {
        to.iter().filter(move |((of, _), _)| *of == role).filter_map(move |((_, cause), head)| {
            let base = from.get(&(role, cause.clone()))?;
            Some(judge_count(case, role, cause, *base, *head, &settings.tolerances))
        })
    };
    JUDGED.into_iter().flat_map(of).collect()
}

fn can_be_judged(pair: &Matched, base: &BuildCounts, head: &BuildCounts) -> bool {
    let runs = |counts: &BuildCounts, id: &str| {
        !counts.problems.contains_key(id) && counts.by_pair.contains_key(id)
    };
    runs(base, base_id(pair))
        && runs(head, head_id(pair))
        && head.agrees_on(head_id(pair), base, base_id(pair))
}

/// Times the optimized sides of pairs within the time limit.
fn time<'a>(
    timed: &[&'a Matched],
    base: &'a BuildUnderTest,
    head: &'a BuildUnderTest,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Vec<(&'a Matched, Time)> {
    if timed.is_empty() {
        return Vec::new();
    }
    let (rule, deadline) = (settings.rule(timed.len()), Instant::now() + settings.time_limit);
    progress(&format!("timing {} pairs, for {:?} at most", timed.len(), settings.time_limit));
    let (mut running, mut times) = (Vec::new(), Vec::new());
    for pair in timed {
        let (Some(from), Some(to)) = (&pair.base, &pair.head) else { continue };
        match PairedTiming::new(base.optimized(from), head.optimized(to)) {
            Ok(timing) => running.push((*pair, timing)),
            Err(error) => times.push((*pair, Time::Missing { reason: error.to_string() })),
        }
    }
    let (pairs, mut timings): (Vec<_>, Vec<_>) = running.into_iter().unzip();
    paired_timing::decide_all(&mut timings, &rule, deadline, &mut |left| {
        progress(&format!("{left} pairs are not decided yet"));
    });
    for (pair, timing) in pairs.into_iter().zip(timings) {
        let (threads, cpu_share, disturbed) =
            (timing.threads(), timing.cpu_share(), timing.disturbed);
        let time = match timing.found {
            Some(Ok(found)) if found.restarts > 0 => {
                let counts = changes(pair, &base.counts, &head.counts, settings);
                judge_time(found, &counts, threads, cpu_share, disturbed)
            }
            Some(Err(error)) => Time::Missing { reason: error.to_string() },
            _ => Time::Missing {
                reason: format!(
                    "the time limit of {:?} was reached before; give more: --time-limit",
                    settings.time_limit
                ),
            },
        };
        times.push((pair, time));
    }
    times
}

/// Measures the gains that have a budget on this machine, naive and optimized sides of the head
/// interleaved as base and head are, and judges them.
fn gain_breaches(
    budgets: &Budgets,
    changed: &[&Matched],
    head: &BuildUnderTest,
    settings: &Settings,
    notes: &mut Vec<String>,
    progress: &mut dyn FnMut(&str),
) -> Vec<(String, Breach)> {
    let machine = Machine::current().key;
    let cases = changed.iter().filter_map(|pair| pair.head.as_ref());
    let runs = |case: &&GateCase| head.counts.by_pair.contains_key(&case.key.id);
    let asked: Vec<(&GateCase, &GainBudget)> = cases
        .filter(runs)
        .flat_map(|case| budgets.gains_here(&machine, &case.key).map(move |budget| (case, budget)))
        .collect();
    let rule = settings.rule(asked.len());
    let mut breaches = Vec::new();
    for (case, budget) in asked {
        progress(&format!("measuring the gain of {}", case.key.id));
        let path = head.program(&case.key.id);
        let naive = Program::new(path, &case.key, Role::Naive);
        let measured = PairedTiming::new(head.optimized(case), naive)
            .and_then(|timing| timing.log_ratios(RESTARTS_OF_A_GAIN));
        match measured.map(|logs| signed_rank::centre(&logs, rule.alpha())) {
            Ok(Some(logs)) => {
                let breach = budget.judge(&crate::statistics::exp(logs));
                breaches.extend(breach.map(|breach| (case.key.id.clone(), breach)));
            }
            Ok(None) => {}
            Err(error) => notes.push(format!("the gain of {} is not judged: {error}", case.key.id)),
        }
    }
    breaches
}

fn report(
    pair: &Matched,
    base: &BuildUnderTest,
    head: &BuildUnderTest,
    time: Option<&Time>,
    settings: &Settings,
) -> CaseReport {
    let case = pair.head.as_ref().or(pair.base.as_ref()).expect("in one of both").clone();
    let problem = head.counts.problems.get(head_id(pair));
    let is_run = |counts: &BuildCounts, id: &str| counts.by_pair.contains_key(id);
    let outcome = if let Some(problem) = problem {
        Outcome::Broken { problem: problem.clone() }
    } else if pair.base.is_none() || pair.head.is_none() {
        Outcome::OnlyIn { head: pair.head.is_some() }
    } else if let Some(difference) = pair.difference() {
        Outcome::NotComparable { reason: format!("{difference}: another input") }
    } else if let Some(problem) = base.counts.problems.get(base_id(pair)) {
        Outcome::NotComparable { reason: format!("it was not proven in the base: {problem}") }
    } else if !is_run(&head.counts, head_id(pair)) || !is_run(&base.counts, base_id(pair)) {
        Outcome::Unavailable { reason: "it cannot run here; `cargo bench` says why".to_owned() }
    } else if !head.counts.agrees_on(head_id(pair), &base.counts, base_id(pair)) {
        let reason = "its sides agree in each build but not between them: another input, or another function";
        Outcome::NotComparable { reason: reason.to_owned() }
    } else {
        let counts = changes(pair, &base.counts, &head.counts, settings);
        let skipped = Time::Skipped { reason: "the same code, the same counts".to_owned() };
        Outcome::Judged { counts, time: time.cloned().unwrap_or(skipped) }
    };
    let renamed_from = pair.renamed_from().map(str::to_owned);
    CaseReport { case, renamed_from, outcome, breaches: Vec::new() }
}
