//! `loss`: the loss of a batch of outputs and its gradient with respect to them.
//!
//! With B rows, outputs f (logits) and one-hot target y:
//! - `ce`: mean over rows of -log softmax(f)_label; gradient (softmax(f) - y) / B
//! - `mse`: mean over rows of 1/2 ||f - y||^2 (summed over classes, not averaged); gradient (f - y) / B

use super::real::Real;
use serde::{Deserialize, Serialize};

/// What the network's outputs are compared with, and how.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy of the softmax.
    Ce,
    /// Mean over samples of 1/2 ||f - onehot||^2.
    Mse,
}

impl Loss {
    /// The number by which `loss.wgsl` knows this loss (override constant `LOSS`).
    pub fn code(self) -> u32 {
        match self {
            Self::Ce => 0,
            Self::Mse => 1,
        }
    }
}

/// Replaces `outputs` (rows x classes) by the gradient of the mean loss and returns that loss.
pub fn cpu<T: Real>(loss: Loss, labels: &[u32], outputs: &mut [T]) -> T {
    let rows = labels.len();
    let classes = outputs.len() / rows;
    let scale = T::one() / T::of(rows as f64);
    let mut total = T::zero();
    for (row, label) in outputs.chunks_exact_mut(classes).zip(labels) {
        let label = *label as usize;
        match loss {
            Loss::Ce => {
                let target = row[label];
                let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
                let mut sum = T::zero();
                for f in row.iter_mut() {
                    *f = (*f - largest).exp();
                    sum += *f;
                }
                for f in row.iter_mut() {
                    *f = *f / sum * scale;
                }
                row[label] -= scale;
                total += largest + sum.ln() - target;
            }
            Loss::Mse => {
                row[label] -= T::one();
                let mut squares = T::zero();
                for f in row.iter_mut() {
                    squares += *f * *f;
                    *f *= scale;
                }
                total += T::of(0.5) * squares;
            }
        }
    }
    total * scale
}

/// Directional derivative of the gradient: (Hessian of the mean loss with respect to the outputs) times `tangent`,
/// row by row. `gradient` is what [`cpu`] left in its outputs; `tangent` is replaced by the product.
pub fn hessian_product<T: Real>(loss: Loss, labels: &[u32], gradient: &[T], tangent: &mut [T]) {
    let rows = labels.len();
    let classes = tangent.len() / rows;
    let scale = T::one() / T::of(rows as f64);
    for ((row, gradient), label) in tangent.chunks_exact_mut(classes).zip(gradient.chunks_exact(classes)).zip(labels) {
        match loss {
            Loss::Ce => {
                // gradient = scale (p - y), so scale p is the gradient with the label's scale put back.
                let weight = |c: usize| if c == *label as usize { gradient[c] + scale } else { gradient[c] };
                let mean: T = (0..classes).map(|c| weight(c) * row[c]).sum::<T>() / scale;
                for (c, t) in row.iter_mut().enumerate() {
                    *t = weight(c) * (*t - mean);
                }
            }
            Loss::Mse => row.iter_mut().for_each(|t| *t *= scale),
        }
    }
}
