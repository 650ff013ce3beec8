//! The flags of `tauscope sweep`, as typed.

use super::{EngineArgs, GridArgs, JobArgs, ProblemArgs, Rates};
use crate::minimum;
use crate::problem::weights::WeightMap;
use crate::threshold::Criterion;
use clap::Args;
use std::path::PathBuf;

/// Flags of `tauscope sweep`. Lists are separated by commas.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("model", |arg| arg.help(MODEL)), mut_arg("samples", |arg| arg.help(SAMPLES)), group = clap::ArgGroup::new("given").args(["minimum", "minimum_from"]))]
pub struct SweepArgs {
    #[command(flatten)]
    pub problem: ProblemArgs,
    /// Load the minimum from a file of safetensors or of PyTorch's torch.save instead of training to one; it must be one
    /// already
    #[arg(long, value_name = "FILE", help_heading = "Problem")]
    pub minimum: Option<PathBuf>,
    /// Descend to a minimum from the weights of such a file, and say how far they moved
    #[arg(long, value_name = "FILE", help_heading = "Problem")]
    pub minimum_from: Option<PathBuf>,
    /// Most gradient evaluations of the search for a minimum; with --resume and a larger number it goes on
    #[arg(long, value_name = "COUNT", default_value_t = minimum::EVALUATIONS, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Problem")]
    pub minimum_evaluations: u64,
    /// What the file of --minimum or --minimum-from calls the model's modules, as fc1=0,fc2=2, where names and shapes leave a doubt
    #[arg(long, value_name = "NAME=NAME,...", requires = "given", help_heading = "Problem")]
    pub map: Option<WeightMap>,
    /// Largest |gradient entry| (full batch, f64) that counts as zero
    #[arg(long, default_value_t = minimum::GRADIENT_TOLERANCE, allow_negative_numbers = true, help_heading = "Problem")]
    pub gradient_tolerance: f64,

    /// Thresholds of adam, adamw, nadam and nadamw with second moments that stand still, those of this file of safetensors or of
    /// torch.save: tensors by the names of the parameters, as --save-state of `tauscope train` writes them, or marked exp_avg_sq. Full
    /// batches, fixed delays
    #[arg(long, value_name = "FILE", conflicts_with_all = ["extend", "rates", "trace_runs"], help_heading = "Problem")]
    pub preconditioner: Option<PathBuf>,

    #[command(flatten)]
    pub grid: GridArgs,
    /// In which sense a run must stay [default: mean without randomness, else mean-square; escape for adam, adamw, nadam, nadamw,
    /// lion, signum]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, help_heading = "Grid")]
    pub criterion: Vec<Criterion>,
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
    #[arg(long, default_value_t = 256, help_heading = "Measurement")]
    pub ensemble: usize,

    /// Measure no thresholds but rates at these learning rates, into rates.csv: updates that the slowest direction takes for an e-fold, with
    /// their error, beside theory. Numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT; --tolerance is then the relative error [default:
    /// 0.02; 0.05 for mean-square and almost-sure] and --horizon 1048576 by default (65536)
    #[arg(
        long,
        value_name = "LR,...",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        conflicts_with = "trace_runs",
        help_heading = "Measurement"
    )]
    pub rates: Vec<Rates>,

    /// Write so many of the largest Hessian eigenvalues at the minimum, with residuals and the energy of their eigenvectors in each
    /// layer, to eigenvalues.csv and energies.csv
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Measurement")]
    pub top: Option<u16>,

    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub job: JobArgs,
    /// Take over the cells of this finished sweep of the same problem, and measure only what it does not have; one with a
    /// coarser tolerance gives its runs. Its folder stays as it is
    #[arg(long, value_name = "DIR", conflicts_with = "trace_runs", help_heading = "Output")]
    pub extend: Option<PathBuf>,
}

const SAMPLES: &str = "How many training samples, chosen by a seed: a number or 'all' [default: 512]";

const MODEL: &str = "mlp:WIDTH-WIDTH-..., linear, quadratic:EIGENVALUE,EIGENVALUE,... (of its Hessian; needs no data), \
                     quadratic:npz:FILE (array h: its Hessian, P x P, or those of n samples, n x P x P), \
                     layers:LAYER,LAYER,... or a name (see `tauscope train`); where layers have kinks a minimum may not be \
                     found";
