//! Where on the axis of a sweep the optimized side begins or stops to win, in numbers and in words.

use serde::Serialize;

use super::Interval;
use worthit_pair::format;

/// The points on an axis where the optimized side begins or ceases to win.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BreakEven {
    /// One crossing for each change between neighbouring decided points, in the order of the axis.
    pub crossings: Vec<Crossing>,
    /// Summary in words: "wins from about 23 on (21…26; between 16 and 32)".
    pub summary: String,
}

/// A crossing of 1 by the gain, between two points whose intervals lie on opposite sides of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// The last decided point before the crossing.
    pub after: u64,
    /// The first decided point beyond the crossing.
    pub before: u64,
    /// Axis value where the gain crosses 1, with its uncertainty. The line through the gains crosses at
    /// the estimate; the lines through the ends of their intervals cross at the ends, as when a
    /// calibration curve is inverted by its confidence band. The lines are straight on logarithmic
    /// scales of gain and axis; from a point at 0, on a linear axis. The gain between two points is
    /// unknown, so the interval never extends beyond them.
    pub at: Interval,
    /// Whether the optimized side wins beyond the crossing.
    pub wins: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Wins,
    Loses,
    Undecided,
}

fn sign(gain: &Interval) -> Sign {
    if gain.low > 1.0 {
        Sign::Wins
    } else if gain.high < 1.0 {
        Sign::Loses
    } else {
        Sign::Undecided
    }
}

/// Finds the break-evens of a sweep: `gains` ascend along the axis and exclude `left_out` marked cases.
pub fn break_even(gains: &[(u64, Interval)], left_out: usize) -> BreakEven {
    let is_decided = |place: &usize| sign(&gains[*place].1) != Sign::Undecided;
    let decided: Vec<usize> = (0..gains.len()).filter(is_decided).collect();
    let crossings: Vec<Crossing> = decided
        .windows(2)
        .filter(|two| sign(&gains[two[0]].1) != sign(&gains[two[1]].1))
        .map(|two| crossing(&gains[two[0]..=two[1]]))
        .collect();
    let decided: Vec<_> = decided.into_iter().map(|place| &gains[place]).collect();
    let summary = summarize(gains, left_out, &decided, &crossings);
    BreakEven { crossings, summary }
}

/// Locates the crossing between the first and the last of these points, which are decided; the points
/// between them are undecided.
fn crossing(points: &[(u64, Interval)]) -> Crossing {
    let (first, last) = (points[0], points[points.len() - 1]);
    let wins = sign(&last.1) == Sign::Wins;
    let line = |end: fn(&Interval) -> f64| points.iter().map(move |(x, gain)| (*x, end(gain)));
    let (high, low) = (line(|gain| gain.high).collect(), line(|gain| gain.low).collect());
    // One end of the intervals crosses early, the other late.
    let (early, late): (Vec<_>, Vec<_>) = if wins { (high, low) } else { (low, high) };
    let [early, late] =
        [crossings_of(&early).next(), crossings_of(&late).last()].map(|at| at.unwrap_or(f64::NAN));
    let estimates: Vec<_> = line(|gain| gain.estimate).collect();
    let estimate = crossings_of(&estimates).next().unwrap_or(f64::NAN);
    let at = Interval { low: early.min(estimate), estimate, high: late.max(estimate) };
    Crossing { after: first.0, before: last.0, at, wins }
}

/// Returns where the lines from point to point cross 1, ascending.
fn crossings_of(points: &[(u64, f64)]) -> impl Iterator<Item = f64> {
    points.windows(2).filter(|two| (two[0].1 < 1.0) != (two[1].1 < 1.0)).map(|two| {
        let (y0, y1) = (two[0].1.ln(), two[1].1.ln());
        let share = -y0 / (y1 - y0);
        let (x0, x1) = (two[0].0 as f64, two[1].0 as f64);
        if x0 == 0.0 { x0 + share * (x1 - x0) } else { (x0.ln() + share * (x1 / x0).ln()).exp() }
    })
}

