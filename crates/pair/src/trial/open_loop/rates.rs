//! Open-loop loads at any rate, to find out which rate a side can serve.

use std::{future::Future, sync::Arc};

use tokio::runtime::Runtime;

use super::{LoadAtRate, schedule::starts_at_rate, send};

/// Sends open-loop loads to one side.
pub trait Loads {
    /// Sends `requests` requests at random times, `rate` of them a second on average, waits for the answers (ten seconds after
    /// the last was due at most), and returns what it saw. The same seed gives the same intended starts.
    fn send(&mut self, rate: f64, requests: u64, seed: u64) -> LoadAtRate;
}

/// Returns what sends loads to a side. `request(i)` is the future of request `i`, which returns whether its answer is right.
///
/// The calling thread generates the load, the workers of `runtime` send the requests and take the answers.
pub fn at_rates<F, R>(runtime: &Arc<Runtime>, request: R) -> impl Loads + use<F, R>
where
    R: Fn(u64) -> F + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    AtRates { runtime: Arc::clone(runtime), request }
}

struct AtRates<R> {
    runtime: Arc<Runtime>,
    request: R,
}

impl<F, R> Loads for AtRates<R>
where
    R: Fn(u64) -> F,
    F: Future<Output = bool> + Send + 'static,
{
    fn send(&mut self, rate: f64, requests: u64, seed: u64) -> LoadAtRate {
        let starts = starts_at_rate(rate, requests, seed);
        LoadAtRate::of(rate, &send(&self.runtime, &starts, |i| (true, (self.request)(i))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answers_and_panics_are_failures() {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let runtime = Arc::new(builder.worker_threads(1).build().unwrap());
        let mut loads = at_rates(&runtime, |i| async move {
            assert!(i != 3, "this request panics");
            i % 10 != 0
        });
        let load = loads.send(50_000.0, 100, 1);
        assert_eq!((load.requests, load.failed), (100, 11));
        assert!(load.p50_us <= load.p99_us && load.p99_us <= load.max_us, "{load:?}");
    }
}
