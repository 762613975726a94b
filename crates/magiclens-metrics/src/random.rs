//! Random numbers that a seed alone decides, the same on every machine and in every later version: resumed runs and
//! published intervals depend on them.

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A random generator: the cipher ChaCha with 12 rounds, seeded and sampled as `rand` 0.10 does with its `StdRng`, whose
/// stream later releases of `rand` may change.
#[derive(Debug)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// The stream of a seed.
    pub fn seed_from_u64(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// A number below `bound`, by widening multiplication; a second draw corrects most of the bias.
    ///
    /// # Panics
    /// If `bound` is 0 or does not fit into 32 bits.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).expect("at most 2^32 - 1 choices");
        assert!(bound > 0, "one choice at least");
        let (mut high, low) = self.scaled(bound);
        if low > bound.wrapping_neg() {
            let (correction, _) = self.scaled(bound);
            high += u32::from(low.checked_add(correction).is_none());
        }
        high as usize
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// A number from `low` to below `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let from_one_to_two = f32::from_bits(self.0.next_u32() >> 9 | 1_f32.to_bits());
        (from_one_to_two - 1.0) * (high - low) + low
    }

    /// Fisher and Yates, from the front; one draw serves as many places as its bits suffice for.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let (mut draw, mut places) = (0, 0);
        for at in 1..items.len() {
            if places == 0 {
                let (bound, factors) = longest_product(at as u32 + 1);
                (draw, places) = (self.below(bound as usize), factors);
            }
            items.swap(at, draw % (at + 1));
            draw /= at + 1;
            places -= 1;
        }
    }

    /// A draw times `bound`: its upper and its lower half.
    fn scaled(&mut self, bound: u32) -> (u32, u32) {
        let product = u64::from(self.0.next_u32()) * u64::from(bound);
        ((product >> 32) as u32, product as u32)
    }
}

/// The longest product `first * (first + 1) * ...` that fits, and its number of factors.
fn longest_product(first: u32) -> (u32, usize) {
    let (mut product, mut factors) = (first, 1);
    while let Some(longer) = product.checked_mul(first + factors) {
        product = longer;
        factors += 1;
    }
    (product, factors as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All numbers as `StdRng` of `rand` 0.10.3 gave them.
    #[test]
    fn the_stream_is_the_one_of_published_results() {
        let mut random = Random::seed_from_u64(7);
        let mut items: Vec<usize> = (0..16).collect();
        random.shuffle(&mut items);
        assert_eq!(items, [1, 3, 4, 14, 15, 7, 2, 5, 13, 9, 10, 12, 0, 8, 6, 11]);
        let coins: Vec<bool> = (0..8).map(|_| random.coin()).collect();
        assert_eq!(coins, [false, false, false, false, true, true, true, false]);
        let numbers: Vec<f32> = (0..3).map(|_| random.between(-1.0, 1.0)).collect();
        assert_eq!(numbers, [0.474_133_73, 0.902_262_45, 0.192_137_24]);
        let bounds = [1, 2, 10, 1000, 3_000_000_000, 4_294_967_295];
        let below: Vec<usize> = bounds.iter().map(|bound| random.below(*bound)).collect();
        assert_eq!(below, [0, 1, 2, 470, 375_661_764, 3_107_202_350]);
        let mut random = Random::seed_from_u64(7);
        let below: Vec<usize> = bounds.iter().map(|bound| random.below(*bound)).collect();
        assert_eq!(below, [0, 0, 1, 307, 182_177_925, 612_643_398]);
    }

    #[test]
    fn shuffles_are_even_and_keep_all() {
        let mut counts = [[0; 4]; 4];
        let mut random = Random::seed_from_u64(1);
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
        let mut none: [u8; 0] = [];
        random.shuffle(&mut none);
    }
}
