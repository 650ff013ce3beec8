//! Parse, run, report: errors go to stderr as one line, with exit code 2 for what the user can mend and 1 for what broke.

use clap::Parser;
use std::process::ExitCode;
use tauscope::cli::{Cli, Command};
use tauscope::command;
use tauscope::engine::EngineError;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Sweep(args) => command::sweep::run(&args),
        Command::Theory(args) => command::theory::run(&args),
        Command::Advise(args) => command::advise::run(&args),
        Command::Plot(args) => command::plot::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::Devices { json } => command::devices::run(json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let broke = matches!(error.downcast_ref(), Some(EngineError::Device(_)));
            ExitCode::from(if broke { 1 } else { 2 })
        }
    }
}
