//! Claims about counts: what a pair says that its sides do, as formulas of the case.

use crate::{
    case::Case,
    causes::{Cause, Counts},
    format,
};

/// A counted cause, with the count that the pair claims for each side.
///
/// The audit checks the claim against the counts at the ends and the headline of every sweep, and that it does not hold with
/// the sides swapped. `cargo bench` refuses a case whose counts break it.
#[derive(Debug)]
pub struct Claim {
    /// The cause: a constant of [`crate::causes`] or one of the pair's own.
    pub cause: Cause,
    /// The naive side's count for one iteration.
    pub naive: Count,
    /// The optimized side's count for one iteration.
    pub optimized: Count,
}

/// The claimed count of one iteration, as a function of the case. Whatever the claim, the same seed must give the
/// same count.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Exactly this many.
    Exactly(fn(&Case) -> u64),
    /// At most this many.
    AtMost(fn(&Case) -> u64),
    /// At least this many.
    AtLeast(fn(&Case) -> u64),
}

/// A count that is not as claimed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenClaim {
    /// The side does not count the cause.
    #[error("{side}: {cause} are claimed but not counted")]
    NotCounted {
        /// The side: "the naive side".
        side: &'static str,
        /// The cause, plural.
        cause: &'static str,
    },
    /// The count differs.
    #[error("{side}: {counted} {cause} in {inputs}, where {claimed} are claimed")]
    Broken {
        /// The side: "the naive side".
        side: &'static str,
        /// The cause, plural.
        cause: &'static str,
        /// The count, summed over one iteration on each input.
        counted: String,
        /// The iterations: "16 iterations".
        inputs: String,
        /// The claim for as many iterations: "at most 4,096".
        claimed: String,
    },
}

impl Claim {
    /// Checks the counts of both sides, which are sums over one iteration on each of `inputs` inputs.
    ///
    /// # Errors
    /// If a count is missing or not as claimed.
    pub fn check(
        &self,
        case: &Case,
        inputs: u64,
        naive: &Counts,
        optimized: &Counts,
    ) -> Result<(), BrokenClaim> {
        let sides = [
            ("the naive side", self.naive, naive),
            ("the optimized side", self.optimized, optimized),
        ];
        for (side, claim, counts) in sides {
            let cause = self.cause.label;
            let Some(counted) = counts.get(self.cause) else {
                return Err(BrokenClaim::NotCounted { side, cause });
            };
            if !claim.holds(case, inputs, counted) {
                return Err(BrokenClaim::Broken {
                    side,
                    cause,
                    counted: format::count(counted),
                    inputs: format::counted(inputs, "iterations"),
                    claimed: claim.in_words(case, inputs),
                });
            }
        }
        Ok(())
    }
}

impl Count {
    fn holds(self, case: &Case, inputs: u64, counted: u64) -> bool {
        match self {
            Count::Exactly(claimed) => counted == claimed(case) * inputs,
            Count::AtMost(claimed) => counted <= claimed(case) * inputs,
            Count::AtLeast(claimed) => counted >= claimed(case) * inputs,
        }
    }

    fn in_words(self, case: &Case, inputs: u64) -> String {
        let (bound, claimed) = match self {
            Count::Exactly(claimed) => ("exactly", claimed),
            Count::AtMost(claimed) => ("at most", claimed),
            Count::AtLeast(claimed) => ("at least", claimed),
        };
        format!("{bound} {}", format::count(claimed(case) * inputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::COMPARISONS;

    const CLAIM: Claim = Claim {
        cause: COMPARISONS,
        naive: Count::AtLeast(|case| case.point / 2),
        optimized: Count::AtMost(|_| 7),
    };

    fn counts(count: u64) -> Counts {
        let mut counts = Counts::default();
        counts.set(COMPARISONS, count);
        counts
    }

    #[test]
    fn a_claim_is_for_one_iteration_and_counts_are_for_all_inputs() {
        let case = Case::realistic(100, 0, 1);
        let check = |naive, optimized| CLAIM.check(&case, 4, &counts(naive), &counts(optimized));
        assert_eq!(check(200, 28), Ok(()));
        let error = check(199, 28).unwrap_err().to_string();
        assert_eq!(
            error,
            "the naive side: 199 comparisons in 4 iterations, where at least 200 are claimed"
        );
        assert!(check(200, 29).unwrap_err().to_string().contains("the optimized side: 29"));
        assert!(check(28, 200).is_err(), "with the sides swapped");
    }

    #[test]
    fn a_cause_that_nobody_counts_breaks_its_claim() {
        let case = Case::realistic(100, 0, 1);
        let error = CLAIM.check(&case, 1, &counts(50), &Counts::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the optimized side: comparisons are claimed but not counted"
        );
    }
}
