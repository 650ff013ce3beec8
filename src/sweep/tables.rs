//! The tables of a sweep's results folder: thresholds.csv, runs.csv and delays.csv, written from finished cells and read back.

use super::evidence::{EIGENVALUES, ENERGIES};
use crate::files::write_whole;
use crate::session::job::Counted;
use crate::session::traces::{TRACES, copy_files};
use crate::session::{Entry, Kind, ReadEntries, SHARDS, Tables};
use crate::table::{CsvReader, CsvWriter, DelayRow, RunRow, Status, ThresholdRow, keep_finite};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// The weights that all runs started beside.
pub const MINIMUM: &str = "minimum.safetensors";

/// One finished cell, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellEntry {
    /// Index in the plan's cells.
    pub cell: usize,
    pub threshold: ThresholdRow,
    pub runs: Vec<RunRow>,
    pub delays: Vec<DelayRow>,
}

impl Entry for CellEntry {
    fn unit(&self) -> usize {
        self.cell
    }

    fn id(&self) -> &str {
        &self.threshold.cell_id
    }

    fn row(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.threshold)
    }

    fn failed(&self, why: &str) -> Self {
        let mut failed = self.clone();
        let ThresholdRow {
            relative_variance,
            delay_mean,
            delay_std,
            lr_theory,
            theory_error,
            lr_stable,
            lr_unstable,
            lr_threshold,
            lr_low,
            lr_high,
            ratio,
            lr_effective,
            status,
            reason,
            ..
        } = &mut failed.threshold;
        (*status, *reason) = (Status::Failed, Some(why.to_owned()));
        let numbers = [
            delay_mean,
            delay_std,
            lr_theory,
            theory_error,
            lr_stable,
            lr_unstable,
            lr_threshold,
            lr_low,
            lr_high,
            ratio,
            lr_effective,
        ];
        numbers.into_iter().chain([relative_variance]).for_each(keep_finite);
        for run in &mut failed.runs {
            let RunRow { growth_rate, growth_error, distance, projection, loss, .. } = run;
            [growth_rate, growth_error, distance, projection, loss].into_iter().for_each(keep_finite);
        }
        failed
    }
}

impl CellEntry {
    /// Gradients of single runs that the cell took.
    fn steps(&self) -> u64 {
        let updates: u64 = self.runs.iter().map(|run| run.steps * u64::from(run.members)).sum();
        updates * self.threshold.gradients()
    }
}

/// How much is in the tables; the same for the same rows, however often the sweep was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepTotals {
    pub cells: usize,
    /// Rows of runs.csv.
    pub runs: usize,
    /// Gradients that the runs in runs.csv took, every member of an ensemble counted.
    pub config_steps: u64,
}

impl fmt::Display for SweepTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted(&[(self.cells, "cells"), (self.runs, "runs")]).fmt(f)
    }
}

/// The tables of a sweep.
pub enum SweepTables {}

impl Tables for SweepTables {
    const KIND: Kind = Kind::SWEEP;
    const MAIN: &'static str = "thresholds.csv";
    const SHARED_FILES: &'static [(&'static str, &'static str)] = &[
        (SHARDS, "shards of one sweep"),
        (MINIMUM, "shards that ran on processors of one kind, or with one --minimum FILE"),
    ];
    type Entry = CellEntry;
    type Totals = SweepTotals;
    type Summary = Vec<ThresholdRow>;

    fn write(
        dir: &Path,
        entries: &mut dyn Iterator<Item = Result<CellEntry>>,
    ) -> Result<(Vec<ThresholdRow>, SweepTotals)> {
        let mut thresholds = CsvWriter::create(&dir.join(Self::MAIN))?;
        let mut runs = CsvWriter::<RunRow>::create(&dir.join("runs.csv"))?;
        let mut delays = CsvWriter::<DelayRow>::create(&dir.join("delays.csv"))?;
        let (mut rows, mut totals) = (Vec::new(), SweepTotals::default());
        for entry in entries {
            let entry = entry?;
            thresholds.write(&entry.threshold)?;
            entry.runs.iter().try_for_each(|run| runs.write(run))?;
            entry.delays.iter().try_for_each(|delay| delays.write(delay))?;
            totals.cells += 1;
            totals.runs += entry.runs.len();
            totals.config_steps += entry.steps();
            rows.push(entry.threshold);
        }
        thresholds.finish()?;
        runs.finish()?;
        delays.finish()?;
        Ok((rows, totals))
    }

    fn read(dir: &Path) -> Result<Box<dyn ReadEntries<CellEntry>>> {
        let open = |name: &str| dir.join(name);
        Ok(Box::new(Reader {
            folder: dir.into(),
            thresholds: CsvReader::open(&open(Self::MAIN))?,
            runs: CsvReader::open(&open("runs.csv"))?.peekable(),
            delays: CsvReader::open(&open("delays.csv"))?.peekable(),
        }))
    }

    fn ids(dir: &Path) -> Result<Vec<String>> {
        CsvReader::<ThresholdRow>::open(&dir.join(Self::MAIN))?.map(|row| Ok(row?.cell_id)).collect()
    }

    fn copy_own_files(from: &Path, to: &Path) -> Result<()> {
        copy_eigenvalues(from, to)?;
        copy_files(TRACES, from, to)
    }
}

/// Copies what --top has asked for; all shards have the same of it.
pub(crate) fn copy_eigenvalues(from: &Path, to: &Path) -> Result<()> {
    for name in [EIGENVALUES, ENERGIES].iter().filter(|name| from.join(name).is_file()) {
        let (from, to) = (from.join(name), to.join(name));
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        write_whole(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// The tables of one folder, read side by side.
struct Reader {
    folder: PathBuf,
    thresholds: CsvReader<ThresholdRow>,
    runs: Peekable<CsvReader<RunRow>>,
    delays: Peekable<CsvReader<DelayRow>>,
}

impl ReadEntries<CellEntry> for Reader {
    fn next(&mut self, cell: usize, id: &str) -> Result<CellEntry> {
        let folder = self.folder.display();
        let found = self.thresholds.next().transpose()?;
        let Some(threshold) = found.filter(|row| row.cell_id == id) else {
            bail!("{folder}/thresholds.csv: cell {id} does not stand where the plan has it");
        };
        // The column `runs` counts every member of an ensemble, runs.csv has one row for all of them.
        let mut runs: Vec<RunRow> = Vec::new();
        while let Some(row) = self.runs.next_if(|row| row.as_ref().map_or(true, |row| row.cell_id == id)) {
            runs.push(row?);
        }
        let (counted, expected) = (runs.iter().map(|run| run.members).sum::<u32>(), threshold.runs);
        if counted != expected {
            bail!(
                "{folder}/runs.csv: {} of cell {id}, where thresholds.csv counts {expected}",
                crate::text::counted(counted, "run")
            );
        }
        let mut delays = Vec::new();
        while let Some(row) = self.delays.next_if(|row| row.as_ref().map_or(true, |row| row.cell_id == id)) {
            delays.push(row?);
        }
        Ok(CellEntry { cell, threshold, runs, delays })
    }

    fn end(&mut self) -> Result<()> {
        let folder = self.folder.display();
        if let Some(run) = self.runs.next().transpose()? {
            bail!("{folder}/runs.csv: run {} does not stand where thresholds.csv has its cell", run.run_id);
        }
        if let Some(row) = self.delays.next().transpose()? {
            bail!("{folder}/delays.csv: cell {} does not stand where thresholds.csv has it", row.cell_id);
        }
        Ok(())
    }
}
