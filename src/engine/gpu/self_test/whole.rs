//! Whole steps of both paths against the CPU engine in f64: a small network on minibatches, three runs with delays of their own.
//!
//! They are also the comparison of the kernel `fused`, whose twin is the whole CPU engine.

use super::Refusal;
use super::stand::{LANES, labels, uniform, wide};
use crate::batch::Sampling;
use crate::data::Dataset;
use crate::delay::Schedule;
use crate::engine::cpu::Cpu;
use crate::engine::gpu::device::Device;
use crate::engine::gpu::steps::path::Paths;
use crate::engine::gpu::wave::GpuWave;
use crate::engine::{Engine, EngineError, Needs, Observation, Run, Wave, WaveSpec};
use crate::math::{Activation, Loss, STEPS_F32, Shape, close};
use crate::model::Model;
use crate::outer::OuterLoop;
use crate::problem::{Network, Problem};
use crate::rule::{Rule, RuleKind};
use std::sync::Arc;

/// Each slot of the longest ring is read and written.
const STEPS: usize = 6;

/// Largest relative difference of a step that is accepted: ten times what the tests promise, as for single kernels.
const TOLERANCE: f64 = 10.0 * STEPS_F32;

/// Rows of a minibatch, drawn from 45 samples.
const ROWS: usize = 21;

/// Waves of one kind on a device, not advanced yet, and what they should do.
pub struct Whole {
    spec: WaveSpec,
    waves: Vec<(&'static str, GpuWave)>,
}

impl Whole {
    /// Opens them, with which their pipelines are made; the fused one where the device can have it.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn open(device: &Device) -> Result<Self, EngineError> {
        let spec = spec();
        let mut waves = Vec::new();
        for (name, paths) in [("a layered step", Paths::Layered), ("fused", Paths::Fused)] {
            match GpuWave::open(device, spec.clone(), paths) {
                Ok(wave) => waves.push((name, wave)),
                // Without the fused step it is never taken either.
                Err(EngineError::TooLarge(_)) if paths == Paths::Fused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { spec, waves })
    }

    /// Advances them and compares weights and observations.
    pub fn compare(self) -> Result<(), Refusal> {
        let Self { spec, waves } = self;
        let mut oracle = Cpu::<f64>::default().open(spec.clone()).map_err(|error| Refusal::failed("cpu", &error))?;
        let expected = advance(&mut *oracle, &spec).map_err(|error| Refusal::failed("cpu", &error))?;
        for (name, mut wave) in waves {
            let found = advance(&mut wave, &spec).map_err(|error| Refusal::failed(name, &error))?;
            for (lane, (found, expected)) in found.iter().zip(&expected).enumerate() {
                agree(lane, found, expected).map_err(|difference| Refusal::new(name, difference))?;
            }
        }
        Ok(())
    }
}

/// Every step's observations of a lane, and its weights after the last one.
type Seen = (Vec<Observation>, Vec<f64>);

fn advance(wave: &mut dyn Wave, spec: &WaveSpec) -> Result<Vec<Seen>, EngineError> {
    (0..LANES).try_for_each(|lane| wave.start(lane, run(spec, lane)))?;
    let seen = wave.advance(STEPS)?;
    (0..LANES).map(|lane| Ok((seen.lane(lane).to_vec(), wave.weights(lane)?))).collect()
}

fn agree(lane: usize, (found, weights): &Seen, (expected, expected_weights): &Seen) -> Result<(), String> {
    close(&format!("weights of lane {lane} after {STEPS} steps"), weights, expected_weights, TOLERANCE)?;
    type Member = fn(&Observation) -> f64;
    let distance: Member = |seen| seen.distance_squared;
    let projection: Member = |seen| seen.projection;
    let loss: Member = |seen| seen.loss;
    for (what, member) in [("distance", distance), ("projection", projection), ("loss", loss)] {
        let series = |seen: &[Observation]| seen.iter().map(member).collect::<Vec<f64>>();
        close(&format!("{what} of lane {lane}, {STEPS} steps"), &series(found), &series(expected), TOLERANCE)?;
    }
    Ok(())
}

fn spec() -> WaveSpec {
    let (samples, features, classes) = (45, 7, 4);
    let data = Dataset {
        inputs: uniform(31, samples * features),
        labels: labels(32, samples, classes),
        shape: Shape::vector(features),
        classes,
    };
    let model = Model::mlp(features, &[6], classes, Activation::Tanh);
    let problem = Problem::Network(Network::new(model, Loss::Ce, 0.01, data));
    let dimension = problem.dimension();
    let direction = wide(&uniform(33, dimension));
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    WaveSpec {
        problem: Arc::new(problem),
        batch: Some(ROWS),
        sampling: Sampling::Epochs,
        minimum: Arc::new(uniform(34, dimension).iter().map(|x| 0.1 * f64::from(*x)).collect()),
        direction: Arc::new(direction.iter().map(|x| x / norm).collect()),
        lanes: LANES,
        together: 1,
        needs: Needs {
            slots: LANES,
            slot_velocity: true,
            second_moment: false,
            slot_second_moment: false,
            finish: false,
            centred: false,
            evaluation: false,
            work: Default::default(),
        },
        block: STEPS,
    }
}

/// A run with the delay of its lane.
fn run(spec: &WaveSpec, lane: usize) -> Run {
    Run {
        rule: Rule::new(RuleKind::HeavyBall, 0.5, 0.25),
        lr: (0.2 + 0.05 * lane as f64).into(),
        schedule: Schedule::round_robin(lane as u32),
        seed: lane as u64,
        start: Arc::new(wide(&uniform(100 + lane as u64, spec.problem.dimension()))),
        centred: false,
        undamped_start: false,
        second_moment: None,
        outer: OuterLoop::default(),
        stages: [].into(),
        statistics: None,
    }
}
