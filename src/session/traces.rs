//! Traces, on request: a file for each run with what it drew at each step, so that it can be replayed elsewhere.
//!
//! The draws come from the seed of a run alone and are made again once it is known how many steps it has, whatever interrupted
//! it on the way. Not here: the steps themselves ([`crate::engine`]), nor which runs are traced.

use crate::batch::{Augmentation, Draw};
use crate::engine::{HostRun, Observation, Run, WaveSpec};
use crate::files::{WholeFile, write_whole};
use crate::problem::{Network, Problem};
use crate::table::TraceRow;
use crate::threshold::Change;
use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder with the traces, where they are asked for.
pub const TRACES: &str = "traces";

/// In that folder: the samples that rows count.
const SAMPLES: &str = "samples.safetensors";

/// Bytes of a row without the rows of its gradient.
const ROW_BYTES: u64 = 128;

/// Makes the folder of traces in `dir`.
///
/// # Errors
/// Where it cannot be made.
pub fn folder(dir: &Path) -> Result<PathBuf> {
    let traces = dir.join(TRACES);
    fs::create_dir_all(&traces).with_context(|| format!("cannot make {}", traces.display()))?;
    Ok(traces)
}

/// Name of the trace of a run.
pub fn file(traces: &Path, run_id: &str) -> PathBuf {
    traces.join(format!("{run_id}.csv"))
}

/// Bytes that so many steps are expected to take, each with a gradient over `rows` of `samples` rows.
pub fn bytes(steps: u64, rows: Option<usize>, problem: &Problem) -> u64 {
    let digits = problem.samples().map_or(0, |samples| u64::from(samples.max(1).ilog10()) + 2);
    steps.saturating_mul(ROW_BYTES + rows.unwrap_or(0) as u64 * digits)
}

/// Writes the samples that rows count, in their order, where there are any: `inputs` as samples x features, and `labels`; or
/// `hessians`, samples x P x P.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_samples(problem: &Problem, traces: &Path) -> Result<()> {
    let Some(samples) = problem.samples() else { return Ok(()) };
    let tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = match problem {
        Problem::Quadratic(_) => return Ok(()),
        Problem::Dense(quadratic) => {
            let shape = vec![samples, quadratic.dimension(), quadratic.dimension()];
            let hessians = quadratic.hessians().iter().flat_map(|x| x.to_le_bytes()).collect();
            vec![("hessians", Dtype::F64, shape, hessians)]
        }
        Problem::Network(Network { data, .. }) => {
            let inputs = data.inputs.iter().flat_map(|x| x.to_le_bytes()).collect();
            let labels = data.labels.iter().flat_map(|label| i64::from(*label).to_le_bytes()).collect();
            let shape = vec![samples, data.shape.elements()];
            vec![("inputs", Dtype::F32, shape, inputs), ("labels", Dtype::I64, vec![samples], labels)]
        }
    };
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fill the shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("names and shapes are well-formed");
    let path = traces.join(SAMPLES);
    write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies the files of a folder, if it is there.
///
/// # Errors
/// Where one cannot be copied.
pub fn copy_files(name: &str, from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    let cannot = || format!("cannot copy {} to {}", from.display(), to.display());
    let files = match fs::read_dir(&from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        files => files.with_context(cannot)?,
    };
    fs::create_dir_all(&to).with_context(cannot)?;
    for file in files {
        let file = file.with_context(cannot)?;
        let mut copy = WholeFile::create(&to.join(file.file_name())).with_context(cannot)?;
        File::open(file.path()).and_then(|mut file| io::copy(&mut file, &mut copy)).with_context(cannot)?;
        copy.finish().with_context(cannot)?;
    }
    Ok(())
}

/// A run, or the members of an ensemble, drawn again step by step.
pub struct Retraced {
    run_id: String,
    members: Vec<HostRun>,
    /// By member: what it went on from before its next step, and at which scale.
    renewed: Vec<Option<(usize, f64)>>,
    /// Whether a slot is a worker's.
    slots_are_workers: bool,
    augmentation: Augmentation,
}

impl Retraced {
    /// `runs` are the members, in their order.
    pub fn new(run_id: String, runs: &[Run], spec: &WaveSpec) -> Self {
        let tables = spec.row_tables();
        Self {
            run_id,
            members: runs.iter().map(|run| HostRun::new(run, spec, tables.as_ref())).collect(),
            renewed: vec![None; runs.len()],
            slots_are_workers: runs.iter().all(|run| run.schedule.workers() == Some(run.schedule.slots())),
            augmentation: spec.problem.augmentation(),
        }
    }

    /// The next step of a member, and what was seen of it.
    pub fn next(&mut self, member: usize, seen: Option<&Observation>) -> TraceRow {
        let augmented = !self.augmentation.is_none();
        let mut rows = String::new();
        let step = loop {
            let (step, batch) = self.members[member].next_with_rows();
            if let Some(batch) = batch {
                rows += if rows.is_empty() { "" } else { ";" };
                rows += &text(batch, augmented);
            }
            if step.ends_update() {
                break *step;
            }
        };
        let (slot_read, slot_write) = (step.slots.read as u32, step.slots.write as u32);
        let renewed = self.renewed[member].take();
        let number = |of: fn(&Observation) -> f64| seen.map(of).filter(|value| value.is_finite());
        TraceRow {
            run_id: self.run_id.clone(),
            member: member as u32,
            step: self.members[member].made(),
            slot_read,
            slot_write,
            worker: self.slots_are_workers.then_some(slot_write),
            delay: step.age,
            rows,
            lr: self.members[member].coefficients().lr,
            source: renewed.map(|(source, _)| source as u32),
            factor: renewed.map(|(_, factor)| factor),
            distance: number(|seen| seen.distance_squared.sqrt()),
            projection: number(|seen| seen.projection),
            loss: number(|seen| seen.loss),
        }
    }

    /// What [`crate::engine::Wave::renew`] does to the draws of lanes.
    pub fn renew(&mut self, changes: &[Change]) {
        for Change { member, source, factor, seed } in changes {
            if member != source {
                self.members[*member] = self.members[*source].clone();
            }
            seed.iter().for_each(|seed| self.members[*member].reseed(*seed));
            self.renewed[*member] = Some((*source, *factor));
        }
    }
}

/// Row numbers as a cell has them.
fn text(rows: &[u32], augmented: bool) -> String {
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let space = if place > 0 { " " } else { "" };
        let written = if augmented {
            let Draw { row, flip, down, right } = Draw::from(*row);
            write!(text, "{space}{row}:{}:{down}:{right}", u8::from(flip))
        } else {
            write!(text, "{space}{row}")
        };
        written.expect("text grows");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbers_and_what_was_done_to_them() {
        assert_eq!(text(&[7, 0, 12], false), "7 0 12");
        let row = 5 | 1 << 23 | 2 << 24 | 3 << 28;
        assert_eq!(text(&[row, 9], true), "5:1:2:3 9:0:0:0");
        assert_eq!(text(&[], false), "");
    }
}
