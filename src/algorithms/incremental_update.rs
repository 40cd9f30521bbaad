//! Keep a total up to date: add what an update changes, do not add up everything again.

use rand::RngExt;

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

/// Positions in the portfolio.
const POSITIONS: u64 = 500;

/// Ticks in one iteration; a multiple of each number of ticks between two readings.
const TICKS: u64 = 10_000;

const VALUED: Cause =
    Cause::new("positions_valued", "positions valued").counted("with a product that counts");

pub const PAIR: Pair = Pair {
    title: "Maintain a total, do not recompute it",
    review: Review {
        smell: "A `sum()` over everything each time that one item has changed: a cart, a balance, a portfolio.",
        remedy: "Keep the total beside the items, and let each update add the difference that it makes: \
                 `total.wrapping_add(value(position.quantity, tick.price.wrapping_sub(position.price)))`.",
        keep_naive_when: "The total is read far less often than items change. Each update pays for the total, and \
                          adding up the items now and then costs less. Or the total is of floats and must be exact: \
                          rounding errors of the differences pile up with the updates.",
        costs: "There is an invariant to keep: whatever changes an item must also change the total, and a path that \
                forgets it leaves a total that stays wrong. Maxima and medians need a heap or a tree, because an item \
                that leaves cannot be subtracted.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "add up all positions at each reading",
        growth: Growth::Other("falls with the number of readings"),
    },
    optimized: Side { summary: "add the difference at each tick", growth: Growth::Constant },
    input: "A portfolio of 500 positions, and 10,000 ticks that set the price of one of them, the popular ones more \
            often (Zipf). The value of the portfolio is read each time that the stated number of ticks has come. Two \
            days alternate.",
    axis: Axis {
        name: "ticks per reading",
        unit: "ticks",
        is_size: false,
        points: Points::Fixed { default: &[1, 5, 50, 500, 2_500, 10_000], deep: &[] },
    },
    unit: "tick",
    headline: Headline::At { level: "", point: 5 },
    causes: &[Claim {
        cause: VALUED,
        naive: Count::Exactly(|case| POSITIONS * TICKS / case.point),
        optimized: Count::Exactly(|_| POSITIONS + TICKS),
    }],
    explanation: Explanation {
        why: "Between two readings the naive side values every position, and the optimized side one for each tick. A \
              position costs less in a pass over all of them, because the processor streams through them. So the gain \
              stays below the ratio of counts, and recomputing wins once there are many more ticks per reading than \
              positions. The optimized side stays below its limit, because ticks come for positions in no order, and each \
              total waits for the one before.",
        share_of_cause: ShareOfCause::Within(0.1, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(2_500),
    },
    traps: &[
        &Trap {
            name: "ticks set the price that a position has",
            reason: "nothing would change, and a total that is never updated would be right",
            check: |inputs: &[Input]| {
                let values = inputs.iter().map(|input| naive(input.clone(), i64::wrapping_mul));
                let (mut same, mut all) = (0, 0);
                for values in values {
                    same += values.windows(2).filter(|pair| pair[0] == pair[1]).count();
                    all += values.len();
                }
                ensure(same * 100 <= all, || {
                    format!("{same} of {all} readings equal the one before")
                })
            },
            sprung: || {
                let position = Position { quantity: 3, price: 7 };
                let tick = Tick { position: 0, price: 7 };
                vec![Input {
                    positions: vec![position],
                    ticks: vec![tick; 4],
                    ticks_per_reading: 1,
                }]
            },
        },
        &Trap {
            name: "one position gets all ticks",
            reason: "each tick would wait for the price that the one before has stored",
            check: |inputs: &[Input]| {
                let repeats = |input: &Input| {
                    input.ticks.windows(2).filter(|t| t[0].position == t[1].position).count()
                };
                let (again, all): (usize, usize) =
                    (inputs.iter().map(repeats).sum(), inputs.iter().map(|i| i.ticks.len()).sum());
                ensure(again * 4 < all, || {
                    format!("{again} of {all} ticks are of the position before")
                })
            },
            sprung: || {
                let position = Position { quantity: 3, price: 7 };
                let ticks = (0..4).map(|price| Tick { position: 0, price }).collect();
                vec![Input { positions: vec![position], ticks, ticks_per_reading: 1 }]
            },
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| TICKS * 16 + TICKS / case.point * 8)]),
    proof: Proof { resources: Resources::Memory, max_size: 600 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Copy, Debug)]
struct Position {
    quantity: i64,
    price: i64,
}

