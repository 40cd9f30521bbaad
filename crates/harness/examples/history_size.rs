//! Measures the size and speed of a history of a million readings:
//! `cargo run --release -p worthit-harness --features history --example history_size [FOLDER]`.
//! It creates a file in FOLDER (default: the current folder), which should be on a disk, and removes it again.

use std::{path::PathBuf, time::Instant};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use worthit_harness::history::{
    GAIN, History, HistoryError, Origin, Place, Reading, Recorded, TIME_NS, TrendLine,
};
use worthit_pair::case::CaseKey;

const READINGS: u64 = 1_000_000;
const PAIRS: u64 = 22;
const CASES: u64 = 5;
const REPETITIONS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let path = folder.path().join("history.sqlite");
    let mut history = History::open(&path)?;
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    let (mut readings, mut run) = (0, 0);
    while readings < READINGS {
        let recorded = recorded(run, &mut rng);
        readings += recorded.readings.len() as u64;
        history.append(&recorded)?;
        run += 1;
    }
    let bytes = std::fs::metadata(&path)?.len();
    println!("{run} runs, {readings} readings, {} MB", bytes / 1_000_000);

    let mut runs = (run..).map(|run| recorded(run, &mut rng));
    let mut next = || runs.next().expect("an endless iterator");
    time_repetitions("append a run", || history.append(&next()))?;
    drop(history);
    time_repetitions("open, append a run, close", || History::open(&path)?.append(&next()))?;
    let pair = |repetition| format!("family/pair{}", repetition as u64 % PAIRS);
    let mut repetitions = 0..;
    time_repetitions("open, read a pair's trend, close", || {
        History::open(&path)?.trend(&pair(repetitions.next().unwrap_or(0))).map(drop)
    })?;
    time_repetitions("the same with its change points", || {
        let lines = History::open(&path)?.trend(&pair(repetitions.next().unwrap_or(0)))?;
        let changes: usize =
            lines.iter().map(TrendLine::changes).map(|changes| changes.len()).sum();
        std::hint::black_box(changes);
        Ok(())
    })
}

/// Prints the median and the worst time of twenty repetitions of `work`.
fn time_repetitions(
    what: &str,
    mut work: impl FnMut() -> Result<(), HistoryError>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut times_ms = Vec::new();
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        work()?;
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times_ms.sort_unstable_by(f64::total_cmp);
    let (median, worst) = (times_ms[REPETITIONS / 2], times_ms[REPETITIONS - 1]);
    println!("{what}: median {median:.1} ms, worst {worst:.1} ms");
    Ok(())
}

/// Returns a run of all cases with a gain, two times and three counts each. Gains and times have noise of 2 % and an
/// occasional step of 5 %.
fn recorded(run: u64, rng: &mut ChaCha8Rng) -> Recorded {
    let mut readings = Vec::new();
    for pair in 0..PAIRS {
        for case in 0..CASES {
            let level = 1.05_f64.powi((run / 200 % 3) as i32);
            let mut add = |side: &str, quantity: &str, value: f64| {
                let place = Place {
                    case: CaseKey {
                        pair: format!("family/pair{pair}"),
                        level: String::new(),
                        point: 8 << (3 * case),
                    },
                    side: side.to_owned(),
                    quantity: quantity.to_owned(),
                };
                let reading = Reading { value, low: value * 0.99, high: value * 1.01, mark: None };
                readings.push((place, reading));
            };
            let mut noisy = |value: f64| value * level * rng.random_range(0.965..1.035);
            add("naive", GAIN, noisy(12.0));
            add("naive", TIME_NS, noisy(1_200.0));
            add("optimized", TIME_NS, noisy(100.0));
            add("naive", "statements", 257.0);
            add("optimized", "statements", 1.0);
            add("naive", "allocations", 1_000.0);
        }
    }
    let origin = Origin {
        key: format!("run-{run}"),
        started: Timestamp::from_second(1_700_000_000 + run as i64 * 86_400).expect("a valid time"),
        machine_key: "made-2c-4g-linux6.1-ext4".to_owned(),
        rustc: "rustc 1.90.0 (1159e78c4 2025-09-14)".to_owned(),
        rustflags: String::new(),
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        dirty: false,
        seed: 42,
        source: "run".to_owned(),
    };
    Recorded { origin, readings }
}
