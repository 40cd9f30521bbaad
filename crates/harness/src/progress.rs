//! Progress of a run: prints one line per finished case.

use std::time::{Duration, Instant};

use crate::{
    printing,
    results::{CaseResult, Outcome, Run},
    run::{self, RunFile},
    terminal,
};

/// Counts the finished cases of a run.
#[derive(Debug)]
pub struct Progress {
    total: usize,
    /// Number of cases that earlier processes of the run have finished.
    before: usize,
    finished: usize,
    began: Instant,
    is_quiet: bool,
}

impl Progress {
    /// Starts counting towards the `total` cases of the whole run.
    pub fn new(total: usize, run: &RunFile, is_quiet: bool) -> Progress {
        // A round measures all cases again, including those that earlier rounds have finished.
        let is_round = std::env::var_os("WORTHIT_ROUND").is_some();
        let before = if is_round { 0 } else { finished_cases(run.run()) };
        // Start of the run, or of this round.
        let age = run::age().filter(|_| before > 0).unwrap_or_default();
        let began = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        Progress { total, before, finished: 0, began, is_quiet }
    }

    /// Reports on standard error that a case is finished.
    pub fn finished(&mut self, name: &str, what: &str) {
        self.finished += 1;
        if self.is_quiet {
            return;
        }
        let done = self.before + self.finished;
        let left = time_left(self.began.elapsed(), done, self.total)
            .map_or(String::new(), |left| format!(", {} left", in_words(left)));
        let line = format!("[{done}/{}{left}] {name}: {what}", self.total.max(done));
        let line = terminal::wrapped(&line, terminal::width(), 4);
        printing::print_aside(&format!("{line}\n"));
    }
}

/// Number of cases and studies of a run for which a line was printed.
fn finished_cases(run: &Run) -> usize {
    let sweeps = run.pairs.values().flat_map(|pair| &pair.sweeps);
    sweeps.flat_map(|sweep| &sweep.cases).filter(|case| has_line(case)).count() + run.studies.len()
}

/// Computed cases without a measurement are not waited for.
fn has_line(case: &CaseResult) -> bool {
    !matches!(&case.outcome, Outcome::Computed(computed) if computed.confirmation.is_none())
}

/// Time left, estimated from the rate so far.
fn time_left(elapsed: Duration, done: usize, total: usize) -> Option<Duration> {
    let left = total.checked_sub(done).filter(|left| *left > 0)?;
    Some(elapsed.mul_f64(left as f64 / done.max(1) as f64))
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_estimated_from_the_rate_so_far() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 10, 30), Some(2 * minute));
        assert_eq!(time_left(minute, 30, 30), None);
        assert_eq!(time_left(minute, 31, 30), None);
        assert_eq!(in_words(Duration::from_secs(59)), "59 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 5 s");
    }
}
