//! Which path a wave takes, and how many steps a submit may have on it.

use crate::engine::gpu::device::Bounds;
use crate::engine::{EngineError, WaveSpec};
use crate::kernels::fused::{self, Shape};
use crate::kernels::perceptron::Perceptron;
use crate::problem::{Network, Problem};

/// Steps in one submit at most on the layered path: more of them would not make the cost of a submit matter less.
pub const MOST_LAYERED_STEPS: usize = 64;

/// The same on the fused path.
pub const MOST_FUSED_STEPS: usize = 256;

/// Floating-point operations of one lane in the first submit on the fused path at most: a single workgroup does them, even
/// where the rest of the device is idle.
const MOST_LANE_WORK: u64 = 1_000_000_000;

/// Which paths the waves of a device may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// The fused one where it can be had.
    #[default]
    Fastest,
    /// The fused one or none.
    Fused,
    Layered,
}

/// How a wave makes its steps. The same for every number of lanes, since a run has the same bits in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Path {
    /// One workgroup per lane makes many whole steps in one dispatch ([`crate::kernels::fused`]).
    Fused(Shape),
    /// A dispatch for every product, all lanes in it.
    Layered,
}

impl Path {
    pub fn new(spec: &WaveSpec, rows: usize, work: usize, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        match (paths, Self::fused(spec, rows, work, bounds)) {
            (Paths::Layered, _) | (Paths::Fastest, Err(_)) => Ok(Self::Layered),
            (Paths::Fastest | Paths::Fused, Ok(path)) => Ok(path),
            (Paths::Fused, Err(why)) => Err(EngineError::TooLarge(format!("the fused step takes {why}"))),
        }
    }

    /// The fused path, or what it would need. `work`: operations of one lane's step.
    fn fused(
        spec: &WaveSpec,
        rows: usize,
        work: usize,
        Bounds { limits, iterations: most_iterations, .. }: Bounds,
    ) -> Result<Self, String> {
        let Problem::Network(network) = &*spec.problem else {
            return Err("a network: this is a quadratic".into());
        };
        let (buffers, most) =
            (fused::KERNEL.buffers(limits.max_immediate_size), limits.max_storage_buffers_per_shader_stage);
        if buffers > most as usize {
            return Err(format!("{buffers} storage buffers; the adapter has {most}"));
        }
        if work as u64 > MOST_LANE_WORK {
            return Err(format!("at most {MOST_LANE_WORK} operations in a step of a lane: this has {work}"));
        }
        let memory = limits.max_compute_workgroup_storage_size as usize;
        let invocations = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        if !network.augmentation.is_none() {
            return Err("samples as they are: these are augmented".into());
        }
        if spec.needs.work.is_split {
            return Err("passes that read the same weights: backward ones read others here".into());
        }
        if spec.needs.work.is_spectral {
            return Err("updates of each parameter by itself: matrices move as wholes here".into());
        }
        let model = perceptron(network)?;
        let shape = Shape::new(model, rows, memory, invocations as usize)?;
        let iterations = shape.iterations(model, rows, true);
        if iterations > most_iterations {
            return Err(format!(
                "at most {most_iterations} iterations of its loops in a step: {rows} rows take {iterations}"
            ));
        }
        Ok(Self::Fused(shape))
    }

    /// Steps in any submit at most.
    pub fn most_steps(&self, spec: &WaveSpec, rows: usize, most_iterations: usize) -> usize {
        match (self, &*spec.problem) {
            (Self::Fused(shape), Problem::Network(network)) => {
                let iterations = shape.iterations(network.model.perceptron().expect(FUSED), rows, spec.needs.centred);
                MOST_FUSED_STEPS.min(most_iterations / iterations)
            }
            _ => MOST_LAYERED_STEPS,
        }
    }

    /// Steps in the first submit at most, of a wave whose lanes take `work` together in a step and `lane_work` each.
    pub fn first_steps(&self, work: u64, lane_work: u64, most_work: u64) -> usize {
        let alone = if *self == Self::Layered { u64::MAX } else { MOST_LANE_WORK / lane_work };
        (most_work / work).min(alone) as usize
    }

    /// As run.json names it.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// Holds for every wave on the fused path.
pub const FUSED: &str = "the fused path is a perceptron's";

fn perceptron(network: &Network) -> Result<&Perceptron, String> {
    network.model.perceptron().ok_or_else(|| "a perceptron: this model has other layers".into())
}
