//! What a training adds up, in one flat array: each layer knows its place. Arrays of several threads are added as a whole.

use std::ops::Range;

/// A layer's place in the array.
#[derive(Clone, Debug)]
pub(crate) struct Slot(Range<usize>);

impl Slot {
    pub(crate) fn of<'a>(&self, sums: &'a [f32]) -> &'a [f32] {
        &sums[self.0.clone()]
    }

    pub(crate) fn of_mut<'a>(&self, sums: &'a mut [f32]) -> &'a mut [f32] {
        &mut sums[self.0.clone()]
    }
}

/// Places that were given out.
#[derive(Debug, Default)]
pub struct Slots {
    count: usize,
}

impl Slots {
    /// Numbers of all places.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next place.
    pub(crate) fn take(&mut self, count: usize) -> Slot {
        let from = self.count;
        self.count += count;
        Slot(from..self.count)
    }
}
