//! What a wave takes of a device, counted before anything is allocated: how many lanes fit, and in what portions their
//! steps are submitted.

mod path;
mod sizes;

pub(super) use path::FUSED;
pub use path::{Path, Paths};

use crate::data::Dataset;
use crate::engine::gpu::layers::Pass;
use crate::engine::{EngineError, WaveSpec};
use crate::kernels::packing::Packing;
use crate::kernels::tile::Tile;
use crate::kernels::update::Update;
use crate::kernels::{Batch, finish, gather, loss, quadratic, step};
use crate::layer::device::{DeviceCall, Purpose};
use crate::problem::{Network, Problem};
use sizes::{Size, WORD, sizes};
use wgpu::Limits;

/// Floating-point operations in the first submit at most; how fast the device is shows in it. Drivers kill submits that
/// take seconds; a small integrated GPU needs a tenth of a second for these.
pub const MOST_WORK: u64 = 40_000_000_000;

/// The same on a software adapter, which does a few thousand million of them in a second.
pub const MOST_SOFTWARE_WORK: u64 = 1_000_000_000;

/// Bytes of the largest table of a submit at most.
const TABLE: u64 = 64 << 20;

/// What a device holds a plan to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    pub limits: &'a Limits,
    /// Turns of loops in one dispatch, where there is an end to them ([`crate::kernels::fused::MOST_TURNS`]).
    pub turns: usize,
    /// Floating-point operations in the first submit.
    pub work: u64,
}

/// The numbers of a wave on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Lanes of this kind that fit, at most those asked for.
    pub capacity: usize,
    /// Bytes that those lanes take.
    pub bytes: u64,
    /// Those of them that no lane has for itself.
    pub shared_bytes: u64,
    /// Steps in the first submit.
    pub portion: usize,
    /// Steps in any: what the tables have room for.
    pub room: usize,
    /// Submits that a single step is cut into while it takes more than a first submit may.
    pub pieces: usize,
    /// Samples of every lane that go through an evaluation at once.
    pub chunk: usize,
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

impl Plan {
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where not even one lane fits; [`EngineError::Unavailable`] where a norm has
    /// nothing to go by.
    pub fn new(spec: &WaveSpec, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        let parameters = spec.problem.dimension();
        let (loss_partials, work, chunk) = match &*spec.problem {
            Problem::Quadratic(_) => (quadratic::partials(parameters), parameters, 0),
            Problem::Network(network) => {
                let rows = rows(network, spec);
                network.check_rows(rows).map_err(EngineError::Unavailable)?;
                let weights = network.model.graph.products();
                (loss::partials(rows), 6 * rows * weights, chunk(network, rows))
            }
        };
        let path = Path::new(spec, work, bounds, paths)?;
        let packing = match (&path, &*spec.problem) {
            (Path::Fused(_), Problem::Network(network)) => Packing::of(network.model.perceptron().expect(FUSED)),
            _ => Packing::none(parameters),
        };
        let (capacity, parameters) = (spec.lanes, packing.length());
        let mut plan = Self {
            capacity,
            bytes: 0,
            shared_bytes: 0,
            portion: 1,
            room: 1,
            pieces: 1,
            chunk,
            path,
            packing,
            parameters,
            loss_partials,
            moment_partials: step::partials(spec.problem.dimension()),
        };
        // Buffers first: what fits them can be counted in 32 bits, as dispatches are.
        plan.capacity = plan.lanes_that_fit(spec, bounds.limits)?;
        plan.capacity = plan.capacity.min(plan.check_dispatches(spec, bounds)?);

        let lanes = plan.capacity.max(1) as u64;
        let table = lanes * (size_of::<Update>() as u64).max(spec.batch.unwrap_or(0) as u64 * WORD);
        let room = largest_buffer(bounds.limits).min(TABLE) / table;
        plan.room = spec.block.min(plan.path.most_steps(spec, bounds.turns)).min(room as usize).max(1);
        plan.portion = plan.room.min(plan.path.first_steps(lanes * work as u64, work as u64, bounds.work)).max(1);
        plan.pieces = (lanes * work as u64).div_ceil(bounds.work).max(1) as usize;
        let sizes = sizes(&plan, spec, plan.capacity);
        plan.shared_bytes = sizes.iter().map(|size| size.shared).sum();
        plan.bytes = plan.shared_bytes + lanes * sizes.iter().map(|size| size.per_lane).sum::<u64>();
        Ok(plan)
    }

