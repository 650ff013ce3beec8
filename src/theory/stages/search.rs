//! The first crossing of a problem on a subspace that grows until it holds the solution.
//!
//! Not here: what the problem is ([`super::stashed`], [`super::unstashed`]).

use nalgebra::{DMatrix, SymmetricEigen};

use super::super::TheoryError;
use super::scan::{Crossing, MatrixOnCircle, crossings, follow};

/// A large eigenproblem on the circle, on a subspace.
pub(super) trait Projection: MatrixOnCircle {
    /// Vectors that span the subspace.
    fn dimension(&self) -> usize;

    /// Products with large matrices so far.
    fn products(&self) -> usize;

    /// Smallest curvature on the subspace.
    fn least_curvature(&self) -> f64;

    /// Adds the residual of a crossing to the subspace, and returns its norm, relative to the eigenvalue and the eigenvector.
    ///
    /// # Errors
    /// Where a product is not finite.
    fn expand(&mut self, crossing: Crossing) -> Result<f64, TheoryError>;

    /// The same norm, by products of its own; the subspace stays as it is.
    ///
    /// # Errors
    /// Where a product is not finite.
    fn residual(&mut self, crossing: Crossing) -> Result<f64, TheoryError>;

    /// The gradient of the solution, real and imaginary part: P x 2.
    fn gradient(&self, crossing: Crossing) -> DMatrix<f64>;
}

/// The smallest learning rate at which a solution of a pipeline's characteristic equation lies on the unit circle.
#[derive(Clone, Debug, PartialEq)]
pub struct StageThreshold {
    /// Stable for `0 < lr < this`, where every curvature is positive.
    pub lr: f64,
    /// Angle of the solution, in `(0, pi]`: the weights oscillate with a period of `2 pi / angle` updates.
    pub angle: f64,
    /// `||H W x - mu x|| / (|mu| ||x||)` for the eigenvector that was found, by products of its own.
    pub residual: f64,
    /// Whether the residual is below [`ACCURACY`], and those of all solutions at slightly larger learning rates so small that none of
    /// them can be the first.
    pub converged: bool,
    /// Products with the Hessian, and with the derivative of the backward passes where it is another one.
    pub products: usize,
    /// Vectors in the subspace.
    pub dimension: usize,
    /// Unit vector, P: the real direction in which the gradients of the solution are largest, and with it its displacements show.
    pub direction: Vec<f64>,
    /// Smallest curvature on the subspace. Directions whose curvature is negative are left out of the threshold.
    pub least_curvature: f64,
}

/// Residual of a threshold that has converged.
pub const ACCURACY: f64 = 1e-6;

/// Change of the learning rate, relative, of a threshold that has converged.
const STEADY: f64 = 1e-7;

/// Solutions up to this multiple of the first learning rate are looked at as well: on the whole space one of them may be the first.
const RIVALS: f64 = 1.5;

/// Vectors by which the subspace may grow.
const GROWTH: usize = 160;

/// Looks at all crossings, at most.
const ROUNDS: usize = 40;

/// Expansions for one crossing before all are looked at again.
const STEPS: usize = 4;

/// Distance, relative, below which two crossings of one subspace are the same.
const SAME: f64 = 1e-5;

/// Grows the subspace until its first crossing is one of the whole space.
///
/// # Errors
/// Where products are not finite, or no learning rate has a crossing.
pub(super) fn first_crossing(problem: &mut impl Projection, grid: &[f64]) -> Result<StageThreshold, TheoryError> {
    let most = problem.dimension() + GROWTH;
    let mut first = scan(problem, grid)?[0];
    let mut needs_work = true;
    // Solutions beyond the first that are known well enough.
    let mut settled: Vec<Crossing> = Vec::new();
    let mut converged = false;
    for _ in 0..ROUNDS {
        let outcome = if needs_work { settle(problem, &mut first, most)? } else { Outcome::Settled };
        if outcome == Outcome::Stuck {
            break;
        }
        let all = scan(problem, grid)?;
        needs_work = outcome == Outcome::Lost || !all[0].is_near(first, SAME);
        first = all[0];
        if needs_work {
            continue;
        }
        let needed = |rival: &Crossing| (0.25 * (rival.lr / first.lr - 1.0)).max(ACCURACY);
        let is_settled = |rival: &Crossing| settled.iter().any(|known| known.is_near(*rival, needed(rival).max(SAME)));
        let is_rival = |other: &Crossing| other.lr <= RIVALS * first.lr && !other.is_near(first, SAME);
        let rivals: Vec<Crossing> =
            all[1..].iter().copied().filter(|other| is_rival(other) && !is_settled(other)).collect();
        if rivals.is_empty() {
            converged = true;
            break;
        }
        let before = problem.dimension();
        let known = settled.len();
        for rival in rivals {
            if problem.expand(rival)? <= needed(&rival) {
                settled.push(rival);
            }
        }
        if problem.dimension() >= most || (problem.dimension() == before && settled.len() == known) {
            break;
        }
    }
    let residual = problem.residual(first)?;
    Ok(StageThreshold {
        lr: first.lr,
        angle: first.angle,
        residual,
        converged: converged && residual <= ACCURACY,
        products: problem.products(),
        dimension: problem.dimension(),
        direction: largest_direction(&problem.gradient(first)),
        least_curvature: problem.least_curvature(),
    })
}

/// The direction in which a complex vector is largest, of all phases: the first left singular vector of its two parts.
fn largest_direction(parts: &DMatrix<f64>) -> Vec<f64> {
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(parts.tr_mul(parts));
    let vector = parts * eigenvectors.column(eigenvalues.imax());
    let norm = vector.norm();
    vector.iter().map(|entry| entry / norm).collect()
}

/// All crossings of interest; one at least.
fn scan(problem: &impl Projection, grid: &[f64]) -> Result<Vec<Crossing>, TheoryError> {
    let all = crossings(problem, grid, RIVALS)?;
    if all.is_empty() { Err(TheoryError::Unbounded) } else { Ok(all) }
}

/// What became of a crossing while the subspace grew.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// Its residual is small, and it stays where it is.
    Settled,
    /// It went too far to be followed, or takes so long that another one may have become the first.
    Lost,
    /// The subspace does not grow any more.
    Stuck,
}

/// Expands the subspace with the residuals of one crossing.
fn settle(problem: &mut impl Projection, crossing: &mut Crossing, most: usize) -> Result<Outcome, TheoryError> {
    for _ in 0..STEPS {
        let before = problem.dimension();
        let residual = problem.expand(*crossing)?;
        let Some(next) = follow(problem, *crossing)? else { return Ok(Outcome::Lost) };
        let is_steady = (next.lr / crossing.lr - 1.0).abs() <= STEADY;
        *crossing = next;
        if residual <= ACCURACY && is_steady {
            return Ok(Outcome::Settled);
        }
        if problem.dimension() == before || problem.dimension() >= most {
            return Ok(Outcome::Stuck);
        }
    }
    Ok(Outcome::Lost)
}
