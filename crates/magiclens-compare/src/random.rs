//! Random numbers that a seed alone decides, the same on every machine and in every later version: a study outlives both.
//!
//! Order and sides of running studies come from this stream, so it stays SplitMix64.

use magiclens_data::Digest;
use magiclens_metrics::SplitMix64;

/// A stream of random numbers.
pub(crate) struct Random(SplitMix64);

impl Random {
    /// A stream of its own for each purpose: `parts` name it.
    pub(crate) fn new(parts: &[&str]) -> Self {
        Self(SplitMix64::new(Digest::of(parts.join("\n")).seed().swap_bytes()))
    }

    /// A number below `bound`, which must not be 0. The bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_even() {
        let mut counts = [[0; 4]; 4];
        let mut random = Random::new(&["test"]);
        for _ in 0..4000 {
            let mut items = [0, 1, 2, 3];
            random.shuffle(&mut items);
            items
                .iter()
                .enumerate()
                .for_each(|(place, &item)| counts[place][item] += 1);
        }
        // 1000 expected, standard deviation 27.
        assert!(
            counts.as_flattened().iter().all(|count| (860..1140).contains(count)),
            "{counts:?}"
        );
        assert_ne!(
            Random::new(&["a", "b"]).0.next_u64(),
            Random::new(&["a", "c"]).0.next_u64()
        );
    }
}