    /// Whether every sample is padded to whole vec4s, as the fused path reads them.
    pub fn pads_samples(&self) -> bool {
        self.path != Path::Layered
    }

    /// The pass through a graph that makes gradients, of `lanes` lanes.
    pub fn training<'a>(&self, spec: &WaveSpec, network: &'a Network, lanes: usize) -> Pass<'a> {
        let slots = spec.needs.slots;
        let batch = Batch { lanes, rows: rows(network, spec), parameters: self.parameters, slots };
        Pass::new(&network.model, batch, Purpose::Training { updates_statistics: true })
    }

    /// The pass that evaluates the server's weights, of `lanes` lanes.
    pub fn evaluation<'a>(&'a self, network: &'a Network, lanes: usize) -> Pass<'a> {
        let batch = Batch { lanes, rows: self.chunk, parameters: self.parameters, slots: 1 };
        let packed = match self.path {
            Path::Fused(_) => network.model.perceptron().map(|model| (model, &self.packing)),
            Path::Layered => None,
        };
        Pass::new(&network.model, batch, Purpose::Evaluation(packed))
    }

    fn lanes_that_fit(&self, spec: &WaveSpec, limits: &Limits) -> Result<usize, EngineError> {
        let largest = largest_buffer(limits);
        let mut lanes = spec.lanes.min(limits.max_compute_workgroups_per_dimension as usize);
        let staging = Size { name: "staging", shared: 0, per_lane: 4 * WORD * spec.block as u64 };
        for size in sizes(self, spec, 1).into_iter().chain([staging]) {
            let Size { name, shared, per_lane } = size;
            if shared.max(per_lane) > largest {
                let asked = shared.max(per_lane);
                let whose = if shared > per_lane { "the wave" } else { "one lane" };
                return Err(EngineError::TooLarge(format!(
                    "the buffer '{name}' of {whose} takes {asked} bytes; the adapter's largest is {largest} bytes; {} would \
                     help",
                    size.remedy()
                )));
            }
            let fit = largest.checked_div(per_lane).unwrap_or(u64::MAX);
            lanes = lanes.min(usize::try_from(fit).unwrap_or(usize::MAX));
        }
        Ok(lanes)
    }

    /// Checks that every dispatch but for its lanes stays within the workgroups of one dimension, and its loops within
    /// their turns. Returns how many lanes they have room for.
    fn check_dispatches(&self, spec: &WaveSpec, bounds: Bounds) -> Result<usize, EngineError> {
        let most = bounds.limits.max_compute_workgroups_per_dimension as usize;
        let mut lanes = most;
        for Grid { name, workgroups: [x, y, layers], turns } in self.grids(spec) {
            if x.max(y).max(layers) > most {
                let workgroups = x.max(y).max(layers);
                return Err(EngineError::TooLarge(format!(
                    "'{name}' takes {workgroups} workgroups in one dimension; the adapter has {most}"
                )));
            }
            if turns > bounds.turns {
                return Err(EngineError::TooLarge(format!(
                    "'{name}' takes {turns} turns of its loops; the adapter ends them after {}; smaller batches or a smaller \
                     model would help",
                    bounds.turns
                )));
            }
            lanes = lanes.min(most / layers);
        }
        Ok(lanes)
    }

    /// Those of one lane.
    fn grids(&self, spec: &WaveSpec) -> Vec<Grid> {
        let along = |name, workgroups, turns| Grid { name, workgroups: [workgroups, 1, 1], turns };
        let mut grids = Vec::new();
        if let Problem::Quadratic(_) = &*spec.problem {
            grids.push(along("quadratic", self.loss_partials, 1));
        }
        if spec.needs.finish && self.path == Path::Layered {
            grids.push(along("finish", 1, 2 * self.parameters.div_ceil(finish::WORKGROUP)));
        }
        let Problem::Network(network) = &*spec.problem else { return grids };
        let of_calls = |calls: Vec<DeviceCall>| calls.into_iter().map(Grid::of).collect::<Vec<_>>();
        let gathering = |rows: usize| along("gather", (rows * network.data.features()).div_ceil(gather::WORKGROUP), 1);
        if spec.needs.evaluation {
            grids.push(gathering(self.chunk));
            grids.extend(of_calls(self.evaluation(network, 1).forward()));
        }
        if self.path != Path::Layered {
            return grids;
        }
        let rows = rows(network, spec);
        grids.push(gathering(rows));
        let Some(model) = network.model.perceptron() else {
            let pass = self.training(spec, network, 1);
            grids.extend(of_calls(pass.forward()));
            grids.extend(of_calls(pass.backward()));
            return grids;
        };
        for layer in &model.layers {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            for [rows, inner, columns] in
                [[rows, inputs, outputs], [rows, outputs, inputs], [outputs, rows, inputs + 1]]
            {
                let tile = Tile::for_shape(rows as u32, columns as u32);
                let workgroups = tile.workgroups(rows as u32, columns as u32, 1).map(|count| count as usize);
                grids.push(Grid { name: "matmul", workgroups, turns: tile.turns(inner) });
            }
        }
        grids
    }
}

