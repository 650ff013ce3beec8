//! `tauscope bench`: how fast this machine is, in numbers that count the same everywhere.

mod kernels;
mod step;

use crate::config::EngineArgs;
use crate::session::{ChosenEngine, choose};
use anyhow::{Error, Result};
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

/// Opens the engine that is measured.
fn open(engine: &EngineArgs) -> Result<ChosenEngine> {
    engine.check().map_err(Error::msg)?;
    choose(engine)
}
