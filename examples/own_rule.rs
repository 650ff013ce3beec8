//! A rule of your own: half heavy-ball and half sgd (x -= lr (v + g) / 2), with its characteristic equation, measured beside
//! its theory: `cargo run --release --example own_rule`.

use tauscope::rule::{Action, Definition, Locality, MomentumDefaults};
use tauscope::theory::{Equation, Velocity};
use tauscope::{Dampening, RuleKind, Sweep, UpdateCoefficients};

static HALF_AND_HALF: Definition = Definition {
    name: "half-and-half",
    summary: "v = m v + (1-d) g; x -= lr (v + g) / 2",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.5, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, _, _| {
        Action::update(UpdateCoefficients {
            momentum: rule.momentum,
            gradient_to_velocity: 1.0 - rule.dampening,
            gradient_to_weights: 0.5,
            velocity_to_weights: 0.5,
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^tau, N = ((2-d) z - m) / 2, given as N = n0 + n1 (z-1)
    equation: |rule, law| {
        let (m, d) = (rule.momentum, rule.dampening);
        Some(Equation::new(law, Velocity::Server { momentum: m }, [(2.0 - d - m) / 2.0, (2.0 - d) / 2.0]))
    },
    synchronous_gain: None,
};

pub fn main() -> anyhow::Result<()> {
    let rules = [RuleKind::Own(&HALF_AND_HALF), RuleKind::Sgd];
    let sweep = Sweep::builder().quadratic([1.0, 0.3]).rules(rules).delays([0, 1, 4]);
    for row in sweep.build()?.measure()? {
        let numbers = row.lr_threshold.zip(row.lr_theory);
        let (measured, theory) = numbers.unwrap_or((f64::NAN, f64::NAN));
        println!("{} at delay {}: {measured:.4}, theory {theory:.4}", row.rule, row.delay.unwrap_or(0));
    }
    Ok(())
}
