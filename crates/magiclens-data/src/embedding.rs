//! A unit vector. Queries and images become one, so that their similarity is one dot product.

/// A unit vector. Only [`Embedding::normalize`] makes it: finite, not zero, length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

/// The reason for which numbers are not an [`Embedding`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbeddingError {
    /// No numbers at all.
    #[error("an embedding needs at least one number")]
    Empty,
    /// A NaN or an infinity.
    #[error("number {index} of the embedding is `{value}`, which is not finite")]
    NotFinite {
        /// The place of the first bad number.
        index: usize,
        /// The bad number.
        value: f32,
    },
    /// A vector of zeros has no direction.
    #[error("the embedding is zero and has no direction")]
    Zero,
    /// A stored vector that was said to be a unit vector.
    #[error(
        "the stored embedding has length {norm}, but a unit vector has length 1\nhint: the file may be damaged; index the images again"
    )]
    NotUnit {
        /// The length that was found.
        norm: f64,
    },
}

impl Embedding {
    /// Divides `values` by their length. Fails if they are empty, zero or not finite.
    pub fn normalize(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        let norm = norm(&values)?;
        for value in &mut values {
            // Dividing in f64 keeps very small and very large vectors right.
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(values))
    }

    /// A vector that was stored as a unit vector: its length is checked (within 0.01 of 1) and made exact again.
    pub fn from_unit(values: Vec<f32>) -> Result<Self, EmbeddingError> {
        let norm = norm(&values)?;
        if (norm - 1.0).abs() >= 1e-2 {
            return Err(EmbeddingError::NotUnit { norm });
        }
        Self::normalize(values)
    }

    /// The numbers, `[dim]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Number of values.
    pub fn dim(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle to `other`, from -1 to 1. Both must have the same [`Embedding::dim`].
    pub fn dot(&self, other: &Self) -> f32 {
        assert_eq!(self.dim(), other.dim(), "embeddings of two models were compared");
        dot(&self.0, &other.0)
    }
}

/// Dot product of two vectors of one length, in sixteen running sums, which the compiler turns into vector instructions.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The length of `values` in f64, or why they have no direction.
fn norm(values: &[f32]) -> Result<f64, EmbeddingError> {
    if values.is_empty() {
        return Err(EmbeddingError::Empty);
    }
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(EmbeddingError::NotFinite { index, value });
    }
    let norm = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 {
        Err(EmbeddingError::Zero)
    } else {
        Ok(norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalize_divides_by_the_length() {
        let embedding = Embedding::normalize(vec![3.0, -4.0]).unwrap();
        assert_eq!(embedding.as_slice(), [0.6, -0.8]);
        assert_eq!(embedding.dim(), 2);
        assert!((embedding.dot(&embedding) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_scale_does_not_matter() {
        let plain = Embedding::normalize(vec![1.0, 2.0, 2.0]).unwrap();
        for scale in [1e-30, 0.5, 7.0, 1e30] {
            let scaled = Embedding::normalize(vec![scale, 2.0 * scale, 2.0 * scale]).unwrap();
            assert!((scaled.dot(&plain) - 1.0).abs() < 1e-6, "{scale}");
        }
    }

    #[test]
    fn dot_products_of_all_lengths() {
        for length in 0..70_u8 {
            let a: Vec<f32> = (0..length).map(f32::from).collect();
            let b: Vec<f32> = (0..length).map(|at| f32::from(at % 3) - 1.0).collect();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(dot(&a, &b), expected, "{length}");
        }
    }

    #[test]
    fn numbers_without_a_direction_are_refused() {
        assert_eq!(Embedding::normalize(vec![]), Err(EmbeddingError::Empty));
        assert_eq!(Embedding::normalize(vec![0.0, -0.0]), Err(EmbeddingError::Zero));
        let error = EmbeddingError::NotFinite {
            index: 1,
            value: f32::INFINITY,
        };
        assert_eq!(Embedding::normalize(vec![1.0, f32::INFINITY]), Err(error));
        assert!(matches!(
            Embedding::normalize(vec![f32::NAN]),
            Err(EmbeddingError::NotFinite { index: 0, .. })
        ));
    }

    #[test]
    fn a_stored_vector_is_checked_and_made_exact() {
        let embedding = Embedding::from_unit(vec![0.605, -0.801]).unwrap();
        assert!((embedding.dot(&embedding) - 1.0).abs() < 1e-6);
        assert!(matches!(
            Embedding::from_unit(vec![0.6, 0.9]),
            Err(EmbeddingError::NotUnit { .. })
        ));
    }
}
