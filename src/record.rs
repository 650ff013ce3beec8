//! The rows of every CSV, and the only code that reads or writes those of a sweep.
//!
//! A row struct is the schema: the order of its fields is the header, `None` is an empty cell, and floats are written
//! with as many digits as it takes to read the same bits back. Not here: what the numbers mean for stability
//! ([`crate::theory`]) or how they are drawn ([`crate::plot`]).

mod cells;
mod stream;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

pub use stream::{CsvReader, CsvWriter};

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
    /// `sgd`, `heavy-ball`, `nesterov` or `shifted`.
    pub rule: String,
    /// 0 for sgd.
    pub momentum: f64,
    /// PyTorch's dampening; equal to the momentum in the EMA form, 0 for sgd.
    pub dampening: f64,
    /// Updates between reading the weights and applying their gradient; 0 is synchronous.
    pub delay: u32,
    /// Name of the delay process.
    pub schedule: String,
    /// Number of workers that make this delay.
    pub workers: u32,
    /// `full` or the number of samples per gradient.
    pub batch: String,
    pub seed_data: u64,
    pub seed_order: u64,
    pub seed_init: u64,
    /// How runs were judged: `mean` by the sign of their growth rate, `escape` by staying near the minimum for the horizon.
    /// `lr_theory` is the threshold of the mean in both.
    pub criterion: String,
    /// Largest Hessian eigenvalue at the minimum, 1 / (units of learning rate).
    pub lambda_max: f64,
    /// ||H v - lambda_max v|| of the unit eigenvector v that was found.
    pub lambda_residual: f64,
    /// Threshold that theory predicts: its gain / `lambda_max`.
    pub lr_theory: f64,
    /// Largest learning rate seen to be stable.
    pub lr_stable: Option<f64>,
    /// Smallest learning rate above it seen to be unstable.
    pub lr_unstable: Option<f64>,
    /// Estimate between the two.
    pub lr_threshold: Option<f64>,
    /// `lr_threshold` / `lr_theory`.
    pub ratio: Option<f64>,
    /// Steps after which a run counts as undecided (`mean`) or as having stayed (`escape`).
    pub horizon_steps: u64,
    /// Number of runs spent on this cell.
    pub runs: u32,
    pub status: Status,
    /// Engine and precision: `cpu f32`, `cpu f64` or `gpu f32`.
    pub engine: String,
    /// Adapter's name; the processor architecture for `cpu`.
    pub adapter: String,
}

/// How far the search for a cell's threshold came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Status {
    /// The bracket is within the tolerance.
    Measured,
    /// The horizon or the search ended first; the bracket so far is given.
    Undecided,
    /// Something could not be run; the reason stands with its runs.
    Failed,
}

/// One simulated training at one learning rate.
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
    /// Steps taken.
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
            delay: 4,
            schedule: "round-robin".into(),
            workers: 5,
            batch: "full".into(),
            seed_data: 0,
            seed_order: 0,
            seed_init: 0,
            criterion: "mean".into(),
            lambda_max: 0.622,
            lambda_residual: 1e-12,
            lr_theory: 0.5,
            lr_stable: Some(0.498),
            lr_unstable: None,
            lr_threshold: None,
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
            "cell_id,data,model,loss,samples,weight_decay,rule,momentum,dampening,delay,schedule,workers,batch,\
             seed_data,seed_order,seed_init,criterion,lambda_max,lambda_residual,lr_theory,lr_stable,lr_unstable,\
             lr_threshold,ratio,horizon_steps,runs,status,engine,adapter\n\
             a1b2c3d4,digits,mlp:16,ce,512,0.001,heavy-ball,0.9,0.9,4,round-robin,5,full,\
             0,0,0,mean,0.622,1e-12,0.5,0.498,,,,4000,8,undecided,cpu,x86_64\n"
        );
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["thresholds.csv"], "nothing partial is left behind");
    }

    #[test]
    fn without_rows_there_is_still_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        write_csv::<RunRow>(&path, &[]).unwrap();
        let header = "run_id,cell_id,lr,verdict,growth_rate,steps,distance,projection,loss,reason\n";
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
        assert_eq!(refusal(",4000", ""), "thresholds.csv, line 2: 28 values, expected 29, one per column");
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
    }
}
