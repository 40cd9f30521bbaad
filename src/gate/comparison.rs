//! Both builds are there: counting, timing and judging every pair.

use std::time::Instant;

use rayon::prelude::*;

use super::{
    GateError, Settings,
    client::WorkerError,
    contest::{self, Contest},
    counts::{BuildCounts, JUDGED},
    instructions,
    matching::{self, Matched},
    subject::Subject,
    timing::Program,
    verdict::{CaseReport, CountChange, Outcome, Time, judge_count, judge_time},
};
use crate::trial::Role;

/// How often counts that differ are counted again in both builds.
pub(super) const RECOUNTS: usize = 2;

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
    mut base: Subject,
    mut head: Subject,
    prefix: &str,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, GateError> {
    let mut notes = Vec::new();
    for (name, error) in head.silent.iter().chain(&base.silent) {
        notes.push(format!("the bench `{name}` is left out: {error}"));
    }
    let matched = select(matching::matched(&base.cases, &head.cases), &settings.ids)?;
    let both: Vec<&Matched> = matched.iter().filter(|matched| is_comparable(matched)).collect();
    progress(&format!("counting {} pairs", both.len()));
    let base_ids: Vec<&str> = both.iter().map(|pair| base_id(pair)).collect();
    let head_ids: Vec<&str> =
        matched.iter().filter_map(|pair| Some(head_case(pair)?.key.id.as_str())).collect();
    add_missing_causes(&mut base, &base_ids, settings.seed)?;
    add_missing_causes(&mut head, &head_ids, settings.seed)?;
    let has_valgrind = instructions::is_available();
    if has_valgrind {
        add_missing_instructions(&mut base, &base_ids, &mut notes);
        add_missing_instructions(
            &mut head,
            &both.iter().map(|pair| head_id(pair)).collect::<Vec<_>>(),
            &mut notes,
        );
        notes.dedup();
    } else {
        notes.push(
            "instructions are not counted, as valgrind is not here: changes of 1 % go unseen, and a slower CPU-bound \
             side is at most undecided. Install it: apt-get install valgrind"
                .to_owned(),
        );
    }
    recount(&mut base, &mut head, &both, settings, has_valgrind)?;
    base.counts.keep(&base.build, settings.seed);
    head.counts.keep(&head.build, settings.seed);

    let others = |pair: &Matched| -> Vec<&str> {
        let ids = base.cases.iter().chain(&head.cases).map(|case| case.key.id.as_str());
        ids.filter(|id| *id != head_id(pair) && *id != base_id(pair)).collect()
    };
    let is_timed = |pair: &&&Matched| {
        let is_settled = || {
            let (from, to) = (&base.revision.files, &head.revision.files);
            let changes = changes(pair, &base.counts, &head.counts, settings);
            changes.iter().all(CountChange::is_same)
                && has_valgrind
                && matching::has_same_code(from, to, prefix, &others(pair))
        };
        can_be_judged(pair, &base.counts, &head.counts) && !(settings.skip && is_settled())
    };
    let timed: Vec<&Matched> = both.iter().filter(is_timed).copied().collect();
    let times = time(&timed, &base, &head, settings, progress);

    let cases = matched.iter().map(|pair| {
        let time = times.iter().find(|(of, _)| std::ptr::eq(*of, pair)).map(|(_, time)| time);
        report(pair, &base, &head, time, settings)
    });
    Ok(Found { cases: cases.collect(), notes, timed: timed.len() })
}

fn select(matched: Vec<Matched>, ids: &[String]) -> Result<Vec<Matched>, GateError> {
    let is = |pair: &Matched, id: &str| {
        [&pair.base, &pair.head].into_iter().flatten().any(|case| {
            case.key.id == id || case.key.id.split_once('/').is_some_and(|(_, name)| name == id)
        })
    };
    if let Some(unknown) = ids.iter().find(|id| !matched.iter().any(|pair| is(pair, id))) {
        return Err(GateError::UnknownPair(unknown.clone()));
    }
    let selected = |pair: &Matched| ids.is_empty() || ids.iter().any(|id| is(pair, id));
    Ok(matched.into_iter().filter(selected).collect())
}

fn is_comparable(pair: &Matched) -> bool {
    pair.base.is_some() && pair.head.is_some() && pair.difference().is_none()
}

fn head_case(pair: &Matched) -> Option<&super::protocol::GateCase> {
    pair.head.as_ref()
}

fn base_id(pair: &Matched) -> &str {
    pair.base.as_ref().map_or("", |case| &case.key.id)
}

fn head_id(pair: &Matched) -> &str {
    pair.head.as_ref().map_or("", |case| &case.key.id)
}

