//! Eigenvalues and eigenvectors of a symmetric matrix: Householder reflections to three diagonals, then implicit QL steps
//! (Golub and Van Loan, *Matrix Computations*, 8.3). f64 throughout; some seconds at 1,152 rows.

use rayon::prelude::*;

/// QL steps for one eigenvalue before the search is given up; a handful is usual.
const MAX_STEPS: usize = 64;

/// Eigenvalues, largest first, with their eigenvectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Eigen {
    /// In descending order.
    pub(super) values: Vec<f64>,
    /// A unit vector for each value; orthogonal to each other.
    pub(super) vectors: Vec<Vec<f64>>,
}

/// A matrix with numbers on its diagonal and beside it only.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// `beside[i]` stands between rows `i` and `i + 1`; one unused number at the end.
    beside: Vec<f64>,
}

/// A unit vector whose first `start` numbers are zero and not kept; it reflects `x` to `x - 2 (x, v) v`.
struct Reflector {
    start: usize,
    vector: Vec<f64>,
}

/// The eigenvalues and eigenvectors of a symmetric `[n, n]` matrix; `None` where the steps do not converge, as with numbers
/// that are not finite.
pub(super) fn eigen(matrix: Vec<Vec<f64>>) -> Option<Eigen> {
    let (mut three, reflectors) = tridiagonal(matrix);
    let mut vectors = accumulated(&reflectors, three.diagonal.len());
    for row in 0..three.diagonal.len() {
        diagonalize_row(&mut three, &mut vectors, row)?;
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = three.diagonal.into_iter().zip(vectors).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (values, vectors) = pairs.into_iter().unzip();
    Some(Eigen { values, vectors })
}

/// Three diagonals `T` and reflections `H` with `A = H0 H1 .. T .. H1 H0`.
fn tridiagonal(mut matrix: Vec<Vec<f64>>) -> (Tridiagonal, Vec<Reflector>) {
    let size = matrix.len();
    let mut beside = vec![0.0; size];
    let mut reflectors = Vec::with_capacity(size);
    for column in 0..size.saturating_sub(1) {
        let below = matrix[column][column + 1..].to_vec();
        let (length, reflector) = reflector(below, column + 1);
        beside[column] = length;
        if let Some(reflector) = reflector {
            reflect_both_sides(&mut matrix, &reflector);
            reflectors.push(reflector);
        }
    }
    let diagonal = matrix.iter().enumerate().map(|(row, values)| values[row]).collect();
    (Tridiagonal { diagonal, beside }, reflectors)
}

/// The reflection of `x` onto its first axis, and the number that stands there then; no reflection where it already lies there.
fn reflector(mut x: Vec<f64>, start: usize) -> (f64, Option<Reflector>) {
    if x[1..].iter().all(|value| *value == 0.0) {
        return (x[0], None);
    }
    let length = norm(&x);
    // The sign that adds up, so that no digits are lost.
    let image = -length.copysign(x[0]);
    x[0] -= image;
    let scale = 1.0 / norm(&x);
    x.iter_mut().for_each(|value| *value *= scale);
    (image, Some(Reflector { start, vector: x }))
}

/// `H A H` on the rows and columns from the reflector's start on.
fn reflect_both_sides(matrix: &mut [Vec<f64>], reflector: &Reflector) {
    let (start, v) = (reflector.start, &reflector.vector);
    let products: Vec<f64> = matrix[start..]
        .par_iter()
        .map(|row| 2.0 * dot(&row[start..], v))
        .collect();
    let along = dot(&products, v);
    let w: Vec<f64> = products.iter().zip(v).map(|(p, v)| p - along * v).collect();
    matrix[start..]
        .par_iter_mut()
        .zip(v)
        .zip(&w)
        .for_each(|((row, v_row), w_row)| {
            let own = row[start..].iter_mut().zip(v).zip(&w);
            own.for_each(|((value, v), w)| *value -= v_row * w + w_row * v);
        });
}

/// The rows of `.. H1 H0`.
fn accumulated(reflectors: &[Reflector], size: usize) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = (0..size)
        .map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect())
        .collect();
    // Backwards: a row that no reflection has reached so far is still zero where this one works.
    for Reflector { start, vector } in reflectors.iter().rev() {
        rows[*start..].par_iter_mut().for_each(|row| {
            let along = 2.0 * dot(&row[*start..], vector);
            let own = row[*start..].iter_mut().zip(vector);
            own.for_each(|(value, v)| *value -= along * v);
        });
    }
    rows
}

/// Implicit QL steps until the number beside the diagonal of `row` is zero to the precision of f64.
fn diagonalize_row(three: &mut Tridiagonal, vectors: &mut [Vec<f64>], row: usize) -> Option<()> {
    for _ in 0..MAX_STEPS {
        let end = block_end(three, row);
        if end == row {
            return Some(());
        }
        ql_step(three, vectors, row, end);
    }
    None
}

/// The last row of the block that begins at `row`: the first one with nothing beside it.
fn block_end(three: &Tridiagonal, row: usize) -> usize {
    let Tridiagonal { diagonal, beside } = three;
    let is_zero = |at: &usize| {
        let size = diagonal[*at].abs() + diagonal[*at + 1].abs();
        beside[*at].abs() <= f64::EPSILON * size
    };
    (row..diagonal.len() - 1).find(is_zero).unwrap_or(diagonal.len() - 1)
}

