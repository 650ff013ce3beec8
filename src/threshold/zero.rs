//! Zero of the growth rate: by interpolation where growth rates are exact, by regression where they are averages.

use super::Trial;
use nalgebra::{DMatrix, DVector};

/// Trials that exact growth rates are interpolated through: those of smallest |gamma|.
const NEAREST: usize = 3;

/// Standard deviations assumed of what a line leaves out of gamma(lr), times slope x distance^2, and a parabola, times
/// slope x distance^3, with the distance from the zero in ln(lr). In mean square the terms are about 1, almost surely up to 3.
const LEFT_OUT: [f64; 2] = [2.0, 4.0];

/// Half the width of a 95 % interval, in standard errors: Student's t of 25 degrees of freedom, about as many as the spans of
/// time have, at least, that the standard errors of two ensembles are taken from.
const INTERVAL: f64 = 2.06;

/// Distance in ln(lr) from the zero up to which ensembles are taken to be equally noisy: a standard error is uncertain itself,
/// and smaller where the rare members that grow for long are missing, so that one ensemble must not outweigh its like.
const ALIKE: f64 = 0.1;

/// Share of the growth rate that the curve from above leads one to expect at a learning rate below the zero, beneath which a
/// measured one belongs to something else; and the distance in ln(lr) up to which that curve leads to expectations.
const FLAT: (f64, f64) = (0.5, 0.2);

/// Standard errors by which it must be beneath.
const CLEARLY: f64 = 4.0;

/// Standard errors by which a growth rate is clearly above zero.
const SIGN: f64 = 2.5;

/// Share of the distance from the zero, in ln(lr), by which any curve from above may miss it: the branches do not cross but bend
/// into each other.
const BEND: f64 = 0.5;

/// What the start of an ensemble leaves in ln of its displacement: its directions do not have their final shares yet.
const START: f64 = 0.15;

/// Times that a regression is repeated with the weights that follow from its zero.
const REPEATS: usize = 4;

/// Least error of a growth rate, relative to the slope: that of rounding.
const ROUNDING: f64 = 1e-7;

/// Learning rate at which the growth rate is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zero {
    pub lr: f64,
    /// Where growth rates are averages.
    pub spread: Option<Spread>,
}

/// How well a zero is known, and what it takes to know it better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// 95 % confidence interval.
    pub interval: (f64, f64),
    /// Standard error of ln(lr).
    pub error: f64,
    /// Change of the growth rate with ln(lr).
    pub slope: f64,
    /// Whether the zero follows from the growth rates above it alone: those below it belong to flat directions, whose
    /// displacements hardly decay, while all that makes the threshold has died out.
    pub from_above: bool,
}

/// Returns the zero of gamma(lr), or `None` unless trials lie on both sides of it.
pub fn zero(trials: &[Trial]) -> Option<Zero> {
    let mut known: Vec<GrowthPoint> = trials.iter().filter_map(GrowthPoint::of).collect();
    known.sort_by(|a, b| a.gamma.abs().total_cmp(&b.gamma.abs()));
    let exact = known.iter().all(|point| point.error == 0.0);
    if exact {
        // Runs from two starts have the same growth rate at the same learning rate, through which no polynomial goes.
        let mut tried: Vec<f64> = Vec::new();
        known.retain(|point| {
            !tried.contains(&point.ln_lr) && {
                tried.push(point.ln_lr);
                true
            }
        });
        known.truncate(NEAREST);
    }
    let both = known.iter().any(|p| p.gamma < 0.0) && known.iter().any(|p| p.gamma > 0.0);
    both.then(|| if exact { interpolated(&known) } else { regressed(&known) }).flatten()
}

#[derive(Clone, Copy, Debug)]
struct GrowthPoint {
    ln_lr: f64,
    gamma: f64,
    error: f64,
    steps: f64,
}

impl GrowthPoint {
    fn of(trial: &Trial) -> Option<Self> {
        let (gamma, steps) = (trial.growth?, trial.steps as f64);
        let error = trial.error.map_or(0.0, |error| error.hypot(START / steps));
        Some(Self { ln_lr: trial.lr.ln(), gamma, error, steps })
    }

    /// Variance of gamma in one step.
    fn noise(&self) -> f64 {
        self.error * self.error * self.steps
    }
}

