//! The rows of every CSV, and the only code that reads or writes those of a sweep.
//!
//! A row struct is the schema: the order of its fields is the header, `None` is an empty cell, and floats are written
//! with as many digits as it takes to read the same bits back. Not here: what the numbers mean for stability
//! ([`crate::theory`]) or how they are drawn ([`crate::plot`]).

mod cells;
mod stream;
mod student;
mod training;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

pub use stream::{CsvReader, CsvWriter};
pub use student::mean_and_half_width;
pub use training::{Metric, MetricRow, SummaryRow, TrainRow, TrainStatus};

/// One cell of a sweep: everything of a run but its learning rate, with the threshold measured for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdRow {
    /// Short content hash of the cell.
    pub cell_id: String,
    /// Name of the data set; empty for problems that have none (quadratics).
    pub data: Option<String>,
    /// Model as given to `--model`: `mlp:16`, `linear`, `quadratic:1.0,0.3`.
    pub model: String,
    /// `ce` or `mse`; empty without data.
    pub loss: Option<String>,
    /// Number of training samples; empty without data.
    pub samples: Option<u64>,
    /// L2 penalty: weight_decay / 2 ||x||^2 is added to the loss.
    pub weight_decay: f64,
    /// The rule's name and, where it has one, its number: `sgd`, `shifted`, `ringmaster:4`.
    pub rule: String,
    /// 0 for a rule without momentum.
    pub momentum: f64,
    /// PyTorch's dampening; equal to the momentum in the EMA form, 0 for sgd.
    pub dampening: f64,
    /// Updates between reading the weights and applying their gradient, as asked for: the mean where the process is random;
    /// empty where the process brings delays of its own. 0 is synchronous.
    pub delay: Option<u32>,
    /// Name of the delay process, as typed.
    pub schedule: String,
    /// Number of workers that make this delay; empty where delays do not come from workers.
    pub workers: Option<u32>,
    /// Of the ages, in updates, of the gradients that a run applies: mean, standard deviation, median, 95 % quantile and
    /// maximum. Their histogram is in delays.csv.
    pub delay_mean: Option<f64>,
    pub delay_std: Option<f64>,
    pub delay_median: Option<u64>,
    pub delay_q95: Option<u64>,
    pub delay_max: Option<u64>,
    /// `full` or the number of samples per gradient of a worker.
    pub batch: String,
    /// How minibatches are drawn; empty where the batch is full.
    pub sampling: Option<String>,
    /// Variance of the curvature along the top eigenvector over the gradients of single updates, relative to its square, at
    /// the minimum; empty where the batch is full.
    pub relative_variance: Option<f64>,
    pub seed_data: u64,
    pub seed_order: u64,
    pub seed_init: u64,
    /// In which sense a run stays: `mean`, `mean-square`, `almost-sure` (by the sign of a growth rate) or `escape` (by staying
    /// near the minimum for the horizon).
    pub criterion: String,
    /// Runs of an ensemble, all at one learning rate; 1 where there is no chance, or under `escape`.
    pub ensemble: u32,
    /// Largest Hessian eigenvalue at the minimum, 1 / (units of learning rate).
    pub lambda_max: f64,
    /// ||H v - lambda_max v|| of the unit eigenvector v that was found.
    pub lambda_residual: f64,
    /// Threshold that theory predicts for this rule, process, variance and criterion: its gain / `lambda_max` (under `escape`
    /// that of the mean); empty where no theory is known.
    pub lr_theory: Option<f64>,
    /// Largest learning rate seen to be stable.
    pub lr_stable: Option<f64>,
    /// Smallest learning rate above it seen to be unstable.
    pub lr_unstable: Option<f64>,
    /// Estimate between the two.
    pub lr_threshold: Option<f64>,
    /// 95 % confidence interval of the estimate, where growth rates are averages of ensembles; empty where their zero lies
    /// outside the bracket, whose geometric middle the estimate then is.
    pub lr_low: Option<f64>,
    pub lr_high: Option<f64>,
    /// `lr_threshold` / `lr_theory`.
    pub ratio: Option<f64>,
    /// Steps after which a run counts as undecided, or as having stayed (`escape`).
    pub horizon_steps: u64,
    /// Number of runs spent on this cell, every member of an ensemble counted.
    pub runs: u32,
    pub status: Status,
    /// Engine and precision: `cpu f32`, `cpu f64` or `gpu f32`.
    pub engine: String,
    /// Adapter's name; the processor architecture for `cpu`.
    pub adapter: String,
}

