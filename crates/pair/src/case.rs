//! One case: a point of a sweep with its seed, its name, and the input that follows from it.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::inputs::Inputs;

/// Content of an input, where the pair can choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Content as it occurs in practice; the only shape that is timed.
    Realistic,
    /// Uniformly random.
    Random,
    /// Few distinct values.
    DuplicateHeavy,
    /// Ascending.
    Sorted,
    /// Extremes, boundaries and values that break naive assumptions.
    Adversarial,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 5] =
        [Shape::Realistic, Shape::Random, Shape::DuplicateHeavy, Shape::Sorted, Shape::Adversarial];
}

/// Returns the 64-bit FNV-1a hash (Fowler, Noll and Vo), which is the same on every machine and never changes.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One point of a sweep, with its seed: everything that `prepare` builds an input from.
#[derive(Clone, Debug)]
pub struct Case {
    /// Value on the axis.
    pub point: u64,
    /// Value of the parameter; 0 if the pair has none.
    pub level: u64,
    /// Seed of the run; see [`Case::rng`].
    pub seed: u64,
    /// Content of the input.
    pub shape: Shape,
    /// In proofs, the size that replaces the pair's fixed sizes; see [`Case::items`].
    pub proof_size: Option<u64>,
    /// Place of the input in the rotation; see [`Case::rotate`].
    pub turn: u64,
}

/// Inputs that a proof rotates through, where a timed case has more.
const TURNS_IN_PROOFS: u64 = 2;

impl Case {
    /// Returns the case that is timed at `point` and `level`.
    pub fn realistic(point: u64, level: u64, seed: u64) -> Case {
        Case { point, level, seed, shape: Shape::Realistic, proof_size: None, turn: 0 }
    }

    /// Returns the size of an input whose size is not the axis: `usual` when timed, any size from 0 to `usual`
    /// in property tests.
    pub fn items(&self, usual: u64) -> usize {
        self.proof_size.map_or(usual, |size| size.min(usual)) as usize
    }

    /// Makes the inputs to rotate through: `turns` when timed, two in proofs. Each call of `make` gets this case with
    /// another [`Case::turn`], whose random numbers differ.
    pub fn rotate<I: 'static>(&self, turns: u64, make: impl FnMut(&Case) -> I) -> Inputs<I> {
        let turns = if self.proof_size.is_some() { turns.min(TURNS_IN_PROOFS) } else { turns };
        let at = |turn| Case { turn, ..self.clone() };
        Inputs::rotating((0..turns).map(at).collect::<Vec<Case>>().iter().map(make))
    }

    /// Returns a random number generator for one `purpose`. The same seed, point, turn and purpose give the same
    /// numbers on every machine and in every version (ChaCha8, seeded with the FNV-1a hash of the four; the first turn
    /// adds nothing to the hash).
    pub fn rng(&self, purpose: &str) -> ChaCha8Rng {
        let bytes = self.seed.to_le_bytes().into_iter().chain(self.point.to_le_bytes());
        let turn = self.turn.to_le_bytes().into_iter().filter(|_| self.turn > 0);
        ChaCha8Rng::seed_from_u64(fnv1a(bytes.chain(purpose.bytes()).chain(turn)))
    }

    /// Returns `count` numbers of this case's shape. [`Shape::Realistic`] and [`Shape::Random`] are uniform
    /// over all of `u64`.
    pub fn values(&self, count: usize) -> Vec<u64> {
        let mut rng = self.rng("values");
        match self.shape {
            Shape::Realistic | Shape::Random => (0..count).map(|_| rng.random()).collect(),
            Shape::DuplicateHeavy => (0..count).map(|_| rng.random_range(0..3)).collect(),
            Shape::Sorted => {
                let mut values: Vec<u64> =
                    (0..count).map(|_| rng.random_range(0..2 * count as u64)).collect();
                values.sort_unstable();
                values
            }
            Shape::Adversarial => {
                let extremes = [0, u64::MAX, 1, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 32];
                (0..count)
                    .map(|i| match rng.random_range(0..3) {
                        0 => extremes[i % extremes.len()],
                        1 => (count - i) as u64,
                        _ => (i as u64) << 48,
                    })
                    .collect()
            }
        }
    }
}

/// The name of a case in results, protocols and files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaseKey {
    /// Id of the pair.
    pub pair: String,
    /// Label of the parameter's value; empty if the pair has no parameter.
    #[serde(default)]
    pub level: String,
    /// Value on the axis.
    pub point: u64,
}

impl CaseKey {
    /// Returns criterion's group of the case: `queries/n_plus_one/loopback`.
    pub fn group(&self) -> String {
        group_id(&self.pair, &self.level)
    }
}

/// Prints the key as `queries/n_plus_one/loopback at 256`.
impl fmt::Display for CaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.group(), self.point)
    }
}

/// Returns criterion's group of a level: `queries/n_plus_one/loopback`.
pub fn group_id(pair: &str, level: &str) -> String {
    if level.is_empty() { pair.to_owned() } else { format!("{pair}/{level}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_always_gives_the_same_numbers() {
        let case = Case::realistic(3, 0, 42);
        assert_eq!(case.values(3), GOLDEN);
        assert_ne!(case.values(3), Case::realistic(4, 0, 42).values(3));
        assert_ne!(case.values(3), Case::realistic(3, 0, 43).values(3));
    }

    #[test]
    fn each_turn_has_numbers_of_its_own_and_the_first_those_of_the_case() {
        let case = Case::realistic(3, 0, 42);
        let inputs = case.rotate(3, |case| case.values(3));
        assert_eq!(inputs[0], GOLDEN);
        assert!(inputs[1] != inputs[0] && inputs[2] != inputs[1] && inputs[2] != inputs[0]);
        let proof = Case { proof_size: Some(3), ..case };
        assert_eq!(proof.rotate(100, |case| case.turn)[..], [0, 1]);
        assert_eq!(proof.rotate(1, |case| case.turn)[..], [0]);
    }

    /// Never change these: results of other days and machines rest on them.
    const GOLDEN: [u64; 3] =
        [15_199_483_247_605_180_311, 3_084_741_056_694_896_899, 881_751_400_747_860_533];

    #[test]
    fn shapes_have_the_content_they_are_named_after() {
        let values = |shape| Case { shape, ..Case::realistic(100, 0, 1) }.values(100);
        assert!(values(Shape::Sorted).is_sorted());
        assert!(values(Shape::DuplicateHeavy).iter().all(|value| *value < 3));
        assert!(values(Shape::Adversarial).contains(&u64::MAX));
    }
}
