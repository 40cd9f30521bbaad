//! The proof of a pair: both sides and the peer agree on inputs of every shape and size, and every claim about a
//! count holds and repeats. [`family!`](crate::family!) turns it into two tests per pair.
//!
//! The naive side is the oracle for the optimized one. Both sides can be wrong in the same way, so each pair also has
//! tests with known answers.

use std::{
    env,
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
    format,
    limit::{Limit, NO_LIMIT},
    listing,
    pair::{Case, Count, Pair, Points, Resources, Review, Shape},
    trial::Role,
};

/// If a proof opens only memory, every size up to this is tried once in each shape.
const EVERY_SIZE_UP_TO: u64 = 64;
/// Random inputs of a pair that opens only memory.
const RANDOM_IN_MEMORY: u64 = 256;
/// Random inputs of a pair that opens files, sockets, threads or databases.
const RANDOM_IN_SYSTEM: u64 = 32;
/// Environment variable that is set in the process that counts claims.
const ALONE: &str = "WORTHIT_COUNTS_ALONE";

/// Proves a pair: its card is complete, every side agrees with the naive one, every input has the size that its case claims, and the card
/// names a contract if and only if answers may differ. `WORTHIT_PROOFS=n` tries n random inputs instead of 256
/// (memory) or 32 (files, sockets, threads, databases).
///
/// # Panics
/// If a case fails; the message names the smallest one found. If no case can run on this machine.
pub fn sides_agree(family: &Family, id: &str) {
    let entry = entry(family, id);
    let unset = unset_fields(entry);
    assert!(unset.is_empty(), "{id} does not set {unset:?}");
    let mut reason = None;
    let mut proven = 0_u64;
    let mut cases = inputs(entry, asked(Tried::by(entry)));
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

/// The outcome of one proof.
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
                "either the card names a contract or the type of the answers is one, but not both"
                    .to_owned(),
            ),
            Ok(()) => Proven::Yes,
        }
    };
    catch_unwind(AssertUnwindSafe(proof))
        .unwrap_or_else(|_| Proven::No("a side or its preparation panicked (see above)".to_owned()))
}

/// The inputs that one run of the tests proves a pair with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Every size from 0 to this is tried once in each shape; `None` if only random inputs are tried.
    every_size_up_to: Option<u64>,
    /// Number of random inputs.
    random: u64,
    /// Size of the largest random input.
    max_size: u64,
    /// Whether the size is the point on the axis. If not, each input is at a random measured point.
    size_is_axis: bool,
}

impl Tried {
    /// Returns what the tests of `pair` try unless `WORTHIT_PROOFS` asks for another number of random inputs.
    pub fn by(pair: &Pair) -> Tried {
        let is_in_memory = pair.proof.resources == Resources::Memory;
        let max_size = pair.proof.max_size;
        Tried {
            every_size_up_to: is_in_memory.then(|| max_size.min(EVERY_SIZE_UP_TO)),
            random: if is_in_memory { RANDOM_IN_MEMORY } else { RANDOM_IN_SYSTEM },
            max_size,
            size_is_axis: pair.axis.is_size && matches!(pair.axis.points, Points::Fixed { .. }),
        }
    }

    /// Returns the number of inputs.
    pub fn count(self) -> u64 {
        let small = self.every_size_up_to.map_or(0, |last| (last + 1) * Shape::ALL.len() as u64);
        small + self.random
    }

    /// Describes the inputs: "every size from 0 to 64 in each of 5 shapes, then 256 random ones up to size 300".
    pub fn in_words(self) -> String {
        let max = format::count(self.max_size);
        let shapes = Shape::ALL.len();
        let at = if self.size_is_axis { "" } else { ", each at a random point of the axis" };
        match self.every_size_up_to {
            Some(last) => format!(
                "every size from 0 to {last} in each of {shapes} shapes, then {} random ones up to size {max}{at}",
                self.random
            ),
            None => format!("random sizes up to {max} in any of {shapes} shapes{at}"),
        }
    }
}

/// The same with as many random inputs as `WORTHIT_PROOFS` asks for.
fn asked(usual: Tried) -> Tried {
    let asked = env::var("WORTHIT_PROOFS").ok();
    let random = asked
        .map_or(usual.random, |n| n.parse().expect("WORTHIT_PROOFS must be a number of inputs"));
    Tried { random, ..usual }
}

/// Returns every size up to 64 once in each shape (memory only), then random cases.
fn inputs(entry: &Pair, tried: Tried) -> Vec<Case> {
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
    let Tried { max_size: max, size_is_axis, .. } = tried;
    if let Some(last) = tried.every_size_up_to {
        for size in 0..=last {
            for shape in Shape::ALL {
                let point = if size_is_axis { size } else { any_point(entry, &mut rng) };
                add(point, shape, size, &mut rng);
            }
        }
    }
    for _ in 0..tried.random {
        let shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())];
        let point = if size_is_axis { any_size(max, &mut rng) } else { any_point(entry, &mut rng) };
        let size = any_size(max, &mut rng);
        add(point, shape, size, &mut rng);
    }
    cases
}

