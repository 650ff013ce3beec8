//! How many lanes of a wave fit a device, and how many steps are submitted at once: counted before anything is allocated,
//! from the table of buffers and the calls that the wave will have.
//!
//! Not here: that table and those calls (`steps`).

use crate::engine::gpu::device::Bounds;
use crate::engine::gpu::steps::buffers::{TableRow, WORD, staging, table};
use crate::engine::gpu::steps::path::{Path, Paths};
use crate::engine::gpu::steps::{Call, Sizes, WaveLayout};
use crate::engine::{EngineError, WaveSpec};
use crate::kernels::step;
use crate::kernels::update::{Update, UpdateStep};
use wgpu::Limits;

/// Bytes of the largest table of a submit at most.
const MOST_TABLE_BYTES: u64 = 64 << 20;

/// Parts of a ring at most: each costs some dispatches a step.
const MOST_PARTS: usize = 64;

/// A wave on a device, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub sizes: Sizes,
    /// Lanes of this kind that fit, at most those asked for.
    pub capacity: usize,
    /// Bytes that those lanes take.
    pub bytes: u64,
    /// The part of them that does not depend on the number of lanes.
    pub shared_bytes: u64,
    /// Steps in the first submit.
    pub first_steps: usize,
    /// Steps in any submit: the tables hold as many.
    pub table_steps: usize,
    /// Submits that a single step is cut into while it takes more than a first submit may.
    pub pieces: usize,
    /// Numbers of a stored vector in each buffer of the ring ([`WaveLayout::part`]).
    pub part: usize,
}

impl Plan {
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where not even one lane fits the buffers or the memory; else as
    /// [`Sizes::new`].
    pub fn new(spec: &WaveSpec, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        let sizes = Sizes::new(spec, bounds, paths)?;
        let whole = Self::cut(spec, &sizes, sizes.parameters, bounds);
        let holds = |plan: &Result<Self, _>| plan.as_ref().map_or(0, |plan: &Self| plan.capacity);
        let Some(part) = most_useful_part(spec, &sizes, bounds.limits).filter(|_| holds(&whole) < spec.lanes) else {
            return whole;
        };
        let cut = Self::cut(spec, &sizes, part, bounds);
        // The weights that steps read are memory too, once more.
        if holds(&cut) > holds(&whole) { cut } else { whole }
    }

    /// With `part` numbers of a vector in each buffer of the ring.
    fn cut(spec: &WaveSpec, sizes: &Sizes, part: usize, bounds: Bounds) -> Result<Self, EngineError> {
        let one = WaveLayout { spec, sizes, lanes: 1, table_steps: 1, part };
        // Buffers first: what fits them can be counted in 32 bits, as calls do.
        let capacity = lanes_that_fit(&one, bounds.limits)?;
        let mut capacity = capacity.min(lanes_of_calls(one.calls(), bounds)?);
        loop {
            let plan = Self::of(&one, capacity, bounds);
            let memory = bounds.memory.unwrap_or(u64::MAX);
            if plan.bytes <= memory {
                return Ok(plan);
            }
            let of_lanes = plan.bytes - plan.shared_bytes;
            if capacity <= 1 {
                let shared = plan.shared_bytes;
                return Err(EngineError::TooLarge(format!(
                    "one run takes {of_lanes} bytes beside {shared} that all share; the adapter has {memory} bytes free; smaller \
                     batches, fewer slots or a smaller model would help"
                )));
            }
            // Tables hold more steps of fewer lanes, so that it may take a few turns.
            let share = memory.saturating_sub(plan.shared_bytes) as f64 / of_lanes as f64;
            capacity = ((capacity as f64 * share) as usize).clamp(1, capacity - 1);
        }
    }

