//! Summarizes what a run shows about the suite's own precision.

use worthit_pair::format;

use crate::{results::Run, statistics::median};

/// Family of the pairs that measure the suite instead of a technique.
const FAMILY: &str = "calibration/";

/// Returns whether a pair measures the suite itself. Whether its optimized side wins says nothing about a technique.
pub fn is_instrument(id: &str) -> bool {
    id.starts_with(FAMILY)
}

/// Describes the null (A/A) comparison of a run, of two identical sides: how many intervals contain
/// 1.00×, and how wide they are. `None` for fewer than two intervals.
pub fn verdict(run: &Run) -> Option<String> {
    let sweeps = &run.pairs.get("calibration/identical_sides")?.sweeps;
    let cases = sweeps.iter().flat_map(|sweep| &sweep.cases);
    let intervals: Vec<_> =
        cases.filter_map(|case| case.measured()).flat_map(|case| &case.processes).collect();
    let covering = intervals.iter().filter(|interval| interval.contains(1.0)).count();
    let widths: Vec<f64> = intervals.iter().map(|gain| gain.relative_half_width()).collect();
    let median_width = median(&widths).filter(|_| intervals.len() > 1)?;
    Some(format!(
        "identical sides (A/A): {covering} of {} single-process intervals contain 1.00×; their median half-width is ± {} %",
        intervals.len(),
        format::significant(median_width * 100.0)
    ))
}
