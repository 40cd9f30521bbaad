//! Every claim about a counted cause holds, and the same seed gives the same counts.
//!
//! One test, because the ambient counters are the process's: nothing may run beside it.

use pairs::CATALOGUE;
use worthit::{
    cases::{self, Extent},
    causes::Counts,
    family::Entry,
    pair::{Case, Count},
    trial::Role,
};

worthit::counting_binary!();

const SIDES: [Role; 2] = [Role::Naive, Role::Optimized];

fn counts(entry: &Entry, case: &Case) -> Option<[Counts; 2]> {
    let mut trial = (entry.prepare)(case).ok()?;
    trial.verify().unwrap_or_else(|error| panic!("{}: {error}", entry.id));
    Some(SIDES.map(|role| trial.count(role).unwrap()))
}

fn check(entry: &Entry, case: &Case) {
    let Some(first) = counts(entry, case) else { return };
    assert_eq!(Some(&first), counts(entry, case).as_ref(), "{} does not repeat", entry.id);
    for claim in entry.causes {
        for (claimed, counted) in [claim.naive, claim.optimized].into_iter().zip(&first) {
            let place = format!("{} at {}: {}", entry.id, case.point, claim.cause.id);
            let count = counted.get(claim.cause).unwrap_or_else(|| panic!("{place}: not counted"));
            match claimed {
                Count::Exactly(f) => assert_eq!(count, f(case), "{place}"),
                Count::AtMost(f) => assert!(count <= f(case), "{place}: {count} > {}", f(case)),
                Count::AtLeast(f) => assert!(count >= f(case), "{place}: {count} < {}", f(case)),
            }
        }
    }
}

#[test]
fn claims_hold_and_counts_repeat() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        for named in cases::measured(entry, Extent::Quick, 42) {
            check(entry, &named.case);
        }
    }
}
