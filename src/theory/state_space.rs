//! The same rules as linear recurrences of an explicit state, written from their update formulas and not from their
//! equations. Its matrices have the size of the delay: this is the witness the equations are checked against, not a way
//! to compute thresholds.

use nalgebra::{DMatrix, DVector};

use super::TheoryError;
use super::rule::{Rule, WeightDecay};

/// The matrix that carries the state of `rule` over one update on a curvature of 1, so that the gain is the learning
/// rate. Its eigenvalues are the roots of `D + K N`, and possibly some zeros.
///
/// The state holds `delay + 2` weights, newest first, then the velocities, newest first: `delay + 1` of them for
/// [`Rule::Shifted`], one for every other rule.
///
/// # Errors
/// Coefficients out of range, or a gain that is not finite.
pub fn state_space(rule: &Rule, delay: usize, gain: f64, decay: WeightDecay) -> Result<DMatrix<f64>, TheoryError> {
    rule.validate()?;
    if !gain.is_finite() {
        return Err(TheoryError::Gain(gain));
    }
    let size = delay + 2 + velocities(rule, delay);
    let columns: Vec<DVector<f64>> = (0..size)
        .map(|i| {
            let mut state = DVector::zeros(size);
            state[i] = 1.0;
            step(rule, delay, gain, decay, &state)
        })
        .collect();
    Ok(DMatrix::from_columns(&columns))
}

fn velocities(rule: &Rule, delay: usize) -> usize {
    match rule {
        Rule::Shifted { .. } => delay + 1,
        _ => 1,
    }
}

/// One update.
fn step(rule: &Rule, delay: usize, lr: f64, decay: WeightDecay, state: &DVector<f64>) -> DVector<f64> {
    let (m, d) = (rule.momentum(), rule.dampening());
    let x = |age: usize| state[age];
    let v = |age: usize| state[delay + 2 + age];
    let tau = delay as f64;
    let look_ahead = |age: usize| x(age) + m * (x(age) - x(age + 1));

    let read = match rule {
        Rule::WeightPrediction { .. } => x(delay) + tau * (x(delay) - x(delay + 1)),
        Rule::DelayedNesterov { .. } => look_ahead(delay),
        _ => x(delay),
    };
    let current = match rule {
        Rule::DelayedNesterov { .. } => look_ahead(0),
        _ => x(0),
    };
    let gradient = read
        + match decay {
            WeightDecay::None => 0.0,
            WeightDecay::Delayed { ratio } => ratio * read,
            WeightDecay::Current { ratio } => ratio * current,
        };

    let (new_x, new_v) = match rule {
        Rule::Sgd => (x(0) - lr * gradient, 0.0),
        Rule::HeavyBall { .. } | Rule::WeightPrediction { .. } => {
            let velocity = m * v(0) + (1.0 - d) * gradient;
            (x(0) - lr * velocity, velocity)
        }
        Rule::StalenessScaled { .. } => {
            let velocity = m * v(0) + (1.0 - d) * gradient / tau.max(1.0);
            (x(0) - lr * velocity, velocity)
        }
        Rule::Nesterov { .. } => {
            let velocity = m * v(0) + (1.0 - d) * gradient;
            (x(0) - lr * (gradient + m * velocity), velocity)
        }
        Rule::Shifted { .. } => {
            let velocity = m * v(delay) + (1.0 - d) * gradient;
            (x(0) - lr * velocity, velocity)
        }
        Rule::DelayedNesterov { .. } => (look_ahead(0) - lr * (1.0 - d) * gradient, 0.0),
    };

    let mut next = DVector::zeros(state.len());
    next[0] = new_x;
    for age in 1..delay + 2 {
        next[age] = x(age - 1);
    }
    next[delay + 2] = new_v;
    for age in 1..velocities(rule, delay) {
        next[delay + 2 + age] = v(age - 1);
    }
    next
}
