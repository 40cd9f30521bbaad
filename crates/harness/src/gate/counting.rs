//! Counts both builds: first what has not been counted yet, then again what differs.

use rayon::prelude::*;

use super::{
    build_under_test::BuildUnderTest,
    client::WorkerError,
    counts::{BuildCounts, CountError, JUDGED},
    instructions,
    pairing::Matched,
    verdict::{CountChange, INSTRUCTIONS, Tolerances, judge_count},
};
use worthit_pair::trial::Role;

/// Maximum number of recounts, in both builds, of a cause or a varying instruction count that differs between them.
///
/// Recounts show which counts vary from process to process, and which instruction counts with the place of the heap.
const RECOUNTS: usize = 5;
/// Maximum number of recounts of an instruction count that has been stable so far.
const RECOUNTS_OF_STABLE: usize = 2;

/// Note for runs that cannot count instructions.
const WITHOUT_VALGRIND: &str = "instructions are not counted because valgrind is not installed: changes of 1 % go \
    unseen, and a slower CPU-bound side is undecided at most. Install it: apt-get install valgrind";

/// Counts of both builds.
#[derive(Debug)]
pub struct BothCounts {
    /// Counts of the base.
    pub base: BuildCounts,
    /// Counts of the head.
    pub head: BuildCounts,
    /// Notes on what could not be counted.
    pub notes: Vec<String>,
}

/// Counts the comparable pairs in both builds.
///
/// The causes of the other `pairs` of the head are counted too, because counting proves a pair, and those of `head_only`
/// for their budgets. Counts are stored beside each build and reused.
///
/// # Errors
/// If the command of a build cannot count.
pub fn count_both(
    base: &BuildUnderTest,
    head: &BuildUnderTest,
    pairs: &[&Matched],
    head_only: &[&str],
    tolerances: &Tolerances,
    seed: u64,
) -> Result<BothCounts, CountError> {
    let has_instructions = instructions::is_available();
    let comparable: Vec<&Matched> =
        pairs.iter().filter(|pair| pair.is_comparable()).copied().collect();
    let in_head = pairs.iter().filter(|pair| pair.head.is_some()).map(|pair| pair.head_id());
    let head_ids: Vec<&str> = in_head.chain(head_only.iter().copied()).collect();
    let mut notes = Vec::new();
    let mut add_missing = |tested: &BuildUnderTest,
                           counts: &mut BuildCounts,
                           by_causes: &[&str],
                           by_instructions: &[&str]| {
        add_missing_causes(tested, counts, by_causes, seed)?;
        if has_instructions {
            notes.extend(add_missing_instructions(tested, counts, by_instructions));
        }
        Ok::<_, CountError>(())
    };
    let base_ids = ids(&comparable, Matched::base_id);
    let mut base_counts = BuildCounts::load(&base.build, seed);
    add_missing(base, &mut base_counts, &base_ids, &base_ids)?;
    // Identical binaries share their counts. Otherwise a count that varies would look like a change.
    let mut head_counts = match head.build.is_same_as(&base.build) {
        true => base_counts.clone(),
        false => BuildCounts::load(&head.build, seed),
    };
    add_missing(head, &mut head_counts, &head_ids, &ids(&comparable, Matched::head_id))?;
    notes.dedup();
    if !has_instructions && !comparable.is_empty() {
        notes.push(WITHOUT_VALGRIND.to_owned());
    }
    recount((base, &mut base_counts), (head, &mut head_counts), &comparable, tolerances, seed)?;
    base_counts.save(&base.build, seed);
    head_counts.save(&head.build, seed);
    Ok(BothCounts { base: base_counts, head: head_counts, notes })
}

/// Counts all pairs of one build; also returns notes on what could not be counted.
///
/// # Errors
/// If the command of the build cannot count.
pub fn count_one(
    tested: &BuildUnderTest,
    seed: u64,
) -> Result<(BuildCounts, Vec<String>), CountError> {
    let ids: Vec<&str> = tested.cases.iter().map(|case| case.key.pair.as_str()).collect();
    let mut counts = BuildCounts::load(&tested.build, seed);
    let mut notes = Vec::new();
    add_missing_causes(tested, &mut counts, &ids, seed)?;
    if instructions::is_available() {
        notes.extend(add_missing_instructions(tested, &mut counts, &ids));
    }
    counts.save(&tested.build, seed);
    Ok((counts, notes))
}

fn ids<'a>(pairs: &[&'a Matched], id: fn(&Matched) -> &str) -> Vec<&'a str> {
    pairs.iter().map(|pair| id(pair)).collect()
}

fn add_missing_causes(
    tested: &BuildUnderTest,
    counts: &mut BuildCounts,
    ids: &[&str],
    seed: u64,
) -> Result<(), CountError> {
    let missing: Vec<&str> = ids.iter().filter(|id| !counts.has_causes(id)).copied().collect();
    counts.add_causes(&tested.build, &missing, seed, None)
}

