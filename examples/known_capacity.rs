//! Checks the load generator on servers whose capacity is known, and against `oha` where that is installed:
//! `cargo run --release --example known_capacity`.
//!
//! A server has a fixed number of slots, and a request takes one for a fixed time. So it serves slots ÷ time requests a
//! second and no more.

use std::{error::Error, process::Command, sync::Arc, time::Duration};

use hyper::Response;
use serde_json::Value;

use worthit::fixtures::http::{Backend, Client};
use worthit_harness::capacity::{self, Capacity, Effort};
use worthit_pair::{
    inputs::Inputs,
    pair::{Rates, UnderLoad},
    trial::{Role, Trial, at_rates, by_ref},
};

/// Slots, and the time of a request. With few slots, requests that come at random times queue long before all slots are
/// busy, so that the capacity at an objective is lower.
const SERVERS: [(usize, Duration); 3] = [
    (24, Duration::from_millis(8)),
    (16, Duration::from_millis(8)),
    (32, Duration::from_millis(10)),
];
/// A server on which no request of this rate (a second) waits, whether requests come evenly, as `oha` sends them, or not.
const WITHOUT_QUEUE: (usize, Duration) = (32, Duration::from_millis(5));
const RATE: u32 = 1_000;
const CONNECTIONS: usize = 64;
const SEED: u64 = 42;

fn main() -> Result<(), Box<dyn Error>> {
    for (slots, time) in SERVERS {
        let known = slots as f64 / time.as_secs_f64();
        let under_load = UnderLoad { p99: 5 * time, rates: Rates::Capacity };
        let (_backend, mut trial) = loaded(slots, time)?;
        let loads =
            capacity::loads(&mut trial, Role::Naive, &under_load, known, Effort::OF_PAIR, SEED);
        let loads = loads.map_err(|unavailable| unavailable.to_string())?;
        let Capacity { held, missed } = Capacity::of(&loads, under_load.p99);
        let held = held.ok_or("the objective was met at no rate")?;
        println!(
            "{slots} slots of {time:?}: {known:.0} requests/s known, {held:.0} held ({:+.1} %), {:.0} missed, {} loads",
            (held / known - 1.0) * 100.0,
            missed.unwrap_or(f64::NAN),
            loads.len(),
        );
    }
    let (slots, time) = WITHOUT_QUEUE;
    let (backend, mut trial) = loaded(slots, time)?;
    let requests = 3 * u64::from(RATE);
    let ours = trial.send(Role::Naive, f64::from(RATE), requests, SEED);
    let ours = ours.map_err(|unavailable| unavailable.to_string())?.ok_or("nothing was sent")?;
    println!(
        "p99 at {RATE} requests/s: {:.0} µs (generator lag p99 {:.0} µs)",
        ours.p99_us, ours.lag_p99_us
    );
    let theirs = p99_by_oha(&format!("http://{}/", backend.address()), requests)?;
    println!("p99 by oha: {theirs:.0} µs; ours is {:+.1} %", (ours.p99_us / theirs - 1.0) * 100.0);
    Ok(())
}

/// Returns a server and a trial that sends it loads.
fn loaded(slots: usize, time: Duration) -> Result<(Backend, Trial), Box<dyn Error>> {
    let backend = Backend::start(slots, time, |_| Response::new("answer".into()));
    let backend = backend.map_err(|unavailable| unavailable.to_string())?;
    let address = backend.address();
    let loads = || {
        at_rates(async move || {
            let client = Arc::new(Client::connect(address, CONNECTIONS).await?);
            Ok(move |_| {
                let client = Arc::clone(&client);
                async move { client.get("/").await.is_ok_and(|body| body == "answer") }
            })
        })
    };
    let inputs = Inputs::one(1_u64);
    let side = || by_ref(&inputs, |n| *n);
    let trial = Trial::new(inputs.measured(|n| *n), side(), side());
    Ok((backend, trial.under_load(loads(), loads())))
}

/// Returns the 99th percentile of latency, in µs, that `oha` measures at the same rate.
fn p99_by_oha(url: &str, requests: u64) -> Result<f64, Box<dyn Error>> {
    let (requests, connections, rate) =
        (requests.to_string(), CONNECTIONS.to_string(), RATE.to_string());
    let output = Command::new("oha")
        .args(["--no-tui", "--output-format", "json", "--latency-correction"])
        .args(["-n", &requests, "-c", &connections, "-q", &rate, url])
        .output()
        .map_err(|error| format!("oha cannot be run: {error}; cargo install oha"))?;
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let p99_s = summary["latencyPercentiles"]["p99"].as_f64().ok_or("oha reports no p99")?;
    Ok(p99_s * 1e6)
}