/// Returns a random size: often 0 or 1, otherwise anything up to `max`.
fn any_size(max: u64, rng: &mut ChaCha8Rng) -> u64 {
    match rng.random_range(0..10) {
        0 => 0,
        1 => 1.min(max),
        _ => rng.random_range(0..=max),
    }
}

/// Returns a random measured point.
fn any_point(entry: &Pair, rng: &mut ChaCha8Rng) -> u64 {
    let points = entry.axis.points.default_points();
    points[rng.random_range(0..points.len())]
}

/// Checks that every claim about a count holds, at both ends and the middle of each sweep, and that each count
/// repeats.
///
/// `test` is the path of the calling test. Ambient counters belong to the whole process, so this runs the test again
/// in a separate process where nothing else runs.
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
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("1 passed"), "{output}\n{errors}");
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

/// Checks that a family's list, the file `list` of the crate in `package`, names every Rust file in its folder.
///
/// # Panics
/// With the lines to add, if a file is not listed.
pub fn every_file_is_listed(package: &str, list: &str) {
    // The compiler names `list` from the root of the workspace, which holds the package.
    let lists = Path::new(package).ancestors().map(|folder| folder.join(list));
    let path = lists.into_iter().find(|path| path.is_file()).expect("the list is a file");
    let missing = listing::missing_lines(&path).unwrap_or_else(|error| panic!("{list}: {error}"));
    assert!(missing.is_empty(), "{list} lacks the lines {missing:?}");
}

/// The fields of a card that are left at their defaults though every pair must set them.
fn unset_fields(entry: &Entry) -> Vec<&'static str> {
    let Review { smell, remedy, keep_naive_when, costs, lint: _ } = entry.review;
    let texts = [
        ("title", entry.title),
        ("review.smell", smell),
        ("review.remedy", remedy),
        ("review.keep_naive_when", keep_naive_when),
        ("review.costs", costs),
        ("naive.summary", entry.naive.summary),
        ("optimized.summary", entry.optimized.summary),
        ("input", entry.input),
        ("axis.name", entry.axis.name),
        ("unit", entry.unit),
        ("explanation", entry.explanation),
    ];
    let mut unset: Vec<&str> =
        texts.into_iter().filter(|(_, text)| text.is_empty()).map(|(field, _)| field).collect();
    if entry.axis.points.default_points().is_empty() {
        unset.push("axis.points");
    }
    if matches!(entry.limit, Limit::None(NO_LIMIT)) {
        unset.push("limit");
    }
    unset
}

fn entry(family: &Family, id: &str) -> &'static Entry {
    family.pairs.iter().find(|entry| entry.id == id).expect("the list generated this test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::{Axis, Proof};

    const FIXED: Points = Points::Fixed { default: &[1, 10], deep: &[] };

    fn pair(is_size: bool, points: Points, resources: Resources, max_size: u64) -> Pair {
        let axis = Axis { name: "n", unit: "", is_size, points };
        Pair { axis, proof: Proof { resources, max_size }, ..Pair::DEFAULTS }
    }

    #[test]
    fn the_stated_inputs_are_those_that_are_tried() {
        for (pair, count, words) in [
            (
                pair(true, FIXED, Resources::Memory, 1_000),
                65 * 5 + 256,
                "every size from 0 to 64 in each of 5 shapes, then 256 random ones up to size 1,000",
            ),
            (
                pair(false, FIXED, Resources::Memory, 20),
                21 * 5 + 256,
                "every size from 0 to 20 in each of 5 shapes, then 256 random ones up to size 20, \
                 each at a random point of the axis",
            ),
            (
                pair(false, Points::Threads, Resources::System, 40),
                32,
                "random sizes up to 40 in any of 5 shapes, each at a random point of the axis",
            ),
        ] {
            let tried = Tried::by(&pair);
            assert_eq!((tried.count(), tried.in_words().as_str()), (count, words));
            let cases = inputs(&pair, tried);
            assert_eq!(cases.len() as u64, count);
            let size_of = |case: &Case| case.proof_size.expect("a proof has a size");
            assert!(cases.iter().all(|case| size_of(case) <= pair.proof.max_size));
            for size in 0..=tried.every_size_up_to.unwrap_or(0) {
                let small = cases.iter().filter(|case| size_of(case) == size);
                let shapes = Shape::ALL.iter().filter(|s| small.clone().any(|c| c.shape == **s));
                let is_whole = shapes.count() == Shape::ALL.len();
                assert!(is_whole || tried.every_size_up_to.is_none(), "size {size}");
            }
        }
    }
}
