//! Merging the cases of several processes: what each found of the same case becomes one result.

use super::{CaseResult, Measured, Outcome, PairResult, SideOfProcess, SideResult, Sweep};
use crate::statistics::{BreakEven, Summary, geometric_mean_interval};

impl PairResult {
    /// Adds a case to the sweep at a level, which is created if needed.
    pub fn add(&mut self, level: &str, case: CaseResult) {
        self.insert(level, case).find_break_even();
    }

    /// Adds a case and returns its sweep, whose break-even is that of before.
    pub(crate) fn insert(&mut self, level: &str, case: CaseResult) -> &mut Sweep {
        if !self.sweeps.iter().any(|sweep| sweep.level == level) {
            let level = level.to_owned();
            self.sweeps.push(Sweep { level, cases: vec![], break_even: BreakEven::default() });
            let place = |sweep: &Sweep| self.levels.iter().position(|label| *label == sweep.level);
            self.sweeps.sort_by_key(place);
        }
        let sweep = self.sweeps.iter_mut().find(|sweep| sweep.level == level);
        let sweep = sweep.expect("it was created above");
        sweep.insert(case);
        sweep
    }
}

impl Sweep {
    fn insert(&mut self, case: CaseResult) {
        match self.cases.binary_search_by_key(&case.point, |case| case.point) {
            Err(place) => self.cases.insert(place, case),
            Ok(place) => match (&mut self.cases[place].outcome, case.outcome) {
                (Outcome::Measured(known), Outcome::Measured(more)) => known.join(*more),
                (known, outcome) => *known = outcome,
            },
        }
    }
}

impl Measured {
    /// Merges the same case of another process: the gain becomes the geometric mean over the processes.
    fn join(&mut self, mut other: Measured) {
        other.processes.splice(0..0, self.processes.drain(..));
        for side in &mut self.sides {
            if let Some(more) = other.sides.iter_mut().find(|more| more.role == side.role) {
                more.loads.splice(0..0, side.loads.drain(..));
                more.join_times(side);
            }
        }
        let estimates: Vec<f64> = other.processes.iter().map(|gain| gain.estimate).collect();
        other.gain = geometric_mean_interval(&estimates).unwrap_or(other.gain);
        other.load = other.load.worse(self.load);
        other.are_threads_placed &= self.are_threads_placed;
        other.marked_processes += self.marked_processes;
        let is_marked = 2 * other.marked_processes >= other.processes.len() as u64;
        other.mark = other.mark.or(self.mark.take()).filter(|_| is_marked);
        *self = other;
    }
}

impl SideResult {
    /// Merges the times of this process with those of the `earlier` ones.
    fn join_times(&mut self, earlier: &SideResult) {
        let alone = |side: &SideResult| SideOfProcess {
            time_ns: side.time_ns,
            against_optimized: side.against_optimized,
        };
        let mut processes = earlier.processes.clone();
        if processes.is_empty() {
            processes.push(alone(earlier));
        }
        processes.push(alone(self));
        let times: Vec<Summary> = processes.iter().map(|process| process.time_ns).collect();
        let ratios: Vec<f64> = processes
            .iter()
            .filter_map(|process| process.against_optimized)
            .map(|ratio| ratio.estimate)
            .collect();
        self.time_ns = Summary::median_of(&times).unwrap_or(self.time_ns);
        self.against_optimized = geometric_mean_interval(&ratios).or(self.against_optimized);
        self.processes = processes;
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        results::tests::{add, case, run, sweep},
        statistics::Interval,
    };

    use super::*;

    #[test]
    fn rounds_are_merged_into_one_gain_over_processes() {
        let found = sweep(vec![case(1, 2.0, false), case(1, 2.2, false), case(1, 2.1, false)]);
        assert_eq!(found.cases.len(), 1);
        let joined = found.cases[0].measured().unwrap();
        assert_eq!(joined.processes.len(), 3);
        // Student's interval over ln 2, ln 2.2 and ln 2.1 is far wider than the ± 1 % of one process.
        assert!(joined.gain.low < 1.9 && joined.gain.high > 2.3, "{:?}", joined.gain);
    }

    #[test]
    fn times_of_several_processes_are_merged_whatever_their_order() {
        let process = |ns: f64, ratio: f64| {
            let Outcome::Measured(mut found) = crate::made::between(1.9, 2.1) else {
                unreachable!()
            };
            found.sides[1].time_ns = Summary::of(&[ns, ns * 2.0, ns * 3.0]).unwrap();
            found.sides[1].against_optimized = Some(Interval::exact(ratio));
            CaseResult { point: 1, outcome: Outcome::Measured(found) }
        };
        for [first, second, third] in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let of = |nth: usize| process([10.0, 30.0, 1_000.0][nth], [0.5, 1.0, 2.0][nth]);
            let found = sweep(vec![of(first), of(second), of(third)]);
            let side = &found.cases[0].measured().unwrap().sides[1];
            let time = side.time_ns;
            assert_eq!((time.min, time.median, time.max, time.count), (30.0, 60.0, 90.0, 9));
            // The geometric mean of a half, one and two.
            let ratio = side.against_optimized.unwrap();
            assert!((ratio.estimate - 1.0).abs() < 1e-9 && ratio.low < 0.5, "{ratio:?}");
        }
    }

    #[test]
    fn a_merged_case_is_marked_if_half_of_its_processes_are() {
        let mark = |marks: &[bool]| {
            let cases = marks.iter().map(|mark| case(1, 2.0, *mark)).collect();
            sweep(cases).cases[0].measured().unwrap().mark.is_some()
        };
        assert!(mark(&[true]) && mark(&[true, false]) && mark(&[false, true]));
        assert!(!mark(&[true, false, false]) && !mark(&[false, false, true]));
    }

    #[test]
    fn sweeps_are_in_the_order_of_their_levels() {
        let levels = ["near", "far"];
        let mut run = run();
        for level in ["far", "near"] {
            add(&mut run, &levels, level, case(1, 2.0, false));
        }
        let order: Vec<&str> = run.pairs["f/p"].sweeps.iter().map(|s| s.level.as_str()).collect();
        assert_eq!(order, ["near", "far"]);
    }
}
