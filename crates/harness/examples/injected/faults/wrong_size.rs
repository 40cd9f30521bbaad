//! A pair whose input does not have the size it claims.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1_000], |_| {
    let items = Arc::new(vec![1_u64; 100]);
    let sum = |items: &Vec<u64>| items.iter().sum::<u64>();
    Ok(Trial::new(items.len() as u64, by_ref(&items, sum), by_ref(&items, sum)))
});
