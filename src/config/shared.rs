//! The flags that several commands share, each written once: problem, grid, and what every long job takes.
//!
//! The defaults are those of `tauscope sweep`; a command with others changes them where it flattens these structs. Not
//! here: flags of one command alone ([`super::sweep`], [`super::train`]).

use super::shard::{Shard, ShardFlag};
use super::{Batch, Delays, Interval, ModelSpec, Momenta, OuterArgs, Samples, StageArgs};
use crate::batch::Sampling;
use crate::data::DataSource;
use crate::delay::ScheduleSpec;
use crate::math::{Activation, Loss};
use crate::rule::{self, Dampening, RuleSpec};
use clap::Args;
use std::path::PathBuf;

/// Weight decay without `--weight-decay`.
const USUAL_WEIGHT_DECAY: f64 = 0.001;

/// Data, model and objective.
#[derive(Clone, Debug, Args)]
pub struct ProblemArgs {
    /// digits; mnist, fashion-mnist, cifar10 or cifar100, with :DIR for where the files are (else below $DATASETS);
    /// npz:FILE (arrays x and y, for training also x_test and y_test; #nhwc behind it for images with their channels last);
    /// synthetic:clusters or synthetic:teacher, with
    /// options like :classes=10:shape=3x32x32:samples=4096 [default: digits]
    #[arg(long, value_name = "DATA", help_heading = "Problem")]
    pub data: Option<DataSource>,
    /// How many training samples, chosen by a seed: a number or 'all'
    #[arg(long, help_heading = "Problem")]
    pub samples: Option<Samples>,
    /// mlp:WIDTH-WIDTH-..., linear, lenet, cifar-shallow, vgg11, vgg11-bn, resnet20, or layers:LAYER,LAYER,...
    #[arg(long, default_value = "mlp:16", help_heading = "Problem")]
    pub model: ModelSpec,
    /// Activation of mlp models; the other models bring their own [default: tanh]
    #[arg(long, value_enum, help_heading = "Problem")]
    pub activation: Option<Activation>,
    /// ce: cross-entropy; mse: mean over samples of 1/2 ||f - onehot||^2 [default: ce]
    #[arg(long, value_enum, help_heading = "Problem")]
    pub loss: Option<Loss>,
    /// L2 weight decay on every parameter, part of the objective [default: 0.001]
    #[arg(long, allow_negative_numbers = true, help_heading = "Problem")]
    pub weight_decay: Option<f64>,
}

impl ProblemArgs {
    /// Checks the weight decay, and that every flag that was given says something about the model.
    ///
    /// # Errors
    /// A weight decay that is none, or a flag that changes nothing.
    pub fn check(&self) -> Result<(), String> {
        let Self { data, samples, model, activation, loss, weight_decay } = self;
        if let Some(weight_decay) = weight_decay
            && !(*weight_decay >= 0.0 && weight_decay.is_finite())
        {
            return Err(format!("--weight-decay {weight_decay}: accepted: 0 or a positive number"));
        }
        if let (Some(activation), false) = (activation, model.takes_activation()) {
            return Err(format!(
                "--activation {activation}: {model} brings its own; accepted: without --activation, or with --model mlp:..."
            ));
        }
        if !model.is_quadratic() {
            return Ok(());
        }
        let given = [
            data.as_ref().map(|data| format!("--data {data}")),
            loss.map(|loss| format!("--loss {loss}")),
            weight_decay.filter(|decay| *decay != 0.0).map(|decay| format!("--weight-decay {decay}")),
            samples.map(|samples| format!("--samples {samples}")),
        ];
        match (given.into_iter().flatten().next(), model) {
            (None, _) => Ok(()),
            (Some(flag), ModelSpec::QuadraticFile(_)) if flag.starts_with("--samples") => {
                Err(format!("{flag}: the samples of {model} are those of its array h; accepted: without --samples"))
            }
            (Some(flag), _) => {
                let name = flag.split(' ').next().expect("a text has a first part");
                Err(format!("{flag}: {model} is its own objective; accepted: without {name}"))
            }
        }
    }

    /// Returns `--data`, or its default.
    pub fn data(&self) -> DataSource {
        self.data.clone().unwrap_or(DataSource::Digits)
    }

    /// Returns `--activation`, or its default, where the model takes one.
    pub fn activation(&self) -> Option<Activation> {
        self.model.takes_activation().then(|| self.activation.unwrap_or(Activation::Tanh))
    }

    /// Returns `--loss`, or its default.
    pub fn loss(&self) -> Loss {
        self.loss.unwrap_or(Loss::Ce)
    }

    /// Returns `--weight-decay`, or its default.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(USUAL_WEIGHT_DECAY)
    }
}

