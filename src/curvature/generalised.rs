//! Generalised sharpness: the largest curvature over the steps that a rule can take, where these are the ball of another norm than the
//! Euclidean one.
//!
//! lion and signum step by lr d with |d_i| <= 1, muon moves each hidden matrix by lr D where no singular value of D is above a scale s
//! (but for what five Newton-Schulz steps leave: .7 to 1.2 in the place of 1). Over such a ball B it is
//!
//! ```text
//! S = max over d in B of d^T H d,
//! ```
//!
//! which over the Euclidean ball is lambda_max. Over signs it is as hard to find as a largest cut of a graph, so it is enclosed:
//!
//! - *below* by d^T H d of a direction found by `d <- argmax over e in B of <H d, e>`, from several starts: the signs of H d, or for
//!   matrices s times the polar factor. Where H is positive semidefinite no step goes down (Journee et al., *Generalized power method for
//!   sparse principal component analysis*, 2010, theorem 4); elsewhere the best one seen counts, which is a lower bound all the same.
//! - *above* by weak duality: where d^T M d <= t for all d in B, S <= t lambda_max(M^-1/2 H M^-1/2). M is diagonal with t its trace, or for
//!   matrices `D -> L D` with t = s^2 trace L. It is made of the direction found so that H d = M d, beside a multiple of the identity: where
//!   the direction is the best one and the eigenvalue no larger than 1, both bounds meet. M the identity gives lambda_max max |d|^2.
//!
//! Not here: whose steps these are along a training ([`crate::train`]), nor an edge at which S would settle, of which none is known for
//! steps of a fixed length.

use super::gram::{Gram, multiply};
use super::{Effort, Eigenpair, dot, largest};
use crate::rule::Rule;
use crate::update::{Form, Matrix};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Multiples of the identity in M, relative to the rest of its trace; without end it is the identity alone.
const SHARES: [f64; 3] = [f64::INFINITY, 0.01, 0.3];

/// Random starts of the ascent, and its steps at most.
const RANDOM_STARTS: usize = 3;
const MOST_STEPS: usize = 40;

/// Gain of a step, relative to the value, below which the ascent ends.
const LEAST_GAIN: f64 = 1e-6;

/// The directions that a rule can step in, at learning rate 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Ball {
    /// |d_i| <= 1 for all parameters.
    Signs { parameters: usize },
    /// Singular values of each matrix at most its scale; 0 elsewhere.
    Spectral { matrices: Vec<(Matrix, f64)>, parameters: usize },
}

/// Generalised sharpness between its bounds, 1 / (units of learning rate).
#[derive(Clone, Debug, PartialEq)]
pub struct Generalised {
    pub lower: f64,
    /// None where no eigenvalue was found to the accuracy that a bound needs.
    pub upper: Option<f64>,
    /// The direction that has the lower one.
    pub direction: Vec<f64>,
}

/// M^-1/2 of each part of the parameters, and t.
struct Weighting {
    parts: Vec<Part>,
    total: f64,
}

enum Part {
    /// One number for each parameter.
    Diagonal(Vec<f64>),
    /// Multiplies a matrix from its shorter side.
    OfMatrix(Matrix, DMatrix<f64>),
}

impl Ball {
    /// Whether the steps of a rule have one.
    pub fn has_one(rule: &Rule) -> bool {
        matches!(rule.probe().form, Form::Sign | Form::Spectral { .. })
    }

    /// That of a rule on a model with these hidden matrices; none where its steps have none.
    pub fn of(rule: &Rule, parameters: usize, matrices: &[Matrix]) -> Option<Self> {
        match rule.probe().form {
            Form::Sign => Some(Self::Signs { parameters }),
            Form::Spectral { by_rms } => {
                let matrices = matrices.iter().map(|matrix| (*matrix, matrix.scale(by_rms))).collect();
                Some(Self::Spectral { matrices, parameters })
            }
            _ => None,
        }
    }

    fn parameters(&self) -> usize {
        match self {
            Self::Signs { parameters } | Self::Spectral { parameters, .. } => *parameters,
        }
    }

    /// The largest |d|^2.
    fn squared_radius(&self) -> f64 {
        match self {
            Self::Signs { parameters } => *parameters as f64,
            Self::Spectral { matrices, .. } => {
                matrices.iter().map(|(matrix, scale)| scale * scale * matrix.rows.min(matrix.columns) as f64).sum()
            }
        }
    }

