//! Open-loop loads at any rate, to find out which rate a side can serve.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use super::{Answered, LoadAtRate, Part, Wait, doze_until, schedule::starts_at_rate, send};
use crate::{unavailable::Unavailable, wait::sleep_until};

/// Sends open-loop loads to one side.
pub trait Loads {
    /// Sends `requests` requests at random times, `rate` of them a second on average, waits for the answers (ten seconds
    /// after the last was due at most), and returns what each generator saw. The same seed gives the same intended starts.
    ///
    /// # Errors
    /// If the side cannot be connected to.
    fn parts(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable>;

    /// Does the same and sums up what was seen.
    ///
    /// # Errors
    /// If the side cannot be connected to.
    fn send(&mut self, rate: f64, requests: u64, seed: u64) -> Result<LoadAtRate, Unavailable> {
        Ok(LoadAtRate::of_parts(rate, &self.parts(rate, requests, seed)?))
    }
}

/// Returns what sends loads to a side. `connect` is called before the first load, inside the runtime that sends the
/// requests, and returns `request`: `request(i)` is the future of request `i`, which returns what became of it, or whether
/// its answer is right.
///
/// The calling thread generates the load, the one worker of the runtime sends the requests and takes the answers.
pub fn at_rates<F, R>(
    connect: impl AsyncFnOnce() -> Result<R, Unavailable> + 'static,
) -> impl Loads + 'static
where
    R: Fn(u64) -> F + 'static,
    F: Future<Output: Into<Answered>> + Send + 'static,
{
    AtRates { connect: Some(connect), connected: None, wait: sleep_until }
}

/// Like [`at_rates`], with a generator that only sleeps between requests and so sends them up to a tenth of a millisecond
/// late. It leaves the cores to others where several generators share few of them.
pub fn at_leisure<F, R>(
    connect: impl AsyncFnOnce() -> Result<R, Unavailable> + 'static,
) -> impl Loads + 'static
where
    R: Fn(u64) -> F + 'static,
    F: Future<Output: Into<Answered>> + Send + 'static,
{
    AtRates { connect: Some(connect), connected: None, wait: doze_until }
}

struct AtRates<C, R> {
    wait: Wait,
    connect: Option<C>,
    /// The request is dropped before the runtime that drives it: fields are dropped in order.
    connected: Option<(R, Runtime)>,
}

impl<C, F, R> Loads for AtRates<C, R>
where
    C: AsyncFnOnce() -> Result<R, Unavailable>,
    R: Fn(u64) -> F,
    F: Future<Output: Into<Answered>> + Send + 'static,
{
    fn parts(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable> {
        if let Some(connect) = self.connect.take() {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime =
                runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?;
            let request = runtime.block_on(connect())?;
            self.connected = Some((request, runtime));
        }
        let Some((request, runtime)) = &self.connected else {
            return Err(Unavailable("there was no connection at the first load".to_owned()));
        };
        let starts = starts_at_rate(rate, requests, seed);
        let request = |i| {
            let request = request(i);
            (true, async move { request.await.into() })
        };
        Ok(vec![Part::of(&send(runtime, &starts, self.wait, request))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answers_and_panics_are_failures() {
        let mut loads = at_rates(async || {
            Ok(|i| async move {
                assert!(i != 3, "this request panics");
                i % 10 != 0
            })
        });
        let load = loads.send(50_000.0, 100, 1).unwrap();
        assert_eq!((load.requests, load.failed), (100, 11));
        assert!(load.p50_us <= load.p99_us && load.p99_us <= load.max_us, "{load:?}");
    }

    #[test]
    fn a_generator_that_only_sleeps_sends_as_much() {
        let mut loads = at_leisure(async || Ok(|_| async { true }));
        let load = loads.send(5_000.0, 100, 1).unwrap();
        assert_eq!((load.requests, load.failed), (100, 0));
    }

    #[test]
    fn a_server_that_cannot_be_connected_to_is_a_reason() {
        type Request = fn(u64) -> std::future::Ready<bool>;
        let mut loads = at_rates(async || Err::<Request, _>(Unavailable("no server".to_owned())));
        assert_eq!(loads.send(1_000.0, 10, 1).unwrap_err().to_string(), "no server");
        assert!(loads.send(1_000.0, 10, 1).is_err());
    }
}
