//! Eigenvalues and eigenvectors of small complex matrices.
//!
//! Not here: which matrices.

use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Steps of the QR iteration for one eigenvalue, at most; two or three are usual.
const STEPS: usize = 60;

/// Eigenvalues, in no order, each as often as it is there: reduction to Hessenberg form, then QR steps with Wilkinson's shift
/// (Golub and Van Loan, Matrix Computations, section 7.5). None where an entry is not finite.
pub(super) fn eigenvalues(matrix: DMatrix<Complex64>) -> Option<Vec<Complex64>> {
    let size = matrix.nrows();
    if size < 2 {
        return Some(matrix.iter().copied().collect());
    }
    if matrix.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let mut h = matrix.hessenberg().unpack_h();
    let mut found = vec![Complex64::ZERO; size];
    let (mut last, mut steps) = (size - 1, 0);
    loop {
        let first = first_of_block(&mut h, last);
        if first == last {
            found[last] = h[(last, last)];
            if last == 0 {
                return Some(found);
            }
            (last, steps) = (last - 1, 0);
            continue;
        }
        steps += 1;
        if steps > STEPS {
            return None;
        }
        // Every tenth shift is another one: matrices exist on which Wilkinson's goes round in a circle.
        let shift = if steps % 10 == 0 {
            h[(last, last)] + h[(last, last - 1)].norm()
        } else {
            wilkinson([[h[(last - 1, last - 1)], h[(last - 1, last)]], [h[(last, last - 1)], h[(last, last)]]])
        };
        qr_step(&mut h, first, last, shift);
    }
}

/// Where the block that ends at `last` begins: behind an entry below the diagonal that is as good as zero.
fn first_of_block(h: &mut DMatrix<Complex64>, last: usize) -> usize {
    for row in (1..=last).rev() {
        let around = h[(row - 1, row - 1)].norm() + h[(row, row)].norm();
        // Where the diagonal is zero the neighbours tell the scale.
        let scale = if around > 0.0 { around } else { h[(row - 1, row)].norm() };
        if h[(row, row - 1)].norm() <= f64::EPSILON * scale {
            h[(row, row - 1)] = Complex64::ZERO;
            return row;
        }
    }
    0
}

/// The eigenvalue of a 2 x 2 matrix that is nearer to its last entry.
fn wilkinson([[a, b], [c, d]]: [[Complex64; 2]; 2]) -> Complex64 {
    let half = 0.5 * (a - d);
    let root = (half * half + b * c).sqrt();
    let larger = if (half.conj() * root).re >= 0.0 { half + root } else { half - root };
    if larger == Complex64::ZERO { d } else { d - b * c / larger }
}

/// One step on the block from `first` to `last`: Q R = H - shift, then R Q + shift, by rotations.
fn qr_step(h: &mut DMatrix<Complex64>, first: usize, last: usize, shift: Complex64) {
    (first..=last).for_each(|i| h[(i, i)] -= shift);
    let mut rotations = Vec::with_capacity(last - first);
    for k in first..last {
        let (x, y) = (h[(k, k)], h[(k + 1, k)]);
        let length = x.norm().hypot(y.norm());
        let (cos, sin) = if length == 0.0 { (Complex64::ONE, Complex64::ZERO) } else { (x / length, y / length) };
        for column in k..=last {
            let (upper, lower) = (h[(k, column)], h[(k + 1, column)]);
            h[(k, column)] = cos.conj() * upper + sin.conj() * lower;
            h[(k + 1, column)] = cos * lower - sin * upper;
        }
        rotations.push((cos, sin));
    }
    for (k, (cos, sin)) in (first..last).zip(rotations) {
        for row in first..=k + 1 {
            let (left, right) = (h[(row, k)], h[(row, k + 1)]);
            h[(row, k)] = left * cos + right * sin;
            h[(row, k + 1)] = right * cos.conj() - left * sin.conj();
        }
    }
    (first..=last).for_each(|i| h[(i, i)] += shift);
}

