//! Threshold of a rule whose momentum acts at each n-th arrival alone, as Delayed Nesterov's does: the map over one period of
//! arrivals, which is linear, and its spectral radius.
//!
//! With `g` the gradient that arrives, `tau` arrivals old, each arrival moves the weights by `-lr g / n`, and each n-th also by
//! `-lr b m'` with `m' = m m_before + S / n`, `S` the sum of the last `n` gradients and `b` the share of the new velocity.
//!
//! Not here: rules that treat all arrivals alike, which have an equation ([`super::characteristic`]).

use super::TheoryError;
use super::bisection::bisect;
use super::equation::Equation;
use nalgebra::DMatrix;

/// The longest delay, arrivals: the map has three rows more than that.
const LONGEST: usize = 64;

/// Steps of the search upwards, relative, and where it ends.
const STEP: f64 = 1.02;
const MOST: f64 = 1e3;

/// Squarings of the map: its power is then so high that what it grows by is its spectral radius.
const SQUARINGS: usize = 30;

/// Threshold of the gain in the mean of such a rule.
///
/// # Errors
/// A delay that varies or is too long, or no threshold.
pub(super) fn periodic_margin(equation: &Equation, every: usize) -> Result<f64, TheoryError> {
    equation.validate()?;
    let delay = equation.fixed_delay()?;
    if delay.max(every) > LONGEST {
        return Err(TheoryError::Unsupported(format!(
            "a momentum that acts at each {every}-th arrival has no theory at a delay of {delay}; accepted: up to {LONGEST}"
        )));
    }
    // Written as Nesterov's, n1 = 1 + m (1-d).
    let (momentum, entering) = (equation.velocity.momentum(), equation.numerator[1] - 1.0);
    let stable = |gain: f64| grows_by(period(gain, momentum, entering, every, delay)) < 0.0;
    let mut gain = every as f64 * 1e-4 / (delay + 1) as f64;
    while stable(gain) {
        gain *= STEP;
        if gain > MOST * every as f64 {
            return Err(TheoryError::Unbounded);
        }
    }
    TheoryError::in_range(bisect(gain / STEP, gain, stable))
}

/// The map of (weights, the `delay` versions before, velocity, sum) over `every` arrivals.
fn period(gain: f64, momentum: f64, entering: f64, every: usize, delay: usize) -> DMatrix<f64> {
    let size = delay + 3;
    let (velocity, sum) = (delay + 1, delay + 2);
    let mut map = DMatrix::identity(size, size);
    for arrival in 1..=every {
        let gradient = map.row(delay) * (gain / every as f64);
        let mut moved = map.row(0) - &gradient;
        let mut collected = map.row(sum) + &gradient;
        if arrival == every {
            // S / n enters by 1 - d, and b m' moves the weights: only their product counts.
            let renewed =
                map.row(velocity) * momentum + &collected * (if momentum == 0.0 { 0.0 } else { entering / momentum });
            moved -= &renewed * momentum;
            map.set_row(velocity, &renewed);
            collected.fill(0.0);
        }
        map.set_row(sum, &collected);
        for version in (1..=delay).rev() {
            let newer = map.row(version - 1).into_owned();
            map.set_row(version, &newer);
        }
        map.set_row(0, &moved);
    }
    map
}

/// Logarithm of the spectral radius, by powers of the map.
pub(super) fn grows_by(mut map: DMatrix<f64>) -> f64 {
    let (mut log, mut power) = (0.0, 1.0);
    for _ in 0..SQUARINGS {
        let size = map.norm();
        if size == 0.0 || !size.is_finite() {
            return if size == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        map /= size;
        log += size.ln() / power;
        map = &map * &map;
        power *= 2.0;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{DelayLaw, Velocity};

    /// Distance after so many arrivals, by the formulas over plain numbers.
    fn simulated(gain: f64, momentum: f64, dampening: f64, every: usize, delay: usize, arrivals: usize) -> f64 {
        let mut x = vec![1.0];
        let (mut velocity, mut collected) = (0.0, Vec::new());
        for arrival in 0..arrivals {
            let g = gain * x[arrival.saturating_sub(delay)];
            collected.push(g);
            let mut moved = x[arrival] - g / every as f64;
            if collected.len() == every {
                velocity = momentum * velocity + (1.0 - dampening) * collected.iter().sum::<f64>() / every as f64;
                moved -= momentum * velocity;
                collected.clear();
            }
            x.push(moved);
        }
        let size = |x: &f64| if x.is_finite() { x.abs() } else { f64::INFINITY };
        x[arrivals - 4 * (delay + every)..].iter().map(size).fold(0.0, f64::max)
    }

    #[test]
    fn a_momentum_at_each_nth_arrival_has_the_threshold_of_its_steps() {
        for (momentum, dampening, every, delay) in [
            (0.9, 0.0, 4, 3),
            (0.9, 0.0, 8, 7),
            (0.5, 0.25, 3, 5),
            (0.9, 0.9, 2, 1),
            (0.0, 0.0, 4, 3),
            (0.8, 0.0, 5, 0),
        ] {
            let numerator = [1.0 - momentum * dampening, 1.0 + momentum * (1.0 - dampening)];
            let equation = Equation::new(&DelayLaw::Fixed(delay), Velocity::Server { momentum }, numerator);
            let gain = periodic_margin(&equation, every).unwrap();
            let after = |factor: f64| simulated(factor * gain, momentum, dampening, every, delay, 40_000);
            assert!(after(0.99) < 0.1 && after(1.01) > 10.0, "{momentum}, {every}, {delay}: {gain}");
        }
        let sgd = Equation::new(&DelayLaw::Fixed(65), Velocity::Server { momentum: 0.5 }, [1.0, 1.5]);
        assert!(periodic_margin(&sgd, 2).unwrap_err().to_string().contains("accepted: up to 64"));
    }
}
