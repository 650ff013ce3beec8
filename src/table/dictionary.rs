//! What every column of every CSV file holds, from the docs of the row structs.
//!
//! Not here: how it is printed ([`crate::command`]).

use super::row::{Column, Described};
use super::{
    ComparisonRow, DelayRow, EigenvalueRow, EnergyRow, MetricRow, RateComparisonRow, RateRow, RunRow, SummaryRow,
    TheoryRow, ThresholdRow, TraceRow, TrainComparisonRow, TrainRow, TuneRow,
};

/// A file and its columns.
#[derive(Clone, Copy, Debug)]
pub struct Dictionary {
    /// As it is called, or how it is printed.
    pub file: &'static str,
    /// Which command writes it, and what a row is.
    pub about: &'static str,
    pub columns: &'static [Column],
}

/// All files.
pub fn dictionary() -> Vec<Dictionary> {
    const fn of<T: Described>(file: &'static str, about: &'static str) -> Dictionary {
        Dictionary { file, about, columns: T::COLUMNS }
    }
    vec![
        of::<ThresholdRow>(
            "thresholds.csv",
            "`tauscope sweep`: a row for each cell, which is everything of a run but its learning rate",
        ),
        of::<RunRow>(
            "runs.csv of a sweep",
            "`tauscope sweep`: a row for each simulated run, or ensemble of runs, at one learning rate",
        ),
        of::<DelayRow>("delays.csv", "`tauscope sweep`: the histogram of the ages of the gradients of each cell"),
        of::<EigenvalueRow>(
            "eigenvalues.csv",
            "`tauscope sweep --top`: a row for each eigenvalue of the Hessian at the minimum",
        ),
        of::<EnergyRow>("energies.csv", "`tauscope sweep --top`: where in the network each eigenvector lies"),
        of::<RateRow>("rates.csv", "`tauscope sweep --rates`: a row for each cell and learning rate"),
        of::<TrainRow>("runs.csv of a training", "`tauscope train`: a row for each run"),
        of::<SummaryRow>(
            "summary.csv",
            "`tauscope train`: a row for each group of runs that differ in their seed alone",
        ),
        of::<MetricRow>("metrics.csv", "`tauscope train`: a row for each number that was measured along a run"),
        of::<ComparisonRow>(
            "compare.csv of thresholds",
            "`tauscope compare`: a row for each cell beside the baseline's",
        ),
        of::<RateComparisonRow>(
            "compare.csv of rates",
            "`tauscope compare`: a row for each cell beside the baseline's",
        ),
        of::<TrainComparisonRow>(
            "compare.csv of a training",
            "`tauscope compare`: a row for each group beside the baseline's",
        ),
        of::<TraceRow>("traces/RUN_ID.csv", "`--trace-runs`: a row for each step of a run ([folders.md](folders.md))"),
        of::<TheoryRow>("tauscope theory", "its standard output: a row for each rule, momentum, dampening and delay"),
        of::<TuneRow>("tauscope tune", "its standard output: a row for each rule, delay and condition number"),
    ]
}
