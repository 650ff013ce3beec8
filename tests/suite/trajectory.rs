//! One trajectory per rule and form on f(x) = x^2 / 2, from x_0 = 1 at learning rate 1/2 and momentum 1/2, under two delay
//! processes: three workers in turn, and recorded delays 0, 1, 2, 1.
//!
//! The oracle is independent of slots, rings, coefficients and kernels: `data/trajectories.py` runs each rule from its formula
//! over plain lists, in exact fractions where the rule allows it. Those are dyadic, so that f64 meets them to the last bit.

use crate::common::{EXACT, KERNEL_F32, ROUNDING_F64, assert_close, gpu};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use strum::IntoEnumIterator;
use tauscope::batch::Sampling;
use tauscope::delay::Schedule;
use tauscope::delay::ScheduleSpec;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Needs, Run, WaveSpec};
use tauscope::outer::OuterLoop;
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::{Arrival, Rule, RuleKind, RuleSpec};
use tauscope::update::Form;

const STEPS: usize = 12;

#[derive(Deserialize)]
struct Case {
    rule: String,
    momentum: f64,
    dampening: f64,
    /// Whether the first gradient of a velocity enters it whole.
    whole: bool,
    schedule: String,
    iterates: [f64; STEPS],
}

fn cases() -> Vec<Case> {
    let mut reader = csv::Reader::from_reader(include_bytes!("../data/trajectories.csv").as_slice());
    let case = |record: csv::StringRecord| {
        let number = |column: usize| record[column].parse::<f64>().unwrap();
        Case {
            rule: record[0].into(),
            momentum: number(1),
            dampening: number(2),
            whole: &record[3] == "whole",
            schedule: record[4].into(),
            iterates: std::array::from_fn(|t| number(5 + t)),
        }
    };
    reader.records().map(|record| case(record.unwrap())).collect()
}

impl Case {
    fn rule(&self) -> Rule {
        let spec: RuleSpec = self.rule.parse().unwrap();
        spec.with(self.momentum, self.dampening)
    }

    /// Whether f64 holds every number that enters: no roots, no quotients, no powers beyond its digits.
    fn is_dyadic(&self) -> bool {
        let arrival = Arrival { age: 0, updates: 0, workers: 3, mean_delay: 2.0, undamped: false, state_steps: 0.0 };
        let rule = self.rule();
        let coefficients = (rule.definition().update)(&rule, &arrival, &mut 0).coefficients;
        let exact = match coefficients.form {
            Form::Linear | Form::CompensatedExactly { .. } => true,
            Form::Mixing { share } => share == 0.5 && self.rule != "mixing:age",
            _ => false,
        };
        exact && coefficients.clip_norm.is_none() && !matches!(self.rule.as_str(), "nesterov-every" | "buffer:3")
    }
}

/// Delays 0, 1, 2, 1, as a user records them.
fn recorded() -> Schedule {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "delay\n0\n1\n2\n1\n").unwrap();
    format!("trace:{}", file.path().display()).parse::<ScheduleSpec>().unwrap().own().unwrap()
}

