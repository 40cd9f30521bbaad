//! Whether the claims about counts hold and repeat, and tell the sides apart.

use worthit_pair::{
    cases::{self, Extent, NamedCase},
    causes::Counts,
    claim::Claim,
    family::Entry,
    pair::Unavailable,
    trial::{Role, counts_of},
};

use super::Findings;

/// Claims that do not hold at an end or at the headline of a sweep; counts that do not repeat; and claims that also hold
/// with the sides of the headline swapped.
pub fn find(entry: &Entry, seed: u64) -> Findings {
    let mut problems = Vec::new();
    if entry.causes.is_empty() {
        problems.push("it claims no count".to_owned());
    }
    let headline = cases::headline(entry, seed).key;
    let (mut is_counted, mut missing) = (false, String::new());
    for case in cases::measured(entry, Extent::Ends, seed) {
        match of_case(entry, &case, case.key == headline) {
            Ok(found) => {
                is_counted = true;
                problems
                    .extend(found.into_iter().map(|problem| format!("{}: {problem}", case.key)));
            }
            Err(Unavailable(reason)) => missing = reason,
        }
    }
    if is_counted { Ok(problems) } else { Err(missing) }
}

/// The counts of both sides.
struct Counted {
    naive: Counts,
    optimized: Counts,
    /// Number of inputs that they are summed over.
    inputs: u64,
}

fn of_case(entry: &Entry, case: &NamedCase, is_headline: bool) -> Result<Vec<String>, Unavailable> {
    let (first, again) = match (count(entry, case)?, count(entry, case)?) {
        (Ok(first), Ok(again)) => (first, again),
        (Err(unproven), _) | (_, Err(unproven)) => return Ok(vec![unproven]),
    };
    Ok(entry
        .causes
        .iter()
        .filter_map(|claim| broken(claim, case, &first, &again, is_headline))
        .collect())
}

/// Counts both sides; the inner error is a problem of the proof.
fn count(entry: &Entry, case: &NamedCase) -> Result<Result<Counted, String>, Unavailable> {
    let mut trial = (entry.prepare)(&case.case)?;
    let counted = match trial.prove_and_count(case.case.point) {
        Ok(counted) => counted,
        Err(unproven) => return Ok(Err(unproven.to_string())),
    };
    let of = |role| counts_of(&counted, role).expect("a trial has these sides").clone();
    let (naive, optimized) = (of(Role::Naive), of(Role::Optimized));
    Ok(Ok(Counted { naive, optimized, inputs: trial.inputs() as u64 }))
}

/// Returns what is wrong with a claim.
fn broken(
    claim: &Claim,
    case: &NamedCase,
    Counted { naive, optimized, inputs }: &Counted,
    again: &Counted,
    is_headline: bool,
) -> Option<String> {
    let (case, label) = (&case.case, claim.cause.label);
    let get = |counts: &Counts| counts.get(claim.cause);
    if let Err(broken) = claim.check(case, *inputs, naive, optimized) {
        Some(broken.to_string())
    } else if get(naive) != get(&again.naive) || get(optimized) != get(&again.optimized) {
        Some(format!("{label} do not repeat"))
    } else if is_headline && claim.check(case, *inputs, optimized, naive).is_ok() {
        Some(format!("the claim about {label} also holds with the sides swapped"))
    } else {
        None
    }
}
