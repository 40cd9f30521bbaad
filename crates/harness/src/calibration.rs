//! What a run shows about the suite's own precision: null comparisons, and what a timing loop adds to an iteration.

use worthit_pair::format;

use crate::{results::Run, statistics::median};

/// Family of the pairs that measure the suite instead of a technique.
const FAMILY: &str = "calibration/";

/// Returns whether a pair measures the suite itself. Whether its optimized side wins says nothing about a technique.
pub fn is_instrument(id: &str) -> bool {
    id.starts_with(FAMILY)
}

/// The pairs of identical sides: one whose time depends on nothing but its instructions, and one that the layout of code
/// and heap moves.
const NULLS: [(&str, &str); 2] = [
    ("calibration/identical_sides", "a dependent chain"),
    ("calibration/identical_allocations", "sorting and allocating"),
];

/// Describes the null (A/A) comparisons of a run, of identical sides: how many intervals contain 1.00×, and how wide
/// they are. A null with fewer than two intervals is left out.
pub fn nulls(run: &Run) -> Vec<String> {
    NULLS.iter().filter_map(|(id, what)| null(run, id, what)).collect()
}

fn null(run: &Run, id: &str, what: &str) -> Option<String> {
    let cases = run.pairs.get(id)?.sweeps.iter().flat_map(|sweep| &sweep.cases);
    let intervals: Vec<_> =
        cases.filter_map(|case| case.measured()).flat_map(|case| &case.processes).collect();
    let covering = intervals.iter().filter(|interval| interval.contains(1.0)).count();
    let widths: Vec<f64> = intervals.iter().map(|gain| gain.relative_half_width()).collect();
    let median_width = median(&widths).filter(|_| intervals.len() > 1)?;
    Some(format!(
        "identical sides (A/A, {what}): {covering} of {} single-process intervals contain 1.00×; their median half-width is ± {} %",
        intervals.len(),
        format::significant(median_width * 100.0)
    ))
}

/// Describes what a timing loop adds to an iteration: "0.31 ns (0.22 to 0.48 over 7 processes)". `None` if no process
/// measured it.
pub fn overhead(run: &Run) -> Option<String> {
    let all: Vec<f64> = run.overhead.iter().flatten().copied().collect();
    let by_process: Vec<f64> =
        run.overhead.iter().filter_map(|readings| median(readings)).collect();
    let least = by_process.iter().copied().reduce(f64::min)?;
    let most = by_process.iter().copied().reduce(f64::max)?;
    Some(format!(
        "the timing loop adds {:.2} ns to an iteration ({least:.2} to {most:.2} over {})",
        median(&all)?,
        format::counted(by_process.len() as u64, "processes")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{add, gain, run};

    #[test]
    fn each_null_is_described_by_itself() {
        let mut run = run();
        for point in [1, 2, 3] {
            let estimate = if point == 3 { 1.5 } else { 1.0 };
            add(&mut run, "calibration/identical_allocations", "", point, gain(estimate));
        }
        add(&mut run, "calibration/identical_sides", "", 1, gain(1.0));
        let nulls = nulls(&run);
        assert_eq!(nulls.len(), 1, "one interval says nothing: {nulls:?}");
        assert!(nulls[0].contains("sorting and allocating): 2 of 3 single-process"), "{nulls:?}");
    }

    #[test]
    fn overhead_is_the_median_over_copies_and_processes() {
        let mut run = run();
        assert_eq!(overhead(&run), None);
        run.overhead = vec![vec![0.1, 0.2, 0.3], vec![0.4, 0.5, 0.9], vec![-0.1, 0.0, 0.1]];
        let said = "the timing loop adds 0.20 ns to an iteration (0.00 to 0.50 over 3 processes)";
        assert_eq!(overhead(&run).as_deref(), Some(said));
    }
}
