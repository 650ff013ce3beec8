//! The flags of `tauscope sweep`, as typed.

use super::{Batch, Dampening, Delays, EngineChoice, ModelSpec, Momenta, Precision, Samples, ScheduleName};
use crate::kernels::activation::Activation;
use crate::kernels::loss::Loss;
use crate::minimum;
use crate::problem::data::DataSource;
use crate::rule::RuleKind;
use crate::shard::ShardFlag;
use clap::Args;
use std::path::PathBuf;

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
    #[arg(long, default_value_t = minimum::GRADIENT_TOLERANCE, allow_negative_numbers = true, help_heading = "Problem")]
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

    /// Results folder; must not exist [default: tauscope-DATE-TIME]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the results folder if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Continue the unfinished sweep of --out
    #[arg(long, requires = "out", conflicts_with = "force", help_heading = "Output")]
    pub resume: bool,
    /// Measure only this part of the cells: I/N, or env (env/N) in a Slurm job array or a Kubernetes Indexed Job; `tauscope
    /// merge` puts the parts together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub shard: Option<ShardFlag>,
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
