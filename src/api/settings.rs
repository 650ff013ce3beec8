//! Settings that the builders of sweeps and of trainings share, written once.
//!
//! Not here: settings of one of the two, and the checks, which are those of the plans ([`crate::plan`]).

/// Adds the shared methods to a builder with a field `args`, which has `problem`, `grid`, `engine` and `job`.
macro_rules! shared_settings {
    ($builder:ident) => {
        impl $builder {
            /// Sets the data set.
            pub fn data(mut self, data: $crate::data::DataSource) -> Self {
                self.args.problem.data = Some(data);
                self
            }

            /// Sets the number of training samples.
            pub fn samples(mut self, samples: usize) -> Self {
                self.args.problem.samples = Some($crate::config::Samples::Count(samples));
                self
            }

            /// Sets the model.
            pub fn model(mut self, model: $crate::config::ModelSpec) -> Self {
                self.args.problem.model = model;
                self
            }

            /// Sets the weight decay, which is part of the objective.
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.args.problem.weight_decay = Some(weight_decay);
                self
            }

            /// Sets the update rules: kinds, or kinds with a number of their own ([`RuleSpec`](crate::rule::RuleSpec)).
            pub fn rules<R: Into<$crate::rule::RuleSpec>>(mut self, rules: impl IntoIterator<Item = R>) -> Self {
                self.args.grid.rules = rules.into_iter().map(Into::into).collect();
                self
            }

            /// Sets the momenta of the rules that have one.
            pub fn momentum(mut self, momenta: impl IntoIterator<Item = f64>) -> Self {
                self.args.grid.momentum = vec![$crate::config::Momenta(momenta.into_iter().collect())];
                self
            }

            /// Sets the dampenings of the rules with momentum.
            pub fn dampening(mut self, dampenings: impl IntoIterator<Item = $crate::rule::Dampening>) -> Self {
                self.args.grid.dampening = dampenings.into_iter().collect();
                self
            }

            /// Sets the delays, in updates.
            pub fn delays(mut self, delays: impl IntoIterator<Item = usize>) -> Self {
                self.args.grid.delays = vec![$crate::config::Delays(delays.into_iter().collect())];
                self
            }

            /// Sets the delay processes.
            pub fn schedules(mut self, schedules: impl IntoIterator<Item = $crate::delay::ScheduleSpec>) -> Self {
                self.args.grid.schedule = schedules.into_iter().collect();
                self
            }

            /// Sets the numbers of samples per gradient.
            pub fn batches(mut self, batches: impl IntoIterator<Item = $crate::config::Batch>) -> Self {
                self.args.grid.batch = batches.into_iter().collect();
                self
            }

            /// Makes the rules those of an outer loop: every worker makes one of these numbers of local steps with one of these
            /// learning rates, and sends how far it came.
            pub fn local_steps(
                mut self,
                steps: impl IntoIterator<Item = u32>,
                learning_rates: impl IntoIterator<Item = f64>,
            ) -> Self {
                self.args.grid.outer.local_steps = steps.into_iter().collect();
                self.args.grid.outer.local_lr = vec![$crate::config::Rates(learning_rates.into_iter().collect())];
                self
            }

            /// Sets how many workers read together, whose mean is one update.
            pub fn replicas(mut self, replicas: impl IntoIterator<Item = u32>) -> Self {
                self.args.grid.outer.replicas = replicas.into_iter().collect();
                self
            }

            /// Sets the shares of an applied gradient that are taken at the newest weights.
            pub fn fresh_shares(mut self, shares: impl IntoIterator<Item = f64>) -> Self {
                self.args.grid.outer.fresh_share = shares.into_iter().collect();
                self
            }

            /// Sets the engine.
            pub fn engine(mut self, engine: $crate::config::EngineChoice) -> Self {
                self.args.engine.choice = engine;
                self
            }

            /// Sets the precision of the CPU engine.
            pub fn precision(mut self, precision: $crate::config::Precision) -> Self {
                self.args.engine.precision = precision;
                self
            }

            /// Continues an unfinished folder, where there is one ([`write`]($builder)).
            pub fn resume(mut self, resume: bool) -> Self {
                self.args.job.resume = resume;
                self
            }

            /// Checks what the command line's parser would have checked.
            fn check(&self) -> Result<(), $crate::plan::PlanError> {
                $crate::api::settings::check(&self.args.grid)
            }
        }
    };
}
pub(super) use shared_settings;

use crate::config::GridArgs;
use crate::plan::PlanError;
use crate::theory::LONGEST_DELAY;

/// Checks numbers that the command line refuses while it parses them.
///
/// # Errors
/// An axis without a value, and a number out of its range.
pub(super) fn check(grid: &GridArgs) -> Result<(), PlanError> {
    let momenta = grid.momentum.iter().flat_map(|momenta| &momenta.0);
    if let Some(momentum) = momenta.copied().find(|momentum| !(0.0..1.0).contains(momentum)) {
        return Err(format!("momentum {momentum}: accepted: numbers from 0 to below 1").into());
    }
    let mut delays = grid.delays.iter().flat_map(|delays| &delays.0);
    if let Some(delay) = delays.clone().find(|delay| **delay > LONGEST_DELAY) {
        return Err(format!("delays: {delay}: accepted: whole numbers up to {LONGEST_DELAY}").into());
    }
    let empty = [
        ("rules", grid.rules.is_empty()),
        ("delays", delays.next().is_none()),
        ("schedules", grid.schedule.is_empty()),
        ("batches", grid.batch.is_empty()),
    ];
    match empty.into_iter().find(|(_, empty)| *empty) {
        Some((axis, _)) => Err(format!("{axis}: none is given; accepted: at least one").into()),
        None => Ok(()),
    }
}
