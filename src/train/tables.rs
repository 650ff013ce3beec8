//! The tables of a training's results folder: runs.csv, metrics.csv and summary.csv, written from finished runs and read back;
//! and the weights that are kept.

use super::rows::summaries;
use crate::session::job::Counted;
use crate::session::traces::{TRACES, copy_files};
use crate::session::{Entry, Kind, ReadEntries, SHARDS, Tables};
use crate::table::{CsvReader, CsvWriter, MetricRow, SummaryRow, TrainRow, TrainStatus, keep_finite, write_csv};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// The folder with the last weights of every run, where they are kept.
pub const WEIGHTS: &str = "weights";

/// Folder of last second moments.
pub const STATE: &str = "state";

/// One finished run, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainEntry {
    /// Index in the plan's runs.
    pub run: usize,
    pub row: TrainRow,
    pub metrics: Vec<MetricRow>,
}

impl Entry for TrainEntry {
    fn unit(&self) -> usize {
        self.run
    }

    fn id(&self) -> &str {
        &self.row.run_id
    }

    fn row(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.row)
    }

    fn failed(&self, why: &str) -> Self {
        let mut failed = self.clone();
        let TrainRow {
            effective_lr,
            train_loss,
            test_loss,
            loss_gap,
            distance_from_init,
            lambda_max,
            lambda_residual,
            lambda_predicted,
            plateau,
            plateau_ratio,
            status,
            reason,
            ..
        } = &mut failed.row;
        (*status, *reason) = (TrainStatus::Failed, Some(why.to_owned()));
        let numbers = [effective_lr, train_loss, test_loss, loss_gap, distance_from_init, lambda_max, lambda_residual];
        numbers.into_iter().chain([lambda_predicted, plateau, plateau_ratio]).for_each(keep_finite);
        failed.metrics.retain(|metric| metric.value.is_finite());
        failed
    }
}

/// How much is in the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainTotals {
    pub runs: usize,
    pub diverged: usize,
    #[serde(skip_serializing_if = "is_none")]
    pub failed: usize,
    /// Steps of single runs.
    pub config_steps: u64,
}

/// Whether nothing was counted.
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for TrainTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted(&[(self.runs, "runs"), (self.diverged, "of them diverged")]).fmt(f)
    }
}

/// The tables of a training.
pub enum TrainTables {}

impl Tables for TrainTables {
    const KIND: Kind = Kind::TRAINING;
    const MAIN: &'static str = "runs.csv";
    const SHARED_FILES: &'static [(&'static str, &'static str)] = &[(SHARDS, "shards of one training")];
    type Entry = TrainEntry;
    type Totals = TrainTotals;
    type Summary = Vec<SummaryRow>;

    fn write(
        dir: &Path,
        entries: &mut dyn Iterator<Item = Result<TrainEntry>>,
    ) -> Result<(Vec<SummaryRow>, TrainTotals)> {
        let mut runs = CsvWriter::<TrainRow>::create(&dir.join(Self::MAIN))?;
        let mut metrics = CsvWriter::<MetricRow>::create(&dir.join("metrics.csv"))?;
        let (mut rows, mut totals) = (Vec::new(), TrainTotals::default());
        for entry in entries {
            let entry = entry?;
            runs.write(&entry.row)?;
            entry.metrics.iter().try_for_each(|metric| metrics.write(metric))?;
            totals.runs += 1;
            totals.diverged += usize::from(entry.row.status == TrainStatus::Diverged);
            totals.failed += usize::from(entry.row.status == TrainStatus::Failed);
            totals.config_steps += entry.row.steps;
            rows.push(entry.row);
        }
        runs.finish()?;
        metrics.finish()?;
        let summaries = summaries(&rows);
        write_csv(&dir.join("summary.csv"), &summaries)?;
        Ok((summaries, totals))
    }

    fn read(dir: &Path) -> Result<Box<dyn ReadEntries<TrainEntry>>> {
        let open = |name: &str| dir.join(name);
        Ok(Box::new(Reader {
            folder: dir.into(),
            runs: CsvReader::open(&open(Self::MAIN))?,
            metrics: CsvReader::open(&open("metrics.csv"))?.peekable(),
        }))
    }

    fn ids(dir: &Path) -> Result<Vec<String>> {
        CsvReader::<TrainRow>::open(&dir.join(Self::MAIN))?.map(|row| Ok(row?.run_id)).collect()
    }

    fn copy_own_files(from: &Path, to: &Path) -> Result<()> {
        [WEIGHTS, STATE, TRACES].iter().try_for_each(|name| copy_files(name, from, to))
    }
}

/// The tables of one folder, read side by side.
struct Reader {
    folder: PathBuf,
    runs: CsvReader<TrainRow>,
    metrics: Peekable<CsvReader<MetricRow>>,
}

impl ReadEntries<TrainEntry> for Reader {
    fn next(&mut self, run: usize, id: &str) -> Result<TrainEntry> {
        let found = self.runs.next().transpose()?;
        let Some(row) = found.filter(|row| row.run_id == id) else {
            bail!("{}/runs.csv: run {id} does not stand where the plan has it", self.folder.display());
        };
        let mut metrics = Vec::new();
        while let Some(row) = self.metrics.next_if(|row| row.as_ref().map_or(true, |row| row.run_id == id)) {
            metrics.push(row?);
        }
        Ok(TrainEntry { run, row, metrics })
    }

    fn end(&mut self) -> Result<()> {
        if let Some(row) = self.metrics.next().transpose()? {
            let folder = self.folder.display();
            bail!("{folder}/metrics.csv: run {} does not stand where runs.csv has it", row.run_id);
        }
        Ok(())
    }
}
