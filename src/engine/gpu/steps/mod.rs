//! The dispatches that make a wave's steps, on the path that its plan takes.

mod fused;
mod gradient;
mod layered;
mod samples;

pub use samples::{Gathering, Samples};

use crate::engine::WaveSpec;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::plan::Path;
use crate::engine::gpu::plan::Plan;
use crate::problem::Problem;
use fused::Fused;

/// What a wave lends to whoever makes its steps.
pub struct Workspace<'a> {
    pub device: &'a Device,
    pub spec: &'a WaveSpec,
    pub plan: &'a Plan,
    pub lane_steps: &'a Buffer,
    pub updates: &'a Buffer,
    /// Row numbers of the minibatches ([`super::tables`]).
    pub order: &'a Buffer,
    pub server: &'a Buffer,
    pub history: &'a Buffer,
    pub state: &'a Buffer,
    pub landmarks: &'a Buffer,
    pub observations: &'a Buffer,
    /// lanes x running statistics
    pub statistics: &'a Buffer,
    /// None of a quadratic.
    pub samples: Option<&'a Samples>,
}

impl Workspace<'_> {
    pub fn steps(&self) -> Steps {
        match (&self.plan.path, &*self.spec.problem) {
            (Path::Fused(shape), Problem::Network(network)) => Steps::Fused(Fused::new(self, network, shape)),
            _ => Steps::Layered(layered::dispatches(self)),
        }
    }

    /// Those of a network.
    pub fn samples(&self) -> &Samples {
        self.samples.expect("a network has samples")
    }

    pub fn lanes(&self) -> u32 {
        self.spec.lanes as u32
    }

    /// Room for `words` 32-bit words of every lane.
    pub fn per_lane(&self, label: &str, words: usize) -> Buffer {
        self.device.buffer(label, (self.spec.lanes * words * 4) as u64)
    }
}

/// What makes the steps of a wave.
pub enum Steps {
    /// One dispatch for many steps.
    Fused(Fused),
    /// The dispatches of one step.
    Layered(Vec<Dispatch>),
}

impl Steps {
    /// The dispatches of the first `steps` steps of the wave's tables, or of each of them on the layered path.
    pub fn dispatches(&self, device: &Device, steps: usize) -> Vec<Dispatch> {
        match self {
            Self::Fused(fused) => vec![fused.dispatch(device, steps)],
            Self::Layered(dispatches) => dispatches.clone(),
        }
    }

    /// Encodes the first `steps` steps of the wave's tables, to be submitted one after the other: a single one in up to
    /// `pieces` pieces.
    pub fn encode(&self, device: &Device, steps: usize, pieces: usize) -> Vec<wgpu::CommandEncoder> {
        match self {
            Self::Fused(fused) => vec![device.encode(&[fused.dispatch(device, steps)], 0..1)],
            Self::Layered(dispatches) => device.encode_in(dispatches, 0..steps, pieces),
        }
    }

    /// Names of the kernels, in their order.
    pub fn kernels(&self) -> Vec<&'static str> {
        match self {
            Self::Fused(fused) => vec![fused.kernel()],
            Self::Layered(dispatches) => dispatches.iter().map(|dispatch| dispatch.kernel).collect(),
        }
    }
}
