//! The command line: subcommands and their flags. What the flags of a sweep mean is resolved in [`crate::plan`], those
//! of a training in [`crate::train`].

use crate::command;
use crate::config::{SweepArgs, TrainArgs};
use clap::{Parser, Subcommand};

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
    /// Measure this machine: its kernels beside what it could do at best, or whole steps (`bench step`)
    Bench(command::bench::Args),
    /// List adapters, their limits and features
    Devices {
        /// Write JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}
