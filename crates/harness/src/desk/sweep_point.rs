//! The gain at a point of a sweep, measured or between two measured points.
//!
//! Between two points, the logarithms of gain and times are taken to be linear in that of the size, as on the charts. A gain may
//! also step there, as where a cache ends, so the interval holds those of both neighbours. Beyond the measured points nothing is
//! said.

use crate::{
    report::{gain, headline_of_pair, is_usable},
    results::{CaseResult, Outcome, PairResult, Sweep},
    statistics::Interval,
};
use worthit_pair::{format, trial::Role};

/// Which point of a pair's sweeps is asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Asked {
    /// Value on the pair's axis, usually the size of the input [default: the headline's].
    #[arg(long)]
    pub size: Option<u64>,
    /// Level of the pair's parameter [default: the headline's].
    #[arg(long)]
    pub level: Option<String>,
}

/// What is known at a point of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepPoint<'a> {
    /// Label of the level; empty without one.
    pub level: &'a str,
    /// Value on the axis.
    pub point: u64,
    /// Naive ÷ optimized.
    pub gain: Interval,
    /// Time of each side per unit of work (naive, optimized), ns; `None` if the case was computed.
    pub times_ns: Option<(f64, f64)>,
    /// The nearest case of the result, whose counts speak for the point.
    pub nearest: &'a CaseResult,
    /// The points between which it lies, if it was not measured.
    pub between: Option<(u64, u64)>,
}

/// Why nothing is known at a point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingKnown {
    /// There is no such level.
    #[error("there is no level `{asked}`; {known}")]
    NoLevel {
        /// The level that was asked for.
        asked: String,
        /// The levels that there are.
        known: String,
    },
    /// The point lies outside the measured ones.
    #[error(
        "{asked} lies outside what was measured, {from} to {to}, and nothing says how the gain goes on there: measure more sizes \
         (`cargo bench` without `--quick`, or with `--deep`), or take a size within"
    )]
    Outside {
        /// The point that was asked for, with its unit.
        asked: String,
        /// The first measured point.
        from: String,
        /// The last measured point.
        to: String,
    },
    /// The axis has no sizes, and the point was not measured.
    #[error("the axis ({axis}) has no values between those that were measured: {measured}")]
    NoSizes {
        /// What the axis varies.
        axis: String,
        /// The measured points.
        measured: String,
    },
    /// The point was measured beside other work.
    #[error(
        "the figures at {place} cannot be used, as {mark}: run `cargo bench` again on a quiet machine"
    )]
    Marked {
        /// The point with its unit.
        place: String,
        /// What the other work did.
        mark: String,
    },
    /// The point cannot run on that machine.
    #[error("{place} was not measured: {reason}")]
    Unavailable {
        /// The point with its unit.
        place: String,
        /// Why.
        reason: String,
    },
    /// The result has no case that may be used.
    #[error(
        "the result has no case that was measured undisturbed: run `cargo bench` on a quiet machine"
    )]
    NoCase,
}

/// Finds what is known of a pair at the point that is asked for. `is_size` says whether its axis is a size.
///
/// # Errors
/// If nothing is known there.
pub fn find<'a>(
    pair: &'a PairResult,
    asked: &Asked,
    is_size: bool,
) -> Result<SweepPoint<'a>, NothingKnown> {
    let chosen = pair.headline.as_ref();
    let is_chosen = |sweep: &&Sweep| chosen.is_some_and(|chosen| chosen.level == sweep.level);
    let sweep = match &asked.level {
        None => match chosen {
            Some(_) => pair.sweeps.iter().find(is_chosen),
            None => headline_of_pair(pair).map(|(sweep, _)| sweep),
        }
        .ok_or(NothingKnown::NoCase)?,
        Some(level) => pair.sweeps.iter().find(|sweep| sweep.level == *level).ok_or_else(|| {
            let labels = pair.sweeps.iter().map(|sweep| sweep.level.as_str());
            let labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
            let known = match labels.is_empty() {
                true => "the pair has none".to_owned(),
                false => format!("the levels are {}", labels.join(", ")),
            };
            NothingKnown::NoLevel { asked: level.clone(), known }
        })?,
    };
    let point = match (asked.size, chosen) {
        (Some(size), _) => size,
        (None, Some(chosen)) => chosen.point,
        (None, None) => headline_of_pair(pair).ok_or(NothingKnown::NoCase)?.1.point,
    };
    if let Some(case) = sweep.cases.iter().find(|case| case.point == point) {
        return recorded(pair, sweep, case);
    }
    let usable: Vec<&CaseResult> = sweep.cases.iter().filter(|case| is_usable(case)).collect();
    let (Some(first), Some(last)) = (usable.first(), usable.last()) else {
        return Err(NothingKnown::NoCase);
    };
    if !is_size {
        let measured: Vec<String> = usable.iter().map(|case| format::count(case.point)).collect();
        return Err(NothingKnown::NoSizes {
            axis: pair.axis.clone(),
            measured: measured.join(", "),
        });
    }
    let above = usable.iter().position(|case| case.point > point).filter(|place| *place > 0);
    let Some(above) = above else {
        let [asked, from, to] = [point, first.point, last.point].map(|point| pair.place(point));
        return Err(NothingKnown::Outside { asked, from, to });
    };
    Ok(between(sweep, usable[above - 1], usable[above], point))
}

