//! The proof of a pair, which [`family!`](crate::family!) makes two tests of: both sides and the peer agree on inputs
//! of every shape and size, and every claim about a count holds and repeats.
//!
//! The naive side is the oracle of the optimized one. As two sides can be wrong together, each pair has known answers
//! of its own beside that.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    cases::{self, Extent},
    causes::Counts,
    family::{Entry, Family},
    pair::{Case, Count, Points, Resources, Shape},
    trial::Role,
};

/// Inputs up to this size are all tried, once in each shape, where a proof opens nothing but memory.
const EVERY_SIZE_UP_TO: u64 = 64;
/// Random inputs of a pair that opens nothing but memory.
const RANDOM_IN_MEMORY: u64 = 256;
/// Random inputs of a pair that opens files, sockets, threads or databases.
const RANDOM_IN_SYSTEM: u64 = 32;
/// Set in the process in which claims are counted.
const ALONE: &str = "WORTHIT_COUNTS_ALONE";

/// Proves a pair: every side agrees with the naive one, every input is of the size that it claims, and the card
/// names a contract exactly where answers may differ. `WORTHIT_PROOFS=n` tries n random inputs in place of 256
/// (memory) or 32 (files, sockets, threads, databases).
///
/// # Panics
/// With the smallest failing case that was found, if the pair is not proven or cannot run here at all.
pub fn sides_agree(family: &Family, id: &str) {
    let entry = entry(family, id);
    let mut reason = None;
    let mut proven = 0_u64;
    let mut cases = inputs(entry);
    cases.sort_by_key(|case| (case.point, case.proof_size));
    for case in cases {
        match prove(entry, &case) {
            Proven::Yes => proven += 1,
            Proven::CannotRun(why) => reason = Some(why),
            Proven::No(problem) => panic!("{id} in {case:?}: {problem}"),
        }
    }
    assert!(proven > 0, "{id} cannot run here: {}", reason.unwrap_or_default());
}

/// What came of one proof.
enum Proven {
    Yes,
    No(String),
    CannotRun(String),
}

fn prove(entry: &Entry, case: &Case) -> Proven {
    let proof = || {
        let mut trial = match (entry.prepare)(case) {
            Ok(trial) => trial,
            Err(unavailable) => return Proven::CannotRun(unavailable.to_string()),
        };
        let checked = trial.check_size(case.point).map_err(|error| error.to_string());
        let checked = checked.and_then(|()| trial.verify().map_err(|error| error.to_string()));
        match checked {
            Err(problem) => Proven::No(problem),
            Ok(()) if trial.is_under_contract() != entry.contract.is_some() => Proven::No(
                "the card names a contract, or the type of the answers is one, but not both"
                    .to_owned(),
            ),
            Ok(()) => Proven::Yes,
        }
    };
    catch_unwind(AssertUnwindSafe(proof))
        .unwrap_or_else(|_| Proven::No("a side or its preparation panicked (see above)".to_owned()))
}

/// Every size up to 64 once in each shape (memory only), then random cases.
fn inputs(entry: &Entry) -> Vec<Case> {
    let is_in_memory = entry.proof.resources == Resources::Memory;
    let has_sizes = entry.axis.is_size && matches!(entry.axis.points, Points::Fixed { .. });
    let usual = if is_in_memory { RANDOM_IN_MEMORY } else { RANDOM_IN_SYSTEM };
    let asked = env::var("WORTHIT_PROOFS").ok();
    let random = asked.map_or(usual, |n| n.parse().expect("WORTHIT_PROOFS is a number of inputs"));
    let mut rng = ChaCha8Rng::seed_from_u64(rand::random());
    let mut cases = Vec::new();
    let mut add = |point, shape, size, rng: &mut ChaCha8Rng| {
        let levels: Vec<u64> = cases::levels(entry)
            .iter()
            .filter(|level| level.is_measured_at(point))
            .map(|level| level.value)
            .collect();
        let level = levels[rng.random_range(0..levels.len())];
        let seed = rng.random();
        cases.push(Case { point, level, seed, shape, proof_size: Some(size) });
    };
    let max = entry.proof.max_size;
    if is_in_memory {
        for size in 0..=max.min(EVERY_SIZE_UP_TO) {
            for shape in Shape::ALL {
                let point = if has_sizes { size } else { any_point(entry, &mut rng) };
                add(point, shape, size, &mut rng);
            }
        }
    }
    for _ in 0..random {
        let shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())];
        let point = if has_sizes { any_size(max, &mut rng) } else { any_point(entry, &mut rng) };
        let size = any_size(max, &mut rng);
        add(point, shape, size, &mut rng);
    }
    cases
}

