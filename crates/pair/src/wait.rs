//! Waits that end to the point. A sleep ends late, as the kernel wakes a thread only some time after it is due.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

/// A wait sleeps until this long before it is due and spins from then on.
const SPIN: Duration = Duration::from_micros(120);

/// Waits for `delay`: the distance to a server that is simulated, for example.
pub fn exactly(delay: Duration) {
    sleep_until(Instant::now() + delay);
}

/// Spins until `due`, so that no core goes idle before it. Returns how late it is.
pub(crate) fn spin_until(due: Instant) -> Duration {
    loop {
        if let Some(lag) = Instant::now().checked_duration_since(due) {
            return lag;
        }
        hint::spin_loop();
    }
}

/// Sleeps until shortly before `due`, then spins. Returns how late it is.
pub(crate) fn sleep_until(due: Instant) -> Duration {
    let early = due.saturating_duration_since(Instant::now());
    if let Some(long) = early.checked_sub(SPIN).filter(|long| *long > SPIN) {
        thread::sleep(long);
    }
    spin_until(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_early() {
        for micros in [0, 50, 500, 3_000] {
            let (start, delay) = (Instant::now(), Duration::from_micros(micros));
            exactly(delay);
            assert!(start.elapsed() >= delay);
            let due = Instant::now() + delay;
            let lag = spin_until(due);
            assert!(Instant::now() >= due + lag);
        }
    }
}
