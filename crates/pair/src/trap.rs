//! Traps: what would turn a pair into a toy, as data that a machine checks.

use std::{any::Any, fmt};

use crate::inputs::Inputs;

/// A property of the timed inputs without which the pair would measure something else, with an input that lacks it.
///
/// The audit runs the check on the inputs of every timed case, and on the *sprung* inputs, where it must fail.
pub struct Trap<I: 'static> {
    /// The trap in a few words: "the needle is found at once".
    pub name: &'static str,
    /// What the pair would measure in it.
    pub reason: &'static str,
    /// Checks that the inputs of a timed case are not in the trap; the error says what they are like.
    pub check: fn(&[I]) -> Result<(), String>,
    /// Makes inputs that are in the trap.
    pub sprung: fn() -> Vec<I>,
}

impl<I> fmt::Debug for Trap<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A [`Trap`] with the type of its inputs erased.
pub trait ErasedTrap: fmt::Debug + Sync {
    /// The trap in a few words.
    fn name(&self) -> &'static str;

    /// What the pair would measure in it.
    fn reason(&self) -> &'static str;

    /// Checks the inputs of a trial; see [`Trial::erased_inputs`](crate::trial::Trial::erased_inputs).
    ///
    /// # Errors
    /// If they are in the trap, or are not the inputs that it checks.
    fn check(&self, inputs: &dyn Any) -> Result<(), String>;

    /// Checks that the sprung inputs are in the trap.
    ///
    /// # Errors
    /// If the check passes on them.
    fn check_sprung(&self) -> Result<(), String>;
}

impl<I: 'static> ErasedTrap for Trap<I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reason(&self) -> &'static str {
        self.reason
    }

    fn check(&self, inputs: &dyn Any) -> Result<(), String> {
        match inputs.downcast_ref::<Inputs<I>>() {
            Some(inputs) => (self.check)(inputs),
            None => {
                Err("its check takes another type than the inputs that the trial measured"
                    .to_owned())
            }
        }
    }

    fn check_sprung(&self) -> Result<(), String> {
        match (self.check)(&(self.sprung)()) {
            Ok(()) => Err("its check passes on the sprung inputs, so it cannot fail".to_owned()),
            Err(_) => Ok(()),
        }
    }
}

/// Returns the error `problem` unless `holds`; the last line of most checks.
///
/// # Errors
/// If it does not hold.
pub fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCENDING: Trap<Vec<u64>> = Trap {
        name: "the items are sorted",
        reason: "sorting would have nothing to do",
        check: |inputs| {
            ensure(inputs.iter().all(|items| !items.is_sorted()), || "sorted".to_owned())
        },
        sprung: || vec![vec![1, 2, 3]],
    };

    #[test]
    fn a_trap_catches_its_sprung_input_and_no_other() {
        assert_eq!(ErasedTrap::check(&ASCENDING, &Inputs::one(vec![2_u64, 1])), Ok(()));
        assert_eq!(
            ErasedTrap::check(&ASCENDING, &Inputs::one(vec![1_u64, 2])),
            Err("sorted".to_owned())
        );
        assert_eq!(ASCENDING.check_sprung(), Ok(()));
    }

    #[test]
    fn a_check_that_cannot_fail_is_a_defect() {
        let blind = Trap { check: |_| Ok(()), ..ASCENDING };
        assert!(blind.check_sprung().unwrap_err().contains("cannot fail"));
    }

    #[test]
    fn inputs_of_another_type_are_refused() {
        let error = ErasedTrap::check(&ASCENDING, &Inputs::one(1_u64)).unwrap_err();
        assert!(error.contains("another type"), "{error}");
    }
}
