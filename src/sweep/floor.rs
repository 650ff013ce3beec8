//! The smallest updates that survive the rounding of the weights.
//!
//! A weight is known to its last digit. An update much smaller than that is lost, and one of a few of them is rounded to a whole
//! number of them; while an oscillation is slow, what is lost is lost in step with it, so that a late gradient counts for
//! less (or more) than it is. How much of an oscillation survives is computed here, weight by weight, and from it the change
//! per step below which a threshold would move. Not here: what becomes of a run that sinks below it ([`crate::threshold`]).

use crate::math::FloatFormat;
use crate::minimum::Minimum;
use crate::threshold::Level;

/// Share of the tolerance that rounding may move a threshold by.
const SHARE: f64 = 0.2;

/// Phases of a quarter of an oscillation at which its updates are rounded.
const PHASES: usize = 8;

/// Factor by which updates are made smaller until one is too small: fine enough to meet the multiples of a last digit at which most
/// is lost.
const FINER: f64 = 0.93;

/// Size of the update, relative to the start, at which none was too small.
const SMALLEST: f64 = 1e-40;

/// The smallest displacement along the top eigenvector that rounding leaves alone, where it may move a threshold by a fifth of
/// `tolerance`; `clear` is what the error of the gradient asks for.
pub fn floor(minimum: &Minimum, format: FloatFormat, distance: f64, clear: f64, tolerance: f64) -> Level {
    let last_digits: Vec<(f64, f64)> = minimum
        .weights
        .iter()
        .zip(&minimum.largest.vector)
        .map(|(x, v)| (*v, format.last_digit(x.abs().max((distance * v).abs()))))
        .collect();
    let mut change = distance;
    while change > SMALLEST * distance && (survival(&last_digits, FINER * change) - 1.0).abs() <= SHARE * tolerance {
        change *= FINER;
    }
    Level { projection: clear, change }
}

/// Share of an oscillation of this root mean square change per step along the top eigenvector that is left of it when every
/// weight is rounded; each weight has its component of the eigenvector and its last digit.
fn survival(weights: &[(f64, f64)], change: f64) -> f64 {
    let (mut left, mut whole) = (0.0, 0.0);
    for phase in 0..PHASES {
        let sine = (std::f64::consts::FRAC_PI_2 * (phase as f64 + 0.5) / PHASES as f64).sin();
        let step = std::f64::consts::SQRT_2 * change * sine;
        let rounded = |(v, digit): &(f64, f64)| {
            let update = v * step;
            v * if *digit > 0.0 { (update / digit).round_ties_even() * digit } else { update }
        };
        left += sine * weights.iter().map(rounded).sum::<f64>();
        whole += sine * step;
    }
    left / whole
}
