//! What the timing loops of pairs add to an iteration, ns.
//!
//! A side of one addition is timed through a trial's runner and in a bare loop between two clock reads. Loops so short
//! depend on their address, so each of several copies of both loops has its own code, and a copy gives one reading: the
//! difference of medians. It may be negative. The readings belong to one process; the harness gathers those of a run.

use std::hint::black_box;

use crate::Effort;
use worthit_pair::{
    inputs::Inputs,
    trial::{Runner, by_ref},
};

/// Returns one reading for each copy of the loops, ns per iteration.
pub fn readings(effort: &Effort) -> Vec<f64> {
    vec![
        copy::<1>(effort),
        copy::<2>(effort),
        copy::<3>(effort),
        copy::<4>(effort),
        copy::<5>(effort),
        copy::<6>(effort),
        copy::<7>(effort),
        copy::<8>(effort),
    ]
}

/// The `K`-th copy.
fn copy<const K: u64>(effort: &Effort) -> f64 {
    let mut runner = by_ref(&Inputs::rotating([1_u64, 2]), side::<K>);
    let through_runner = effort.ns_per_iteration(|count| runner.measure(count));
    let bare = effort.ns_per_operation(bare_loop::<K>);
    median(through_runner) - median(bare)
}

fn side<const K: u64>(x: &u64) -> u64 {
    x.wrapping_add(K)
}

#[inline(never)]
fn bare_loop<const K: u64>(count: u64) {
    let x = 1;
    for _ in 0..count {
        black_box(side::<K>(black_box(&x)));
    }
}

fn median(mut readings: Vec<f64>) -> f64 {
    readings.sort_unstable_by(f64::total_cmp);
    readings[readings.len() / 2]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_copy_gives_a_finite_reading() {
        let reading = Duration::from_micros(20);
        let effort = Effort { passes: 1, readings: 3, reading, file_bytes: 0 };
        let readings = readings(&effort);
        assert_eq!(readings.len(), 8);
        assert!(readings.iter().all(|ns| ns.is_finite()), "{readings:?}");
    }

    #[test]
    fn copies_are_code_of_their_own() {
        let copies: [fn(u64); 2] = [bare_loop::<1>, bare_loop::<2>];
        assert_ne!(copies[0] as usize, copies[1] as usize);
    }
}
