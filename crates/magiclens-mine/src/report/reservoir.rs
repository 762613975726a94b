//! A bounded memory of what was offered that does not depend on the order: the contents with the smallest hashes.
//!
//! One structure serves samples, counts and numbers of distinct things. It is exact until its limit is reached. After that it
//! holds a fair sample of the distinct contents, each with its exact count: a content that was pushed out has a larger hash than
//! all that stay, so it never comes back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The hash that decides about a content's place: of the seed and all parts, each with its length.
pub(super) fn key(seed: u64, parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(key)
}

/// The `limit` contents with the smallest keys, and how often each was offered.
#[derive(Clone, Debug)]
pub(super) struct Reservoir<T> {
    limit: usize,
    offered: u64,
    overflowed: bool,
    kept: BTreeMap<u128, (T, u64)>,
}

impl<T> Reservoir<T> {
    /// An empty one; it remembers at least one content.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            offered: 0,
            overflowed: false,
            kept: BTreeMap::new(),
        }
    }

    /// Counts a content; `make` is called only if it is new and stays.
    pub(super) fn offer(&mut self, key: u128, make: impl FnOnce() -> T) {
        self.offered += 1;
        if let Some((_, times)) = self.kept.get_mut(&key) {
            *times += 1;
            return;
        }
        if self.kept.len() == self.limit {
            self.overflowed = true;
            if self.kept.last_key_value().is_some_and(|(largest, _)| *largest < key) {
                return;
            }
            self.kept.pop_last();
        }
        self.kept.insert(key, (make(), 1));
    }

    /// Everything that was offered, repeats included.
    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// What is kept with its count, in the order of the keys, which is random and the same for the same contents.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&T, u64)> {
        self.kept.values().map(|(content, times)| (content, *times))
    }

    /// What is kept, in the order of the keys.
    pub(super) fn into_contents(self) -> impl Iterator<Item = T> {
        self.kept.into_values().map(|(content, _)| content)
    }

    /// How many different contents were offered; beyond the limit an estimate from the largest key (the k minimum values estimator
    /// of Bar-Yossef et al., 2002; its relative error is about 1 / √limit).
    pub(super) fn distinct(&self) -> Distinct {
        let kept = self.kept.len() as u64;
        match self.kept.last_key_value() {
            Some((&largest, _)) if self.overflowed => Distinct {
                items: self
                    .offered
                    .min(((kept - 1) as f64 / (largest as f64 / u128::MAX as f64)).round() as u64),
                exact: false,
            },
            _ => Distinct {
                items: kept,
                exact: true,
            },
        }
    }
}

/// A number of different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct {
    /// How many.
    pub items: u64,
    /// False where there were more than the report's `max_remembered`: then the number is an estimate.
    pub exact: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(limit: usize, numbers: impl Iterator<Item = u64>) -> Reservoir<u64> {
        let mut reservoir = Reservoir::new(limit);
        for number in numbers {
            reservoir.offer(key(7, &[&number.to_le_bytes()]), || number);
        }
        reservoir
    }

    fn contents(reservoir: &Reservoir<u64>) -> Vec<(u64, u64)> {
        reservoir.iter().map(|(number, times)| (*number, times)).collect()
    }

    #[test]
    fn the_order_of_what_is_offered_does_not_matter() {
        // 0..200, and 50..100 once more.
        let forward = filled(10, (0..200).chain(50..100));
        let backward = filled(10, (50..100).rev().chain((0..200).rev()));
        assert_eq!(contents(&forward), contents(&backward));
        assert_eq!((forward.iter().count(), forward.offered()), (10, 250));
        for (number, times) in contents(&forward) {
            assert_eq!(times, if (50..100).contains(&number) { 2 } else { 1 });
        }
        assert_eq!(forward.distinct(), backward.distinct());
    }

    #[test]
    fn it_is_exact_until_the_limit() {
        let full = filled(3, [4, 4, 5, 6, 6].into_iter());
        assert_eq!(full.distinct(), Distinct { items: 3, exact: true });
        assert_eq!(full.iter().map(|(_, times)| times).sum::<u64>(), 5);
        assert_eq!(filled(0, [1].into_iter()).iter().count(), 1);
        assert_eq!(filled(3, [].into_iter()).distinct(), Distinct { items: 0, exact: true });
    }

    #[test]
    fn beyond_the_limit_the_number_is_estimated() {
        let many = filled(1000, 0..50_000).distinct();
        assert!(!many.exact);
        // Four standard errors of 3.2 %.
        assert!((43_700..=56_300).contains(&many.items), "{many:?}");
        // One content says nothing about how many there are, but it is no panic.
        assert_eq!(filled(1, 0..9).distinct().items, 0);
    }

    #[test]
    fn keys_tell_parts_and_seeds_apart() {
        assert_ne!(key(0, &[b"ab", b"c"]), key(0, &[b"a", b"bc"]));
        assert_ne!(key(0, &[b"a"]), key(1, &[b"a"]));
        assert_eq!(key(3, &[b"a", b""]), key(3, &[b"a", b""]));
    }
}
