//! `elementwise`: operations on the numbers of a value one by one: activations, their derivatives, and sums.
//!
//! The backward pass applies the activation to its argument once more: kept slopes would take as much memory as the values.
//!
//! Bindings of `elementwise.wgsl`, an invocation per element, or per several; all buffers are lanes x rows x shape:
//! - `lane_steps`: steps x lanes
//! - `one`, `other`: what the operation reads, or stubs
//! - `result`: what it writes

use super::{
    ACTIVATION, Call, Constant, Kernel, LANE_STEP, LaneStep, codes, read, read_write, shader, shared_struct, spread,
};
use crate::math::{Activation, LEAKY_SLOPE};

shared_struct! {
    /// Immediates of `elementwise.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Elements of a lane.
        pub elements: u32,
        /// From one element of an invocation to the next.
        pub apart: u32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "elementwise",
    files: &[shader!("elementwise.wgsl"), LANE_STEP, ACTIVATION],
    bindings: &[read("lane_steps"), read("one"), read("other"), read_write("result")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Operation::CODES, Activation::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64), ("LEAKY_SLOPE", LEAKY_SLOPE)],
    variants: &["OPERATION", "ACTIVATION"],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// result = a(one)
    Activate(Activation),
    /// result = other a'(one)
    Differentiate(Activation),
    /// result = one + other
    Add,
    /// result += one
    Accumulate,
}

codes!(Operation {
    ACTIVATE: Self::Activate(_),
    DIFFERENTIATE: Self::Differentiate(_),
    ADD: Self::Add,
    ACCUMULATE: Self::Accumulate,
});

impl Operation {
    /// The values of [`KERNEL`]'s variants.
    pub fn variant(self) -> [Constant; 2] {
        let activation = match self {
            Self::Activate(activation) | Self::Differentiate(activation) => activation.code(),
            Self::Add | Self::Accumulate => 0,
        };
        [("OPERATION", f64::from(self.code())), ("ACTIVATION", f64::from(activation))]
    }
}

/// For `lanes` lanes of `elements` elements, with their workgroups.
fn params(lanes: usize, elements: usize) -> (Params, [u32; 3]) {
    let groups = spread(elements, WORKGROUP);
    let apart = (groups * WORKGROUP) as u32;
    (Params { step: 0, lanes: lanes as u32, elements: elements as u32, apart }, [groups as u32, lanes as u32, 1])
}

/// Does `operation` to `lanes` lanes of `elements` elements. `buffers`: lane_steps, one, other, result.
pub fn call<B>(operation: Operation, lanes: usize, elements: usize, buffers: [B; 4]) -> Call<B> {
    let (params, workgroups) = params(lanes, elements);
    let iterations = elements.div_ceil(params.apart as usize);
    Call::new(&KERNEL, &operation.variant(), buffers, &params, workgroups, iterations)
}
