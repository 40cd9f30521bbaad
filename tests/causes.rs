//! Every claim about a counted cause holds, and the same seed gives the same counts.
//!
//! One test, because the ambient counters are the process's: nothing may run beside it.

use worthit::{
    CATALOGUE,
    cases::{self, Extent},
    causes::Counts,
    family::Entry,
    pair::{Case, Count},
    trial::Role,
};

worthit::counting_binary!();

fn counts(entry: &Entry, case: &Case) -> Option<[Counts; 2]> {
    let mut trial = (entry.prepare)(case).ok()?;
    trial.verify().unwrap_or_else(|error| panic!("{}: {error}", entry.id));
    Some([Role::Naive, Role::Optimized].map(|role| trial.count(role).unwrap()))
}

fn check(entry: &Entry, case: &Case) {
    let Some([naive, optimized]) = counts(entry, case) else { return };
    let again = counts(entry, case).expect("available a moment ago");
    for claim in entry.causes {
        let id = claim.cause.id;
        for (side, claimed, first, second) in [
            ("naive", claim.naive, &naive, &again[0]),
            ("optimized", claim.optimized, &optimized, &again[1]),
        ] {
            let place = format!("{} at {} / {}: {side} {id}", entry.id, case.point, case.level);
            let count = first.get(claim.cause).unwrap_or_else(|| panic!("{place}: not counted"));
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

#[test]
fn claims_hold_and_counts_repeat() {
    for family in CATALOGUE {
        for entry in family.pairs {
            for named in cases::measured(entry, Extent::Quick, 42) {
                check(entry, &named.case);
            }
        }
    }
}
