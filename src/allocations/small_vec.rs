//! Many short lists: keep each inside its variable, and on the heap only if it is long.

use std::collections::HashSet;

use arrayvec::ArrayVec;
use rand::RngExt;
use smallvec::SmallVec;

use worthit_pair::prelude::*;

/// Packets in one iteration.
const PACKETS: u64 = 256;

/// Inputs in the rotation.
const TURNS: u64 = 32;

/// Readings that a list holds without an allocation.
const INLINE: usize = 8;

/// Readings that a packet has at most.
const LONGEST: usize = 64;

pub const PAIR: Pair = Pair {
    title: "Keep short lists inline",
    review: Review {
        smell: "`packet.to_vec()`, or a function that returns `Vec`, called for each of many items, for lists that \
                nearly always hold a few small elements.",
        remedy: "A `SmallVec<[i32; INLINE]>` (the crate smallvec) with room for most lists, \
                 `SmallVec::from_slice(packet)`, and the same code after it.",
        keep_naive_when: "Most lists are longer than the room: those are on the heap as before. Or the elements are \
                          wide, or the list is kept or moved around: it takes all of its room wherever it lies, filled \
                          or not. Or it is filled or emptied element by element, with `push`, `pop` or `collect`, which \
                          can take back what the allocation saved. Or one Vec can be cleared and used again for all \
                          items: the alternative does so, needs no dependency and knows no limit.",
        costs: "A dependency, a room that has to be chosen from measured lengths, and a branch at each access, as the \
                elements may be in one of two places. If no list can ever be longer, the ArrayVec of the crate arrayvec, \
                the peer, does without that branch, and without a heap to fall back on.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "copy each packet to a Vec",
        growth: Growth::Other("grows as the sort does"),
    },
    optimized: Side {
        summary: "copy it to a SmallVec with room for eight",
        growth: Growth::Other("grows as the sort does, with a step where lists no longer fit"),
    },
    input: "Packets of a sensor, all with the stated number of readings. The median of each is asked, so a copy is \
            sorted. Readings are noise around a slow value, and about one in thirty is far off. 256 packets make one \
            iteration, and the sets alternate.",
    axis: Axis {
        name: "readings each",
        unit: "readings",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 5, 8, 12, 25], deep: &[] },
    },
    unit: "packet",
    headline: Headline::At { level: "", point: 3 },
    peers: &[SideBeside { name: "arrayvec", summary: "ArrayVec with room for 64" }],
    alternatives: &[SideBeside { name: "reused", summary: "one Vec, cleared for each packet" }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // The list of medians is one more.
        naive: Count::Exactly(|_| 1 + PACKETS),
        optimized: Count::Exactly(|case| if case.point <= INLINE as u64 { 1 } else { 1 + PACKETS }),
    }],
    explanation: Explanation {
        why: "A Vec of a few readings is an allocation and a free, which cost more than the copy of the readings. The \
              inline list is a place on the stack. What is left on both sides is the sort. std sorts short lists by \
              insertion, whose branches nobody can predict, so the gain falls with the length, and stays far below the \
              ratio of allocations. Lists of more than 20 readings are sorted nearly without branches. Beyond its room \
              the list is on the heap as well, and nothing is gained.",
        share_of_cause: ShareOfCause::Within(0.003, 0.02),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(12),
    },
    traps: &[
        &Trap {
            name: "the packets are sorted",
            reason: "the sort would have nothing to do, and the allocation would be all that is left",
            check: |inputs: &[Vec<Packet>]| {
                let long = || inputs.iter().flatten().filter(|packet| packet.len() >= 3);
                let sorted = long().filter(|packet| packet.is_sorted()).count();
                ensure(sorted * 3 <= long().count(), || {
                    format!("{sorted} of {} packets are sorted", long().count())
                })
            },
            sprung: || vec![vec![vec![1, 2, 3, 4]; 100]],
        },
        &Trap {
            name: "a predictor remembers the packets",
            reason: "it would know the branches of each sort",
            check: |inputs: &[Vec<Packet>]| {
                let distinct: HashSet<&[Packet]> = inputs.iter().map(|i| &i[..]).collect();
                let packets: usize = distinct.iter().map(|packets| packets.len()).sum();
                ensure(packets >= 8_192, || format!("{packets} packets before they repeat"))
            },
            sprung: || vec![vec![vec![3, 1, 2]; 256]; 100],
        },
    ],
    limit: Limit::None(
        "the sort takes most of what is left, and no machine number bounds its mispredicted branches",
    ),
    proof: Proof { resources: Resources::Memory, max_size: LONGEST as u64 },
    prepare,
    ..Pair::DEFAULTS
};

