//! One query against one gallery: two linear comparisons a row, and the score that they make.

use magiclens_data::dot;

use super::projection::{Basis, project};
use super::vectors::{Sum, subtracted};

/// Share of a neighbor's similarity in the logarithm of its weight.
const NEIGHBOR_TEMPERATURE: f32 = 0.1;
/// The similarity that the query image has to itself in the expansion.
const OWN_SIMILARITY: f32 = 1.0;

/// Numbers of a gallery that every query needs.
#[derive(Clone, Debug, PartialEq)]
pub struct GalleryStatistics {
    /// Taken off images, `[dim]`.
    pub(super) image_mean: Vec<f32>,
    pub(super) minima: Option<Minima>,
}

/// The smallest similarities among images and texts that have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minima {
    pub(super) image: f32,
    pub(super) text: f32,
}

/// The similarity of a centered vector to centered gallery rows, without centering them: `(v, row) - (v, mean)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Probe {
    vector: Vec<f32>,
    offset: f32,
}

/// A query that is ready to score rows of its gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct BasicQuery {
    pub(super) image: Probe,
    pub(super) text: Probe,
    pub(super) minima: Option<Minima>,
    pub(super) penalty: f32,
}

/// A query before the neighbors of its image are known.
#[derive(Clone, Debug)]
pub struct BegunQuery<'a> {
    /// `None` where query images are not projected.
    pub(super) basis: Option<&'a Basis>,
    pub(super) penalty: f32,
    pub(super) statistics: &'a GalleryStatistics,
    /// Centered.
    pub(super) image: Vec<f32>,
    /// Centered.
    pub(super) text: Vec<f32>,
}

impl BegunQuery<'_> {
    /// The similarity of the image to gallery rows, by which its neighbors are found.
    pub fn neighborhood(&self) -> Neighborhood {
        Neighborhood(self.image_probe(self.image.clone()))
    }

    /// The query with the neighbors of its image, each with its similarity.
    pub fn expand<R: AsRef<[f32]>>(self, neighbors: &[(f32, R)]) -> BasicQuery {
        let image_mean = &self.statistics.image_mean;
        let image = match neighbors {
            [] => self.image.clone(),
            _ => expanded(&self.image, neighbors, image_mean),
        };
        BasicQuery {
            image: self.image_probe(image),
            text: Probe::new(self.text, image_mean),
            minima: self.statistics.minima,
            penalty: self.penalty,
        }
    }

    fn image_probe(&self, image: Vec<f32>) -> Probe {
        Probe::new(projected(self.basis, image), &self.statistics.image_mean)
    }
}

/// The similarity of a query's image to the rows of a gallery.
#[derive(Clone, Debug)]
pub struct Neighborhood(pub(super) Probe);

impl Neighborhood {
    /// The similarity to a unit row.
    pub fn similarity(&self, row: &[f32]) -> f32 {
        self.0.similarity(row)
    }
}

impl BasicQuery {
    /// The score of a unit row of the gallery; comparable within one gallery only.
    pub fn score(&self, row: &[f32]) -> f32 {
        score(
            self.image.similarity(row),
            self.text.similarity(row),
            self.minima,
            self.penalty,
        )
    }
}

impl Probe {
    pub(super) fn new(vector: Vec<f32>, image_mean: &[f32]) -> Self {
        let offset = dot(&vector, image_mean);
        Self { vector, offset }
    }

    pub(super) fn similarity(&self, row: &[f32]) -> f32 {
        dot(&self.vector, row) - self.offset
    }
}

impl Minima {
    /// The minima over all pairs of images, and of texts and images; all are centered.
    pub(super) fn of(images: &[Vec<f32>], texts: &[Vec<f32>]) -> Self {
        let smallest = |left: &[Vec<f32>]| {
            let all = left.iter().flat_map(|row| images.iter().map(|image| dot(row, image)));
            all.reduce(f32::min).unwrap_or(0.0)
        };
        Self {
            image: smallest(images),
            text: smallest(texts),
        }
    }
}

/// `t i - penalty (t + i)^2` of both similarities, each begun at its minimum, in units of the images' minimum, and zero at least.
pub(super) fn score(image: f32, text: f32, minima: Option<Minima>, penalty: f32) -> f32 {
    let (image, text) = match minima {
        Some(minima) => {
            let unit = if minima.image == 0.0 { 1.0 } else { minima.image.abs() };
            ((image - minima.image) / unit, (text - minima.text) / unit)
        }
        None => (image, text),
    };
    let (image, text) = (image.max(0.0), text.max(0.0));
    text * image - penalty * (text + image).powi(2)
}

/// The rows with the largest similarities, at most `count`, the largest first; equal ones in their order.
pub(super) fn nearest<R: AsRef<[f32]>>(
    probe: &Probe,
    rows: impl IntoIterator<Item = R>,
    count: usize,
) -> Vec<(f32, R)> {
    let mut found: Vec<(f32, R)> = Vec::with_capacity(count + 1);
    for row in rows {
        let similarity = probe.similarity(row.as_ref());
        let place = found.partition_point(|(other, _)| *other >= similarity);
        if place < count {
            found.insert(place, (similarity, row));
            found.truncate(count);
        }
    }
    found
}

