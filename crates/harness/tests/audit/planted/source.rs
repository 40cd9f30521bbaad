//! The sides of the planted pair, in a file of their own, which the audit reads as the source of the pair.

use super::Input;

pub fn naive(input: &Input, mut visit: impl FnMut()) -> u64 {
    let mut sum = 0_u64;
    for _ in 0..10 {
        for number in &input.numbers {
            visit();
            sum = sum.wrapping_add(*number);
        }
    }
    sum / 10
}

pub fn optimized(input: &Input, mut visit: impl FnMut()) -> u64 {
    input.numbers.iter().fold(0_u64, |sum, number| {
        visit();
        sum.wrapping_add(*number)
    })
}
