//! Whether the claims about counts tell the sides apart.

use worthit_pair::{
    cases,
    family::Entry,
    trial::{Role, counts_of},
};

use super::Findings;

/// Claims that do not hold at the headline, or that hold with the sides swapped.
pub fn find(entry: &Entry, seed: u64) -> Findings {
    let case = cases::headline(entry, seed).case;
    let mut trial = (entry.prepare)(&case).map_err(|unavailable| unavailable.to_string())?;
    let counted = match trial.prove_and_count(case.point) {
        Ok(counted) => counted,
        Err(unproven) => return Ok(vec![unproven.to_string()]),
    };
    let inputs = trial.inputs() as u64;
    let of = |role| counts_of(&counted, role);
    let Some((naive, optimized)) = of(Role::Naive).zip(of(Role::Optimized)) else {
        return Err("it lacks a side".to_owned());
    };
    let mut problems = Vec::new();
    if entry.causes.is_empty() {
        problems.push("it claims no count".to_owned());
    }
    for claim in entry.causes {
        if let Err(broken) = claim.check(&case, inputs, naive, optimized) {
            problems.push(broken.to_string());
        } else if claim.check(&case, inputs, optimized, naive).is_ok() {
            let cause = claim.cause.label;
            problems.push(format!("the claim about {cause} also holds with the sides swapped"));
        }
    }
    Ok(problems)
}
