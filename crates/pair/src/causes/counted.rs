//! Elements that count their comparisons.

use std::{
    cell::Cell,
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use crate::inputs::Inputs;

thread_local! {
    static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}

/// A value whose comparisons (`==` or `<`) are counted per thread. Run a generic side over `Counted<u64>` to count its
/// comparisons of `u64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted<T>(pub T);

fn note() {
    COMPARISONS.set(COMPARISONS.get() + 1);
}

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

/// Returns how many comparisons of [`Counted`] values `side` makes on this thread.
pub fn comparisons_during<A>(side: impl FnOnce() -> A) -> u64 {
    let before = COMPARISONS.get();
    drop(std::hint::black_box(side()));
    COMPARISONS.get() - before
}

/// Returns what [`Runner::counting`](crate::trial::Runner::counting) takes for [`COMPARISONS`](super::COMPARISONS): it
/// runs `side` on the input at a place in the rotation, in a form whose elements are [`Counted`].
pub fn comparing<I: 'static, A>(
    counted: &Inputs<I>,
    side: impl Fn(&I) -> A + 'static,
) -> impl FnMut(usize) -> u64 + 'static {
    let counted = counted.clone();
    move |input| comparisons_during(|| side(&counted[input]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_counted_on_the_input_at_its_place() {
        let inputs = Inputs::rotating([3_u32, 5]).map(|n| (0..*n).map(Counted).collect::<Vec<_>>());
        let mut count = comparing(&inputs, |items: &Vec<Counted<u32>>| items.is_sorted());
        assert_eq!([count(0), count(1)], [2, 4]);
    }

    #[test]
    fn comparisons_are_counted() {
        let items: Vec<Counted<u32>> = (0..100).map(Counted).collect();
        assert_eq!(comparisons_during(|| items.iter().position(|x| *x == Counted(41))), 42);
        assert_eq!(comparisons_during(|| items[0] < items[1]), 1);
        assert_eq!(comparisons_during(|| 1 < 2), 0);
    }
}
