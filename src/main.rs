//! Parse, run, report: errors go to stderr as one line, with exit code 2 for what the user can mend 1 for what broke, and
//! 130 or 143 for what was interrupted.

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;
use tauscope::cli::{Cli, Command};
use tauscope::command;
use tauscope::engine::EngineError;
use tauscope::plan::file;
use tauscope::session::signals::Interrupted;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Command::Sweep(args) => {
            let matches = matches.subcommand_matches("sweep").expect("these are the arguments of a sweep");
            file::complete(*args, matches).map_err(Into::into).and_then(|sweeps| command::sweep::run(&sweeps))
        }
        Command::Train(args) => {
            let matches = matches.subcommand_matches("train").expect("these are the arguments of a training");
            file::complete(*args, matches).map_err(Into::into).and_then(|trainings| command::train::run(&trainings))
        }
        Command::Init(args) => command::init::run(&args),
        Command::Theory(args) => command::theory::run(&args),
        Command::Advise(args) => command::advise::run(&args),
        Command::Merge(args) => command::merge::run(&args),
        Command::Submit(args) => command::submit::run(&args),
        Command::Plot(args) => command::plot::run(&args),
        Command::Compare(args) => command::compare::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::Bench(args) => command::bench::run(&args),
        Command::Devices { json } => command::devices::run(json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
                eprintln!("{interrupted}");
                return ExitCode::from(interrupted.code());
            }
            eprintln!("error: {error:#}");
            let broke = error.downcast_ref::<EngineError>().is_some_and(EngineError::is_of_the_device);
            ExitCode::from(if broke { 1 } else { 2 })
        }
    }
}
