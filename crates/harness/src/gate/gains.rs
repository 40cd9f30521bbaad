//! Measures the gains that have a budget.
//!
//! The naive and the optimized side of the head are interleaved, as base and head are in a comparison.

use std::collections::BTreeSet;

use super::{
    budgets::{Budgets, GainBudget},
    build_under_test::BuildUnderTest,
    decision::Rule,
    paired_timing::PairedTiming,
    protocol::GateCase,
    signed_rank,
    timing::Program,
    verdict::Breach,
};
use crate::{machine::Machine, statistics::exp};
use worthit_pair::trial::Role;

/// Number of restarts per gain: enough to reach the level of the rule.
const RESTARTS: usize = 24;

/// Measures the gains of `cases` that have a budget on this machine.
///
/// Returns the budgets that are not met, by pair id, and notes on what could not be measured.
pub fn breaches(
    budgets: &Budgets,
    cases: &[&GateCase],
    head: &BuildUnderTest,
    rule: impl Fn(usize) -> Rule,
    progress: &mut dyn FnMut(&str),
) -> (Vec<(String, Breach)>, Vec<String>) {
    let machine = Machine::current().key;
    let asked: Vec<(&GateCase, &GainBudget)> = cases
        .iter()
        .flat_map(|case| budgets.gains_here(&machine, case).map(move |budget| (*case, budget)))
        .collect();
    let alpha = rule(asked.len()).alpha();
    let (mut breaches, mut notes) = (Vec::new(), Vec::from_iter(only_elsewhere(budgets, &machine)));
    for (case, budget) in asked {
        let pair = &case.key.pair;
        progress(&format!("measuring the gain of {pair}"));
        let naive = Program::new(head.program(pair), case, Role::Naive);
        let log_ratios = PairedTiming::new(head.optimized(case), naive)
            .and_then(|timing| timing.log_ratios(RESTARTS));
        match log_ratios.map(|ratios| signed_rank::centre(&ratios, alpha)) {
            Ok(Some(centre)) => {
                breaches.extend(budget.judge(&exp(centre)).map(|breach| (pair.clone(), breach)));
            }
            Ok(None) => {}
            Err(error) => notes.push(format!("the gain of {pair} could not be measured: {error}")),
        }
    }
    (breaches, notes)
}

/// Returns a note if gains have budgets, but none of them is for this machine: its key may be of another kind than the
/// one under which they were recorded.
fn only_elsewhere(budgets: &Budgets, machine: &str) -> Option<String> {
    let elsewhere: BTreeSet<&str> =
        budgets.gain.iter().map(|budget| budget.machine.as_str()).collect();
    if elsewhere.is_empty() || elsewhere.contains(machine) {
        return None;
    }
    let elsewhere = elsewhere.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "no budget on a gain is for this machine ({machine}), so none is checked; there are some for {elsewhere}. \
         Measure here, then run `worthit budgets --gains RESULT`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_on_gains_of_other_machine_keys_are_not_checked_and_that_is_said() {
        let budget = |machine: &str| GainBudget {
            machine: machine.to_owned(),
            pair: "a/b".to_owned(),
            level: String::new(),
            point: 1,
            seed: 42,
            at_least: 2.0,
        };
        let note = |machines: &[&str]| {
            let gain = machines.iter().map(|machine| budget(machine)).collect();
            only_elsewhere(&Budgets { version: 1, count: vec![], gain }, "here")
        };
        assert_eq!(note(&[]), None);
        assert_eq!(note(&["older", "here"]), None);
        let said = note(&["older", "other", "older"]).unwrap();
        assert!(
            said.contains("for this machine (here)") && said.contains("for older, other."),
            "{said}"
        );
    }
}
