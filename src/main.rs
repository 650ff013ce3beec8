//! Parse, run, report: errors go to stderr as one line, with exit code 2 for what the user can mend and 1 for what broke.

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;
use tauscope::cli::{Cli, Command};
use tauscope::command;
use tauscope::engine::EngineError;
use tauscope::plan_file;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Command::Sweep(args) => {
            let matches = matches.subcommand_matches("sweep").expect("these are the arguments of a sweep");
            plan_file::complete(*args, matches).map_err(Into::into).and_then(|sweeps| command::sweep::run(&sweeps))
        }
        Command::Init(args) => command::init::run(&args),
        Command::Theory(args) => command::theory::run(&args),
        Command::Advise(args) => command::advise::run(&args),
        Command::Plot(args) => command::plot::run(&args),
        Command::Compare(args) => command::compare::run(&args),
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