/// A new price.
#[derive(Clone, Copy, Debug)]
struct Tick {
    position: usize,
    price: i64,
}

#[derive(Clone, Debug)]
struct Input {
    positions: Vec<Position>,
    ticks: Vec<Tick>,
    ticks_per_reading: usize,
}

/// The value of the portfolio at each reading, in wrapping arithmetic; `value` multiplies quantity and price.
fn naive(
    Input { mut positions, ticks, ticks_per_reading }: Input,
    value: impl Fn(i64, i64) -> i64,
) -> Vec<i64> {
    let mut readings = Vec::with_capacity(ticks.len().div_ceil(ticks_per_reading));
    for ticks in ticks.chunks(ticks_per_reading) {
        for tick in ticks {
            positions[tick.position].price = tick.price;
        }
        let values = positions.iter().map(|position| value(position.quantity, position.price));
        readings.push(values.fold(0, i64::wrapping_add));
    }
    readings
}

/// The value of the portfolio at each reading, in wrapping arithmetic; `value` multiplies quantity and price.
fn optimized(
    Input { mut positions, ticks, ticks_per_reading }: Input,
    value: impl Fn(i64, i64) -> i64,
) -> Vec<i64> {
    let values = positions.iter().map(|position| value(position.quantity, position.price));
    let mut total = values.fold(0, i64::wrapping_add);
    let mut readings = Vec::with_capacity(ticks.len().div_ceil(ticks_per_reading));
    for ticks in ticks.chunks(ticks_per_reading) {
        for tick in ticks {
            let position = &mut positions[tick.position];
            total = total
                .wrapping_add(value(position.quantity, tick.price.wrapping_sub(position.price)));
            position.price = tick.price;
        }
        readings.push(total);
    }
    readings
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("portfolio");
    let ticks = case.items(TICKS);
    // One position gets all ticks, or some of many get none.
    let positions = match case.shape {
        Shape::DuplicateHeavy => 1,
        _ => POSITIONS as usize,
    };
    let popular = Zipf::new(positions, 3);
    let price = |rng: &mut _| match case.shape {
        Shape::Adversarial => [i64::MAX, i64::MIN, -1, 0, 1][RngExt::random_range(rng, 0..5)],
        _ => RngExt::random_range(rng, 100..100_000),
    };
    let positions: Vec<Position> = (0..positions)
        .map(|_| {
            let quantity = match case.shape {
                Shape::Adversarial => [i64::MAX, i64::MIN, 3, 0][rng.random_range(0..4)],
                _ => rng.random_range(1..1_000),
            };
            Position { quantity, price: price(&mut rng) }
        })
        .collect();
    let tick = |i: usize| {
        let position = match case.shape {
            Shape::Sorted => i % positions.len(),
            _ => popular.sample(&mut rng),
        };
        Tick { position, price: price(&mut rng) }
    };
    let ticks = (0..ticks).map(tick).collect();
    Input { positions, ticks, ticks_per_reading: case.point as usize }
}

/// A product that is noted.
fn noted(quantity: i64, price: i64) -> i64 {
    note();
    quantity.wrapping_mul(price)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(2, input);
    Ok(Trial::new(
        inputs.measured(|input| input.ticks_per_reading as u64),
        by_value(&inputs, |input| naive(input, i64::wrapping_mul))
            .counting(VALUED, noting(&inputs, |input| naive(input.clone(), noted))),
        by_value(&inputs, |input| optimized(input, i64::wrapping_mul))
            .counting(VALUED, noting(&inputs, |input| optimized(input.clone(), noted))),
    )
    .units(inputs[0].ticks.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for side in
            [|i: Input| naive(i, i64::wrapping_mul), |i: Input| optimized(i, i64::wrapping_mul)]
        {
            let readings = |ticks: &[(usize, i64)], ticks_per_reading| {
                let positions = [(2, 10), (5, 100)];
                let positions = positions.map(|(quantity, price)| Position { quantity, price });
                let ticks = ticks
                    .iter()
                    .map(|(position, price)| Tick { position: *position, price: *price });
                let ticks = ticks.collect();
                side(Input { positions: positions.to_vec(), ticks, ticks_per_reading })
            };
            assert!(readings(&[], 1).is_empty());
            assert_eq!(readings(&[(0, 20), (1, 90), (0, 0)], 1), [540, 490, 450]);
            assert_eq!(readings(&[(0, 20), (1, 90), (0, 0)], 2), [490, 450]);
            assert_eq!(readings(&[(0, i64::MAX), (0, 1)], 1), [498, 502]);
        }
    }
}