    /// The direction with the largest product with `g`.
    fn farthest(&self, g: &[f64]) -> Vec<f64> {
        match self {
            Self::Signs { .. } => g.iter().map(|g| 1f64.copysign(*g)).collect(),
            Self::Spectral { matrices, .. } => {
                let mut direction = vec![0.0; g.len()];
                for (matrix, scale) in matrices {
                    let inverse = Gram::of(matrix, g).function(|value| scale / value);
                    multiply(matrix, &inverse, g, &mut direction);
                }
                direction
            }
        }
    }

    /// M beside the share of the identity, from g = H d.
    fn weighting(&self, g: &[f64], share: f64) -> Weighting {
        let radius = self.squared_radius();
        let root = |weight: f64| weight.sqrt().recip();
        if share.is_infinite() {
            let part = |(matrix, _): &(Matrix, f64)| {
                let side = matrix.rows.min(matrix.columns);
                Part::OfMatrix(*matrix, DMatrix::identity(side, side))
            };
            let parts = match self {
                Self::Signs { parameters } => vec![Part::Diagonal(vec![1.0; *parameters])],
                Self::Spectral { matrices, .. } => matrices.iter().map(part).collect(),
            };
            return Weighting { parts, total: radius };
        }
        match self {
            Self::Signs { .. } => {
                let own: f64 = g.iter().map(|g| g.abs()).sum();
                let base = share * own / radius;
                let parts = vec![Part::Diagonal(g.iter().map(|g| root(g.abs() + base)).collect())];
                Weighting { parts, total: own * (1.0 + share) }
            }
            Self::Spectral { matrices, .. } => {
                let grams: Vec<Gram> = matrices.iter().map(|(matrix, _)| Gram::of(matrix, g)).collect();
                let sum = |(gram, (_, scale)): (&Gram, &(Matrix, f64))| scale * gram.values.iter().sum::<f64>();
                let own: f64 = grams.iter().zip(matrices).map(sum).sum();
                let base = share * own / radius;
                let part = |(gram, (matrix, scale)): (&Gram, &(Matrix, f64))| {
                    Part::OfMatrix(*matrix, gram.function(|value| root(value / scale + base)))
                };
                Weighting { parts: grams.iter().zip(matrices).map(part).collect(), total: own * (1.0 + share) }
            }
        }
    }

    /// S between its bounds; `product(v, hv)` must fill `hv` with H v, and `near` is a direction that was the best one nearby. None where
    /// a product is not finite.
    pub fn sharpness(
        &self,
        effort: Effort,
        near: Option<&[f64]>,
        mut product: impl FnMut(&[f64], &mut [f64]),
    ) -> Option<Generalised> {
        let size = self.parameters();
        let (value, plain) = self.upper(&self.weighting(&[], f64::INFINITY), effort, &mut product)?;
        let mut uppers = vec![(value, plain.converged)];
        let mut starts = vec![plain.vector];
        starts.extend(near.map(<[f64]>::to_vec));
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        starts.extend((0..RANDOM_STARTS).map(|_| (0..size).map(|_| rng.random_range(-1.0..1.0)).collect()));
        let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
        for start in starts {
            let found = self.ascend(self.farthest(&start), &mut product)?;
            if best.as_ref().is_none_or(|best| found.0 > best.0) {
                best = Some(found);
            }
        }
        let (lower, direction, image) = best?;
        if lower > 0.0 {
            for share in SHARES.into_iter().filter(|share| share.is_finite()) {
                let (value, pair) = self.upper(&self.weighting(&image, share), effort, &mut product)?;
                uppers.push((value, pair.converged));
            }
        }
        // No bound is below what was found, but for the rounding of either.
        let upper = uppers.iter().filter(|(_, converged)| *converged).map(|(value, _)| value.max(lower));
        Some(Generalised { lower: lower.max(0.0), upper: upper.reduce(f64::min), direction })
    }

    /// t (lambda_max(M^-1/2 H M^-1/2) + its residual), and the eigenpair.
    fn upper(
        &self,
        weighting: &Weighting,
        effort: Effort,
        product: &mut impl FnMut(&[f64], &mut [f64]),
    ) -> Option<(f64, Eigenpair)> {
        let (mut scaled, mut image) = (vec![0.0; self.parameters()], vec![0.0; self.parameters()]);
        let pair = largest(self.parameters(), effort, None, |v, hv| {
            weighting.apply(v, &mut scaled);
            product(&scaled, &mut image);
            weighting.apply(&image, hv);
        })?;
        Some((weighting.total * (pair.value + pair.residual).max(0.0), pair))
    }

