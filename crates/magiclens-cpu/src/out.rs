//! Rows that several threads write at once, each its own columns.

use std::marker::PhantomData;

/// A matrix that is written in parts.
#[derive(Clone, Copy)]
pub(crate) struct Out<'a> {
    values: *mut f32,
    count: usize,
    /// Numbers from one row to the next.
    width: usize,
    exclusive: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusive slice of numbers, which may go to another thread; parts are only given to who promises
// that nobody else has them.
unsafe impl Send for Out<'_> {}
// SAFETY: as above.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// Rows of `width` numbers.
    pub(crate) fn new(values: &'a mut [f32], width: usize) -> Self {
        Self {
            values: values.as_mut_ptr(),
            count: values.len(),
            width,
            exclusive: PhantomData,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.count / self.width
    }

    /// A part of a row.
    ///
    /// # Safety
    /// Nothing else reads or writes these numbers as long as the part lives.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "that it is the only one is the caller's promise")]
    pub(crate) unsafe fn part(&self, row: usize, column: usize, columns: usize) -> &'a mut [f32] {
        let from = row * self.width + column;
        assert!(from + columns <= self.count, "a part beyond the rows");
        // SAFETY: the part lies within the slice, as was just checked, and is the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(from), columns) }
    }
}
