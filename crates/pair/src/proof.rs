//! The proof of a pair: all sides agree on inputs of every shape and size. [`family!`](crate::family!) turns it into a test
//! per pair. (Whether claims about counts hold is for the audit to say, which counts at the sizes that are timed.)
//!
//! The naive side is the oracle for the others. All sides can be wrong in the same way, so each pair also has
//! tests with known answers.

mod card;
mod loads;
mod regressions;
mod studies;
mod tried;

use std::{
    env,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

pub use loads::loads_are_answered;
pub use studies::any_fixes_serve_alike;
pub use tried::Tried;

use regressions::Regressions;
use worthit_servers::Program;

use crate::{
    family::{Entry, Family},
    listing,
    pair::Case,
    trial::Role,
};

/// Proves a pair: its card is complete, every side agrees with the naive one, every input has the size that its case
/// claims, and the card names a contract if and only if answers may differ.
///
/// Cases that failed before come first: those in `regressions/<family>/<pair>.txt` of the package in `package`. A case
/// that fails is made smaller, and is added to that file. `WORTHIT_PROOFS=n` tries n random inputs instead of 256
/// (memory) or 32 (files, sockets, threads, databases).
///
/// A pair whose server or hardware is missing is left out, unless `WORTHIT_REQUIRE_SERVERS` is set.
///
/// # Panics
/// If a case fails; the message names the smallest one found. If no case can run on this machine.
pub fn sides_agree(family: &Family, id: &str, package: &str) {
    let entry = entry(family, id);
    let problems = card::problems(entry);
    assert!(problems.is_empty(), "{id}: {}", problems.join("; "));
    if !has_servers(entry.servers, id) || !has_hardware(entry) {
        return;
    }
    let regressions = Regressions::of(Path::new(package), id);
    let kept = regressions.read().unwrap_or_else(|problem| panic!("{id}: {problem}"));
    let tried = Tried::by(entry).with_random_asked_for();
    let mut reason = None;
    let mut proven = 0_u64;
    for case in kept.into_iter().chain(tried.inputs(entry)) {
        match prove(entry, &case) {
            Proven::Yes => proven += 1,
            Proven::CannotRun(why) => reason = Some(why),
            Proven::No(problem) => {
                let (case, problem) = smallest(entry, case, problem);
                let kept = regressions.add(&case);
                panic!("{id} at {}: {problem}\n{kept}", regressions::label(entry, &case));
            }
        }
    }
    assert!(proven > 0, "{id} cannot run here: {}", reason.unwrap_or_default());
}

/// Returns whether the servers that the test of `id` uses are there, and starts them; if one is missing, says so.
///
/// # Panics
/// If one is missing, and `WORTHIT_REQUIRE_SERVERS` is set.
pub fn has_servers(servers: &[Program], id: &str) -> bool {
    let missing = servers.iter().find_map(|program| worthit_servers::server(*program).err());
    is_tested(id, missing)
}

/// Returns whether the hardware that a pair needs is there; if it is missing, says so.
fn has_hardware(entry: &Entry) -> bool {
    is_tested(entry.id, (entry.hardware)().err())
}

/// Returns whether nothing is missing.
fn is_tested(id: &str, missing: Option<impl Display>) -> bool {
    if let Some(missing) = &missing {
        assert!(env::var_os("WORTHIT_REQUIRE_SERVERS").is_none(), "{id}: {missing}");
        eprintln!("{id} is not tested: {missing}");
    }
    missing.is_none()
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
        if let Err(problem) = trial.prove(case.point) {
            return Proven::No(problem.to_string());
        }
        if trial.answer(Role::Naive, 0).is_under_contract() != entry.contract.is_some() {
            let problem =
                "either the card names a contract or the type of the answers is one, but not both";
            return Proven::No(problem.to_owned());
        }
        Proven::Yes
    };
    catch_unwind(AssertUnwindSafe(proof))
        .unwrap_or_else(|_| Proven::No("a side or its preparation panicked (see above)".to_owned()))
}

/// Returns the smallest case of the same seed, shape and level that fails, and its problem.
fn smallest(entry: &Entry, case: Case, problem: String) -> (Case, String) {
    let sized = |size: u64| {
        let point = if Tried::by(entry).size_is_axis() { size } else { case.point };
        Case { point, proof_size: Some(size), ..case.clone() }
    };
    let size = case.proof_size.unwrap_or(0);
    // Beyond some sizes, halving finds one that is small enough to look at.
    let halves = std::iter::successors(Some(size / 2), |half| Some(half / 2));
    let halves: Vec<u64> = halves.take_while(|half| *half > 64).collect();
    let sizes = (0..size.min(65)).chain(halves.into_iter().rev());
    let smaller = sizes.map(sized).find_map(|case| match prove(entry, &case) {
        Proven::No(problem) => Some((case, problem)),
        _ => None,
    });
    smaller.unwrap_or((case, problem))
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

fn entry(family: &Family, id: &str) -> &'static Entry {
    family.pairs.iter().find(|entry| entry.id == id).expect("the list generated this test")
}
