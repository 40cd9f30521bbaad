//! Which inputs a proof tries.

use std::env;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    cases, format,
    pair::{Case, Pair, Points, Resources, Shape},
};

/// Every size up to this, or to the pair's largest, is tried once in each shape.
const EVERY_SIZE_UP_TO: u64 = 64;
/// Random inputs of a pair that opens only memory.
const RANDOM_IN_MEMORY: u64 = 256;
/// Random inputs of a pair that opens files, sockets, threads or databases.
const RANDOM_IN_SYSTEM: u64 = 32;

/// The inputs that one run of the tests proves a pair with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Every size from 0 to this is tried once in each shape.
    every_size_up_to: u64,
    /// Number of random inputs.
    random: u64,
    /// Size of the largest random input.
    max_size: u64,
    /// Whether the size is the point on the axis. If not, each input is at a random measured point.
    size_is_axis: bool,
}

impl Tried {
    /// Returns what the tests of `pair` try unless `WORTHIT_PROOFS` asks for another number of random inputs.
    pub fn by(pair: &Pair) -> Tried {
        let is_in_memory = pair.proof.resources == Resources::Memory;
        let max_size = pair.proof.max_size;
        Tried {
            every_size_up_to: max_size.min(EVERY_SIZE_UP_TO),
            random: if is_in_memory { RANDOM_IN_MEMORY } else { RANDOM_IN_SYSTEM },
            max_size,
            size_is_axis: pair.axis.is_size && matches!(pair.axis.points, Points::Fixed { .. }),
        }
    }

    /// Returns the same with as many random inputs as `WORTHIT_PROOFS` asks for.
    pub(super) fn with_random_asked_for(self) -> Tried {
        let asked = env::var("WORTHIT_PROOFS").ok();
        let random = asked
            .map_or(self.random, |n| n.parse().expect("WORTHIT_PROOFS must be a number of inputs"));
        Tried { random, ..self }
    }

    /// Returns whether the size is the point on the axis.
    pub(super) fn size_is_axis(self) -> bool {
        self.size_is_axis
    }

    /// Returns the number of inputs.
    pub fn count(self) -> u64 {
        (self.every_size_up_to + 1) * Shape::ALL.len() as u64 + self.random
    }

    /// Describes the inputs: "every size from 0 to 64 in each of 5 shapes, then 256 random ones up to size 300".
    pub fn in_words(self) -> String {
        let max = format::count(self.max_size);
        let Tried { every_size_up_to: last, random, .. } = self;
        let shapes = Shape::ALL.len();
        let at = if self.size_is_axis { "" } else { ", each at a random point of the axis" };
        format!(
            "every size from 0 to {last} in each of {shapes} shapes, then {random} random ones up to size {max}{at}"
        )
    }

    /// Returns every size up to 64 once in each shape, then random cases, the smallest first.
    pub(super) fn inputs(self, entry: &Pair) -> Vec<Case> {
        let mut rng = ChaCha8Rng::seed_from_u64(rand::random());
        let mut cases = Vec::new();
        let mut add = |point, shape, size, rng: &mut ChaCha8Rng| {
            let levels: Vec<u64> = cases::levels(entry)
                .iter()
                .filter(|level| level.is_measured_at(point))
                .map(|level| level.value)
                .collect();
            let level = levels[rng.random_range(0..levels.len())];
            let seed = rng.random();
            cases.push(Case { point, level, seed, shape, proof_size: Some(size), turn: 0 });
        };
        for size in 0..=self.every_size_up_to {
            for shape in Shape::ALL {
                let point = if self.size_is_axis { size } else { any_point(entry, &mut rng) };
                add(point, shape, size, &mut rng);
            }
        }
        for _ in 0..self.random {
            let shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())];
            let size = any_size(self.max_size, &mut rng);
            let point = if self.size_is_axis { size } else { any_point(entry, &mut rng) };
            add(point, shape, size, &mut rng);
        }
        cases.sort_by_key(|case| (case.point, case.proof_size));
        cases
    }
}

/// Returns a random size: often 0 or 1, otherwise anything up to `max`.
fn any_size(max: u64, rng: &mut ChaCha8Rng) -> u64 {
    match rng.random_range(0..10) {
        0 => 0,
        1 => 1.min(max),
        _ => rng.random_range(0..=max),
    }
}

/// Returns a random measured point.
fn any_point(entry: &Pair, rng: &mut ChaCha8Rng) -> u64 {
    let points = entry.axis.points.default_points();
    points[rng.random_range(0..points.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::{Axis, Proof};

    const FIXED: Points = Points::Fixed { default: &[1, 10], deep: &[] };

    fn pair(is_size: bool, points: Points, resources: Resources, max_size: u64) -> Pair {
        let axis = Axis { name: "n", unit: "", is_size, points };
        Pair { axis, proof: Proof { resources, max_size }, ..Pair::DEFAULTS }
    }

    #[test]
    fn the_stated_inputs_are_those_that_are_tried() {
        for (pair, count, words) in [
            (
                pair(true, FIXED, Resources::Memory, 1_000),
                65 * 5 + 256,
                "every size from 0 to 64 in each of 5 shapes, then 256 random ones up to size 1,000",
            ),
            (
                pair(false, FIXED, Resources::Memory, 20),
                21 * 5 + 256,
                "every size from 0 to 20 in each of 5 shapes, then 256 random ones up to size 20, \
                 each at a random point of the axis",
            ),
            (
                pair(false, Points::Threads, Resources::System, 8),
                9 * 5 + 32,
                "every size from 0 to 8 in each of 5 shapes, then 32 random ones up to size 8, \
                 each at a random point of the axis",
            ),
        ] {
            let tried = Tried::by(&pair);
            assert_eq!((tried.count(), tried.in_words().as_str()), (count, words));
            let cases = tried.inputs(&pair);
            assert_eq!(cases.len() as u64, count);
            let size_of = |case: &Case| case.proof_size.expect("a proof has a size");
            assert!(cases.iter().all(|case| size_of(case) <= pair.proof.max_size));
            for size in 0..=tried.every_size_up_to {
                let small = cases.iter().filter(|case| size_of(case) == size);
                let shapes = Shape::ALL.iter().filter(|s| small.clone().any(|c| c.shape == **s));
                assert_eq!(shapes.count(), Shape::ALL.len(), "size {size}");
            }
        }
    }
}
