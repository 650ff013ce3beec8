//! A CSV file as columns of text with typed access.
//!
//! The report shows rows, it does not compute with all of them: a column that this version does not know is shown like
//! the others, and one that it does not find is empty. What is refused is what would make the page wrong: a file that is
//! not a table, a missing column without which there is nothing to say, and text where a number must stand.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The rows that were kept of one file.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    pub columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
    /// Rows in the file, kept or not.
    pub total: usize,
}

/// One row of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    path: &'a Path,
    columns: &'a [String],
    record: &'a csv::StringRecord,
}

impl Table {
    /// Reads the rows for which `keep` holds: tables may be far larger than what a page can show of them.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks one of the columns `needed`, or has a row of another length. The message
    /// names the file, and the line where there is one.
    pub fn read(path: &Path, needed: &[&str], mut keep: impl FnMut(Row<'_>) -> bool) -> Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let mut reader = csv::ReaderBuilder::new().from_reader(file);
        let header = reader.headers().with_context(|| format!("cannot read {name}"))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        if let Some(missing) = needed.iter().find(|needed| !columns.iter().any(|column| column == **needed)) {
            bail!("{name}, line 1: no column `{missing}`; found {}", columns.join(","));
        }
        let (mut rows, mut total) = (vec![], 0);
        for record in reader.into_records() {
            let record = record.with_context(|| format!("cannot read {name}"))?;
            total += 1;
            if keep(Row { path, columns: &columns, record: &record }) {
                rows.push(record);
            }
        }
        Ok(Self { path: path.to_owned(), columns, rows, total })
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|record| Row { path: &self.path, columns: &self.columns, record })
    }
}

impl<'a> Row<'a> {
    /// The text in a column; empty where the row has none or the table lacks the column.
    pub fn text(self, column: &str) -> &'a str {
        let index = self.columns.iter().position(|name| name == column);
        index.and_then(|index| self.record.get(index)).unwrap_or("")
    }

    /// All cells in the order of the columns.
    pub fn cells(self) -> impl Iterator<Item = &'a str> {
        self.record.iter()
    }

    /// A finite number, `None` where the cell is empty.
    ///
    /// # Errors
    /// Where something else stands there; the message names file, line, column and text.
    pub fn number(self, column: &str) -> Result<Option<f64>> {
        self.checked(column, "a finite number", |value| value.is_finite())
    }

    /// Like [`Row::number`], of what a logarithmic axis has a place for.
    ///
    /// # Errors
    /// Where something else stands there.
    pub fn positive(self, column: &str) -> Result<Option<f64>> {
        self.checked(column, "a positive number", |value| value.is_finite() && value > 0.0)
    }

    fn checked(self, column: &str, expected: &str, accept: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse().ok().filter(|value| accept(*value)) {
            Some(value) => Ok(Some(value)),
            None => {
                let line = self.record.position().map_or(0, csv::Position::line);
                bail!("{}, line {line}: column `{column}`: `{text}`, expected {expected}", self.path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn table(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("t.csv");
        fs::write(&path, text)?;
        Table::read(&path, &["id"], |row| row.text("id") != "skipped")
    }

    #[test]
    fn unknown_columns_are_kept_and_absent_ones_are_empty() {
        let table = table("new,id,lr\nx,a,0.5\ny,skipped,1\n,b,\n").unwrap();
        let rows: Vec<Row<'_>> = table.rows().collect();
        assert_eq!((rows.len(), table.total), (2, 3));
        assert_eq!(rows[0].cells().collect::<Vec<_>>(), ["x", "a", "0.5"]);
        assert_eq!(rows[0].number("lr").unwrap(), Some(0.5));
        assert_eq!(rows[1].number("lr").unwrap(), None);
        assert_eq!(rows[1].text("nowhere"), "");
        assert_eq!(rows[1].number("nowhere").unwrap(), None);
    }

    #[test]
    fn what_is_refused_is_named() {
        let message = |text: &str| format!("{:#}", table(text).unwrap_err());
        assert!(message("lr\n1\n").ends_with("t.csv, line 1: no column `id`; found lr"));
        assert!(message("").contains("t.csv, line 1: no column `id`"));
        let ragged = message("id,lr\na,1\nb\n");
        assert!(ragged.contains("t.csv") && ragged.contains("line: 3"), "{ragged}");

        let refused = |text: &str| {
            let table = table(&format!("id,lr\na,{text}\n")).unwrap();
            format!("{:#}", table.rows().next().unwrap().positive("lr").unwrap_err())
        };
        assert!(refused("fast").ends_with("line 2: column `lr`: `fast`, expected a positive number"));
        assert!(refused("NaN").ends_with("`NaN`, expected a positive number"));
        assert!(refused("-1").ends_with("`-1`, expected a positive number"));
    }
}
