//! Slurm: the scripts of a job array and of the job that merges it, and Slurm's own commands.
//!
//! Accounting (slurmdbd) may be absent: `squeue` and `scontrol` know the jobs of the last minutes, and `sacct` is asked
//! only about those that they have forgotten.

use super::{Job, State, Submission};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

pub const SHARD_SCRIPT: &str = "shard.sh";
pub const MERGE_SCRIPT: &str = "merge.sh";

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

/// The script of every shard. A shard that was begun goes on, one that is finished has nothing to do, so the script can be
/// run again at any time.
///
/// SIGUSR1, which Slurm sends before the time limit, makes the program stop with a checkpoint, and the task goes back into the
/// queue. SIGTERM, of scancel, does the same without going back.
pub fn shard_script(submission: &Submission) -> String {
    let Submission { program, job, shards, .. } = submission;
    let mut command = quoted(&program.display().to_string());
    job.iter().for_each(|word| command += &format!(" {}", quoted(word)));
    format!(
        "{}\
         # One shard, by the array's task: goes on where an earlier try ended.\n\
         out={}/shard-$SLURM_ARRAY_TASK_ID\n\
         if [ -e \"$out\" ]; then\n    \
             echo \"$out is finished\"\n    \
             exit 0\n\
         fi\n\
         set --\n\
         if [ -e \"$out.partial\" ]; then\n    \
             set -- --resume\n\
         fi\n\
         {command} --shard \"$SLURM_ARRAY_TASK_ID/{shards}\" --out \"$out\" \"$@\" &\n\
         process=$!\n\
         time_is_up=\n\
         trap 'time_is_up=yes; kill -TERM $process' USR1\n\
         trap 'kill -TERM $process' TERM\n\
         wait $process\n\
         code=$?\n\
         # A signal ends the waiting before the process.\n\
         while kill -0 $process 2>/dev/null; do\n    \
             wait $process\n    \
             code=$?\n\
         done\n\
         if [ -n \"$time_is_up\" ] && [ $code -eq 143 ]; then\n    \
             echo \"the time limit is near; back into the queue\"\n    \
             exec scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\"\n\
         fi\n\
         exit $code\n",
        head(submission, "", "shard-%a", &warning(submission)),
        quoted(&submission.folder().display().to_string()),
    )
}

/// The script that merges the shards.
pub fn merge_script(submission: &Submission) -> String {
    let Submission { program, shards, out, .. } = submission;
    format!(
        "{}\
         # All shards into one results folder.\n\
         set --\n\
         shard=1\n\
         while [ $shard -le {shards} ]; do\n    \
             set -- \"$@\" {}/shard-$shard\n    \
             shard=$((shard + 1))\n\
         done\n\
         exec {} merge \"$@\" --out {}\n",
        head(submission, "-merge", "merge", &[]),
        quoted(&submission.folder().display().to_string()),
        quoted(&program.display().to_string()),
        quoted(&out.display().to_string()),
    )
}

/// The options by which Slurm warns a shard before its time limit.
fn warning(submission: &Submission) -> Vec<String> {
    match submission.signal {
        0 => Vec::new(),
        seconds => vec![format!("--signal=B:USR1@{seconds}"), "--requeue".into()],
    }
}

fn head(submission: &Submission, suffix: &str, log: &str, more: &[String]) -> String {
    let folder = submission.folder().display().to_string().replace('%', "%%");
    let mut text = String::from("#!/bin/sh\n");
    let own = [
        format!("--job-name={}", double_quoted(&format!("tauscope-{}{suffix}", submission.name()))),
        format!("--output={}", double_quoted(&format!("{folder}/log/{log}.txt"))),
        "--open-mode=append".into(),
        format!("--chdir={}", double_quoted(&submission.directory.display().to_string())),
    ];
    for option in own.iter().chain(more).chain(&submission.options) {
        writeln!(text, "#SBATCH {option}").expect("a String takes it all");
    }
    text
}

/// A command as it would be typed.
pub fn shown(program: &str, arguments: &[String]) -> String {
    arguments.iter().fold(program.to_owned(), |line, argument| line + " " + &quoted(argument))
}

/// A word of a shell script.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A word of an #SBATCH line.
fn double_quoted(word: &str) -> String {
    if word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.into() }
}

/// The arguments of sbatch for the shards `indices`.
pub fn array_arguments(submission: &Submission, indices: &[u32]) -> Vec<String> {
    let script = submission.folder().join(SHARD_SCRIPT);
    vec!["--parsable".into(), format!("--array={}", ranges(indices)), script.display().to_string()]
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
        ErrorKind::NotFound => anyhow::anyhow!("{program} is not there; accepted: on a machine with Slurm's commands"),
        _ => anyhow::anyhow!("cannot run {program}: {error}"),
    })?;
    if !run.status.success() {
        bail!("{}: {}", shown(program, arguments), String::from_utf8_lossy(&run.stderr).trim());
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

/// Options that the submission itself gives.
///
/// # Errors
/// Names the option.
pub fn check_option(option: &str) -> Result<(), String> {
    const OWN: [&str; 12] = [
        "--array",
        "--dependency",
        "--parsable",
        "--wrap",
        "--output",
        "--chdir",
        "--open-mode",
        "--job-name",
        "--no-requeue",
        "--requeue",
        "--signal",
        "--kill-on-invalid-dep",
    ];
    let name = option.split(['=', ' ']).next().unwrap_or_default();
    if OWN.contains(&name) {
        return Err(format!(
            "{name} is set by tauscope submit; accepted: other options of sbatch, as --partition=NAME"
        ));
    }
    if !option.starts_with('-') || option.contains('\n') {
        return Err("accepted: an option of sbatch, as --partition=NAME".into());
    }
    Ok(())
}

/// Paths that no #SBATCH line can hold.
///
/// # Errors
/// Names the path.
pub fn check_path(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '\n', '\\']) => Ok(()),
        _ => bail!("{}: accepted: a path without quotes, backslashes and line breaks", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_written_as_ranges_and_words_quoted_where_they_must_be() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3,5,7-8");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(quoted("quadratic:1.0,0.3"), "quadratic:1.0,0.3");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
        assert!(check_option("--array=1-3").is_err() && check_option("partition").is_err());
        assert!(check_option("--gres=gpu:1").is_ok() && check_option("-p short").is_ok());
    }
}
