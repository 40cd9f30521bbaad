//! Runners: one side with its inputs, its types erased per batch.

use std::time::Duration;

use crate::{
    answer::ErasedAnswer,
    causes::{self, Cause, Counts},
    unavailable::Unavailable,
};

/// One side, prepared at a case. The functions named after the shapes make runners.
pub trait Runner {
    /// Runs `iterations` iterations, each on the next input of the rotation, and returns the time spent in the side
    /// itself. ([`open_loop`](super::open_loop()) returns the sum over iterations of the 99th percentile of latency.)
    fn measure(&mut self, iterations: u64) -> Duration;

    /// Returns how many inputs the side rotates through.
    fn inputs(&self) -> usize;

    /// Makes the side, off the clock, if [`on_first_use`](super::on_first_use) has deferred that until now.
    ///
    /// # Errors
    /// If the side cannot be made on this machine.
    fn make_ready(&mut self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Runs `iterations` untimed iterations, so that caches hold the data that the next ones touch.
    fn warm_up(&mut self, iterations: u64) {
        self.measure(iterations);
    }

    /// Runs one iteration on the input at this place in the rotation and returns its answer. `window` is open exactly
    /// while the side runs.
    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer>;

    /// Adds the causes that only the pair can count, of one iteration on this input; see [`Runner::counting`].
    fn count(&mut self, _input: usize, _counts: &mut Counts) {}

    /// Returns the same side with a cause that only the pair can count. `count` runs this side once more, on the input
    /// at the given place in the rotation, in a way that counts: with counting types, with a closure that counts.
    fn counting(
        self,
        cause: Cause,
        count: impl FnMut(usize) -> u64 + 'static,
    ) -> impl Runner + 'static
    where
        Self: Sized + 'static,
    {
        Counting { side: self, cause, count }
    }

    /// Returns and clears what was observed while measuring since the last call, by name: the share of requests that were
    /// sent late. A name ends in its unit, `_us` or `_percent`, if it has one.
    /// It depends on scheduling, so it is shown and never judged. Most shapes observe nothing.
    fn observations(&mut self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Returns how many threads the side keeps busy.
    fn threads(&self) -> usize {
        1
    }

    /// Pins each of the side's threads to a core of its own from now on, as far as there are enough cores and the
    /// shape knows the threads.
    fn spread(&mut self) {}
}

struct Counting<R, F> {
    side: R,
    cause: Cause,
    count: F,
}

impl<R: Runner, F: FnMut(usize) -> u64> Runner for Counting<R, F> {
    fn measure(&mut self, iterations: u64) -> Duration {
        self.side.measure(iterations)
    }
    fn inputs(&self) -> usize {
        self.side.inputs()
    }
    fn make_ready(&mut self) -> Result<(), Unavailable> {
        self.side.make_ready()
    }
    fn warm_up(&mut self, iterations: u64) {
        self.side.warm_up(iterations);
    }
    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        self.side.answer(input, window)
    }
    fn count(&mut self, input: usize, counts: &mut Counts) {
        self.side.count(input, counts);
        counts.set(self.cause, (self.count)(input));
    }
    fn observations(&mut self) -> Vec<(&'static str, f64)> {
        self.side.observations()
    }
    fn threads(&self) -> usize {
        self.side.threads()
    }
    fn spread(&mut self) {
        self.side.spread();
    }
}

/// Callbacks around the side in [`Runner::answer`], so that nothing is counted that the harness does.
pub struct Window {
    open: fn(),
    injected: fn(),
    close: fn(),
}

impl Window {
    /// A window that observes nothing.
    pub const UNOBSERVED: Window = Window::new(|| {}, || {});
    /// A window in which [`causes`] are counted.
    pub const COUNTED: Window = Window::new(causes::open_window, causes::close_window);

    /// Returns a window that calls `open` before the side and `close` after it.
    pub const fn new(open: fn(), close: fn()) -> Window {
        Window { open, injected: || {}, close }
    }

    /// Returns the same window, which also calls `injected` after the side and before `close`.
    pub const fn with(self, injected: fn()) -> Window {
        Window { injected, ..self }
    }

    /// Runs `side` inside the window.
    pub fn around<A>(&self, side: impl FnOnce() -> A) -> A {
        self.open();
        let answer = std::hint::black_box(side());
        self.close();
        answer
    }

    pub(super) fn open(&self) {
        (self.open)();
    }

    pub(super) fn close(&self) {
        (self.injected)();
        (self.close)();
    }
}
