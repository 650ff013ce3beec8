//! A wave on a device: its buffers, the dispatches of a step, and the lanes' places in it.

use super::device::{Buffer, Device};
use super::gradient::Workspace;
use super::plan::Plan;
use super::program::Dispatch;
use crate::engine::{EngineError, Observation, Observations, Run, Wave, WaveSpec};
use crate::kernels::{Place, observe, step};
use crate::schedule::{BatchOrder, Schedule};
use std::sync::Arc;

pub struct GpuWave {
    device: Device,
    spec: WaveSpec,
    plan: Plan,
    lanes: Vec<Option<Lane>>,
    /// One step of the whole wave.
    dispatches: Vec<Dispatch>,
    /// The wave and its kernels, for whoever waits for them in vain.
    what: Arc<str>,
    /// steps of a portion x lanes.
    places: Buffer,
    /// steps of a portion x lanes x rows; a stub where the batch is full.
    order: Buffer,
    updates: Buffer,
    server: Buffer,
    history: Buffer,
    velocity: Buffer,
    /// steps of a portion x lanes x 4.
    observations: Buffer,
    /// steps of a block x lanes x 4.
    staging: Buffer,
}

/// What the host knows of a busy lane.
struct Lane {
    /// Steps that the run has made.
    step: u64,
    schedule: Schedule,
    slot_velocity: bool,
    /// The order of its minibatches; none where the batch is full.
    order: Option<BatchOrder>,
}

impl Lane {
    fn place(&self, step: u64) -> Place {
        let slots = self.schedule.at(step);
        let velocity = if self.slot_velocity { slots.write } else { 0 };
        Place { busy: 1, read: slots.read, write: slots.write, velocity }
    }
}

/// Bytes of one observation.
const OBSERVATION: u64 = size_of::<[f32; 4]>() as u64;

impl GpuWave {
    /// # Errors
    /// As [`crate::engine::Engine::open`].
    pub fn open(device: &Device, spec: WaveSpec) -> Result<Self, EngineError> {
        let plan = Plan::new(&spec, device.limits())?;
        if plan.capacity < spec.lanes {
            let Plan { capacity, .. } = plan;
            return Err(EngineError::TooLarge(format!("{} lanes asked for; the adapter holds {capacity}", spec.lanes)));
        }
        let lanes = spec.lanes;
        let room = |label: &str, words: usize| device.buffer(label, (lanes * words * 4) as u64);
        let places = device.buffer("places", (plan.portion * lanes * size_of::<Place>()) as u64);
        let order = room("order", plan.portion * spec.batch.unwrap_or(0));
        let updates = device.buffer("updates", (lanes * size_of::<step::Update>()) as u64);
        let server = room("server", plan.parameters);
        let gradient = room("gradient", plan.parameters);
        let history = room("history", spec.slots * plan.parameters);
        let velocity = room("velocity", plan.velocities * plan.parameters);
        let loss_partials = room("loss_partials", plan.loss_partials);
        let moment_partials = room("moment_partials", 4 * plan.moment_partials);
        let observations = device.buffer("observations", (plan.portion * lanes) as u64 * OBSERVATION);
        let staging = device.staging((spec.block * lanes) as u64 * OBSERVATION);
        let landmarks: Vec<f32> = spec.minimum.iter().chain(&*spec.direction).map(|x| *x as f32).collect();
        let landmarks = device.buffer_of("landmarks", &landmarks);

        let workspace = Workspace {
            device,
            spec: &spec,
            plan: &plan,
            places: &places,
            order: &order,
            history: &history,
            gradient: &gradient,
            loss_partials: &loss_partials,
        };
        let mut dispatches = workspace.dispatches();
        let weight_decay = spec.problem.weight_decay() as f32;
        let update = step::Params {
            step: 0,
            lanes: lanes as u32,
            parameters: plan.parameters as u32,
            history_stride: (spec.slots * plan.parameters) as u32,
            velocity_stride: (plan.velocities * plan.parameters) as u32,
            partials: plan.moment_partials as u32,
            weight_decay,
        };
        dispatches.push(device.dispatch(
            &device.pipeline(&step::KERNEL, &[]),
            &[&places, &updates, &gradient, &landmarks, &server, &history, &velocity, &moment_partials],
            &update,
            [plan.moment_partials as u32, lanes as u32, 1],
        ));
        let seen = observe::Params {
            step: 0,
            lanes: lanes as u32,
            loss_partials: plan.loss_partials as u32,
            moment_partials: plan.moment_partials as u32,
            weight_decay,
        };
        dispatches.push(device.dispatch(
            &device.pipeline(&observe::KERNEL, &[]),
            &[&places, &loss_partials, &moment_partials, &observations],
            &seen,
            [lanes as u32, 1, 1],
        ));
        device.check().map_err(|error| match error {
            EngineError::OutOfMemory(why) => {
                EngineError::OutOfMemory(format!("{why}: a wave of {lanes} lanes takes {} bytes", plan.bytes))
            }
            error => error,
        })?;
        let kernels: Vec<&str> = dispatches.iter().map(|dispatch| dispatch.kernel).collect();
        let what = format!(
            "a wave of {lanes} lanes and {} slots, up to {} steps of the kernels {}",
            spec.slots,
            plan.portion,
            kernels.join(", ")
        );
        Ok(Self {
            device: device.clone(),
            what: what.into(),
            lanes: (0..lanes).map(|_| None).collect(),
            dispatches,
            places,
            order,
            updates,
            server,
            history,
            velocity,
            observations,
            staging,
            plan,
            spec,
        })
    }

