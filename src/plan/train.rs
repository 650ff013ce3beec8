//! The plan of a training: flags with every default resolved, axes expanded and learning rates scaled.
//!
//! Not here: the data, and what depends on them ([`crate::train`]).

use super::axes::{self, Setting};
use super::{PlanError, refuse, scaling, short_hash, shown, tracked};
use crate::batch::{Augmentation, Sampling};
use crate::config::{
    Batch, EngineArgs, GridArgs, ModelSpec, ProblemArgs, Reference, RegimeSpec, Samples, Scaling, Track, TrainArgs,
};
use crate::data::DataSource;
use crate::delay::Schedule;
use crate::drift;
use crate::math::{Activation, Loss};
use crate::outer::{OuterLoop, Work, WorkShape};
use crate::problem::weights::WeightMap;
use crate::rule::regime::RegimeClock;
use crate::rule::{Locality, Rule};
use crate::stages::Stages;
use crate::text::counted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A training with nothing left open. The same plan on the same engine and adapter gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainPlan {
    // Names in run.json stay what they were, as committed folders are read by them.
    #[serde(rename = "task")]
    pub problem: TrainProblem,
    #[serde(rename = "course")]
    pub options: TrainOptions,
    /// Each is trained once with every seed.
    #[serde(rename = "arms")]
    pub groups: Vec<Group>,
    /// Seeds of starts, orders of minibatches and delays.
    pub seeds: Vec<u64>,
    #[serde(flatten)]
    pub engine: EngineArgs,
    /// Whether last weights are kept.
    pub save_weights: bool,
    /// Whether last second moments are kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub save_state: bool,
    /// Whether the draws of runs are written down.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trace_runs: bool,
    /// Rules under delay processes whose learning rate no scaling was asked for and theory knows no threshold of: they are trained
    /// without one. No part of the plan, whose groups say how each is scaled.
    #[serde(skip)]
    pub unscaled: BTreeSet<String>,
}

/// What is minimised, and from where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainProblem {
    pub data: DataSource,
    pub samples: Samples,
    /// Test samples; none for the whole test part, or a fifth of data without one.
    pub test: Option<usize>,
    pub model: ModelSpec,
    /// None where the model brings its own.
    pub activation: Option<Activation>,
    pub loss: Loss,
    pub weight_decay: f64,
    pub augmentation: Augmentation,
    pub seed_data: u64,
    /// A file with the weights that every run starts from.
    #[serde(serialize_with = "shown")]
    pub init: Option<PathBuf>,
    /// What that file calls the model's modules. No part of the plan: the weights as they were read are in its hash of data.
    #[serde(skip)]
    pub map: Option<WeightMap>,
}

/// What all runs share beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    pub epochs: u64,
    pub regime: RegimeSpec,
    /// Epochs.
    pub warm_up: u64,
    pub sampling: Sampling,
    /// Epochs from one evaluation to the next.
    pub evaluate_every: u64,
    pub sharpness: Option<SharpnessPlan>,
    /// The same under the second moment of the rules, always along the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioned: Option<SharpnessPlan>,
    /// Generalised sharpness of rules that take signs or move matrices as wholes, always along the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generalised: Option<SharpnessPlan>,
}

/// Samples over which lambda_max is computed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharpnessPlan {
    /// At most.
    pub samples: Samples,
    pub when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    AtTheEnd,
    /// At the start, every so many steps, a hundredth of the run where `None`, and at the end.
    Every(Option<u64>),
}

/// Everything of a run but its seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    pub rule: Rule,
    pub schedule: Schedule,
    /// As asked for; none for a process that brings its own delays.
    pub delay: Option<u32>,
    pub batch: Batch,
    #[serde(skip_serializing_if = "OuterLoop::is_plain")]
    pub outer: OuterLoop,
    /// Stages with delays of their own; the schedule is then that of the longest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// `none` wherever it changes nothing.
    pub scaling: Scaling,
    /// As asked for.
    pub lr: f64,
    /// As the rule takes it.
    pub lr_scaled: f64,
}

