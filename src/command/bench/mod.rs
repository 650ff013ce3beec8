//! `tauscope bench`: how fast this machine is, in numbers that count the same everywhere.

mod kernels;
mod step;

use crate::command::sweep::{Chosen, choose};
use crate::config::{EngineChoice, Precision};
use crate::plan::check_engine;
use anyhow::Result;
use clap::Subcommand;
use kernels::KernelArgs;
use step::StepArgs;

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    kernels: KernelArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Time single kernels beside what the machine could do at best (what `bench` alone does)
    Kernels(KernelArgs),
    /// Time whole steps of many runs at once, in config-steps per second
    Step(Box<StepArgs>),
}

/// # Errors
/// Bad flags, an engine that cannot be had, a device that fails, a file that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        None => kernels::run(&args.kernels),
        Some(What::Kernels(args)) => kernels::run(args),
        Some(What::Step(args)) => step::run(args),
    }
}

/// Which engine is measured.
#[derive(Clone, Debug, clap::Args)]
struct EngineArgs {
    /// auto takes a hardware GPU, else the CPU, and says which; gpu takes any adapter, a software one too
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto)]
    engine: EngineChoice,
    /// Part of the name of the adapter to use
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// f64 on the CPU only
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
}

impl EngineArgs {
    fn choose(&self) -> Result<Chosen> {
        let Self { engine, adapter, precision } = self;
        check_engine(*engine, adapter.as_deref(), *precision)?;
        choose(*engine, adapter.as_deref(), *precision)
    }
}
