//! Parse, run, report.

use clap::Parser;
use std::process::ExitCode;
use tauscope::command;

#[derive(Parser)]
#[command(name = "tauscope", version)]
enum Cli {
    Theory(command::theory::Args),
    Advise(command::advise::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse() {
        Cli::Theory(args) => command::theory::run(&args),
        Cli::Advise(args) => command::advise::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
