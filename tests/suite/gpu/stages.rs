//! Pipeline stages on every engine: against the rules' formulas written out over plain vectors, and what a run's bits may depend
//! on.
//!
//! The reference knows of no slots: it keeps all versions, and every stage reads as many updates back as it is late.

use super::saved;
use super::waves::{check_parity, dense, network, paths, quadratic, spec};
use crate::common::{STEPS_F32, assert_close, gpu};
use std::ops::Range;
use std::sync::Arc;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::Paths;
use tauscope::engine::{Engine, Run, WaveSpec};
use tauscope::math::{Activation, Loss};
use tauscope::model::Backprop;
use tauscope::problem::{DenseQuadratic, Problem};
use tauscope::rule::{Rule, RuleKind};
use tauscope::stages::{StageCuts, StageLr, StageMomentum, Stages};

/// Updates: every slot is written several times.
const UPDATES: usize = 11;

const EXACT_F64: f64 = 1e-12;

/// Stages with these delays, each with a learning rate and a momentum of its own.
pub fn stages(delays: &[u32]) -> Stages {
    let count = delays.len();
    Stages {
        delays: delays.to_vec(),
        backward_delays: None,
        lr: StageLr::Each((0..count).map(|stage| 1.0 - 0.2 * stage as f64).collect()),
        momentum: StageMomentum::Each((0..count).map(|stage| 0.5 - 0.1 * stage as f64).collect()),
        cuts: StageCuts::ByParameters,
    }
}

/// A run of every rule whose formula the reference has, and of some others where `all`.
fn runs(spec: &WaveSpec, stages: &Stages, all: bool) -> Vec<Run> {
    use RuleKind::{Adam, DcAsgd, DelayAdaptive, GapAware, HeavyBall, Mixing, Nesterov, Shifted, WeightPrediction};
    let blocks = stages.blocks(&spec.problem.layers(), spec.problem.dimension()).unwrap();
    let known = [HeavyBall, Nesterov, Shifted, WeightPrediction];
    let others = [Adam, DcAsgd, DelayAdaptive, GapAware, Mixing];
    let kinds = known.into_iter().chain(others.into_iter().filter(|_| all));
    let run = |(kind, seed): (RuleKind, u64)| {
        let schedule = Schedule::round_robin(stages.longest());
        let plain = super::waves::run(spec, kind, schedule, seed);
        Run { stages: stages.of_run(&plain.rule, &blocks), ..plain }
    };
    kinds.zip(0..).map(run).collect()
}

fn for_stages(spec: &WaveSpec, stages: &Stages) -> WaveSpec {
    let runs = runs(spec, stages, true);
    let needs = runs.iter().map(|run| run.needs(spec.batch.is_some())).reduce(|a, b| a.and(b)).unwrap();
    WaveSpec { needs: spec.needs.and(needs), ..spec.clone() }
}

/// A gradient, of the weights that forward and backward passes read.
type Gradient<'a> = &'a mut dyn FnMut(&[f64], &[f64]) -> Vec<f64>;

/// Weights after every update. `gradient` of the weights that forward and backward passes read.
fn reference(run: &Run, gradient: Gradient) -> Vec<Vec<f64>> {
    let starts = std::iter::once(0).chain(run.stages.iter().map(|stage| stage.end));
    let blocks: Vec<Range<usize>> = starts.zip(&*run.stages).map(|(start, stage)| start..stage.end).collect();
    let dimension = run.start.len();
    let mut versions = vec![run.start.to_vec()];
    // By stage, one for each of its workers.
    let mut velocities: Vec<Vec<Option<Vec<f64>>>> =
        run.stages.iter().map(|stage| vec![None; stage.delay as usize + 1]).collect();
    for update in 0..UPDATES {
        let composite = |delay: &dyn Fn(usize) -> u32| {
            let mut read = vec![0.0; dimension];
            for (number, block) in blocks.iter().enumerate() {
                let at = update.saturating_sub(delay(number) as usize);
                let horizon = match run.rule.kind {
                    RuleKind::WeightPrediction => f64::from(run.stages[number].delay),
                    _ => 0.0,
                };
                for i in block.clone() {
                    let ahead = versions[at][i] - versions[at.saturating_sub(1)][i];
                    read[i] = versions[at][i] + horizon * ahead;
                }
            }
            read
        };
        let forward = composite(&|stage| run.stages[stage].delay);
        let backward = composite(&|stage| run.stages[stage].backward_delay.unwrap_or(run.stages[stage].delay));
        let g = gradient(&forward, &backward);
        let mut x = versions[update].clone();
        for (number, block) in blocks.iter().enumerate() {
            let Rule { momentum: m, dampening: d, .. } = run.stages[number].rule;
            let own = velocities[number].len();
            let place = if run.rule.kind == RuleKind::Shifted { update % own } else { 0 };
            let velocity = &mut velocities[number][place];
            let entering = if velocity.is_none() && run.undamped_start { 1.0 } else { 1.0 - d };
            let before = velocity.take().unwrap_or_else(|| vec![0.0; block.len()]);
            let v: Vec<f64> = before.iter().zip(&g[block.clone()]).map(|(v, g)| m * v + entering * g).collect();
            let lr = run.lr.at(0) * run.stages[number].lr;
            for (place, i) in block.clone().enumerate() {
                let moved = if run.rule.kind == RuleKind::Nesterov { g[i] + m * v[place] } else { v[place] };
                x[i] -= lr * moved;
            }
            *velocity = Some(v);
        }
        versions.push(x);
    }
    versions.split_off(1)
}

