//! The threshold of a pipeline whose stages are late by delays of their own, from products with the whole Hessian.
//!
//! *What it is:* the smallest learning rate at which a solution of the pipeline's characteristic equation lies on the unit circle, to
//! the accuracy of an eigensolver. *What it is not:* an estimate from the largest eigenvalue alone, from which it can be far; nor a
//! statement about minibatches or rules that have no equation.
//!
//! # The equation
//! The parameters are cut into blocks, the stages. A step takes the gradient at a point whose block i is as it was `tau_i` updates
//! ago, and updates block i by a rule of its own, with a learning rate `lr f_i`. Near a minimum with the Hessian `H` the gradient is
//! `H y`, where block i of `y` is what workers of that stage read, and each stage's rule is an equation `D_i x_i + lr f_i N_i g_i = 0`
//! between the gradients and the weights of its block ([`super::Equation`]; delays and horizons are in it). So with the responses
//! `w_i(z) = f_i N_i(z) / D_i(z)` and `W(z)` the diagonal matrix that has `w_i` in block i, `z^t` is a solution where
//!
//! ```text
//! det(I + lr H W(z)) = 0,
//! ```
//!
//! and `-1/lr` is an eigenvalue of `H W(z)`, as of `W(z) H`. For `H >= 0` and a small `lr` all solutions are inside of the unit circle:
//! near `z = 1` they are `1 - lr c_i` with `c_i` the eigenvalues of `H F`, `F > 0` diagonal. So the threshold is the smallest `lr`
//! with a solution on the circle at `z != 1`, a nonlinear eigenvalue problem in the angle. Where all stages have one response it is
//! the uniform threshold over the largest eigenvalue of `H`.
//!
//! # Method
//! A Galerkin projection on a subspace, which begins with the directions that are steep for how late they are: at each angle of a fine grid the eigenvalues of a small matrix are found, and those that
//! cross the negative real axis from one angle to the next are located. The residual of the first crossing, computed with the
//! whole Hessian, makes the subspace grow, until it is small (nonlinear Arnoldi: Voss, *An Arnoldi method for nonlinear
//! eigenvalue problems*, BIT 2004). Up to [`FULL`] parameters the subspace is everything, and the result exact.

mod basis;
mod eigen;
mod response;
mod scan;
mod search;
mod start;
mod stashed;
mod unstashed;

pub use response::{Stage, StageResponse};
pub use search::{ACCURACY, StageThreshold};

use nalgebra::DMatrix;

use super::TheoryError;
use basis::Operator;

/// Most parameters for which the subspace is the whole space from the start.
pub const FULL: usize = 64;

/// Threshold of a pipeline whose stages keep the weights of each forward pass for its backward pass (weight stashing).
///
/// `hessian(vectors)` gives H v for each of the vectors, P numbers each. `leading` are vectors that the subspace begins with besides
/// those that are looked for: eigenvectors of the largest eigenvalues of H where they are known, or none. They are not used up to
/// [`FULL`] parameters.
///
/// H is taken as positive semidefinite: directions of negative curvature in the subspace, be it rounding, are left out and told
/// ([`StageThreshold::least_curvature`]).
///
/// # Errors
/// Stages that leave parameters out, vectors of another length, products that are not finite, no positive curvature, or no
/// threshold at all.
pub fn threshold(
    stages: &[Stage],
    leading: &[&[f64]],
    hessian: impl FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Result<StageThreshold, TheoryError> {
    let grid = scan::grid(stages.iter().map(|stage| &stage.response));
    let mut hessian = Operator::new(hessian);
    let start = start(stages, leading, &mut hessian)?.0;
    search::first_crossing(&mut stashed::Stashed::new(stages, hessian, &start)?, &grid)
}

/// Threshold of a pipeline whose backward passes use other weights than its forward passes. The responses of `stages` are those to the
/// weights of the forward passes, `backward` those to the weights that the backward passes send deltas through, one for each
/// stage.
///
/// `derivative(vectors)` gives B v, the derivative of the gradient with respect to those weights alone
/// ([`crate::problem::network::FullBatch::backward_product`]), and `hessian` H v, where H - B is the derivative with respect to the weights
/// of the forward passes. It takes one product with B for each vector and each stage whose two responses differ, and as
/// many vectors in memory.
///
/// # Errors
/// As [`threshold`], and another number of responses than of stages.
pub fn threshold_without_stashing(
    stages: &[Stage],
    backward: &[StageResponse],
    leading: &[&[f64]],
    hessian: impl FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
    derivative: impl FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Result<StageThreshold, TheoryError> {
    if backward.len() != stages.len() {
        let (given, count) = (backward.len(), stages.len());
        return Err(TheoryError::Stages(format!(
            "{given} responses of backward passes; accepted: one for each of {count}"
        )));
    }
    let grid = scan::grid(stages.iter().map(|stage| &stage.response).chain(backward));
    let (mut hessian, derivative) = (Operator::new(hessian), Operator::new(derivative));
    let (mut start, gains) = start(stages, leading, &mut hessian)?;
    // From `y` to `x = H y`, about.
    for (stage, gain) in stages.iter().zip(gains) {
        start.rows_range_mut(stage.parameters.clone()).scale_mut(gain);
    }
    search::first_crossing(&mut unstashed::Unstashed::new(stages, backward, hessian, derivative, &start)?, &grid)
}

/// The vectors that the subspace begins with, as columns, and the gain that each stage bears alone.
fn start<F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>>(
    stages: &[Stage],
    leading: &[&[f64]],
    hessian: &mut Operator<F>,
) -> Result<(DMatrix<f64>, Vec<f64>), TheoryError> {
    let parameters = Stage::count_parameters(stages)?;
    let gains = stages.iter().map(|stage| stage.response.gain_alone()).collect::<Result<Vec<f64>, _>>()?;
    if parameters <= FULL {
        return Ok((DMatrix::identity(parameters, parameters), gains));
    }
    if let Some(wrong) = leading.iter().find(|vector| vector.len() != parameters) {
        let message = format!("a vector of {} numbers; accepted: {parameters}, one for each parameter", wrong.len());
        return Err(TheoryError::Stages(message));
    }
    let leading = DMatrix::from_fn(parameters, leading.len(), |row, column| leading[column][row]);
    Ok((start::start(stages, &gains, &leading, hessian)?, gains))
}
