//! Answers: what a side returns, how two answers are compared, and how much an answer says.

use std::{any::Any, collections::BTreeMap, fmt::Debug, rc::Rc, sync::Arc};

use crate::contract::{self, Approximate, ApproximateList, Unordered};

/// How much an answer found, so that a look-up that finds nothing is noticed.
///
/// Numbers, truth values and texts count 1 unless they are zero, false or empty; collections are the sum of their
/// elements. A pair implements it for its own types: a row counts 1.
pub trait Found {
    /// Returns how much this answer found; 0 if it says nothing.
    fn found(&self) -> u64;
}

macro_rules! found_unless_zero {
    ($($number:ty),*) => {
        $(impl Found for $number {
            fn found(&self) -> u64 {
                u64::from(*self != <$number>::default())
            }
        })*
    };
}
found_unless_zero!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, isize, f32, f64, bool);

impl Found for () {
    fn found(&self) -> u64 {
        0
    }
}

impl Found for String {
    fn found(&self) -> u64 {
        u64::from(!self.is_empty())
    }
}

/// Something counts 1 even if it is zero: a value was found.
impl<T: Found> Found for Option<T> {
    fn found(&self) -> u64 {
        self.as_ref().map_or(0, |value| value.found().max(1))
    }
}

impl<T: Found> Found for Rc<T> {
    fn found(&self) -> u64 {
        (**self).found()
    }
}

impl<T: Found> Found for Arc<T> {
    fn found(&self) -> u64 {
        (**self).found()
    }
}

impl<T: Found> Found for Vec<T> {
    fn found(&self) -> u64 {
        self.iter().map(Found::found).sum()
    }
}

impl<T: Found, const N: usize> Found for [T; N] {
    fn found(&self) -> u64 {
        self.iter().map(Found::found).sum()
    }
}

impl<K, V: Found> Found for BTreeMap<K, V> {
    fn found(&self) -> u64 {
        self.values().map(Found::found).sum()
    }
}

impl Found for ApproximateList {
    fn found(&self) -> u64 {
        self.values.found()
    }
}

impl Found for Approximate {
    fn found(&self) -> u64 {
        self.value.found()
    }
}

impl<T: Found> Found for Unordered<T> {
    fn found(&self) -> u64 {
        self.0.found()
    }
}

impl<A: Found, B: Found> Found for (A, B) {
    fn found(&self) -> u64 {
        self.0.found() + self.1.found()
    }
}

impl<A: Found, B: Found, C: Found> Found for (A, B, C) {
    fn found(&self) -> u64 {
        self.0.found() + self.1.found() + self.2.found()
    }
}

/// The result of a side: any type that can be compared and printed, and says how much it found. If two answers may
/// legitimately differ, the type's `PartialEq` defines by how much: see [`crate::contract`].
pub trait Answer: Any + Debug + PartialEq + Found {}
impl<T: Any + Debug + PartialEq + Found> Answer for T {}

/// An answer with its type erased.
pub trait ErasedAnswer: Debug {
    /// Returns whether `other` has the same type and is equal.
    fn equals(&self, other: &dyn ErasedAnswer) -> bool;
    /// Returns how much it found; see [`Found`].
    fn amount_found(&self) -> u64;
    /// Returns whether its type is one of [`crate::contract`], or a generic type over one.
    fn is_under_contract(&self) -> bool;
    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
}

impl<T: Answer> ErasedAnswer for T {
    fn equals(&self, other: &dyn ErasedAnswer) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| self == other)
    }
    fn amount_found(&self) -> u64 {
        self.found()
    }
    fn is_under_contract(&self) -> bool {
        contract::is_named_by::<T>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The answers of two sides that should agree but do not.
#[derive(Debug, thiserror::Error)]
#[error("the naive side and {side} disagree\n  naive: {naive}\n  {side}: {other}")]
pub struct Disagreement {
    /// The side that disagrees with the naive one: "the optimized side".
    pub side: &'static str,
    /// The naive side's answer, shortened.
    pub naive: String,
    /// The other side's answer, shortened.
    pub other: String,
}

impl Disagreement {
    /// Shows both answers from shortly before their first difference, so that a disagreement in the millionth element
    /// is readable.
    pub(crate) fn between(
        naive: &dyn ErasedAnswer,
        side: &'static str,
        other: &dyn ErasedAnswer,
    ) -> Disagreement {
        let (naive, other) = differing_parts(&format!("{naive:?}"), &format!("{other:?}"));
        Disagreement { side, naive, other }
    }
}

fn differing_parts(left: &str, right: &str) -> (String, String) {
    const BEFORE: usize = 40;
    const SHOWN: usize = 300;
    let same = left.chars().zip(right.chars()).take_while(|(l, r)| l == r).count();
    let skipped = same.saturating_sub(BEFORE);
    let cut = |text: &str| {
        let part: String = text.chars().skip(skipped).take(SHOWN).collect();
        let head = if skipped > 0 { "…" } else { "" };
        let tail = if text.chars().count() > skipped + SHOWN { "…" } else { "" };
        format!("{head}{part}{tail}")
    };
    (cut(left), cut(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_much_it_found() {
        assert_eq!(Vec::<u64>::new().found(), 0);
        assert_eq!(vec![0_u64, 3, 4].found(), 2);
        assert_eq!(vec![None, Some(0_u64), Some(7)].found(), 2);
        assert_eq!((vec![true, false], 0.0_f64).found(), 1);
        assert_eq!([String::new(), "x".to_owned()].found(), 1);
        assert_eq!(Unordered(vec![1_u8, 1]).found(), 2);
        assert_eq!(Approximate { value: 0.0, error: 1.0 }.found(), 0);
        assert_eq!(().found(), 0);
    }
}
