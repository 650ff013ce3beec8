//! Where a report's folder comes from: its name, and its run.json.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What is known of a results folder besides its tables.
pub struct Origin {
    /// Last part of the folder's path.
    pub name: String,
    /// The contents of run.json, an object.
    pub run: Value,
}

impl Origin {
    /// # Errors
    /// Where the folder or its run.json is missing, or the latter is no JSON object. The message names the file.
    pub fn read(dir: &Path) -> Result<Self> {
        let absolute = dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))?;
        let name = absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned();
        let path = dir.join("run.json");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let run: Value = serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))?;
        if !run.is_object() {
            bail!(
                "{}: found a JSON value that is no object, expected the run.json of a results folder",
                path.display()
            );
        }
        Ok(Self { name, run })
    }

    /// A text that stands in run.json under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.run.get(key).and_then(Value::as_str)
    }
}