/// Empty and one element are tried often, the rest at random.
fn any_size(max: u64, rng: &mut ChaCha8Rng) -> u64 {
    match rng.random_range(0..10) {
        0 => 0,
        1 => 1.min(max),
        _ => rng.random_range(0..=max),
    }
}

/// A point that is measured.
fn any_point(entry: &Entry, rng: &mut ChaCha8Rng) -> u64 {
    let points = entry.axis.points.default_points();
    points[rng.random_range(0..points.len())]
}

/// Holds every claim about a count against what is counted, at both ends and the middle of each sweep, and each count
/// against its repetition. `test` is the path of the calling test: as ambient counters are the process's, it is
/// run again in a process of its own, where nothing runs beside it.
///
/// # Panics
/// If a claim does not hold, or a count does not repeat.
pub fn claims_hold(family: &Family, id: &str, test: &str) {
    if env::var_os(ALONE).is_some() {
        return check_claims(entry(family, id));
    }
    let (_, test) = test.split_once("::").expect("a test's path begins with its crate");
    let this = env::current_exe().expect("a test has an executable");
    let child = Command::new(this)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("a test can be run again");
    let said = String::from_utf8_lossy(&child.stdout);
    let failed = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{failed}");
}

fn counts(entry: &Entry, case: &Case) -> Option<[Counts; 2]> {
    let mut trial = (entry.prepare)(case).ok()?;
    trial.verify().unwrap_or_else(|error| panic!("{}: {error}", entry.id));
    let count = |role| trial.count(role).unwrap_or_else(|error| panic!("{error}"));
    Some([Role::Naive, Role::Optimized].map(count))
}

fn check_claims(entry: &Entry) {
    for named in cases::measured(entry, Extent::Quick, 42) {
        let case = &named.case;
        let Some([naive, optimized]) = counts(entry, case) else { continue };
        let again = counts(entry, case).expect("available a moment ago");
        for claim in entry.causes {
            let id = claim.cause.id;
            for (side, claimed, first, second) in [
                ("naive", claim.naive, &naive, &again[0]),
                ("optimized", claim.optimized, &optimized, &again[1]),
            ] {
                let place = format!("{} at {} / {}: {side} {id}", entry.id, case.point, case.level);
                let count =
                    first.get(claim.cause).unwrap_or_else(|| panic!("{place}: not counted"));
                assert_eq!(Some(count), second.get(claim.cause), "{place}: does not repeat");
                let (holds, claimed) = match claimed {
                    Count::Exactly(f) => (count == f(case), f(case)),
                    Count::AtMost(f) => (count <= f(case), f(case)),
                    Count::AtLeast(f) => (count >= f(case), f(case)),
                };
                assert!(holds, "{place}: counted {count}, claimed {claimed}");
            }
        }
    }
}

/// Each Rust file of a family's folder is a pair that its list names.
///
/// # Panics
/// With the line to add, if one is not.
pub fn every_file_is_listed(family: &Family, folder: &Path) {
    for file in fs::read_dir(folder).expect("a family has a folder") {
        let path = file.expect("a folder can be listed").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_listed = family.pairs.iter().any(|entry| entry.name() == name);
        assert!(
            is_listed,
            "{} is in no list: add the line `{name},` to src/{}.rs",
            path.display(),
            family.name
        );
    }
}

fn entry(family: &Family, id: &str) -> &'static Entry {
    family.pairs.iter().find(|entry| entry.id == id).expect("the list made this test")
}
