//! How sure a figure is: bootstrap intervals of means, and paired tests between two systems on the same queries.
//!
//! Values of one cluster (queries about one image or one concept) are not independent: whole clusters are drawn, and
//! whole clusters change sides. Every result is a function of its input and the seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap, and sign changes of a permutation test.
pub const RESAMPLES: usize = 2000;

/// The values of one metric over the queries of a task.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// A value a query; NaN where the metric is undefined, which is left out.
    pub values: &'a [f64],
    /// The cluster of each query, numbered from 0 in any order.
    pub clusters: &'a [usize],
}

/// An interval that holds the true value in 95 of 100 such samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How two systems differ on the same queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean of second minus first.
    pub difference: f64,
    /// The 95 % bootstrap interval of the difference.
    pub interval: Interval,
    /// Two-sided p-value of a sign-flip permutation test: how often chance alone makes a difference this large.
    pub p_value: f64,
}

/// The 95 % percentile bootstrap interval of the mean over tasks of the mean over queries; clusters are drawn within
/// each task. `None` if no task has a value.
pub fn bootstrap_interval(samples: &[Sample<'_>], seed: u64) -> Option<Interval> {
    let tasks: Vec<Clusters> = samples
        .iter()
        .map(Clusters::of)
        .filter(|task| task.count() > 0)
        .collect();
    percentile_interval(&tasks, seed)
}

/// Compares two systems on the same queries of the same tasks. `None` if the samples do not belong together or are empty.
pub fn compare_paired(first: &[Sample<'_>], second: &[Sample<'_>], seed: u64) -> Option<Paired> {
    if first.len() != second.len() {
        return None;
    }
    let mut tasks = Vec::with_capacity(first.len());
    for (a, b) in first.iter().zip(second) {
        if a.values.len() != b.values.len() || a.clusters != b.clusters {
            return None;
        }
        let differences: Vec<f64> = a.values.iter().zip(b.values).map(|(a, b)| b - a).collect();
        let task = Clusters::of(&Sample {
            values: &differences,
            clusters: a.clusters,
        });
        if task.count() > 0 {
            tasks.push(task);
        }
    }
    let interval = percentile_interval(&tasks, seed)?;
    let difference = mean_of(tasks.iter().map(Clusters::mean));
    let mut random = StdRng::seed_from_u64(seed ^ 0x5167_0000);
    let mut as_large = 0;
    for _ in 0..RESAMPLES {
        let flipped = mean_of(tasks.iter().map(|task| {
            let sum: f64 = task
                .sums
                .iter()
                .map(|(sum, _)| if random.random::<bool>() { *sum } else { -sum })
                .sum();
            sum / task.count() as f64
        }));
        // Rounding must not decide between equal differences.
        if flipped.abs() >= difference.abs() - 1e-12 {
            as_large += 1;
        }
    }
    Some(Paired {
        difference,
        interval,
        p_value: f64::from(as_large + 1) / (RESAMPLES + 1) as f64,
    })
}

/// Sum and count of the values of each cluster of a task.
struct Clusters {
    sums: Vec<(f64, usize)>,
}

impl Clusters {
    fn of(sample: &Sample<'_>) -> Self {
        let numbers = sample.clusters.iter().max().map_or(0, |max| max + 1);
        let mut sums = vec![(0.0, 0); numbers];
        for (value, cluster) in sample.values.iter().zip(sample.clusters) {
            if !value.is_nan() {
                sums[*cluster].0 += value;
                sums[*cluster].1 += 1;
            }
        }
        sums.retain(|(_, count)| *count > 0);
        Self { sums }
    }

    fn count(&self) -> usize {
        self.sums.iter().map(|(_, count)| count).sum()
    }

    fn mean(&self) -> f64 {
        self.sums.iter().map(|(sum, _)| sum).sum::<f64>() / self.count() as f64
    }

    /// The mean of as many clusters, drawn with replacement.
    fn resampled_mean(&self, random: &mut StdRng) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for _ in 0..self.sums.len() {
            let drawn = self.sums[random.random_range(0..self.sums.len())];
            sum += drawn.0;
            count += drawn.1;
        }
        sum / count as f64
    }
}

