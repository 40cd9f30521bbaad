//! Measures the gains that have a budget.
//!
//! The naive and the optimized side of the head are interleaved, as base and head are in a comparison.

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
    let (mut breaches, mut notes) = (Vec::new(), Vec::new());
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
