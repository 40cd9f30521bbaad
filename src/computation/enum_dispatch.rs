//! Hold values of several kinds in one list: match on an enum, do not call through a vtable.

use std::{collections::HashMap, mem::discriminant};

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

const VTABLE_CALLS: Cause = Cause::new("vtable_calls", "calls through a vtable")
    .counted("on charges that count the calls through their vtable");

pub const PAIR: Pair = Pair {
    title: "Match on an enum, not through a vtable",
    review: Review {
        smell: "`Vec<Box<dyn Charge>>`, where the crate itself defines every kind of `Charge`, and hot code calls a \
                short method on each.",
        remedy: "An enum with a variant for each kind, held in the list itself, and a `match self` that calls the \
                 method of the variant.",
        keep_naive_when: "The kinds come in no order: the processor mispredicts a match as often as a call, and that \
                          is most of the time on both sides, until the boxes leave the caches. Others add kinds: a \
                          library cannot match on what its users define. One kind is far larger than the rest, as \
                          each value takes the room of the largest. Or the method does much work: then the way to it \
                          hardly matters.",
        costs: "A new kind changes the enum and each `match`; the compiler finds a `match` that lacks it. Where the \
                order of the list does not matter, a list for each kind needs no dispatch at all; that is the \
                alternative.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "Vec<Box<dyn Charge>>",
        growth: Growth::Until(&Growth::Linear, "the boxes outgrow the caches"),
    },
    optimized: Side { summary: "Vec of an enum", growth: Growth::Linear },
    input: "The charges of an invoice, of four kinds, some more frequent than others. The kinds come in runs of up to \
            thirty, as if each department added its own charges, or mixed at random. The boxes lie in memory in a \
            shuffled order, as in a list that has changed for some weeks. Invoices alternate, so that a branch \
            predictor learns none of them.",
    axis: Axis {
        name: "charges",
        unit: "charges",
        is_size: true,
        points: Points::Fixed { default: &[30, 1_000, 10_000, 100_000], deep: &[1_000_000] },
    },
    parameter: Some(Parameter {
        name: "order of kinds",
        levels: Levels::Fixed(&[
            Level { label: "runs", value: RUNS, origin: Origin::Measured },
            Level { label: "mixed", value: MIXED, origin: Origin::Measured },
        ]),
    }),
    unit: "charge",
    headline: Headline::At { level: "runs", point: 1_000 },
    alternatives: &[
        SideBeside { name: "boxed_enum", summary: "Vec<Box<AnyCharge>>: a match, and boxes" },
        SideBeside { name: "by_kind", summary: "a Vec for each kind" },
    ],
    causes: &[Claim {
        cause: VTABLE_CALLS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A call through a vtable reads the address of a function, and of the charge, before it can start, and the \
              compiler cannot look into it. A match is inlined, and the charges follow each other in memory. Both jump to \
              a place that depends on the kind. In a run the processor predicts that jump, and the difference shows. Where \
              kinds are mixed it mispredicts most jumps on both sides, and there is little else to see. Once the boxes \
              leave the caches, each is a read that the naive side waits for. A list for each kind has no such jump. The \
              alternative that boxes each enum tells the two apart: behind boxes, a match is no quicker than a call. So \
              the gain is that the charges lie side by side. The optimized side is far from its limit, because each charge \
              takes a jump and an addition of its own.",
        share_of_cause: ShareOfCause::NoRatio("a match calls nothing through a vtable"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "most charges are of one kind",
            reason: "the processor would predict each call, as it does in a list with one kind",
            check: |inputs: &[Input]| {
                let mut kinds = HashMap::new();
                for charge in inputs.iter().flat_map(|input| &input.inline) {
                    *kinds.entry(discriminant(charge)).or_insert(0) += 1;
                }
                let (all, most) = (kinds.values().sum::<usize>(), kinds.values().max().copied());
                ensure(most.is_some_and(|most| most * 2 < all), || {
                    format!("{most:?} of {all} charges are of one kind")
                })
            },
            sprung: || vec![Input::new(vec![charge(0, [3; 3]); 100], (0..100).rev().collect())],
        },
        &Trap {
            name: "the boxes were allocated in the order of the list",
            reason: "they would lie side by side, as the elements of the other list do",
            check: |inputs: &[Input]| {
                let pairs = || inputs.iter().flat_map(|input| input.allocated.windows(2));
                let in_order = pairs().filter(|pair| pair[0] + 1 == pair[1]).count();
                ensure(in_order * 4 < pairs().count(), || {
                    format!("{in_order} of {} boxes follow the one before", pairs().count())
                })
            },
            sprung: || vec![Input::new(vec![charge(1, [3; 3]); 100], (0..100).collect())],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * size_of::<AnyCharge>() as u64,
        within_bytes: |case| turns(case.point) * case.point * size_of::<AnyCharge>() as u64,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// Level of charges whose kinds come in runs of up to thirty.
const RUNS: u64 = 0;
/// Level of charges whose kinds come in no order.
const MIXED: u64 = 1;

/// Inputs in the rotation.
fn turns(charges: u64) -> u64 {
    (65_536 / charges.max(1)).clamp(2, 2_048)
}

/// One kind of charge on an invoice.
trait Charge {
    /// Returns the amount that it adds to the invoice, modulo 2⁶⁴.
    fn cents(&self) -> u64;
}

#[derive(Clone, Copy)]
struct Flat {
    cents: u64,
}

impl Charge for Flat {
    fn cents(&self) -> u64 {
        self.cents
    }
}

#[derive(Clone, Copy)]
struct Metered {
    units: u32,
    cents_per_unit: u32,
}

impl Charge for Metered {
    fn cents(&self) -> u64 {
        u64::from(self.units) * u64::from(self.cents_per_unit)
    }
}

#[derive(Clone, Copy)]
struct Tiered {
    units: u32,
    included: u32,
    cents_per_unit: u32,
}

impl Charge for Tiered {
    fn cents(&self) -> u64 {
        u64::from(self.units.saturating_sub(self.included)) * u64::from(self.cents_per_unit)
    }
}

#[derive(Clone, Copy)]
struct Commission {
    sales_cents: u64,
    basis_points: u32,
}

impl Charge for Commission {
    fn cents(&self) -> u64 {
        self.sales_cents.wrapping_mul(u64::from(self.basis_points)) / 10_000
    }
}

#[derive(Clone, Copy)]
enum AnyCharge {
    Flat(Flat),
    Metered(Metered),
    Tiered(Tiered),
    Commission(Commission),
}

impl AnyCharge {
    fn cents(&self) -> u64 {
        match self {
            AnyCharge::Flat(charge) => charge.cents(),
            AnyCharge::Metered(charge) => charge.cents(),
            AnyCharge::Tiered(charge) => charge.cents(),
            AnyCharge::Commission(charge) => charge.cents(),
        }
    }
}

/// The sum of the charges in cents, modulo 2⁶⁴.
fn naive(charges: &[Box<dyn Charge>]) -> u64 {
    charges.iter().map(|charge| charge.cents()).fold(0, u64::wrapping_add)
}

/// The sum of the charges in cents, modulo 2⁶⁴.
fn optimized(charges: &[AnyCharge]) -> u64 {
    charges.iter().map(AnyCharge::cents).fold(0, u64::wrapping_add)
}

/// The sum of the charges.
fn boxed_enum(charges: &[Box<AnyCharge>]) -> u64 {
    charges.iter().map(|charge| charge.cents()).fold(0, u64::wrapping_add)
}

#[derive(Default)]
struct ByKind {
    flat: Vec<Flat>,
    metered: Vec<Metered>,
    tiered: Vec<Tiered>,
    commissions: Vec<Commission>,
}

/// The sum of the charges in cents, modulo 2⁶⁴.
fn by_kind(charges: &ByKind) -> u64 {
    fn sum(charges: &[impl Charge]) -> u64 {
        charges.iter().map(Charge::cents).fold(0, u64::wrapping_add)
    }
    let ByKind { flat, metered, tiered, commissions } = charges;
    let sums = [sum(flat), sum(metered), sum(tiered), sum(commissions)];
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// A charge that notes the calls through its vtable.
struct Watched(AnyCharge);

impl Charge for Watched {
    fn cents(&self) -> u64 {
        note();
        self.0.cents()
    }
}

/// The same charges in each layout.
struct Input {
    boxed: Vec<Box<dyn Charge>>,
    #[expect(clippy::vec_box, reason = "what the boxes cost is the question")]
    boxed_enums: Vec<Box<AnyCharge>>,
    inline: Vec<AnyCharge>,
    /// The places of the boxes, in the order in which they were allocated.
    allocated: Vec<usize>,
}

impl Input {
    fn new(inline: Vec<AnyCharge>, allocated: Vec<usize>) -> Input {
        let boxed = |charge: &AnyCharge| -> Box<dyn Charge> {
            match *charge {
                AnyCharge::Flat(charge) => Box::new(charge),
                AnyCharge::Metered(charge) => Box::new(charge),
                AnyCharge::Tiered(charge) => Box::new(charge),
                AnyCharge::Commission(charge) => Box::new(charge),
            }
        };
        let boxed = in_order(&allocated, |place| boxed(&inline[place]));
        let boxed_enums = in_order(&allocated, |place| Box::new(inline[place]));
        Input { boxed, boxed_enums, inline, allocated }
    }

    fn watched(&self) -> Vec<Box<dyn Charge>> {
        let watched = |charge: &AnyCharge| -> Box<dyn Charge> { Box::new(Watched(*charge)) };
        self.inline.iter().map(watched).collect()
    }

    fn by_kind(&self) -> ByKind {
        let mut kinds = ByKind::default();
        for charge in &self.inline {
            match *charge {
                AnyCharge::Flat(charge) => kinds.flat.push(charge),
                AnyCharge::Metered(charge) => kinds.metered.push(charge),
                AnyCharge::Tiered(charge) => kinds.tiered.push(charge),
                AnyCharge::Commission(charge) => kinds.commissions.push(charge),
            }
        }
        kinds
    }
}

/// Boxes in the order of their places, allocated in another.
fn in_order<B>(allocated: &[usize], boxed: impl Fn(usize) -> B) -> Vec<B> {
    let mut boxes: Vec<(usize, B)> =
        allocated.iter().map(|place| (*place, boxed(*place))).collect();
    boxes.sort_unstable_by_key(|(place, _)| *place);
    boxes.into_iter().map(|(_, boxed)| boxed).collect()
}

fn charge(kind: u64, [amount, other, third]: [u64; 3]) -> AnyCharge {
    let [units, cents_per_unit, included] = [amount as u32, other as u32, third as u32];
    match kind {
        0 => AnyCharge::Flat(Flat { cents: amount }),
        1 => AnyCharge::Metered(Metered { units, cents_per_unit }),
        2 => AnyCharge::Tiered(Tiered { units, included, cents_per_unit }),
        _ => AnyCharge::Commission(Commission { sales_cents: amount, basis_points: other as u32 }),
    }
}

fn input(case: &Case) -> Input {
    let count = case.point as usize;
    let mut rng = case.rng("charges");
    let extremes = case.values(3 * count);
    let longest = if case.level == RUNS { 30 } else { 1 };
    let (mut kind, mut left_in_run) = (0, 0);
    let mut next = |i: usize| match case.shape {
        Shape::Realistic => {
            if left_in_run == 0 {
                kind = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3][rng.random_range(0..10)];
                left_in_run = rng.random_range(1..=longest);
            }
            left_in_run -= 1;
            charge(kind, [5_000, 400, 2_000].map(|most| rng.random_range(1..most)))
        }
        Shape::Sorted => charge((i * 4 / count) as u64, [i as u64, 3, 5]),
        _ => charge(rng.random_range(0..4), [0, 1, 2].map(|k| extremes[3 * i + k])),
    };
    let inline = (0..count).map(&mut next).collect();
    let mut allocated: Vec<usize> = (0..count).collect();
    allocated.shuffle(&mut case.rng("allocated"));
    Input::new(inline, allocated)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let watched = inputs.map(Input::watched);
    Ok(Trial::new(
        inputs.measured(|input| input.inline.len() as u64),
        by_ref(&inputs, |input: &Input| naive(&input.boxed))
            .counting(VTABLE_CALLS, noting(&watched, |charges| naive(charges))),
        by_ref(&inputs, |input: &Input| optimized(&input.inline))
            .counting(VTABLE_CALLS, noting(&inputs, |input| optimized(&input.inline))),
    )
    .alternative(by_ref(&inputs, |input: &Input| boxed_enum(&input.boxed_enums)))
    .alternative(by_ref(&inputs.map(Input::by_kind), by_kind))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(charges: &[AnyCharge]) -> [u64; 4] {
        let input = Input::new(charges.to_vec(), (0..charges.len()).collect());
        [
            naive(&input.boxed),
            optimized(&input.inline),
            boxed_enum(&input.boxed_enums),
            by_kind(&input.by_kind()),
        ]
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(&[]), [0; 4]);
        // 7 + 20 · 3 + (20 − 5) · 3 + 4 % of 1,000
        let charges = [
            charge(0, [7, 0, 0]),
            charge(1, [20, 3, 0]),
            charge(2, [20, 3, 5]),
            charge(3, [1_000, 400, 0]),
        ];
        assert_eq!(all(&charges), [7 + 60 + 45 + 40; 4]);
        assert_eq!(all(&[charge(2, [5, 3, 20])]), [0; 4], "all units are included");
        assert_eq!(all(&[charge(0, [u64::MAX, 0, 0]), charge(0, [3, 0, 0])]), [2; 4], "wraps");
    }
}