fn check(engine: &dyn Engine, exact: f64, inexact: f64) {
    let mut seen_rules = BTreeSet::new();
    for case in cases() {
        let rule = case.rule();
        seen_rules.insert(rule.kind.to_string());
        let schedule = if case.schedule == "trace" { recorded() } else { Schedule::round_robin(2) };
        let spec = WaveSpec {
            problem: Arc::new(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0] })),
            batch: None,
            sampling: Sampling::Epochs,
            minimum: Arc::new(vec![0.0]),
            direction: Arc::new(vec![1.0]),
            lanes: 1,
            together: 1,
            needs: Needs::of(&rule, &schedule, false),
            block: 1,
        };
        let mut wave = engine.open(spec).unwrap();
        let start = Arc::new(vec![1.0]);
        let (seed, centred, undamped_start) = (0, false, case.whole);
        let lr = 0.5.into();
        wave.start(
            0,
            Run {
                rule,
                lr,
                schedule,
                seed,
                start,
                centred,
                undamped_start,
                second_moment: None,
                statistics: None,
                outer: OuterLoop::default(),
                stages: [].into(),
            },
        )
        .unwrap();
        let (mut seen, mut projections) = (Vec::new(), Vec::new());
        for _ in 0..STEPS {
            projections.push(wave.advance(1).unwrap().get(0, 0).projection);
            seen.extend(wave.weights(0).unwrap());
        }
        let Case { momentum, dampening, whole, schedule, .. } = &case;
        let what = format!("{}, momentum {momentum}, dampening {dampening}, whole {whole}, {schedule}", case.rule);
        let tolerance = if case.is_dyadic() { exact } else { inexact };
        assert_close(&what, &seen, &case.iterates, tolerance);
        // Of a rule with a lookback that of what is stored is observed.
        if rule.kind != RuleKind::SecondPrediction {
            assert_close(&format!("projections of {what}"), &projections, &case.iterates, tolerance);
        }
    }
    // Muon moves matrices, of which this problem has none: tests of its own.
    let all: BTreeSet<String> =
        RuleKind::iter().filter(|kind| *kind != RuleKind::Muon).map(|kind| kind.to_string()).collect();
    assert_eq!(seen_rules, all, "every rule has a trajectory");
}

#[test]
fn the_cpu_engine_in_f64_follows_the_hand_worked_trajectories_exactly() {
    check(&Cpu::<f64>::default(), EXACT, ROUNDING_F64);
}

#[test]
fn the_gpu_engine_follows_the_hand_worked_trajectories() {
    check(gpu(), KERNEL_F32, 10.0 * KERNEL_F32);
}

/// Oracle: torch.optim.SGD, in `data/momentum.py`.
#[test]
fn momentum_at_delay_0_is_that_of_pytorch_from_its_first_step_on() {
    let mut reader = csv::Reader::from_reader(include_bytes!("../data/momentum.csv").as_slice());
    let spec = WaveSpec {
        problem: Arc::new(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0, 0.3] })),
        batch: None,
        sampling: Sampling::Epochs,
        minimum: Arc::new(vec![0.0; 2]),
        direction: Arc::new(vec![1.0, 0.0]),
        lanes: 1,
        together: 1,
        needs: Needs::of(&Rule::new(RuleKind::Shifted, 0.9, 0.0), &Schedule::round_robin(0), false),
        block: 1,
    };
    for record in reader.records().map(Result::unwrap) {
        let number = |column: usize| record[column].parse::<f64>().unwrap();
        let kinds = match &record[0] {
            // One worker has the server's velocity.
            "heavy-ball" => vec![RuleKind::HeavyBall, RuleKind::Shifted],
            name => vec![name.parse().unwrap()],
        };
        let expected: Vec<f64> = (4..record.len()).map(number).collect();
        for kind in kinds {
            let mut wave = Cpu::<f64>::default().open(spec.clone()).unwrap();
            let run = Run {
                rule: Rule::new(kind, number(1), number(2)),
                lr: number(3).into(),
                schedule: Schedule::round_robin(0),
                seed: 0,
                start: Arc::new(vec![1.0, -2.0]),
                statistics: None,
                centred: false,
                undamped_start: true,
                second_moment: None,
                outer: OuterLoop::default(),
                stages: [].into(),
            };
            wave.start(0, run).unwrap();
            let mut seen = Vec::new();
            for _ in 0..expected.len() / 2 {
                wave.advance(1).unwrap();
                seen.extend(wave.weights(0).unwrap());
            }
            assert_close(
                &format!("{kind} {:?}", record.iter().take(4).collect::<Vec<_>>()),
                &seen,
                &expected,
                ROUNDING_F64,
            );
        }
    }
}