/// Interpolates ln(lr) as a polynomial in gamma through all points, and evaluates it at gamma = 0.
fn interpolated(points: &[GrowthPoint]) -> Option<Zero> {
    let terms = points.iter().enumerate().map(|(i, point)| {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        point.ln_lr * others.map(|(_, other)| other.gamma / (other.gamma - point.gamma)).product::<f64>()
    });
    let lr = terms.sum::<f64>().exp();
    lr.is_finite().then_some(Zero { lr, spread: None })
}

/// Zero of gamma(lr) by [`regression`] over all points, or over those above the zero alone, where points below it lie on another
/// branch. There is one such where curvatures differ by orders of magnitude: the growth rate in mean square of minibatches then
/// rises to almost zero far below the threshold, stays there, and rises steeply from the threshold on.
fn regressed(points: &[GrowthPoint]) -> Option<Zero> {
    let all = regression(points, false)?;
    let above: Vec<GrowthPoint> = points.iter().copied().filter(|point| point.gamma > SIGN * point.error).collect();
    let Some((from_above, spread)) = regression(&above, true).and_then(|zero| Some((zero, zero.spread?))) else {
        return Some(all);
    };
    let (origin, slope) = (from_above.lr.ln(), spread.slope);
    let mut below: Vec<&GrowthPoint> =
        points.iter().filter(|point| point.ln_lr < origin && origin - point.ln_lr < FLAT.1).collect();
    below.sort_by(|a, b| b.ln_lr.total_cmp(&a.ln_lr));
    // From afar a curve that is merely bent looks flat as well: the closest one that tells the two apart decides.
    let is_flat = |point: &&GrowthPoint| {
        let excess = point.gamma - FLAT.0 * slope * (point.ln_lr - origin);
        (excess.abs() > CLEARLY * point.error).then_some(excess > 0.0)
    };
    let flat = slope > 0.0 && below.iter().find_map(is_flat).unwrap_or(false);
    Some(if flat { from_above } else { all })
}

/// Fits gamma as a parabola in ln(lr) (a line with fewer than four points) by least squares, weighted by the standard errors
/// and by what the parabola leaves out. Returns its zero, with the zero's standard error by the delta method.
fn regression(points: &[GrowthPoint], from_above: bool) -> Option<Zero> {
    let [first, second] = if from_above {
        [points.first()?, points.get(1)?]
    } else {
        let nearest = |sign: f64| points.iter().find(|point| point.gamma * sign > 0.0);
        [nearest(-1.0)?, nearest(1.0)?]
    };
    let mut slope = (second.gamma - first.gamma) / (second.ln_lr - first.ln_lr);
    let mut origin = first.ln_lr - first.gamma / slope;
    let mut error = f64::NAN;
    for _ in 0..REPEATS {
        let fit = fit(points, origin, slope, if from_above { BEND } else { 0.0 })?;
        (origin, slope, error) = (origin + fit.at, fit.slope, fit.error);
    }
    let interval = ((origin - INTERVAL * error).exp(), (origin + INTERVAL * error).exp());
    // An interval that reaches beyond all numbers says nothing.
    let says = interval.0 > 0.0 && interval.1.is_finite();
    let spread = says.then_some(Spread { interval, error, slope, from_above });
    (origin.is_finite() && error.is_finite()).then_some(Zero { lr: origin.exp(), spread })
}

/// Zero of a fitted curve, as its distance from where it was expected.
struct Fit {
    at: f64,
    slope: f64,
    error: f64,
}

