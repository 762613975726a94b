//! Metrics of ranked lists, as pure functions of ids.
//!
//! A ranked list is first judged against the relevant ids ([`Judged::of`]); a metric is a function of the ranks at which
//! relevant items were found. Formulas, denominators and edge cases are those of the evaluators that their benchmarks come
//! with, which differ from each other; each function names its source.

use std::collections::HashSet;
use std::hash::Hash;

use crate::values::mean;

/// Pic2Word and ZSE-SBIR add this to a count before they divide by it, so that nothing divides by zero.
const EVALUATOR_EPSILON: f64 = 1e-5;

/// The ranks of the relevant items of one query in a ranked list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    ranks: Vec<usize>,
    relevant: usize,
    gallery: usize,
}

impl Judged {
    /// Judges a ranked list, best first, against the relevant ids. Equality of ids is all that counts: `1` and `"1"`
    /// differ if `Id` says so. An id that is listed twice counts twice, as in the evaluators that rank labels.
    pub fn of<Id: Eq + Hash>(ranked: &[Id], relevant: &HashSet<Id>) -> Self {
        Self::by(ranked.iter().map(|id| relevant.contains(id)), relevant.len())
    }

    /// Judges a list of which it is known, item by item, what is relevant; `relevant` counts the relevant items of the
    /// whole gallery, listed or not.
    pub fn by(is_relevant: impl IntoIterator<Item = bool>, relevant: usize) -> Self {
        let mut listed = 0;
        let mut ranks = Vec::new();
        for right in is_relevant {
            listed += 1;
            if right {
                ranks.push(listed);
            }
        }
        Self {
            ranks,
            relevant,
            gallery: listed,
        }
    }

    /// The same, where the list is only the head of a ranking of `gallery` items: the evaluators that cut rankings off cut
    /// whole ones.
    pub fn of_gallery(self, gallery: usize) -> Self {
        Self {
            gallery: gallery.max(self.gallery),
            ..self
        }
    }

    /// The ranks of relevant items from 1, ascending.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// Relevant items among the first `k`.
    fn found_at(&self, k: usize) -> usize {
        self.ranks.partition_point(|rank| *rank <= k)
    }
}

/// 1 if any relevant item is among the first `k`, else 0: what FashionIQ, CIRR and the MagicLens code call "recall@k"
/// (`Dataset.evaluate_recall`), GeneCIS (`get_recall`) and CLIP-benchmark (`recall_at_k > 0`) alike.
pub fn hit_at_k(judged: &Judged, k: usize) -> f64 {
    f64::from(u8::from(judged.found_at(k) > 0))
}

/// Share of the relevant items found among the first `k`: `found / (relevant + 1e-5)`; 0 if nothing is relevant.
/// Source: Pic2Word `get_metrics_imgnet`.
pub fn set_recall_at_k(judged: &Judged, k: usize) -> f64 {
    judged.found_at(k) as f64 / (judged.relevant as f64 + EVALUATOR_EPSILON)
}

/// Share of the first `k` that is relevant; a smaller gallery divides by its own size, an empty one gives 0.
/// Source: Pic2Word `get_metrics_imgnet`.
pub fn precision_at_k(judged: &Judged, k: usize) -> f64 {
    judged.found_at(k) as f64 / k.min(judged.gallery).max(1) as f64
}

/// Share of the first `min(k, relevant)` that is relevant; NaN if nothing is relevant, which a mean skips.
/// Source: ZSE-SBIR `utils/ap.py`, `precision_eval`.
pub fn capped_precision_at_k(judged: &Judged, k: usize) -> f64 {
    let top = k.min(judged.relevant);
    if top == 0 {
        return f64::NAN;
    }
    judged.found_at(top) as f64 / top as f64
}

/// Average precision at `k`: `1 / min(k, relevant) * sum of precision@i` over relevant ranks `i <= k`. Zero if nothing
/// is relevant. Source: CIRCO `src/evaluation.py`, `compute_metrics`.
pub fn average_precision_at_k(judged: &Judged, k: usize) -> f64 {
    if judged.relevant == 0 {
        return 0.0;
    }
    precision_sum(judged, k) / judged.relevant.min(k) as f64
}

/// Average precision of the first `top` items (of all, if `None`), not interpolated:
/// `sum of precision@i / (positives + 1e-5)`, where `positives` is `min(top, relevant)`.
/// Source: ZSE-SBIR `utils/ap.py`, `other_map1`.
pub fn plain_average_precision(judged: &Judged, top: Option<usize>) -> f64 {
    let (top, positives) = truncated(judged, top);
    let found = &judged.ranks[..judged.found_at(top).min(positives)];
    let sum: f64 = (1..)
        .zip(found)
        .map(|(count, rank)| f64::from(count) / *rank as f64)
        .sum();
    sum / (positives as f64 + EVALUATOR_EPSILON)
}