/// Counts instructions that have not been counted yet; returns notes on what could not be counted.
fn add_missing_instructions(
    tested: &BuildUnderTest,
    counts: &mut BuildCounts,
    ids: &[&str],
) -> Vec<String> {
    let missing: Vec<&str> =
        ids.iter().filter(|id| !counts.has_instructions(id)).copied().collect();
    let (found, notes) = count_instructions(tested, &missing, 0);
    counts.merge(found);
    notes
}

/// Counts the instructions of pairs; also returns notes on what could not be counted.
///
/// Uses all cores at once, because concurrent load does not affect the counts. `shift` moves the heap; see
/// [`instructions::count`].
pub fn count_instructions(
    tested: &BuildUnderTest,
    ids: &[&str],
    shift: usize,
) -> (BuildCounts, Vec<String>) {
    let count = |id: &&str| {
        let mut counts = BuildCounts::default();
        let case = tested.cases.iter().find(|case| case.key.pair == **id)?;
        let counted = counts.add_instructions(tested.program(id), case, &JUDGED, None, shift);
        Some(((*id).to_owned(), counted.map(|()| counts)))
    };
    let counted: Vec<(String, Result<BuildCounts, WorkerError>)> =
        ids.par_iter().filter_map(count).collect();
    let (mut all, mut notes) = (BuildCounts::default(), Vec::new());
    for (id, counted) in counted {
        match counted {
            Ok(counts) => all.merge(counts),
            // The report on the case says so itself.
            Err(WorkerError::Unavailable(_)) => {}
            Err(error) => notes.push(format!("the instructions of {id} are not counted: {error}")),
        }
    }
    (all, notes)
}

/// Recounts, in both builds, what differs between them, until it proves nondeterministic or has been recounted often
/// enough.
///
/// # Errors
/// If the command of a build cannot count.
pub fn recount(
    (base, base_counts): (&BuildUnderTest, &mut BuildCounts),
    (head, head_counts): (&BuildUnderTest, &mut BuildCounts),
    pairs: &[&Matched],
    tolerances: &Tolerances,
    seed: u64,
) -> Result<(), CountError> {
    for nth in 0..RECOUNTS {
        let differs = |pair: &Matched, by_instructions: bool| {
            changes(pair, base_counts, head_counts, tolerances).iter().any(|change| {
                (change.cause == INSTRUCTIONS) == by_instructions
                    && is_counted_again(change, nth, tolerances)
            })
        };
        let disagrees =
            |pair: &Matched| !head_counts.agrees_on(pair.head_id(), base_counts, pair.base_id());
        let select = |wanted: &dyn Fn(&Matched) -> bool| {
            pairs.iter().filter(|pair| wanted(pair)).copied().collect::<Vec<&Matched>>()
        };
        let suspects = select(&|pair| differs(pair, false) || disagrees(pair));
        let suspects_by_instructions = select(&|pair| differs(pair, true));
        let recount_build =
            |tested: &BuildUnderTest, counts: &mut BuildCounts, id: fn(&Matched) -> &str| {
                counts.add_causes(&tested.build, &ids(&suspects, id), seed, None)?;
                // Errors are ignored: the first count has failed too, and that was noted.
                let by_instructions = ids(&suspects_by_instructions, id);
                counts.merge(count_instructions(tested, &by_instructions, nth + 1).0);
                Ok::<_, CountError>(())
            };
        recount_build(base, base_counts, Matched::base_id)?;
        recount_build(head, head_counts, Matched::head_id)?;
    }
    Ok(())
}

/// Returns whether a count that still differs after `nth` recounts is counted once more.
pub fn is_counted_again(change: &CountChange, nth: usize, tolerances: &Tolerances) -> bool {
    let is_stable = change.cause == INSTRUCTIONS && !change.varies(tolerances);
    let most = if is_stable { RECOUNTS_OF_STABLE } else { RECOUNTS };
    nth < most && change.is_open()
}

/// Judges every count of a pair that both builds have.
pub fn changes(
    pair: &Matched,
    base_counts: &BuildCounts,
    head_counts: &BuildCounts,
    tolerances: &Tolerances,
) -> Vec<CountChange> {
    let Some(case) = &pair.head else { return Vec::new() };
    let (Some(from), Some(to)) =
        (base_counts.by_pair.get(pair.base_id()), head_counts.by_pair.get(pair.head_id()))
    else {
        return Vec::new();
    };
    let changes_of_role = |role: Role| {
        to.iter().filter(move |((side, _), _)| *side == role).filter_map(
            move |((_, cause), head)| {
                let base = from.get(&(role, cause.clone()))?;
                let iterations = head_counts.iterations(pair.head_id(), cause);
                Some(judge_count(case, role, cause, *base, *head, iterations, tolerances))
            },
        )
    };
    JUDGED.into_iter().flat_map(changes_of_role).collect()
}