/// Scalings where --lr-scaling is not given; `preserve` where theory knows a threshold.
const USUAL_SCALINGS: [Scaling; 2] = [Scaling::None, Scaling::Preserve];

/// Looks of --track along a run, where no period is asked for.
const LOOKS: u64 = 100;

impl SharpnessPlan {
    /// Steps from one look to the next, in a run of so many; none where there is one at the end alone.
    pub fn every(&self, steps: u64) -> Option<u64> {
        match self.when {
            When::AtTheEnd => None,
            When::Every(period) => Some(period.unwrap_or((steps / LOOKS).max(1))),
        }
    }
}

impl TrainPlan {
    /// Resolves flags: the problem and the way of training from the first, groups from each.
    ///
    /// # Errors
    /// The first flag that is out of range, or contradicts another.
    ///
    /// # Panics
    /// Where `args` is empty.
    pub fn resolve(args: &[TrainArgs]) -> Result<Self, PlanError> {
        let first = args.first().expect("flags to resolve");
        first.engine.check()?;
        axes::once("--seeds", &first.seeds.0)?;
        let problem = TrainProblem::resolve(first)?;
        let mut plan = Self {
            options: TrainOptions::resolve(first)?,
            groups: Vec::new(),
            seeds: first.seeds.0.clone(),
            engine: first.engine.clone(),
            save_weights: first.save_weights,
            save_state: first.save_state,
            trace_runs: first.job.trace_runs,
            unscaled: BTreeSet::new(),
            problem,
        };
        for grid in args {
            let augmented = !plan.problem.augmentation.is_none();
            if augmented && grid.grid.batch.contains(&Batch::Full) {
                refuse!("--flip, --crop: a full batch holds the images as they are; accepted: with --batch NUMBER");
            }
            plan.groups.extend(groups(grid, &mut plan.unscaled)?);
            axes::few(
                "--rules, --momentum, --delays, --lr, --lr-scaling, --batch, --seeds",
                plan.groups.len().saturating_mul(plan.seeds.len()),
            )?;
        }
        if args.len() > 1 {
            // Within a grid each group is there once.
            let names: Vec<String> = plan.groups.iter().map(Group::name).collect();
            if let Some(name) = axes::first_repeated(&names) {
                refuse!("{name} stands in two grids; accepted: each group once");
            }
        }
        Ok(plan)
    }

    /// What a user should know who gave no --lr-scaling: for which rules one of the usual two is left out.
    pub fn told_of_scaling(&self) -> Option<String> {
        scaling::told_of_unscaled(&self.unscaled)
    }

    /// Short content hash of the plan.
    pub fn hash(&self) -> String {
        short_hash('p', self)
    }

    /// Short content hash of everything of a group's rows but the seed.
    pub fn group_id(&self, group: &Group) -> String {
        short_hash('g', &(&self.problem, &self.options, group))
    }

    /// Short content hash of everything of a run.
    pub fn run_id(&self, group: &Group, seed: u64) -> String {
        short_hash('r', &(&self.problem, &self.options, group, seed))
    }
}

impl TrainProblem {
    fn resolve(args: &TrainArgs) -> Result<Self, PlanError> {
        let problem = &args.problem;
        let ProblemArgs { samples, model, .. } = problem;
        let TrainArgs { flip, crop, .. } = args;
        if model.is_quadratic() {
            refuse!("--model {model}: it has no data to train on; accepted: mlp:WIDTHS, linear, a name, layers:...");
        }
        problem.check()?;
        Ok(Self {
            data: problem.data(),
            samples: samples.unwrap_or(Samples::All),
            test: args.test.map(|test| test as usize),
            model: model.clone(),
            activation: problem.activation(),
            loss: problem.loss(),
            weight_decay: problem.weight_decay(),
            augmentation: Augmentation { flip: *flip, crop: (*crop).into() },
            seed_data: args.grid.seed_data,
            init: args.init.clone(),
            map: args.map.clone(),
        })
    }
}

