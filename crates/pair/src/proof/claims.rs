//! The proof that claims about counts hold and that counts repeat.

use std::{env, process::Command};

use crate::{
    cases::{self, Extent},
    causes::Counts,
    family::{Entry, Family},
    pair::Case,
    trial::{Role, counts_of},
};

use super::{entry, has_servers, loads_are_answered};

/// Environment variable that is set in the process that counts claims.
const ALONE: &str = "WORTHIT_COUNTS_ALONE";

/// Checks that every claim about a count holds, at both ends and the middle of each sweep, that each count repeats, and that
/// the sides of the headline answer the requests of an open-loop load if the pair is put under one.
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

/// The counts of both sides and the number of inputs that they are summed over.
fn counts(entry: &Entry, case: &Case) -> Option<([Counts; 2], u64)> {
    let mut trial = (entry.prepare)(case).ok()?;
    let counted = trial.prove_and_count(case.point);
    let counted = counted.unwrap_or_else(|error| panic!("{}: {error}", entry.id));
    let counts = [Role::Naive, Role::Optimized]
        .map(|role| counts_of(&counted, role).expect("a trial has these sides").clone());
    let answered = loads_are_answered(entry, case, &mut trial);
    answered.unwrap_or_else(|problem| panic!("{}: {problem}", entry.id));
    Some((counts, trial.inputs() as u64))
}

fn check_claims(entry: &Entry) {
    if !has_servers(entry.servers, entry.id) {
        return;
    }
    for named in cases::measured(entry, Extent::Quick, 42) {
        let case = &named.case;
        let Some(([naive, optimized], inputs)) = counts(entry, case) else { continue };
        let again = counts(entry, case).expect("available a moment ago").0;
        for claim in entry.causes {
            let place = &named.key;
            claim
                .check(case, inputs, &naive, &optimized)
                .unwrap_or_else(|broken| panic!("{place}: {broken}"));
            for (first, second) in [&naive, &optimized].into_iter().zip(&again) {
                let cause = claim.cause;
                let label = cause.label;
                assert_eq!(first.get(cause), second.get(cause), "{place}: {label} do not repeat");
            }
        }
    }
}
