//! Precision of products: the numbers that rows and weights are rounded to. Sums are f32, or whole numbers of 32 bits.

use std::fmt;
use std::str::FromStr;

use crate::simd::Simd;

/// The numbers that a product multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits, as the weights are stored.
    #[default]
    F32,
    /// The upper 16 bits of an f32.
    Bf16,
    /// Whole numbers of 8 bits: weights with a scale for each column, rows with a scale for each row.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// The precision that this CPU computes in when it is asked for this one: f32 in the place of bf16, where it has no
    /// instructions of bf16 and their emulation would be slower than f32.
    pub fn here(self) -> Self {
        match self {
            Self::Bf16 if !Simd::get().bf16 => Self::F32,
            other => other,
        }
    }

    /// The precision of parts for which bytes are too coarse: bf16 where the CPU has it.
    pub(crate) fn without_bytes(self, simd: Simd) -> Self {
        match self {
            Self::Int8 if simd.bf16 => Self::Bf16,
            Self::Int8 => Self::F32,
            other => other,
        }
    }

    /// Numbers in a word of 32 bits.
    pub(crate) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// Words that hold `numbers` of them.
    pub(crate) fn words(self, numbers: usize) -> usize {
        numbers.div_ceil(self.per_word())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// A text that names no [`Precision`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a precision\nhint: it is `f32`, `bf16` or `int8`")]
pub struct ParsePrecisionError(String);

impl FromStr for Precision {
    type Err = ParsePrecisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|precision| precision.to_string() == text);
        found.ok_or_else(|| ParsePrecisionError(text.to_owned()))
    }
}

/// The nearest bf16; the even one of two.
#[inline(always)]
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_as_they_are_written() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("f16".parse::<Precision>().is_err());
    }

    #[test]
    fn bf16_rounds_to_the_nearest() {
        let round = |value: f32| f32::from_bits(u32::from(to_bf16(value)) << 16);
        assert_eq!((round(1.0), round(-2.5), round(0.0)), (1.0, -2.5, 0.0));
        assert_eq!(round(1.0 + 1.0 / 256.0), 1.0, "a tie goes to the even one");
        assert_eq!(round(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(round(f32::INFINITY), f32::INFINITY);
    }
}