impl TrainOptions {
    fn resolve(args: &TrainArgs) -> Result<Self, PlanError> {
        let TrainArgs { epochs, regime, warm_up, evaluate_every, .. } = args;
        let after_warm_up = regime.clock() == Some(RegimeClock::WarmUp);
        if after_warm_up && (*warm_up == 0 || warm_up >= epochs) {
            refuse!(
                "--regime {regime}: beside --warm-up {warm_up} of {}; accepted: with a warm-up of at least 1 epoch that ends \
                 before the run",
                counted(*epochs, "epoch")
            );
        }
        let epochs_of_regime = if after_warm_up { epochs - warm_up } else { *epochs };
        if let RegimeSpec::Steps { after, .. } = regime
            && let Some(epoch) = after.iter().find(|epoch| **epoch >= epochs_of_regime)
        {
            refuse!(
                "--regime {regime}: nothing comes after epoch {epoch} of {epochs_of_regime}; accepted: epochs below \
                 {epochs_of_regime}"
            );
        }
        if warm_up > epochs {
            refuse!(
                "--warm-up {warm_up}: longer than the {} of a run; accepted: 0 to {epochs}",
                counted(*epochs, "epoch")
            );
        }
        axes::once("--track", &args.track)?;
        let along = When::Every(args.track_every);
        let when = if args.track.contains(&Track::Sharpness) { along } else { When::AtTheEnd };
        let sharpness = args.sharpness_samples().map(|samples| SharpnessPlan { samples, when });
        let preconditioned = args.preconditioned_samples().map(|samples| SharpnessPlan { samples, when: along });
        let generalised = args.generalised_samples().map(|samples| SharpnessPlan { samples, when: along });
        let (epochs, warm_up, sampling, evaluate_every) = (*epochs, *warm_up, args.grid.sampling, *evaluate_every);
        let regime = regime.clone();
        Ok(Self { epochs, regime, warm_up, sampling, evaluate_every, sharpness, preconditioned, generalised })
    }
}

/// Every combination, rule by rule, then by schedule, delay, batch, learning rate and scaling, in the order given.
/// Combinations that are the same training are there once. Rules and processes for which the usual scalings leave one out are added
/// to `unscaled`.
fn groups(args: &TrainArgs, unscaled: &mut BTreeSet<String>) -> Result<Vec<Group>, PlanError> {
    let GridArgs { momentum, dampening, batch, .. } = &args.grid;
    let grid = GridArgs { rules: args.rules(), ..args.grid.clone() };
    let rules = axes::rules(&axes::modified(&grid)?, momentum, dampening)?;
    let settings = axes::settings(&args.grid)?;
    let rates: Vec<f64> = args.lr.iter().flat_map(|rates| rates.0.clone()).collect();
    axes::once("--lr", &rates)?;
    axes::once("--lr-scaling", &args.lr_scaling)?;
    let scalings = if args.lr_scaling.is_empty() { &USUAL_SCALINGS } else { &args.lr_scaling[..] };
    // Where nothing asks for it, it is left out where theory does not know it.
    let is_usual = args.lr_scaling.is_empty() && args.lr_reference.is_none() && args.relative_variance.is_none();
    axes::once("--batch", batch)?;
    if args.lr_reference.is_some() && !scalings.contains(&Scaling::Preserve) {
        refuse!("--lr-reference: only one scaling asks for it; accepted: with --lr-scaling preserve");
    }
    if args.relative_variance.is_some() && !scalings.contains(&Scaling::Preserve) {
        refuse!("--relative-variance: only one scaling asks for it; accepted: with --lr-scaling preserve");
    }
    let reference = args.lr_reference.unwrap_or(Reference::Same);
    let noise = args.relative_variance;
    let outers = args.grid.outer.loops()?;
    let factors = [settings.len(), batch.len(), rates.len(), scalings.len(), outers.len()];
    let size = factors.iter().fold(rules.len(), |a, b| a.saturating_mul(*b));
    axes::few("--rules, --momentum, --delays, --schedule, --batch, --lr, --lr-scaling", size)?;
    let mut groups: Vec<Group> = Vec::new();
    for rule in &rules {
        if rule.definition().locality == Locality::ScalesWithHessian {
            refuse!("--rules {}: it needs the true Hessian, which no network tells", rule.name());
        }
        if args.track.contains(&Track::PreconditionedSharpness) {
            tracked::has_preconditioner(rule)?;
        }
        if args.track.contains(&Track::GeneralisedSharpness) {
            tracked::has_ball(rule)?;
        }
        if args.save_state {
            tracked::has_state(rule)?;
        }
        for Setting { schedule, delay, stages } in &settings {
            axes::suits(rule, schedule)?;
            for (batch, outer) in batch.iter().flat_map(|batch| outers.iter().map(move |outer| (*batch, *outer))) {
                axes::suits_outer(rule, schedule, *delay, &outer)?;
                axes::suits_stages(rule, &outer, stages.as_ref())?;
                let mut factors: Vec<(Scaling, f64)> = Vec::new();
                for scaling in scalings {
                    match scaling::factor(*scaling, rule, schedule, &outer, reference, noise) {
                        Ok(factor) => factors.push((*scaling, factor)),
                        Err(_) if is_usual => {
                            unscaled.insert(format!("{} under {} delays", rule.name(), schedule.name()));
                        }
                        Err(why) => return Err(why),
                    }
                }
                for lr in &rates {
                    let first = groups.len();
                    for (scaling, factor) in &factors {
                        let (rule, schedule, delay, lr) = (*rule, schedule.clone(), *delay, *lr);
                        let scaling = if *factor == 1.0 { Scaling::None } else { *scaling };
                        let (stages, lr_scaled) = (stages.clone(), lr * factor);
                        let group = Group { rule, schedule, delay, batch, outer, stages, scaling, lr, lr_scaled };
                        if !groups[first..].contains(&group) {
                            groups.push(group);
                        }
                    }
                }
            }
        }
    }
    Ok(groups)
}

