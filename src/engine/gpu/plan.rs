//! What a wave takes of a device, counted before anything is allocated: how many lanes fit, and in what portions their
//! steps are submitted.

use crate::engine::{EngineError, WaveSpec};
use crate::kernels::fused::{self, Shape};
use crate::kernels::packing::{Packing, quads};
use crate::kernels::tile::Tile;
use crate::kernels::{gather, loss, quadratic, step};
use crate::problem::model::Perceptron;
use crate::problem::{Network, Problem};
use wgpu::Limits;

/// Bytes of an f32 or u32.
const WORD: u64 = 4;

/// Steps in one submit at most, on the layered path and on the fused one: beyond these the cost of a submit is long paid for.
const MOST_STEPS: (usize, usize) = (64, 256);

/// Floating-point operations in the first submit at most; how fast the device is shows in it. Drivers kill submits that
/// take seconds; a small integrated GPU needs a tenth of a second for these.
pub const MOST_WORK: u64 = 40_000_000_000;

/// The same on a software adapter, which does a few thousand million of them in a second.
pub const MOST_SOFTWARE_WORK: u64 = 1_000_000_000;

/// Bytes of the largest table of a submit at most.
const TABLE: u64 = 64 << 20;

/// The same for one lane on the fused path, which is a single workgroup's however many others stand idle.
const MOST_LANE_WORK: u64 = 1_000_000_000;

/// What a device holds a plan to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    pub limits: &'a Limits,
    /// Turns of loops in one dispatch, where there is an end to them ([`Shape::turns`]).
    pub turns: usize,
    /// Floating-point operations in the first submit.
    pub work: u64,
}

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
    fn new(spec: &WaveSpec, work: usize, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        match (paths, Self::fused(spec, work, bounds)) {
            (Paths::Layered, _) | (Paths::Fastest, Err(_)) => Ok(Self::Layered),
            (Paths::Fastest | Paths::Fused, Ok(path)) => Ok(path),
            (Paths::Fused, Err(why)) => Err(EngineError::TooLarge(format!("the fused step takes {why}"))),
        }
    }

    /// The fused path, or what of it cannot be had. `work` is that of one lane's step.
    fn fused(spec: &WaveSpec, work: usize, Bounds { limits, turns: most_turns, .. }: Bounds) -> Result<Self, String> {
        let Problem::Network(network) = &*spec.problem else {
            return Err("a network: this is a quadratic".into());
        };
        let (buffers, most) = (fused::KERNEL.bindings.len(), limits.max_storage_buffers_per_shader_stage);
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
        let rows = rows(network, spec);
        let model = perceptron(network)?;
        let shape = Shape::new(model, rows, memory, invocations as usize)?;
        let turns = shape.turns(model, rows, true);
        if turns > most_turns {
            return Err(format!("at most {most_turns} turns of its loops in a step: {rows} rows take {turns}"));
        }
        Ok(Self::Fused(shape))
    }

    /// Steps in any submit at most.
    fn most_steps(&self, spec: &WaveSpec, most_turns: usize) -> usize {
        match (self, &*spec.problem) {
            (Self::Fused(shape), Problem::Network(network)) => {
                let turns =
                    shape.turns(network.model.perceptron().expect(FUSED), rows(network, spec), spec.needs.centred);
                MOST_STEPS.1.min(most_turns / turns)
            }
            _ => MOST_STEPS.0,
        }
    }

    /// Steps in the first submit at most, of a wave whose lanes take `work` together in a step and `lane_work` each.
    fn first_steps(&self, work: u64, lane_work: u64, most_work: u64) -> usize {
        let alone = if *self == Self::Layered { u64::MAX } else { MOST_LANE_WORK / lane_work };
        (most_work / work).min(alone) as usize
    }

    /// As run.json names it.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// The numbers of a wave on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Lanes of this kind that fit, at most those asked for.
    pub capacity: usize,
    /// Bytes that those lanes take.
    pub bytes: u64,
    /// Steps in the first submit.
    pub portion: usize,
    /// Steps in any: what the tables have room for.
    pub room: usize,
    pub path: Path,
    /// How vectors of P numbers are stored.
    pub packing: Packing,
    /// Numbers of a stored vector: P, or more where it is packed.
    pub parameters: usize,
    /// Partial sums of the loss per lane.
    pub loss_partials: usize,
    /// Partial sums of the moments per lane.
    pub moment_partials: usize,
}

/// A buffer's size, but for the number of lanes.
struct Size {
    name: &'static str,
    shared: u64,
    per_lane: u64,
}

