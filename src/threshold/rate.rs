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
const SPAN: u64 = 12;

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