    /// The value, direction d and H d that the ascent from a direction comes to.
    fn ascend(
        &self,
        start: Vec<f64>,
        product: &mut impl FnMut(&[f64], &mut [f64]),
    ) -> Option<(f64, Vec<f64>, Vec<f64>)> {
        let mut measured = |direction: Vec<f64>| {
            let mut image = vec![0.0; direction.len()];
            product(&direction, &mut image);
            let value = dot(&direction, &image);
            value.is_finite().then_some((value, direction, image))
        };
        let mut best = measured(start)?;
        // A multiple of d beside H d: |d| is the same for all ends of the ball, so that where H is not positive semidefinite the
        // multiple makes it so.
        let mut shift = 0.0;
        for _ in 0..MOST_STEPS {
            let (value, direction, image) = &best;
            let pushed: Vec<f64> = image.iter().zip(direction).map(|(g, d)| g + shift * d).collect();
            let next = self.farthest(&pushed);
            if next == *direction {
                break;
            }
            let size = image.iter().map(|g| g.abs()).sum::<f64>() / image.len() as f64;
            let (before, next) = (*value, measured(next)?);
            if next.0 > before + LEAST_GAIN * before.abs() {
                best = next;
            } else if next.0 < before && shift < size {
                shift = (2.0 * shift).max(0.1 * size);
            } else {
                break;
            }
        }
        Some(best)
    }
}

