//! Strong scaling: which measurements of a pair are the same work on several thread counts, and what they show. The
//! scaling page and `worthit scale` are made from it.

use crate::{
    results::{Measured, PairResult, Run, Sweep},
    scaling::{Laws, Point, relative_speedup},
    statistics::Interval,
};
use worthit_pair::{format, limit::Need, trial::Role};

/// The same work on several thread counts.
pub struct Strong<'a> {
    /// Which work, if the pair has several.
    pub what: String,
    /// The measured cases, ascending in the number of threads.
    pub cases: Vec<(u64, &'a Measured)>,
}

impl<'a> Strong<'a> {
    /// Returns the case on one thread, if it was measured.
    fn one_thread(&self) -> Option<&'a Measured> {
        self.cases.iter().find(|(threads, _)| *threads == 1).map(|(_, found)| *found)
    }

    /// Returns the speedups of the optimized side over this side on one thread.
    fn speedups(&self, one: &Measured, base: Role) -> Vec<Point> {
        let time = |found: &Measured, role| found.side(role).map(|side| side.time_ns);
        let base_time = time(one, base);
        let speedup_over_base = |(threads, found): &(u64, &Measured)| {
            // One thread over itself is 1 by definition.
            let speedup = match (*threads, base) {
                (1, Role::Optimized) => Interval::exact(1.0),
                _ => relative_speedup(&base_time?, &time(found, Role::Optimized)?)?,
            };
            Some(Point { threads: *threads, speedup })
        };
        self.cases.iter().filter_map(speedup_over_base).collect()
    }
}

/// What the strong scaling of one work shows.
pub struct Shown {
    /// Whether one thread was measured; if not, there is neither a speedup over it nor a law.
    pub has_one_thread: bool,
    /// Speedups over the optimized side on one thread.
    pub against_one: Vec<Point>,
    /// Speedups over the naive side on one thread; without that case, the gains at each number of threads.
    pub against_naive: Vec<Point>,
    /// The laws fitted to the speedups over one thread.
    pub laws: Laws,
    /// Bytes per nanosecond that the optimized side streams on each number of threads, if its limit is a stream.
    pub bandwidths: Vec<(u64, f64)>,
    /// The number of threads beyond which bandwidth no longer grows.
    pub wall: Option<u64>,
    /// The table.
    pub rows: Vec<SpeedupRow>,
}

/// Speedup on one thread count, in words.
pub struct SpeedupRow {
    /// Number of threads.
    pub threads: u64,
    /// Over the optimized side on one thread.
    pub against_one: String,
    /// Speedup ÷ threads.
    pub efficiency: String,
    /// Over the naive side on one thread.
    pub against_naive: String,
    /// Speedup of a kernel that stays in registers.
    pub ceiling: String,
    /// What the optimized side streams.
    pub bandwidth: String,
    /// "oversubscribed", "marked", both or nothing.
    pub remarks: String,
}

impl Shown {
    /// Computes what `strong` shows, in a run with its ceiling and cores.
    pub fn of(strong: &Strong<'_>, run: &Run) -> Shown {
        let one = strong.one_thread();
        let against_one = one.map_or_else(Vec::new, |one| strong.speedups(one, Role::Optimized));
        // Both sides of a gain ran on the same number of threads.
        let gain =
            |(threads, found): &(u64, &Measured)| Point { threads: *threads, speedup: found.gain };
        let against_naive = match one {
            Some(one) => strong.speedups(one, Role::Naive),
            None => strong.cases.iter().map(gain).collect(),
        };
        let bandwidths: Vec<(u64, f64)> = strong.cases.iter().filter_map(bandwidth).collect();
        let cores = run.machine.logical_cores;
        let columns = [&against_one, &against_naive, &run.ceiling].map(Vec::as_slice);
        Shown {
            has_one_thread: one.is_some(),
            laws: Laws::of(&against_one, cores),
            rows: rows(strong, columns, &bandwidths, cores),
            against_one,
            against_naive,
            wall: memory_wall(&bandwidths, cores),
            bandwidths,
        }
    }

    /// Returns the sentences on the laws; none without a case on one thread.
    pub fn laws_in_words(&self) -> Vec<String> {
        if self.has_one_thread { self.laws.in_words() } else { Vec::new() }
    }

    /// Returns the sentence on the memory wall, if the bandwidth stops growing.
    pub fn wall_in_words(&self) -> Option<String> {
        self.wall.map(|threads| {
            format!("Memory wall: beyond {threads} threads, bandwidth no longer grows.")
        })
    }
}

fn rows(
    strong: &Strong<'_>,
    [against_one, against_naive, ceiling]: [&[Point]; 3],
    bandwidths: &[(u64, f64)],
    cores: u64,
) -> Vec<SpeedupRow> {
    let none = || format::NONE.to_owned();
    let point_at =
        |points: &[Point], threads| points.iter().find(|point| point.threads == threads).copied();
    let words = |point: Option<Point>| point.map_or_else(none, |point| point.speedup.as_gain());
    let row = |(threads, found): &(u64, &Measured)| {
        let relative = point_at(against_one, *threads);
        let streamed = bandwidths.iter().find(|(measured_on, _)| measured_on == threads);
        let remarks = [
            (*threads > cores).then_some("oversubscribed"),
            found.mark.is_some().then_some("marked"),
        ];
        SpeedupRow {
            threads: *threads,
            against_one: words(relative),
            efficiency: relative.map_or_else(none, |point| {
                format!("{} %", format::significant(point.efficiency().estimate * 100.0))
            }),
            against_naive: words(point_at(against_naive, *threads)),
            ceiling: words(point_at(ceiling, *threads)),
            bandwidth: streamed
                .map_or_else(none, |(_, rate)| format!("{} GB/s", format::significant(*rate))),
            remarks: remarks.into_iter().flatten().collect::<Vec<_>>().join(", "),
        }
    };
    strong.cases.iter().map(row).collect()
}

/// Bandwidth of the optimized side in bytes per nanosecond (GB/s), if its limit is a stream.
fn bandwidth((threads, found): &(u64, &Measured)) -> Option<(u64, f64)> {
    let is_stream = |kind| matches!(kind, Need::BytesStreamed | Need::StreamedByAllCores);
    let needed = found.needed.iter().find(|needed| is_stream(needed.kind))?;
    let time = found.side(Role::Optimized)?.time_ns.median * found.units_per_iteration as f64;
    let rate = needed.amount as f64 / time;
    (rate.is_finite() && rate > 0.0).then_some((*threads, rate))
}

/// The thread count beyond which the next one, of those that have a core for each thread, raises the bandwidth by less than
/// a tenth.
fn memory_wall(bandwidths: &[(u64, f64)], cores: u64) -> Option<u64> {
    let mut steps = bandwidths.windows(2).take_while(|two| two[1].0 <= cores);
    steps.find(|two| two[1].1 < two[0].1 * 1.1).map(|two| two[0].0)
}

/// Returns the sweeps over threads that were measured on more than one thread: along the axis, or over the levels of a
/// parameter.
pub fn sweeps(pair: &PairResult) -> Vec<Strong<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_wall_is_where_bandwidth_stops_growing() {
        assert_eq!(memory_wall(&[(1, 10.0), (2, 19.0), (4, 20.0), (8, 20.0)], 8), Some(2));
        assert_eq!(memory_wall(&[(1, 10.0), (2, 20.0), (4, 39.0)], 4), None);
        assert_eq!(memory_wall(&[(1, 10.0), (2, 19.0), (4, 19.0)], 2), None, "oversubscribed");
        assert_eq!(memory_wall(&[], 4), None);
    }
}
