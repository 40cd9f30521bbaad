//! What a pair claims about its gain, so that a machine can check it against measured results. The words say why; the
//! magnitudes are here.

/// Why the gain is what it is.
#[derive(Debug)]
pub struct Explanation {
    /// How the first cause makes the gain, and what else plays a part. It holds no magnitude of a gain.
    pub why: &'static str,
    /// How far the gain is from the ratio of the first cause's counts, at the headline.
    pub share_of_cause: ShareOfCause,
    /// How the gain goes on at the far end of the headline's sweep.
    pub far_end: FarEnd,
    /// Where the optimized side is not worth it, in the headline's sweep.
    pub keep_naive: KeepNaive,
}

/// The gain divided by the ratio of the counts (naive ÷ optimized) of the first cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShareOfCause {
    /// It lies within these bounds. Above 1, something other than the cause adds to the gain.
    Within(f64, f64),
    /// The counts have no ratio that a gain could follow; the text says why.
    NoRatio(&'static str),
}

/// How a gain goes on at the far end of a sweep. Two gains are alike if neither exceeds the other by more than 25 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarEnd {
    /// The last two points are alike.
    Settled,
    /// The last point is above the one before: the far end is no limit.
    Rises,
    /// The last point is below the one before; the text says what catches up with the optimized side.
    Falls(&'static str),
    /// The last point is below the one before or like it, as machines differ; the text says what may catch up.
    MayFall(&'static str),
}

/// The points at which the optimized side is not worth it: its gain is at most [`WORTH_IT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepNaive {
    /// At no point.
    Nowhere,
    /// Up to this point, and at none after the next one. (The next one may be either, as machines differ.)
    UpTo(u64),
    /// From this point on, and at none before the one before.
    From(u64),
    /// At every point.
    Everywhere,
}

/// The gain above which the optimized side is worth its costs.
pub const WORTH_IT: f64 = 1.1;

impl KeepNaive {
    /// Returns the points at which these gains, each known to lie between two bounds, contradict the claim: all gains within
    /// the bounds do. What a measurement leaves open contradicts nothing.
    pub fn contradicted_by(self, gains: &[(u64, (f64, f64))]) -> Vec<u64> {
        let below = |p: u64| gains.iter().filter(|(point, _)| *point < p).count();
        let contradicts = |(place, (_, (low, high))): &(usize, &(u64, (f64, f64)))| {
            let (is_kept, is_next) = match self {
                KeepNaive::Nowhere => (false, false),
                KeepNaive::Everywhere => (true, false),
                KeepNaive::UpTo(p) => {
                    let kept = below(p.saturating_add(1));
                    (*place < kept, *place == kept)
                }
                KeepNaive::From(p) => (*place >= below(p), *place + 1 == below(p)),
            };
            let is_contradicted = if is_kept { *low > WORTH_IT } else { *high <= WORTH_IT };
            !is_next && is_contradicted
        };
        gains.iter().enumerate().filter(contradicts).map(|(_, (point, _))| *point).collect()
    }
}

impl FarEnd {
    /// Ratios of the last gain to the one before that agree with the claim, from and to.
    fn ratios(self) -> (f64, f64) {
        const ALIKE: f64 = 1.25;
        match self {
            FarEnd::Settled => (1.0 / ALIKE, ALIKE),
            FarEnd::Rises => (ALIKE, f64::INFINITY),
            FarEnd::Falls(_) => (0.0, 1.0 / ALIKE),
            FarEnd::MayFall(_) => (0.0, ALIKE),
        }
    }

    /// Returns whether the claim agrees with the last two gains of a sweep, each known to lie between two bounds: some
    /// gains within them must. What a measurement leaves open contradicts nothing.
    pub fn agrees_with(self, before: (f64, f64), last: (f64, f64)) -> bool {
        let (from, to) = self.ratios();
        last.0 / before.1 <= to && last.1 / before.0 >= from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISING: [(u64, f64); 4] = [(1, 0.5), (4, 1.05), (16, 2.0), (64, 9.0)];
    const FALLING: [(u64, f64); 3] = [(0, 5.0), (50, 1.5), (100, 0.9)];

    /// The points at which exact gains contradict a claim.
    fn contradictions(claim: KeepNaive, gains: &[(u64, f64)]) -> Vec<u64> {
        let exact: Vec<_> = gains.iter().map(|(point, gain)| (*point, (*gain, *gain))).collect();
        claim.contradicted_by(&exact)
    }

    #[test]
    fn a_claim_of_where_to_keep_the_naive_side_is_checked_at_every_point() {
        assert!(contradictions(KeepNaive::UpTo(4), &RISING).is_empty());
        assert!(contradictions(KeepNaive::UpTo(1), &RISING).is_empty(), "the next may be either");
        assert_eq!(contradictions(KeepNaive::UpTo(16), &RISING), [16]);
        assert_eq!(contradictions(KeepNaive::UpTo(0), &RISING), [4], "the first is the next");
        assert_eq!(contradictions(KeepNaive::Nowhere, &RISING), [1, 4]);
        assert_eq!(contradictions(KeepNaive::Everywhere, &RISING), [16, 64]);
        assert!(contradictions(KeepNaive::From(100), &FALLING).is_empty());
        assert_eq!(contradictions(KeepNaive::From(50), &FALLING), [50]);
        assert_eq!(contradictions(KeepNaive::UpTo(0), &FALLING), [0, 100]);
    }

    #[test]
    fn a_gain_that_may_lie_on_either_side_contradicts_no_claim_of_where_it_pays() {
        let gains = [(0, (0.5, 4.0)), (1, (2.0, 3.0)), (2, (0.7, 1.0))];
        assert_eq!(KeepNaive::Nowhere.contradicted_by(&gains), [2]);
        assert_eq!(KeepNaive::Everywhere.contradicted_by(&gains), [1]);
    }

    #[test]
    fn a_far_end_within_a_quarter_has_settled() {
        let exact = |claim: FarEnd, before, last| claim.agrees_with((before, before), (last, last));
        assert!(exact(FarEnd::Settled, 10.0, 12.4) && exact(FarEnd::Settled, 12.4, 10.0));
        assert!(exact(FarEnd::Rises, 10.0, 12.6) && !exact(FarEnd::Settled, 10.0, 12.6));
        assert!(exact(FarEnd::Falls(""), 12.6, 10.0) && !exact(FarEnd::Rises, 12.6, 10.0));
        let may_fall = FarEnd::MayFall("");
        assert!(exact(may_fall, 12.6, 10.0) && exact(may_fall, 10.0, 12.4));
        assert!(!exact(may_fall, 10.0, 12.6));
    }

    #[test]
    fn what_the_intervals_of_the_last_two_gains_leave_open_contradicts_nothing() {
        let (before, last) = ((1.7, 2.4), (1.9, 2.8));
        assert!(
            FarEnd::Rises.agrees_with(before, last) && FarEnd::Settled.agrees_with(before, last)
        );
        assert!(!FarEnd::Falls("").agrees_with((1.7, 2.3), (1.9, 2.8)));
        assert!(!FarEnd::Rises.agrees_with((1.9, 2.1), (2.0, 2.3)));
        assert!(!FarEnd::Settled.agrees_with((1.9, 2.1), (2.7, 3.0)));
    }
}
