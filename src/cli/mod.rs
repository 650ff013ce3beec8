//! The command line: what may be typed. What it means is resolved in [`crate::plan`].

mod axis;
mod spec;

use crate::command;
use crate::kernels::activation::Activation;
use crate::kernels::loss::Loss;
use crate::plan::GRADIENT_TOLERANCE;
use crate::problem::data::DataSource;
use crate::rule::RuleKind;
use crate::schedule::Schedule;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub use axis::{Dampening, Delays, Momenta, NamedPmf, non_negative, positive};
pub use spec::{Batch, ModelSpec, Samples};

/// What learning rate and momentum keep a minimum reachable when gradients arrive late? Answers by measurement.
#[derive(Debug, Parser)]
#[command(name = "tauscope", version, about, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure stability thresholds beside the theory's prediction (the main job)
    Sweep(Box<SweepArgs>),
    /// Print closed-form thresholds as CSV
    Theory(command::theory::Args),
    /// What to run at another delay, given a recipe that works
    Advise(command::advise::Args),
    /// Redraw the pictures of a results folder from its CSV
    Plot(command::plot::Args),
    /// List adapters, their limits and features
    Devices {
        /// Write JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `tauscope sweep`. Lists are separated by commas.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// Data to train on
    #[arg(long, value_enum, default_value_t = DataSource::Digits, help_heading = "Problem")]
    pub data: DataSource,
    /// How many samples, chosen by --seed-data: a number or 'all'
    #[arg(long, default_value = "512", help_heading = "Problem")]
    pub samples: Samples,
    /// mlp:WIDTH-WIDTH-..., linear, or quadratic:EIGENVALUE,EIGENVALUE,... (of its Hessian; needs no data)
    #[arg(long, default_value = "mlp:16", help_heading = "Problem")]
    pub model: ModelSpec,
    #[arg(long, value_enum, default_value_t = Activation::Tanh, help_heading = "Problem")]
    pub activation: Activation,
    /// ce: cross-entropy; mse: mean over samples of 1/2 ||f - onehot||^2
    #[arg(long, value_enum, default_value_t = Loss::Ce, help_heading = "Problem")]
    pub loss: Loss,
    /// L2 weight decay on every parameter, part of the objective
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true, help_heading = "Problem")]
    pub weight_decay: f64,
    /// Load the minimum from a safetensors file with PyTorch's names instead of training to one
    #[arg(long, value_name = "FILE", help_heading = "Problem")]
    pub minimum: Option<PathBuf>,
    /// Largest |gradient entry| (full batch, f64) that counts as zero
    #[arg(long, default_value_t = GRADIENT_TOLERANCE, allow_negative_numbers = true, help_heading = "Problem")]
    pub gradient_tolerance: f64,

    /// Update rules [default: sgd,heavy-ball,shifted]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, help_heading = "Grid")]
    pub rules: Vec<RuleKind>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT [default: 0.9]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules with momentum: numbers, or 'ema' (equal to the momentum) [default: 0,ema for heavy-ball, 0
    /// for nesterov, ema for shifted]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub dampening: Vec<Dampening>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 0,1,2,4,8,16,32]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub delays: Vec<Delays>,
    /// Delay process
    #[arg(long, value_enum, default_value_t = ScheduleName::RoundRobin, help_heading = "Grid")]
    pub schedule: ScheduleName,
    /// Samples per gradient: a number or 'full'
    #[arg(long, default_value = "full", help_heading = "Grid")]
    pub batch: Batch,
    /// Chooses the samples
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_data: u64,
    /// Orders the minibatches
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_order: u64,
    /// Draws the initial weights and the displacement from the minimum
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_init: u64,

    /// Relative width of a bracket [lr_stable, lr_unstable] at which a cell is done
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true, help_heading = "Measurement")]
    pub tolerance: f64,
    /// Steps after which a run is given up, in units of delay + 1 [default: 16384; 1024 with minibatches, where a run that
    /// has not escaped by then counts as stable]
    #[arg(long, value_parser = clap::value_parser!(u64).range(64..=1 << 32), help_heading = "Measurement")]
    pub horizon: Option<u64>,
    /// auto takes a hardware GPU, else the CPU, and says which; gpu takes any adapter, a software one too
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto, help_heading = "Measurement")]
    pub engine: EngineChoice,
    /// Part of the name of the adapter to use
    #[arg(long, value_name = "NAME", help_heading = "Measurement")]
    pub adapter: Option<String>,
    /// f64 on the CPU only
    #[arg(long, value_enum, default_value_t = Precision::F32, help_heading = "Measurement")]
    pub precision: Precision,

    /// Results folder; must not exist [default: tauscope-<date>-<time>]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the results folder if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Continue the unfinished sweep of --out
    #[arg(long, requires = "out", conflicts_with = "force", help_heading = "Output")]
    pub resume: bool,
    /// Print the resolved plan as JSON and stop
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Write one JSON object per cell to stdout instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress, no table
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
}

/// `--schedule`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// delay + 1 workers report in turn: a fixed delay
    RoundRobin,
}

impl ScheduleName {
    pub fn with_delay(self, delay: u32) -> Schedule {
        match self {
            Self::RoundRobin => Schedule::RoundRobin { delay },
        }
    }
}

/// `--engine`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    Auto,
    Cpu,
    Gpu,
}

/// `--precision`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    F32,
    F64,
}
