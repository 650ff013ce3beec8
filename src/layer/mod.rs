//! Layers, one file each: text, shape, parameters with their PyTorch names and how they start, the ways forward and back in
//! every arithmetic, and the kernels that do the same on a device.
//!
//! A layer has two types: what is typed ([`Layer`]), and the operation of the graph that comes of it ([`Compute`]); some have
//! only one of them. To add a layer, write its file and add its `mod` line and its line in the registry below.
//!
//! Not here: how layers make a model ([`crate::model`]), nor the kernels' own arithmetic ([`crate::kernels`]).

pub mod device;
pub mod tensor;
pub mod text;
pub mod traits;
mod window;

mod activation;
mod add;
mod convolution;
mod dense;
mod flatten;
mod norm;
mod pool;

use crate::math::{Activation, Number, Shape};
use device::{BufferRole, DeviceCall, DeviceNode};
use std::convert::Infallible;
use std::fmt;
use tensor::Site;
use text::Call;
use traits::{Backward, Compute, Forward, Kept, Layer};

/// Makes [`AnyLayer`] and [`Op`] of `file: what is typed => the operation`.
macro_rules! registry {
    ($($module:ident: $($layer:ident)? $(=> $op:ident)?;)*) => {
        $($(pub use $module::$layer;)? $(pub use $module::$op;)?)*

        /// Any layer as it is typed.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyLayer {
            $($($layer($layer),)?)*
        }

        $($(impl From<$layer> for AnyLayer {
            fn from(layer: $layer) -> Self {
                Self::$layer(layer)
            }
        })?)*

        impl AnyLayer {
            /// The forms that a layer's text may have.
            pub fn usage() -> String {
                [$($($layer::usage(),)?)*].join(", ")
            }

            /// The layer whose text this is, if it is one.
            ///
            /// # Errors
            /// Where a layer is given a value that cannot be.
            pub fn parse(call: &Call) -> Result<Option<Self>, String> {
                $($(if let Some(layer) = $layer::parse(call)? {
                    return Ok(Some(layer.into()));
                })?)*
                Ok(None)
            }

            /// [`Layer::place`].
            ///
            /// # Errors
            /// What does not fit, as the second half of a sentence.
            pub fn place(&self, site: &mut Site) -> Result<Option<(Op, Shape)>, String> {
                match self {
                    $($(Self::$layer(layer) => Ok(layer.place(site)?.map(|(op, shape)| (op.into(), shape))),)?)*
                }
            }
        }

        impl fmt::Display for AnyLayer {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                match self {
                    $($(Self::$layer(layer) => layer.fmt(f),)?)*
                }
            }
        }

        /// Any operation of a graph.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Op {
            $($($op($op),)?)*
        }

        $($(impl From<$op> for Op {
            fn from(op: $op) -> Self {
                Self::$op(op)
            }
        })?)*

        /// Does what `$call` says with the operation `$it` inside of `$any`.
        macro_rules! each {
            ($any:expr, $it:ident => $call:expr) => {
                match $any {
                    $($(Op::$op($it) => $call,)?)*
                }
            };
        }
    };
}

registry! {
    dense: DenseLayer => DenseOp;
    convolution: ConvolutionLayer => ConvolutionOp;
    pool: PoolLayer => PoolOp;
    norm: NormLayer => NormOp;
    activation: ActivationLayer => ActivationOp;
    flatten: FlattenLayer;
    add: => AddOp;
}

/// For layers that compute nothing.
impl From<Infallible> for Op {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Compute for Op {
    fn has_parameters(&self) -> bool {
        each!(self, op => op.has_parameters())
    }

    fn products(&self, input: Shape, output: Shape) -> usize {
        each!(self, op => op.products(input, output))
    }

    fn keeps(&self) -> usize {
        each!(self, op => op.keeps())
    }

    fn in_place(&self) -> Option<Activation> {
        each!(self, op => op.in_place())
    }

    fn folds(&self) -> bool {
        each!(self, op => op.folds())
    }

    fn folds_back(&self) -> bool {
        each!(self, op => op.folds_back())
    }

    fn scratch(&self, input: Shape, output: Shape) -> usize {
        each!(self, op => op.scratch(input, output))
    }

    fn joins_samples(&self) -> bool {
        each!(self, op => op.joins_samples())
    }

    fn check_rows(&self, rows: usize, output: Shape) -> Result<(), String> {
        each!(self, op => op.check_rows(rows, output))
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        each!(self, op => op.forward(at));
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        each!(self, op => op.backward(at, below));
    }

    fn update_statistics<T: Number>(&self, rows: usize, output: Shape, kept: &Kept<T>, statistics: &mut [T]) {
        each!(self, op => op.update_statistics(rows, output, kept, statistics));
    }

    fn device_keeps(&self, at: &DeviceNode) -> usize {
        each!(self, op => op.device_keeps(at))
    }

    fn device_scratch(&self, at: &DeviceNode) -> usize {
        each!(self, op => op.device_scratch(at))
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        each!(self, op => op.device_forward(at))
    }

    fn device_gradient(&self, at: &DeviceNode, delta: BufferRole) -> Vec<DeviceCall> {
        each!(self, op => op.device_gradient(at, delta))
    }

    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        each!(self, op => op.device_backward(at, delta, below))
    }

    fn passes_delta_on(&self) -> bool {
        each!(self, op => op.passes_delta_on())
    }
}