    /// Writes the tables of the next `steps` steps of every lane.
    fn schedule(&mut self, steps: usize) {
        let rows = self.spec.batch.unwrap_or(0);
        let lanes = self.lanes.len();
        let mut places = vec![Place::default(); steps * lanes];
        let mut order = vec![0u32; steps * lanes * rows];
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane else { continue };
            for step in 0..steps {
                let at = step * lanes + index;
                places[at] = lane.place(lane.step);
                if let Some(batches) = &mut lane.order {
                    order[at * rows..][..rows].copy_from_slice(batches.rows(lane.step));
                }
                lane.step += 1;
            }
        }
        self.device.write(&self.places, 0, &places);
        self.device.write(&self.order, 0, &order);
    }
}

impl Wave for GpuWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.spec.admits(&run)?;
        let slot_velocity = run.rule.has_slot_velocity();
        let Plan { parameters, velocities, .. } = self.plan;
        let start: Vec<f32> = run.start.iter().map(|x| *x as f32).collect();
        let slots = run.schedule.slots() as usize;
        self.device.write(&self.updates, lane, &[run.rule.coefficients().update(run.lr)]);
        self.device.write(&self.server, lane * parameters, &start);
        self.device.write(&self.history, lane * self.spec.slots * parameters, &start.repeat(slots));
        self.device.write(&self.velocity, lane * velocities * parameters, &vec![0f32; velocities * parameters]);
        let order = self.spec.batch.zip(self.spec.problem.samples());
        let order = order.map(|(batch, samples)| BatchOrder::new(samples, batch, run.seed_order));
        self.lanes[lane] = Some(Lane { step: 0, schedule: run.schedule, slot_velocity, order });
        self.device.check()
    }

    fn retire(&mut self, lane: usize) {
        self.lanes[lane] = None;
    }

    fn advance(&mut self, steps: usize) -> Result<Observations, EngineError> {
        let (block, lanes) = (self.spec.block, self.lanes.len());
        assert!(steps <= block, "{steps} steps of a wave of blocks of {block}");
        let idle = self.lanes.iter().all(Option::is_none);
        if idle || steps == 0 {
            return Ok(Observations::new(lanes, vec![Observation::default(); steps * lanes]));
        }
        let mut done = 0;
        while done < steps {
            let portion = self.plan.portion.min(steps - done);
            self.schedule(portion);
            let mut encoder = self.device.encode(&self.dispatches, portion);
            let bytes = |steps: usize| (steps * lanes) as u64 * OBSERVATION;
            encoder.copy_buffer_to_buffer(&self.observations, 0, &self.staging, bytes(done), bytes(portion));
            self.device.submit(encoder.finish(), &self.what);
            done += portion;
        }
        let seen: Vec<[f32; 4]> = self.device.read_staging(&self.staging, steps * lanes)?;
        let observations = seen.into_iter().zip(self.lanes.iter().cycle()).map(|(row, lane)| match lane {
            Some(_) => observation(row),
            None => Observation::default(),
        });
        Ok(Observations::new(lanes, observations.collect()))
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let parameters = self.plan.parameters;
        let server: Vec<f32> = self.device.read(&self.server, lane * parameters, parameters)?;
        Ok(server.into_iter().map(f64::from).collect())
    }
}

fn observation([distance_squared, projection, loss, finite]: [f32; 4]) -> Observation {
    Observation {
        distance_squared: distance_squared.into(),
        projection: projection.into(),
        loss: loss.into(),
        finite: finite == 1.0,
    }
}
