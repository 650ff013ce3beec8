//! Zero of the growth rate: by interpolation where growth rates are exact, by regression where they are averages.

use super::Trial;
use nalgebra::{DMatrix, DVector};

/// Most trials that a regression uses: those of smallest |gamma|.
const MOST: usize = 8;

/// Assumed error of the parabola, as a fraction of gamma: keeps trials far from the zero from dominating the fit.
const BEND: f64 = 0.1;

/// Half the width of a 95 % interval, in standard errors.
const INTERVAL: f64 = 1.96;

/// Learning rate at which the growth rate is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zero {
    pub lr: f64,
    /// 95 % confidence interval, where growth rates are averages.
    pub interval: Option<(f64, f64)>,
}

/// Returns the zero of gamma(lr), or `None` unless trials lie on both sides of it.
pub fn zero(trials: &[Trial]) -> Option<Zero> {
    let mut known: Vec<GrowthPoint> = trials.iter().filter_map(GrowthPoint::of).collect();
    known.sort_by(|a, b| a.gamma.abs().total_cmp(&b.gamma.abs()));
    let both = |points: &[GrowthPoint]| points.iter().any(|p| p.gamma < 0.0) && points.iter().any(|p| p.gamma > 0.0);
    if known.iter().all(|point| point.error == 0.0) {
        known.truncate(3);
        return both(&known).then(|| interpolated(&known)).flatten();
    }
    known.truncate(MOST);
    both(&known).then(|| regressed(&known)).flatten()
}

#[derive(Clone, Copy, Debug)]
struct GrowthPoint {
    ln_lr: f64,
    gamma: f64,
    error: f64,
}

impl GrowthPoint {
    fn of(trial: &Trial) -> Option<Self> {
        Some(Self { ln_lr: trial.lr.ln(), gamma: trial.growth?, error: trial.error.unwrap_or(0.0) })
    }
}

/// Interpolates ln(lr) as a polynomial in gamma through all points, and evaluates it at gamma = 0.
fn interpolated(points: &[GrowthPoint]) -> Option<Zero> {
    let terms = points.iter().enumerate().map(|(i, point)| {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        point.ln_lr * others.map(|(_, other)| other.gamma / (other.gamma - point.gamma)).product::<f64>()
    });
    let lr = terms.sum::<f64>().exp();
    lr.is_finite().then_some(Zero { lr, interval: None })
}

/// Fits gamma as a parabola in ln(lr) (a line with fewer than four points) by weighted least squares. Returns its zero next
/// to the trial of smallest |gamma|, with the zero's standard error by the delta method.
fn regressed(points: &[GrowthPoint]) -> Option<Zero> {
    let origin = points[0].ln_lr;
    let order = if points.len() < 4 { 2 } else { 3 };
    let scale = points.iter().map(|p| (p.ln_lr - origin).abs()).fold(0.0, f64::max);
    let design =
        DMatrix::from_fn(points.len(), order, |row, power| ((points[row].ln_lr - origin) / scale).powi(power as i32));
    let weight = |p: &GrowthPoint| 1.0 / (p.error * p.error + (BEND * p.gamma).powi(2));
    let weighted = DMatrix::from_fn(points.len(), order, |row, power| design[(row, power)] * weight(&points[row]));
    let target = DVector::from_fn(points.len(), |row, _| points[row].gamma);
    let covariance = (design.transpose() * &weighted).try_inverse()?;
    let fit = &covariance * weighted.transpose() * target;
    let (at, slope) = root(fit.as_slice())?;
    let powers = DVector::from_fn(order, |power, _| at.powi(power as i32));
    let error = (powers.transpose() * &covariance * &powers)[(0, 0)].sqrt() / slope.abs() * scale;
    let ln_lr = origin + at * scale;
    let interval = ((ln_lr - INTERVAL * error).exp(), (ln_lr + INTERVAL * error).exp());
    // An interval that reaches beyond all numbers says nothing.
    let interval = Some(interval).filter(|(low, high)| *low > 0.0 && high.is_finite());
    (ln_lr.is_finite() && error.is_finite()).then_some(Zero { lr: ln_lr.exp(), interval })
}

/// Returns the zero next to the origin of a line or parabola, and the slope there.
fn root(fit: &[f64]) -> Option<(f64, f64)> {
    let (c, b) = (fit[0], fit[1]);
    let a = fit.get(2).copied().unwrap_or(0.0);
    let discriminant = b * b - 4.0 * a * c;
    if discriminant < 0.0 {
        return None;
    }
    // The smaller root, in the form that does not cancel.
    let at = -2.0 * c / (b + discriminant.sqrt().copysign(b));
    Some((at, b + 2.0 * a * at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threshold::Verdict;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    fn trial(lr: f64, growth: f64, error: Option<f64>) -> Trial {
        let verdict = if growth > 0.0 { Verdict::Escaped } else { Verdict::Stable };
        Trial { lr, verdict, growth: Some(growth), error, members: 1, steps: 1, last: Default::default() }
    }

    /// A growth rate that is bent, with its zero at 0.3.
    fn gamma(lr: f64) -> f64 {
        let s = (lr / 0.3f64).ln();
        0.02 * s + 0.01 * s * s
    }

    const RATES: [f64; 6] = [0.21, 0.27, 0.29, 0.31, 0.33, 0.4];

    #[test]
    fn exact_growth_rates_are_interpolated_without_an_interval() {
        let zero = zero(&RATES.map(|lr| trial(lr, gamma(lr), None))).unwrap();
        assert!((zero.lr - 0.3).abs() < 1e-4 && zero.interval.is_none(), "{zero:?}");
    }

    #[test]
    fn averaged_growth_rates_are_regressed_and_their_interval_holds_the_zero_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut held, mut widths, rounds) = (0, 0.0, 400);
        for _ in 0..rounds {
            let error = 3e-4;
            let noise = || {
                let x: f64 = StandardNormal.sample(&mut rng);
                error * x
            };
            let noises: Vec<f64> = std::iter::repeat_with(noise).take(RATES.len()).collect();
            let trials: Vec<Trial> =
                RATES.iter().zip(noises).map(|(lr, noise)| trial(*lr, gamma(*lr) + noise, Some(error))).collect();
            let (low, high) = zero(&trials).unwrap().interval.unwrap();
            held += u32::from(low <= 0.3 && 0.3 <= high);
            widths += high - low;
        }
        assert!(held >= rounds * 92 / 100, "{held} of {rounds}");
        assert!(widths / f64::from(rounds) < 0.02, "mean width {}", widths / f64::from(rounds));
    }

    #[test]
    fn one_side_alone_has_no_zero() {
        assert_eq!(zero(&[trial(0.1, -1e-3, Some(1e-4)), trial(0.2, -1e-4, Some(1e-4))]), None);
        assert_eq!(zero(&[trial(0.4, 1e-3, None)]), None);
    }
}