/// What is known at a point that the result has.
fn recorded<'a>(
    pair: &PairResult,
    sweep: &'a Sweep,
    case: &'a CaseResult,
) -> Result<SweepPoint<'a>, NothingKnown> {
    let place = pair.place(case.point);
    if let Some(mark) = case.measured().and_then(|found| found.mark.clone()) {
        return Err(NothingKnown::Marked { place, mark });
    }
    match case.outcome.reason() {
        Some(reason) => Err(NothingKnown::Unavailable { place, reason: reason.to_owned() }),
        None => Ok(at(sweep, case)),
    }
}

fn at<'a>(sweep: &'a Sweep, case: &'a CaseResult) -> SweepPoint<'a> {
    SweepPoint {
        level: &sweep.level,
        point: case.point,
        gain: gain(case).expect("it is usable"),
        times_ns: times_ns(case),
        nearest: case,
        between: None,
    }
}

fn between<'a>(
    sweep: &'a Sweep,
    below: &'a CaseResult,
    above: &'a CaseResult,
    point: u64,
) -> SweepPoint<'a> {
    let [low, high] = [at(sweep, below), at(sweep, above)];
    // A size of 0 has no logarithm.
    let ln = |point: u64| (point.max(1) as f64).ln();
    let share = (ln(point) - ln(below.point)) / (ln(above.point) - ln(below.point));
    let mix = |low: f64, high: f64| (low.ln() * (1.0 - share) + high.ln() * share).exp();
    let times_ns =
        low.times_ns.zip(high.times_ns).map(|(low, high)| (mix(low.0, high.0), mix(low.1, high.1)));
    SweepPoint {
        point,
        gain: Interval {
            low: low.gain.low.min(high.gain.low),
            estimate: mix(low.gain.estimate, high.gain.estimate),
            high: low.gain.high.max(high.gain.high),
        },
        times_ns,
        nearest: if share < 0.5 { below } else { above },
        between: Some((below.point, above.point)),
        ..low
    }
}

fn times_ns(case: &CaseResult) -> Option<(f64, f64)> {
    let Outcome::Measured(found) = &case.outcome else { return None };
    let time = |role| Some(found.side(role)?.time_ns.median);
    time(Role::Naive).zip(time(Role::Optimized))
}

impl SweepPoint<'_> {
    /// Says where the point is: "1,000 orders (loopback, interpolated between 256 and 4,096)".
    pub fn place(&self, pair: &PairResult) -> String {
        let level = (!self.level.is_empty()).then(|| self.level.to_owned());
        let between = self.between.map(|(below, above)| {
            let [below, above] = [below, above].map(format::count);
            format!("interpolated between {below} and {above}")
        });
        let remarks: Vec<String> = level.into_iter().chain(between).collect();
        let place = pair.place(self.point);
        if remarks.is_empty() { place } else { format!("{place} ({})", remarks.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made;

    /// A pair with gains 2, 8 at the points 16, 256, and a marked case at 4,096.
    fn pair() -> PairResult {
        let mut run = made::run();
        for (point, gain) in [(16, 2.0), (256, 8.0)] {
            made::add(
                &mut run,
                "f/p",
                "",
                point,
                made::timed(made::gain(gain), gain * 100.0, 100.0),
            );
        }
        made::add(&mut run, "f/p", "", 4_096, made::marked(made::gain(100.0)));
        run.pairs.remove("f/p").unwrap()
    }

    fn asked(size: u64) -> Asked {
        Asked { size: Some(size), level: None }
    }

    #[test]
    fn a_measured_point_is_as_measured() {
        let pair = pair();
        let found = find(&pair, &asked(256), true).unwrap();
        assert_eq!((found.gain.estimate, found.times_ns), (8.0, Some((800.0, 100.0))));
        assert_eq!(found.place(&pair), "256 rows");
    }

    #[test]
    fn between_two_points_the_logarithms_are_linear() {
        let pair = pair();
        // 64 is halfway from 16 to 256 in logarithms, and 4 from 2 to 8.
        let found = find(&pair, &asked(64), true).unwrap();
        assert!((found.gain.estimate - 4.0).abs() < 1e-9, "{found:?}");
        // It may also step from the one to the other anywhere between.
        assert!((found.gain.low, found.gain.high) == (2.0 * 0.99, 8.0 * 1.01), "{found:?}");
        let (naive, optimized) = found.times_ns.unwrap();
        assert!((naive - 400.0).abs() < 1e-9 && (optimized - 100.0).abs() < 1e-9);
        assert_eq!(found.place(&pair), "64 rows (interpolated between 16 and 256)");
    }

    #[test]
    fn beyond_the_measured_points_and_at_marked_ones_nothing_is_known() {
        let pair = pair();
        let said = |asked: Asked, is_size| find(&pair, &asked, is_size).unwrap_err().to_string();
        for size in [15, 257, 4_097] {
            assert!(said(asked(size), true).contains("16 rows to 256 rows"), "{size}");
        }
        let marked = said(asked(4_096), true);
        assert!(
            marked.contains("at 4,096 rows cannot be used, as other processes held"),
            "{marked}"
        );
        assert!(said(asked(64), false).contains("those that were measured: 16, 256"));
        let other = Asked { size: None, level: Some("other".to_owned()) };
        assert!(said(other, true).contains("the pair has none"));
        let alone = said(Asked::default(), true);
        assert!(alone.contains("1,000 rows lies outside"), "the headline was left out: {alone}");
        let mut gone = pair.clone();
        gone.add("", CaseResult { point: 1_000, outcome: made::unavailable("no disk") });
        let said = find(&gone, &Asked::default(), true).unwrap_err().to_string();
        assert_eq!(said, "1,000 rows was not measured: no disk");
        let nothing = PairResult { sweeps: Vec::new(), ..pair };
        assert_eq!(find(&nothing, &Asked::default(), true), Err(NothingKnown::NoCase));
    }
}