impl Weighting {
    /// M^-1/2 v; 0 outside of its parts.
    fn apply(&self, v: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for part in &self.parts {
            match part {
                Part::Diagonal(root) => out.iter_mut().zip(v).zip(root).for_each(|((out, v), root)| *out = root * v),
                Part::OfMatrix(matrix, root) => multiply(matrix, root, v, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symmetric matrix whose entries look random: A A^T / columns - shift.
    fn hessian(size: usize, columns: usize, shift: f64, seed: usize) -> DMatrix<f64> {
        let entry = |i: usize, j: usize| ((i * 7919 + j * 104_729 + seed * 31) as f64 * 0.618_033_988_75).fract() - 0.5;
        let factor = DMatrix::from_fn(size, columns, entry);
        &factor * factor.transpose() / columns as f64 - DMatrix::identity(size, size) * shift
    }

    fn product(hessian: &DMatrix<f64>) -> impl Fn(&[f64], &mut [f64]) {
        move |v, hv| hv.copy_from_slice((hessian * nalgebra::DVector::from_column_slice(v)).as_slice())
    }

    fn effort() -> Effort {
        Effort { largest_residual: 1e-9, ..Effort::default() }
    }

    fn enclosed(ball: &Ball, hessian: &DMatrix<f64>) -> (f64, f64) {
        let found = ball.sharpness(effort(), None, product(hessian)).unwrap();
        let own = nalgebra::DVector::from_column_slice(&found.direction);
        let value = own.dot(&(hessian * &own)).max(0.0);
        assert!((value - found.lower).abs() <= 1e-9 * value.abs(), "{value} and {}", found.lower);
        (found.lower, found.upper.unwrap())
    }

    /// Oracle: every corner of the cube.
    #[test]
    fn signs_are_enclosed_on_both_sides_of_every_corner() {
        for (size, columns, shift, seed) in
            [(1, 1, 0.0, 1), (2, 3, 0.0, 2), (7, 2, 0.0, 3), (12, 12, 0.0, 4), (12, 40, 0.0, 5), (11, 4, 0.01, 6)]
        {
            let hessian = hessian(size, columns, shift, seed);
            let corner = |bits: u32| {
                let d = nalgebra::DVector::from_fn(size, |i, _| if bits >> i & 1 == 0 { 1.0 } else { -1.0 });
                d.dot(&(&hessian * &d))
            };
            let exact = (0..1_u32 << (size - 1)).map(corner).fold(f64::MIN, f64::max);
            let (lower, upper) = enclosed(&Ball::Signs { parameters: size }, &hessian);
            assert!(lower <= exact * (1.0 + 1e-12) && exact <= upper * (1.0 + 1e-9), "{lower} {exact} {upper}");
            assert!(lower >= 0.97 * exact, "{size} {columns}: {lower} of {exact}");
            // Nesterov's pi/2 is what the best diagonal M guarantees; these come close.
            assert!(upper <= 1.6 * exact, "{size} {columns}: {upper} of {exact}");
        }
    }

    /// Worked by hand: of h h^T it is the square of the sum of |h_i|, of a diagonal its trace, where the Euclidean bound is three
    /// times the largest.
    #[test]
    fn one_direction_and_a_diagonal_are_exact() {
        let h = nalgebra::DVector::from_vec(vec![3.0, -1.0, 0.5]);
        let (lower, upper) = enclosed(&Ball::Signs { parameters: 3 }, &(&h * h.transpose()));
        assert!((lower - 20.25).abs() < 1e-9 && (20.25..20.25 * 1.0101).contains(&upper), "{lower} {upper}");
        let diagonal = DMatrix::from_diagonal(&nalgebra::DVector::from_vec(vec![4.0, 1.0, 0.25]));
        let (lower, upper) = enclosed(&Ball::Signs { parameters: 3 }, &diagonal);
        assert!((lower - 5.25).abs() < 1e-9 && (5.25..5.25 * 1.0101).contains(&upper), "{lower} {upper}");
        // Nothing curves upwards: to stay is best.
        let (lower, upper) = enclosed(&Ball::Signs { parameters: 3 }, &-diagonal);
        assert_eq!((lower, upper), (0.0, 0.0));
        let none = Ball::Signs { parameters: 3 }.sharpness(effort(), None, |_, hv| hv.fill(f64::NAN));
        assert_eq!(none, None);
    }

    /// Oracle: rotations and reflections of two matrices of 2 x 2, scales 1 and 0.5, on a grid of angles; the corners of the ball.
    #[test]
    fn matrices_of_2_x_2_are_enclosed_on_both_sides_of_all_orthogonal_ones() {
        const ANGLES: usize = 720;
        let matrix = |first: usize| Matrix { first, rows: 2, columns: 2 };
        let ball = Ball::Spectral { matrices: vec![(matrix(1), 1.0), (matrix(5), 0.5)], parameters: 9 };
        for (columns, seed) in [(2, 1), (4, 2), (20, 3)] {
            let hessian = hessian(9, columns, 0.0, seed);
            let orthogonal = |scale: f64| -> Vec<[f64; 4]> {
                let angle = |i: usize| (i % ANGLES) as f64 * std::f64::consts::TAU / ANGLES as f64;
                let of = |i: usize| {
                    let (sin, cos) = angle(i).sin_cos();
                    let turn = if i < ANGLES { [cos, -sin, sin, cos] } else { [cos, sin, sin, -cos] };
                    turn.map(|x| scale * x)
                };
                (0..2 * ANGLES).map(of).collect()
            };
            // d^T H d of the two parts by themselves and of both together.
            let form = |a: &[f64; 4], i: usize, b: &[f64; 4], j: usize| -> f64 {
                (0..4)
                    .flat_map(|k| (0..4).map(move |l| (k, l)))
                    .map(|(k, l)| a[k] * hessian[(i + k, j + l)] * b[l])
                    .sum()
            };
            let (one, other) = (orthogonal(1.0), orthogonal(0.5));
            let own: Vec<f64> = other.iter().map(|b| form(b, 5, b, 5)).collect();
            let mut exact = 0.0_f64;
            for a in &one {
                let first = form(a, 1, a, 1);
                let image: Vec<f64> = (0..4).map(|l| (0..4).map(|k| a[k] * hessian[(1 + k, 5 + l)]).sum()).collect();
                for (b, second) in other.iter().zip(&own) {
                    let mixed: f64 = image.iter().zip(b).map(|(x, y)| x * y).sum();
                    exact = exact.max(first + second + 2.0 * mixed);
                }
            }
            let (lower, upper) = enclosed(&ball, &hessian);
            // The grid misses the best angles by a quarter of a degree at most.
            assert!(lower <= exact * (1.0 + 1e-4) && exact <= upper * (1.0 + 1e-9), "{lower} {exact} {upper}");
            assert!(lower >= 0.97 * exact && upper <= 1.6 * exact, "{columns}: {lower} {exact} {upper}");
        }
    }

    /// The polar factor of a tall matrix has all singular values 1, and its product with the matrix is the nuclear norm.
    #[test]
    fn the_farthest_matrix_is_the_polar_factor_on_either_side() {
        for (rows, columns) in [(3, 5), (5, 3), (1, 4), (4, 1)] {
            let matrix = Matrix { first: 2, rows, columns };
            let g: Vec<f64> = (0..rows * columns + 3).map(|i| (1.7 * i as f64 + 0.3 * (i * i) as f64).sin()).collect();
            let ball = Ball::Spectral { matrices: vec![(matrix, 2.0)], parameters: g.len() };
            let found = ball.farthest(&g);
            assert!(found[..2] == [0.0; 2] && found[g.len() - 1] == 0.0);
            let as_matrix = |v: &[f64]| DMatrix::from_row_slice(rows, columns, &v[matrix.range()]);
            let singular = as_matrix(&found).singular_values();
            assert!(singular.iter().all(|value| (value - 2.0).abs() < 1e-6), "{singular}");
            let nuclear: f64 = as_matrix(&g).singular_values().iter().sum();
            assert!((dot(&found, &g) / nuclear / 2.0 - 1.0).abs() < 1e-9);
        }
    }
}
