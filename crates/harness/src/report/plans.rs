//! The query plans of a pair on its page: how a database says that it runs the statements of each side.

use super::causes;
use crate::results::{PairResult, SideResult};
use worthit_pair::plans::Plan;

/// The plans of the sides in one case.
pub struct PlansPart {
    /// The case.
    pub place: String,
    /// Name of each side, and its statements with their plans, as text.
    pub sides: Vec<(String, Vec<String>)>,
}

/// Returns the plans of the first sweep that has some, in the case of which the counts are shown.
pub fn part(pair: &PairResult) -> Option<PlansPart> {
    pair.sweeps.iter().find_map(|sweep| {
        let (case, found) = causes::shown(pair, sweep)?;
        let texts = |side: &SideResult| (side.name.clone(), side.plans.iter().map(text).collect());
        let sides = found.sides.iter().filter(|side| !side.plans.is_empty()).map(texts);
        let sides: Vec<(String, Vec<String>)> = sides.collect();
        let place = pair.place(case.point);
        (!sides.is_empty()).then_some(PlansPart { place, sides })
    })
}

/// The statement in one line, and the steps of its plan below.
fn text(plan: &Plan) -> String {
    let words: Vec<&str> = plan.statement.split_whitespace().collect();
    format!("{}\n  {}", words.join(" "), plan.steps.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        made::between,
        results::{CaseResult, Outcome, tests::pair},
    };

    #[test]
    fn plans_are_shown_with_their_statements_in_one_line() {
        let Outcome::Measured(mut found) = between(1.9, 2.1) else { unreachable!() };
        let mut pair = pair();
        let case = |found| CaseResult { point: 8, outcome: Outcome::Measured(found) };
        pair.add("", case(found.clone()));
        assert!(part(&pair).is_none());
        found.sides[1].plans = vec![Plan {
            statement: "SELECT a\n         FROM t WHERE b = ?1".to_owned(),
            steps: vec!["SEARCH t USING INDEX i".to_owned(), "  LIST SUBQUERY 1".to_owned()],
        }];
        pair.sweeps.clear();
        pair.add("", case(found));
        let part = part(&pair).unwrap();
        let text = "SELECT a FROM t WHERE b = ?1\n  SEARCH t USING INDEX i\n    LIST SUBQUERY 1";
        assert_eq!(part.sides, [("optimized".to_owned(), vec![text.to_owned()])]);
    }
}
