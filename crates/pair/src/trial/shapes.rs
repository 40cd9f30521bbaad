//! Shapes of sides that run on one thread: by reference, under a contract, by value, resetting, asynchronous.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use super::{Runner, Window};
use crate::{
    answer::{Answer, ErasedAnswer},
    causes::Counts,
    cores,
    inputs::{Inputs, Rotation},
    unavailable::Unavailable,
};

/// Largest chunk, in iterations. The answers (or inputs) of a chunk are dropped together, off the clock. A chunk
/// grows to this size…
const MAX_CHUNK: usize = 64;
/// …or until it lasts this long, so that two clock reads are at most half a percent of its time.
const LONG_ENOUGH: Duration = Duration::from_micros(10);

/// A side that reads its input: `side(&input)`.
///
/// The input is hidden from the optimizer before each call. An answer that owns something is dropped off the
/// clock, on all sides alike.
pub fn by_ref<I: 'static, A: Answer, F: Fn(&I) -> A + 'static>(
    inputs: &Inputs<I>,
    side: F,
) -> impl Runner + use<I, A, F> {
    ByRef { inputs: Rotation::new(inputs), side, chunk: 1 }
}

struct ByRef<I, F> {
    inputs: Rotation<I>,
    side: F,
    chunk: usize,
}

impl<I: 'static, A: Answer, F: Fn(&I) -> A> Runner for ByRef<I, F> {
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let (inputs, side) = (&mut self.inputs, &self.side);
        if !std::mem::needs_drop::<A>() {
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(side(black_box(inputs.turn())));
            }
            return start.elapsed();
        }
        in_chunks(iterations, &mut self.chunk, |count| {
            let mut answers = Vec::with_capacity(count);
            let start = Instant::now();
            for _ in 0..count {
                answers.push(black_box(side(black_box(inputs.turn()))));
            }
            let elapsed = start.elapsed();
            drop(answers);
            elapsed
        })
    }

    fn inputs(&self) -> usize {
        self.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let input = &self.inputs.inputs()[input];
        Box::new(window.around(|| (self.side)(black_box(input))))
    }
}

/// Like [`by_ref`], for a side whose plain answer has no contract: `contract(&input, answer)` makes the answer to
/// compare (a sum with its error bound), off the clock and uncounted.
pub fn under_contract<I: 'static, A: Answer, B: Answer>(
    inputs: &Inputs<I>,
    side: impl Fn(&I) -> A + 'static,
    contract: impl Fn(&I, A) -> B + 'static,
) -> impl Runner + 'static {
    let inner = ByRef { inputs: Rotation::new(inputs), side, chunk: 1 };
    UnderContract { inner, contract }
}

struct UnderContract<I, F, G> {
    inner: ByRef<I, F>,
    contract: G,
}

impl<I, A, B, F, G> Runner for UnderContract<I, F, G>
where
    I: 'static,
    A: Answer,
    B: Answer,
    F: Fn(&I) -> A,
    G: Fn(&I, A) -> B,
{
    fn measure(&mut self, iterations: u64) -> Duration {
        self.inner.measure(iterations)
    }

    fn inputs(&self) -> usize {
        self.inner.inputs()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let ByRef { inputs, side, .. } = &self.inner;
        let input = &inputs.inputs()[input];
        let answer = window.around(|| side(black_box(input)));
        Box::new((self.contract)(input, answer))
    }
}

/// A side that consumes its input: `side(input)`. The input is copied and the answer dropped off the clock.
pub fn by_value<I: Clone + 'static, A: Answer, F: Fn(I) -> A + 'static>(
    inputs: &Inputs<I>,
    side: F,
) -> impl Runner + use<I, A, F> {
    ByValue { inputs: Rotation::new(inputs), side, chunk: 1 }
}

struct ByValue<I, F> {
    inputs: Rotation<I>,
    side: F,
    chunk: usize,
}

impl<I: Clone + 'static, A: Answer, F: Fn(I) -> A> Runner for ByValue<I, F> {
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let (rotation, side) = (&mut self.inputs, &self.side);
        in_chunks(iterations, &mut self.chunk, |count| {
            let inputs: Vec<I> = (0..count).map(|_| rotation.turn().clone()).collect();
            let mut answers = Vec::with_capacity(count);
            let start = Instant::now();
            for input in inputs {
                answers.push(black_box(side(black_box(input))));
            }
            let elapsed = start.elapsed();
            drop(answers);
            elapsed
        })
    }

    fn inputs(&self) -> usize {
        self.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let input = self.inputs.inputs()[input].clone();
        Box::new(window.around(|| (self.side)(black_box(input))))
    }
}

