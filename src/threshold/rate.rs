//! Growth rate of an ensemble, with its standard error, from the growth of its windows.
//!
//! In mean square the product of the mean growth factors of successive windows is an unbiased estimate of the growth of E p^2,
//! whatever the size of the population (Del Moral, Feynman-Kac Formulae, 2004, theorem 7.4.2). Its logarithm is not: the mean
//! of ln(growth) lies below ln(mean growth), by half the variance and more, and a threshold from it too high. Therefore the
//! rate is the logarithm of the mean, over spans of time that are longer than the memory of the process, of the growth
//! factor of a span. Its standard error and its bias of order 1 / spans are those of the jackknife.
//!
//! Almost surely the rate is itself a mean of logarithms, over members that are never mixed, and needs no correction. Not
//! here: how long an ensemble lasts ([`super::ensemble`]).

/// Share of the windows, at the beginning, that is left out: 1 / this.
const UNSETTLED: usize = 8;

/// Length of a span in units of memory, where there is time for [`FEWEST`].
const SPAN: u64 = 24;

/// Fewest spans that a standard error is computed from.
const FEWEST: usize = 12;

/// Growth rate per step and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub rate: f64,
    pub error: f64,
}

impl Rate {
    fn finite(rate: f64, error: f64) -> Option<Self> {
        (rate.is_finite() && error.is_finite()).then_some(Self { rate, error })
    }
}

/// Returns the growth rate in mean square, half of that of E p^2, from `rates`, that of each window's mean growth factor.
/// `window` and `memory` are numbers of steps. None where there are too few windows.
pub fn of_mean_square(rates: &[f64], window: u64, memory: u64) -> Option<Rate> {
    let settled = &rates[rates.len() / UNSETTLED..];
    let span = ((SPAN * memory).div_ceil(window) as usize).min(settled.len() / FEWEST);
    if span == 0 {
        return None;
    }
    let (spans, unit) = (settled.len() / span, 2.0 * (span as u64 * window) as f64);
    let of = |rates: &[f64]| rates.iter().sum::<f64>() * 2.0 * window as f64;
    let growth: Vec<f64> = settled[settled.len() - span * spans..].chunks_exact(span).map(of).collect();
    let largest = growth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let factors: Vec<f64> = growth.iter().map(|growth| (growth - largest).exp()).collect();
    let (total, count) = (factors.iter().sum::<f64>(), spans as f64);
    let without: Vec<f64> = factors.iter().map(|factor| ((total - factor) / (count - 1.0)).ln()).collect();
    let mean = without.iter().sum::<f64>() / count;
    let variance = (count - 1.0) / count * without.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let logarithm = count * (total / count).ln() - (count - 1.0) * mean;
    Rate::finite((largest + logarithm) / unit, variance.sqrt() / unit)
}

/// Returns the Lyapunov exponent from `rates`, those of all members in each window: each member is an independent sample.
pub fn of_members(rates: &[f64], members: usize) -> Option<Rate> {
    let windows = rates.len() / members;
    let settled = &rates[windows / UNSETTLED * members..];
    let (windows, count) = ((settled.len() / members) as f64, members as f64);
    let of = |member: usize| settled.iter().skip(member).step_by(members).sum::<f64>() / windows;
    let means: Vec<f64> = (0..members).map(of).collect();
    let mean = means.iter().sum::<f64>() / count;
    let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Rate::finite(mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, Normal};

    /// Growth factors of windows that are independent and lognormal: E p^2 grows by exp(mean + spread^2 / 2) in each.
    #[test]
    fn the_rate_is_that_of_the_mean_growth_factor_and_not_of_the_mean_logarithm() {
        let (window, mean, spread) = (8, -0.01, 0.3);
        let expected = (mean + 0.5 * spread * spread) / (2.0 * window as f64);
        let normal = Normal::new(mean, spread).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut held, mut sum, rounds) = (0, 0.0, 400);
        for _ in 0..rounds {
            let rates: Vec<f64> = (0..1000).map(|_| normal.sample(&mut rng) / (2.0 * window as f64)).collect();
            let Rate { rate, error } = of_mean_square(&rates, window, 2).unwrap();
            held += u32::from((rate - expected).abs() <= 2.0 * error);
            sum += rate;
        }
        let average = sum / f64::from(rounds);
        assert!((average / expected - 1.0).abs() < 0.05, "{average}, expected {expected}");
        assert!((rounds * 92 / 100..=rounds * 98 / 100).contains(&held), "{held} of {rounds}");
    }

    #[test]
    fn a_span_that_dwarfs_the_others_has_no_rate_and_few_windows_have_none() {
        assert_eq!(of_mean_square(&[0.1; 13], 8, 2).map(|measured| measured.rate), Some(0.1));
        assert_eq!(of_mean_square(&[0.1; FEWEST - 1], 8, 2), None);
        assert_eq!(of_mean_square(&[], 8, 2), None);
        let mut rates = [0.0; 14];
        rates[13] = 1e3;
        assert_eq!(of_mean_square(&rates, 8, 2), None);
    }

    #[test]
    fn members_are_samples_of_the_lyapunov_exponent() {
        // Two members of two windows each: means 0.2 and 0.4, whose mean has the standard error 0.1.
        let Rate { rate, error } = of_members(&[0.1, 0.5, 0.3, 0.3], 2).unwrap();
        assert!((rate - 0.3).abs() < 1e-15 && (error - 0.1).abs() < 1e-15, "{rate} +- {error}");
        assert_eq!(of_members(&[0.1, 0.5], 1).map(|measured| measured.rate), None);
    }
}
