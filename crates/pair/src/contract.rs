//! Contracts: types for answers that may legitimately differ. Each type defines by how much.
//!
//! The equality of each type *is* its contract, so a [`crate::trial::Trial`] proves it in the same way as plain
//! equality. A pair whose sides return one of these types states the contract in words in
//! [`crate::pair::Pair::contract`]. A proof checks that a pair has either both or neither.

use std::{any::type_name, fmt};

/// The contract line on the card of a pair that has no contract.
pub const EQUAL: &str = "must be equal";

/// A number known up to an error: the exact number lies within `value` ± `error`.
///
/// Two are equal if one exact number fits both: |a − b| ≤ a.error + b.error. A NaN equals nothing, and neither does
/// a number whose error is not a bound (negative, infinite or NaN). An infinite value equals only itself.
///
/// This equality is not transitive: 0 ± 1 equals 2 ± 1, and 2 ± 1 equals 4 ± 1, but 0 ± 1 does not equal 4 ± 1. The
/// type therefore has no `Eq`. Use its equality only to compare two answers.
#[derive(Clone, Copy, Debug)]
pub struct Approximate {
    /// The computed number.
    pub value: f64,
    /// The largest distance between `value` and the exact number.
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

/// Numbers that are not negative, each known up to the same share of itself: the exact number lies within
/// `value` × (1 ± `share`).
///
/// Two lists are equal if they are as long, and each two numbers are equal as [`Approximate`] ones are.
#[derive(Clone, Debug)]
pub struct ApproximateList {
    /// The computed numbers.
    pub values: Vec<f32>,
    /// The largest distance of a value from the exact number, as a share of the value.
    pub share: f64,
}

impl PartialEq for ApproximateList {
    fn eq(&self, other: &ApproximateList) -> bool {
        let number = |value: f32, share: f64| {
            let value = f64::from(value);
            Approximate { value, error: value * share }
        };
        let mut both = self.values.iter().zip(&other.values);
        self.values.len() == other.values.len()
            && both
                .all(|(own, other_one)| number(*own, self.share) == number(*other_one, other.share))
    }
}

/// Elements whose order does not matter, but whose number of occurrences does.
///
/// Two are equal if they are the same after sorting. `Debug` prints the elements sorted, so that a disagreement
/// shows the elements that differ and not their order.
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

/// Returns whether the name of `T` contains a type of this module: `Approximate`, `Vec<Approximate>`. A contract in
/// a field of a struct is not found, as the name of the struct does not show it.
pub(crate) fn is_named_by<T>() -> bool {
    type_name::<T>().contains(concat!(module_path!(), "::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approximate(value: f64, error: f64) -> Approximate {
        Approximate { value, error }
    }

    /// Returns whether two are equal. Asserts that the equality is symmetric.
    fn agree(a: Approximate, b: Approximate) -> bool {
        let [forth, back] = [(a, b), (b, a)].map(|(left, right)| left == right);
        assert_eq!(forth, back, "{a:?} {b:?}");
        forth
    }

    #[test]
    fn approximate_numbers_agree_up_to_the_sum_of_their_errors_and_not_beyond() {
        // All of these numbers are exact in binary.
        let a = approximate(1.0, 0.25);
        assert!(agree(a, a));
        assert!(agree(a, approximate(1.375, 0.125)) && agree(a, approximate(0.625, 0.125)));
        assert!(!agree(a, approximate(1.375_f64.next_up(), 0.125)));
        assert!(!agree(a, approximate(0.625_f64.next_down(), 0.125)));
        assert!(!agree(a, approximate(1.375, 0.125 - f64::EPSILON)));
    }

    #[test]
    fn approximate_lists_agree_number_by_number_and_in_length() {
        let list = |values: &[f32], share| ApproximateList { values: values.to_vec(), share };
        let own = list(&[1.0, 8.0], 0.125);
        assert_eq!(own, list(&[1.0, 8.0], 0.0));
        assert_eq!(own, list(&[1.125, 7.0], 0.0), "an eighth of each");
        assert_eq!(own, list(&[1.25, 8.0], 0.125));
        assert_ne!(own, list(&[1.25, 8.0], 0.0), "an eighth of the larger one would be enough");
        for other in [vec![1.0, 9.5], vec![8.0, 1.0], vec![1.0], vec![1.0, 8.0, 0.0]] {
            assert_ne!(own, list(&other, 0.0));
        }
        assert_ne!(list(&[f32::NAN], 1.0), list(&[f32::NAN], 1.0));
        assert_ne!(list(&[-1.0], 0.5), list(&[-1.0], 0.5), "a negative number has no bound");
    }

    #[test]
    fn with_no_error_only_the_same_number_agrees() {
        assert!(agree(approximate(0.1, 0.0), approximate(0.1, 0.0)));
        assert!(agree(approximate(0.0, 0.0), approximate(-0.0, 0.0)));
        assert!(!agree(approximate(0.1, 0.0), approximate(0.1_f64.next_up(), 0.0)));
        let least = f64::from_bits(1);
        assert!(agree(approximate(least, least), approximate(0.0, 0.0)));
    }

    #[test]
    fn nan_agrees_with_nothing() {
        let nan = approximate(f64::NAN, 1.0);
        assert!(!agree(nan, nan) && !agree(nan, approximate(0.0, f64::MAX)));
    }

    #[test]
    fn an_infinite_value_agrees_only_with_itself() {
        let infinite = approximate(f64::INFINITY, 1.0);
        assert!(agree(infinite, approximate(f64::INFINITY, 0.0)));
        assert!(!agree(infinite, approximate(f64::NEG_INFINITY, 1.0)));
        assert!(!agree(infinite, approximate(f64::MAX, f64::MAX)));
    }

    #[test]
    fn an_error_that_is_no_bound_agrees_with_nothing() {
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
    fn order_does_not_matter_but_the_number_of_occurrences_does() {
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
    fn a_contract_is_recognised_by_the_name_of_the_type() {
        assert!(is_named_by::<Approximate>() && is_named_by::<Unordered<u8>>());
        assert!(is_named_by::<Vec<Approximate>>() && is_named_by::<Option<Unordered<u8>>>());
        assert!(!is_named_by::<f64>() && !is_named_by::<crate::causes::Cause>());
    }
}
