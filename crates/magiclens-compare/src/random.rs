//! Random numbers that a seed alone decides, the same on every machine and in every later version: a study outlives both.
//!
//! Order and sides of running studies come from this stream, so it is its own and not that of `magiclens_metrics`.

use magiclens_data::Digest;

/// The generator SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each purpose: `parts` name it.
    pub(crate) fn new(parts: &[&str]) -> Self {
        Self(Digest::of(parts.join("\n")).seed().swap_bytes())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0. The bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
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
    fn the_stream_is_the_published_one() {
        // The first outputs of SplitMix64 from the seed 1234567, as its reference implementation prints them.
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

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
        assert_ne!(Random::new(&["a", "b"]).next(), Random::new(&["a", "c"]).next());
    }
}