/// The VOC average precision of the first `top` items (of all, if `None`): at each relevant rank the best precision
/// from there on, summed and divided by `positives`, which is `min(top, relevant)`. NaN if nothing is relevant, which a
/// mean skips. Source: ZSE-SBIR `utils/ap.py`, `voc_eval` and `voc_ap`.
pub fn interpolated_average_precision(judged: &Judged, top: Option<usize>) -> f64 {
    let (top, positives) = truncated(judged, top);
    if positives == 0 {
        return f64::NAN;
    }
    let found = &judged.ranks[..judged.found_at(top)];
    let mut best: f64 = 0.0;
    let mut sum = 0.0;
    // Between two relevant ranks precision only falls, so the envelope is reached at relevant ranks.
    for (before, rank) in found.iter().enumerate().rev() {
        best = best.max((before + 1) as f64 / *rank as f64);
        sum += best;
    }
    sum / positives as f64
}

/// The area under precision over recall by the trapezoidal rule, over the whole ranking: at each relevant rank the mean of the
/// precisions before and at it, summed and divided by `relevant + 1e-5`; 0 if nothing is relevant. Source: `compute_ap` of
/// Radenović's cnnimageretrieval-pytorch, as FREEDOM and i-CIR use it.
pub fn trapezoidal_average_precision(judged: &Judged) -> f64 {
    let precisions = (0..).zip(&judged.ranks).map(|(found, rank)| {
        let (found, before) = (f64::from(found), (*rank - 1) as f64);
        let earlier = if before == 0.0 { 1.0 } else { found / before };
        f64::midpoint(earlier, (found + 1.0) / *rank as f64)
    });
    precisions.sum::<f64>() / (judged.relevant as f64 + EVALUATOR_EPSILON)
}

/// The share of the first `k` that two lists without repeats have in common; the longer list says how many could be.
/// NaN if both are empty.
pub fn overlap_at_k(one: &[usize], other: &[usize], k: usize) -> f64 {
    let first = |list: &[usize]| -> HashSet<usize> { list.iter().copied().take(k).collect() };
    let (one, other) = (first(one), first(other));
    one.intersection(&other).count() as f64 / one.len().max(other.len()) as f64
}

/// The mean of [`overlap_at_k`] over all pairs of lists; NaN for fewer than two.
pub fn pairwise_overlap_at_k(lists: &[&[usize]], k: usize) -> f64 {
    let pairs = (0..lists.len()).flat_map(|one| (one + 1..lists.len()).map(move |other| (one, other)));
    mean(pairs.map(|(one, other)| overlap_at_k(lists[one], lists[other], k)))
}

/// NegRecall@k: the share of what was excluded that is among the first `k` all the same, of at most `k` that can be; the
/// lower, the better. NaN if nothing was excluded.
pub fn negative_recall_at_k(ranked: &[usize], excluded: &HashSet<usize>, k: usize) -> f64 {
    let found = ranked.iter().take(k).filter(|row| excluded.contains(row)).count();
    found as f64 / excluded.len().min(k) as f64
}

fn precision_sum(judged: &Judged, k: usize) -> f64 {
    (1..)
        .zip(&judged.ranks[..judged.found_at(k)])
        .map(|(count, rank)| f64::from(count) / *rank as f64)
        .sum()
}

