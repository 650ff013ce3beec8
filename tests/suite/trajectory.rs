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
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::{Arrival, Rule, RuleKind, RuleSpec};
use tauscope::update::Form;

const STEPS: usize = 12;

#[derive(Deserialize)]
struct Case {
    rule: String,
    momentum: f64,
    dampening: f64,
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
            schedule: record[3].into(),
            iterates: std::array::from_fn(|t| number(4 + t)),
        }
    };
    reader.records().map(|record| case(record.unwrap())).collect()
}

impl Case {
    fn rule(&self) -> Rule {
        let RuleSpec { kind, number } = self.rule.parse().unwrap();
        Rule { kind, momentum: self.momentum, dampening: self.dampening, number }
    }

    /// Whether f64 holds every number that enters: no roots, no quotients, no powers beyond its digits.
    fn is_dyadic(&self) -> bool {
        let arrival = Arrival { age: 0, updates: 0, workers: 3, mean_delay: 2.0 };
        let rule = self.rule();
        let coefficients = (rule.definition().update)(&rule, &arrival, &mut 0).coefficients;
        let exact = matches!(coefficients.form, Form::Linear | Form::CompensatedExactly { .. });
        exact && coefficients.clip_norm.is_none()
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
        wave.start(0, Run { rule, lr: 0.5.into(), schedule, seed: 0, start, centred: false, statistics: None })
            .unwrap();
        let (mut seen, mut projections) = (Vec::new(), Vec::new());
        for _ in 0..STEPS {
            projections.push(wave.advance(1).unwrap().get(0, 0).projection);
            seen.extend(wave.weights(0).unwrap());
        }
        let Case { momentum, dampening, schedule, .. } = &case;
        let what = format!("{}, momentum {momentum}, dampening {dampening}, {schedule}", case.rule);
        let tolerance = if case.is_dyadic() { exact } else { inexact };
        assert_close(&what, &seen, &case.iterates, tolerance);
        assert_close(&format!("projections of {what}"), &projections, &case.iterates, tolerance);
    }
    let all: BTreeSet<String> = RuleKind::iter().map(|kind| kind.to_string()).collect();
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
