//! The inputs of a case. Timing loops rotate through them, so that neither the branch predictor nor the nearest cache
//! learns one of them by heart.

use std::{any::Any, ops::Deref, sync::Arc};

/// One input or several of the same size. Iteration `k` of a side runs on input `k` modulo their number.
#[derive(Debug)]
pub struct Inputs<I>(Arc<Vec<I>>);

impl<I> Clone for Inputs<I> {
    fn clone(&self) -> Inputs<I> {
        Inputs(Arc::clone(&self.0))
    }
}

impl<I> Deref for Inputs<I> {
    type Target = [I];
    fn deref(&self) -> &[I] {
        &self.0
    }
}

impl<I: 'static> Inputs<I> {
    /// Returns a single input. A pair that is timed with one says in [`Pair::exempt`](crate::pair::Pair::exempt) why
    /// its reality has one too.
    pub fn one(input: I) -> Inputs<I> {
        Inputs::rotating([input])
    }

    /// Returns several inputs; see also [`Case::rotate`](crate::case::Case::rotate).
    ///
    /// # Panics
    /// If there are none.
    pub fn rotating(inputs: impl IntoIterator<Item = I>) -> Inputs<I> {
        let inputs: Vec<I> = inputs.into_iter().collect();
        assert!(!inputs.is_empty(), "a case has at least one input");
        Inputs(Arc::new(inputs))
    }

    /// Returns what `make` makes of each input, in the same order: another layout, elements that count.
    pub fn map<J: 'static>(&self, make: impl FnMut(&I) -> J) -> Inputs<J> {
        Inputs(Arc::new(self.iter().map(make).collect()))
    }

    /// Measures each input on the axis. `size` is a plain function, so it knows nothing but the input: not the point
    /// that the case claims.
    pub fn measured(&self, size: fn(&I) -> u64) -> MeasuredInputs {
        let sizes = self.iter().map(size).collect();
        MeasuredInputs { sizes, inputs: Box::new(self.clone()) }
    }
}

/// Inputs with their sizes on the axis; what [`Trial::new`](crate::trial::Trial::new) begins with.
pub struct MeasuredInputs {
    /// The size of each input.
    pub(crate) sizes: Vec<u64>,
    /// An [`Inputs`] of the pair's own type, for its traps.
    pub(crate) inputs: Box<dyn Any>,
}

/// A place in the rotation, which goes on from batch to batch.
pub(crate) struct Rotation<I> {
    inputs: Inputs<I>,
    next: usize,
}

impl<I> Rotation<I> {
    pub(crate) fn new(inputs: &Inputs<I>) -> Rotation<I> {
        Rotation { inputs: inputs.clone(), next: 0 }
    }

    /// Returns all inputs.
    pub(crate) fn inputs(&self) -> &Inputs<I> {
        &self.inputs
    }

    /// Returns the next input.
    #[inline(always)]
    pub(crate) fn turn(&mut self) -> &I {
        let input = &self.inputs.0[self.next];
        self.next += 1;
        if self.next == self.inputs.0.len() {
            self.next = 0;
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_takes_each_input_in_turn() {
        let mut rotation = Rotation::new(&Inputs::rotating([1, 2, 3]));
        let taken: Vec<u32> = (0..7).map(|_| *rotation.turn()).collect();
        assert_eq!(taken, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn each_input_is_measured() {
        let inputs = Inputs::rotating(["a", "bc"]).map(|text| text.len());
        assert_eq!(inputs.measured(|length| *length as u64).sizes, [1, 2]);
    }
}
