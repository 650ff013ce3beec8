//! Service times: how long a worker takes for a gradient, in units of its own mean.
//!
//! Not here: which worker has which mean, nor who reports when ([`super::Workers`]).

use crate::text::Options;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Largest shape of a lognormal law: beyond that the mean is made of times that no run lives to see.
pub const LARGEST_SIGMA: f64 = 5.0;

/// The law of a service time, of mean 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "service")]
pub enum Service {
    Constant,
    Exponential,
    /// `exp(s z - s^2/2)` for a standard normal z. `shape` is s.
    Lognormal {
        shape: f64,
    },
    /// Beyond `(a-1)/a`, above `x` with probability proportional to `x^-a`: heavy tails. `shape` is a, above 1; up to 2 the
    /// variance is infinite.
    Pareto {
        shape: f64,
    },
    /// Drawn with replacement from a list of the worker's own, in units of its mean.
    Recorded {
        #[serde(serialize_with = "super::workers::slice")]
        times: Arc<[Vec<f64>]>,
    },
}

impl Service {
    /// Whether the law of this name has a shape.
    ///
    /// # Errors
    /// Another name.
    pub(super) fn has_shape(law: &str) -> Result<bool, String> {
        match law {
            "constant" | "exponential" => Ok(false),
            "lognormal" | "pareto" => Ok(true),
            _ => Err(format!(
                "no law '{law}' of service times; accepted: workers:constant, workers:exponential, \
                 workers:lognormal:shape=SIGMA, workers:pareto:shape=ALPHA, workers:recorded:file=FILE"
            )),
        }
    }

    /// The law of this name, with `shape=` where it has one.
    ///
    /// # Errors
    /// No such law, or a shape that it cannot have.
    pub(super) fn parse(law: &str, options: &Options) -> Result<Self, String> {
        match law {
            "constant" => Ok(Self::Constant),
            "exponential" => Ok(Self::Exponential),
            "lognormal" => {
                let accepted = format!("a sigma above 0, up to {LARGEST_SIGMA}");
                let shape = options.value("shape", |sigma| *sigma > 0.0 && *sigma <= LARGEST_SIGMA, &accepted)?;
                let shape = shape.ok_or_else(|| format!("lognormal has no shape; accepted: shape={accepted}"))?;
                Ok(Self::Lognormal { shape })
            }
            _ => {
                Self::has_shape(law)?;
                let accepted = "an alpha above 1";
                let shape = options.value("shape", |alpha: &f64| *alpha > 1.0 && alpha.is_finite(), accepted)?;
                let shape = shape.ok_or_else(|| format!("pareto has no shape; accepted: shape={accepted}"))?;
                Ok(Self::Pareto { shape })
            }
        }
    }

    /// With the exponential function of a library, so that machines agree on the order of arrivals.
    pub(super) fn draw(&self, worker: usize, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Exponential => rng.sample(Exp1),
            Self::Lognormal { shape } => libm::exp(shape * rng.sample::<f64, _>(StandardNormal) - shape * shape / 2.0),
            // The logarithm of a Pareto variable is exponential.
            Self::Pareto { shape } => (shape - 1.0) / shape * libm::exp(rng.sample::<f64, _>(Exp1) / shape),
            Self::Recorded { times } => times[worker][rng.random_range(0..times[worker].len())],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Exponential => f.write_str("exponential"),
            Self::Lognormal { shape } => write!(f, "lognormal:shape={shape}"),
            Self::Pareto { shape } => write!(f, "pareto:shape={shape}"),
            Self::Recorded { .. } => f.write_str("recorded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn every_law_has_mean_one() {
        const DRAWS: u32 = 400_000;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // With the variance of each law, from its textbook formula.
        let laws = [
            (Service::Constant, 0.0),
            (Service::Exponential, 1.0),
            (Service::Lognormal { shape: 0.7 }, 0.7f64.powi(2).exp() - 1.0),
            (Service::Pareto { shape: 4.5 }, 1.0 / (4.5 * 2.5)),
        ];
        for (law, variance) in laws {
            let draws: Vec<f64> = (0..DRAWS).map(|_| law.draw(0, &mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(DRAWS);
            let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(DRAWS);
            // Five standard errors of the mean; the sample variance of the heavier tails converges slowly.
            assert!((mean - 1.0).abs() <= 5.0 * (variance / f64::from(DRAWS)).sqrt(), "{law:?}: mean {mean}");
            assert!((spread - variance).abs() <= 0.1 * variance, "{law:?}: variance {spread}, {variance} expected");
        }
    }
}