impl Plan {
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where not even one lane fits.
    pub fn new(spec: &WaveSpec, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        let limits = bounds.limits;
        let parameters = spec.problem.dimension();
        let (loss_partials, work) = match &*spec.problem {
            Problem::Quadratic(_) => (quadratic::partials(parameters), parameters),
            Problem::Network(network) => {
                let rows = rows(network, spec);
                let weights = network.model.graph.products();
                (loss::partials(rows), 6 * rows * weights)
            }
        };
        let path = Path::new(spec, work, bounds, paths)?;
        let packing = match (&path, &*spec.problem) {
            (Path::Fused(_), Problem::Network(network)) => Packing::of(network.model.perceptron().expect(FUSED)),
            _ => Packing::none(parameters),
        };
        let moment_partials = step::partials(parameters);
        let (capacity, parameters) = (spec.lanes, packing.length());
        let mut plan =
            Self { capacity, bytes: 0, portion: 1, room: 1, path, packing, parameters, loss_partials, moment_partials };
        plan.check_grid(spec, limits)?;
        plan.capacity = plan.lanes_that_fit(spec, limits)?;

        let lanes = plan.capacity.max(1) as u64;
        let table = lanes * UPDATE.max(spec.batch.unwrap_or(0) as u64 * WORD);
        let room = largest_buffer(limits).min(TABLE) / table;
        plan.room = spec.block.min(plan.path.most_steps(spec, bounds.turns)).min(room as usize).max(1);
        plan.portion = plan.room.min(plan.path.first_steps(lanes * work as u64, work as u64, bounds.work)).max(1);
        plan.bytes = plan.sizes(spec).iter().map(|size| size.shared + lanes * size.per_lane).sum();
        Ok(plan)
    }

    fn lanes_that_fit(&self, spec: &WaveSpec, limits: &Limits) -> Result<usize, EngineError> {
        let largest = largest_buffer(limits);
        let mut lanes = spec.lanes.min(limits.max_compute_workgroups_per_dimension as usize);
        for Size { name, shared, per_lane } in self.sizes(spec) {
            if shared.max(per_lane) > largest {
                let asked = shared.max(per_lane);
                let whose = if shared > per_lane { "the wave" } else { "one lane" };
                return Err(EngineError::TooLarge(format!(
                    "the buffer '{name}' of {whose} takes {asked} bytes; the adapter's largest is {largest} bytes"
                )));
            }
            let fit = largest.checked_div(per_lane).unwrap_or(u64::MAX);
            lanes = lanes.min(usize::try_from(fit).unwrap_or(usize::MAX));
        }
        Ok(lanes)
    }

    /// Every buffer of a wave but the small ones: each left out is smaller than one that is listed, or its steps are
    /// what `room` limits.
    fn sizes(&self, spec: &WaveSpec) -> Vec<Size> {
        let shared = |name, words: usize| Size { name, shared: words as u64 * WORD, per_lane: 0 };
        let per_lane = |name, words: usize| Size { name, shared: 0, per_lane: words as u64 * WORD };
        let mut sizes = vec![
            shared("landmarks", 3 * self.parameters),
            per_lane("history", spec.needs.slots * self.parameters),
            per_lane("state", spec.needs.memories() * self.parameters),
            per_lane("server", self.parameters),
            per_lane("observations", 4 * spec.block),
        ];
        if spec.needs.centred {
            sizes.push(per_lane("anchor", self.parameters));
        }
        if self.path == Path::Layered {
            sizes.extend([
                per_lane("gradient", self.parameters),
                per_lane("loss_partials", self.loss_partials),
                per_lane("moment_partials", 4 * self.moment_partials),
            ]);
        }
        match (&*spec.problem, &self.path) {
            (Problem::Quadratic(_), _) => sizes.push(shared("eigenvalues", self.parameters)),
            (Problem::Network(network), Path::Fused(_)) => {
                let features = network.data.features();
                sizes.push(shared("data", network.data.samples() * 4 * quads(features)));
            }
            (Problem::Network(network), Path::Layered) => {
                let rows = rows(network, spec);
                sizes.push(shared("data", network.data.inputs.len()));
                if spec.batch.is_some() {
                    sizes.push(per_lane("inputs", rows * network.data.features()));
                }
                let layers = &network.model.perceptron().expect(FUSED).layers;
                sizes.extend(layers.iter().map(|layer| per_lane("values", rows * layer.outputs)));
                let hidden = layers.iter().rev().skip(1);
                sizes.extend(hidden.clone().map(|layer| per_lane("slopes", rows * layer.outputs)));
                sizes.extend(hidden.map(|layer| per_lane("deltas", rows * layer.outputs)));
            }
        }
        sizes
    }

