//! The command line: subcommands and their flags, from words to an exit code. What the flags of a sweep mean is resolved in
//! [`crate::plan`], those of a training in [`crate::train`].
//!
//! Errors go to stderr as one line, with exit code 2 for what the user can mend, 1 for what broke or failed in part, and 130
//! or 143 for what was interrupted. A program that wants them otherwise calls [`perform`].

use crate::command;
use crate::config::{SweepArgs, TrainArgs, one_line};
use crate::engine::EngineError;
use crate::plan::file;
use crate::session::SomeFailed;
use crate::session::signals::Interrupted;
use crate::streams::{to_stderr, to_stdout};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;

/// What a shell sees of the end.
const EXIT_CODES: &str = "Exit codes:
    0  done
    1  some cells or runs failed and the others are in the results folder, or the device broke
    2  bad input, or a file that cannot be read or written
  130  interrupted by Ctrl-C; --resume goes on
  143  interrupted by SIGTERM; --resume goes on";

/// What learning rate and momentum keep a minimum reachable when gradients arrive late? Answers by measurement.
#[derive(Debug, Parser)]
#[command(name = "tauscope", version, about, max_term_width = 120, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure stability thresholds beside the theory's prediction (the main job)
    Sweep(Box<SweepArgs>),
    /// Train networks from scratch under delay: accuracy, generalisation gap and sharpness
    Train(Box<TrainArgs>),
    /// Write a commented example of a plan file
    Init(command::init::Args),
    /// Print closed-form thresholds as CSV
    Theory(command::theory::Args),
    /// Print the fastest parameters of every rule under delay as CSV, beside what nothing can beat
    Tune(command::tune::Args),
    /// What to run at another delay, given a recipe that works
    Advise(command::advise::Args),
    /// Put the folders of all shards of a sweep or a training together
    Merge(command::merge::Args),
    /// Run the shards of a sweep or a training as jobs of a scheduler, and look after them
    Submit(command::submit::Args),
    /// Redraw the pictures of a results folder from its CSVs
    Plot(command::plot::Args),
    /// Which rule helps, by how much, under which delay process: thresholds of a results folder beside a baseline's
    Compare(command::compare::Args),
    /// Write one HTML page about a results folder: answers, plots, tables, plan and machine
    Report(command::report::Args),
    /// Print what every column of every CSV file holds
    Columns(command::columns::Args),
    /// Measure this machine: its kernels beside what it could do at best, or whole steps (`bench step`)
    Bench(command::bench::Args),
    /// Print the script with which a shell completes the words of this command line
    Completions(command::shell::CompletionArgs),
    /// Write manual pages for `man`
    Man(command::shell::ManArgs),
    /// List adapters, their limits and features
    Devices {
        /// Write JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Have every adapter compute what is known, now, and say which of them computes wrong numbers
        #[arg(long)]
        self_test: bool,
    },
}

/// Why a command did not go to its end.
#[derive(Debug)]
pub enum Failure {
    /// Words that are no command.
    Words(String),
    Command(anyhow::Error),
}

impl Failure {
    /// The exit code that tells of it.
    pub fn code(&self) -> u8 {
        match (self, self.interrupted()) {
            (_, Some(interrupted)) => interrupted.code(),
            _ if self.is_no_fault_of_the_user() => 1,
            _ => 2,
        }
    }

    /// The signal that ended the command, where one did.
    pub fn interrupted(&self) -> Option<&Interrupted> {
        match self {
            Self::Words(_) => None,
            Self::Command(error) => error.downcast_ref(),
        }
    }

    /// Whether a device broke, or units failed for reasons of their own.
    pub fn is_no_fault_of_the_user(&self) -> bool {
        match self {
            Self::Words(_) => false,
            Self::Command(error) => {
                let broke = error.downcast_ref::<EngineError>().is_some_and(EngineError::is_of_the_device);
                broke || error.is::<SomeFailed>()
            }
        }
    }

    /// What is to be told of it, in one line.
    pub fn message(&self) -> String {
        match (self, self.interrupted()) {
            (_, Some(interrupted)) => interrupted.to_string(),
            (Self::Words(message), _) => message.clone(),
            // What a library says may have lines of its own.
            (Self::Command(error), _) => {
                let told = format!("{error:#}");
                told.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Does what the words say, the first of which is the program's name, and returns the exit code.
pub fn run(words: &[OsString]) -> u8 {
    let Err(failure) = perform(words) else { return 0 };
    let message = failure.message();
    to_stderr(&if failure.interrupted().is_some() { message } else { format!("error: {message}") });
    failure.code()
}

/// Does what the words say, the first of which is the program's name.
///
/// # Errors
/// Words that are no command, and whatever ends the command early.
pub fn perform(words: &[OsString]) -> Result<(), Failure> {
    let parsed =
        Cli::command().try_get_matches_from(words).and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let text = error.render();
            let shown = if std::io::stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
            return to_stdout(&shown).map_err(Failure::Command);
        }
        Err(error) => return Err(Failure::Words(one_line(&error, &spoken_to(words)))),
    };
    let done = match cli.command {
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
        Command::Columns(args) => command::columns::run(&args),
        Command::Bench(args) => command::bench::run(&args),
        Command::Completions(args) => command::shell::completions(&args, Cli::command()),
        Command::Man(args) => command::shell::man(&args, Cli::command()),
        Command::Devices { json, self_test } => command::devices::run(json, self_test),
    };
    done.map_err(Failure::Command)
}

/// The command that the words were for, as far as they tell: `tauscope sweep`.
fn spoken_to(words: &[OsString]) -> String {
    let command = Cli::command();
    let word =
        words.iter().skip(1).find(|word| command.get_subcommands().any(|sub| sub.get_name() == word.as_os_str()));
    word.map_or("tauscope".into(), |word| format!("tauscope {}", word.display()))
}

/// The long flags of a command, without their dashes, each with its default and its help; None where there is no such
/// command.
pub fn flags(command: &str) -> Option<Vec<(String, Option<String>, String)>> {
    let cli = Cli::command();
    let found = cli.find_subcommand(command)?;
    let told = |flag: &clap::Arg| {
        let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let is_switch = !flag.get_action().takes_values();
        let default = (!defaults.is_empty() && !is_switch).then(|| defaults.join(","));
        Some((flag.get_long()?.to_owned(), default, help))
    };
    Some(found.get_arguments().filter_map(told).collect())
}