impl ThresholdRow {
    /// The delay to plot it at: as asked for, else the realised mean; 0 where neither is known.
    pub fn delay_or_mean(&self) -> f64 {
        self.delay.map(f64::from).or(self.delay_mean).unwrap_or(0.0)
    }
}

/// How often the gradients that a run of a cell applies had a delay, counted over at least 16384 updates where it varies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayRow {
    /// The [`ThresholdRow`] that this belongs to.
    pub cell_id: String,
    /// Updates.
    pub delay: u64,
    pub count: u64,
}

/// How far the search for a cell's threshold came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Status {
    /// The bracket, or under a statistical criterion the confidence interval, is within the tolerance.
    Measured,
    /// The horizon or the search ended first; the bracket so far is given.
    Undecided,
    /// Something could not be run; the reason stands with its runs.
    Failed,
}

/// One simulated training at one learning rate, or an ensemble of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRow {
    pub run_id: String,
    /// The [`ThresholdRow`] that this run belongs to.
    pub cell_id: String,
    /// Learning rate as the rule takes it, before dampening.
    pub lr: f64,
    pub verdict: Verdict,
    /// Exponent of the distance's growth, per step; negative where it decays.
    pub growth_rate: Option<f64>,
    /// Its standard error, where it is the average of an ensemble.
    pub growth_error: Option<f64>,
    /// Runs of the ensemble, or 1; what follows is of the last one.
    pub members: u32,
    /// Steps taken by each.
    pub steps: u64,
    /// ||x - minimum|| after the last step.
    pub distance: Option<f64>,
    /// (x - minimum) . top eigenvector after the last step.
    pub projection: Option<f64>,
    /// Loss after the last step.
    pub loss: Option<f64>,
    /// Why a run failed or stayed undecided.
    pub reason: Option<String>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// The perturbation decays.
    Stable,
    /// It grows, or has left the neighbourhood of the minimum.
    Escaped,
    /// The weights or the loss are no longer finite.
    Diverged,
    /// Neither could be told within the horizon.
    Undecided,
    /// The run could not be made.
    Failed,
}

/// One closed-form threshold, as `tauscope theory` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct TheoryRow {
    pub rule: &'static str,
    pub momentum: f64,
    pub dampening: f64,
    /// Updates; the mean delay where it is random.
    pub delay: f64,
    pub schedule: String,
    pub criterion: &'static str,
    pub relative_variance: f64,
    pub threshold_gain: f64,
    pub effective_gain: f64,
    pub crossing_angle: Option<f64>,
}

/// One cell beside the cell of another rule under the same circumstances, as `tauscope compare` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRow {
    /// The [`ThresholdRow`] that is compared.
    pub cell_id: String,
    pub rule: String,
    pub momentum: f64,
    pub dampening: f64,
    pub schedule: String,
    pub delay: Option<u32>,
    pub delay_mean: Option<f64>,
    pub batch: String,
    pub criterion: String,
    pub lr_threshold: Option<f64>,
    /// `lr_threshold` (1 - dampening) / (1 - momentum).
    pub effective_lr: Option<f64>,
    /// Name of the rule that it is compared with; empty where the table has no cell of it under these circumstances.
    pub baseline: Option<String>,
    /// Threshold of that cell.
    pub baseline_lr: Option<f64>,
    /// `lr_threshold` / `baseline_lr`.
    pub ratio: Option<f64>,
    /// The same of effective learning rates.
    pub effective_ratio: Option<f64>,
    /// Least and largest `ratio` that the confidence intervals, or else the brackets, of both cells allow.
    pub ratio_low: Option<f64>,
    pub ratio_high: Option<f64>,
    pub status: ComparisonStatus,
}

