//! A running wave: its lanes, its buffers and the dispatches of its steps.

mod blocks;
mod evaluator;
mod resident;
mod starts;
mod submit_size;
mod tables;

use crate::batch::RowTables;
use crate::engine::gpu::device::{Device, Dispatch};
use crate::engine::gpu::plan::Plan;
use crate::engine::gpu::steps::Steps;
use crate::engine::gpu::steps::buffers::{Buffers, Name};
use crate::engine::gpu::steps::path::{Path, Paths};
use crate::engine::host_run::HostRun;
use crate::engine::lane_state::{StateReader, StateShape, StateWriter};
use crate::engine::{EngineError, Evaluation, Observations, Part, Renewal, Run, StateError, Wave, WaveSpec};
use crate::kernels::LaneStep;
use crate::text::counted;
use blocks::Blocks;
use evaluator::Evaluator;
use resident::Resident;
use starts::Starts;
use std::io::{Read, Write};
use std::sync::Arc;
use submit_size::SubmitSize;
use tables::{StagedRun, Tables};

/// Some steps of a wave to be run by themselves any number of times, for benchmarks. The lanes go on from where they are,
/// with the same slots and the same minibatches every time.
pub struct BenchmarkSteps {
    /// In their order.
    pub dispatches: Vec<Dispatch>,
    /// Steps that they make together: one on the layered path.
    pub steps: usize,
}

pub struct GpuWave {
    device: Device,
    spec: WaveSpec,
    plan: Plan,
    lanes: Vec<Option<StagedRun>>,
    /// None where the batch is full.
    rows: Option<Arc<RowTables>>,
    buffers: Buffers,
    steps: Steps,
    starts: Starts,
    /// One for each part of the ring.
    renewal: Vec<Dispatch>,
    resident: Resident,
    /// None where the wave is not evaluated.
    evaluator: Option<Evaluator>,
    blocks: Blocks,
    tables: Tables,
    /// Describes the wave and its kernels where a submit hangs.
    what: Arc<str>,
}

impl GpuWave {
    /// # Errors
    /// As [`crate::engine::Engine::open`].
    pub fn open(device: &Device, spec: WaveSpec, paths: Paths) -> Result<Self, EngineError> {
        let plan = Plan::new(&spec, device.bounds(), paths)?;
        if plan.capacity < spec.lanes {
            let Plan { capacity, .. } = plan;
            return Err(EngineError::TooLarge(format!(
                "{} asked for; the adapter holds {capacity}",
                counted(spec.lanes, "lane")
            )));
        }
        let layout = plan.layout(&spec);
        let buffers = Buffers::allocate(&layout, device);
        layout.write_contents(device, &buffers);
        let blocks = Blocks::new(device, &layout, SubmitSize::new(plan.first_steps, plan.table_steps));
        device.prepare(&layout.calls());
        let steps = Steps::new(&layout, device, &buffers);
        let evaluator = Evaluator::of(&layout, device, &buffers);
        let renewal = layout.renew().into_iter().map(|call| buffers.bind(device, call)).collect();
        let starts = Starts::new(device, &layout, &buffers);
        let resident = Resident::new(device, &layout, &buffers);
        let lanes = spec.lanes;
        device.check().map_err(|error| match error {
            EngineError::OutOfMemory(why) => {
                EngineError::OutOfMemory(format!("{why}: a wave of {lanes} lanes takes {} bytes", plan.bytes))
            }
            error => error,
        })?;
        device.save_pipelines();
        let what = format!(
            "a wave of {lanes} lanes and {} slots, up to {} steps of the kernels {}",
            spec.needs.slots,
            plan.table_steps,
            steps.kernels().join(", ")
        );
        Ok(Self {
            device: device.clone(),
            lanes: (0..lanes).map(|_| None).collect(),
            rows: spec.row_tables(),
            buffers,
            steps,
            starts,
            renewal,
            resident,
            evaluator,
            blocks,
            tables: Tables::default(),
            what: what.into(),
            plan,
            spec,
        })
    }

    /// The first steps of its lanes, at most `most` of them and no more than its first submit would have.
    pub fn benchmark_steps(mut self, most: usize) -> BenchmarkSteps {
        self.flush_starts();
        let steps = if self.plan.sizes.path == Path::Layered { 1 } else { most.min(self.plan.first_steps) };
        self.write_tables(steps);
        BenchmarkSteps { dispatches: self.steps.dispatches(&self.device, steps), steps }
    }

    /// Puts lanes that have begun at their starts, before whatever is submitted next.
    fn flush_starts(&mut self) {
        self.starts.flush(&mut self.buffers);
    }

    /// A run at its beginning.
    fn staged(&self, run: &Run) -> StagedRun {
        let sizes = &self.plan.sizes;
        // The fused path counts in vec4s.
        let width = if sizes.path == Path::Layered { 1 } else { 4 };
        let ends = run.ends(&self.spec).into_iter().map(|end| sizes.packing.position(end) / width).collect();
        StagedRun { run: HostRun::new(run, &self.spec, self.rows.as_ref()), ends }
    }

