//! The mathematics that all floors above speak: numbers in three arithmetics, sums in a fixed order, products of matrices,
//! shapes and windows, activations and losses by name, and when numbers are close.
//!
//! Not here: shaders ([`crate::kernels`]), nor anything that has parameters ([`crate::model`]).

mod activation;
mod close;
mod float;
mod loss;
mod number;
mod orthogonal;
mod product;
mod shape;
pub mod vector;

pub use activation::{Activation, LEAKY_SLOPE};
pub use close::{EXACT, KERNEL_F32, STEPS_F32, close};
pub use float::FloatFormat;
pub use loss::Loss;
pub use number::{Kind, KindMut, Number, Real, WIDTH, ordered_sum, ordered_sum_of, ordered_sum_of_pairs, tree_sum};
pub use orthogonal::{NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, NORM_EPSILON, orthogonalise};
pub use product::{View, product};
pub use shape::{Shape, Window};
