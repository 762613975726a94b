//! Counts by value, and fair draws.

use std::collections::BTreeMap;

use magiclens_data::{Digest, DigestBuilder};
use serde::{Deserialize, Serialize};

/// Values shown of each list: hosts, licenses, words.
const LISTED: usize = 30;

/// Counts by value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// All that was counted: the listed values and `others`.
    pub(super) total: u64,
    /// The most frequent first, equals in the order of their names.
    pub(super) values: Vec<Counted>,
    /// Those of values that are not listed.
    pub(super) others: u64,
    /// Different values.
    pub(super) distinct: u64,
}

/// A value and its count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) value: String,
    pub(super) items: u64,
}

/// Counts values one by one.
#[derive(Debug, Default)]
pub(super) struct Counter(BTreeMap<String, u64>);

impl Counter {
    pub(super) fn add(&mut self, value: &str) {
        match self.0.get_mut(value) {
            Some(items) => *items += 1,
            None => _ = self.0.insert(value.to_owned(), 1),
        }
    }

    /// The most frequent.
    pub(super) fn finish(self) -> Counts {
        let (total, distinct) = (self.0.values().sum(), self.0.len() as u64);
        let counted = |(value, items)| Counted { value, items };
        let mut values: Vec<Counted> = self.0.into_iter().map(counted).collect();
        // A stable sort: equals stay in the order of their names.
        values.sort_by_key(|counted| std::cmp::Reverse(counted.items));
        values.truncate(LISTED);
        let shown: u64 = values.iter().map(|counted| counted.items).sum();
        Counts {
            total,
            values,
            others: total - shown,
            distinct,
        }
    }
}

/// A fair sample in any order of offers: the items with the `limit` smallest keys.
#[derive(Debug)]
pub(super) struct Draw<T> {
    limit: usize,
    kept: BTreeMap<Digest, T>,
}

impl<T> Draw<T> {
    pub(super) fn new(limit: usize) -> Self {
        let kept = BTreeMap::new();
        Self { limit, kept }
    }

    /// `make` is called only if the item is drawn so far.
    pub(super) fn offer(&mut self, key: Digest, make: impl FnOnce() -> T) {
        let is_full = self.kept.len() >= self.limit;
        if is_full && self.kept.last_key_value().is_none_or(|(largest, _)| *largest < key) {
            return;
        }
        self.kept.entry(key).or_insert_with(make);
        if self.limit < self.kept.len() {
            self.kept.pop_last();
        }
    }

    /// The drawn items in random order.
    pub(super) fn items(&self) -> impl Iterator<Item = &T> {
        self.kept.values()
    }
}

/// The key of an item in a [`Draw`]: a hash of the seed and all parts, each with its length.
pub(super) fn draw_key(seed: u64, parts: &[&[u8]]) -> Digest {
    let mut digest = DigestBuilder::new();
    digest.update(seed.to_le_bytes());
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes()).update(part);
    }
    digest.finish()
}

/// A metric with six decimals: more say nothing, and so many come back from JSON as they were.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// `part` / `whole`; 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    rounded(part as f64 / whole.max(1) as f64)
}
