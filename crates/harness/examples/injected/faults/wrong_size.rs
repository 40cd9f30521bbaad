//! A pair whose input does not have the size it claims.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1_000], |_| {
    let inputs = Inputs::one(vec![1_u64; 100]);
    let sum = |items: &Vec<u64>| items.iter().sum::<u64>();
    let size = |items: &Vec<u64>| items.len() as u64;
    Ok(Trial::new(inputs.measured(size), by_ref(&inputs, sum), by_ref(&inputs, sum)))
});
