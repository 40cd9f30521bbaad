//! A pair on several threads whose cases fail unless the harness places the threads of each case on cores of their own,
//! and itself may run on all cores again before the next one.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use worthit_pair::{cores, prelude::*};

/// The cores of this process before its first case.
static CORES: OnceLock<Vec<usize>> = OnceLock::new();
/// Whether a side has run on a thread that was pinned to one core.
static WAS_PLACED: AtomicBool = AtomicBool::new(false);

pub const PAIR: Pair = super::over(Points::Threads, |case| {
    let is_first = CORES.get().is_none();
    let all = CORES.get_or_init(cores::allowed);
    assert_eq!(cores::allowed(), *all, "the thread of the harness is still pinned");
    assert!(is_first || WAS_PLACED.load(Relaxed), "no thread of the case before was placed");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = Arc::new(runtime.map_err(|error| Unavailable(error.to_string()))?);
    let inputs = Inputs::one(case.point);
    Ok(Trial::new(
        inputs.measured(|n| *n),
        asynchronous(&runtime, &inputs, async |n: &u64| {
            WAS_PLACED.fetch_or(cores::allowed().len() == 1, Relaxed);
            (1..=*n).map(std::hint::black_box).sum::<u64>()
        }),
        asynchronous(&runtime, &inputs, async |n: &u64| n * (n + 1) / 2),
    ))
});
