//! Sum one field of many records: keep the field in an array of its own, not inside wide structs.

use std::iter::Sum;

use worthit_pair::prelude::*;

/// Size of a cache line in bytes.
const LINE: u64 = 64;

/// Records of all tables of the rotation together, where the tables are large: their arrays do not fit in any cache.
const RECORDS: u64 = 12_000_000;

/// Lines that come from memory. A processor that has seen a sequence of reads fetches the lines ahead of it, whether
/// they hold an amount or not.
const LINES_FETCHED: Cause = Cause::new("cache_lines_fetched", "cache lines fetched").modelled(
    "from the addresses of the first amount and the last, as if the first began a line and every line between were fetched",
);

pub const PAIR: Pair = Pair {
    title: "Keep a scanned field in an array of its own",
    review: Review {
        smell: "`records.iter().map(|r| r.amount).sum()` over structs of a cache line or more, of which \
                the loop reads one field.",
        remedy: "A struct of arrays, whose scanned field is one array (`amounts_cents.iter().sum()`), or one array for \
                 the scanned field beside records that hold the rest.",
        keep_naive_when: "Records are read whole and one at a time: then each array costs a cache miss of its own. \
                          Or they are read only a few times: building the arrays reads everything once.",
        costs: "Insertions and removals touch every array. An index, not a reference, ties the fields of a record \
                together, and only care (or a derive such as `soa_derive`) keeps the arrays equally long.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "sum a field of 96-byte structs",
        growth: Growth::Until(&Growth::Linear, "the structs outgrow the last-level cache"),
    },
    optimized: Side {
        summary: "sum an array of that field",
        growth: Growth::Until(&Growth::Linear, "the arrays outgrow the last-level cache"),
    },
    input: "Orders as 96-byte structs in one `Vec`, and the amounts of the same orders in an array of `i64`. Both \
            sides read the amounts front to back. Tables are read in turn: two of them while they are small, and \
            twelve million records together once they are large, so that none of their arrays is still in a cache \
            when its turn comes.",
    axis: Axis {
        name: "records",
        unit: "records",
        is_size: true,
        points: Points::Fixed {
            default: &[100, 1_000, 30_000, 300_000, 1_000_000, 2_000_000],
            deep: &[3_000_000],
        },
    },
    unit: "record",
    headline: Headline::At { level: "", point: 1_000_000 },
    causes: &[Claim {
        cause: LINES_FETCHED,
        naive: Count::Exactly(|case| lines(case.point, size_of::<Order>() as u64)),
        optimized: Count::Exactly(|case| lines(case.point, 8)),
    }],
    explanation: Explanation {
        why: "A line holds eight amounts, or part of one struct, and the processor also fetches the lines of a struct \
              that hold no amount. Where structs and arrays both come from memory, the gain is the ratio of these \
              lines or more: the processor fetches less far ahead where reads skip bytes, and it stops at each page, \
              of which structs fill more. It is far more where the arrays still fit a cache and the structs do not, \
              because the ratio of the two bandwidths is a factor of its own; that peak depends on the machine, so \
              the pair does not speak of it. While everything is in the first-level cache, lines cost next to \
              nothing. What is left of the gain there is that vector instructions can add up an array, but not fields \
              96 bytes apart.",
        share_of_cause: ShareOfCause::Within(0.7, 2.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the arrays of large tables stay in a cache",
            reason: "the gain would be the ratio of two memory levels, which differs from machine to machine",
            check: |inputs: &[Vec<i64>]| {
                let records: usize = inputs.iter().map(Vec::len).sum();
                let is_large = inputs[0].len() >= 1_000_000;
                ensure(!is_large || records as u64 >= RECORDS, || {
                    format!("arrays of {} B in all", records * 8)
                })
            },
            sprung: || vec![vec![0; 1_000_000]; 2],
        },
        &Trap {
            name: "the amounts are known to be zero",
            reason: "an allocator returns zeroed pages that no memory backs, so nothing would be read",
            check: |inputs: &[Vec<i64>]| {
                let zeros = inputs.iter().flatten().filter(|amount| **amount == 0).count();
                ensure(zeros < 10, || format!("{zeros} amounts are zero"))
            },
            sprung: || vec![vec![0; 1_000]],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * 8,
        within_bytes: |case| tables(case) * case.point * 8,
    }]),
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

