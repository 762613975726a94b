//! The way of a forward pass.

use crate::kernels::ROWS;
use crate::simd::Simd;

/// Instructions and threads of a forward pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) simd: Simd,
    /// Threads that share each layer.
    pub(crate) threads: usize,
}

impl Run {
    /// With all instructions that may be used.
    pub(crate) fn on(threads: usize) -> Self {
        let simd = Simd::get();
        Self { simd, threads }
    }

    /// Rows of each thread, whole tiles.
    pub(crate) fn share(self, rows: usize) -> usize {
        rows.div_ceil(self.threads.max(1)).next_multiple_of(ROWS).max(ROWS)
    }
}
