//! Measures the gain of a case: interleaves batches of both sides inside criterion's own calls.
//!
//! Two long measurements, one after the other, do not meet the same machine state; batches a few
//! milliseconds apart nearly do. When criterion asks for n iterations of one side, they run in pieces
//! of about [`PIECE`]. Each is paired with a piece of the other side of about the same wall time, in
//! the order A B B A. Criterion gets the time of its own side only.

use std::time::Duration;

use crate::statistics::PairedTimes;
use worthit_pair::trial::Role;

/// Target duration of a piece; longer if one iteration of the slower side takes longer.
pub const PIECE: Duration = Duration::from_millis(2);

/// A timed batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Time spent in the side; for a load, its 99th percentile latency.
    pub elapsed: Duration,
    /// Wall time of the batch, including work that is off the clock.
    pub wall: Duration,
    /// Whether other processes held the CPU during the batch.
    pub disturbed: bool,
}

/// Runs a number of iterations of one side.
pub trait Timer {
    /// Runs `iterations` of `role` and times them.
    fn batch(&mut self, role: Role, iterations: u64) -> Batch;
}

impl<F: FnMut(Role, u64) -> Batch> Timer for F {
    fn batch(&mut self, role: Role, iterations: u64) -> Batch {
        self(role, iterations)
    }
}

/// Speed of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Wall time of one iteration in the last batch, ns; 0 before the first.
    iteration_ns: f64,
}

/// Accumulated batches of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    elapsed: Duration,
    wall: Duration,
    iterations: u64,
}

impl Piece {
    fn per_iteration_ns(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.iterations as f64
    }
}

/// Interleaves two sides and collects their paired times.
#[derive(Debug)]
pub struct Interleaver {
    /// The sides, in the order of [`PairedTimes`].
    sides: [Role; 2],
    pace: [Pace; 2],
    open: Option<Open>,
    other_first: bool,
    pairs_up: bool,
    repeat_time_left: Duration,
    disturbed: u32,
    batches: u32,
    pairs: Vec<PairedTimes>,
}

/// A pair of pieces that is still filling up; `asked` is the side that criterion asks for.
#[derive(Debug)]
struct Open {
    asked: usize,
    piece: Piece,
    other: Option<Piece>,
}

impl Interleaver {
    /// Interleaves `first` and `second`; repeats disturbed batches for up to `repeat_time` in total.
    pub fn new(first: Role, second: Role, repeat_time: Duration) -> Interleaver {
        Interleaver {
            sides: [first, second],
            pace: [Pace::default(); 2],
            open: None,
            other_first: false,
            pairs_up: true,
            repeat_time_left: repeat_time,
            disturbed: 0,
            batches: 0,
            pairs: Vec::new(),
        }
    }

    /// The paired times so far.
    pub fn pairs(&self) -> &[PairedTimes] {
        &self.pairs
    }

    /// Share of the kept batches during which other processes held the CPU, 0 to 1.
    pub fn disturbed_share(&self) -> f64 {
        f64::from(self.disturbed) / f64::from(self.batches.max(1))
    }

    /// Discards the paired times of a warm-up, but keeps the pace of the sides.
    pub fn forget(&mut self) {
        self.open = None;
        self.pairs.clear();
        (self.disturbed, self.batches) = (0, 0);
    }

    /// Switches interleaving on or off. The caller switches it off once the gain is precise enough.
    pub fn pair_up(&mut self, pairs_up: bool) {
        self.pairs_up = pairs_up;
        self.open = None;
    }