/// Runs `iterations` in chunks, each timed by `run`. Doubles the chunk while it is short compared with a clock read.
pub(super) fn in_chunks(
    iterations: u64,
    chunk: &mut usize,
    mut run: impl FnMut(usize) -> Duration,
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let count = left.min(*chunk as u64) as usize;
        let elapsed = run(count);
        total += elapsed;
        left -= count as u64;
        if count == *chunk && elapsed < LONG_ENOUGH && *chunk < MAX_CHUNK {
            *chunk *= 2;
        }
    }
    total
}

/// A side that changes a state (a database, a file, a connection): `reset(&mut state)`, off the clock, then
/// `side(&mut state, &input)`. Each iteration is timed separately, so it should last a microsecond or more.
pub fn resetting<S, I, A, R, F>(
    inputs: &Inputs<I>,
    state: S,
    reset: R,
    side: F,
) -> impl Runner + use<S, I, A, R, F>
where
    S: 'static,
    I: 'static,
    A: Answer,
    R: FnMut(&mut S) + 'static,
    F: Fn(&mut S, &I) -> A + 'static,
{
    Resetting { inputs: Rotation::new(inputs), state, reset, side }
}

struct Resetting<I, S, R, F> {
    inputs: Rotation<I>,
    state: S,
    reset: R,
    side: F,
}

impl<I, S, A, R, F> Resetting<I, S, R, F>
where
    I: 'static,
    R: FnMut(&mut S),
    F: Fn(&mut S, &I) -> A,
{
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            (self.reset)(&mut self.state);
            let input = self.inputs.turn();
            let start = Instant::now();
            let answer = black_box((self.side)(black_box(&mut self.state), black_box(input)));
            total += start.elapsed();
            drop(answer);
        }
        total
    }

    fn once(&mut self, input: usize, window: &Window) -> A {
        (self.reset)(&mut self.state);
        let input = &self.inputs.inputs()[input];
        window.around(|| (self.side)(black_box(&mut self.state), black_box(input)))
    }
}

impl<I, S, A, R, F> Runner for Resetting<I, S, R, F>
where
    I: 'static,
    A: Answer,
    R: FnMut(&mut S),
    F: Fn(&mut S, &I) -> A,
{
    fn measure(&mut self, iterations: u64) -> Duration {
        Resetting::measure(self, iterations)
    }

    fn inputs(&self) -> usize {
        self.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        Box::new(self.once(input, window))
    }
}

/// Like [`resetting`], for a side whose answer is the state that it leaves: `summary(&mut state)` reads the answer
/// from the state, off the clock and uncounted.
pub fn changing<S: 'static, I: 'static, A: Answer>(
    inputs: &Inputs<I>,
    state: S,
    reset: impl FnMut(&mut S) + 'static,
    side: impl Fn(&mut S, &I) + 'static,
    summary: impl Fn(&mut S) -> A + 'static,
) -> impl Runner + 'static {
    Changing { inner: Resetting { inputs: Rotation::new(inputs), state, reset, side }, summary }
}

struct Changing<I, S, R, F, G> {
    inner: Resetting<I, S, R, F>,
    summary: G,
}

impl<I, S, A, R, F, G> Runner for Changing<I, S, R, F, G>
where
    I: 'static,
    A: Answer,
    R: FnMut(&mut S),
    F: Fn(&mut S, &I),
    G: Fn(&mut S) -> A,
{
    fn measure(&mut self, iterations: u64) -> Duration {
        self.inner.measure(iterations)
    }

    fn inputs(&self) -> usize {
        self.inner.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        self.inner.once(input, window);
        Box::new((self.summary)(&mut self.inner.state))
    }
}

/// An asynchronous side: `side(&input).await`. A batch enters `runtime` once, off the clock, and runs its iterations
/// one after another. Answers are dropped on the clock: keep them small.
pub fn asynchronous<I: 'static, A: Answer, F: AsyncFn(&I) -> A + 'static>(
    runtime: &Arc<Runtime>,
    inputs: &Inputs<I>,
    side: F,
) -> impl Runner + use<I, A, F> {
    Asynchronous { runtime: Arc::clone(runtime), inputs: Rotation::new(inputs), side }
}

