//! Outer loops on every engine: against the formulas written out over plain vectors, and what a run's bits may depend on.
//!
//! The reference knows of no slots, pieces or kernels: workers remember the version that they read.

use super::saved;
use super::waves::{dense, network, paths, quadratic, spec};
use crate::common::{STEPS_F32, assert_close};
use std::sync::Arc;
use tauscope::batch::BatchOrder;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Run, WaveSpec};
use tauscope::math::{Activation, Loss};
use tauscope::outer::{Arrivals, LocalRule, LocalSteps, OuterLoop, Overlap};
use tauscope::problem::{DenseQuadratic, Problem};
use tauscope::rule::{Rule, RuleKind};

/// Updates: every slot is written several times.
const UPDATES: usize = 9;

const EXACT_F64: f64 = 1e-12;

pub fn loops() -> Vec<OuterLoop> {
    let plain = OuterLoop::default();
    let local = |steps| Some(LocalSteps { steps, lr: 0.3, rule: LocalRule::Sgd });
    let overlap = |steps, weight| Some(Overlap { steps, weight });
    vec![
        OuterLoop { local: local(1), ..plain },
        OuterLoop { local: local(3), ..plain },
        OuterLoop { local: local(2), replicas: 3, ..plain },
        OuterLoop { replicas: 2, ..plain },
        OuterLoop { fresh_share: 0.25, ..plain },
        OuterLoop { fresh_share: 1.0, ..plain },
        OuterLoop { local: local(2), replicas: 2, fresh_share: 0.5, ..plain },
        OuterLoop { local: local(3), arrivals: Arrivals::EachOverN, ..plain },
        OuterLoop { arrivals: Arrivals::Each, ..plain },
        OuterLoop { local: local(4), overlap: overlap(1, 0.0), ..plain },
        OuterLoop { local: local(4), overlap: overlap(3, 0.25), ..plain },
    ]
}

/// Runs of these loops: Nesterov, and one velocity for each worker, at delays 0 and 2.
fn runs(spec: &WaveSpec, outer: OuterLoop) -> Vec<Run> {
    let delays: &[u32] = if outer.overlap.is_some() { &[0] } else { &[0, 2] };
    let kinds = [RuleKind::Nesterov, RuleKind::Shifted];
    let cells = kinds.into_iter().flat_map(|kind| delays.iter().map(move |delay| (kind, *delay)));
    let run = |((kind, delay), seed): ((RuleKind, u32), u64)| Run {
        rule: Rule::new(kind, 0.5, 0.25),
        outer,
        ..super::waves::run(spec, kind, Schedule::round_robin(delay), seed)
    };
    cells.zip(0..).map(run).collect()
}

fn for_loop(spec: &WaveSpec, outer: OuterLoop) -> WaveSpec {
    let needs = runs(spec, outer).iter().map(|run| run.needs(spec.batch.is_some())).reduce(|a, b| a.and(b)).unwrap();
    WaveSpec { needs: spec.needs.and(needs), ..spec.clone() }
}

/// Weights after every update, from the formulas of the rules and of outer loops, along the mean Hessian of the rows that a
/// gradient sees.
fn reference(spec: &WaveSpec, problem: &DenseQuadratic, run: &Run) -> Vec<Vec<f64>> {
    let dimension = problem.dimension();
    let samples = problem.samples().unwrap();
    let OuterLoop { local, fresh_share, overlap, arrivals, .. } = run.outer;
    let steps = local.map_or(1, |local| local.steps) as usize;
    let replicas = if spec.batch.is_some() { run.outer.replicas as usize } else { 1 };
    let workers = run.schedule.workers().unwrap() as usize;
    let weight = if arrivals == Arrivals::EachOverN { 1.0 / workers as f64 } else { 1.0 };
    let mut order = spec.row_tables().map(|tables| BatchOrder::new(&tables, run.seed).going_back(1_000));
    let mut gradient = |w: &[f64], batch: usize| {
        let rows: Vec<usize> = match &mut order {
            Some(order) => order.rows(batch as u64).iter().map(|row| *row as usize).collect(),
            None => (0..samples).collect(),
        };
        let mut g = vec![0.0; dimension];
        for row in &rows {
            let hessian = &problem.hessians()[row * dimension * dimension..][..dimension * dimension];
            for (g, line) in g.iter_mut().zip(hessian.chunks_exact(dimension)) {
                let shift = |j: usize| if run.centred { spec.minimum[j] } else { 0.0 };
                *g += line.iter().enumerate().map(|(j, h)| h * (w[j] - shift(j))).sum::<f64>() / rows.len() as f64;
            }
        }
        g
    };
    let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
    let (m, d, lr) = (run.rule.momentum, run.rule.dampening, run.lr.at(0));
    let delay = workers - 1;
    let mut versions = vec![run.start.to_vec()];
    let mut velocities = vec![None; if run.rule.kind == RuleKind::Shifted { workers } else { 1 }];
    let mut streaming = run.start.to_vec();
    let mut x = run.start.to_vec();
    for update in 0..UPDATES {
        let (newest, late) = (versions[update].clone(), versions[update.saturating_sub(delay)].clone());
        let mut applied = vec![0.0; dimension];
        let origins = [(fresh_share, &newest), (1.0 - fresh_share, &late)];
        for replica in 0..replicas {
            for (share, origin) in origins.iter().filter(|(share, _)| *share > 0.0) {
                let mut w = if overlap.is_some() { streaming.clone() } else { (*origin).clone() };
                let mut sent = Vec::new();
                for step in 0..steps {
                    let g = gradient(&w, (update * replicas + replica) * steps + step);
                    let Some(LocalSteps { lr, .. }) = local else {
                        sent = g;
                        break;
                    };
                    w.iter_mut().zip(&g).for_each(|(w, g)| *w -= lr * g);
                    if let Some(Overlap { weight, .. }) = overlap.filter(|overlap| overlap.steps as usize == step + 1) {
                        w.iter_mut().zip(&x).for_each(|(w, x)| *w = weight * *w + (1.0 - weight) * x);
                    }
                    sent = minus(origin, &w);
                }
                if overlap.is_some() {
                    streaming = w;
                }
                applied.iter_mut().zip(&sent).for_each(|(sum, sent)| *sum += share * weight * sent / replicas as f64);
            }
        }
        let place = update % velocities.len();
        let entering = if velocities[place].is_none() && run.undamped_start { 1.0 } else { 1.0 - d };
        let before = velocities[place].take().unwrap_or_else(|| vec![0.0; dimension]);
        let v: Vec<f64> = before.iter().zip(&applied).map(|(v, g)| m * v + entering * g).collect();
        for i in 0..dimension {
            let moved = if run.rule.kind == RuleKind::Shifted { v[i] } else { applied[i] + m * v[i] };
            x[i] -= lr * moved;
        }
        velocities[place] = Some(v);
        versions.push(x.clone());
    }
    versions.split_off(1)
}