/// The axes of a grid: rules, delays and batches, and how samples are drawn.
#[derive(Clone, Debug, Args)]
pub struct GridArgs {
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        value_name = "RULE",
        default_value = "sgd,heavy-ball,shifted",
        help_heading = "Grid",
        help = format!("Update rules, those with a number as NAME or NAME:NUMBER\n{}", rule::help())
    )]
    pub rules: Vec<RuleSpec>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT [default: each
    /// rule's own]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules that have one: numbers, or 'ema' (equal to the momentum) [default: each rule's own]; the
    /// velocity of adam, lion, muon and their kin is an average and has none. In a
    /// training the first gradient of a velocity enters it undamped, as in PyTorch; in a sweep, where the threshold does not
    /// depend on it, it is dampened like all others
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, help_heading = "Grid")]
    pub dampening: Vec<Dampening>,
    /// Epsilons of adam, adamw, nadam and nadamw, 0 or more [default: 1e-8]; like --extrapolate and --clip also typed behind a
    /// rule's name, as adam+eps=1e-6, and named there by every table
    #[arg(
        long,
        value_name = "E",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub eps: Vec<f64>,
    /// Extrapolations A of the update u that a rule makes: weights move by (1+A) u(t) - A u(t-1); 0 for none
    #[arg(
        long,
        value_name = "A",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub extrapolate: Vec<f64>,
    /// Largest norm of a gradient, above 0; a longer one is shortened to it
    #[arg(
        long,
        value_name = "C",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub clip: Vec<f64>,
    /// Learning rates of the parameters that muon moves by AdamW, 0 or more [default: 3e-4]; the regime of --lr is theirs too
    #[arg(
        long,
        value_name = "ETA",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub muon_adam_lr: Vec<f64>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        default_value = "0,1,2,4,8,16,32",
        allow_negative_numbers = true,
        help_heading = "Grid"
    )]
    pub delays: Vec<Delays>,
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        default_value = "round-robin",
        help_heading = "Grid",
        help = schedule_help()
    )]
    pub schedule: Vec<ScheduleSpec>,
    /// Samples per gradient: numbers, or 'full'
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "full", help_heading = "Grid")]
    pub batch: Vec<Batch>,
    /// How minibatches are drawn
    #[arg(long, value_enum, default_value_t = Sampling::Epochs, help_heading = "Grid")]
    pub sampling: Sampling,
    /// Chooses the samples, the same for all runs
    #[arg(long, default_value_t = 0, help_heading = "Grid")]
    pub seed_data: u64,
    #[command(flatten)]
    pub outer: OuterArgs,
    #[command(flatten)]
    pub stage: StageArgs,
}

/// What every long job takes: its plan file, its results folder, its part of the work, and what it prints.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("place").args(["out", "plan"]).multiple(true))]
pub struct JobArgs {
    /// A TOML file with any of these flags as keys, and grids, zips and single cells of them; `tauscope init` writes an
    /// example. Flags on the command line win over the file
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,

    /// Results folder; must not exist [default: tauscope-DATE-TIME]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the results folder if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Continue the unfinished job of --out
    #[arg(long, requires = "place", conflicts_with = "force", help_heading = "Output")]
    pub resume: bool,
    /// Longest time between two checkpoints, from which --resume goes on: a time as 90s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "60s", allow_hyphen_values = true, help_heading = "Output")]
    pub checkpoint_every: Interval,
    /// Do only this part of the work: I/N, or env (env/N) in a Slurm job array or a Kubernetes Indexed Job; `tauscope
    /// merge` puts the parts together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub shard: Option<ShardFlag>,
    /// Write what each run draws at each step (slots, workers, delays, rows) to traces/RUN_ID.csv, so that it can be replayed
    /// elsewhere; for a sweep also what is observed, for which each run is made twice
    #[arg(long, help_heading = "Output")]
    pub trace_runs: bool,
    /// Print what would be run, its memory and an estimate of the time, and stop; with --json the resolved plan too
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Write events to stdout instead of the table, one JSON object a line: start, each cell or run with its row, progress,
    /// end
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Columns of the table on stdout, by their names there or in the CSV file [default: as many as fit the terminal]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        num_args = 1,
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub columns: Vec<String>,
    /// No progress, no table
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
}

impl JobArgs {
    /// The shard that `--shard` or the environment names.
    ///
    /// # Errors
    /// Where the environment names none.
    pub fn shard(&self) -> Result<Option<Shard>, String> {
        let variable = |name: &str| std::env::var(name).ok();
        self.shard.map(|flag| flag.resolve(&variable)).transpose()
    }
}

fn schedule_help() -> String {
    format!("Delay processes of mean delay DELAY; cap=C bounds the age of gradients\n{}", ScheduleSpec::help())
}
