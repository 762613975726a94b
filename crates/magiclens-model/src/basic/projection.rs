//! The contrastive projection of BASIC (3.2 of arXiv 2510.25387): directions in which object names differ much and styles
//! little.

use super::eigen::eigen;
use super::vectors::{dot, subtracted};

/// The reference adds this to every entry of the matrix, not to its diagonal alone.
const EVERYWHERE: f64 = 1e-5;

/// An orthonormal basis, a row a direction: the projection is `basis^T basis`.
pub(super) type Basis = Vec<Vec<f32>>;

/// The directions with positive eigenvalues of `(1 - contrast) S(objects) - contrast S(styles) + 1e-5`, at most `components`
/// of them, the largest first. `S` is the scatter of centered rows, `[dim, dim]`, divided by their number minus one. `None`
/// where the numbers are not finite.
pub(super) fn contrastive_basis(
    objects: &[Vec<f32>],
    styles: &[Vec<f32>],
    contrast: f64,
    components: usize,
) -> Option<Basis> {
    let dim = objects.first().map_or(0, Vec::len);
    let mut matrix = vec![vec![EVERYWHERE; dim]; dim];
    add_scatter(&mut matrix, objects, 1.0 - contrast);
    add_scatter(&mut matrix, styles, -contrast);
    let found = eigen(matrix)?;
    let largest = found
        .values
        .iter()
        .fold(0.0_f64, |largest, value| largest.max(value.abs()));
    // What rounding alone makes of a zero is no direction.
    let floor = largest * f64::EPSILON * dim as f64;
    let kept = found.values.iter().take_while(|value| **value > floor).count();
    let rows = found.vectors.into_iter().take(kept.min(components));
    Some(
        rows.map(|row| row.into_iter().map(|value| value as f32).collect())
            .collect(),
    )
}

/// Adds `weight / (rows - 1) * sum of row^T row`.
fn add_scatter(matrix: &mut [Vec<f64>], rows: &[Vec<f32>], weight: f64) {
    let scale = weight / (rows.len() as f64 - 1.0);
    for row in rows {
        for (sums, left) in matrix.iter_mut().zip(row) {
            let left = scale * f64::from(*left);
            let entries = sums.iter_mut().zip(row);
            entries.for_each(|(sum, right)| *sum += left * f64::from(*right));
        }
    }
}

/// The part of a vector that lies in the basis.
pub(super) fn project(basis: &Basis, vector: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; vector.len()];
    for direction in basis {
        let along = dot(direction, vector);
        let both = sum.iter_mut().zip(direction);
        both.for_each(|(sum, value)| *sum += along * f64::from(*value));
    }
    sum.into_iter().map(|value| value as f32).collect()
}

/// Rows with a mean taken off.
pub(super) fn centered(rows: &[Vec<f32>], mean: &[f32]) -> Vec<Vec<f32>> {
    rows.iter().map(|row| subtracted(row, mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_of_styles_are_taken_off() {
        // Objects differ along both axes, styles along the second more.
        let objects = [vec![1.0, 0.0], vec![-1.0, 0.0], vec![0.0, 0.5], vec![0.0, -0.5]];
        let styles = [vec![0.0, 2.0], vec![0.0, -2.0]];
        let basis = contrastive_basis(&objects, &styles, 0.2, 250).unwrap();
        assert_eq!(basis.len(), 1);
        let found = project(&basis, &[3.0, 7.0]);
        assert!((found[0] - 3.0).abs() < 1e-3 && found[1].abs() < 1e-3, "{found:?}");
        // Without contrast both are kept, and a limit takes the larger one.
        assert_eq!(contrastive_basis(&objects, &styles, 0.0, 250).unwrap().len(), 2);
        let first = contrastive_basis(&objects, &styles, 0.0, 1).unwrap();
        assert!(first[0][0].abs() > 0.99, "{first:?}");
    }

    #[test]
    fn projecting_twice_is_projecting_once() {
        let rows: Vec<Vec<f32>> = (0..9)
            .map(|row| {
                (0..6)
                    .map(|column| ((row * 7 + column * 5) % 11) as f32 - 5.0)
                    .collect()
            })
            .collect();
        let basis = contrastive_basis(&rows, &rows[..4], 0.3, 3).unwrap();
        let once = project(&basis, &rows[8]);
        let twice = project(&basis, &once);
        assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
