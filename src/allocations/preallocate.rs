//! Fill a list whose length is known, or nearly: reserve room for all of it first, do not let it grow.

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Reserve room for a list of roughly known length",
    review: Review {
        smell: "`let mut totals = Vec::new();`, then a loop that pushes a number for nearly every item of another list.",
        remedy: "`Vec::with_capacity(lines.len())`, and the same loop.",
        keep_naive_when: "Nobody knows the length, or the estimate is far too high: room that is never filled is lost \
                          until the list is dropped. Or the list is short and made once.",
        costs: "Room that is not filled: a wrong length is no error, only a waste. If every item of an iterator that \
                knows its length gives one number, use `collect` instead, which reserves by itself. After a `filter`, \
                as here, it cannot know the length, and grows as the naive side does; that is the alternative. Std's \
                `extend` behaves alike.",
        lint: Lint::None,
    },
    naive: Side { summary: "push into an empty Vec", growth: Growth::Linear },
    optimized: Side { summary: "push into one with room for all", growth: Growth::Linear },
    input: "Order lines, each of which gives one number of eight bytes, except those that were cancelled, about one in \
            fifty. A Vec has room for four numbers at first, and for two times as many whenever it is full. The allocator is the system's. It has just freed lists of the \
            same length, as in a server that does the same again and again.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[8, 20, 100, 600, 3_000, 100_000], deep: &[1_000_000] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 100 },
    alternatives: &[SideBeside {
        name: "collect",
        summary: "filter and collect, which cannot know the length",
    }],
    causes: &[
        Claim {
            cause: causes::ALLOCATIONS,
            // Room for 4, 8, 16, … until nine in ten of the lines fit.
            naive: Count::AtLeast(|case| u64::from((case.point * 9 / 10).div_ceil(4).ilog2()) + 1),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: causes::ALLOCATED_BYTES,
            naive: Count::AtLeast(|case| 8 * case.point * 3 / 2),
            optimized: Count::Exactly(|case| 8 * case.point),
        },
    ],
    explanation: Explanation {
        why: "Each time the Vec is full, it asks for a larger block, and what it holds is copied there. The number of such \
              moves grows with the logarithm of the length, the work with the length itself. So the gain is largest where \
              a list is short, and an allocation costs as much as many items. The largest blocks are not even copied: one \
              at the end of the heap grows where it lies, and the kernel moves others by changing the page table. Both \
              sides check for room at each item. The optimized side stays below its limit, because it tests the quantity \
              and the room for each item.",
        share_of_cause: ShareOfCause::Within(0.2, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "the list fits into the first allocation",
        reason: "a Vec that holds up to four numbers of eight bytes allocates once on both sides",
        check: |inputs: &[Vec<Line>]| {
            let short = inputs.iter().find(|lines| optimized(lines).len() <= 4);
            ensure(short.is_none(), || format!("{:?} items", short.map(Vec::len)))
        },
        sprung: || vec![vec![Line { price_cents: 1, quantity: 1 }; 4]],
    }],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * 16,
        within_bytes: |case| turns(case.point) * case.point * 16,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(items: u64) -> u64 {
    (16_384 / items.max(1)).clamp(4, 1_024)
}

/// An order line.
#[derive(Clone, Copy, Debug)]
struct Line {
    price_cents: u32,
    /// 0 if it was cancelled.
    quantity: u32,
}

impl Line {
    fn total_cents(self) -> u64 {
        u64::from(self.price_cents) * u64::from(self.quantity)
    }
}

/// The total of each line that was not cancelled.
fn naive(lines: &[Line]) -> Vec<u64> {
    let mut totals = Vec::new();
    for line in lines {
        if line.quantity > 0 {
            totals.push(line.total_cents());
        }
    }
    totals
}

/// The total of each line that was not cancelled.
fn optimized(lines: &[Line]) -> Vec<u64> {
    let mut totals = Vec::with_capacity(lines.len());
    for line in lines {
        if line.quantity > 0 {
            totals.push(line.total_cents());
        }
    }
    totals
}

/// The total of each line that was not cancelled.
fn collect(lines: &[Line]) -> Vec<u64> {
    let ordered = lines.iter().filter(|line| line.quantity > 0);
    ordered.map(|line| line.total_cents()).collect()
}

fn input(case: &Case) -> Vec<Line> {
    let line = |value: u64| match case.shape {
        Shape::Realistic => {
            let is_cancelled = (value >> 32).is_multiple_of(50);
            let quantity = if is_cancelled { 0 } else { 1 + (value >> 60) as u32 };
            Line { price_cents: 1 + value as u32 % 20_000, quantity }
        }
        Shape::Adversarial => Line { price_cents: u32::MAX, quantity: value as u32 % 2 },
        _ => Line { price_cents: value as u32, quantity: (value >> 32) as u32 },
    };
    case.values(case.point as usize).into_iter().map(line).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let over =
        |side: fn(&[Line]) -> Vec<u64>| by_ref(&inputs, move |lines: &Vec<Line>| side(lines));
    let trial = Trial::new(inputs.measured(|l| l.len() as u64), over(naive), over(optimized));
    Ok(trial.alternative(over(collect)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let line = |price_cents, quantity| Line { price_cents, quantity };
        let lines = [line(250, 2), line(99, 0), line(u32::MAX, u32::MAX)];
        for totals in [naive, optimized, collect] {
            assert!(totals(&[]).is_empty());
            assert_eq!(totals(&lines), [500, 0xffff_fffe_0000_0001]);
            assert_eq!(totals(&[line(3, 1); 100]), [3; 100]);
        }
    }

    #[test]
    fn trap_an_empty_vec_grows_step_by_step() {
        // If std one day reserved more at once, both sides would allocate alike.
        assert!(naive(&[Line { price_cents: 1, quantity: 1 }; 5]).capacity() < 16);
    }
}