impl Group {
    /// Describes the group for people; another group has another name.
    pub fn name(&self) -> String {
        let Self {
            rule: Rule { momentum, dampening, .. },
            schedule,
            delay,
            batch,
            outer,
            stages,
            scaling,
            lr,
            lr_scaled,
        } = self;
        let delay = delay.map_or(String::new(), |delay| format!(" at delay {delay}"));
        let scaled = match scaling {
            Scaling::None => String::new(),
            scaling => format!(" scaled to {lr_scaled} ({scaling})"),
        };
        format!(
            "{} with momentum {momentum} and dampening {dampening}, {}{delay}, batch {batch}, lr {lr}{scaled}{}{}",
            self.rule.name(),
            schedule.name(),
            outer.name(),
            stages.as_ref().map_or(String::new(), Stages::name)
        )
    }

    /// The gradients of its updates.
    pub fn work(&self) -> Work {
        self.outer.work(self.batch != Batch::Full, self.workers())
    }

    /// Where its gradients are taken, and how many stages go their own ways.
    pub fn work_shape(&self) -> WorkShape {
        let stages = self.stages.as_ref().map_or(1, Stages::count);
        self.work()
            .shape()
            .with_stages(stages, self.stages.as_ref().is_some_and(Stages::is_split))
            .with_matrices(self.rule.companion().is_some())
    }

    /// Workers of its delay process; slots where it has none.
    pub fn workers(&self) -> u32 {
        self.schedule.workers().unwrap_or(self.schedule.slots())
    }

    /// How far a constant gradient moves the weights for each gradient that arrives; none where that depends on its size;
    /// the mean over stages, where there are some.
    pub fn effective_lr(&self) -> Option<f64> {
        let factor = match &self.stages {
            None => drift::effective_factor(&self.rule, &self.schedule, 0)?,
            Some(stages) => drift::factor_of_stages(&self.rule, stages)?,
        };
        Some(self.lr_scaled * factor * self.outer.weight(self.workers()))
    }
}
