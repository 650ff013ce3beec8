//! The flags of `tauscope sweep`, as typed.

use super::{Batch, Delays, EngineChoice, ModelSpec, Momenta, Precision, Samples, ScheduleSpec};
use crate::batch::Sampling;
use crate::data::DataSource;
use crate::math::{Activation, Loss};
use crate::minimum;
use crate::rule::{self, Dampening, RuleSpec};
use crate::session::shard::ShardFlag;
use crate::threshold::Criterion;
use clap::Args;
use std::path::PathBuf;

/// Flags of `tauscope sweep`. Lists are separated by commas.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("place").args(["out", "plan"]).multiple(true))]
pub struct SweepArgs {
    /// A TOML file with any of these flags as keys, and grids, zips and single cells of them; `tauscope init` writes an
    /// example. Flags on the command line win over the file
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,

    /// digits; mnist, fashion-mnist, cifar10 or cifar100, with :DIR for where the files are (else below $DATASETS);
    /// npz:FILE (arrays x and y); synthetic:clusters or synthetic:teacher, with options like
    /// :classes=10:shape=3x32x32:samples=4096
    #[arg(long, value_name = "DATA", default_value_t = DataSource::Digits, help_heading = "Problem")]
    pub data: DataSource,
    /// How many samples, chosen by --seed-data: a number or 'all'
    #[arg(long, default_value = "512", help_heading = "Problem")]
    pub samples: Samples,
    /// mlp:WIDTH-WIDTH-..., linear, quadratic:EIGENVALUE,EIGENVALUE,... (of its Hessian; needs no data), layers:LAYER,LAYER,...
    /// or a name (see `tauscope train`); where layers have kinks a minimum may not be found
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

    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "RULE", help_heading = "Grid", help = rules_help())]
    pub rules: Vec<RuleSpec>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT [default: each
    /// rule's own]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules with momentum: numbers, or 'ema' (equal to the momentum) [default: each rule's own]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub dampening: Vec<Dampening>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 0,1,2,4,8,16,32]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub delays: Vec<Delays>,
    /// Delay processes of mean delay DELAY (DELAY + 1 workers): round-robin (always the same), random (a uniformly random
    /// worker), normal (by the age of its weights), workers:LAW (constant, exponential, lognormal:shape=S, pareto:shape=S
    /// service times, with :spread=S or :means=1/2/4 for unequal workers), each of these with :cap=C (bounded staleness),
    /// hybrid:N (N workers in DELAY + 1 groups), iid:geometric, iid:uniform; or with delays of their own: iid:FILE,
    /// trace:FILE
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "round-robin", help_heading = "Grid")]
    pub schedule: Vec<ScheduleSpec>,
    /// Samples per gradient: numbers, or 'full'
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "full", help_heading = "Grid")]
    pub batch: Vec<Batch>,
    /// In which sense a run must stay [default: mean without randomness, else mean-square; escape for adam, adamw, lion]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, help_heading = "Grid")]
    pub criterion: Vec<Criterion>,
    /// How minibatches are drawn
    #[arg(long, value_enum, default_value_t = Sampling::Epochs, help_heading = "Grid")]
    pub sampling: Sampling,
    /// Chooses the samples
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_data: u64,
    /// Orders the minibatches and draws the delays
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_order: u64,
    /// Draws the initial weights and the displacement from the minimum
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_init: u64,

    /// Relative width of a bracket [lr_stable, lr_unstable] at which a cell is done [default: 0.01; 0.03 for mean-square and
    /// almost-sure]
    #[arg(long, allow_negative_numbers = true, help_heading = "Measurement")]
    pub tolerance: Option<f64>,
    /// Steps after which a run is given up, in units of delay + 1 [default: 16384 for mean, 8192 for mean-square and
    /// almost-sure; 1024 for escape, where a run that has not escaped by then counts as stable]
    #[arg(long, value_parser = clap::value_parser!(u64).range(64..=1 << 32), help_heading = "Measurement")]
    pub horizon: Option<u64>,
    /// Runs of an ensemble, for mean-square and almost-sure
    #[arg(long, default_value_t = 128, help_heading = "Measurement")]
    pub ensemble: usize,
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
    #[arg(long, requires = "place", conflicts_with = "force", help_heading = "Output")]
    pub resume: bool,
    /// Measure only this part of the cells: I/N, or env (env/N) in a Slurm job array or a Kubernetes Indexed Job; `tauscope
    /// merge` puts the parts together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub shard: Option<ShardFlag>,
    /// Print cells, runs, waves, memory and an estimate of the time, and stop; with --json the resolved plan too
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Write events to stdout instead of the table, one JSON object a line: start, cell (with its row), progress, end
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress, no table
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
}

fn rules_help() -> String {
    format!(
        "Update rules, those with a number as NAME or NAME:NUMBER [default: sgd,heavy-ball,shifted]\n{}",
        rule::help()
    )
}
