//! Progress over the suite, one line a finished case.

use std::time::Duration;

use jiff::Timestamp;

use crate::{results::Run, run::RunFile};

/// Counts finished cases of a run.
#[derive(Debug)]
pub struct Progress {
    total: usize,
    /// Finished before this process began, by earlier processes of the run.
    before: usize,
    finished: usize,
    began: Timestamp,
}

impl Progress {
    /// Progress towards `total` cases of the whole run.
    pub fn new(total: usize, run: &RunFile) -> Progress {
        // A round measures the cases of earlier rounds again.
        let is_round = std::env::var_os("WORTHIT_ROUND").is_some();
        let found = run.load().ok().filter(|_| !is_round);
        let before = found.map_or(0, |run| finished_cases(&run));
        Progress { total, before, finished: 0, began: Timestamp::now() }
    }

    /// Tells on standard error that a case is finished.
    pub fn finished(&mut self, run: &Run, name: &str, what: &str) {
        self.finished += 1;
        let done = self.before + self.finished;
        // The pace of the run, or of this round.
        let began = if self.before > 0 { run.started } else { self.began };
        let elapsed = Timestamp::now().duration_since(began).unsigned_abs();
        let left = time_left(elapsed, done, self.total)
            .map_or(String::new(), |left| format!(", {} left", in_words(left)));
        eprintln!("worthit [{done}/{}{left}] {name}: {what}", self.total.max(done));
    }
}

/// Measured and unavailable cases of a run.
fn finished_cases(run: &Run) -> usize {
    let sweeps = run.pairs.values().flat_map(|pair| &pair.sweeps);
    let computed = |case: &&crate::results::CaseResult| case.measured().is_some();
    sweeps.map(|sweep| sweep.cases.iter().filter(computed).count()).sum()
}

/// The time left if the rest goes as what is done.
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
    fn the_time_left_is_what_the_rest_takes_at_this_pace() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 10, 30), Some(2 * minute));
        assert_eq!(time_left(minute, 30, 30), None);
        assert_eq!(time_left(minute, 31, 30), None);
        assert_eq!(in_words(Duration::from_secs(59)), "59 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 5 s");
    }
}
