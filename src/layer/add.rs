//! The sum of two values of the same shape, at the end of a residual block. It has no text of its own: the list of layers
//! writes `res(...)` around the whole block ([`crate::model::layers`]).

use super::device::{BufferRole, DeviceCall, DeviceNode, elementwise};
use super::traits::{Backward, Compute, Forward};
use crate::kernels::elementwise::Operation;
use crate::math::{Activation, Number};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddOp;

impl Compute for AddOp {
    fn folds(&self) -> bool {
        true
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        let second = at.second.expect("a sum has two parts");
        let pieces = at.scratch.pieces;
        match at.then {
            Some(Activation::Relu) => {
                pieces.map_two(at.made, at.first, second, |one, two| Activation::Relu.value_and_slope(one + two).0);
            }
            then => {
                pieces.map_two(at.made, at.first, second, |one, two| one + two);
                then.iter().for_each(|then| then.alter(at.made, pieces));
            }
        }
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        if let Some(below) = below {
            below.copy_from_slice(at.delta);
        }
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        vec![elementwise(Operation::Add, at.batch, at.output, [at.first, at.second, at.made])]
    }

    fn device_backward(&self, _: &DeviceNode, _: BufferRole, _: BufferRole) -> Vec<DeviceCall> {
        Vec::new()
    }

    fn passes_delta_on(&self) -> bool {
        true
    }
}