/// Fits a curve whose zero is expected at `origin` with this slope, and which may miss it by the share `bend` of the distance.
fn fit(points: &[GrowthPoint], origin: f64, slope: f64, bend: f64) -> Option<Fit> {
    let order = if points.len() < 4 { 2 } else { 3 };
    let scale = points.iter().map(|p| (p.ln_lr - origin).abs()).fold(0.0, f64::max);
    let design =
        DMatrix::from_fn(points.len(), order, |row, power| ((points[row].ln_lr - origin) / scale).powi(power as i32));
    let alike = |p: &GrowthPoint| (p.ln_lr - origin).abs() <= ALIKE;
    let sum = |of: fn(&GrowthPoint) -> f64| points.iter().filter(|p| alike(p)).map(of).sum::<f64>();
    let noise = sum(|p| p.steps * p.noise()) / sum(|p| p.steps);
    let weight = |p: &GrowthPoint| {
        let distance = (p.ln_lr - origin).abs();
        let left_out = LEFT_OUT[order - 2] * distance.powi(order as i32) + bend * distance;
        let error = if alike(p) { noise } else { p.noise() } / p.steps;
        (error + slope * slope * (left_out * left_out + ROUNDING * ROUNDING)).recip()
    };
    let weighted = DMatrix::from_fn(points.len(), order, |row, power| design[(row, power)] * weight(&points[row]));
    let target = DVector::from_fn(points.len(), |row, _| points[row].gamma);
    let covariance = (design.transpose() * &weighted).try_inverse()?;
    let fit = &covariance * weighted.transpose() * target;
    let (at, slope) = root(fit.as_slice())?;
    let powers = DVector::from_fn(order, |power, _| at.powi(power as i32));
    let variance = (powers.transpose() * &covariance * &powers)[(0, 0)];
    Some(Fit { at: at * scale, slope: slope / scale, error: variance.sqrt() / slope.abs() * scale })
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
        Trial { verdict, growth: Some(growth), error, steps: 1 << 20, ..Trial::failed(lr) }
    }

    /// A growth rate that is bent, with its zero at 0.3.
    fn curve(lr: f64) -> f64 {
        let s = (lr / 0.3f64).ln();
        0.02 * s + 0.01 * s * s
    }

    const RATES: [f64; 6] = [0.21, 0.27, 0.29, 0.31, 0.33, 0.4];

    #[test]
    fn exact_growth_rates_are_interpolated_without_an_interval() {
        let zero = zero(&RATES.map(|lr| trial(lr, curve(lr), None))).unwrap();
        assert!((zero.lr - 0.3).abs() < 1e-4 && zero.spread.is_none(), "{zero:?}");
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
                RATES.iter().zip(noises).map(|(lr, noise)| trial(*lr, curve(*lr) + noise, Some(error))).collect();
            let (low, high) = zero(&trials).unwrap().spread.unwrap().interval;
            held += u32::from(low <= 0.3 && 0.3 <= high);
            widths += high - low;
        }
        assert!(held >= rounds * 92 / 100, "{held} of {rounds}");
        assert!(widths / f64::from(rounds) < 0.02, "mean width {}", widths / f64::from(rounds));
    }

    #[test]
    fn growth_rates_that_flat_directions_hold_up_below_the_threshold_do_not_move_it() {
        let (threshold, error) = (0.3f64, 2e-4);
        // Two branches that bend into each other: that of flat directions, and one that is steep.
        let gamma = |lr: f64| {
            let (flat, steep) = (-3e-3, 0.6 * (lr / threshold).ln());
            let middle = |flat: f64, steep: f64| 0.5 * (flat + steep) + (0.25 * (flat - steep).powi(2) + 1e-6).sqrt();
            middle(flat, steep) - middle(flat, 0.0)
        };
        let trials =
            [0.21, 0.27, 0.29, 0.297, 0.302, 0.305, 0.312, 0.33, 0.4].map(|lr| trial(lr, gamma(lr), Some(error)));
        let Zero { lr, spread } = zero(&trials).unwrap();
        let Spread { interval: (low, high), from_above, .. } = spread.unwrap();
        assert!(
            from_above && (lr / threshold - 1.0).abs() < 2e-3 && low < threshold && threshold < high,
            "{lr} {low} {high}"
        );
        assert!((high - low) / threshold < 0.025, "{low} to {high}");
        // A curve that is merely bent is fitted whole.
        let bent = RATES.map(|lr| trial(lr, curve(lr), Some(1e-5)));
        assert!(!zero(&bent).unwrap().spread.unwrap().from_above);
    }

    #[test]
    fn one_side_alone_has_no_zero() {
        assert_eq!(zero(&[trial(0.1, -1e-3, Some(1e-4)), trial(0.2, -1e-4, Some(1e-4))]), None);
        assert_eq!(zero(&[trial(0.4, 1e-3, None)]), None);
    }
}
