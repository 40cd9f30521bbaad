//! Take items from the front: use a ring buffer, do not close the gap in a Vec each time.

use std::{collections::VecDeque, mem};

use rand::RngExt;

use worthit_pair::prelude::*;

/// Readings that come in while the window slides.
const READINGS: u64 = 1_000;

const MOVES: Cause = Cause::new("items_moved", "items moved")
    .counted("with a closure that sees where each item lies before and after a removal");

pub const PAIR: Pair = Pair {
    title: "Take from the front of a ring buffer",
    review: Review {
        smell: "`items.remove(0)` in a loop or for each event: a queue, or a window of the last n items, in a `Vec`.",
        remedy: "Keep the items in a `VecDeque`. Take them out with `pop_front` and put them in with `push_back`.",
        keep_naive_when: "There are only ever a few items: then little is gained. Or many items are taken at once: then \
                          iterate over `drain(..n)`, which closes the gap once.",
        costs: "The items of a `VecDeque` may lie in two slices. Code that wants one slice has to call \
                `make_contiguous`, and indexing computes where the ring wraps. If the window never changes its \
                length, an array and the index of its oldest item, the alternative, take less work still.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "Vec::remove(0)",
        growth: Growth::Until(&Growth::Linear, "the window outgrows the first-level cache"),
    },
    optimized: Side { summary: "VecDeque::pop_front", growth: Growth::Constant },
    input: "1,000 sensor readings of eight bytes, each of which drives the oldest one out of a full window whose sum \
            is kept. The window's length is the axis, and it stays the same.",
    axis: Axis {
        name: "window",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[4, 16, 100, 1_000, 10_000], deep: &[100_000] },
    },
    unit: "reading",
    headline: Headline::At { level: "", point: 1_000 },
    alternatives: &[SideBeside {
        name: "overwrite",
        summary: "overwrite the oldest item of an array",
    }],
    causes: &[Claim {
        cause: MOVES,
        naive: Count::Exactly(|case| READINGS * (case.point - 1)),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "When the first item is taken out of a `Vec`, all others move by one place. In a ring only the index of the \
              first one changes. Moving a block is cheap, because it goes through wide registers, so a short window loses \
              little. But the block grows with the window. The ring is far from its limit, because each sum waits for the \
              one before.",
        share_of_cause: ShareOfCause::NoRatio("a ring moves no items"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "hardly anything is taken out",
            reason: "filling the window would be timed, which both sides do alike",
            check: |inputs: &[Window]| {
                let few = inputs.iter().find(|window| (window.readings.len() as u64) < READINGS);
                ensure(few.is_none(), || format!("{:?} readings", few.map(|w| w.readings.len())))
            },
            sprung: || vec![Window { recent: vec![1; 1_000], readings: vec![2; 10] }],
        },
        &Trap {
            name: "all sums are the same",
            reason: "a side that takes out the wrong item would agree",
            check: |inputs: &[Window]| {
                let constant = inputs.iter().find(|window| {
                    let all = window.recent.iter().chain(&window.readings);
                    all.clone().zip(all.skip(1)).all(|(one, next)| one == next)
                });
                ensure(constant.is_none(), || "all readings are the same".to_owned())
            },
            sprung: || vec![Window { recent: vec![7; 100], readings: vec![7; READINGS as usize] }],
        },
    ],
    // Each reading is read, replaces another one that is read, and leaves a sum.
    limit: Limit::Work(&[Work::BytesStreamed(|_| READINGS * 4 * 8)]),
    prepare,
    ..Pair::DEFAULTS
};

/// The last items of a stream, the oldest first, and those that come next.
#[derive(Clone, Debug)]
struct Window<Q = Vec<i64>> {
    recent: Q,
    readings: Vec<i64>,
}

/// The sum of the window after each reading. `see` is shown the window before and after each removal.
fn naive(Window { mut recent, readings }: Window, mut see: impl FnMut([&[i64]; 2])) -> Vec<i64> {
    let mut sum: i64 = recent.iter().sum();
    let mut sum_with = |reading| {
        if !recent.is_empty() {
            see([&recent, &[]]);
            sum -= recent.remove(0);
            see([&recent, &[]]);
            recent.push(reading);
            sum += reading;
        }
        sum
    };
    readings.into_iter().map(&mut sum_with).collect()
}