struct Asynchronous<I, F> {
    runtime: Arc<Runtime>,
    inputs: Rotation<I>,
    side: F,
}

impl<I: 'static, A: Answer, F: AsyncFn(&I) -> A> Runner for Asynchronous<I, F> {
    #[inline(never)]
    fn measure(&mut self, iterations: u64) -> Duration {
        let (inputs, side) = (&mut self.inputs, &self.side);
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(side(black_box(inputs.turn())).await);
            }
            start.elapsed()
        })
    }

    fn inputs(&self) -> usize {
        self.inputs.inputs().len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        let (input, side) = (&self.inputs.inputs()[input], &self.side);
        Box::new(self.runtime.block_on(async {
            window.open();
            let answer = black_box(side(black_box(input)).await);
            window.close();
            answer
        }))
    }

    fn threads(&self) -> usize {
        self.runtime.metrics().num_workers() + 1
    }

    /// Pins every thread of this process. The core of a server thread in this process decides what a wake-up costs,
    /// for as long as the process lasts; now and then this is a third of the time.
    fn spread(&mut self) {
        cores::spread_all();
    }
}

/// A side on `threads` threads that is made on first use, off the clock. Use it if the side needs expensive data
/// that no other side needs: a process that runs only another side then does not build that data.
pub fn on_first_use<R: Runner + 'static>(
    threads: usize,
    make: impl FnOnce() -> Result<R, Unavailable> + 'static,
) -> impl Runner + 'static {
    OnFirstUse { threads, make: Some(make), made: None }
}

struct OnFirstUse<M, R> {
    threads: usize,
    make: Option<M>,
    made: Option<R>,
}

impl<R: Runner, M: FnOnce() -> Result<R, Unavailable>> OnFirstUse<M, R> {
    fn made(&mut self) -> &mut R {
        self.make_ready().unwrap_or_else(|Unavailable(reason)| panic!("{reason}"));
        self.made.as_mut().expect("it was just made")
    }
}

impl<R: Runner, M: FnOnce() -> Result<R, Unavailable>> Runner for OnFirstUse<M, R> {
    fn measure(&mut self, iterations: u64) -> Duration {
        self.made().measure(iterations)
    }

    fn make_ready(&mut self) -> Result<(), Unavailable> {
        if let Some(make) = self.make.take() {
            self.made = Some(make()?);
        }
        Ok(())
    }

    fn warm_up(&mut self, iterations: u64) {
        self.made().warm_up(iterations);
    }

    /// 0 until it is made.
    fn inputs(&self) -> usize {
        self.made.as_ref().map_or(0, Runner::inputs)
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        self.made().answer(input, window)
    }

    fn count(&mut self, input: usize, counts: &mut Counts) {
        self.made().count(input, counts);
    }