    /// Whether every dispatch but for its lanes stays within the workgroups of one dimension.
    fn check_grid(&self, spec: &WaveSpec, limits: &Limits) -> Result<(), EngineError> {
        let mut grids = vec![("step", self.parameters.div_ceil(step::WORKGROUP))];
        if let (Problem::Network(network), Path::Layered) = (&*spec.problem, &self.path) {
            let rows = rows(network, spec);
            grids.push(("gather", (rows * network.data.features()).div_ceil(gather::WORKGROUP)));
            for layer in &network.model.perceptron().expect(FUSED).layers {
                for (rows, columns) in [(rows, layer.outputs), (rows, layer.inputs), (layer.outputs, layer.inputs + 1)]
                {
                    let [x, y, _] =
                        Tile::for_shape(rows as u32, columns as u32).workgroups(rows as u32, columns as u32, 1);
                    grids.push(("matmul", x.max(y) as usize));
                }
            }
        }
        let most = limits.max_compute_workgroups_per_dimension as usize;
        match grids.into_iter().find(|(_, workgroups)| *workgroups > most) {
            Some((name, workgroups)) => Err(EngineError::TooLarge(format!(
                "'{name}' takes {workgroups} workgroups in one dimension; the adapter has {most}"
            ))),
            None => Ok(()),
        }
    }
}

/// Bytes of a lane's place in one step.
const UPDATE: u64 = size_of::<crate::kernels::motion::Update>() as u64;

/// The largest buffer that a kernel can see and index with 32 bits.
fn largest_buffer(limits: &Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(WORD * u64::from(u32::MAX))
}

/// What a plan relies on once it is on the fused path.
const FUSED: &str = "the fused path is a perceptron's";

fn perceptron(network: &Network) -> Result<&Perceptron, String> {
    network.model.perceptron().ok_or_else(|| "a perceptron: this model has other layers".into())
}

