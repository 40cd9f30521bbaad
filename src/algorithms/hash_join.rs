//! Join two tables on a key: build a hash table of one and probe it with the other, do not scan one for each row.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
};

use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

const KEY_VISITS: Cause = Cause::new("key_visits", "keys compared or hashed")
    .counted("on keys that count their comparisons and hashes");

pub const PAIR: Pair = Pair {
    title: "Join through a hash table",
    review: Review {
        smell: "`customers.iter().find(|c| c.id == order.customer)` inside a loop over orders: a loop in a loop, \
                even if it does not look like one.",
        remedy: "Build `by_id`, a `HashMap` from id to customer, once before the loop, and look each order up with \
                 `by_id.get(&order.customer)`.",
        keep_naive_when: "The customers are few: a scan that stays in the nearest cache costs less than a hash. Or \
                          only one order is looked up: then building the table costs more than the scan that it \
                          saves.",
        costs: "The hash table takes memory for each customer while the join runs. A `HashMap` keeps one row for \
                each key, so the code has to say which one: `or_insert` keeps the first, as the scan does. Std's \
                hasher withstands clients who choose keys that collide (HashDoS). Where no client chooses the keys, \
                foldhash, the alternative, saves most of the time that is left.",
        lint: Lint::None,
    },
    naive: Side { summary: "scan the customers for each order", growth: Growth::Quadratic },
    optimized: Side {
        summary: "build a HashMap of the customers, probe it",
        growth: Growth::Until(&Growth::Linear, "the tables outgrow a cache"),
    },
    input: "As many orders as customers, who are 64-byte rows with random 64-bit ids. Some customers order far more \
            often than others (Zipf-like), wherever they stand in the table. One order in ten is of a customer who is \
            not in the table, which a scan finds out at its end. The tables alternate.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[4, 15, 100, 700, 4_000], deep: &[20_000] },
    },
    unit: "order",
    headline: Headline::At { level: "", point: 700 },
    alternatives: &[SideBeside {
        name: "foldhash",
        summary: "the same with the hasher foldhash::fast",
    }],
    causes: &[Claim {
        cause: KEY_VISITS,
        // A scan passes half of the customers on average, and all of them for one order in ten.
        naive: Count::AtLeast(|case| case.point * case.point / 4),
        // A hash for each customer and each order, a comparison for each hit, and a few where only the tags are equal.
        optimized: Count::AtMost(|case| case.point * 4),
    }],
    explanation: Explanation {
        why: "On the naive side each order visits the keys of all customers up to its own. With a hash table each \
              customer is hashed once to build it, and each order is hashed once and compared with one key. A visit \
              of a scan costs far less than a hash, because the processor fetches the next rows ahead, so the gain is \
              far below the ratio of visits. But a scan grows with the customers and a probe does not.",
        share_of_cause: ShareOfCause::Within(0.01, 0.4),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(100),
    },
    traps: &[
        &Trap {
            name: "the processor learns the tables",
            reason: "a predictor that knows where each scan ends, or a nearest cache that holds all tables, makes \
                     short scans nearly free",
            check: |inputs: &[Input<u64>]| {
                let bytes: usize = inputs.iter().map(|i| size_of_val(&i.customers[..])).sum();
                let orders: usize = inputs.iter().map(|i| i.orders.len()).sum();
                ensure(bytes >= 512 * 1024 && orders >= 16_384, || {
                    format!("{orders} orders, {bytes} B of customers")
                })
            },
            sprung: || vec![input(&Case::realistic(4, 0, 1)); 10],
        },
        &Trap {
            name: "the customers who order stand in front",
            reason: "scans would stay short, however long the table",
            check: |inputs: &[Input<u64>]| {
                let visits: u64 = inputs.iter().map(visits_of_scans).sum();
                let rows: usize = inputs.iter().map(|i| i.customers.len() * i.orders.len()).sum();
                ensure(visits * 3 >= rows as u64, || format!("{visits} of {rows} rows are visited"))
            },
            sprung: || {
                let mut input = input(&Case::realistic(700, 0, 1));
                let first = input.customers[0].id;
                input.orders.iter_mut().for_each(|order| order.customer = first);
                vec![input]
            },
        },
    ],
    // A hash to build and one to probe for each row; a probe that hits reads the customer.
    limit: Limit::Work(&[
        Work::Hashes(|case| 2 * case.point),
        Work::IndependentReads {
            reads: |case| case.point,
            within_bytes: |case| case.point * size_of::<Customer<u64>>() as u64,
        },
    ]),
    prepare,
    ..Pair::DEFAULTS
};

#[repr(C)]
#[derive(Clone)]
struct Customer<K> {
    id: K,
    region: u32,
    since_day: u32,
    name: [u8; 48],
}

const _: () = assert!(size_of::<Customer<u64>>() == 64, "the card states the width");

#[derive(Clone)]
struct Order<K> {
    number: u64,
    customer: K,
}

#[derive(Clone)]
struct Input<K> {
    customers: Vec<Customer<K>>,
    orders: Vec<Order<K>>,
}

/// The number of each order whose customer is known, with the customer's region.
fn naive<K: Eq>(input: &Input<K>) -> Vec<(u64, u32)> {
    let region_of = |order: &Order<K>| {
        let customer = input.customers.iter().find(|c| c.id == order.customer)?;
        Some((order.number, customer.region))
    };
    input.orders.iter().filter_map(region_of).collect()
}

