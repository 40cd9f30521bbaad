//! Which measurements of a pair are strong scaling: the same work on several thread counts.

use crate::results::{Measured, PairResult, Sweep};

/// The same work on several thread counts.
pub(super) struct Strong<'a> {
    /// Which work, if the pair has several.
    pub what: String,
    /// The measured cases, ascending in the number of threads.
    pub cases: Vec<(u64, &'a Measured)>,
}

impl<'a> Strong<'a> {
    /// Returns the case on one thread, if it was measured.
    pub fn one_thread(&self) -> Option<&'a Measured> {
        self.cases.iter().find(|(threads, _)| *threads == 1).map(|(_, found)| *found)
    }
}

/// Returns the sweeps over threads that were measured on more than one thread: along the axis, or over the levels of a
/// parameter.
pub(super) fn sweeps(pair: &PairResult) -> Vec<Strong<'_>> {
    let found = if pair.axis == "threads" {
        pair.sweeps.iter().map(along_axis).collect()
    } else if pair.parameter.as_deref() == Some("threads") {
        Vec::from_iter(over_levels(pair))
    } else {
        Vec::new()
    };
    let is_parallel = |strong: &Strong<'_>| strong.cases.iter().any(|(threads, _)| *threads > 1);
    found.into_iter().filter(is_parallel).collect()
}

fn along_axis(sweep: &Sweep) -> Strong<'_> {
    let cases = sweep.cases.iter().filter_map(|case| Some((case.point, case.measured()?)));
    Strong { what: sweep.level.clone(), cases: cases.collect() }
}

/// The levels at the last of the points that were measured at most levels.
fn over_levels(pair: &PairResult) -> Option<Strong<'_>> {
    let at = |point: u64| {
        let mut cases: Vec<(u64, &Measured)> =
            pair.sweeps.iter().filter_map(|sweep| at_point(sweep, point)).collect();
        cases.sort_by_key(|(threads, _)| *threads);
        cases
    };
    let points = pair.sweeps.iter().flat_map(|sweep| &sweep.cases).map(|case| case.point);
    let found = points.map(|point| (point, at(point)));
    let (point, cases) = found.max_by_key(|(point, cases)| (cases.len(), *point))?;
    Some(Strong { what: pair.place(point), cases })
}

fn at_point(sweep: &Sweep, point: u64) -> Option<(u64, &Measured)> {
    let threads = sweep.level.strip_prefix("threads=")?.parse().ok()?;
    let case = sweep.cases.iter().find(|case| case.point == point)?;
    Some((threads, case.measured()?))
}
