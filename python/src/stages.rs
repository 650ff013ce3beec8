//! Thresholds of pipelines whose Hessian is at hand.
//!
//! Not here: the eigenproblem ([`tauscope::theory::stages`]), nor a Hessian that is none ([`tauscope::sweep`]).

use crate::failure::{guarded, value};
use pyo3::prelude::*;
use std::ops::Range;
use tauscope::RuleSpec;
use tauscope::rule::Rule;
use tauscope::theory::DelayLaw;
use tauscope::theory::stages::{Stage, StageResponse, threshold};

/// What a stage is: delay, factor of the learning rate, momentum, and where its coordinates end.
type Given = (usize, f64, f64, usize);

/// Threshold, angle of the crossing, its residual, and whether it converged. `hessian` has P x P numbers, row by row.
#[pyfunction]
pub fn stage_threshold(
    py: Python,
    rule: &str,
    dampening: f64,
    stages: Vec<Given>,
    hessian: Vec<f64>,
) -> PyResult<(f64, f64, f64, bool)> {
    let spec: RuleSpec = rule.parse().map_err(|reason| value(format!("rule '{rule}': {reason}")))?;
    py.detach(|| {
        guarded(|| {
            let mut start = 0;
            let stages: Vec<Stage> = stages
                .iter()
                .map(|(delay, factor, momentum, end)| {
                    let parameters = std::mem::replace(&mut start, *end)..*end;
                    stage(of_stage(spec, *momentum, dampening), *delay, *factor, parameters)
                })
                .collect::<PyResult<_>>()?;
            let size = start;
            let product = |vectors: &[Vec<f64>]| {
                let product = |v: &Vec<f64>| {
                    let row = |row: &[f64]| row.iter().zip(v).map(|(h, v)| h * v).sum();
                    hessian.chunks_exact(size).map(row).collect()
                };
                vectors.iter().map(product).collect()
            };
            // The whole space is small enough to begin with.
            let units: Vec<Vec<f64>> =
                (0..size).map(|place| (0..size).map(|i| f64::from(u8::from(i == place))).collect()).collect();
            let leading: Vec<&[f64]> = units.iter().map(|unit| &unit[..]).collect();
            let found = threshold(&stages, &leading, product).map_err(|error| value(error.to_string()))?;
            Ok((found.lr, found.angle, found.residual, found.converged))
        })
    })
}

/// What is NaN is the rule's own.
fn of_stage(spec: RuleSpec, momentum: f64, dampening: f64) -> Rule {
    let Some(usual) = spec.kind.definition().momentum else { return spec.with(0.0, 0.0) };
    let momentum = if momentum.is_nan() { usual.momentum } else { momentum };
    spec.with(momentum, if dampening.is_nan() { momentum } else { dampening })
}

fn stage(rule: Rule, delay: usize, factor: f64, parameters: Range<usize>) -> PyResult<Stage> {
    let equation = rule.known_equation(&DelayLaw::Fixed(delay)).map_err(|error| value(error.to_string()))?;
    let response = StageResponse::new(&equation, factor).map_err(|error| value(error.to_string()))?;
    Ok(Stage { parameters, response })
}
