//! The curvatures at the minimum of a finished folder of thresholds or rates, as whoever tunes to them needs them.
//!
//! Not here: what is made of them ([`crate::theory::tuning`]).

use super::MINIMUM;
use crate::curvature::{Bulk, bulk};
use crate::plan::SweepProblem;
use crate::problem::Problem;
use crate::problem::network::FullBatch;
use crate::problem::weights::{self, Wanted};
use crate::session::{JobName, RunFile};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Share of the trace of the Hessian that directions hold which matter.
pub const BULK: f64 = 0.99;

/// The extreme curvatures that a folder's run.json tells.
#[derive(Clone, Debug)]
pub struct MeasuredSpectrum {
    dir: PathBuf,
    problem: Value,
    pub largest: f64,
    /// Where it is positive beyond its residual.
    pub smallest: Option<f64>,
}

impl MeasuredSpectrum {
    /// Reads the curvatures of a folder.
    ///
    /// # Errors
    /// Where there is no finished folder with a minimum.
    pub fn read(dir: &Path) -> Result<Self> {
        let shown = dir.display();
        let accepted = "accepted: the folder of a finished `tauscope sweep`";
        let run = RunFile::read(dir).map_err(|error| anyhow!("--folder {shown}: {error:#}; {accepted}"))?;
        let minimum = run.facts.get("minimum").filter(|_| run.job != JobName::Training);
        let number = |name: &str, part: &str| minimum.and_then(|minimum| minimum[name][part].as_f64());
        let (Some(largest), Some(smallest)) = (number("lambda_max", "value"), number("lambda_min", "value")) else {
            bail!("--folder {shown}: its run.json tells no curvatures of a minimum; {accepted}");
        };
        let residual = number("lambda_min", "residual").unwrap_or(0.0);
        let smallest = (smallest > 2.0 * residual).then_some(smallest);
        Ok(Self { dir: dir.into(), problem: run.plan["problem"].clone(), largest, smallest })
    }

    /// The curvature above which directions hold [`BULK`] of the trace beyond weight decay, by stochastic Lanczos at the folder's minimum; and
    /// the weight decay.
    ///
    /// # Errors
    /// Where the data or the weights cannot be had any more, or the Hessian is not finite.
    pub fn bulk(&self) -> Result<(Bulk, f64)> {
        let cannot = || {
            format!(
                "--folder {}: its problem cannot be made again for the smallest curvature that matters; accepted: with --condition",
                self.dir.display()
            )
        };
        let problem: SweepProblem = serde_json::from_value(self.problem.clone()).with_context(cannot)?;
        let problem = problem.build().with_context(cannot)?;
        let decay = match &problem {
            Problem::Network(network) => network.weight_decay,
            Problem::Quadratic(_) | Problem::Dense(_) => 0.0,
        };
        let found = match &problem {
            Problem::Quadratic(quadratic) => {
                let eigenvalues = &quadratic.eigenvalues;
                let product = |v: &[f64], hv: &mut [f64]| (0..v.len()).for_each(|i| hv[i] = eigenvalues[i] * v[i]);
                bulk(eigenvalues.len(), BULK, decay, product)
            }
            Problem::Dense(quadratic) => {
                bulk(quadratic.dimension(), BULK, decay, |v, hv| quadratic.hessian_product(v, hv))
            }
            Problem::Network(network) => {
                let loaded = weights::load(&problem, &self.dir.join(MINIMUM), None, Wanted::Parameters);
                let at = loaded.with_context(cannot)?.parameters;
                let mut batch = FullBatch::new(network);
                bulk(network.dimension(), BULK, decay, |v, hv| batch.hessian_product(&at, v, hv))
            }
        };
        let found = found.with_context(|| {
            format!(
                "--folder {}: the Hessian at its minimum is not finite, or flat but for weight decay",
                self.dir.display()
            )
        })?;
        Ok((found, decay))
    }
}
