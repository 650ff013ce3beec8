//! Slurm's own commands: what they are asked and what they answer.
//!
//! Accounting (slurmdbd) may be absent: `squeue` and `scontrol` know the jobs of the last minutes, and `sacct` is asked
//! only about those that they have forgotten. Not here: the scripts of the jobs ([`super::script`]).

use super::script::{MERGE_SCRIPT, SHARD_SCRIPT, shown};
use super::{Job, State, Submission};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::process::Command;

/// States of a job that is over. Any other is of one that waits, runs, or is on its way.
const OVER: [&str; 11] = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "SPECIAL_EXIT",
    "TIMEOUT",
];

/// The arguments of sbatch for the shards `indices`.
pub fn array_arguments(submission: &Submission, indices: &[u32]) -> Vec<String> {
    let script = submission.folder().join(SHARD_SCRIPT);
    let throttle = submission.throttle.map_or(String::new(), |most| format!("%{most}"));
    vec!["--parsable".into(), format!("--array={}{throttle}", ranges(indices)), script.display().to_string()]
}

/// The arguments of sbatch for the merge: once all of job `after` has ended well, and `others` have ended at all.
pub fn merge_arguments(submission: &Submission, after: Option<&str>, others: &[String]) -> Vec<String> {
    let mut arguments = vec!["--parsable".into(), "--kill-on-invalid-dep=yes".into()];
    let waits = after.map(|id| format!("afterok:{id}")).into_iter();
    let waits: Vec<String> = waits.chain(others.iter().map(|id| format!("afterany:{id}"))).collect();
    if !waits.is_empty() {
        arguments.push(format!("--dependency={}", waits.join(",")));
    }
    arguments.push(submission.folder().join(MERGE_SCRIPT).display().to_string());
    arguments
}

/// `1-3,5` for 1, 2, 3 and 5.
fn ranges(indices: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for &index in indices {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => spans.push((index, index)),
        }
    }
    let shown = spans.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Submits, and notes it at once: a job that nobody knows of would be lost.
///
/// # Errors
/// Where sbatch is not there or refuses, in its words.
pub fn submit_shards(submission: &mut Submission, indices: &[u32]) -> Result<String> {
    let id = sbatch(&array_arguments(submission, indices))?;
    submission.jobs.push(Job { id: id.clone(), shards: indices.to_vec() });
    submission.save()?;
    Ok(id)
}

/// # Errors
/// As [`submit_shards`].
pub fn submit_merge(submission: &mut Submission, after: Option<&str>, others: &[String]) -> Result<String> {
    let id = sbatch(&merge_arguments(submission, after, others))?;
    submission.merges.push(id.clone());
    submission.save()?;
    Ok(id)
}

fn sbatch(arguments: &[String]) -> Result<String> {
    let output = output("sbatch", arguments)?;
    // "17", or "17;cluster".
    let id = output.trim().split(';').next().unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("sbatch answered '{}'; expected a job's number", output.trim());
    }
    Ok(id.into())
}

/// # Errors
/// Where scancel is not there or refuses.
pub fn cancel(ids: &[String]) -> Result<()> {
    if ids.is_empty() { Ok(()) } else { output("scancel", ids).map(drop) }
}

fn output(program: &str, arguments: &[String]) -> Result<String> {
    let run = Command::new(program).args(arguments).output();
    let run = run.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "{program}: no such command; accepted: a machine with Slurm's commands sbatch, squeue and scancel"
        ),
        _ => anyhow::anyhow!("cannot run {program}: {error}"),
    })?;
    if !run.status.success() {
        let told = String::from_utf8_lossy(&run.stderr);
        let told: Vec<&str> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        bail!("{}: {}", shown(program, arguments), told.join("; "));
    }
    String::from_utf8(run.stdout).with_context(|| format!("{program} wrote no text"))
}

/// What Slurm knows of a task of a job: its state and why.
pub type Queue = HashMap<(String, String), (String, String)>;

/// Every job that Slurm still remembers, by job and task; the task of a job that is no array is `N/A`.
///
/// # Errors
/// Where squeue is not there or fails.
pub fn queue() -> Result<Queue> {
    let text = output("squeue", &["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r"].map(String::from))?;
    let line = |line: &str| {
        let mut fields = line.splitn(4, '|').map(|field| field.trim().to_owned());
        Some(((fields.next()?, fields.next()?), (fields.next()?, fields.next()?)))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Whether a job, or any task of it, waits or runs.
pub fn is_active(queue: &Queue, id: &str) -> bool {
    queue.iter().any(|((job, _), (state, _))| job == id && !OVER.contains(&state.as_str()))
}

/// Where a shard is.
pub fn state(submission: &Submission, queue: &Queue, index: u32) -> State {
    if submission.is_finished(index) {
        return State::Finished;
    }
    let Some(job) = submission.jobs.iter().rev().find(|job| job.shards.contains(&index)) else {
        return State::Ended("was never submitted".into());
    };
    match queue.get(&(job.id.clone(), index.to_string())) {
        Some((state, reason)) if !OVER.contains(&state.as_str()) => State::Active(match reason.as_str() {
            "None" => format!("{state} in job {}", job.id),
            reason => format!("{state} ({reason}) in job {}", job.id),
        }),
        Some((state, _)) => {
            let code = exit_code(&job.id, index).map(|code| format!(", exit code {code}")).unwrap_or_default();
            State::Ended(format!("{state}{code} in job {}", job.id))
        }
        None => State::Ended(match accounted(&job.id, index) {
            Some(state) => format!("{state} in job {}", job.id),
            None => format!("job {} is over, and Slurm has forgotten how", job.id),
        }),
    }
}

/// `CODE:SIGNAL`, from scontrol.
fn exit_code(id: &str, index: u32) -> Option<String> {
    let text = output("scontrol", &["show", "job", "--oneliner", &format!("{id}_{index}")].map(String::from)).ok()?;
    text.split_whitespace().find_map(|field| field.strip_prefix("ExitCode=")).map(Into::into)
}

/// State and exit code from accounting, where there is any.
fn accounted(id: &str, index: u32) -> Option<String> {
    let task = format!("--jobs={id}_{index}");
    let arguments = ["--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", &task];
    let text = output("sacct", &arguments.map(String::from)).ok()?;
    let (state, code) = text.lines().last()?.split_once('|')?;
    Some(format!("{state}, exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_written_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3,5,7-8");
        assert_eq!(ranges(&[4]), "4");
    }
}
