//! Shapes of sides that run on several threads: inside a rayon pool, or N threads that contend for one state.

use std::{
    hint::black_box,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use rayon::ThreadPool;

use super::{Runner, Window, shapes::in_chunks};
use crate::{
    answer::{Answer, ErasedAnswer},
    cores,
    inputs::{Inputs, Rotation},
};

/// A side that runs inside a rayon pool: `side(&input)` on a worker of `pool`. A batch enters the pool once, off the
/// clock. Answers are dropped off the clock.
pub fn pooled<I, A, F>(
    pool: &Arc<ThreadPool>,
    inputs: &Inputs<I>,
    side: F,
) -> impl Runner + use<I, A, F>
where
    I: Send + Sync + 'static,
    A: Answer + Send,
    F: Fn(&I) -> A + Sync + Send + 'static,
{
    Pooled { pool: Arc::clone(pool), inputs: Rotation::new(inputs), side, chunk: 1 }
}

struct Pooled<I, F> {
    pool: Arc<ThreadPool>,
    inputs: Rotation<I>,
    side: F,
    chunk: usize,
}

impl<I, A, F> Runner for Pooled<I, F>
where
    I: Send + Sync + 'static,
    A: Answer + Send,
    F: Fn(&I) -> A + Sync + Send,
{
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let (inputs, side, chunk) = (&mut self.inputs, &self.side, &mut self.chunk);
        self.pool.install(|| {
            in_chunks(iterations, chunk, |count| {
                let mut answers = Vec::with_capacity(count);
                let start = Instant::now();
                for _ in 0..count {
                    answers.push(black_box(side(black_box(inputs.turn()))));
                }
                let elapsed = start.elapsed();
                drop(answers);
                elapsed
            })
        })
    }

    fn inputs(&self) -> usize {
        self.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let (input, side) = (&self.inputs.inputs()[input], &self.side);
        Box::new(self.pool.install(|| window.around(|| side(black_box(input)))))
    }

    fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn spread(&mut self) {
        let cores = cores::at_first();
        // Without permission to pin, the scheduler keeps choosing the core.
        self.pool.broadcast(|worker| cores::keep_on_one_of(cores, worker.index()).ok());
    }
}

/// A side that `threads` threads run at once on one shared state. In each iteration, each thread calls
/// `work(&state, &input, thread)` once and does its share of the work. The work of an iteration does not depend on the
/// number of threads (strong scaling).
///
/// `fresh()` makes a new state for each batch, and `summary(&state)` reads the answer from it. Both are off the
/// clock, and so are spawning and the barrier: each thread reads its own clock after the barrier, and a batch lasts
/// from the first start to the last end.
pub fn contended<S: Sync + 'static, I: Send + Sync + 'static, A: Answer>(
    threads: usize,
    inputs: &Inputs<I>,
    fresh: impl Fn() -> S + 'static,
    work: impl Fn(&S, &I, usize) + Sync + 'static,
    summary: impl Fn(&S) -> A + 'static,
) -> impl Runner + 'static {
    Contended { threads, inputs: inputs.clone(), next: 0, fresh, work, summary, cores: None }
}

struct Contended<I, N, W, R> {
    threads: usize,
    inputs: Inputs<I>,
    /// Place in the rotation where the next batch begins.
    next: usize,
    /// The cores over which the threads are spread, if they are.
    cores: Option<&'static [usize]>,
    fresh: N,
    work: W,
    summary: R,
}