/// The mean of a centered query image and its neighbors, which get centered here; weights grow with the similarity.
pub(super) fn expanded<R: AsRef<[f32]>>(image: &[f32], neighbors: &[(f32, R)], image_mean: &[f32]) -> Vec<f32> {
    let weight = |similarity: f32| f64::from(NEIGHBOR_TEMPERATURE * similarity).exp();
    let own = weight(OWN_SIMILARITY);
    let total: f64 = own + neighbors.iter().map(|(similarity, _)| weight(*similarity)).sum::<f64>();
    let mut sum: Vec<f64> = image.iter().map(|value| own * f64::from(*value)).collect();
    for (similarity, row) in neighbors {
        let weight = weight(*similarity);
        let centered = subtracted(row.as_ref(), image_mean);
        let both = sum.iter_mut().zip(centered);
        both.for_each(|(sum, value)| *sum += weight * f64::from(value));
    }
    sum.into_iter().map(|sum| (sum / total) as f32).collect()
}

/// A vector in the basis, where there is one.
pub(super) fn projected(basis: Option<&Basis>, vector: Vec<f32>) -> Vec<f32> {
    match basis {
        Some(basis) => project(basis, &vector),
        None => vector,
    }
}

/// The mean of a gallery, and at most `most` of its rows, evenly spread.
pub(super) fn mean_and_sample<R: AsRef<[f32]>>(
    rows: impl ExactSizeIterator<Item = R>,
    dim: usize,
    most: usize,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let step = rows.len().div_ceil(most).max(1);
    let mut sample = Vec::new();
    let mut sum = Sum::new(dim);
    for (at, row) in rows.enumerate() {
        sum.add(row.as_ref());
        if at % step == 0 {
            sample.push(row.as_ref().to_vec());
        }
    }
    (sum.mean(), sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let minima = Some(Minima {
            image: -0.5,
            text: -0.1,
        });
        // (0.3 + 0.1) / 0.5 = 0.8 and (0.5 + 0.5) / 0.5 = 2.
        let found = score(0.5, 0.3, minima, 0.1);
        assert!((found - (1.6 - 0.1 * 2.8 * 2.8)).abs() < 1e-6, "{found}");
        // Below its minimum a similarity counts as none, and the other one alone is a penalty.
        assert!((score(0.5, -0.3, minima, 0.1) + 0.1 * 4.0).abs() < 1e-6);
        assert_eq!(score(-0.2, 0.3, None, 0.0), 0.0);
        let zero = Some(Minima { image: 0.0, text: 0.0 });
        assert!(score(0.5, 0.5, zero, 0.1).is_finite());
    }

    #[test]
    fn a_probe_compares_centered_rows() {
        let probe = Probe::new(vec![1.0, 2.0], &[0.5, 0.25]);
        assert_eq!(probe.similarity(&[1.0, 1.0]), 0.5 + 2.0 * 0.75);
    }

    #[test]
    fn nearest_rows_come_first_and_ties_in_order() {
        let probe = Probe::new(vec![1.0], &[0.0]);
        let rows = [[0.1], [0.5], [0.2], [0.5], [0.3]];
        let found: Vec<f32> = nearest(&probe, &rows, 3).iter().map(|(_, row)| row[0]).collect();
        assert_eq!(found, [0.5, 0.5, 0.3]);
        assert!(std::ptr::eq(nearest(&probe, &rows, 1)[0].1, &rows[1]));
        assert_eq!(nearest(&probe, &rows, 9).len(), 5);
        assert!(nearest(&probe, &rows, 0).is_empty());
    }

    #[test]
    fn an_expansion_without_neighbors_is_the_image() {
        let none: [(f32, Vec<f32>); 0] = [];
        assert_eq!(expanded(&[0.25, -0.5], &none, &[0.0, 0.0]), [0.25, -0.5]);
        // A neighbor as similar as the image itself counts as much.
        let one = [(1.0, vec![1.0, 1.0])];
        assert_eq!(expanded(&[0.0, 0.0], &one, &[0.5, 0.0]), [0.25, 0.5]);
    }

    #[test]
    fn a_sample_is_spread_over_the_gallery() {
        let rows: Vec<Vec<f32>> = (0..10).map(|at| vec![at as f32]).collect();
        let (mean, sample) = mean_and_sample(rows.iter(), 1, 4);
        assert_eq!(
            (mean, sample),
            (vec![4.5], vec![vec![0.0], vec![3.0], vec![6.0], vec![9.0]])
        );
        let (mean, sample) = mean_and_sample(rows[..0].iter(), 1, 4);
        assert_eq!((mean, sample.len()), (vec![0.0], 0));
    }
}