    /// That of so many lanes, whatever memory they take.
    fn of(one: &WaveLayout, capacity: usize, bounds: Bounds) -> Self {
        let WaveLayout { spec, sizes, part, .. } = *one;
        let (lanes, work) = (capacity.max(1) as u64, sizes.work as u64);
        let update = (spec.updates() * (size_of::<UpdateStep>() + size_of::<Update>())) as u64;
        let table_row = lanes * update.max(spec.batch.unwrap_or(0) as u64 * WORD);
        let table_steps = largest_buffer(bounds.limits).min(MOST_TABLE_BYTES) / table_row;
        let most_steps = sizes.path.most_steps(spec, sizes.rows, bounds.iterations);
        let table_steps = (spec.block * spec.needs.work.gradients).min(most_steps).min(table_steps as usize).max(1);
        let first_steps = table_steps.min(sizes.path.first_steps(lanes * work, work, bounds.work)).max(1);
        let pieces = (lanes * work).div_ceil(bounds.work).max(1) as usize;
        let rows = table(&WaveLayout { spec, sizes, lanes: capacity, table_steps, part });
        let shared_bytes = rows.iter().map(|row| row.shared).sum();
        let bytes = rows.iter().map(|row| row.bytes(lanes as usize)).sum();
        Self { sizes: sizes.clone(), capacity, bytes, shared_bytes, first_steps, table_steps, pieces, part }
    }

    /// The wave itself.
    pub fn layout<'a>(&'a self, spec: &'a WaveSpec) -> WaveLayout<'a> {
        WaveLayout { spec, sizes: &self.sizes, lanes: spec.lanes, table_steps: self.table_steps, part: self.part }
    }
}

/// The largest part of the ring with which bindings hold as many lanes as with the smallest; none where the ring stays whole: that
/// of a fused wave is one with other vectors, and where a second moment belongs to a whole gradient the rule's state is seen as one.
fn most_useful_part(spec: &WaveSpec, sizes: &Sizes, limits: &Limits) -> Option<usize> {
    if sizes.path != Path::Layered || (spec.needs.finish && spec.needs.second_moment) {
        return None;
    }
    let part = |parts: usize| sizes.parameters.div_ceil(parts).next_multiple_of(step::WORKGROUP);
    let lanes = |parts: usize| {
        let one = WaveLayout { spec, sizes, lanes: 1, table_steps: 1, part: part(parts) };
        lanes_that_fit(&one, limits).unwrap_or(0)
    };
    let most = lanes(MOST_PARTS);
    let parts = (2..MOST_PARTS).find(|parts| lanes(*parts) >= most).unwrap_or(MOST_PARTS);
    Some(part(parts)).filter(|part| *part < sizes.parameters)
}

/// How many lanes every buffer of a wave has room for. `one` is the wave of one lane.
fn lanes_that_fit(one: &WaveLayout, limits: &Limits) -> Result<usize, EngineError> {
    let largest = largest_buffer(limits);
    let mut lanes = one.spec.lanes.min(limits.max_compute_workgroups_per_dimension as usize);
    for TableRow { name, shared, per_lane } in table(one).into_iter().chain([staging(one)]) {
        if shared + per_lane > largest {
            let (label, asked, remedy) = (name.label(), shared.max(per_lane), name.remedy());
            let whose = if shared > per_lane { "all runs together" } else { "one run" };
            return Err(EngineError::TooLarge(format!(
                "the buffer '{label}' of {whose} takes {asked} bytes; the adapter's largest is {largest} bytes; {remedy} \
                 would help"
            )));
        }
        let fit = (largest - shared).checked_div(per_lane).unwrap_or(u64::MAX);
        lanes = lanes.min(usize::try_from(fit).unwrap_or(usize::MAX));
    }
    Ok(lanes)
}

