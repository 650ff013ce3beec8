//! The flags of `tauscope train`, as typed.

use super::{
    Batch, Delays, EngineChoice, ModelSpec, Momenta, Precision, Rates, Reference, RegimeSpec, Samples, Scaling,
    ScheduleSpec, Seeds,
};
use crate::batch::{MOST_CROP, Sampling};
use crate::data::DataSource;
use crate::math::{Activation, Loss};
use crate::rule::{self, Dampening, RuleSpec};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Samples that lambda_max is taken of where none are asked for.
const SHARPNESS_SAMPLES: &str = "1000";

/// Flags of `tauscope train`. Lists are separated by commas; every combination of them is trained.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// digits; mnist, fashion-mnist, cifar10 or cifar100, with :DIR for where the files are (else below $DATASETS);
    /// npz:FILE (arrays x and y, x_test and y_test); synthetic:clusters or synthetic:teacher, with options like
    /// :classes=10:shape=3x32x32:samples=4096
    #[arg(long, value_name = "DATA", default_value_t = DataSource::Digits, help_heading = "Problem")]
    pub data: DataSource,
    /// How many training samples, chosen by --seed-data: a number or 'all'
    #[arg(long, default_value = "all", help_heading = "Problem")]
    pub samples: Samples,
    /// How many test samples [default: the whole test part; a fifth of data without one]
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Problem")]
    pub test: Option<u64>,
    /// mlp:WIDTH-WIDTH-..., linear, lenet, cifar-shallow, vgg11, vgg11-bn, resnet20, or layers:LAYER,LAYER,...
    #[arg(long, default_value = "mlp:64", help_heading = "Problem")]
    pub model: ModelSpec,
    /// Of mlp models
    #[arg(long, value_enum, default_value_t = Activation::Tanh, help_heading = "Problem")]
    pub activation: Activation,
    /// ce: cross-entropy; mse: mean over samples of 1/2 ||f - onehot||^2
    #[arg(long, value_enum, default_value_t = Loss::Ce, help_heading = "Problem")]
    pub loss: Loss,
    /// L2 weight decay on every parameter, part of the objective
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true, help_heading = "Problem")]
    pub weight_decay: f64,
    /// Mirror every second image of a minibatch
    #[arg(long, help_heading = "Problem")]
    pub flip: bool,
    /// Shift the images of minibatches by up to this many pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=MOST_CROP as i64), help_heading = "Problem")]
    pub crop: u8,
    /// Start from the weights of a safetensors file with PyTorch's names, whatever the seed
    #[arg(long, value_name = "FILE", help_heading = "Problem")]
    pub init: Option<PathBuf>,

    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "RULE", help_heading = "Grid", help = rules_help())]
    pub rules: Vec<RuleSpec>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT [default: each
    /// rule's own]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules with momentum: numbers, or 'ema' (equal to the momentum) [default: each rule's own]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub dampening: Vec<Dampening>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 0,31]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub delays: Vec<Delays>,
    /// Delay processes, as of `tauscope sweep`
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "round-robin", help_heading = "Grid")]
    pub schedule: Vec<ScheduleSpec>,
    /// Learning rates of synchronous training: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        default_value = "0.1",
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub lr: Vec<Rates>,
    /// What a delay makes of the learning rate
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        num_args = 1,
        default_value = "none,preserve",
        help_heading = "Grid"
    )]
    pub lr_scaling: Vec<Scaling>,
    /// What --lr is the synchronous learning rate of, for the scaling 'preserve' [default: same]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Grid")]
    pub lr_reference: Option<Reference>,
    /// Samples per gradient: numbers, or 'full'
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "128", help_heading = "Grid")]
    pub batch: Vec<Batch>,
    /// How minibatches are drawn
    #[arg(long, value_enum, default_value_t = Sampling::Epochs, help_heading = "Grid")]
    pub sampling: Sampling,
    /// Seeds of start, order of minibatches and delays: a number of them (from 0), a range like 0..10, or a list like 1,5,9
    #[arg(long, default_value = "3", allow_negative_numbers = true, help_heading = "Grid")]
    pub seeds: Seeds,
    /// Chooses the samples, the same for all runs
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_data: u64,

    /// How often the data are gone through; an epoch of full batches is one step
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1 << 32), help_heading = "Training")]
    pub epochs: u64,
    /// How the learning rate goes: constant, steps:FACTOR@EPOCH/EPOCH/..., cosine (to 0 at the end)
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
    /// What to follow along the training: sharpness, the eigenvalue of --sharpness
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Training")]
    pub track: Option<Track>,
    /// Steps between two looks of --track [default: a hundredth of the run]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..), requires = "track", help_heading = "Training")]
    pub track_every: Option<u64>,
    /// auto takes a hardware GPU, else the CPU, and says which; gpu takes any adapter, a software one too
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto, help_heading = "Training")]
    pub engine: EngineChoice,
    /// Part of the name of the adapter to use
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub adapter: Option<String>,
    /// f64 on the CPU only
    #[arg(long, value_enum, default_value_t = Precision::F32, help_heading = "Training")]
    pub precision: Precision,

    /// Results folder; must not exist [default: tauscope-DATE-TIME]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the results folder if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Keep the last weights of every run that did not diverge, as weights/RUN_ID.safetensors
    #[arg(long, help_heading = "Output")]
    pub save_weights: bool,
    /// Print runs, waves and memory, and stop; with --json the resolved plan too
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Write events to stdout instead of the table, one JSON object a line: start, run (with its row), progress, end
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress, no table
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
}

/// `--track`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Track {
    Sharpness,
}

impl TrainArgs {
    /// Samples that lambda_max is taken of, where it is asked for.
    pub fn sharpness_samples(&self) -> Option<Samples> {
        let usual = || SHARPNESS_SAMPLES.parse().expect("a number of samples");
        self.sharpness.or_else(|| self.track.map(|Track::Sharpness| usual()))
    }
}

fn rules_help() -> String {
    format!("Update rules, those with a number as NAME or NAME:NUMBER [default: sgd]\n{}", rule::help())
}
