//! The numbers of threads that a sweep over threads measures.
//!
//! They go up to all logical cores, and beyond that to one that is oversubscribed: twice as many threads as cores, which
//! shows what waiting for a core costs. `WORTHIT_THREADS` names others: `1,2,4`.

use std::sync::OnceLock;

/// The variable that names the numbers of threads, for `worthit scale` and for bench processes and those that count for
/// them.
pub const VARIABLE: &str = "WORTHIT_THREADS";

/// Number of levels at which a whole sweep is measured, at most.
const MAX_LEVELS: usize = 4;

/// Returns the number of logical cores that this process may use.
pub fn logical_cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// Returns 1, 2, 3, 4, 6, 8, 12, 16, … up to and including `cores`: enough for laws of scaling to be fitted from six
/// cores on.
pub fn counts(cores: u64) -> Vec<u64> {
    let powers = std::iter::successors(Some(1_u64), |n| n.checked_mul(2));
    // Between two powers of two from 2 on lies the number half as large again.
    let counts = powers.flat_map(|n| [Some(n), Some(n + n / 2).filter(|_| n > 1)]);
    counts.flatten().take_while(|n| *n < cores).chain([cores]).collect()
}

/// Returns the points of an axis of threads: the [`counts`] of this machine and one that is oversubscribed, or those that
/// were asked for.
pub fn points() -> Vec<u64> {
    asked().map_or_else(|| with_oversubscribed(counts(logical_cores())), <[u64]>::to_vec)
}

/// Returns the levels of a parameter of threads: one thread, without which there is no speedup, about a quarter, half and
/// all of the cores, and one that is oversubscribed; or those that were asked for.
pub fn levels() -> Vec<u64> {
    asked().map_or_else(|| with_oversubscribed(levels_of(logical_cores())), <[u64]>::to_vec)
}

/// Returns whether there are more threads than cores for them.
pub fn is_oversubscribed(threads: u64) -> bool {
    threads > logical_cores()
}

/// Returns the largest of these numbers of threads that is not oversubscribed, or the first if all are.
///
/// # Panics
/// If there is none.
pub fn all_cores(threads: &[u64]) -> u64 {
    let within = threads.iter().copied().filter(|threads| !is_oversubscribed(*threads));
    within.max().unwrap_or(threads[0])
}

/// Reads numbers of threads: ascending, from 1 on, separated by commas.
///
/// # Errors
/// If they are anything else.
pub fn parse(list: &str) -> Result<Vec<u64>, String> {
    let counts: Result<Vec<u64>, _> = list.split(',').map(|count| count.trim().parse()).collect();
    match counts {
        Ok(counts) if counts[0] > 0 && counts.is_sorted_by(|one, next| one < next) => Ok(counts),
        _ => Err("name numbers of threads in ascending order, separated by commas: 1,2,4".into()),
    }
}

static ASKED: OnceLock<Option<Vec<u64>>> = OnceLock::new();

/// Asks for these numbers of threads in this process, instead of those that [`VARIABLE`] names. It must be called before
/// any sweep is looked at.
pub fn ask_for(counts: &[u64]) {
    let asked = ASKED.get_or_init(|| Some(counts.to_vec()));
    assert_eq!(asked.as_deref(), Some(counts), "numbers of threads were used before they were set");
}

/// Returns the numbers of threads that were asked for. What cannot be read is ignored: the flag that sets it refuses it.
fn asked() -> Option<&'static [u64]> {
    ASKED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?).ok()).as_deref()
}

fn with_oversubscribed(mut counts: Vec<u64>) -> Vec<u64> {
    counts.extend(counts.last().map(|cores| 2 * cores));
    counts
}

fn levels_of(cores: u64) -> Vec<u64> {
    let counts = counts(cores);
    if counts.len() <= MAX_LEVELS {
        return counts;
    }
    let at_least = |share: f64| {
        let wanted = cores as f64 * share;
        counts.iter().copied().find(|count| *count as f64 >= wanted).unwrap_or(cores)
    };
    vec![1, at_least(0.25), at_least(0.5), cores]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_end_with_all_cores() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(3), [1, 2, 3]);
        assert_eq!(counts(5), [1, 2, 3, 4, 5]);
        assert_eq!(counts(6), [1, 2, 3, 4, 6]);
        assert_eq!(counts(16), [1, 2, 3, 4, 6, 8, 12, 16]);
        assert_eq!(counts(64), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]);
        for cores in 1..=1_024 {
            let counts = counts(cores);
            assert!(counts.is_sorted_by(|one, next| one < next), "{counts:?}");
            assert_eq!((counts[0], counts.last()), (1, Some(&cores)));
        }
    }

    #[test]
    fn one_thread_and_all_cores_are_always_among_the_levels() {
        assert_eq!(levels_of(1), [1]);
        assert_eq!(levels_of(2), [1, 2]);
        assert_eq!(levels_of(4), [1, 2, 3, 4]);
        assert_eq!(levels_of(6), [1, 2, 3, 6]);
        assert_eq!(levels_of(8), [1, 2, 4, 8]);
        assert_eq!(levels_of(16), [1, 4, 8, 16]);
        assert_eq!(levels_of(96), [1, 24, 48, 96]);
        for cores in 1..=1_024 {
            let levels = levels_of(cores);
            assert!(levels.len() <= MAX_LEVELS && levels.is_sorted_by(|one, next| one < next));
            assert_eq!((levels[0], levels.last()), (1, Some(&cores)));
            assert!(levels.iter().all(|level| counts(cores).contains(level)));
        }
    }

    #[test]
    fn one_point_is_oversubscribed_and_none_of_the_cores() {
        let cores = logical_cores();
        for threads in [points(), levels()] {
            let beyond: Vec<u64> =
                threads.iter().copied().filter(|count| is_oversubscribed(*count)).collect();
            assert_eq!(beyond, [2 * cores]);
            assert_eq!(all_cores(&threads), cores);
        }
        assert_eq!(all_cores(&[4 * cores, 8 * cores]), 4 * cores);
    }

    #[test]
    fn numbers_of_threads_are_ascending_and_positive() {
        assert_eq!(parse("1,2, 16"), Ok(vec![1, 2, 16]));
        for wrong in ["", "0", "0,1", "2,1", "1,1", "1;2", "-1", "1,", "two"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