/// One QL step with Wilkinson's shift on the block `row..=end`: rotations from its end to its start.
fn ql_step(three: &mut Tridiagonal, vectors: &mut [Vec<f64>], row: usize, end: usize) {
    let Tridiagonal { diagonal, beside } = three;
    let ratio = (diagonal[row + 1] - diagonal[row]) / (2.0 * beside[row]);
    let shift = diagonal[row] - beside[row] / (ratio + ratio.hypot(1.0).copysign(ratio));
    let mut bulge = diagonal[end] - shift;
    let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
    for at in (row..end).rev() {
        let (outer, inner) = (sine * beside[at], cosine * beside[at]);
        let length = outer.hypot(bulge);
        beside[at + 1] = length;
        if length == 0.0 {
            // The block falls apart here; the next step works on a part.
            diagonal[at + 1] -= carried;
            beside[end] = 0.0;
            return;
        }
        (sine, cosine) = (outer / length, bulge / length);
        let base = diagonal[at + 1] - carried;
        let change = (diagonal[at] - base) * sine + 2.0 * cosine * inner;
        carried = sine * change;
        diagonal[at + 1] = base + carried;
        bulge = cosine * change - inner;
        rotate(vectors, at, sine, cosine);
    }
    diagonal[row] -= carried;
    beside[row] = bulge;
    beside[end] = 0.0;
}

/// Turns the vectors `at` and `at + 1` into each other.
fn rotate(vectors: &mut [Vec<f64>], at: usize, sine: f64, cosine: f64) {
    let (left, right) = vectors.split_at_mut(at + 1);
    for (a, b) in left[at].iter_mut().zip(&mut right[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

fn norm(x: &[f64]) -> f64 {
    // Scaled, so that squares neither overflow nor vanish.
    let largest = x.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let sum: f64 = x.iter().map(|value| (value / largest).powi(2)).sum();
    largest * sum.sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side, which the processor adds at once.
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a4.zip(b4) {
        let lanes = sums.iter_mut().zip(a.iter().zip(b));
        lanes.for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 from a counter.
    fn noise(seed: usize) -> f64 {
        let z = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ z >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn symmetric(size: usize, value: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
        let at = |row: usize, column: usize| value(row.min(column), row.max(column));
        (0..size)
            .map(|row| (0..size).map(|column| at(row, column)).collect())
            .collect()
    }

    /// `A v = lambda v`, orthonormal vectors, descending values, and the trace.
    fn check(matrix: &[Vec<f64>], tolerance: f64) -> Eigen {
        let found = eigen(matrix.to_vec()).unwrap();
        assert!(found.values.is_sorted_by(|a, b| a >= b));
        for (value, vector) in found.values.iter().zip(&found.vectors) {
            for (row, entry) in matrix.iter().zip(vector) {
                assert!((dot(row, vector) - value * entry).abs() <= tolerance, "{value}");
            }
        }
        for (one, a) in found.vectors.iter().enumerate() {
            for (other, b) in found.vectors.iter().enumerate() {
                let expected = f64::from(u8::from(one == other));
                assert!((dot(a, b) - expected).abs() < 1e-12, "{one} {other}");
            }
        }
        let trace: f64 = (0..matrix.len()).map(|row| matrix[row][row]).sum();
        assert!((found.values.iter().sum::<f64>() - trace).abs() <= tolerance * matrix.len() as f64);
        found
    }

    #[test]
    fn matrices_by_hand() {
        let found = check(
            &symmetric(2, |row, column| [[2.0, 1.0], [1.0, 2.0]][row][column]),
            1e-14,
        );
        assert!((found.values[0] - 3.0).abs() < 1e-14 && (found.values[1] - 1.0).abs() < 1e-14);
        assert_eq!(check(&[vec![-4.0]], 0.0).values, [-4.0]);
        assert_eq!(eigen(Vec::new()).unwrap().values, [0.0; 0]);
        // The second difference: 2 - 2 cos(pi k / (n + 1)).
        let size = 30;
        let found = check(
            &symmetric(size, |row, column| match column - row {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            }),
            1e-13,
        );
        for (k, value) in (1..=size).rev().zip(&found.values) {
            let angle = std::f64::consts::PI * k as f64 / (size + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
    }

    #[test]
    fn random_matrices_of_many_sizes() {
        for size in [2, 3, 5, 8, 17, 64, 150] {
            check(&symmetric(size, |row, column| noise(row * 1000 + column)), 1e-12);
        }
    }

    #[test]
    fn equal_and_zero_eigenvalues_and_extreme_sizes() {
        assert_eq!(check(&symmetric(6, |_, _| 0.0), 0.0).values, [0.0; 6]);
        check(&symmetric(9, |row, column| f64::from(u8::from(row == column))), 1e-14);
        // Rank one: a single eigenvalue that is not zero.
        let ones = check(&symmetric(20, |_, _| 1.0), 1e-13);
        assert!((ones.values[0] - 20.0).abs() < 1e-12 && ones.values[1].abs() < 1e-12);
        check(&symmetric(12, |row, column| 1e150 * noise(row * 50 + column)), 1e138);
        check(&symmetric(12, |row, column| 1e-150 * noise(row * 50 + column)), 1e-162);
    }

    #[test]
    fn numbers_that_are_not_finite_give_nothing() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let matrix = symmetric(4, |row, column| if row + column == 3 { wrong } else { 1.0 });
            let found = eigen(matrix);
            assert!(found.is_none_or(|found| found.values.iter().any(|value| !value.is_finite())));
        }
    }
}
