//! One trajectory per rule, worked by hand: f(x) = x^2 / 2, x_0 = 1, delay 2, learning rate 1/2, momentum 1/2.
//!
//! The oracle is independent of slots, rings and kernels: these are the recurrences over x[t] and v[t] alone, with
//! x[t] = x_0 for t < 0 and v[t] = 0 for t <= 0,
//!
//! - sgd: x[t+1] = x[t] - lr x[t-2]
//! - heavy-ball: v[t+1] = m v[t] + (1-d) x[t-2]; x[t+1] = x[t] - lr v[t+1]
//! - nesterov: the same v; x[t+1] = x[t] - lr (x[t-2] + m v[t+1])
//! - shifted: v[t+1] = m v[t-2] + (1-d) x[t-2]; x[t+1] = x[t] - lr v[t+1]
//!
//! evaluated in exact fractions. All are dyadic, so that f64 meets them to the last bit.

mod common;

use common::{EXACT, KERNEL_F32, assert_close, gpu};
use std::sync::Arc;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Run, WaveSpec};
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::{Rule, RuleKind};
use tauscope::schedule::Schedule;

/// (numerator, denominator)
type Fraction = (i32, i32);

struct Case {
    kind: RuleKind,
    dampening: f64,
    /// x[1] to x[8]
    iterates: [Fraction; 8],
}

const CASES: [Case; 7] = [
    Case {
        kind: RuleKind::Sgd,
        dampening: 0.0,
        iterates: [(1, 2), (0, 1), (-1, 2), (-3, 4), (-3, 4), (-1, 2), (-1, 8), (1, 4)],
    },
    Case {
        kind: RuleKind::HeavyBall,
        dampening: 0.0,
        iterates: [(1, 2), (-1, 4), (-9, 8), (-29, 16), (-65, 32), (-101, 64), (-57, 128), (291, 256)],
    },
    Case {
        kind: RuleKind::HeavyBall,
        dampening: 0.5,
        iterates: [(3, 4), (3, 8), (-1, 16), (-15, 32), (-49, 64), (-115, 128), (-217, 256), (-323, 512)],
    },
    Case {
        kind: RuleKind::Nesterov,
        dampening: 0.0,
        iterates: [(1, 4), (-5, 8), (-25, 16), (-63, 32), (-105, 64), (-59, 128), (311, 256), (1429, 512)],
    },
    Case {
        kind: RuleKind::Nesterov,
        dampening: 0.5,
        iterates: [(3, 8), (-5, 16), (-33, 32), (-11, 8), (-161, 128), (-81, 128), (9, 32), (1209, 1024)],
    },
    Case {
        kind: RuleKind::Shifted,
        dampening: 0.0,
        iterates: [(1, 2), (0, 1), (-1, 2), (-1, 1), (-5, 4), (-5, 4), (-1, 1), (-1, 2)],
    },
    Case {
        kind: RuleKind::Shifted,
        dampening: 0.5,
        iterates: [(3, 4), (1, 2), (1, 4), (-1, 16), (-5, 16), (-1, 2), (-41, 64), (-11, 16)],
    },
];

fn check(engine: &dyn Engine, tolerance: f64) {
    for Case { kind, dampening, iterates } in CASES {
        let momentum = if kind == RuleKind::Sgd { 0.0 } else { 0.5 };
        let rule = Rule { kind, momentum, dampening };
        let spec = WaveSpec {
            problem: Arc::new(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0] })),
            batch: None,
            minimum: Arc::new(vec![0.0]),
            direction: Arc::new(vec![1.0]),
            lanes: 1,
            slots: 3,
            slot_velocity: rule.has_slot_velocity(),
            block: 1,
        };
        let mut wave = engine.open(spec).unwrap();
        let schedule = Schedule::RoundRobin { delay: 2 };
        wave.start(0, Run { rule, lr: 0.5, schedule, seed_order: 0, start: Arc::new(vec![1.0]) }).unwrap();
        let expected = iterates.map(|(numerator, denominator)| f64::from(numerator) / f64::from(denominator));
        let (mut seen, mut projections) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            projections.push(wave.advance(1).unwrap().get(0, 0).projection);
            seen.extend(wave.weights(0).unwrap());
        }
        assert_close(&format!("{kind}, dampening {dampening}"), &seen, &expected, tolerance);
        assert_close(&format!("projections of {kind}"), &projections, &expected, tolerance);
    }
}

#[test]
fn the_cpu_engine_in_f64_follows_the_hand_worked_trajectories_exactly() {
    check(&Cpu::<f64>::default(), EXACT);
}

#[test]
fn the_gpu_engine_follows_the_hand_worked_trajectories() {
    check(gpu(), KERNEL_F32);
}