/// A unit eigenvector of the eigenvalue nearest to `value`, by inverse iteration.
pub(super) fn eigenvector(matrix: &DMatrix<Complex64>, value: Complex64) -> DVector<Complex64> {
    let size = matrix.nrows();
    // Beside the eigenvalue by more than rounding, so that the factors exist.
    let shift = value + 1e-11 * value.norm().max(f64::MIN_POSITIVE);
    let shifted = matrix - DMatrix::from_diagonal_element(size, size, shift);
    let factors = shifted.lu();
    let mut vector = DVector::from_fn(size, |i, _| Complex64::new(1.0, ((i * i) as f64 * 0.7).sin()));
    for _ in 0..3 {
        vector.unscale_mut(vector.norm());
        if let Some(next) = factors.solve(&vector).filter(|next| next.iter().all(|x| x.is_finite())) {
            vector = next;
        }
    }
    vector.unscale_mut(vector.norm());
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(size: usize, seed: f64) -> DMatrix<Complex64> {
        let number = |i: usize, j: usize, k: f64| ((i * 31 + j * 17) as f64 * 0.61 + seed + k).sin();
        DMatrix::from_fn(size, size, |i, j| Complex64::new(number(i, j, 0.0), number(j, i, 2.0)))
    }

    /// Oracles: a spectrum that was put in by a similarity; inverse iteration's own residual; the traces of the powers.
    #[test]
    fn eigenvalues_are_those_that_were_put_in() {
        for size in [1, 2, 3, 7, 24] {
            let values: Vec<Complex64> =
                (0..size).map(|i| Complex64::from_polar(1.5f64.powi(-(i as i32)), i as f64)).collect();
            let around = random(size, 0.3) + DMatrix::from_diagonal_element(size, size, Complex64::from(6.0));
            let matrix = &around
                * DMatrix::from_diagonal(&DVector::from_vec(values.clone()))
                * around.clone().try_inverse().unwrap();
            let found = eigenvalues(matrix.clone()).unwrap();
            assert_eq!(found.len(), size);
            for value in values {
                let nearest = found.iter().map(|f| (f - value).norm()).fold(f64::INFINITY, f64::min);
                assert!(nearest < 1e-12, "{size}: {value}, {nearest}");
                let vector = eigenvector(&matrix, value);
                let residual = (&matrix * &vector - &vector * value).norm();
                assert!(residual < 1e-9 && (vector.norm() - 1.0).abs() < 1e-12, "{size}: {value}, {residual}");
            }
        }
        for size in [5, 40] {
            let matrix = random(size, 1.0);
            let found = eigenvalues(matrix.clone()).unwrap();
            let mut power = matrix.clone();
            for k in 1..4 {
                let sum: Complex64 = found.iter().map(|value| value.powi(k)).sum();
                assert!((sum - power.trace()).norm() < 1e-11 * size as f64 * power.norm(), "{size} {k}");
                power = &power * &matrix;
            }
        }
    }

    #[test]
    fn odd_matrices_have_eigenvalues_too() {
        let (zero, one) = (Complex64::ZERO, Complex64::ONE);
        // A permutation, which shifts by its own entries leave as it is; zeros; a Jordan block.
        let cycle = DMatrix::from_fn(4, 4, |i, j| if (i + 1) % 4 == j { one } else { zero });
        let found = eigenvalues(cycle).unwrap();
        assert!(found.iter().all(|value| (value.powi(4) - one).norm() < 1e-12), "{found:?}");
        assert_eq!(eigenvalues(DMatrix::zeros(3, 3)).unwrap(), [zero; 3]);
        let block = DMatrix::from_fn(3, 3, |i, j| if i == j || i + 1 == j { one } else { zero });
        assert!(eigenvalues(block).unwrap().iter().all(|value| (value - one).norm() < 1e-4));
        assert_eq!(eigenvalues(DMatrix::from_element(3, 3, Complex64::from(f64::NAN))), None);
        assert_eq!(eigenvalues(DMatrix::zeros(0, 0)).unwrap(), []);
    }
}