/// Readings of a sensor.
type Packet = Vec<i32>;

/// The median of each packet: the upper one of two, none of an empty packet.
fn naive(packets: &[Packet]) -> Vec<Option<i32>> {
    let median = |packet: &[i32]| {
        let mut sorted = packet.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    packets.iter().map(|packet| median(packet)).collect()
}

/// The median of each packet: the upper one of two, none of an empty packet.
fn optimized(packets: &[Packet]) -> Vec<Option<i32>> {
    let median = |packet: &[i32]| {
        let mut sorted: SmallVec<[i32; INLINE]> = SmallVec::from_slice(packet);
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    packets.iter().map(|packet| median(packet)).collect()
}

/// The median of each packet: the upper one of two, none of an empty packet.
fn arrayvec(packets: &[Packet]) -> Vec<Option<i32>> {
    let median = |packet: &[i32]| {
        let mut sorted = ArrayVec::<i32, LONGEST>::new();
        sorted.try_extend_from_slice(packet).expect("no packet is longer");
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    packets.iter().map(|packet| median(packet)).collect()
}

/// The median of each packet: the upper one of two, none of an empty packet.
fn reused(packets: &[Packet]) -> Vec<Option<i32>> {
    let mut sorted = Vec::new();
    let mut median = |packet: &[i32]| {
        sorted.clear();
        sorted.extend_from_slice(packet);
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    packets.iter().map(|packet| median(packet)).collect()
}

fn input(case: &Case) -> Vec<Packet> {
    let mut rng = case.rng("packets");
    let each = case.point as usize;
    if case.shape != Shape::Realistic {
        let values = case.values(each * 3);
        let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
        return (0..3).map(|i| values[i * each..][..each].to_vec()).collect();
    }
    let mut level = 20_000;
    let mut packet = || {
        level += rng.random_range(-20..=20);
        let mut reading = |_| match rng.random_range(0..30) {
            0 => rng.random_range(-40_000..90_000),
            _ => level + rng.random_range(-500..=500),
        };
        (0..each).map(&mut reading).collect()
    };
    (0..PACKETS).map(|_| packet()).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let over = |side: fn(&[Packet]) -> Vec<Option<i32>>| {
        by_ref(&inputs, move |packets: &Vec<Packet>| side(packets))
    };
    let measured = inputs.measured(|packets| packets[0].len() as u64);
    Ok(Trial::new(measured, over(naive), over(optimized))
        .peer(over(arrayvec))
        .alternative(over(reused))
        .units(inputs[0].len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let packets = [
            vec![],
            vec![7],
            vec![2, 1],
            vec![5, -3, i32::MAX],
            vec![9, 1, 8, 2, 7, 3, 6, 4],
            vec![9, 1, 8, 2, 7, 3, 6, 4, i32::MIN],
            vec![4; LONGEST],
        ];
        let medians = [None, Some(7), Some(2), Some(5), Some(6), Some(4), Some(4)];
        for median in [naive, optimized, arrayvec, reused] {
            assert!(median(&[]).is_empty());
            assert_eq!(median(&packets), medians);
        }
    }

    #[test]
    fn trap_the_room_is_what_the_card_says() {
        assert!(!SmallVec::<[i32; INLINE]>::from_slice(&[1; INLINE]).spilled());
        assert!(SmallVec::<[i32; INLINE]>::from_slice(&[1; INLINE + 1]).spilled());
    }
}