fn summarize(
    gains: &[(u64, Interval)],
    left_out: usize,
    decided: &[&(u64, Interval)],
    crossings: &[Crossing],
) -> String {
    let (Some(first), Some(last)) = (decided.first(), decided.last()) else {
        return match (gains.is_empty(), left_out) {
            (true, 0) => "not measured".to_owned(),
            (true, _) => "all points are marked".to_owned(),
            (false, 0) => "indistinguishable".to_owned(),
            (false, _) => format!("indistinguishable; marked points excluded: {left_out}"),
        };
    };
    let mut parts = Vec::new();
    if first.0 > gains[0].0 {
        parts.push(format!("indistinguishable below {}", format::count(first.0)));
    }
    for crossing in crossings {
        let verb = if crossing.wins { "wins" } else { "loses" };
        let (after, before) = (format::count(crossing.after), format::count(crossing.before));
        let [low, at, high] =
            [crossing.at.low, crossing.at.estimate, crossing.at.high].map(format::estimate);
        parts.push(format!(
            "{verb} from about {at} on ({low}…{high}; between {after} and {before})"
        ));
    }
    if crossings.is_empty() {
        parts.push(match sign(&first.1) {
            Sign::Wins => format!("wins from {} on", format::count(first.0)),
            _ if last.0 == gains[gains.len() - 1].0 && left_out == 0 => {
                "never on this machine".to_owned()
            }
            _ => format!("loses up to {}", format::count(last.0)),
        });
    }
    if last.0 < gains[gains.len() - 1].0 {
        parts.push(format!("indistinguishable above {}", format::count(last.0)));
    }
    let marked =
        if left_out == 0 { String::new() } else { format!("; marked points excluded: {left_out}") };
    parts.join(", ") + &marked
}

