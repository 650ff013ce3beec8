//! Tables: the rows of every CSV file, the only code that reads and writes them, and what pictures, comparisons and
//! reports take from them in common.
//!
//! A row struct is the schema: the order of its fields is the header, `None` is an empty cell. Here too are the one set of
//! statistics ([`median`], [`quantile`], [`Interval`]), the one way in which numbers are told to people ([`number`]), and
//! the one grouping into series. Not here: what the numbers mean for stability ([`crate::theory`]) or how they are drawn
//! ([`crate::plot`]).

mod cells;
mod comparison;
mod dictionary;
pub mod number;
mod rates;
mod read;
mod row;
mod series;
mod spectrum;
mod statistics;
mod sweep;
mod theory;
mod thresholds;
mod trace;
mod training;
mod trainings;
mod tune;
mod write;

pub use comparison::{ComparisonRow, ComparisonStatus, PairingStatus, RateComparisonRow, TrainComparisonRow};
pub use dictionary::{Dictionary, dictionary};
pub use rates::{RateRow, rate_panels, rate_setting};
pub use read::{CsvReader, FileRow, FileTable, read_csv, read_csv_from};
pub use row::{Column as DescribedColumn, Described, Refusal, Row, keep_finite, not_finite};
pub use series::{Series, distinct, evenly, grouped, rule_name};
pub use spectrum::{Convergence, EigenvalueRow, EnergyRow};
pub use statistics::{Interval, median, quantile};
pub use sweep::{DelayRow, RunRow, Status, TheorySource, ThresholdRow};
pub use theory::TheoryRow;
pub use thresholds::{Measurement, circumstances, engines_matter, series, setting};
pub use trace::TraceRow;
pub use training::{Metric, MetricRow, SummaryRow, TrainRow, TrainStatus};
pub use trainings::{TrainedGroup, TrainedRun, delay_lines, line_names, synchronous, trained_groups, training_setting};
pub use tune::TuneRow;
pub use write::{CsvWriter, record, write_csv};

#[cfg(test)]
mod tests;
