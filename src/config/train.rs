//! The flags of `tauscope train`, as typed.

use super::{
    EngineArgs, GridArgs, JobArgs, ProblemArgs, Rates, Reference, RegimeSpec, Samples, Scaling, Seeds, non_negative,
};
use crate::batch::MOST_CROP;
use crate::delay::ScheduleSpec;
use crate::problem::weights::WeightMap;
use crate::rule::{self, RuleKind, RuleSpec};
use clap::builder::Resettable;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Samples that lambda_max is taken of where none are asked for.
const SHARPNESS_SAMPLES: &str = "1000";

/// Delays, in updates, and learning rate where none are given.
const USUAL_DELAYS: &str = "0,31";
const USUAL_LR: &str = "0.1";

fn joined<T: ToString>(numbers: impl Iterator<Item = T>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

fn rules_help() -> String {
    let default = "sgd; sgd,mixing where momenta, delays, learning rates and schedule are the usual ones too";
    format!("Update rules, those with a number as NAME or NAME:NUMBER [default: {default}]\n{}", rule::help())
}

/// Flags of `tauscope train`. Lists are separated by commas; every combination of them is trained.
#[derive(Clone, Debug, Args)]
#[command(
    mut_arg("samples", |arg| arg.default_value("all")),
    mut_arg("model", |arg| arg.default_value("mlp:64")),
    mut_arg("weight_decay", |arg| arg.default_value("0.0005")),
    mut_arg("rules", |arg| arg.default_value(Resettable::Reset).help(rules_help())),
    mut_arg("delays", |arg| arg.default_value(USUAL_DELAYS)),
    mut_arg("batch", |arg| arg.default_value("128"))
)]
pub struct TrainArgs {
    #[command(flatten)]
    pub problem: ProblemArgs,
    /// How many test samples [default: the whole test part; a fifth of data without one]
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Problem")]
    pub test: Option<u64>,
    /// Mirror every second image of a minibatch
    #[arg(long, help_heading = "Problem")]
    pub flip: bool,
    /// Shift the images of minibatches by up to this many pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=MOST_CROP as i64), help_heading = "Problem")]
    pub crop: u8,
    /// Start from the weights of a file of safetensors or of PyTorch's torch.save, whatever the seed
    #[arg(long, value_name = "FILE", help_heading = "Problem")]
    pub init: Option<PathBuf>,
    /// What the file of --init calls the model's modules, as fc1=0,fc2=2, where names and shapes leave a doubt
    #[arg(long, value_name = "NAME=NAME,...", requires = "init", help_heading = "Problem")]
    pub map: Option<WeightMap>,

