//! Rows of f32 as the kernels read them.

use rayon::prelude::*;

use crate::kernels::RowWords;
use crate::panels::{LARGEST, MIDDLE};
use crate::precision::{Precision, to_bf16};
use crate::run::Run;
use crate::simd::vectorized;

/// Rows in the words of a precision. Kept between calls, so that nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    words: Vec<u32>,
    stride: usize,
    /// Of bytes: the number that each row's whole numbers are multiplied by.
    pub(crate) scales: Vec<f32>,
    is_borrowed: bool,
}

impl Rows {
    /// Takes over rows of `width` numbers that lie `stride` apart. Those of f32 are read where they lie.
    pub(crate) fn load(&mut self, run: Run, precision: Precision, values: &[f32], width: usize, stride: usize) {
        self.is_borrowed = precision == Precision::F32;
        if self.is_borrowed {
            self.stride = stride;
            self.scales.clear();
            return;
        }
        self.stride = precision.words(width);
        let count = (values.len() + stride - width) / stride;
        self.words.resize(count * self.stride, 0);
        self.scales.resize(count, 0.0);
        let chunk = run.share(count);
        let round = |((values, words), scales): ((&[f32], &mut [u32]), &mut [f32])| {
            let rows = values.chunks(stride).map(|row| &row[..width]);
            for ((row, words), scale) in rows.zip(words.chunks_exact_mut(self.stride)).zip(scales) {
                match precision {
                    Precision::Int8 => to_bytes(run.simd, row, words, scale),
                    _ => to_halves(run.simd, row, words),
                }
            }
        };
        match run.threads {
            0 | 1 => round(((values, &mut self.words), &mut self.scales)),
            _ => values
                .par_chunks(chunk * stride)
                .zip(self.words.par_chunks_mut(chunk * self.stride))
                .zip(self.scales.par_chunks_mut(chunk))
                .for_each(round),
        }
        if precision != Precision::Int8 {
            self.scales.clear();
        }
    }

    /// The rows from `first` on; `values` as they were loaded.
    pub(crate) fn words<'a>(&'a self, values: &'a [f32], first: usize) -> RowWords<'a> {
        match self.is_borrowed {
            true => RowWords::of_f32(&values[first * self.stride..], self.stride),
            false => RowWords::new(&self.words[first * self.stride..], self.stride),
        }
    }
}

vectorized! {
    /// Rounds a row to bf16, two a word.
    fn to_halves(row: &[f32], words: &mut [u32]) {
        let (pairs, rest) = row.as_chunks::<2>();
        for (word, [low, high]) in words.iter_mut().zip(pairs) {
            *word = u32::from(to_bf16(*low)) | u32::from(to_bf16(*high)) << 16;
        }
        if let ([last], Some(word)) = (rest, words.last_mut()) {
            *word = u32::from(to_bf16(*last));
        }
    }
}

vectorized! {
    /// Rounds a row to whole numbers of 8 bits above [`MIDDLE`], four a word.
    fn to_bytes(row: &[f32], words: &mut [u32], scale: &mut f32) {
        /// Adding it rounds to a whole number, which then lies in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        let mut largest = [0.0_f32; 16];
        let (chunks, rest) = row.as_chunks::<16>();
        for chunk in chunks {
            for (largest, value) in largest.iter_mut().zip(chunk) {
                let size = value.abs();
                *largest = if size > *largest { size } else { *largest };
            }
        }
        let largest = largest.iter().chain(rest).fold(0.0_f32, |largest, value| largest.max(value.abs()));
        *scale = if largest > 0.0 { largest / LARGEST } else { 1.0 };
        let factor = scale.recip();
        let byte = |value: f32| ((value * factor + ROUND).to_bits() as u8).wrapping_add(MIDDLE as u8);
        let (quads, rest) = row.as_chunks::<4>();
        for (word, quad) in words.iter_mut().zip(quads) {
            *word = u32::from_le_bytes(quad.map(byte));
        }
        if let (Some(word), false) = (words.last_mut(), rest.is_empty()) {
            let mut bytes = [MIDDLE as u8; 4];
            bytes.iter_mut().zip(rest).for_each(|(byte_at, value)| *byte_at = byte(*value));
            *word = u32::from_le_bytes(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Simd, Width};

    #[test]
    fn rows_become_words_on_every_cpu() {
        for width in [Width::Portable, Width::Avx2, Width::Avx512] {
            let simd = Simd::detect(width);
            let run = Run { simd, threads: 2 };
            let mut rows = Rows::default();
            // Two rows of five numbers, seven apart.
            let values: Vec<f32> = (0..12).map(|at| at as f32 - 5.0).collect();
            rows.load(run, Precision::Bf16, &values, 5, 7);
            let half = |value: f32| u32::from(to_bf16(value));
            assert_eq!(rows.words.len(), 6);
            assert_eq!(rows.words[0], half(-5.0) | half(-4.0) << 16);
            assert_eq!(rows.words[5], half(6.0));

            rows.load(run, Precision::Int8, &values, 5, 7);
            assert_eq!((rows.words.len(), &rows.scales), (4, &vec![5.0 / 127.0, 6.0 / 127.0]));
            let first = rows.words[0].to_le_bytes();
            assert_eq!(first, [1, 26, 52, 77], "-127, -102, -76, -51 above 128");
            assert_eq!(rows.words[1].to_le_bytes(), [103, 128, 128, 128]);

            rows.load(run, Precision::Int8, &[0.0; 3], 3, 3);
            assert_eq!((rows.words[0], rows.scales[0]), (0x8080_8080, 1.0));
        }
    }
}
