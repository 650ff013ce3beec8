//! Parse, run, report: errors go to stderr as one line, with exit code 2 for what the user can mend, 1 for what broke or
//! failed in part, and 130 or 143 for what was interrupted.

#![warn(clippy::print_stderr, clippy::print_stdout)]

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;
use tauscope::cli::{Cli, Command};
use tauscope::command;
use tauscope::config::one_line;
use tauscope::engine::EngineError;
use tauscope::plan::file;
use tauscope::session::SomeFailed;
use tauscope::session::signals::Interrupted;
use tauscope::streams::{to_stderr, to_stdout};

fn main() -> ExitCode {
    without_wayland();
    let parsed = Cli::command().try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let shown = if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                error.render().ansi().to_string()
            } else {
                error.render().to_string()
            };
            return end(to_stdout(&shown));
        }
        Err(error) => {
            to_stderr(&format!("error: {}", one_line(&error, &spoken_to())));
            return ExitCode::from(2);
        }
    };
    end(match cli.command {
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
        Command::Tune(args) => command::tune::run(&args),
        Command::Advise(args) => command::advise::run(&args),
        Command::Merge(args) => command::merge::run(&args),
        Command::Submit(args) => command::submit::run(&args),
        Command::Plot(args) => command::plot::run(&args),
        Command::Compare(args) => command::compare::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::Bench(args) => command::bench::run(&args),
        Command::Devices { json } => command::devices::run(json),
    })
}

/// Switches Mesa's layer for choosing a default adapter off where it has no Wayland to ask: it would complain on stderr, and
/// which adapter is taken is decided by `--adapter`.
fn without_wayland() {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let has_wayland = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|path| path.as_encoded_bytes().starts_with(b"/"));
    if !has_wayland && !is_set("MESA_VK_DEVICE_SELECT") && !is_set("NODEVICE_SELECT") {
        // SAFETY: this is the process's only thread so far.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Tells how it ended, in one line and by the exit code.
fn end(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        to_stderr(&interrupted.to_string());
        return ExitCode::from(interrupted.code());
    }
    // What a library says may have lines of its own.
    let told =
        format!("{error:#}").lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    to_stderr(&format!("error: {told}"));
    let broke = error.downcast_ref::<EngineError>().is_some_and(EngineError::is_of_the_device);
    ExitCode::from(if broke || error.is::<SomeFailed>() { 1 } else { 2 })
}

/// The command that the flags were for, as far as they tell: `tauscope sweep`.
fn spoken_to() -> String {
    let command = Cli::command();
    let word = std::env::args_os()
        .skip(1)
        .find(|word| command.get_subcommands().any(|sub| sub.get_name() == word.as_os_str()));
    word.map_or("tauscope".into(), |word| format!("tauscope {}", word.display()))
}
