//! Training from scratch under delay, for programs.

use super::settings::shared_settings;
use super::{defaults, quiet};
use crate::config::{JobArgs, Rates, Scaling, Seeds, TrainArgs};
use crate::plan::{PlanError, TrainPlan};
use crate::plot;
use crate::rule::RuleKind;
use crate::session::Session;
use crate::table::SummaryRow;
use crate::train::TrainJob;
use anyhow::Result;
use std::path::Path;

/// Trains every run of a grid from scratch: rules x delays x learning rates x scalings x batches x seeds.
///
/// ```
/// use tauscope::{RuleKind, Scaling, Train};
///
/// let folder = tempfile::tempdir()?;
/// let groups = Train::builder()
///     .samples(200)
///     .model("mlp:4".parse().unwrap())
///     .rules([RuleKind::Sgd])
///     .delays([0, 3])
///     .learning_rates([0.1])
///     .scalings([Scaling::Preserve])
///     .seeds([0, 1])
///     .epochs(2)
///     .build()?
///     .write(&folder.path().join("out"))?;
/// // One row for each group of runs that differ in their seed alone.
/// assert_eq!(groups.len(), 2);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Train {
    plan: TrainPlan,
    job: JobArgs,
}

/// Settings of a [`Train`], by default those of `tauscope train --rules sgd`.
#[derive(Clone, Debug)]
pub struct TrainBuilder {
    args: TrainArgs,
}

impl Train {
    /// Returns the settings of a training, to be changed and then [built](TrainBuilder::build).
    pub fn builder() -> TrainBuilder {
        let mut args: TrainArgs = defaults();
        args.grid.rules = vec![RuleKind::Sgd.into()];
        TrainBuilder { args }
    }

    /// Trains every run into the results folder `out`, as `tauscope train --out` does, and returns a row for each group of
    /// runs that differ in their seed alone. A run that diverges is a result. An interrupted training can be
    /// [resumed](TrainBuilder::resume).
    ///
    /// # Errors
    /// Where the data cannot be loaded, the engine cannot be opened, its device fails, or the folder exists or cannot be
    /// written.
    pub fn write(&self, out: &Path) -> Result<Vec<SummaryRow>> {
        let mut session = Session::begin(&self.plan.engine, &quiet(&self.job, out))?;
        let job = TrainJob::prepare(self.plan.clone(), self.job.checkpoint_every.0, session.engine())?;
        Ok(session.run(&job, &|_, dir| plot::training(dir, plot::Theme::Light).map(drop))?.summary)
    }
}

shared_settings!(TrainBuilder);

impl TrainBuilder {
    /// Sets the learning rates of synchronous training.
    pub fn learning_rates(mut self, rates: impl IntoIterator<Item = f64>) -> Self {
        self.args.lr = vec![Rates(rates.into_iter().collect())];
        self
    }

    /// Sets what a delay makes of the learning rate.
    pub fn scalings(mut self, scalings: impl IntoIterator<Item = Scaling>) -> Self {
        self.args.lr_scaling = scalings.into_iter().collect();
        self
    }

    /// Sets the seeds of start, order of minibatches and delays.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.args.seeds = Seeds(seeds.into_iter().collect());
        self
    }

    /// Sets the number of passes through the data.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.args.epochs = epochs;
        self
    }

    /// Resolves the settings.
    ///
    /// # Errors
    /// The first setting that is out of range or contradicts another.
    ///
    /// ```
    /// let refused = tauscope::Train::builder().epochs(0).build().unwrap_err();
    /// assert_eq!(refused.to_string(), "epochs 0: accepted: at least 1");
    /// ```
    pub fn build(self) -> Result<Train, PlanError> {
        self.check()?;
        let args = self.args;
        let rates = args.lr.iter().flat_map(|rates| &rates.0);
        if let Some(rate) = rates.copied().find(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(format!("learning rate {rate}: accepted: numbers above 0").into());
        }
        if args.epochs == 0 {
            return Err("epochs 0: accepted: at least 1".to_owned().into());
        }
        if args.seeds.0.is_empty() {
            return Err("seeds: none is given; accepted: at least one".to_owned().into());
        }
        Ok(Train { plan: TrainPlan::resolve(std::slice::from_ref(&args))?, job: args.job })
    }
}