impl<S, I, A, N, W, R> Runner for Contended<I, N, W, R>
where
    S: Sync,
    I: Send + Sync + 'static,
    A: Answer,
    N: Fn() -> S,
    W: Fn(&S, &I, usize) + Sync,
    R: Fn(&S) -> A,
{
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let state = (self.fresh)();
        let barrier = Barrier::new(self.threads);
        let (state, work, barrier, cores) = (&state, &self.work, &barrier, self.cores);
        let (inputs, first) = (&self.inputs, self.next);
        self.next = (first + iterations as usize) % inputs.len();
        let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    scope.spawn(move || {
                        // Without permission to pin, the scheduler chooses the core.
                        cores.map(|cores| cores::keep_on_one_of(cores, thread).ok());
                        barrier.wait();
                        let turns = inputs.iter().cycle().skip(first).take(iterations as usize);
                        let start = Instant::now();
                        for input in turns {
                            work(black_box(state), black_box(input), thread);
                        }
                        (start, Instant::now())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a side panicked")).collect()
        });
        let first = spans.iter().map(|(start, _)| *start).min();
        let last = spans.iter().map(|(_, end)| *end).max();
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Does nothing: each batch has its own state, which another batch cannot warm up.
    fn warm_up(&mut self, _: u64) {}

    fn inputs(&self) -> usize {
        self.inputs.len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let state = (self.fresh)();
        let input = &self.inputs[input];
        let barrier = Barrier::new(self.threads);
        let (shared, work, barrier) = (&state, &self.work, &barrier);
        thread::scope(|scope| {
            for thread in 0..self.threads {
                scope.spawn(move || {
                    // Two barriers before and after the work: no thread works while the window opens or closes.
                    if barrier.wait().is_leader() {
                        window.open();
                    }
                    barrier.wait();
                    let work = || work(black_box(shared), black_box(input), thread);
                    // The others wait at the barrier, so a thread that panics goes there too.
                    let end = panic::catch_unwind(AssertUnwindSafe(work));
                    if barrier.wait().is_leader() {
                        window.close();
                    }
                    barrier.wait();
                    end.unwrap_or_else(|reason| panic::resume_unwind(reason));
                });
            }
        });
        Box::new((self.summary)(&state))
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn spread(&mut self) {
        self.cores = Some(cores::at_first());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[test]
    fn a_thread_that_panics_does_not_leave_the_others_waiting() {
        let work = |(): &(), (): &(), thread: usize| assert_ne!(thread, 1, "thread 1 cannot");
        let mut runner = contended(3, &Inputs::rotating([()]), || (), work, |()| 0_u64);
        let answer = || runner.answer(0, &Window::UNOBSERVED);
        assert!(panic::catch_unwind(AssertUnwindSafe(answer)).is_err());
    }

    #[test]
    fn every_thread_does_its_share_of_every_iteration() {
        let batches = Arc::new(AtomicU64::new(0));
        let made = Arc::clone(&batches);
        let total = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&total);
        let mut runner = contended(
            3,
            &Inputs::rotating([1_u64, 2]),
            move || {
                made.fetch_add(1, Ordering::Relaxed);
                AtomicU64::new(0)
            },
            move |state, input, thread| {
                sum.fetch_add(*input, Ordering::Relaxed);
                state.fetch_add(1 << (8 * thread), Ordering::Relaxed);
            },
            |state| state.load(Ordering::Relaxed),
        );
        runner.measure(10);
        assert_eq!((batches.load(Ordering::Relaxed), total.load(Ordering::Relaxed)), (1, 45));
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&0x01_0101_u64));
        assert_eq!(runner.threads(), 3);
    }

    #[test]
    fn a_pooled_side_runs_on_a_worker_of_its_pool() {
        let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
        let mut runner = pooled(&pool, &Inputs::one(5_u64), |x| {
            (*x, rayon::current_num_threads(), rayon::current_thread_index().is_some())
        });
        runner.measure(3);
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&(5_u64, 2_usize, true)));
    }

    #[test]
    fn spread_threads_have_a_core_each() {
        let all = cores::allowed();
        let expected: Vec<usize> = (0..2).map(|thread| all[thread % all.len()]).collect();
        let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
        let mut runner = pooled(&pool, &Inputs::one(()), |()| ());
        runner.spread();
        assert_eq!(pool.broadcast(|_| cores::allowed()).concat(), expected);

        let seen = Arc::new(Mutex::new(vec![Vec::new(); 2]));
        let kept = Arc::clone(&seen);
        let work =
            move |(): &(), (): &(), thread: usize| kept.lock().unwrap()[thread] = cores::allowed();
        let mut runner = contended(2, &Inputs::one(()), || (), work, |()| ());
        runner.measure(1);
        assert_eq!(*seen.lock().unwrap(), [all.clone(), all]);
        runner.spread();
        runner.measure(1);
        assert_eq!(seen.lock().unwrap().concat(), expected);
    }
}