const _: () = assert!(size_of::<Order>() == 96, "the card states the width");

/// Lines from the first of `amounts` amounts to the last, one in each `width` bytes.
fn lines(amounts: u64, width: u64) -> u64 {
    amounts.checked_sub(1).map_or(0, |last| last * width / LINE + 1)
}

/// The sum of the amounts; `S` is `i64` when timed.
fn naive<S: for<'a> Sum<&'a i64>>(orders: &[Order]) -> S {
    orders.iter().map(|order| &order.amount_cents).sum()
}

/// The sum of the amounts; `S` is `i64` when timed.
fn optimized<S: for<'a> Sum<&'a i64>>(amounts_cents: &[i64]) -> S {
    amounts_cents.iter().sum()
}

/// A "sum" that is the number of cache lines from the first value to the last, as if the first began a line. (The
/// allocator decides where it really lies, and counts must repeat.) Values come in the order of their addresses.
struct Lines(u64);

impl<'a> Sum<&'a i64> for Lines {
    fn sum<I: Iterator<Item = &'a i64>>(values: I) -> Lines {
        let mut addresses = values.map(|value| std::ptr::from_ref(value).addr() as u64);
        let Some(first) = addresses.next() else { return Lines(0) };
        Lines((addresses.last().unwrap_or(first) - first) / LINE + 1)
    }
}

/// The orders with these amounts.
fn orders(amounts_cents: &[i64]) -> Vec<Order> {
    let order = |(id, amount_cents): (usize, &i64)| Order {
        id: id as u64,
        customer: amount_cents.unsigned_abs() % 100_000,
        placed_unix_s: 1_700_000_000 + id as i64,
        shipped_unix_s: 1_700_100_000 + id as i64,
        amount_cents: *amount_cents,
        tax_cents: amount_cents / 8,
        items: 1 + (amount_cents.unsigned_abs() % 7) as u32,
        status: (amount_cents.unsigned_abs() % 5) as u32,
        reference: [b'-'; 40],
    };
    amounts_cents.iter().enumerate().map(order).collect()
}

/// Number of tables in the rotation.
fn tables(case: &Case) -> u64 {
    if case.point < 1_000_000 {
        2.max(4_096_u64.div_ceil(case.point.max(1)))
    } else {
        RECORDS / case.point
    }
}

/// Amounts have both signs, and no sum of them overflows.
fn amounts_cents(case: &Case) -> Vec<i64> {
    case.values(case.point as usize).into_iter().map(|value| (value as i64) >> 24).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(tables(case), amounts_cents);
    let (counted, arrays) = (inputs.clone(), inputs.clone());
    // All orders together take more than a gigabyte, so they are made on first use.
    let naive_side = on_first_use(1, move || {
        let tables = arrays.map(|amounts| orders(amounts));
        let counted = tables.clone();
        Ok(by_ref(&tables, |orders: &Vec<Order>| naive::<i64>(orders))
            .counting(LINES_FETCHED, move |i| naive::<Lines>(&counted[i]).0))
    });
    let optimized_side = by_ref(&inputs, |amounts: &Vec<i64>| optimized::<i64>(amounts))
        .counting(LINES_FETCHED, move |i| optimized::<Lines>(&counted[i]).0);
    let trial = Trial::new(inputs.measured(|a| a.len() as u64), naive_side, optimized_side);
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for amounts in [vec![], vec![7], vec![5, -20, 3], (1..=1_000).collect()] {
            let sum: i64 = amounts.iter().sum();
            assert_eq!(naive::<i64>(&orders(&amounts)), sum);
            assert_eq!(optimized::<i64>(&amounts), sum);
        }
    }

    #[test]
    fn lines_are_counted_by_address() {
        let amounts = [0; 17];
        assert_eq!(optimized::<Lines>(&amounts).0, 3);
        assert_eq!(naive::<Lines>(&orders(&amounts)).0, 25);
        assert_eq!([naive::<Lines>(&[]).0, lines(0, 8), lines(1, 96)], [0, 0, 1]);
    }
}
