//! What a run says of the measure itself.

use worthit_pair::format;

use crate::{results::Run, statistics::median};

/// What the processes of a run found for two identical sides: how many intervals hold 1.00× and how
/// wide they are. `None` for fewer than two processes.
pub fn verdict(run: &Run) -> Option<String> {
    let sweeps = &run.pairs.get("calibration/identical_sides")?.sweeps;
    let cases = sweeps.iter().flat_map(|sweep| &sweep.cases);
    let intervals: Vec<_> =
        cases.filter_map(|case| case.measured()).flat_map(|case| &case.processes).collect();
    let holding = intervals.iter().filter(|interval| interval.contains(1.0)).count();
    let widths: Vec<f64> = intervals.iter().map(|gain| gain.relative_half_width()).collect();
    let median_width = median(&widths).filter(|_| intervals.len() > 1)?;
    Some(format!(
        "identical sides: 1.00× lies inside {holding} of {} intervals of one process; their median half-width is ± {} %",
        intervals.len(),
        format::significant(median_width * 100.0)
    ))
}