/// The number of each order whose customer is known, with the customer's region. `S` is std's default when timed.
fn optimized<K: Copy + Eq + Hash, S: BuildHasher + Default>(input: &Input<K>) -> Vec<(u64, u32)> {
    let mut by_id = HashMap::with_capacity_and_hasher(input.customers.len(), S::default());
    for customer in &input.customers {
        by_id.entry(customer.id).or_insert(customer);
    }
    let region_of = |order: &Order<K>| {
        let customer = by_id.get(&order.customer)?;
        Some((order.number, customer.region))
    };
    input.orders.iter().filter_map(region_of).collect()
}

/// The same with another hasher.
fn foldhash(input: &Input<u64>) -> Vec<(u64, u32)> {
    optimized::<_, foldhash::fast::RandomState>(input)
}

/// A key that notes each time that it is compared or hashed.
#[derive(Clone, Copy)]
struct Visited(u64);

impl Visited {
    fn visit(&self) -> u64 {
        note();
        self.0
    }
}

impl PartialEq for Visited {
    fn eq(&self, other: &Visited) -> bool {
        self.visit() == other.0
    }
}

impl Eq for Visited {}

impl Hash for Visited {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.visit().hash(state);
    }
}

fn visits_of_scans(input: &Input<u64>) -> u64 {
    noted_during(|| naive(&visited(input)))
}

/// The same tables with keys that count.
fn visited(input: &Input<u64>) -> Input<Visited> {
    let customer = |c: &Customer<u64>| Customer {
        id: Visited(c.id),
        region: c.region,
        since_day: c.since_day,
        name: c.name,
    };
    let order = |o: &Order<u64>| Order { number: o.number, customer: Visited(o.customer) };
    Input {
        customers: input.customers.iter().map(customer).collect(),
        orders: input.orders.iter().map(order).collect(),
    }
}

fn input(case: &Case) -> Input<u64> {
    let count = case.point as usize;
    let mut rng = case.rng("tables");
    let customers: Vec<Customer<u64>> = case
        .values(count)
        .into_iter()
        .map(|id| Customer {
            id,
            region: rng.random_range(1..40),
            since_day: rng.random_range(0..9_000),
            name: [b'-'; 48],
        })
        .collect();
    let mut places: Vec<usize> = (0..count).collect();
    places.shuffle(&mut rng);
    let popular = Zipf::new(count.max(1), 3);
    let order = |number: usize| {
        let customer = customers[places[popular.sample(&mut rng)]].id;
        // The next number is nobody's, save by chance or where ids are dense.
        let is_unknown = rng.random_range(0..10) == 0;
        Order {
            number: 1_000_000 + number as u64,
            customer: customer.wrapping_add(u64::from(is_unknown)),
        }
    };
    let orders = (0..count).map(order).collect();
    Input { customers, orders }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // Short scans end where a predictor must not have learnt it; long ones take long.
    let inputs = case.rotate((32_768 / case.point.max(1)).clamp(8, 4_096), input);
    let counted = inputs.map(visited);
    let trial = Trial::new(
        inputs.measured(|input| input.customers.len() as u64),
        by_ref(&inputs, naive).counting(KEY_VISITS, noting(&counted, naive)),
        by_ref(&inputs, optimized::<_, RandomState>)
            .counting(KEY_VISITS, noting(&counted, optimized::<_, FixedSipHash>)),
    );
    Ok(trial.alternative(by_ref(&inputs, foldhash)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(customers: &[(u64, u32)], orders: &[(u64, u64)]) -> [Vec<(u64, u32)>; 3] {
        let customer = |(id, region)| Customer { id, region, since_day: 0, name: [0; 48] };
        let order = |(number, customer)| Order { number, customer };
        let input = Input {
            customers: customers.iter().copied().map(customer).collect(),
            orders: orders.iter().copied().map(order).collect(),
        };
        [naive(&input), optimized::<_, RandomState>(&input), foldhash(&input)]
    }

    #[test]
    fn known_answers() {
        // Customer 7 is there twice: the first row counts. Nobody is customer 9.
        let customers = [(7, 1), (3, 2), (7, 5), (u64::MAX, 4)];
        let orders = [(100, 3), (101, 7), (102, 9), (103, u64::MAX), (104, 7)];
        let joined = vec![(100, 2), (101, 1), (103, 4), (104, 1)];
        assert_eq!(all(&customers, &orders), [joined.clone(), joined.clone(), joined]);
        assert_eq!(all(&[], &orders), [vec![], vec![], vec![]]);
        assert_eq!(all(&customers, &[]), [vec![], vec![], vec![]]);
    }

    #[test]
    fn comparisons_and_hashes_are_visits() {
        let customers = [(7, 1), (3, 2), (8, 3)];
        let row = |(id, region)| Customer { id: Visited(id), region, since_day: 0, name: [0; 48] };
        let orders = [3, 9].map(|id| Order { number: 1, customer: Visited(id) });
        let input = Input { customers: customers.map(row).to_vec(), orders: orders.to_vec() };
        assert_eq!(noted_during(|| naive(&input)), 2 + 3);
        // Three hashes to build, two to probe, one comparison for the hit; equal tags may add comparisons.
        assert!((6..10).contains(&noted_during(|| optimized::<_, FixedSipHash>(&input))));
    }
}
