//! What a side is run with so that its pair can count: a tally of the thread, and types that note events in it.

use std::{
    cell::Cell,
    cmp::Ordering,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use crate::inputs::Inputs;

thread_local! {
    static NOTED: Cell<u64> = const { Cell::new(0) };
}

/// Notes one event of what a pair counts, on this thread. Give it to a side that takes a closure to call at each step,
/// or call it in the operator of a counting type.
#[inline]
pub fn note() {
    NOTED.set(NOTED.get() + 1);
}

/// Returns how many events `side` notes on this thread.
pub fn noted_during<A>(side: impl FnOnce() -> A) -> u64 {
    let before = NOTED.get();
    drop(std::hint::black_box(side()));
    NOTED.get() - before
}

/// Returns what [`Runner::counting`](crate::trial::Runner::counting) takes: it runs `side` on the input at a place in the
/// rotation and returns how many events that notes.
pub fn noting<I: 'static, A>(
    inputs: &Inputs<I>,
    side: impl Fn(&I) -> A + 'static,
) -> impl FnMut(usize) -> u64 + 'static {
    let inputs = inputs.clone();
    move |input| noted_during(|| side(&inputs[input]))
}

/// The hasher of std's maps, with the same keys in every process, so that counts repeat. Which of two items collide
/// depends on the keys; what a hash costs does not.
pub type FixedSipHash = BuildHasherDefault<DefaultHasher>;

/// The same, and each hash is noted.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountedHashes;

impl BuildHasher for CountedHashes {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        note();
        DefaultHasher::new()
    }
}

/// A value whose comparisons (`==` or `<`) are noted. Run a generic side over `Counted<u64>` to count its
/// comparisons of `u64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted<T>(pub T);

impl<T: PartialEq> PartialEq for Counted<T> {
    fn eq(&self, other: &Counted<T>) -> bool {
        note();
        self.0 == other.0
    }
}

impl<T: Eq> Eq for Counted<T> {}

impl<T: PartialOrd> PartialOrd for Counted<T> {
    fn partial_cmp(&self, other: &Counted<T>) -> Option<Ordering> {
        note();
        self.0.partial_cmp(&other.0)
    }
}

impl<T: Ord> Ord for Counted<T> {
    fn cmp(&self, other: &Counted<T>) -> Ordering {
        note();
        self.0.cmp(&other.0)
    }
}

impl<T: Hash> Hash for Counted<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_side_is_counted_on_the_input_at_its_place() {
        let inputs = Inputs::rotating([3_u32, 5]).map(|n| (0..*n).map(Counted).collect::<Vec<_>>());
        let mut count = noting(&inputs, |items: &Vec<Counted<u32>>| items.is_sorted());
        assert_eq!([count(0), count(1)], [2, 4]);
    }

    #[test]
    fn comparisons_are_counted() {
        let items: Vec<Counted<u32>> = (0..100).map(Counted).collect();
        assert_eq!(noted_during(|| items.iter().position(|x| *x == Counted(41))), 42);
        assert_eq!(noted_during(|| items[0] < items[1]), 1);
        assert_eq!(noted_during(|| 1 < 2), 0);
    }

    #[test]
    fn hashes_are_counted() {
        let mut map = HashMap::with_hasher(CountedHashes);
        assert_eq!(noted_during(|| map.insert("a", 1)), 1);
        assert_eq!(noted_during(|| [map.get("a"), map.get("b")] == [Some(&1), None]), 2);
    }
}
