//! tauscope measures which learning rate and momentum keep a minimum reachable when gradients arrive late.
//!
//! # The door
//!
//! | for | entry |
//! | --- | --- |
//! | thresholds by measurement | [`Sweep::builder`] |
//! | training from scratch under delay | [`Train::builder`] |
//! | thresholds in closed form, and advice | [`theory`] |
//! | update rules, and rules of your own | [`rule`] |
//! | delay processes | [`delay`], typed as [`ScheduleSpec`] |
//! | the tables of a results folder | [`table`] |
//!
//! ```
//! use tauscope::{RuleKind, Sweep};
//!
//! let rows = Sweep::builder().quadratic([1.0]).rules([RuleKind::Sgd]).delays([0, 4]).build()?.measure()?;
//! let (synchronous, late) = (rows[0].lr_threshold.unwrap(), rows[1].lr_threshold.unwrap());
//! assert!(late < synchronous / 5.0, "four updates late, sgd bears less than a fifth of the learning rate");
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! # The house
//!
//! Modules stand on floors, and imports only go down. ARCHITECTURE.md in the repository follows a cell through them and says
//! where to add things.
//!
//! ```text
//! main  cli                    arguments in, exit code out
//! command                      one file for each subcommand
//! api                          the door above
//! report  plot  compare        pages and pictures, from tables alone
//! sweep  train  bench  submit  a unit of work, how it runs, which rows it makes
//! session                      what every long job shares: engine, folder, journal, resume, shards, progress
//! plan  cost                   resolved and hashed plans, plan files; expected cost
//! config                       the grammar of values and flags
//! table                        rows, the CSV reader, statistics, series
//! threshold                    the search for a threshold
//! minimum  curvature           minima and eigenvalues with their evidence
//! engine                       trait Engine; cpu, and gpu in folders
//! problem                      what is minimised
//! model  data                  networks as graphs, loaders
//! layer                        one file for each layer
//! drift                        effective learning rates
//! kernels                      one file for each shader: formula, bindings, processor's version
//! batch  rule  outer           the order of rows; one file for each update rule; local steps and replicas
//! stages                       stages of a pipeline
//! delay                        delay processes
//! update  math                 the numbers of an update; shapes, sums, activations, losses
//! theory  files  streams  text pure mathematics, imports nothing; whole files, stdout and stderr, short texts
//! host                         the program around a command, where that is another one
//! ```
//!
//! Modules that are not listed under "Modules" below are public only for the crate's own tests and benchmarks, and may change
//! at any time.

// A stream that is closed or full ends no run: everything goes through `streams`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod api;
mod files;
mod memory;
mod text;

#[doc(hidden)]
pub mod streams;

pub mod delay;
pub mod rule;
pub mod table;
pub mod theory;

pub use api::{Sweep, SweepBuilder, Train, TrainBuilder};
pub use config::{Batch, EngineChoice, ModelSpec, Precision, Scaling};
pub use data::DataSource;
pub use delay::ScheduleSpec;
pub use rule::{Dampening, RuleKind, RuleSpec};
pub use threshold::Criterion;
pub use update::UpdateCoefficients;

#[doc(hidden)]
pub mod batch;
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod command;
#[doc(hidden)]
pub mod compare;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod cost;
#[doc(hidden)]
pub mod curvature;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod drift;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod host;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod layer;
#[doc(hidden)]
pub mod math;
#[doc(hidden)]
pub mod minimum;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod outer;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod plot;
#[doc(hidden)]
pub mod problem;
#[doc(hidden)]
pub mod rates;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod stages;
#[doc(hidden)]
pub mod submit;
#[doc(hidden)]
pub mod sweep;
#[doc(hidden)]
pub mod threshold;
#[doc(hidden)]
pub mod train;
#[doc(hidden)]
pub mod update;