    #[command(flatten)]
    pub grid: GridArgs,
    /// Learning rates of synchronous training: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        default_value = USUAL_LR,
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub lr: Vec<Rates>,
    /// What a delay makes of the learning rate [default: none, and preserve where theory knows a threshold]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, help_heading = "Grid")]
    pub lr_scaling: Vec<Scaling>,
    /// What --lr is the synchronous learning rate of, for the scaling 'preserve' [default: same]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Grid")]
    pub lr_reference: Option<Reference>,
    /// Variance of the curvature that a minibatch sees, relative to its mean squared, which the scaling 'preserve' then takes
    /// into account (in mean square) beside the randomness of delays
    #[arg(
        long,
        value_name = "R",
        allow_negative_numbers = true,
        value_parser = non_negative,
        help_heading = "Grid"
    )]
    pub relative_variance: Option<f64>,
    /// Seeds of start, order of minibatches and delays: a number of them (from 0), a range like 0..10, or a list like 1,5,9
    #[arg(long, default_value = "3", allow_negative_numbers = true, help_heading = "Grid")]
    pub seeds: Seeds,

    /// How often the data are gone through; an epoch of full batches is one step
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1 << 32), help_heading = "Training")]
    pub epochs: u64,
    /// How the learning rate goes: constant, steps:FACTOR@EPOCH/EPOCH/..., cosine (to 0 at the end). Its epochs count from
    /// the start, also during a warm-up; with :after-warm-up behind it they count from the end of the warm-up, as with
    /// PyTorch's SequentialLR
    #[arg(long, default_value = "constant", help_heading = "Training")]
    pub regime: RegimeSpec,
    /// Epochs in which the learning rate rises to what it is
    #[arg(long, value_name = "EPOCHS", default_value_t = 0, help_heading = "Training")]
    pub warm_up: u64,
    /// Look at all training and test samples every so many epochs, and at the end
    #[arg(long, value_name = "EPOCHS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Training")]
    pub evaluate_every: u64,
    /// Largest Hessian eigenvalue of the objective at the end, over so many training samples, or all where there are fewer:
    /// a number or 'all' [default: 1000]
    #[arg(long, value_name = "SAMPLES", num_args = 0..=1, default_missing_value = SHARPNESS_SAMPLES, help_heading = "Training")]
    pub sharpness: Option<Samples>,
    /// What to follow along the training: sharpness, the eigenvalue of --sharpness; preconditioned-sharpness, the same of the
    /// Hessian that the second moment of adam, adamw, nadam or nadamw has divided; generalised-sharpness, the largest curvature
    /// over the directions in which lion, signum or muon can step, between a lower and an upper bound
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', num_args = 1, help_heading = "Training")]
    pub track: Vec<Track>,
    /// Steps between two looks of --track [default: a hundredth of the run]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..), requires = "track", help_heading = "Training")]
    pub track_every: Option<u64>,

    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub job: JobArgs,
    /// Keep the last weights of every run that did not diverge, as weights/RUN_ID.safetensors
    #[arg(long, help_heading = "Output")]
    pub save_weights: bool,
    /// Keep the last second moments of every run that did not diverge, with bias correction, as state/RUN_ID.safetensors: what
    /// --preconditioner of `tauscope sweep` reads. For adam, adamw, nadam and nadamw; other rules, which divide by no second moment of
    /// the server's, are refused
    #[arg(long, help_heading = "Output")]
    pub save_state: bool,
}

/// `--track`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Track {
    Sharpness,
    PreconditionedSharpness,
    GeneralisedSharpness,
}

impl TrainArgs {
    /// The rules that are trained. Where the whole grid is the usual one a remedy stands beside plain descent: what delay does to a recipe
    /// is half of the answer.
    pub fn rules(&self) -> Vec<RuleSpec> {
        let GridArgs { rules, momentum, dampening, eps, extrapolate, clip, muon_adam_lr, .. } = &self.grid;
        let GridArgs { delays, schedule, outer, stage, .. } = &self.grid;
        if !rules.is_empty() {
            return rules.clone();
        }
        let numbers = [eps, extrapolate, clip, muon_adam_lr];
        let is_usual = momentum.is_empty()
            && dampening.is_empty()
            && numbers.iter().all(|numbers| numbers.is_empty())
            && joined(delays.iter().flat_map(|delays| &delays.0)) == USUAL_DELAYS
            && joined(self.lr.iter().flat_map(|rates| &rates.0)) == USUAL_LR
            && matches!(schedule[..], [ScheduleSpec::RoundRobin(_)])
            && outer.local_steps.is_empty()
            && stage.stages.is_empty()
            && self.lr_scaling.is_empty()
            && self.lr_reference.is_none()
            && self.relative_variance.is_none();
        let kinds = if is_usual { &[RuleKind::Sgd, RuleKind::Mixing][..] } else { &[RuleKind::Sgd] };
        kinds.iter().map(|kind| RuleSpec::from(*kind)).collect()
    }

    /// Samples that lambda_max is taken of, where it is asked for.
    pub fn sharpness_samples(&self) -> Option<Samples> {
        self.sharpness.or_else(|| self.track.contains(&Track::Sharpness).then(usual_samples))
    }

    /// Samples that lambda_max under the second moment is taken of, where it is asked for.
    pub fn preconditioned_samples(&self) -> Option<Samples> {
        self.track.contains(&Track::PreconditionedSharpness).then(|| self.sharpness.unwrap_or_else(usual_samples))
    }

    /// Samples that generalised sharpness is taken of, where it is asked for.
    pub fn generalised_samples(&self) -> Option<Samples> {
        self.track.contains(&Track::GeneralisedSharpness).then(|| self.sharpness.unwrap_or_else(usual_samples))
    }
}

fn usual_samples() -> Samples {
    SHARPNESS_SAMPLES.parse().expect("a number of samples")
}