/// Server weights after each update.
fn weights(engine: &dyn Engine, spec: &WaveSpec, run: &Run) -> Vec<Vec<f64>> {
    let mut wave = engine.open(WaveSpec { lanes: 1, ..spec.clone() }).unwrap();
    wave.start(0, run.clone()).unwrap();
    let after = |_| {
        wave.advance(1).unwrap();
        wave.weights(0).unwrap()
    };
    (0..UPDATES).map(after).collect()
}

#[test]
fn every_stage_follows_its_rule_at_its_own_delay() {
    let spec = spec(dense(), None, 1);
    let problem = Arc::clone(&spec.problem);
    let Problem::Dense(quadratic) = &*problem else { panic!("a dense quadratic") };
    let mut gradient = |weights: &[f64], _: &[f64]| product(quadratic, weights);
    for delays in [&[3, 2, 1, 0][..], &[1, 1], &[0, 4, 2], &[2]] {
        let stages = stages(delays);
        let spec = for_stages(&spec, &stages);
        for run in runs(&spec, &stages, false) {
            let expected = reference(&run, &mut gradient);
            let gpus = paths(&spec).into_iter().map(|(name, gpu)| (name, Box::new(gpu) as Box<dyn Engine>, STEPS_F32));
            let cpu: [(&str, Box<dyn Engine>, f64); 2] = [
                ("cpu f64", Box::new(Cpu::<f64>::default()), EXACT_F64),
                ("cpu f32", Box::new(Cpu::<f32>::default()), STEPS_F32),
            ];
            for (name, engine, tolerance) in cpu.into_iter().chain(gpus) {
                let what = format!("{name}, {} with stages late by {delays:?}", run.rule.name());
                assert_close(&what, &weights(&*engine, &spec, &run).concat(), &expected.concat(), tolerance);
            }
        }
    }
}

fn product(quadratic: &DenseQuadratic, weights: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; weights.len()];
    quadratic.hessian_product(weights, &mut product);
    product
}

/// Also the loss, and that layers of awkward widths are cut where they end.
#[test]
fn the_engines_agree_about_stages_of_a_network() {
    for batch in [None, Some(7)] {
        let spec = spec(network(&[6, 5], Activation::Tanh, Loss::Ce), batch, 1);
        for delays in [&[2, 1, 0][..], &[0, 3]] {
            let stages = stages(delays);
            let spec = for_stages(&spec, &stages);
            check_parity(&format!("batch {batch:?}, late by {delays:?}"), &spec, &runs(&spec, &stages, true));
        }
    }
}

#[test]
fn without_stashing_backward_passes_read_versions_of_their_own() {
    let spec = spec(network(&[6, 5], Activation::Tanh, Loss::Ce), None, 1);
    let problem = Arc::clone(&spec.problem);
    let Problem::Network(network) = &*problem else { panic!("a network") };
    let inputs: Vec<f64> = network.data.inputs.iter().map(|x| f64::from(*x)).collect();
    let mut pass = Backprop::new(&network.model.graph, network.loss, network.data.samples());
    let mut gradient = |forward: &[f64], backward: &[f64]| {
        let mut gradient = vec![0.0; forward.len()];
        pass.loss_and_gradient_at(forward, backward, &inputs, &network.data.labels, &mut gradient);
        gradient.iter_mut().zip(forward).for_each(|(g, w)| *g += network.weight_decay * w);
        gradient
    };
    for backward in [&[0, 0, 0][..], &[1, 2, 0]] {
        let stages = Stages { backward_delays: Some(backward.to_vec()), ..stages(&[2, 1, 0]) };
        let spec = for_stages(&spec, &stages);
        assert!(gpu().with_paths(Paths::Fused).path(&spec).is_err());
        for run in runs(&spec, &stages, false) {
            let expected = reference(&run, &mut gradient);
            let engines: [(&str, Box<dyn Engine>, f64); 3] = [
                ("cpu f64", Box::new(Cpu::<f64>::default()), EXACT_F64),
                ("cpu f32", Box::new(Cpu::<f32>::default()), STEPS_F32),
                ("gpu", Box::new(gpu().with_paths(Paths::Fastest)), STEPS_F32),
            ];
            for (name, engine, tolerance) in engines {
                assert_eq!(engine.path(&spec).unwrap(), "layered");
                let what = format!("{name}, {} backward late by {backward:?}", run.rule.name());
                assert_close(&what, &weights(&*engine, &spec, &run).concat(), &expected.concat(), tolerance);
            }
        }
    }
}

#[test]
fn stages_go_on_from_their_saved_state() {
    let [minibatch, full] = [Some(7), None].map(|batch| spec(network(&[5, 4], Activation::Tanh, Loss::Ce), batch, 1));
    let stages = stages(&[2, 1, 0]);
    for spec in [minibatch, full, spec(quadratic(), None, 1)] {
        let spec = for_stages(&spec, &stages);
        saved::check_all("stages", &spec, &runs(&spec, &stages, true));
    }
}

/// One stage with the delay of a plain run is that run, bit for bit.
#[test]
fn a_single_stage_is_a_plain_run() {
    let spec = spec(network(&[6], Activation::Tanh, Loss::Ce), Some(7), 1);
    let stages = Stages { lr: StageLr::Same, momentum: StageMomentum::Same, ..stages(&[3]) };
    let spec = for_stages(&spec, &stages);
    for run in runs(&spec, &stages, true) {
        let plain = Run { stages: [].into(), ..run.clone() };
        for (_, gpu) in paths(&spec) {
            assert_eq!(weights(&gpu, &spec, &run), weights(&gpu, &spec, &plain), "{}", run.rule.name());
        }
        let cpu = Cpu::<f32>::default();
        assert_eq!(weights(&cpu, &spec, &run), weights(&cpu, &spec, &plain), "{}", run.rule.name());
    }
}