/// Engines with the tolerance that is asked of each.
fn engines(spec: &WaveSpec) -> Vec<(String, Box<dyn Engine>, f64)> {
    let mut engines: Vec<(String, Box<dyn Engine>, f64)> = vec![
        ("cpu f64".into(), Box::new(Cpu::<f64>::default()), EXACT_F64),
        ("cpu f32".into(), Box::new(Cpu::<f32>::default()), STEPS_F32),
    ];
    engines
        .extend(paths(spec).into_iter().map(|(name, gpu)| (name.into(), Box::new(gpu) as Box<dyn Engine>, STEPS_F32)));
    engines
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
fn every_outer_loop_follows_its_formula_on_full_batches_and_minibatches() {
    for batch in [None, Some(2)] {
        let spec = spec(dense(), batch, 1);
        let problem = Arc::clone(&spec.problem);
        let Problem::Dense(quadratic) = &*problem else { panic!("a dense quadratic") };
        for outer in loops() {
            let spec = for_loop(&spec, outer);
            for run in runs(&spec, outer) {
                let expected = reference(&spec, quadratic, &run);
                for (name, engine, tolerance) in engines(&spec) {
                    let what =
                        format!("{name}, batch {batch:?}{}, {} at {:?}", outer.name(), run.rule.name(), run.schedule);
                    let found = weights(&*engine, &spec, &run);
                    assert_close(&what, &found.concat(), &expected.concat(), tolerance);
                }
            }
        }
    }
}

/// Also the loss, which is that of the last gradient of an update.
#[test]
fn the_engines_agree_about_outer_loops_of_a_network() {
    for batch in [None, Some(7)] {
        let spec = spec(network(&[6], Activation::Tanh, Loss::Ce), batch, 1);
        for outer in loops() {
            let spec = for_loop(&spec, outer);
            super::waves::check_parity(&format!("batch {batch:?}{}", outer.name()), &spec, &runs(&spec, outer));
        }
    }
}

#[test]
fn outer_loops_go_on_from_their_saved_state() {
    let [minibatch, full] = [Some(7), None].map(|batch| spec(network(&[5], Activation::Tanh, Loss::Ce), batch, 1));
    for outer in loops().into_iter().filter(|outer| outer.local_steps() > 1 || outer.replicas > 1) {
        let spec = for_loop(&minibatch, outer);
        saved::check_all(&outer.name(), &spec, &runs(&spec, outer));
    }
    let outer = loops().pop().unwrap();
    let [full, quadratic] = [full, spec(quadratic(), None, 1)].map(|spec| for_loop(&spec, outer));
    saved::check_all("a full batch", &full, &runs(&full, outer));
    saved::check_all("a quadratic", &quadratic, &runs(&quadratic, outer));
}

#[test]
fn a_run_of_an_outer_loop_has_the_same_bits_alone_and_in_a_wave() {
    let spec = spec(network(&[6], Activation::Gelu, Loss::Ce), Some(11), 5);
    let outer = OuterLoop { fresh_share: 0.5, ..loops()[2] };
    let spec = for_loop(&spec, outer);
    for (name, engine, _) in engines(&spec) {
        let probe = runs(&spec, outer).remove(1);
        let alone = weights(&*engine, &spec, &probe);
        let mut wave = engine.open(spec.clone()).unwrap();
        for (lane, run) in runs(&spec, outer).into_iter().enumerate() {
            wave.start(lane, run).unwrap();
        }
        // Lane 1 is the probe too, and so is lane 4, which begins late.
        wave.advance(2).unwrap();
        wave.start(4, probe).unwrap();
        wave.advance(UPDATES - 2).unwrap();
        assert_eq!(wave.weights(1).unwrap(), alone[UPDATES - 1], "{name}");
        assert_eq!(wave.weights(4).unwrap(), alone[UPDATES - 3], "{name}");
    }
}