    /// Writes the tables of the next `steps` steps of every lane.
    fn write_tables(&mut self, steps: usize) {
        let stages = self.spec.updates();
        self.tables.fill(&mut self.lanes, steps, self.spec.batch.unwrap_or(0), stages);
        let Tables { lane_steps, update_steps, coefficients, order } = &self.tables;
        self.device.write(&self.buffers[Name::LaneSteps], 0, lane_steps);
        let updates = &self.buffers[Name::Updates];
        self.device.write(updates, 0, update_steps);
        self.device.write_from(updates, size_of_val(&update_steps[..]) as u64, coefficients);
        self.device.write(&self.buffers[Name::Order], 0, order);
    }
}

impl Wave for GpuWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.spec.admits(&run)?;
        self.starts.begin(lane, &run.start, &mut self.buffers);
        self.resident.set_statistics(lane, &run.statistics(&self.spec));
        self.lanes[lane] = Some(self.staged(&run));
        if let Some(second) = &run.second_moment {
            // Behind the zeros that the start of a lane writes.
            self.flush_starts();
            self.resident.set_second_moment(lane, second);
        }
        self.device.check()
    }

    fn retire(&mut self, lane: usize) {
        self.lanes[lane] = None;
    }

    fn ahead(&self) -> usize {
        self.blocks.ahead()
    }

    fn submit(&mut self, steps: usize) -> Result<(), EngineError> {
        let longest = self.spec.block;
        assert!(steps <= longest, "{steps} steps of a wave of blocks of {longest}");
        // On the device every gradient is a step.
        let steps = steps * self.spec.needs.work.gradients;
        let mut block = self.blocks.begin(steps, self.lanes.iter().map(Option::is_some).collect());
        let mut done = 0;
        while block.is_busy() && done < steps {
            self.flush_starts();
            let portion = self.blocks.next_submit().min(steps - done);
            self.write_tables(portion);
            let mut pieces = self.steps.encode(&self.device, portion, self.plan.pieces);
            let last = pieces.pop().expect("a portion has a piece");
            for piece in pieces {
                self.device.submit(piece.finish(), &self.what);
            }
            self.blocks.submit(&mut block, last, &self.buffers[Name::Observations], [done, portion], &self.what);
            done += portion;
        }
        self.device.check()?;
        self.blocks.launch(block);
        Ok(())
    }

    fn collect(&mut self) -> Result<Observations, EngineError> {
        Ok(self.blocks.land()?.of_updates(self.spec.needs.work.gradients))
    }

    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        self.flush_starts();
        let copied = renewals.iter().filter(|renewal| renewal.lane != renewal.source);
        let statistics: Vec<_> =
            copied.map(|it| Ok((it.lane, self.resident.statistics(it.source)?))).collect::<Result<_, EngineError>>()?;
        statistics.iter().for_each(|(lane, statistics)| self.resident.set_statistics(*lane, statistics));
        let lanes = self.lanes.len();
        // Copies first, all with factor 1: a source may itself be scaled in the same call.
        for copying in [true, false] {
            let mut lane_steps = vec![LaneStep::default(); lanes];
            let mut factors = vec![1f32; lanes];
            for Renewal { lane, source, factor, .. } in renewals.iter().filter(|r| !copying || r.lane != r.source) {
                lane_steps[*lane] =
                    LaneStep { busy: 1, read: if copying { *source } else { *lane } as u32, ..LaneStep::default() };
                factors[*lane] = if copying { 1.0 } else { *factor as f32 };
            }
            self.device.write(&self.buffers[Name::Renewals], 0, &lane_steps);
            self.device.write(&self.buffers[Name::Factors], 0, &factors);
            self.device.run(&self.renewal, 1);
        }
        for Renewal { lane, source, seed, .. } in renewals {
            if lane != source {
                self.lanes[*lane] = self.lanes[*source].clone();
            }
            let lane = self.lanes[*lane].as_mut().expect("a renewed lane is busy");
            seed.iter().for_each(|seed| lane.run.reseed(*seed));
        }
        self.device.check()
    }

    fn save(&mut self, lane: usize, out: &mut dyn Write) -> Result<(), StateError> {
        self.flush_starts();
        let steps = &self.lanes[lane].as_ref().expect("the state of a busy lane").run;
        let shape = StateShape::new(&self.spec.problem, steps.needs(), size_of::<f32>());
        self.resident.save(lane, shape, &mut StateWriter::begin(out, shape, steps)?)
    }

    fn restore(&mut self, lane: usize, run: Run, made: u64, state: &mut dyn Read) -> Result<(), StateError> {
        self.lanes[lane] = None;
        self.spec.admits(&run)?;
        // A start that is still to come would overwrite what is put here.
        self.flush_starts();
        let mut staged = self.staged(&run);
        let shape = StateShape::new(&self.spec.problem, staged.run.needs(), size_of::<f32>());
        let (mut reader, reseeds) = StateReader::begin(state, shape, made)?;
        self.resident.restore(lane, shape, &mut reader)?;
        staged.run.replay(made, &reseeds);
        self.lanes[lane] = Some(staged);
        Ok(())
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.flush_starts();
        self.resident.weights(lane)
    }

    fn second_moment(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.flush_starts();
        self.resident.second_moment(lane)
    }

    fn statistics(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.resident.statistics(lane)
    }

    fn evaluate(&mut self, part: Part) -> Result<Vec<Option<Evaluation>>, EngineError> {
        self.flush_starts();
        let Some(evaluator) = &self.evaluator else {
            return Err(EngineError::Unavailable("the wave's spec announced no evaluation".into()));
        };
        let busy: Vec<bool> = self.lanes.iter().map(Option::is_some).collect();
        evaluator.evaluate(part, &busy)
    }
}