fn percentile_interval(tasks: &[Clusters], seed: u64) -> Option<Interval> {
    if tasks.is_empty() {
        return None;
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean_of(tasks.iter().map(|task| task.resampled_mean(&mut random))))
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    Some(Interval {
        low: at(0.025),
        high: at(0.975),
    })
}

fn mean_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    #[test]
    fn the_interval_is_the_textbook_one_for_many_independent_values() {
        let values: Vec<f64> = (0..2000).map(|i| f64::from(i % 2)).collect();
        let clusters = numbers(2000);
        let sample = Sample {
            values: &values,
            clusters: &clusters,
        };
        let found = bootstrap_interval(&[sample], 1).unwrap();
        let half = 1.96 * (0.25_f64 / 2000.0).sqrt();
        assert!((found.low - (0.5 - half)).abs() < 0.003, "{found:?}");
        assert!((found.high - (0.5 + half)).abs() < 0.003, "{found:?}");
        assert_eq!(bootstrap_interval(&[sample], 1), Some(found), "the seed decides");
    }

    #[test]
    fn clusters_that_move_together_widen_it() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i / 20 % 2)).collect();
        let alone = numbers(400);
        let together: Vec<usize> = (0..400).map(|i| i / 20).collect();
        let width = |clusters| {
            let found = bootstrap_interval(
                &[Sample {
                    values: &values,
                    clusters,
                }],
                3,
            )
            .unwrap();
            found.high - found.low
        };
        assert!(width(&together) > 3.0 * width(&alone));
    }

    #[test]
    fn equal_systems_do_not_differ_and_better_ones_do() {
        let first: Vec<f64> = (0..200).map(|i| f64::from(i % 3 == 0)).collect();
        let better: Vec<f64> = (0..200).map(|i| f64::from(i % 3 == 0 || i % 5 == 0)).collect();
        let clusters = numbers(200);
        let sample = |values| {
            [Sample {
                values,
                clusters: &clusters,
            }]
        };
        let same = compare_paired(&sample(&first), &sample(&first), 1).unwrap();
        assert_eq!((same.difference, same.p_value), (0.0, 1.0));
        let found = compare_paired(&sample(&first), &sample(&better), 1).unwrap();
        // 40 multiples of 5, of which 14 are multiples of 3 too.
        assert!((found.difference - 26.0 / 200.0).abs() < 1e-12);
        assert!(found.p_value < 0.001 && found.interval.low > 0.0, "{found:?}");
        let back = compare_paired(&sample(&better), &sample(&first), 1).unwrap();
        assert!((back.difference + found.difference).abs() < 1e-12 && back.p_value < 0.001);
    }

    #[test]
    fn the_p_value_is_the_binomial_one_for_single_wins() {
        // Six wins of six: the sign test gives 2 / 64.
        let clusters = numbers(6);
        let found = compare_paired(
            &[Sample {
                values: &[0.0; 6],
                clusters: &clusters,
            }],
            &[Sample {
                values: &[1.0; 6],
                clusters: &clusters,
            }],
            5,
        )
        .unwrap();
        assert!((found.p_value - 2.0 / 64.0).abs() < 0.012, "{}", found.p_value);
    }

    #[test]
    fn undefined_values_are_left_out_and_empty_samples_have_no_interval() {
        let sample = |values, clusters| Sample { values, clusters };
        assert_eq!(bootstrap_interval(&[sample(&[f64::NAN], &[0])], 1), None);
        assert_eq!(bootstrap_interval(&[], 1), None);
        let found = bootstrap_interval(&[sample(&[1.0, f64::NAN, 1.0], &[0, 1, 2])], 1).unwrap();
        assert_eq!((found.low, found.high), (1.0, 1.0));
        assert_eq!(
            compare_paired(&[sample(&[1.0], &[0])], &[sample(&[1.0, 0.0], &[0, 1])], 1),
            None
        );
    }
}