/// A dispatch of one lane, as far as devices limit it.
struct Grid {
    name: &'static str,
    workgroups: [usize; 3],
    turns: usize,
}

impl Grid {
    fn of(call: DeviceCall) -> Self {
        Self { name: call.kernel.name, workgroups: call.workgroups.map(|count| count as usize), turns: call.iterations }
    }
}

/// Samples at a time of an evaluation: about as many as a gradient has, but neither so few that a device idles nor so many
/// that their values outweigh a lane's weights.
fn chunk(network: &Network, rows: usize) -> usize {
    let parts = std::iter::once(&network.data).chain(&network.test);
    rows.clamp(32, 256).min(parts.map(Dataset::samples).max().unwrap_or(rows))
}

/// The largest buffer that a kernel can see and index with 32 bits.
fn largest_buffer(limits: &Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(WORD * u64::from(u32::MAX))
}

/// Rows per gradient of a network.
pub fn rows(network: &Network, spec: &WaveSpec) -> usize {
    spec.batch.unwrap_or_else(|| network.data.samples())
}

#[cfg(test)]
mod tests {
    use super::path::MOST_STEPS;
    use super::*;
    use crate::batch::Sampling;
    use crate::data::{DataSource, Dataset};
    use crate::engine::Needs;
    use crate::kernels::fused::MOST_TURNS;
    use crate::math::{Activation, Shape as DataShape};
    use crate::model::Model;
    use crate::model::zoo::Named;
    use crate::problem::Quadratic;
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
        let data = Dataset::load(&DataSource::Digits, None, 0).unwrap();
        let model = Model::mlp(64, &[16], 10, Activation::Tanh);
        Problem::Network(Network::new(model, crate::math::Loss::Ce, 0.0, data))
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
    fn a_step_that_is_too_much_for_a_submit_is_cut() {
        let shape = DataShape::new(3, 32, 32);
        let data = Dataset { inputs: vec![0.0; 40 * shape.elements()], labels: vec![0; 40], shape, classes: 10 };
        let model = Named::Vgg11.graph(shape, 10).unwrap().into();
        let problem = Problem::Network(Network::new(model, crate::math::Loss::Ce, 0.0, data));
        let spec = WaveSpec { needs: Needs { slots: 2, ..Needs::default() }, ..spec(problem, Some(32), 3) };
        // 153 million products, of which there are three of 32 rows in each of three lanes: 88 GFLOP.
        let of = |work| Plan::new(&spec, Bounds { work, ..bounds(&Limits::default()) }, Paths::Fastest).unwrap();
        assert_eq!((of(MOST_WORK).capacity, of(MOST_WORK).portion, of(MOST_WORK).pieces), (1, 1, 1));
        let large = Limits { max_storage_buffer_binding_size: 1 << 30, max_buffer_size: 1 << 30, ..Limits::default() };
        let whole = Plan::new(&spec, bounds(&large), Paths::Fastest).unwrap();
        assert_eq!((whole.capacity, whole.portion, whole.pieces), (3, 1, 3));
        assert_eq!(of(MOST_SOFTWARE_WORK).pieces, 30);
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
            ..spec(quadratic(65_535 * quadratic::WORKGROUP + 1), None, 1)
        });
        assert!(grid.contains("'quadratic'") && grid.contains("65536") && grid.contains("65535"), "{grid}");
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