/// How far a comparison can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ComparisonStatus {
    /// Both cells are measured.
    Measured,
    /// At least one is undecided.
    Undecided,
    /// At least one failed.
    Failed,
    /// There is nothing to compare with.
    NoBaseline,
}

/// Writes `rows` under a header line; without rows, the header alone. The file appears whole or not at all.
///
/// # Errors
/// Where the file cannot be written; the message names it.
pub fn write_csv<T: Serialize + DeserializeOwned>(path: &Path, rows: &[T]) -> Result<()> {
    let mut writer = CsvWriter::create(path)?;
    rows.iter().try_for_each(|row| writer.write(row))?;
    writer.finish()
}

/// Puts `bytes` into the file at `path`, which appears whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = stream::partial(path);
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// Reads rows back from a file whose header must be exactly the columns of `T`, in their order.
///
/// # Errors
/// Where the file cannot be read, has another header, or holds a value of the wrong kind. Messages name the file, the
/// line, the column and the value, and say what would be accepted.
pub fn read_csv<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    CsvReader::open(path)?.collect()
}

/// [`read_csv`] of text that lies elsewhere; messages call it `name`.
///
/// # Errors
/// As [`read_csv`].
pub fn read_csv_from<T: DeserializeOwned>(name: &str, text: impl Read) -> Result<Vec<T>> {
    CsvReader::from_text(name, text)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn threshold_row() -> ThresholdRow {
        ThresholdRow {
            cell_id: "a1b2c3d4".into(),
            data: Some("digits".into()),
            model: "mlp:16".into(),
            loss: Some("ce".into()),
            samples: Some(512),
            weight_decay: 1e-3,
            rule: "heavy-ball".into(),
            momentum: 0.9,
            dampening: 0.9,
            delay: Some(4),
            schedule: "round-robin".into(),
            workers: Some(5),
            delay_mean: Some(4.0),
            delay_std: Some(0.0),
            delay_median: Some(4),
            delay_q95: Some(4),
            delay_max: Some(4),
            batch: "full".into(),
            sampling: None,
            relative_variance: None,
            seed_data: 0,
            seed_order: 0,
            seed_init: 0,
            criterion: "mean".into(),
            ensemble: 1,
            lambda_max: 0.622,
            lambda_residual: 1e-12,
            lr_theory: Some(0.5),
            lr_stable: Some(0.498),
            lr_unstable: None,
            lr_threshold: None,
            lr_low: None,
            lr_high: None,
            ratio: None,
            horizon_steps: 4000,
            runs: 8,
            status: Status::Undecided,
            engine: "cpu".into(),
            adapter: "x86_64".into(),
        }
    }

    fn run_row(lr: f64, growth_rate: Option<f64>, reason: Option<&str>) -> RunRow {
        RunRow {
            run_id: "r0".into(),
            cell_id: "a1b2c3d4".into(),
            lr,
            verdict: Verdict::Escaped,
            growth_rate,
            growth_error: None,
            members: 1,
            steps: 100,
            distance: None,
            projection: Some(-0.0),
            loss: None,
            reason: reason.map(Into::into),
        }
    }

    /// Writes `row`, with `find` replaced in the file's text, and returns the message with which reading it fails.
    fn refusal(find: &str, replacement: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thresholds.csv");
        write_csv(&path, &[threshold_row()]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(find), "{text}");
        fs::write(&path, text.replacen(find, replacement, 1)).unwrap();
        let message = format!("{:#}", read_csv::<ThresholdRow>(&path).unwrap_err());
        let from_name = message.find("thresholds.csv").expect("the message names the file");
        message[from_name..].to_owned()
    }

    #[test]
    fn the_text_of_a_file_is_this() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thresholds.csv");
        write_csv(&path, &[threshold_row()]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "cell_id,data,model,loss,samples,weight_decay,rule,momentum,dampening,delay,schedule,workers,delay_mean,\
             delay_std,delay_median,delay_q95,delay_max,batch,sampling,relative_variance,seed_data,seed_order,seed_init,\
             criterion,ensemble,lambda_max,lambda_residual,lr_theory,lr_stable,lr_unstable,lr_threshold,lr_low,lr_high,\
             ratio,horizon_steps,runs,status,engine,adapter\n\
             a1b2c3d4,digits,mlp:16,ce,512,0.001,heavy-ball,0.9,0.9,4,round-robin,5,4.0,0.0,4,4,4,full,,,\
             0,0,0,mean,1,0.622,1e-12,0.5,0.498,,,,,,4000,8,undecided,cpu,x86_64\n"
        );
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["thresholds.csv"], "nothing partial is left behind");
    }

    #[test]
    fn without_rows_there_is_still_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        write_csv::<RunRow>(&path, &[]).unwrap();
        let header =
            "run_id,cell_id,lr,verdict,growth_rate,growth_error,members,steps,distance,projection,loss,reason\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), header);
        assert_eq!(read_csv::<RunRow>(&path).unwrap(), []);
    }

    #[test]
    fn a_refused_file_names_line_column_and_value_and_says_what_is_accepted() {
        assert_eq!(
            refusal("0.9,4,", "0.9,4.5,"),
            "thresholds.csv, line 2: column `delay`: `4.5`, expected a whole number from 0 to 4294967295"
        );
        assert_eq!(
            refusal("0.622", "O.622"),
            "thresholds.csv, line 2: column `lambda_max`: `O.622`, expected a number"
        );
        assert_eq!(
            refusal("undecided", "unsure"),
            "thresholds.csv, line 2: column `status`: `unsure`, expected one of measured, undecided, failed"
        );
        assert_eq!(refusal(",4000", ""), "thresholds.csv, line 2: 38 values, expected 39, one per column");
        let header = refusal("dampening", "damping");
        assert!(
            header.starts_with("thresholds.csv, line 1, column 9: found `damping`, expected `dampening`"),
            "{header}"
        );
    }

    #[test]
    fn a_missing_and_an_empty_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        let missing = format!("{:#}", read_csv::<RunRow>(&path).unwrap_err());
        assert!(missing.contains("cannot read") && missing.contains("runs.csv"), "{missing}");
        fs::write(&path, "").unwrap();
        let empty = format!("{:#}", read_csv::<RunRow>(&path).unwrap_err());
        assert!(empty.contains("runs.csv is empty; its first line should be run_id,"), "{empty}");
    }

    proptest! {
        #[test]
        fn rows_come_back_bit_for_bit(
            lr in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
            growth_rate in proptest::option::of(proptest::num::f64::NORMAL),
            reason in proptest::option::of("[ -~\n]{1,20}"),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("runs.csv");
            let rows = [run_row(lr, growth_rate, reason.as_deref())];
            write_csv(&path, &rows).unwrap();
            let back = read_csv::<RunRow>(&path).unwrap();
            prop_assert_eq!(&back[..], &rows[..]);
            prop_assert_eq!(back[0].lr.to_bits(), lr.to_bits());
        }

        /// Lines of a table, whole or damaged, are read or refused with the table's name and the line.
        #[test]
        fn a_damaged_table_is_refused_with_its_line(
            damage in "[0-9a-z.,\"\n\r\\PC]{0,6}",
            place in 0usize..400,
            length in 0usize..8,
        ) {
            let mut text: Vec<char> = format!(
                "{}\nr0,a1,0.5,stable,-0.1,100,1e-9,,0.25,\nr1,a1,0.6,escaped,0.1,90,1,0.5,,left\n",
                cells::columns::<RunRow>().join(",")
            ).chars().collect();
            let place = place.min(text.len());
            text.splice(place..(place + length).min(text.len()), damage.chars());
            let text: String = text.into_iter().collect();
            if let Err(error) = read_csv_from::<RunRow>("runs.csv", text.as_bytes()) {
                let message = format!("{error:#}");
                prop_assert!(message.contains("runs.csv, line ") || message.contains("line: "), "{text}: {message}");
            }
        }
    }
}