/// Rows per gradient of a network.
pub fn rows(network: &Network, spec: &WaveSpec) -> usize {
    spec.batch.unwrap_or_else(|| network.data.samples())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Needs;
    use crate::kernels::activation::Activation;
    use crate::kernels::fused::MOST_TURNS;
    use crate::problem::Quadratic;
    use crate::problem::data::{DataSource, Dataset};
    use crate::problem::model::Model;
    use crate::schedule::Sampling;
    use std::sync::Arc;

    fn spec(problem: Problem, batch: Option<usize>, lanes: usize) -> WaveSpec {
        let landmark = Arc::new(vec![0.0; problem.dimension()]);
        WaveSpec {
            problem: Arc::new(problem),
            batch,
            minimum: Arc::clone(&landmark),
            direction: landmark,
            lanes,
            sampling: Sampling::Epochs,
            together: 1,
            needs: Needs { slots: 33, slot_velocity: true, ..Needs::default() },
            block: 1000,
        }
    }

    fn quadratic(parameters: usize) -> Problem {
        Problem::Quadratic(Quadratic { eigenvalues: vec![1.0; parameters] })
    }

    fn digits() -> Problem {
        let data = Dataset::load(DataSource::Digits, None, 0).unwrap();
        let model = Model::mlp(64, &[16], 10, Activation::Tanh);
        Problem::Network(Network::new(model, crate::kernels::loss::Loss::Ce, 0.0, data))
    }

    /// A device that ends loops.
    fn bounds(limits: &Limits) -> Bounds<'_> {
        Bounds { limits, turns: MOST_TURNS, work: MOST_WORK }
    }

    /// WebGPU's guaranteed limits: 128 MiB per binding, 256 MiB per buffer, 65535 workgroups.
    fn plan(spec: &WaveSpec) -> Result<Plan, EngineError> {
        Plan::new(spec, bounds(&Limits::default()), Paths::Layered)
    }

    #[test]
    fn the_largest_buffer_decides_how_many_lanes_fit() {
        // The ring: 33 slots of 1210 parameters of 4 bytes. The activations: 1797 rows of 16 units are smaller.
        let expected = (128 << 20) / (33 * 1210 * 4);
        assert_eq!(plan(&spec(digits(), None, 100_000)).unwrap().capacity, expected);
        assert_eq!(plan(&spec(digits(), None, 5)).unwrap().capacity, 5);
        assert_eq!(plan(&spec(quadratic(1), None, 1 << 20)).unwrap().capacity, (128 << 20) / (4 * 4 * 1000));
    }

    #[test]
    fn a_submit_is_bounded_in_steps_in_work_and_in_its_tables() {
        assert_eq!(plan(&spec(quadratic(10), None, 10)).unwrap().portion, MOST_STEPS.0);
        // 6 FLOP for each of 1797 rows and 1184 weights of 800 lanes: 10.2 GFLOP a step.
        let plan_of = |lanes| plan(&spec(digits(), None, lanes)).unwrap();
        assert_eq!((plan_of(800).portion, plan_of(800).room), (3, MOST_STEPS.0));
        let small = Limits { max_storage_buffer_binding_size: 1 << 20, ..Limits::default() };
        let plan = Plan::new(&spec(digits(), Some(64), 100), bounds(&small), Paths::Layered).unwrap();
        assert!(plan.capacity * plan.room * 64 * 4 <= 1 << 20 && plan.portion > 1, "{plan:?}");
        assert!(plan.portion <= plan.room, "{plan:?}");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_numbers() {
        let message = |spec: &WaveSpec| match plan(spec) {
            Err(EngineError::TooLarge(message)) => message,
            other => panic!("{other:?}"),
        };
        let ring = message(&spec(quadratic(2_000_000), None, 1));
        assert!(ring.contains("'history'") && ring.contains("264000000") && ring.contains("134217728"), "{ring}");
        let grid = message(&WaveSpec {
            needs: Needs { slots: 1, ..Needs::default() },
            ..spec(quadratic(65_535 * step::WORKGROUP + 1), None, 1)
        });
        assert!(grid.contains("'step'") && grid.contains("65536") && grid.contains("65535"), "{grid}");
    }

    #[test]
    fn a_network_is_fused_where_it_fits_a_workgroup_and_the_choice_is_named() {
        let least = Limits::default();
        let large = Limits {
            max_storage_buffers_per_shader_stage: 16,
            max_compute_workgroup_storage_size: 48 << 10,
            ..least.clone()
        };
        let path = |spec: &WaveSpec, limits, paths| Plan::new(spec, bounds(limits), paths).map(|plan| plan.path.name());
        let spec_of = |problem| spec(problem, None, 100);
        assert_eq!(path(&spec_of(digits()), &large, Paths::Fastest).unwrap(), "fused");
        assert_eq!(path(&spec_of(digits()), &large, Paths::Layered).unwrap(), "layered");
        // WebGPU guarantees eight storage buffers.
        assert_eq!(path(&spec_of(digits()), &least, Paths::Fastest).unwrap(), "layered");
        assert_eq!(path(&spec_of(quadratic(10)), &large, Paths::Fastest).unwrap(), "layered");
        let Problem::Network(network) = digits() else { unreachable!("digits are a network") };
        let wide = Network { model: Model::mlp(64, &[512], 10, Activation::Tanh), ..network };
        assert_eq!(path(&spec_of(Problem::Network(wide.clone())), &large, Paths::Fastest).unwrap(), "layered");
        for (problem, limits, why) in [
            (digits(), &least, "12 storage buffers; the adapter has 8"),
            (quadratic(10), &large, "quadratic"),
            (Problem::Network(wide), &large, "49152"),
        ] {
            let refused = path(&spec_of(problem), limits, Paths::Fused).unwrap_err().to_string();
            assert!(refused.contains("fused") && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_fused_submit_takes_more_steps_unless_one_lane_is_long_at_work() {
        let limits = Limits { max_storage_buffers_per_shader_stage: 16, ..Limits::default() };
        let plan = |lanes, batch| Plan::new(&spec(digits(), batch, lanes), bounds(&limits), Paths::Fused).unwrap();
        assert_eq!(plan(10, Some(16)).room, MOST_STEPS.1);
        assert!(plan(10, Some(128)).room > MOST_STEPS.0);
        // Loops turn for every row of the batch.
        let whole = plan(1, None);
        let (Path::Fused(shape), Problem::Network(network)) = (whole.path, digits()) else { panic!("{whole:?}") };
        let turns = shape.turns(network.model.perceptron().unwrap(), 1797, false);
        assert!(whole.room * turns <= MOST_TURNS && (whole.room + 1) * turns > MOST_TURNS, "{turns}: {whole:?}");
        assert!(whole.portion <= whole.room);
        assert_eq!(plan(800, None).portion, 3);
        let endless = Bounds { turns: usize::MAX, ..bounds(&limits) };
        assert_eq!(Plan::new(&spec(digits(), None, 1), endless, Paths::Fused).unwrap().room, MOST_STEPS.1);
        // 10.6 MFLOP in a step of each of ten lanes.
        let slow = Bounds { work: MOST_SOFTWARE_WORK, ..bounds(&limits) };
        assert_eq!(Plan::new(&spec(digits(), None, 10), slow, Paths::Fused).unwrap().portion, 7);
    }
}