/// The sum of the window after each reading. `see` is shown the window before and after each removal.
fn optimized(
    Window { mut recent, readings }: Window<VecDeque<i64>>,
    mut see: impl FnMut([&[i64]; 2]),
) -> Vec<i64> {
    let mut sum: i64 = recent.iter().sum();
    let mut sum_with = |reading| {
        see(recent.as_slices().into());
        if let Some(oldest) = recent.pop_front() {
            see(recent.as_slices().into());
            sum -= oldest;
            recent.push_back(reading);
            sum += reading;
        }
        sum
    };
    readings.into_iter().map(&mut sum_with).collect()
}

/// The sum of the window after each reading.
fn overwrite(Window { mut recent, readings }: Window) -> Vec<i64> {
    let mut sum: i64 = recent.iter().sum();
    let mut oldest = 0;
    let mut sum_with = |reading| {
        if let Some(place) = recent.get_mut(oldest) {
            sum += reading - mem::replace(place, reading);
            oldest += 1;
            if oldest == recent.len() {
                oldest = 0;
            }
        }
        sum
    };
    readings.into_iter().map(&mut sum_with).collect()
}

/// The items that `side` moves to close the gaps: those that lie elsewhere after a removal. The first item goes, so the
/// place of each other is that of the one behind it before.
fn moves(side: impl FnOnce(&mut dyn FnMut([&[i64]; 2]))) -> u64 {
    let (mut before, mut moves) = (Vec::new(), 0);
    side(&mut |window: [&[i64]; 2]| {
        let items = window.into_iter().flatten();
        let places: Vec<usize> = items.map(|item| std::ptr::from_ref(item).addr()).collect();
        if before.len() == places.len() + 1 {
            moves += before[1..].iter().zip(&places).filter(|(before, now)| before != now).count();
        }
        before = places;
    });
    moves as u64
}

/// Thousandths of a degree, which drift. No sum of them overflows.
fn input(case: &Case) -> Window {
    let (length, count) = (case.point as usize, case.items(READINGS));
    let mut all: Vec<i64> =
        case.values(length + count).into_iter().map(|value| (value as i64) >> 24).collect();
    if case.shape == Shape::Realistic {
        let (mut rng, mut now) = (case.rng("readings"), 20_000);
        for reading in &mut all {
            now += rng.random_range(-50..=50);
            *reading = now;
        }
    }
    let readings = all.split_off(length);
    Window { recent: all, readings }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let rings = inputs.map(|window| Window {
        recent: window.recent.iter().copied().collect(),
        readings: window.readings.clone(),
    });
    let (counted, counted_rings) = (inputs.clone(), rings.clone());
    Ok(Trial::new(
        inputs.measured(|window| window.recent.len() as u64),
        by_value(&inputs, |window| naive(window, |_| ()))
            .counting(MOVES, move |i| moves(|see| drop(naive(counted[i].clone(), see)))),
        by_value(&rings, |window| optimized(window, |_| ()))
            .counting(MOVES, move |i| moves(|see| drop(optimized(counted_rings[i].clone(), see)))),
    )
    .alternative(by_value(&inputs, overwrite))
    .units(case.items(READINGS) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(recent: &[i64], readings: &[i64]) -> [Vec<i64>; 3] {
        let window = Window { recent: recent.to_vec(), readings: readings.to_vec() };
        let ring = Window { recent: recent.to_vec().into(), readings: readings.to_vec() };
        [naive(window.clone(), |_| ()), optimized(ring, |_| ()), overwrite(window)]
    }

    #[test]
    fn known_answers() {
        for sums in all(&[1, 2, 3], &[10, 20, 30, 40, -5]) {
            assert_eq!(sums, [15, 33, 60, 90, 65]);
        }
        assert_eq!(all(&[7], &[1, 2]), [[1, 2]; 3]);
        assert_eq!(all(&[], &[1, 2]), [[0, 0]; 3]);
        assert_eq!(all(&[4, 4], &[]), [[0; 0]; 3]);
    }

    #[test]
    fn moves_are_counted() {
        // Each of two removals moves the two items behind the first.
        let window = Window { recent: vec![1, 2, 3], readings: vec![4, 5] };
        assert_eq!(moves(|see| drop(naive(window.clone(), see))), 4);
        let ring = Window { recent: window.recent.into(), readings: window.readings };
        assert_eq!(moves(|see| drop(optimized(ring, see))), 0);
    }
}
