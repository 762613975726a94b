//! Words that begin at a cache line, so that no vector of a panel lies in two of them.

use std::ops::{Deref, DerefMut};

/// Words of a cache line.
const WORDS: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; WORDS]);

/// Whole lines of words.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    /// Zeros; `words` fill whole lines.
    pub(crate) fn zeros(words: usize) -> Self {
        let mut lines = Self::default();
        lines.clear(words);
        lines
    }

    /// Becomes zeros; `words` fill whole lines.
    pub(crate) fn clear(&mut self, words: usize) {
        self.0.clear();
        self.resize(words);
    }

    /// Gets another length; `words` fill whole lines. What is new is zero.
    pub(crate) fn resize(&mut self, words: usize) {
        assert!(words.is_multiple_of(WORDS), "{words} words fill no whole lines");
        self.0.resize(words / WORDS, Line([0; WORDS]));
    }
}

impl Deref for Lines {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        // SAFETY: a line is its words without gaps.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * WORDS) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [u32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * WORDS) }
    }
}