/// How many lanes the grids of a lane's `calls` have room for, each of which must stay within the workgroups of one
/// dimension, and its loops within their iterations.
fn lanes_of_calls(calls: Vec<Call>, bounds: Bounds) -> Result<usize, EngineError> {
    let most = bounds.limits.max_compute_workgroups_per_dimension;
    let mut lanes = most;
    for Call { kernel, workgroups: [x, y, layers], iterations, .. } in calls {
        let (name, workgroups) = (kernel.name, x.max(y).max(layers));
        if workgroups > most {
            return Err(EngineError::TooLarge(format!(
                "'{name}' takes {workgroups} workgroups in one dimension; the adapter has {most}"
            )));
        }
        if iterations > bounds.iterations {
            return Err(EngineError::TooLarge(format!(
                "'{name}' takes {iterations} iterations of its loops; the adapter ends them after {}; smaller batches or a \
                 smaller model would help",
                bounds.iterations
            )));
        }
        lanes = lanes.min(most / layers);
    }
    Ok(lanes as usize)
}

/// The largest buffer that a kernel can see and index with 32 bits.
fn largest_buffer(limits: &Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(WORD * u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Sampling;
    use crate::data::{DataSource, Dataset};
    use crate::engine::Needs;
    use crate::engine::gpu::device::{MOST_SOFTWARE_WORK, MOST_WORK};
    use crate::engine::gpu::steps::path::{MOST_FUSED_STEPS, MOST_LAYERED_STEPS, Path};
    use crate::kernels::fused::MOST_ITERATIONS;
    use crate::kernels::quadratic;
    use crate::math::{Activation, Shape as DataShape};
    use crate::model::Model;
    use crate::model::zoo::Named;
    use crate::problem::{Network, Problem, Quadratic};
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
        Bounds { limits, iterations: MOST_ITERATIONS, work: MOST_WORK, memory: None }
    }

    /// WebGPU's guaranteed limits: 128 MiB per binding, 256 MiB per buffer, 65535 workgroups.
    fn plan(spec: &WaveSpec) -> Result<Plan, EngineError> {
        Plan::new(spec, bounds(&Limits::default()), Paths::Layered)
    }

    #[test]
    fn the_largest_buffer_decides_how_many_lanes_fit() {
        // The activations: 1797 rows of 16 units. The ring, 33 slots of 1210 parameters, is larger and is cut.
        let expected = (128 << 20) / (1797 * 16 * 4);
        assert_eq!(plan(&spec(digits(), None, 100_000)).unwrap().capacity, expected);
        assert_eq!(plan(&spec(digits(), None, 5)).unwrap().capacity, 5);
        assert_eq!(plan(&spec(quadratic(1), None, 1 << 20)).unwrap().capacity, (128 << 20) / (4 * 4 * 1000));
    }

    #[test]
    fn a_submit_is_bounded_in_steps_in_work_and_in_its_tables() {
        assert_eq!(plan(&spec(quadratic(10), None, 10)).unwrap().first_steps, MOST_LAYERED_STEPS);
        // 6 FLOP for each of 1797 rows and 1184 weights of 800 lanes: 10.2 GFLOP a step.
        let plan_of = |lanes| plan(&spec(digits(), None, lanes)).unwrap();
        assert_eq!((plan_of(800).first_steps, plan_of(800).table_steps), (3, MOST_LAYERED_STEPS));
        let small = Limits { max_storage_buffer_binding_size: 1 << 20, ..Limits::default() };
        let plan = Plan::new(&spec(digits(), Some(64), 100), bounds(&small), Paths::Layered).unwrap();
        assert!(plan.capacity * plan.table_steps * 64 * 4 <= 1 << 20 && plan.first_steps > 1, "{plan:?}");
        assert!(plan.first_steps <= plan.table_steps, "{plan:?}");
    }

    #[test]
    fn a_step_that_is_too_much_for_a_submit_is_cut() {
        let shape = DataShape::new(3, 32, 32);
        let data = Dataset { inputs: vec![0.0; 40 * shape.elements()], labels: vec![0; 40], shape, classes: 10 };
        let model = Named::Vgg11.graph(shape, 10).unwrap().into();
        let problem = Problem::Network(Network::new(model, crate::math::Loss::Ce, 0.0, data));
        let spec = WaveSpec { needs: Needs { slots: 2, ..Needs::default() }, ..spec(problem, Some(32), 3) };
        // 153 million products, of which there are three of 32 rows in each of three lanes: 88 GFLOP.
        let alone = WaveSpec { lanes: 1, ..spec.clone() };
        let of = |work| Plan::new(&alone, Bounds { work, ..bounds(&Limits::default()) }, Paths::Fastest).unwrap();
        assert_eq!((of(MOST_WORK).capacity, of(MOST_WORK).first_steps, of(MOST_WORK).pieces), (1, 1, 1));
        let large = Limits { max_storage_buffer_binding_size: 1 << 30, max_buffer_size: 1 << 30, ..Limits::default() };
        let whole = Plan::new(&spec, bounds(&large), Paths::Fastest).unwrap();
        assert_eq!((whole.capacity, whole.first_steps, whole.pieces), (3, 1, 3));
        assert_eq!(of(MOST_SOFTWARE_WORK).pieces, 30);
    }

    #[test]
    fn a_ring_beyond_a_binding_is_cut_until_whole_vectors_are_what_binds() {
        let shape = DataShape::new(3, 32, 32);
        let data = Dataset { inputs: vec![0.0; 40 * shape.elements()], labels: vec![0; 40], shape, classes: 10 };
        let model = Named::Vgg11.graph(shape, 10).unwrap().into();
        let problem = Problem::Network(Network::new(model, crate::math::Loss::Ce, 0.0, data));
        let parameters = problem.dimension() as u64;
        let (largest, slots) = (2u64 << 30, 17);
        let limits = Limits {
            max_storage_buffer_binding_size: largest,
            max_buffer_size: largest,
            max_compute_workgroups_per_dimension: 1 << 30,
            ..Limits::default()
        };
        let vgg = WaveSpec { needs: Needs { slots, ..Needs::default() }, ..spec(problem, Some(32), 64) };
        let plan = Plan::new(&vgg, bounds(&limits), Paths::Fastest).unwrap();
        assert_eq!((largest / (slots as u64 * 4 * parameters), plan.capacity as u64), (3, largest / (4 * parameters)));
        let lanes_of_a_part = largest / (slots as u64 * 4 * plan.part as u64);
        assert!(plan.part.is_multiple_of(step::WORKGROUP) && lanes_of_a_part >= plan.capacity as u64, "{plan:?}");
        // What steps read is memory too, so that a ring stays whole where a heap is what binds.
        let heap = plan.shared_bytes + 3 * (plan.bytes - plan.shared_bytes) / plan.capacity as u64;
        let tight = Plan::new(&vgg, Bounds { memory: Some(heap), ..bounds(&limits) }, Paths::Fastest).unwrap();
        assert_eq!((tight.capacity, tight.part as u64), (3, parameters));
        // A second moment that belongs to a whole gradient.
        let whole = WaveSpec { needs: Needs { finish: true, second_moment: true, ..vgg.needs }, ..vgg };
        let endless = Bounds { iterations: usize::MAX, ..bounds(&limits) };
        assert_eq!(Plan::new(&whole, endless, Paths::Fastest).unwrap().capacity, 3);
    }

    /// As on a card of 80 GB: the runs go on in waves, of which none takes more than there is.
    #[test]
    fn lanes_that_would_not_fit_the_memory_together_are_left_to_the_next_wave() {
        let shape = DataShape::new(3, 32, 32);
        let data = Dataset { inputs: vec![0.0; 40 * shape.elements()], labels: vec![0; 40], shape, classes: 10 };
        let model = Named::Resnet20.graph(shape, 10).unwrap().into();
        let problem = Problem::Network(Network::new(model, crate::math::Loss::Ce, 0.0, data));
        let spec = WaveSpec { needs: Needs { slots: 17, ..Needs::default() }, ..spec(problem, Some(128), 256) };
        let limits = Limits {
            max_storage_buffer_binding_size: 1 << 36,
            max_buffer_size: 1 << 36,
            max_compute_workgroups_per_dimension: 1 << 30,
            ..Limits::default()
        };
        let of = |memory| Plan::new(&spec, Bounds { memory, ..bounds(&limits) }, Paths::Layered);
        let whole = of(None).unwrap();
        assert!(whole.capacity == 256 && whole.bytes > 80 << 30, "{whole:?}");
        let card = of(Some(72 << 30)).unwrap();
        assert!(card.bytes <= 72 << 30 && card.capacity < 256, "{card:?}");
        // One lane more would not have fitted.
        let lane = (card.bytes - card.shared_bytes) / card.capacity as u64;
        assert!(card.bytes + lane + lane / 50 > 72 << 30, "{card:?}");
        let of_one = of(Some(card.shared_bytes + lane + lane / 2)).unwrap();
        assert_eq!(of_one.capacity, 1);
        let Err(EngineError::TooLarge(message)) = of(Some(1 << 20)) else { panic!("nothing fits a MiB") };
        assert!(message.contains("one run takes ") && message.contains("1048576 bytes free"), "{message}");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_numbers() {
        let message = |spec: &WaveSpec| match plan(spec) {
            Err(EngineError::TooLarge(message)) => message,
            other => panic!("{other:?}"),
        };
        let deep = Needs { slots: 1100, slot_velocity: true, ..Needs::default() };
        let ring = message(&WaveSpec { needs: deep, ..spec(quadratic(2_000_000), None, 1) });
        assert!(ring.contains("'history'") && ring.contains("8800000000") && ring.contains("134217728"), "{ring}");
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
        let path =
            |spec: &WaveSpec, limits, paths| Plan::new(spec, bounds(limits), paths).map(|plan| plan.sizes.path.name());
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
            (digits(), &least, "10 storage buffers; the adapter has 8"),
            (quadratic(10), &large, "quadratic"),
            (Problem::Network(wide), &large, "49152"),
        ] {
            let refused = path(&spec_of(problem), limits, Paths::Fused).unwrap_err().to_string();
            assert!(refused.contains("fused") && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_fused_submit_takes_more_steps_unless_one_lane_is_long_at_work() {
        let limits = Limits {
            max_storage_buffers_per_shader_stage: 16,
            max_storage_buffer_binding_size: 1 << 29,
            max_buffer_size: 1 << 29,
            ..Limits::default()
        };
        let plan = |lanes, batch| Plan::new(&spec(digits(), batch, lanes), bounds(&limits), Paths::Fused).unwrap();
        assert_eq!(plan(10, Some(16)).table_steps, MOST_FUSED_STEPS);
        assert!(plan(10, Some(128)).table_steps > MOST_LAYERED_STEPS);
        // Loops turn for every row of the batch.
        let whole = plan(1, None);
        let (Path::Fused(shape), Problem::Network(network)) = (whole.sizes.path, digits()) else { panic!("{whole:?}") };
        let iterations = shape.iterations(network.model.perceptron().unwrap(), 1797, false);
        assert!(
            whole.table_steps * iterations <= MOST_ITERATIONS && (whole.table_steps + 1) * iterations > MOST_ITERATIONS,
            "{iterations}: {whole:?}"
        );
        assert!(whole.first_steps <= whole.table_steps);
        assert_eq!(plan(800, None).first_steps, 3);
        let endless = Bounds { iterations: usize::MAX, ..bounds(&limits) };
        assert_eq!(Plan::new(&spec(digits(), None, 1), endless, Paths::Fused).unwrap().table_steps, MOST_FUSED_STEPS);
        // 10.6 MFLOP in a step of each of ten lanes.
        let slow = Bounds { work: MOST_SOFTWARE_WORK, ..bounds(&limits) };
        assert_eq!(Plan::new(&spec(digits(), None, 10), slow, Paths::Fused).unwrap().first_steps, 7);
    }
}
