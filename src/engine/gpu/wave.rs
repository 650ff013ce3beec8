//! A wave on a device: its buffers, the dispatches of a step, and the lanes' places in it.

use super::blocks::{Blocks, OBSERVATION};
use super::device::{Buffer, Device};
use super::pace::Pace;
use super::plan::{Path, Paths, Plan};
use super::program::Dispatch;
use super::starts::Starts;
use super::steps::{Steps, Workspace};
use super::tables::{Lane, Tables};
use crate::engine::{EngineError, Evaluation, Observations, Part, Renewal, Run, Wave, WaveSpec};
use crate::kernels::motion::Update;
use crate::kernels::{Place, renew};
use crate::schedule::RowTables;
use std::sync::Arc;

/// Some steps of a wave to be run by themselves as often as one likes, for benchmarks. The lanes go on from where they are,
/// with the same places in their rings and the same minibatches.
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
    lanes: Vec<Option<Lane>>,
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
    places: Buffer,
    /// Row numbers, at most steps of a submit x lanes x rows; a stub where the batch is full.
    order: Buffer,
    /// steps of a submit at most x lanes.
    updates: Buffer,
    server: Buffer,
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
        let places = device.buffer("places", (plan.room * lanes * size_of::<Place>()) as u64);
        let order = room("order", plan.room * spec.batch.unwrap_or(0));
        let updates = device.buffer("updates", (plan.room * lanes * size_of::<Update>()) as u64);
        let server = room("server", plan.parameters);
        let history = room("history", spec.needs.slots * plan.parameters);
        let state = room("state", spec.needs.memories() * plan.parameters);
        let observations = device.buffer("observations", (plan.room * lanes) as u64 * OBSERVATION);
        let blocks = Blocks::new(device, lanes, spec.block, Pace::new(plan.portion, plan.room));
        let flat = vec![0.0; spec.problem.dimension()];
        let curvature = spec.problem.curvature().unwrap_or(&flat);
        let landmarks = [&spec.minimum, &spec.direction, curvature].map(|landmark| plan.packing.pack(landmark));
        let landmarks = device.buffer_of("landmarks", &landmarks.concat());

        let workspace = Workspace {
            device,
            spec: &spec,
            plan: &plan,
            places: &places,
            updates: &updates,
            order: &order,
            server: &server,
            history: &history,
            state: &state,
            landmarks: &landmarks,
            observations: &observations,
        };
        let steps = workspace.steps();
        let renewals = device.buffer("renewals", (lanes * size_of::<Place>()) as u64);
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
            [plan.parameters.div_ceil(renew::WORKGROUP) as u32, lanes as u32, 1],
        );
        let starts = Starts::new(device, &spec, &plan, [&server, &history, &state]);
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
            places,
            order,
            updates,
            server,
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
        self.device.write(&self.places, 0, &tables.places);
        self.device.write(&self.updates, 0, &tables.updates);
        self.device.write(&self.order, 0, &tables.order);
    }
}

impl Wave for GpuWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.spec.admits(&run)?;
        self.starts.begin(lane, &run.start);
        self.lanes[lane] = Some(Lane::new(&run, &self.spec, self.rows.as_ref()));
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
            let commands = self.steps.encode(&self.device, portion);
            self.blocks.submit(&mut block, commands, &self.observations, [done, portion], &self.what);
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
        let lanes = self.lanes.len();
        // Copies first, all with factor 1: a source may itself be scaled in the same call.
        for copying in [true, false] {
            let mut places = vec![Place::default(); lanes];
            let mut factors = vec![1f32; lanes];
            for Renewal { lane, source, factor, .. } in renewals.iter().filter(|r| !copying || r.lane != r.source) {
                places[*lane] =
                    Place { busy: 1, read: if copying { *source } else { *lane } as u32, ..Place::default() };
                factors[*lane] = if copying { 1.0 } else { *factor as f32 };
            }
            self.device.write(&self.renewals, 0, &places);
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

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.starts.flush();
        let parameters = self.plan.parameters;
        let server: Vec<f32> = self.device.read(&self.server, lane * parameters, parameters)?;
        Ok(self.plan.packing.unpack(&server))
    }

    fn statistics(&mut self, _: usize) -> Result<Vec<f64>, EngineError> {
        Err(EngineError::Unavailable("statistics".into()))
    }

    fn evaluate(&mut self, _: Part) -> Result<Vec<Option<Evaluation>>, EngineError> {
        Err(EngineError::Unavailable("evaluation".into()))
    }
}
