//! Contracts: types of answers that may legitimately differ, and say by how much.
//!
//! The equality of each type *is* its contract, so that a [`crate::trial::Trial`] proves it as it proves that
//! answers are equal. A pair whose sides answer with one of them says so in words in
//! [`crate::pair::Pair::contract`]; a proof holds the words against the type.

use std::{any::type_name, fmt};

/// What a card says of a pair without a contract.
pub const EQUAL: &str = "must be equal";

/// A number that is known up to an error: the exact one lies within `value` ± `error`.
///
/// Two are equal if both may stand for the same exact number: |a − b| ≤ a.error + b.error. A NaN, or an error that
/// is no bound (negative, infinite or NaN), equals nothing; an infinite value equals itself alone.
///
/// This equality is not transitive (0 ± 1 equals 2 ± 1, and that equals 4 ± 1, which 0 ± 1 does not), so the
/// type has no `Eq`, and only a comparison of two answers should rest on it.
#[derive(Clone, Copy, Debug)]
pub struct Approximate {
    /// What was computed.
    pub value: f64,
    /// How far from it the exact number is at most.
    pub error: f64,
}

impl PartialEq for Approximate {
    fn eq(&self, other: &Approximate) -> bool {
        let is_bound = |error: f64| error >= 0.0 && error.is_finite();
        if !is_bound(self.error) || !is_bound(other.error) {
            return false;
        }
        if self.value.is_infinite() || other.value.is_infinite() {
            return self.value == other.value;
        }
        (self.value - other.value).abs() <= self.error + other.error
    }
}

/// Elements in any order, each as often as it occurs.
///
/// Two are equal if, sorted, they are the same. Printed sorted, so that a disagreement shows the
/// elements that differ and not the order that may.
pub struct Unordered<T>(pub Vec<T>);

impl<T: Ord> Unordered<T> {
    fn sorted(&self) -> Vec<&T> {
        let mut elements: Vec<&T> = self.0.iter().collect();
        elements.sort_unstable();
        elements
    }
}

impl<T: Ord> PartialEq for Unordered<T> {
    fn eq(&self, other: &Unordered<T>) -> bool {
        self.sorted() == other.sorted()
    }
}

impl<T: Ord> Eq for Unordered<T> {}

impl<T: Ord + fmt::Debug> fmt::Debug for Unordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unordered ")?;
        f.debug_list().entries(self.sorted()).finish()
    }
}

/// Whether a type of this module stands in the name of `T`: `Approximate`, `Vec<Approximate>`. A
/// struct's name does not tell of its fields.
pub(crate) fn is_named_by<T>() -> bool {
    type_name::<T>().contains(concat!(module_path!(), "::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approximate(value: f64, error: f64) -> Approximate {
        Approximate { value, error }
    }

    /// Whether two are equal, asked from both sides.
    fn agree(a: Approximate, b: Approximate) -> bool {
        let [forth, back] = [(a, b), (b, a)].map(|(left, right)| left == right);
        assert_eq!(forth, back, "{a:?} {b:?}");
        forth
    }

    #[test]
    fn approximate_numbers_agree_up_to_the_sum_of_their_errors_and_not_beyond() {
        // All of these are exact in binary.
        let a = approximate(1.0, 0.25);
        assert!(agree(a, a));
        assert!(agree(a, approximate(1.375, 0.125)) && agree(a, approximate(0.625, 0.125)));
        assert!(!agree(a, approximate(1.375_f64.next_up(), 0.125)));
        assert!(!agree(a, approximate(0.625_f64.next_down(), 0.125)));
        assert!(!agree(a, approximate(1.375, 0.125 - f64::EPSILON)));
    }

    #[test]
    fn without_an_error_only_the_same_number_agrees() {
        assert!(agree(approximate(0.1, 0.0), approximate(0.1, 0.0)));
        assert!(agree(approximate(0.0, 0.0), approximate(-0.0, 0.0)));
        assert!(!agree(approximate(0.1, 0.0), approximate(0.1_f64.next_up(), 0.0)));
        let least = f64::from_bits(1);
        assert!(agree(approximate(least, least), approximate(0.0, 0.0)));
    }

    #[test]
    fn what_is_no_number_agrees_with_nothing() {
        let nan = approximate(f64::NAN, 1.0);
        assert!(!agree(nan, nan) && !agree(nan, approximate(0.0, f64::MAX)));
    }

    #[test]
    fn an_infinite_value_agrees_with_itself_alone() {
        let infinite = approximate(f64::INFINITY, 1.0);
        assert!(agree(infinite, approximate(f64::INFINITY, 0.0)));
        assert!(!agree(infinite, approximate(f64::NEG_INFINITY, 1.0)));
        assert!(!agree(infinite, approximate(f64::MAX, f64::MAX)));
    }

    #[test]
    fn an_error_that_bounds_nothing_agrees_with_nothing() {
        for error in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(!agree(approximate(1.0, error), approximate(1.0, 2.0)), "{error}");
        }
    }

    #[test]
    fn approximate_equality_is_not_transitive() {
        let [a, b, c] = [0.0, 2.0, 4.0].map(|value| approximate(value, 1.0));
        assert!(a == b && b == c && a != c);
    }

    #[test]
    fn order_does_not_matter_and_how_often_an_element_occurs_does() {
        let unordered = |elements: &[u8]| Unordered(elements.to_vec());
        assert_eq!(unordered(&[]), unordered(&[]));
        assert_eq!(unordered(&[3, 1, 1, 2]), unordered(&[1, 2, 1, 3]));
        for other in [&[1, 2, 3][..], &[1, 2, 2, 3], &[1, 1, 2, 3, 3], &[]] {
            assert_ne!(unordered(&[3, 1, 1, 2]), unordered(other));
        }
    }

    #[test]
    fn unordered_elements_are_printed_sorted() {
        assert_eq!(format!("{:?}", Unordered(vec![3, 1, 2])), "unordered [1, 2, 3]");
    }

    #[test]
    fn a_contract_is_seen_in_a_type_by_its_name() {
        assert!(is_named_by::<Approximate>() && is_named_by::<Unordered<u8>>());
        assert!(is_named_by::<Vec<Approximate>>() && is_named_by::<Option<Unordered<u8>>>());
        assert!(!is_named_by::<f64>() && !is_named_by::<crate::causes::Cause>());
    }
}