    fn observations(&mut self) -> Vec<(&'static str, f64)> {
        self.made.as_mut().map(Runner::observations).unwrap_or_default()
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn spread(&mut self) {
        if let Some(made) = &mut self.made {
            made.spread();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;
    use crate::answer::Found;

    /// Counts how often it is dropped.
    #[derive(Clone, Debug)]
    struct Dropped(Rc<Cell<u64>>);
    impl Found for Dropped {
        fn found(&self) -> u64 {
            1
        }
    }
    impl PartialEq for Dropped {
        fn eq(&self, _: &Dropped) -> bool {
            true
        }
    }
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn by_ref_runs_as_often_as_asked_and_drops_every_answer() {
        let drops = Rc::new(Cell::new(0));
        let answer = Dropped(Rc::clone(&drops));
        let mut runner = by_ref(&Inputs::one(()), move |(): &()| answer.clone());
        for iterations in [0, 1, 7, 1_000] {
            drops.set(0);
            runner.measure(iterations);
            assert_eq!(drops.get(), iterations);
        }
    }

    #[test]
    fn iterations_take_the_inputs_in_turn_and_go_on_in_the_next_batch() {
        let seen = Rc::new(std::cell::RefCell::new(Vec::new()));
        let kept = Rc::clone(&seen);
        let mut runner = by_ref(&Inputs::rotating([1_u64, 2, 3]), move |x| {
            kept.borrow_mut().push(*x);
        });
        runner.measure(2);
        runner.measure(3);
        assert_eq!(*seen.borrow(), [1, 2, 3, 1, 2]);
        runner.answer(2, &Window::UNOBSERVED);
        assert_eq!((seen.borrow().last(), runner.inputs()), (Some(&3), 3));
    }

    #[test]
    fn the_answer_under_contract_is_made_off_the_clock() {
        let made = Rc::new(Cell::new(0));
        let counted = Rc::clone(&made);
        let mut runner = under_contract(
            &Inputs::one(3_u64),
            |x: &u64| x + 1,
            move |x, answer| {
                counted.set(counted.get() + 1);
                (*x, answer)
            },
        );
        runner.measure(10);
        assert_eq!(made.get(), 0);
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&(3_u64, 4_u64)));
        assert_eq!(made.get(), 1);
    }

    #[test]
    fn by_value_consumes_a_fresh_copy_each_time() {
        let inputs = Inputs::one(vec![1_u8, 2, 3]);
        let mut runner = by_value(&inputs, |mut items: Vec<u8>| {
            items.push(4);
            assert_eq!(items, [1, 2, 3, 4]);
            items
        });
        runner.measure(300);
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&vec![1_u8, 2, 3, 4]));
        assert_eq!(inputs[0], [1, 2, 3]);
    }

    #[test]
    fn resetting_resets_before_every_iteration() {
        let inputs = Inputs::rotating([1_u8, 2]);
        let mut runner = resetting(&inputs, Vec::new(), Vec::clear, |items: &mut Vec<u8>, item| {
            items.push(*item);
            items.clone()
        });
        runner.measure(11);
        assert!(runner.answer(1, &Window::UNOBSERVED).equals(&vec![2_u8]));
    }

    #[test]
    fn changing_answers_with_the_state_it_leaves() {
        let seen = Rc::new(Cell::new(0));
        let counted = Rc::clone(&seen);
        let mut runner = changing(
            &Inputs::one(1_u8),
            Vec::new(),
            Vec::clear,
            |items: &mut Vec<u8>, item| items.push(*item),
            move |items| {
                counted.set(counted.get() + 1);
                items.clone()
            },
        );
        runner.measure(10);
        assert_eq!(seen.get(), 0, "off the clock");
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&vec![1_u8]));
        assert_eq!(seen.get(), 1);
    }

    #[test]
    fn asynchronous_iterations_run_one_after_another() {
        let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().build().unwrap());
        let calls = Inputs::one(std::sync::atomic::AtomicU64::new(0));
        let mut runner = asynchronous(&runtime, &calls, async |calls| {
            tokio::task::yield_now().await;
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        });
        runner.measure(5);
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&5_u64));
    }

    #[test]
    fn a_deferred_side_is_made_once_and_off_the_clock() {
        const MAKING: Duration = Duration::from_millis(40);
        let made = Rc::new(Cell::new(0));
        let deferred = || {
            let made = Rc::clone(&made);
            on_first_use(3, move || {
                let start = Instant::now();
                while start.elapsed() < MAKING {
                    std::hint::spin_loop();
                }
                made.set(made.get() + 1);
                Ok(by_ref(&Inputs::one(7_u64), |x| *x))
            })
        };
        let mut runner = deferred();
        assert_eq!((runner.threads(), made.get()), (3, 0));
        // Both clocks run on one thread: the second also covers the making, the first does not.
        let start = Instant::now();
        let elapsed = runner.measure(2);
        assert!(elapsed + MAKING <= start.elapsed());
        runner.make_ready().unwrap();
        runner.warm_up(1);
        assert!(runner.answer(0, &Window::UNOBSERVED).equals(&7_u64));
        assert_eq!(made.get(), 1);
        deferred().make_ready().unwrap();
        assert_eq!(made.get(), 2, "`make_ready` makes it without a use");
    }

    #[test]
    fn a_side_that_cannot_be_made_says_why() {
        let refused: Result<(), Unavailable> = Err(Unavailable("no room".to_owned()));
        let unavailable = || refused.map(|()| by_ref(&Inputs::one(()), |()| ()));
        let Err(Unavailable(reason)) = on_first_use(1, unavailable).make_ready() else {
            panic!("it was made")
        };
        assert_eq!(reason, "no room");
    }
}