/// Says where the optimized side wins in the few words that a table has room for: "wins from 23 (21…26)". It leaves out the
/// points beside a crossing, the number of marked cases, and, where there is more to say, the uncertainty.
pub fn break_even_in_brief(gains: &[(u64, Interval)], left_out: usize) -> String {
    let BreakEven { crossings, summary } = break_even(gains, left_out);
    let is_decided = |(_, gain): &&(u64, Interval)| sign(gain) != Sign::Undecided;
    let mut decided = gains.iter().filter(is_decided);
    let (Some(first), last) = (decided.next(), decided.next_back()) else { return summary };
    let last = last.unwrap_or(first);
    let mut parts: Vec<String> = crossings
        .iter()
        .map(|Crossing { at, wins, .. }| {
            let verb = if *wins { "wins" } else { "loses" };
            format!("{verb} from {}", format::estimate(at.estimate))
        })
        .collect();
    if crossings.is_empty() {
        parts.push(match sign(&first.1) {
            Sign::Wins => format!("wins from {}", format::count(first.0)),
            _ if last.0 == gains[gains.len() - 1].0 && left_out == 0 => "never".to_owned(),
            _ => format!("loses up to {}", format::count(last.0)),
        });
    }
    if last.0 < gains[gains.len() - 1].0 {
        parts.push(format!("undecided above {}", format::count(last.0)));
    }
    if let (Some(Crossing { at, .. }), [part]) = (crossings.first(), parts.as_mut_slice()) {
        *part += &format!(" ({}…{})", format::estimate(at.low), format::estimate(at.high));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::close;

    fn gains(values: &[(u64, f64, f64)]) -> Vec<(u64, Interval)> {
        let interval = |low: f64, high: f64| Interval { low, estimate: (low * high).sqrt(), high };
        values.iter().map(|(point, low, high)| (*point, interval(*low, *high))).collect()
    }

    #[test]
    fn break_evens_in_words() {
        let summary = |values: &[(u64, f64, f64)]| break_even(&gains(values), 0).summary;
        assert_eq!(summary(&[]), "not measured");
        assert_eq!(summary(&[(1, 0.9, 1.1), (2, 0.9, 1.1)]), "indistinguishable");
        assert_eq!(summary(&[(1, 1.1, 1.2), (2, 2.0, 2.1)]), "wins from 1 on");
        assert_eq!(summary(&[(1, 0.5, 0.6), (2, 0.8, 0.9)]), "never on this machine");
        assert_eq!(
            summary(&[(1, 0.9, 1.1), (32, 1.5, 1.6)]),
            "indistinguishable below 32, wins from 32 on"
        );
        assert_eq!(
            summary(&[(10, 0.5, 0.5), (1_000, 2.0, 2.0), (2_000, 0.9, 1.2)]),
            "wins from about 100 on (100…100; between 10 and 1,000), indistinguishable above 1,000"
        );
        assert_eq!(
            summary(&[(0, 0.5, 0.5), (10, 0.9, 1.2), (20, 2.0, 2.0), (40, 0.5, 0.5)]),
            "wins from about 9.47 on (7.92…11.0; between 0 and 20), loses from about 28.3 on (28.3…28.3; between 20 and 40)"
        );
    }

    #[test]
    fn break_evens_in_brief_keep_what_is_known() {
        let brief = |values: &[(u64, f64, f64)]| break_even_in_brief(&gains(values), 0);
        assert_eq!(brief(&[]), "not measured");
        assert_eq!(break_even_in_brief(&[], 3), "all points are marked");
        assert_eq!(break_even_in_brief(&gains(&[(1, 0.5, 0.6)]), 3), "loses up to 1");
        assert_eq!(brief(&[(1, 0.9, 1.1), (2, 0.9, 1.1)]), "indistinguishable");
        assert_eq!(brief(&[(1, 1.1, 1.2)]), "wins from 1");
        assert_eq!(brief(&[(1, 0.9, 1.1), (32, 1.5, 1.6)]), "wins from 32");
        assert_eq!(brief(&[(1, 0.5, 0.6), (2, 0.8, 0.9)]), "never");
        assert_eq!(
            brief(&[(1, 0.5, 0.6), (2, 0.9, 1.1)]),
            "loses up to 1, undecided above 1",
            "it may win beyond"
        );
        assert_eq!(
            brief(&[(10, 0.5, 0.5), (1_000, 2.0, 2.0), (2_000, 0.9, 1.2)]),
            "wins from 100, undecided above 1,000"
        );
        assert_eq!(
            brief(&[(0, 0.5, 0.5), (10, 0.9, 1.2), (20, 2.0, 2.0), (40, 0.5, 0.5)]),
            "wins from 9.47, loses from 28.3"
        );
        let found = brief(&[(1, 0.125, 0.5), (16, 2.0, 8.0)]);
        assert_eq!(found, "wins from 4.00 (2.00…8.00)");
    }

    #[test]
    fn points_that_are_left_out_or_undecided_claim_nothing() {
        let summary =
            |values: &[(u64, f64, f64)], left_out| break_even(&gains(values), left_out).summary;
        assert_eq!(summary(&[], 3), "all points are marked");
        assert_eq!(summary(&[(1, 0.5, 0.6)], 3), "loses up to 1; marked points excluded: 3");
        assert_eq!(summary(&[(1, 2.0, 2.1)], 1), "wins from 1 on; marked points excluded: 1");
        assert_eq!(
            summary(&[(1, 0.5, 0.6), (2, 0.9, 1.1)], 0),
            "loses up to 1, indistinguishable above 1"
        );
    }

    #[test]
    fn a_crossing_needs_decided_points_on_both_sides() {
        assert_eq!(break_even(&gains(&[(1, 0.9, 1.01), (2, 2.0, 2.1)]), 0).crossings, []);
        let found = break_even(&gains(&[(4, 0.25, 0.25), (64, 4.0, 4.0)]), 0).crossings;
        assert_eq!((found[0].after, found[0].before, found[0].wins), (4, 64, true));
        close(found[0].at.estimate, 16.0);
    }

    #[test]
    fn a_crossing_is_as_uncertain_as_the_gains_beside_it() {
        let crossing_of = |values: &[(u64, f64, f64)]| {
            let Interval { low, estimate, high } = break_even(&gains(values), 0).crossings[0].at;
            [low, estimate, high].map(|x| (x * 100.0).round() / 100.0)
        };
        // The upper ends reach 1 after one quarter of the way from 1 to 16, the lower ends after three.
        assert_eq!(crossing_of(&[(1, 0.125, 0.5), (16, 2.0, 8.0)]), [2.0, 4.0, 8.0]);
        assert_eq!(crossing_of(&[(1, 2.0, 8.0), (16, 0.125, 0.5)]), [2.0, 4.0, 8.0], "and back");
        // An undecided point lies within the uncertainty.
        assert_eq!(
            crossing_of(&[(1, 0.25, 0.25), (4, 0.5, 2.0), (16, 4.0, 4.0)]),
            [2.52, 4.0, 6.35]
        );
        // Noise makes the line cross more than once: the interval covers all crossings.
        let wander = [(1, 0.5, 0.5), (2, 0.9, 1.5), (4, 0.5, 1.2), (8, 2.0, 2.0)];
        let [low, estimate, high] = crossing_of(&wander);
        assert!(1.0 < low && low < estimate && estimate < 2.0 && 4.0 < high && high < 8.0);
    }
}
