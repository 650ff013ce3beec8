//! Whether a disk has room for what a job is going to write, asked before its work begins.
//!
//! An estimate: what others write in the meantime, and what a file system keeps for itself, is not known. Not here: what is
//! written ([`super::Job::unit_bytes`]).

use super::progress::bytes;
use anyhow::{Result, bail};
use std::path::Path;

/// Pictures, run.json and what else a folder has once.
const ONCE: u64 = 1 << 20;

/// Refuses a job that needs more than is free. Where the system does not say what is free, nothing is refused.
///
/// # Errors
/// With both numbers.
pub fn check(dir: &Path, units: u64, checkpoints: u64) -> Result<()> {
    let Ok(free) = fs4::available_space(dir) else { return Ok(()) };
    let needed = units.saturating_add(checkpoints).saturating_add(ONCE);
    if needed > free {
        bail!(
            "--out: the disk of {} has {} free, and the job needs about {}, {} of it for checkpoints; accepted: a folder on a \
             disk with more space, or a smaller job",
            dir.display(),
            bytes(free),
            bytes(needed),
            bytes(checkpoints)
        );
    }
    Ok(())
}
