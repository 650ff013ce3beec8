//! A wave on a device: its buffers, the dispatches of a step, and the lanes' places in it.

mod blocks;
mod evaluation;
mod pace;
mod resident;
pub(super) mod starts;
mod tables;

use crate::batch::RowTables;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::plan::Plan;
use crate::engine::gpu::plan::{Path, Paths};
use crate::engine::gpu::steps::Samples;
use crate::engine::gpu::steps::{Steps, Workspace};
use crate::engine::host_run::HostRun;
use crate::engine::lane_state::{StateReader, StateShape, StateWriter};
use crate::engine::{EngineError, Evaluation, Observations, Part, Renewal, Run, StateError, Wave, WaveSpec};
use crate::kernels::update::Update;
use crate::kernels::{LaneStep, grid, renew};
use crate::problem::Problem;
use blocks::{Blocks, OBSERVATION};
use evaluation::Evaluator;
use pace::Pace;
use resident::Resident;
use starts::Starts;
use std::io::{Read, Write};
use std::sync::Arc;
use tables::Tables;

/// Some steps of a wave to be run by themselves as often as one likes, for benchmarks. The lanes go on from where they are,
/// at the same place in their rings and the same minibatches.
pub struct Rehearsal {
    /// In their order.
    pub dispatches: Vec<Dispatch>,
    /// Steps that they make together: one on the layered path.
    pub steps: usize,
}

pub struct GpuWave {
    device: Device,
    spec: WaveSpec,
    plan: Plan,
    lanes: Vec<Option<HostRun>>,
    /// None where the batch is full.
    rows: Option<Arc<RowTables>>,
    steps: Steps,
    /// The wave and its kernels, for whoever waits for them in vain.
    what: Arc<str>,
    starts: Starts,
    renewal: Dispatch,
    /// lanes: what the renewal does with each.
    renewals: Buffer,
    factors: Buffer,
    /// steps of a submit at most x lanes.
    lane_steps: Buffer,
    /// Row numbers, at most steps of a submit x lanes x rows; a stub where the batch is full.
    order: Buffer,
    /// steps of a submit at most x lanes.
    updates: Buffer,
    resident: Resident,
    /// None where the wave is not evaluated.
    evaluator: Option<Evaluator>,
    /// steps of a submit at most x lanes x 4.
    observations: Buffer,
    blocks: Blocks,
}

impl GpuWave {
    /// # Errors
    /// As [`crate::engine::Engine::open`].
    pub fn open(device: &Device, spec: WaveSpec, paths: Paths) -> Result<Self, EngineError> {
        let plan = Plan::new(&spec, device.bounds(), paths)?;
        if plan.capacity < spec.lanes {
            let Plan { capacity, .. } = plan;
            return Err(EngineError::TooLarge(format!("{} lanes asked for; the adapter holds {capacity}", spec.lanes)));
        }
        let lanes = spec.lanes;
        let room = |label: &str, words: usize| device.buffer(label, (lanes * words * 4) as u64);
        let lane_steps = device.buffer("lane_steps", (plan.room * lanes * size_of::<LaneStep>()) as u64);
        let order = room("order", plan.room * spec.batch.unwrap_or(0));
        let updates = device.buffer("updates", (plan.room * lanes * size_of::<Update>()) as u64);
        let server = room("server", plan.parameters);
        let history = room("history", spec.needs.slots * plan.parameters);
        let state = room("state", spec.needs.memories() * plan.parameters);
        let observations = device.buffer("observations", (plan.room * lanes) as u64 * OBSERVATION);
        let blocks = Blocks::new(device, lanes, spec.block, Pace::new(plan.portion, plan.room));
        let statistics = room("statistics", spec.problem.fresh_statistics().len());
        let samples = match &*spec.problem {
            Problem::Quadratic(_) => None,
            Problem::Network(network) => Some(Samples::new(device, &network.data, plan.pads_samples())),
        };
        let flat = vec![0.0; spec.problem.dimension()];
        let curvature = spec.problem.curvature().unwrap_or(&flat);
        let landmarks = [&spec.minimum, &spec.direction, curvature].map(|landmark| plan.packing.pack(landmark));
        let landmarks = device.buffer_of("landmarks", &landmarks.concat());

        let workspace = Workspace {
            device,
            spec: &spec,
            plan: &plan,
            lane_steps: &lane_steps,
            updates: &updates,
            order: &order,
            server: &server,
            history: &history,
            state: &state,
            landmarks: &landmarks,
            observations: &observations,
            statistics: &statistics,
            samples: samples.as_ref(),
        };
        let steps = workspace.steps();
        let evaluator = match (&*spec.problem, &samples) {
            (Problem::Network(network), Some(samples)) if spec.needs.evaluation => {
                Some(Evaluator::new(&workspace, network, samples))
            }
            _ => None,
        };
        let renewals = device.buffer("renewals", (lanes * size_of::<LaneStep>()) as u64);
        let factors = room("factors", 1);
        let renewing = renew::Params {
            step: 0,
            parameters: plan.parameters as u32,
            slots: spec.needs.slots as u32,
            velocities: spec.needs.velocities() as u32,
            seconds: u32::from(spec.needs.second_moment),
        };
        let renewal = device.dispatch(
            &device.pipeline(&renew::KERNEL, &[]),
            &[&renewals, &factors, &landmarks, &server, &history, &state],
            &renewing,
            grid(plan.parameters.div_ceil(renew::WORKGROUP), lanes),
        );
        let starts = Starts::new(device, &spec, &plan, [&server, &history, &state]);
        let resident = Resident::new(device, &spec, &plan, [&server, &history, &state, &statistics]);
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
            plan.room,
            steps.kernels().join(", ")
        );
        Ok(Self {
            device: device.clone(),
            what: what.into(),
            lanes: (0..lanes).map(|_| None).collect(),
            rows: spec.row_tables(),
            steps,
            starts,
            renewal,
            renewals,
            factors,
            lane_steps,
            order,
            updates,
            resident,
            evaluator,
            observations,
            blocks,
            plan,
            spec,
        })
    }

    /// The first steps of its lanes, at most `most` of them and no more than its first submit would have.
    pub fn rehearse(mut self, most: usize) -> Rehearsal {
        self.starts.flush();
        let steps = if self.plan.path == Path::Layered { 1 } else { most.min(self.plan.portion) };
        self.schedule(steps);
        Rehearsal { dispatches: self.steps.dispatches(&self.device, steps), steps }
    }

    /// Writes the tables of the next `steps` steps of every lane.
    fn schedule(&mut self, steps: usize) {
        let tables = Tables::next(&mut self.lanes, steps, self.spec.batch.unwrap_or(0));
        self.device.write(&self.lane_steps, 0, &tables.lane_steps);
        self.device.write(&self.updates, 0, &tables.updates);
        self.device.write(&self.order, 0, &tables.order);
    }
}

