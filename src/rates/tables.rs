//! The table of a folder of rates, rates.csv, written from finished units and read back.

use crate::session::job::Counted;
use crate::session::{Entry, Kind, ReadEntries, SHARDS, Tables};
use crate::sweep::MINIMUM;
use crate::sweep::copy_eigenvalues;
use crate::table::{CsvReader, CsvWriter, RateRow, Status, keep_finite};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// One finished cell at one learning rate, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateEntry {
    /// Index in the plan.
    pub unit: usize,
    pub row: RateRow,
}

impl Entry for RateEntry {
    fn unit(&self) -> usize {
        self.unit
    }

    fn id(&self) -> &str {
        &self.row.rate_id
    }

    fn row(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.row)
    }

    fn failed(&self, why: &str) -> Self {
        let mut failed = self.clone();
        let RateRow {
            rate,
            rate_error,
            updates_per_efold,
            updates_error,
            updates_theory,
            curvature_theory,
            ratio,
            status,
            reason,
            ..
        } = &mut failed.row;
        (*status, *reason) = (Status::Failed, Some(why.to_owned()));
        let numbers = [rate, rate_error, updates_per_efold, updates_error, updates_theory, curvature_theory, ratio];
        numbers.into_iter().for_each(keep_finite);
        failed
    }
}

/// How much is in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RatesTotals {
    pub rates: usize,
    pub measured: usize,
    /// Steps that all runs took, every member of an ensemble counted.
    pub config_steps: u64,
}

impl fmt::Display for RatesTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted(&[(self.rates, "rates"), (self.measured, "of them measured")]).fmt(f)
    }
}

/// The table of a sweep of rates.
pub enum RatesTables {}

impl Tables for RatesTables {
    const KIND: Kind = Kind::RATES;
    const MAIN: &'static str = "rates.csv";
    const SHARED_FILES: &'static [(&'static str, &'static str)] = &[
        (SHARDS, "shards of one sweep of rates"),
        (MINIMUM, "shards that ran on processors of one kind, or with one --minimum FILE"),
    ];
    type Entry = RateEntry;
    type Totals = RatesTotals;
    type Summary = Vec<RateRow>;

    fn write(dir: &Path, entries: &mut dyn Iterator<Item = Result<RateEntry>>) -> Result<(Vec<RateRow>, RatesTotals)> {
        let mut writer = CsvWriter::<RateRow>::create(&dir.join(Self::MAIN))?;
        let (mut rows, mut totals) = (Vec::new(), RatesTotals::default());
        for entry in entries {
            let RateEntry { row, .. } = entry?;
            writer.write(&row)?;
            totals.rates += 1;
            totals.measured += usize::from(row.status == Status::Measured);
            totals.config_steps += row.steps * u64::from(row.runs);
            rows.push(row);
        }
        writer.finish()?;
        Ok((rows, totals))
    }

    fn read(dir: &Path) -> Result<Box<dyn ReadEntries<RateEntry>>> {
        Ok(Box::new(Reader { folder: dir.into(), rows: CsvReader::open(&dir.join(Self::MAIN))? }))
    }

    fn ids(dir: &Path) -> Result<Vec<String>> {
        CsvReader::<RateRow>::open(&dir.join(Self::MAIN))?.map(|row| Ok(row?.rate_id)).collect()
    }

    fn copy_own_files(from: &Path, to: &Path) -> Result<()> {
        copy_eigenvalues(from, to)
    }
}

struct Reader {
    folder: PathBuf,
    rows: CsvReader<RateRow>,
}

impl ReadEntries<RateEntry> for Reader {
    fn next(&mut self, unit: usize, id: &str) -> Result<RateEntry> {
        match self.rows.next().transpose()?.filter(|row| row.rate_id == id) {
            Some(row) => Ok(RateEntry { unit, row }),
            None => bail!("{}/rates.csv: rate {id} does not stand where the plan has it", self.folder.display()),
        }
    }

    fn end(&mut self) -> Result<()> {
        match self.rows.next().transpose()? {
            Some(row) => bail!("{}/rates.csv: rate {} belongs to no unit", self.folder.display(), row.rate_id),
            None => Ok(()),
        }
    }
}