/// The number of items looked at, and the number of positives that can be among them.
fn truncated(judged: &Judged, top: Option<usize>) -> (usize, usize) {
    match top {
        None => (judged.gallery, judged.relevant),
        Some(top) => {
            let top = top.min(judged.gallery);
            (top, judged.relevant.min(top))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(ranked: &[u32], relevant: &[u32]) -> Judged {
        Judged::of(ranked, &relevant.iter().copied().collect())
    }

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn hits_by_hand() {
        for (ranked, k, expected) in [
            (vec![5, 1], 1, 0.0),
            (vec![5, 1], 2, 1.0),
            (vec![1, 5], 1, 1.0),
            (vec![], 3, 0.0),
        ] {
            check(hit_at_k(&judged(&ranked, &[1]), k), expected);
        }
    }

    #[test]
    fn average_precision_by_hand() {
        let at = |ranked: &[u32], relevant: &[u32], k| average_precision_at_k(&judged(ranked, relevant), k);
        check(at(&[9, 1, 8], &[1], 3), 0.5); // found second
        check(at(&[9, 8, 1], &[1], 2), 0.0); // found after k
        check(at(&[1, 9, 2], &[1, 2], 3), (1.0 + 2.0 / 3.0) / 2.0);
        check(at(&[1, 2], &[1, 2, 3, 4], 2), 1.0); // no more than k can be found
        check(at(&[1, 2], &[1, 2, 3, 4], 5), 0.5); // a list shorter than k finds no more
        check(at(&[1], &[], 1), 0.0);
    }

    #[test]
    fn trapezoidal_average_precision_by_hand() {
        let at = |ranked: &[u32], relevant: &[u32]| trapezoidal_average_precision(&judged(ranked, relevant));
        // Ranks 1 and 3: (1 + 1) / 2, then (1 / 2 + 2 / 3) / 2.
        check(at(&[1, 9, 2], &[1, 2]), (1.0 + (0.5 + 2.0 / 3.0) / 2.0) / 2.000_01);
        // Found second: (0 + 1 / 2) / 2.
        check(at(&[9, 1], &[1]), 0.25 / 1.000_01);
        check(at(&[9, 8], &[1]), 0.0);
        check(at(&[9], &[]), 0.0);
    }

    #[test]
    fn sketch_average_precision_by_hand() {
        // Relevant at ranks 2 and 3 of 4, one more never listed.
        let judged = judged(&[9, 1, 2, 8], &[1, 2, 3]);
        check(
            interpolated_average_precision(&judged, None),
            (2.0 / 3.0 + 2.0 / 3.0) / 3.0,
        );
        check(plain_average_precision(&judged, None), (0.5 + 2.0 / 3.0) / 3.000_01);
        check(interpolated_average_precision(&judged, Some(2)), 0.5 / 2.0);
        check(plain_average_precision(&judged, Some(2)), 0.5 / 2.000_01);
        check(capped_precision_at_k(&judged, 2), 0.5);
        check(capped_precision_at_k(&judged, 100), 2.0 / 3.0);
        // A list of three of a gallery of 100: the cut falls behind its end.
        let head = Judged::by([true, true, true], 10).of_gallery(100);
        check(interpolated_average_precision(&head, Some(5)), 3.0 / 5.0);
        check(precision_at_k(&head, 5), 3.0 / 5.0);
        check(precision_at_k(&Judged::by([true, true, true], 10), 5), 1.0);
        for nothing in [
            interpolated_average_precision(&Judged::by([false], 0), None),
            capped_precision_at_k(&Judged::by([false], 0), 5),
        ] {
            assert!(nothing.is_nan());
        }
    }

    #[test]
    fn set_recall_and_precision_by_hand() {
        let judged = judged(&[1, 9, 2, 3], &[1, 2, 3, 4]);
        check(set_recall_at_k(&judged, 3), 2.0 / 4.000_01);
        check(precision_at_k(&judged, 3), 2.0 / 3.0);
        check(precision_at_k(&judged, 10), 3.0 / 4.0);
        check(set_recall_at_k(&Judged::by([false, false], 0), 2), 0.0);
        check(precision_at_k(&Judged::by([], 0), 2), 0.0);
    }

    #[test]
    fn better_lists_never_score_worse() {
        // Swapping a relevant item forward past an irrelevant one raises no denominator and lowers no metric.
        let mut flags: Vec<bool> = (0..40).map(|i| i % 7 == 3 || i % 11 == 5).collect();
        let relevant = flags.iter().filter(|flag| **flag).count() + 2;
        loop {
            let before = Judged::by(flags.iter().copied(), relevant);
            let Some(at) = (1..flags.len()).rev().find(|at| flags[*at] && !flags[at - 1]) else {
                break;
            };
            flags.swap(at, at - 1);
            let after = Judged::by(flags.iter().copied(), relevant);
            for k in [1, 5, 20, 40] {
                for metric in [
                    hit_at_k,
                    set_recall_at_k,
                    precision_at_k,
                    capped_precision_at_k,
                    average_precision_at_k,
                ] {
                    assert!(metric(&after, k) >= metric(&before, k) - 1e-12);
                }
                for metric in [plain_average_precision, interpolated_average_precision] {
                    assert!(metric(&after, Some(k)) >= metric(&before, Some(k)) - 1e-12);
                    assert!(metric(&after, None) >= metric(&before, None) - 1e-12);
                }
            }
        }
        check(
            interpolated_average_precision(&Judged::by(flags.iter().copied(), relevant - 2), None),
            1.0,
        );
    }

    #[test]
    fn overlap_by_hand() {
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 2), 0.0);
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 3), 1.0 / 3.0);
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 4), 0.75);
        check(overlap_at_k(&[1], &[1, 2], 10), 0.5);
        assert!(overlap_at_k(&[], &[], 3).is_nan());
        // Pairs: 1/2, 0 and 1/2.
        check(pairwise_overlap_at_k(&[&[1, 2], &[2, 3], &[3, 4]], 2), 1.0 / 3.0);
        assert!(pairwise_overlap_at_k(&[&[1]], 2).is_nan());
    }

    #[test]
    fn negative_recall_by_hand() {
        let at = |ranked: &[usize], excluded: &[usize], k| {
            negative_recall_at_k(ranked, &excluded.iter().copied().collect(), k)
        };
        check(at(&[1, 2, 3, 4], &[2, 4], 3), 0.5);
        check(at(&[1, 2, 3, 4], &[8, 9], 4), 0.0);
        // No more than two can stand among the first two.
        check(at(&[1, 2, 3], &[1, 2, 3, 4], 2), 1.0);
        assert!(at(&[1], &[], 2).is_nan());
    }
}
