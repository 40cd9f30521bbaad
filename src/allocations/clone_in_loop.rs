//! Look at each record of a list: borrow it, do not clone it first.

use std::{collections::HashSet, sync::Arc};

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Borrow what is only looked at",
    review: Review {
        smell: "`for customer in customers.to_vec()`, `.iter().cloned()` or `.clone()` in a loop that only reads what \
                was cloned. It often came in to quiet the borrow checker.",
        remedy: "`for customer in customers`, and `&Customer` in the functions that the loop calls.",
        keep_naive_when: "The loop keeps the records or changes them. Or they are a few numbers with nothing on the \
                          heap: such a copy allocates nothing, and the compiler often leaves it out.",
        costs: "While the borrow lives, nothing may change the list. Where records must be kept beyond it, hold them \
                as `Arc<Customer>`, whose clone is an atomic addition; that is the alternative.",
        lint: Lint::Default("clippy::unnecessary_to_owned"),
    },
    naive: Side {
        summary: "clone the list, look at each record",
        growth: Growth::Until(&Growth::Linear, "list and clones outgrow the caches"),
    },
    optimized: Side {
        summary: "look at the list itself",
        growth: Growth::Until(&Growth::Linear, "the list outgrows the caches"),
    },
    input: "Customers with a name, an e-mail address and a city, each a text on the heap, and the amount that they \
            spent. The sides add up the amounts of one city; about one customer in eight is from there. Lists \
            alternate.",
    axis: Axis {
        name: "customers",
        unit: "customers",
        is_size: true,
        points: Points::Fixed { default: &[10, 50, 300, 3_000, 20_000], deep: &[200_000] },
    },
    unit: "customer",
    headline: Headline::At { level: "", point: 300 },
    alternatives: &[SideBeside { name: "shared", summary: "clone an Arc of each record" }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // The list, and three texts a customer.
        naive: Count::Exactly(|case| 1 + 3 * case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A clone of a record allocates, copies and frees each of its texts, two of which nobody looks at. A borrow \
              does nothing. Only the comparison of the cities is left, so the gain is the cost of three allocations beside \
              one comparison of short texts. Where the list no longer fits the nearer caches, each \
              comparison waits for its text, on both sides, and the gain is lower. The optimized side is far from its limit, because the text of \
              each city lies elsewhere in memory.",
        share_of_cause: ShareOfCause::NoRatio("a borrow allocates nothing"),
        far_end: FarEnd::MayFall(
            "the reads of the cities, which no longer come from the nearer caches",
        ),
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the texts are empty",
            reason: "an empty String has nothing on the heap, so its clone allocates nothing",
            check: |inputs: &[Input]| {
                let customers = inputs.iter().flat_map(|input| &input.customers);
                let empty =
                    |c: &&Customer| c.name.is_empty() || c.email.is_empty() || c.city.is_empty();
                let empty = customers.filter(empty).count();
                ensure(empty == 0, || format!("{empty} customers have an empty text"))
            },
            sprung: || {
                vec![Input { customers: vec![customer(1, "", "Ur")], city: "Ur".to_owned() }]
            },
        },
        &Trap {
            name: "the list is the same again",
            reason: "the processor would know which customers are from the city",
            check: |inputs: &[Input]| {
                let spent = |c: &Customer| c.spent_cents;
                let all = || inputs.iter().flat_map(|input| input.customers.iter().map(spent));
                let distinct: HashSet<u64> = all().collect();
                ensure(distinct.len() * 2 > all().count().min(4_096), || {
                    format!("{} different amounts", distinct.len())
                })
            },
            sprung: || {
                let customers = vec![customer(1, "Ada", "Ur"); 5_000];
                vec![Input { customers, city: "Ur".to_owned() }]
            },
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        // The address and the length of the city: lengths that differ decide.
        bytes: |case| case.point * size_of::<String>() as u64,
        within_bytes: |case| turns(case.point) * case.point * 2 * size_of::<Customer>() as u64,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(customers: u64) -> u64 {
    (8_192 / customers.max(1)).clamp(2, 2_048)
}

#[derive(Clone, Debug)]
struct Customer {
    name: String,
    email: String,
    city: String,
    spent_cents: u64,
}

impl Customer {
    fn is_from(&self, city: &str) -> bool {
        self.city == city
    }
}

struct Input {
    customers: Vec<Customer>,
    city: String,
}

/// The amount that the customers of a city spent in cents, modulo 2⁶⁴.
#[expect(clippy::unnecessary_to_owned, reason = "the naive side of the pair")]
fn naive(customers: &[Customer], city: &str) -> u64 {
    let mut spent: u64 = 0;
    for customer in customers.to_vec() {
        if customer.is_from(city) {
            spent = spent.wrapping_add(customer.spent_cents);
        }
    }
    spent
}

/// The amount that the customers of a city spent in cents, modulo 2⁶⁴.
fn optimized(customers: &[Customer], city: &str) -> u64 {
    let mut spent: u64 = 0;
    for customer in customers {
        if customer.is_from(city) {
            spent = spent.wrapping_add(customer.spent_cents);
        }
    }
    spent
}

/// The amount that the customers of a city spent in cents, modulo 2⁶⁴.
fn shared(customers: &[Arc<Customer>], city: &str) -> u64 {
    let mut spent: u64 = 0;
    for customer in customers {
        // Keeps the compiler from leaving out the clone, as a list that holds it would.
        let customer = std::hint::black_box(Arc::clone(customer));
        if customer.is_from(city) {
            spent = spent.wrapping_add(customer.spent_cents);
        }
    }
    spent
}

fn customer(spent_cents: u64, name: &str, city: &str) -> Customer {
    let [name, email, city] = [name, &format!("{name}@example.org"), city].map(str::to_owned);
    Customer { name, email, city, spent_cents }
}

fn input(case: &Case) -> Input {
    let cities = match case.shape {
        Shape::Adversarial => ["", "Ur", "Urk", "ur", "Ür", "U", "Urr", "rU"],
        _ => ["Amsterdam", "Bergen", "Kyoto", "Leipzig", "Montevideo", "Nairobi", "Porto", "Ur"],
    };
    let mut rng = case.rng("customers");
    let values = case.values(case.point as usize);
    let spent = |value: u64| if case.shape == Shape::Realistic { value % 5_000_000 } else { value };
    let mut customers: Vec<Customer> = values
        .into_iter()
        .map(|value| {
            let name = format!("Customer {:05}", rng.random_range(0..100_000));
            customer(spent(value), &name, cities[rng.random_range(0..cities.len())])
        })
        .collect();
    // The texts of neighbours do not lie side by side.
    customers.shuffle(&mut rng);
    Input { customers, city: cities[rng.random_range(0..cities.len())].to_owned() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let arcs = inputs.map(|input| {
        let customers: Vec<_> = input.customers.iter().cloned().map(Arc::new).collect();
        (customers, input.city.clone())
    });
    Ok(Trial::new(
        inputs.measured(|input| input.customers.len() as u64),
        by_ref(&inputs, |input: &Input| naive(&input.customers, &input.city)),
        by_ref(&inputs, |input: &Input| optimized(&input.customers, &input.city)),
    )
    .alternative(by_ref(&arcs, |(customers, city)| shared(customers, city)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(customers: &[Customer], city: &str) -> [u64; 3] {
        let arcs: Vec<_> = customers.iter().cloned().map(Arc::new).collect();
        [naive(customers, city), optimized(customers, city), shared(&arcs, city)]
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(&[], "Ur"), [0; 3]);
        let customers = [
            customer(5, "Ada", "Ur"),
            customer(30, "Bo", "Urk"),
            customer(200, "Cy", "Ur"),
            customer(1_000, "Di", "ur"),
        ];
        assert_eq!(all(&customers, "Ur"), [205; 3]);
        assert_eq!(all(&customers, ""), [0; 3]);
        let rich = [customer(u64::MAX, "Ed", "Ur"), customer(3, "Flo", "Ur")];
        assert_eq!(all(&rich, "Ur"), [2; 3], "wraps");
    }
}