impl Wave for GpuWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.spec.admits(&run)?;
        self.starts.begin(lane, &run.start);
        self.resident.set_statistics(lane, &run.statistics(&self.spec));
        self.lanes[lane] = Some(HostRun::new(&run, &self.spec, self.rows.as_ref()));
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
        let mut block = self.blocks.begin(steps, self.lanes.iter().map(Option::is_some).collect());
        let mut done = 0;
        while block.is_busy() && done < steps {
            self.starts.flush();
            let portion = self.blocks.pace().min(steps - done);
            self.schedule(portion);
            let mut pieces = self.steps.encode(&self.device, portion, self.plan.pieces);
            let last = pieces.pop().expect("a portion has a piece");
            for piece in pieces {
                self.device.submit(piece.finish(), &self.what);
            }
            self.blocks.submit(&mut block, last, &self.observations, [done, portion], &self.what);
            done += portion;
        }
        self.device.check()?;
        self.blocks.launch(block);
        Ok(())
    }

    fn collect(&mut self) -> Result<Observations, EngineError> {
        self.blocks.land()
    }

    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        self.starts.flush();
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
            self.device.write(&self.renewals, 0, &lane_steps);
            self.device.write(&self.factors, 0, &factors);
            self.device.run(std::slice::from_ref(&self.renewal), 1);
        }
        for Renewal { lane, source, seed, .. } in renewals {
            if lane != source {
                self.lanes[*lane] = self.lanes[*source].clone();
            }
            let lane = self.lanes[*lane].as_mut().expect("a renewed lane is busy");
            seed.iter().for_each(|seed| lane.reseed(*seed));
        }
        self.device.check()
    }

    fn save(&mut self, lane: usize, out: &mut dyn Write) -> Result<(), StateError> {
        self.starts.flush();
        let steps = self.lanes[lane].as_ref().expect("the state of a busy lane");
        let shape = StateShape::new(&self.spec.problem, steps.needs(), size_of::<f32>());
        self.resident.save(lane, shape, &mut StateWriter::begin(out, shape, steps)?)
    }

    fn restore(&mut self, lane: usize, run: Run, made: u64, state: &mut dyn Read) -> Result<(), StateError> {
        self.lanes[lane] = None;
        self.spec.admits(&run)?;
        // A start that is still to come would overwrite what is put here.
        self.starts.flush();
        let mut steps = HostRun::new(&run, &self.spec, self.rows.as_ref());
        let shape = StateShape::new(&self.spec.problem, steps.needs(), size_of::<f32>());
        let (mut reader, reseeds) = StateReader::begin(state, shape, made)?;
        self.resident.restore(lane, shape, &mut reader)?;
        steps.replay(made, &reseeds);
        self.lanes[lane] = Some(steps);
        Ok(())
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.starts.flush();
        self.resident.weights(lane)
    }

    fn statistics(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.resident.statistics(lane)
    }

    fn evaluate(&mut self, part: Part) -> Result<Vec<Option<Evaluation>>, EngineError> {
        self.starts.flush();
        let Some(evaluator) = &self.evaluator else {
            return Err(EngineError::Unavailable("the wave's spec announced no evaluation".into()));
        };
        let busy: Vec<bool> = self.lanes.iter().map(Option::is_some).collect();
        evaluator.evaluate(part, &busy)
    }
}