    /// Runs `iterations` of `role`, interleaved with the other side, and returns the time of `role`
    /// only.
    ///
    /// # Panics
    /// If `role` is neither side.
    pub fn run(&mut self, role: Role, iterations: u64, timer: &mut dyn Timer) -> Duration {
        let asked = self.sides.iter().position(|side| *side == role).expect("one of the two sides");
        if !self.pairs_up {
            return self.batch(asked, iterations, timer).elapsed;
        }
        if self.open.as_ref().is_some_and(|open| open.asked != asked) {
            self.open = None;
        }
        if self.pace[1 - asked].iteration_ns == 0.0 {
            self.batch(1 - asked, 1, timer);
        }
        let mut total = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let target = self.target();
            let mut open = match self.open.take() {
                Some(open) => open,
                None => {
                    let other = self.other_first.then(|| self.piece(1 - asked, target, timer));
                    Open { asked, piece: Piece::default(), other }
                }
            };
            let count = left.min(self.iterations_in(asked, target.saturating_sub(open.piece.wall)));
            let batch = self.batch(asked, count, timer);
            total += batch.elapsed;
            left -= count;
            open.piece.elapsed += batch.elapsed;
            open.piece.wall += batch.wall;
            open.piece.iterations += count;
            // Another iteration must not lead further away from the target.
            let half = Duration::from_nanos((self.pace[asked].iteration_ns / 2.0) as u64);
            if open.piece.wall + half < target {
                self.open = Some(open);
                continue;
            }
            let other = match open.other {
                Some(other) => other,
                None => self.piece(1 - asked, open.piece.wall, timer),
            };
            self.other_first = !self.other_first;
            let (own, other) = (open.piece.per_iteration_ns(), other.per_iteration_ns());
            let (naive, optimized) = if asked == 0 { (own, other) } else { (other, own) };
            // A side too fast for the clock gives no ratio.
            if naive > 0.0 && optimized > 0.0 {
                self.pairs.push(PairedTimes { naive, optimized });
            }
        }
        total
    }

    /// Runs pairs of pieces until there are `count`: criterion asks for too few iterations if they are
    /// long.
    pub fn top_up(&mut self, count: usize, timer: &mut dyn Timer) {
        self.pair_up(true);
        while self.pairs.len() < count {
            let before = self.pairs.len();
            let iterations = self.iterations_in(0, self.target());
            self.run(self.sides[0], iterations, timer);
            // A side too fast for the clock never makes a pair: give up.
            if self.pairs.len() == before && self.open.is_none() {
                return;
            }
        }
    }

    /// Target duration of a piece: at least one iteration of the slower side, so that both sides get
    /// about half of the time.
    fn target(&self) -> Duration {
        let slower = self.pace[0].iteration_ns.max(self.pace[1].iteration_ns);
        PIECE.max(Duration::from_nanos(slower as u64))
    }

    /// Number of iterations of `side` that take about `time`, at least 1.
    fn iterations_in(&self, side: usize, time: Duration) -> u64 {
        let iteration_ns = self.pace[side].iteration_ns;
        if iteration_ns == 0.0 {
            return 1;
        }
        ((time.as_nanos() as f64 / iteration_ns).round() as u64).max(1)
    }

    fn piece(&mut self, side: usize, time: Duration, timer: &mut dyn Timer) -> Piece {
        let iterations = self.iterations_in(side, time);
        let Batch { elapsed, wall, .. } = self.batch(side, iterations, timer);
        Piece { elapsed, wall, iterations }
    }

    fn batch(&mut self, side: usize, iterations: u64, timer: &mut dyn Timer) -> Batch {
        let mut batch = timer.batch(self.sides[side], iterations);
        while batch.disturbed && !self.repeat_time_left.is_zero() {
            self.repeat_time_left = self.repeat_time_left.saturating_sub(batch.wall);
            batch = timer.batch(self.sides[side], iterations);
        }
        self.batches += 1;
        self.disturbed += u32::from(batch.disturbed);
        let iteration_ns = batch.wall.as_nanos() as f64 / iterations as f64;
        self.pace[side].iteration_ns = iteration_ns.max(0.01);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::gain_in_one_process;

    /// A machine on which an iteration takes `naive_us` on the naive side and 100 µs on the optimized
    /// side; everything slows down by a millionth per microsecond.
    struct FakeMachine {
        naive_us: f64,
        now_us: f64,
        log: Vec<Role>,
        spent_us: [f64; 2],
    }

    impl FakeMachine {
        fn new(naive_us: f64) -> FakeMachine {
            FakeMachine { naive_us, now_us: 0.0, log: Vec::new(), spent_us: [0.0; 2] }
        }
    }

    impl Timer for FakeMachine {
        fn batch(&mut self, role: Role, iterations: u64) -> Batch {
            let iteration = if role == Role::Naive { self.naive_us } else { 100.0 };
            let elapsed = iteration * iterations as f64 * (1.0 + self.now_us * 1e-6);
            self.now_us += elapsed;
            self.log.push(role);
            self.spent_us[usize::from(role != Role::Naive)] += elapsed;
            let elapsed = Duration::from_nanos((elapsed * 1e3) as u64);
            Batch { elapsed, wall: elapsed, disturbed: false }
        }
    }

    #[test]
    fn sides_alternate_in_the_order_a_b_b_a() {
        let mut machine = FakeMachine::new(100.0);
        let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
        interleaver.run(Role::Naive, 1, &mut machine);
        interleaver.forget();
        machine.log.clear();
        interleaver.run(Role::Naive, 80, &mut machine);
        use Role::{Naive as A, Optimized as B};
        assert!(machine.log.starts_with(&[A, B, B, A, A, B, B, A]), "{:?}", machine.log);
    }

    #[test]
    fn only_the_time_of_the_asked_side_is_returned() {
        for role in [Role::Naive, Role::Optimized] {
            let mut machine = FakeMachine::new(300.0);
            let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
            let mut total = Duration::ZERO;
            for n in [1, 2, 4, 8, 16] {
                total += interleaver.run(role, n, &mut machine);
            }
            let iterations =
                total.as_micros() as f64 / if role == Role::Naive { 300.0 } else { 100.0 };
            assert!((31.0..32.0).contains(&iterations), "{iterations}");
        }
    }

    #[test]
    fn both_sides_get_about_the_same_time_however_unequal_they_are() {
        for naive_us in [1.0, 100.0, 20_000.0] {
            for role in [Role::Naive, Role::Optimized] {
                let mut machine = FakeMachine::new(naive_us);
                let mut interleaver =
                    Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
                while machine.now_us < 500_000.0 {
                    interleaver.run(role, 7, &mut machine);
                }
                let [naive, optimized] = machine.spent_us;
                let share = naive / (naive + optimized);
                assert!((0.4..0.6).contains(&share), "{naive_us} µs, {role:?}: {share}");
                let gain = gain_in_one_process(interleaver.pairs()).unwrap();
                assert!((gain.estimate / (naive_us / 100.0) - 1.0).abs() < 0.01, "{gain:?}");
            }
        }
    }

    #[test]
    fn disturbed_batches_are_repeated_then_kept_and_reported() {
        let mut calls = 0;
        let mut timer = |_: Role, n: u64| {
            calls += 1;
            let disturbed = calls == 2 || calls > 40;
            let wall = Duration::from_millis(3) * n as u32;
            Batch { elapsed: wall, wall, disturbed }
        };
        let repeat_time = Duration::from_millis(15);
        let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, repeat_time);
        interleaver.run(Role::Naive, 10, &mut timer);
        assert_eq!(interleaver.disturbed_share(), 0.0);
        interleaver.run(Role::Naive, 100, &mut timer);
        assert_eq!(interleaver.repeat_time_left, Duration::ZERO);
        assert!(interleaver.disturbed_share() > 0.5);
    }

    #[test]
    fn once_the_gain_is_known_the_asked_side_runs_alone() {
        let mut machine = FakeMachine::new(100.0);
        let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
        interleaver.pair_up(false);
        interleaver.run(Role::Optimized, 100, &mut machine);
        assert_eq!(machine.log, [Role::Optimized]);
    }

    #[test]
    fn long_iterations_are_topped_up_to_enough_pairs() {
        for naive_us in [1.0, 50_000.0] {
            let mut machine = FakeMachine::new(naive_us);
            let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
            interleaver.run(Role::Naive, 2, &mut machine);
            interleaver.top_up(8, &mut machine);
            assert_eq!(interleaver.pairs().len(), 8);
        }
    }

    #[test]
    fn the_pace_follows_the_wall_clock_whatever_the_metric() {
        // Windows of 60 ms with a 99th percentile of 15 µs.
        let mut windows = 0;
        let mut timer = |_: Role, n: u64| {
            windows += n;
            let (elapsed, wall) = (Duration::from_micros(15 * n), Duration::from_millis(60 * n));
            Batch { elapsed, wall, disturbed: false }
        };
        let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
        assert_eq!(interleaver.run(Role::Naive, 4, &mut timer), Duration::from_micros(60));
        assert_eq!(interleaver.pairs().len(), 4);
        assert_eq!(windows, 9, "four pairs after a first look at the other side");
    }

    #[test]
    fn a_side_that_takes_no_time_makes_no_pair() {
        let mut timer = |role: Role, n: u64| Batch {
            elapsed: if role == Role::Naive {
                Duration::from_millis(2 * n)
            } else {
                Duration::ZERO
            },
            wall: Duration::from_millis(2 * n),
            disturbed: false,
        };
        let mut interleaver = Interleaver::new(Role::Naive, Role::Optimized, Duration::ZERO);
        interleaver.run(Role::Naive, 10, &mut timer);
        interleaver.top_up(8, &mut timer);
        assert_eq!(interleaver.pairs(), []);
    }
}
