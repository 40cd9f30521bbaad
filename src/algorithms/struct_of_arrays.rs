//! Sum one field of many records: keep the field in an array of its own, not inside wide structs.

use std::{collections::HashSet, iter::Sum, sync::Arc};

use worthit_pair::prelude::*;

/// Size of a cache line in bytes.
const LINE: u64 = 64;

pub const PAIR: Pair = Pair {
    title: "Keep a scanned field in an array of its own",
    review: Review {
        smell: "`records.iter().map(|r| r.amount).sum()` over structs of a cache line or more, of which \
                the loop reads one field.",
        remedy: "A struct of arrays, `Orders { amounts: Vec<i64>, … }`, or one array for the scanned field beside \
                 records that hold the rest.",
        keep_naive_when: "Records are read whole and one at a time: then each array costs a cache miss of its own. \
                          Or they are read only a few times: building the arrays reads everything once.",
        costs: "Insertions and removals touch every array. An index, not a reference, ties the fields of a record \
                together, and only care (or a derive such as `soa_derive`) keeps the arrays equally long.",
        lint: None,
    },
    naive: Side {
        summary: "sum a field of 96-byte structs",
        growth: Growth::Until(&Growth::Linear, "the structs outgrow the last-level cache"),
    },
    optimized: Side { summary: "sum an array of that field", growth: Growth::Linear },
    input: "Orders as 96-byte structs in one `Vec`, and the amounts of the same orders in an array of `i64`. \
            Both sides read the amounts front to back: eight bytes of each struct, or every byte of the array.",
    axis: Axis {
        name: "records",
        unit: "records",
        is_size: true,
        points: Points::Fixed { default: &[16, 256, 4_096, 65_536, 1_048_576], deep: &[4_194_304] },
    },
    unit: "record",
    causes: &[Claim {
        cause: causes::CACHE_LINES,
        // A struct is wider than a line, so the fields of two structs never share one.
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.div_ceil(8)),
    }],
    explanation: "A line holds eight amounts, or part of one struct, so an eighth of the lines is read (counted \
                  from addresses, as if the first of each side began a line). Where structs and array lie in the \
                  same memory, as both do far beyond the last-level cache, that is the gain. Before that the gain \
                  is larger: the array, a twelfth of the size, still fits a cache nearer than the structs do, and \
                  the ratio of the two bandwidths multiplies the eight. While everything is in the first-level \
                  cache, lines cost next to nothing. What is left of the gain there is that vector instructions \
                  can add up an array, but not fields 96 bytes apart.",
    limit: Limit::BytesStreamed(|case| case.point * 8),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// An order as an application holds it.
#[repr(C)]
struct Order {
    id: u64,
    customer: u64,
    placed_unix_s: i64,
    shipped_unix_s: i64,
    amount_cents: i64,
    tax_cents: i64,
    items: u32,
    status: u32,
    reference: [u8; 40],
}

/// The sum of the amounts; `S` is `i64` when timed.
fn naive<S: for<'a> Sum<&'a i64>>(orders: &[Order]) -> S {
    orders.iter().map(|order| &order.amount_cents).sum()
}

/// The sum of the amounts; `S` is `i64` when timed.
fn optimized<S: for<'a> Sum<&'a i64>>(amounts_cents: &[i64]) -> S {
    amounts_cents.iter().sum()
}

/// A "sum" that is the number of cache lines read, as if the first value began a line. (The allocator decides
/// where it really lies, and counts must repeat.)
struct Lines(u64);

impl<'a> Sum<&'a i64> for Lines {
    fn sum<I: Iterator<Item = &'a i64>>(values: I) -> Lines {
        let mut values = values.map(|value| std::ptr::from_ref(value) as u64).peekable();
        let first = values.peek().copied().unwrap_or(0);
        let lines: HashSet<u64> = values.map(|address| (address - first) / LINE).collect();
        Lines(lines.len() as u64)
    }
}

/// Amounts have both signs, and no sum of them overflows.
fn amount_cents(value: u64) -> i64 {
    (value as i64) >> 24
}

fn orders(case: &Case) -> Vec<Order> {
    let order = |(id, value): (usize, u64)| Order {
        id: id as u64,
        customer: value % 100_000,
        placed_unix_s: 1_700_000_000 + id as i64,
        shipped_unix_s: 1_700_100_000 + id as i64,
        amount_cents: amount_cents(value),
        tax_cents: (value as i64) >> 27,
        items: 1 + (value % 7) as u32,
        status: (value % 5) as u32,
        reference: [b'-'; 40],
    };
    case.values(case.point as usize).into_iter().enumerate().map(order).collect()
}

/// The amounts of the same orders.
fn amounts_cents(case: &Case) -> Vec<i64> {
    case.values(case.point as usize).into_iter().map(amount_cents).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let amounts_cents = Arc::new(amounts_cents(case));
    let records = amounts_cents.len() as u64;
    let (naive_case, case) = (case.clone(), case.clone());
    // At the far end the orders take a hundred megabytes, so they are made on first use.
    let naive_side = on_first_use(1, move || {
        Ok(by_ref(&Arc::new(orders(&naive_case)), |orders| naive::<i64>(orders)))
    });
    let optimized_side = by_ref(&amounts_cents, |amounts| optimized::<i64>(amounts));
    let trial = Trial::new(records, naive_side, optimized_side);
    Ok(trial.units(records).counting(move |role, counts| {
        let Lines(lines) = match role {
            Role::Naive => naive(&orders(&case)),
            _ => optimized(&amounts_cents),
        };
        counts.set(causes::CACHE_LINES, lines);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders_of(amounts: &[i64]) -> Vec<Order> {
        let mut orders = orders(&Case::realistic(amounts.len() as u64, 0, 1));
        for (order, amount) in orders.iter_mut().zip(amounts) {
            order.amount_cents = *amount;
        }
        orders
    }

    #[test]
    fn known_answers() {
        for amounts in [vec![], vec![7], vec![5, -20, 3], (1..=1_000).collect()] {
            let sum: i64 = amounts.iter().sum();
            assert_eq!(naive::<i64>(&orders_of(&amounts)), sum);
            assert_eq!(optimized::<i64>(&amounts), sum);
        }
    }

    #[test]
    fn trap_the_records_do_not_fit_in_the_second_level_cache() {
        // 2 MiB per core is large as of 2024; four times that leaves no doubt.
        let last = *PAIR.axis.points.default_points().last().unwrap();
        let case = Case::realistic(last, 0, 1);
        assert!(size_of_val(&*orders(&case)) > 4 * (2 << 20));
        assert!(size_of_val(&*amounts_cents(&case)) > 2 << 20, "nor does the array");
    }

    #[test]
    fn trap_the_records_are_as_wide_as_documented() {
        assert_eq!(size_of::<Order>(), 96);
        assert!(
            size_of::<Order>() as u64 > LINE,
            "else the fields of two records may share a line"
        );
    }
}
