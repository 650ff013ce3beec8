//! `elementwise`: what is done to the numbers of a value one by one: an activation that stands by itself, its derivative, and
//! sums.
//!
//! The way back applies the activation to its argument once more: slopes that are kept would take as much memory as the
//! values.
//!
//! Bindings of `elementwise.wgsl`, an invocation per element, or per several; all buffers are lanes x rows x shape:
//! - `lane_steps`: steps x lanes
//! - `one`, `other`: what the operation reads, or stubs
//! - `result`: what it writes

use super::{Kernel, LaneStep, read, read_write, shared_struct, spread};
use crate::math::Activation;

pub const WGSL: &str =
    concat!(include_str!("../../shaders/elementwise.wgsl"), include_str!("../../shaders/activation.wgsl"));

shared_struct! {
    /// Immediates of `elementwise.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Of a lane.
        pub elements: u32,
        /// From one element of an invocation to the next.
        pub apart: u32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "elementwise",
    source: WGSL,
    bindings: &[read("lane_steps"), read("one"), read("other"), read_write("result")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
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

impl Operation {
    /// The values of [`KERNEL`]'s variants.
    pub fn variant(self) -> [(&'static str, f64); 2] {
        let (code, activation) = match self {
            Self::Activate(activation) => (0, activation.code()),
            Self::Differentiate(activation) => (1, activation.code()),
            Self::Add => (2, 0),
            Self::Accumulate => (3, 0),
        };
        [("OPERATION", f64::from(code)), ("ACTIVATION", f64::from(activation))]
    }
}

/// Of `lanes` lanes of `elements` elements, with their workgroups.
pub fn params(lanes: usize, elements: usize) -> (Params, [u32; 3]) {
    let groups = spread(elements, WORKGROUP);
    let apart = (groups * WORKGROUP) as u32;
    (Params { step: 0, lanes: lanes as u32, elements: elements as u32, apart }, [groups as u32, lanes as u32, 1])
}