/// Counts whatever is not counted yet of all pairs of a build, and keeps it.
///
/// # Errors
/// If causes cannot be counted.
pub(super) fn count(
    subject: &mut Subject,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<(), GateError> {
    let cases = subject.cases.clone();
    let ids: Vec<&str> = cases.iter().map(|case| case.key.id.as_str()).collect();
    add_missing_causes(subject, &ids, settings.seed)?;
    if instructions::is_available() {
        add_missing_instructions(subject, &ids, notes);
    }
    subject.counts.keep(&subject.build, settings.seed);
    Ok(())
}

fn add_missing_causes(subject: &mut Subject, ids: &[&str], seed: u64) -> Result<(), GateError> {
    let missing: Vec<&str> =
        ids.iter().filter(|id| !subject.counts.has_causes(id)).copied().collect();
    Ok(subject.counts.add_causes(&subject.build, &missing, seed, None)?)
}

fn add_missing_instructions(subject: &mut Subject, ids: &[&str], notes: &mut Vec<String>) {
    let missing: Vec<&str> =
        ids.iter().filter(|id| !subject.counts.has_instructions(id)).copied().collect();
    add_instructions(subject, &missing, notes);
}

/// Counts the instructions of pairs, on all cores: what is counted does not mind the company.
fn add_instructions(subject: &mut Subject, ids: &[&str], notes: &mut Vec<String>) {
    let count = |id: &&str| {
        let mut counts = BuildCounts::default();
        let case = subject.cases.iter().find(|case| case.key.id == **id)?;
        let counted = counts.add_instructions(subject.program(id), &case.key, None);
        Some(((*id).to_owned(), counted.map(|()| counts)))
    };
    let counted: Vec<(String, Result<BuildCounts, WorkerError>)> =
        ids.par_iter().filter_map(count).collect();
    for (id, counted) in counted {
        match counted {
            Ok(counts) => subject.counts.merge(counts),
            // The case is a row that says so itself.
            Err(WorkerError::Unavailable(_)) => {}
            Err(error) => notes.push(format!("the instructions of {id} are not counted: {error}")),
        }
    }
}

/// Counts again what differs, in both builds: a count that varies by itself is known as such before
/// it is judged.
fn recount(
    base: &mut Subject,
    head: &mut Subject,
    both: &[&Matched],
    settings: &Settings,
    has_valgrind: bool,
) -> Result<(), GateError> {
    for _ in 0..RECOUNTS {
        let differs = |pair: &&&Matched| {
            let changes = changes(pair, &base.counts, &head.counts, settings);
            changes.iter().any(|change| !change.is_same())
                || !head.counts.agrees_on(head_id(pair), &base.counts, base_id(pair))
        };
        let suspects: Vec<&Matched> = both.iter().filter(differs).copied().collect();
        let ids =
            |id: fn(&Matched) -> &str| suspects.iter().map(|pair| id(pair)).collect::<Vec<_>>();
        for (subject, ids) in [(&mut *base, ids(base_id)), (&mut *head, ids(head_id))] {
            subject.counts.add_causes(&subject.build, &ids, settings.seed, None)?;
            if has_valgrind {
                // What fails now has failed before, and was noted.
                add_instructions(subject, &ids, &mut Vec::new());
            }
        }
    }
    Ok(())
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

/// Times the optimized sides of pairs within the budget.
fn time<'a>(
    timed: &[&'a Matched],
    base: &Subject,
    head: &Subject,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Vec<(&'a Matched, Time)> {
    if timed.is_empty() {
        return Vec::new();
    }
    let (rule, deadline) = (settings.rule(timed.len()), Instant::now() + settings.budget);
    progress(&format!("timing {} pairs, for {:?} at most", timed.len(), settings.budget));
    let mut contests = Vec::new();
    let mut times = Vec::new();
    for pair in timed {
        let (Some(from), Some(to)) = (&pair.base, &pair.head) else { continue };
        let program = |subject: &'_ Subject, case: &'a super::protocol::GateCase| {
            (subject.program(&case.key.id).clone(), &case.key)
        };
        contests.push((*pair, program(base, from), program(head, to)));
    }
    let mut running = Vec::new();
    for (pair, (base_path, base_case), (head_path, head_case)) in &contests {
        let program = |path, case| Program { path, case, role: Role::Optimized, planted: None };
        match Contest::new(program(base_path, base_case), program(head_path, head_case)) {
            Ok(contest) => running.push((*pair, contest)),
            Err(error) => times.push((*pair, Time::Missing { reason: error.to_string() })),
        }
    }
    let (pairs, mut contests): (Vec<_>, Vec<_>) = running.into_iter().unzip();
    contest::decide_all(&mut contests, &rule, deadline, &mut |left| {
        progress(&format!("{left} pairs are not decided yet"));
    });
    for (pair, contest) in pairs.into_iter().zip(contests) {
        let (threads, user_share, disturbed) =
            (contest.threads(), contest.user_share(), contest.disturbed);
        let time = match contest.found {
            Some(Ok(found)) if found.restarts > 0 => {
                let counts = changes(pair, &base.counts, &head.counts, settings);
                judge_time(found, &counts, threads, user_share, disturbed)
            }
            Some(Err(error)) => Time::Missing { reason: error.to_string() },
            _ => Time::Missing {
                reason: format!(
                    "the budget of {:?} was spent before; give more: --budget",
                    settings.budget
                ),
            },
        };
        times.push((pair, time));
    }
    times
}

fn report(
    pair: &Matched,
    base: &Subject,
    head: &Subject,
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
