//! Matrices whose singular values are all near 1, by products alone.
//!
//! Not here: what is done with them ([`crate::rule`]).

use super::product::{View, product};
use super::{Number, Real, ordered_sum};

/// Coefficients of X <- a X + b (X X^T) X + c (X X^T)^2 X: steep at 0, so that five steps do (Jordan et al. 2024, *Muon*).
pub const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Newton-Schulz steps.
pub const NEWTON_SCHULZ_STEPS: usize = 5;

/// Added to the norm that a matrix is divided by.
pub const NORM_EPSILON: f64 = 1e-7;

/// Divides a row-major `rows` x `columns` matrix by its Frobenius norm and brings its singular values near 1 by Newton-Schulz
/// steps: those of at least 1/500 of the norm end between 0.68 and 1.21. `scratch` is whatever it was the last time.
pub fn orthogonalise<T: Real>(matrix: &mut [T], rows: usize, columns: usize, scratch: &mut Vec<T>) {
    let [a, b, c] = NEWTON_SCHULZ.map(T::of);
    let wide = rows <= columns;
    let side = rows.min(columns);
    scratch.resize(2 * side * side + rows * columns, T::zero());
    let (gram, rest) = scratch.split_at_mut(side * side);
    let (square, moved) = rest.split_at_mut(side * side);

    let norm = Number::sqrt(ordered_sum(matrix.len(), |i| matrix[i] * matrix[i])) + T::of(NORM_EPSILON);
    matrix.iter_mut().for_each(|x| *x /= norm);
    for _ in 0..NEWTON_SCHULZ_STEPS {
        // Of a tall matrix the products on the other side: the same as those of its transpose.
        let (x, transposed) = (View::rows(matrix, columns), View::transposed(matrix, columns));
        if wide {
            product(rows, columns, rows, x, transposed, gram);
        } else {
            product(columns, rows, columns, transposed, x, gram);
        }
        product(side, side, side, View::rows(gram, side), View::rows(gram, side), square);
        square.iter_mut().zip(&*gram).for_each(|(square, gram)| *square = b * *gram + c * *square);
        if wide {
            product(rows, rows, columns, View::rows(square, side), x, moved);
        } else {
            product(rows, columns, columns, x, View::rows(square, side), moved);
        }
        matrix.iter_mut().zip(&*moved).for_each(|(x, moved)| *x = a * *x + *moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    /// Oracle: singular vectors by nalgebra's decomposition, and the same polynomial of each singular value by itself.
    #[test]
    fn singular_vectors_stay_and_singular_values_follow_the_polynomial() {
        for (rows, columns) in [(1, 1), (1, 7), (7, 1), (3, 5), (5, 3), (17, 16), (16, 33)] {
            let number = |i: usize| ((i * 7919 + 31 * rows + columns) as f64 * 0.618_033_988_75).fract() - 0.5;
            let numbers: Vec<f64> = (0..rows * columns).map(number).collect();
            let before = DMatrix::from_row_slice(rows, columns, &numbers);
            let norm = before.norm() + 1e-7;
            let mut values = before.clone().svd(true, true);
            values.singular_values.apply(|value| {
                *value /= norm;
                for _ in 0..5 {
                    *value = 3.4445 * *value - 4.7750 * value.powi(3) + 2.0315 * value.powi(5);
                }
            });
            let expected = values.recompose().unwrap();
            let mut seen = numbers;
            orthogonalise(&mut seen, rows, columns, &mut vec![f64::NAN; 3]);
            let seen = DMatrix::from_row_slice(rows, columns, &seen);
            let error = (seen - &expected).abs().max();
            assert!(error < 1e-12, "{rows} x {columns}: {error}");
        }
    }
}
