//! Adam, AdamW, NAdam, NAdamW, Lion and Signum on late gradients, mixing around the first two, and what is put around rules, beside
//! the optimizers of PyTorch and of optax.
//!
//! The oracle is in `data/adaptive.py`: their own code, in float64, on gradients that are 0, 1 and 4 updates late.

use crate::common::{assert_close, gpu};
use std::collections::BTreeSet;
use std::sync::Arc;
use tauscope::batch::Sampling;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Needs, Run, WaveSpec};
use tauscope::outer::OuterLoop;
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::{Rule, RuleKind, RuleSpec};

/// Agreement of 100 updates in f64, whose roots and powers are rounded in another order.
const TRAJECTORY: f64 = 1e-10;

/// The same in f32.
const TRAJECTORY_F32: f64 = 1e-4;

/// The same of signs: one of what is near 0 turns an update earlier or later, and moves weights by twice the learning rate, 0.02.
const SIGNS_F32: f64 = 5e-2;

const EVERY: usize = 10;

#[test]
fn adaptive_rules_are_those_of_pytorch_and_optax_at_delays_0_1_and_4() {
    check(&Cpu::<f64>::default(), |_| TRAJECTORY);
}

#[test]
fn the_gpu_engine_follows_them() {
    check(
        gpu(),
        |rule| if rule.to_string() == "lion" || rule.to_string() == "signum" { SIGNS_F32 } else { TRAJECTORY_F32 },
    );
}

fn check(engine: &dyn Engine, tolerance: impl Fn(RuleKind) -> f64) {
    let mut reader = csv::Reader::from_reader(include_bytes!("../data/adaptive.csv").as_slice());
    let mut seen_rules = BTreeSet::new();
    for record in reader.records().map(Result::unwrap) {
        let number = |column: usize| record[column].parse::<f64>().unwrap();
        let spec: RuleSpec = record[1].parse().unwrap();
        seen_rules.insert(spec.kind.to_string());
        let rule: Rule = spec.with(number(2), number(2));
        let schedule = Schedule::round_robin(record[3].parse().unwrap());
        let expected: Vec<f64> = (5..record.len()).map(number).collect();
        let wave = WaveSpec {
            problem: Arc::new(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0, 0.3] })),
            batch: None,
            sampling: Sampling::Epochs,
            minimum: Arc::new(vec![0.0; 2]),
            direction: Arc::new(vec![1.0, 0.0]),
            lanes: 1,
            together: 1,
            needs: Needs::of(&rule, &schedule, false),
            block: EVERY,
        };
        let mut wave = engine.open(wave).unwrap();
        let run = Run {
            rule,
            lr: number(4).into(),
            schedule,
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
            wave.advance(EVERY).unwrap();
            seen.extend(wave.weights(0).unwrap());
        }
        assert_close(
            &format!("{:?}", record.iter().take(4).collect::<Vec<_>>()),
            &seen,
            &expected,
            tolerance(spec.kind),
        );
    }
    let seen: Vec<_> = seen_rules.into_iter().collect();
    let all =
        ["adam", "adamw", "heavy-ball", "lion", "mixing-adam", "mixing-adamw", "nadam", "nadamw", "sgd", "signum"];
    assert_eq!(seen, all);
}
