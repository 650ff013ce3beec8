//! Where a report's folder comes from: its name, and its run.json.

use crate::session::RUN;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// What is known of a results folder besides its tables.
pub struct Origin {
    /// Last part of the folder's path.
    pub name: String,
    /// The folder itself; of an unfinished one, where its journal is.
    pub dir: PathBuf,
    /// The contents of run.json, an object; an empty one where the folder has none.
    pub run: Value,
    /// Files that a results folder has and this one lacks, as far as the page can do without them.
    pub missing: Vec<String>,
}

impl Origin {
    /// Reads what is known of the folder that is called `named`; `optional` are files beside run.json that it may lack.
    ///
    /// # Errors
    /// Where the folder is missing, or its run.json is no JSON object. The message names the file.
    pub fn read(dir: &Path, named: &Path, optional: &[&str]) -> Result<Self> {
        let absolute = named.canonicalize().with_context(|| format!("cannot read the folder {}", named.display()))?;
        let name = absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned();
        let path = dir.join(RUN);
        let lacks = |name: &str| !dir.join(name).exists();
        let missing: Vec<String> =
            [RUN].iter().chain(optional).filter(|name| lacks(name)).map(|name| (*name).into()).collect();
        if lacks(RUN) {
            return Ok(Self { name, dir: named.into(), run: Value::Object(Map::new()), missing });
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let run: Value = serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))?;
        if !run.is_object() {
            bail!(
                "{}: found a JSON value that is no object, expected the run.json of a results folder",
                path.display()
            );
        }
        Ok(Self { name, dir: named.into(), run, missing })
    }

    /// A text that stands in run.json under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.run.get(key).and_then(Value::as_str)
    }
}
