//! The scripts of a job array of Slurm and of the job that merges it.
//!
//! Not here: submitting them ([`super::slurm`]).

use super::Submission;
use crate::files::read_input;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::io;
use std::path::Path;

pub const SHARD_SCRIPT: &str = "shard.sh";
pub const MERGE_SCRIPT: &str = "merge.sh";

/// The script of every shard. A shard that was begun goes on, one that is finished has nothing to do, so the script can be
/// run again at any time.
///
/// SIGUSR1, which Slurm sends before the time limit, makes the program stop with a checkpoint, and the task goes back into the
/// queue. SIGTERM, of scancel, does the same without going back.
pub fn shard_script(submission: &Submission) -> String {
    let Submission { program, job, shards, .. } = submission;
    let prologue = commands(submission);
    let mut command = quoted(&program.display().to_string());
    job.iter().for_each(|word| command += &format!(" {}", quoted(word)));
    format!(
        "{}{prologue}\
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
        head(submission, "", "shard-%a", &[warning(submission), options(submission, |_| true)].concat()),
        quoted(&submission.folder().display().to_string()),
    )
}

/// The script that merges the shards. It needs no GPU.
pub fn merge_script(submission: &Submission) -> String {
    let Submission { program, shards, out, .. } = submission;
    let prologue = commands(submission);
    format!(
        "{}{prologue}\
         # All shards into one results folder.\n\
         set --\n\
         shard=1\n\
         while [ $shard -le {shards} ]; do\n    \
             set -- \"$@\" {}/shard-$shard\n    \
             shard=$((shard + 1))\n\
         done\n\
         exec {} merge \"$@\" --out {}\n",
        head(submission, "-merge", "merge", &options(submission, |option| !wants_gpus(option))),
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

/// The user's options that are `kept`, as #SBATCH lines hold them.
fn options(submission: &Submission, kept: fn(&str) -> bool) -> Vec<String> {
    submission.options.iter().filter(|option| kept(option)).map(|option| sbatch_option(option)).collect()
}

/// The interpreter, and the options of the job.
fn head(submission: &Submission, suffix: &str, log: &str, more: &[String]) -> String {
    let folder = submission.folder().display().to_string().replace('%', "%%");
    let interpreter = submission.prologue.lines().next().filter(|line| line.starts_with("#!"));
    let mut text = format!("{}\n", interpreter.unwrap_or("#!/bin/sh"));
    let own = [
        format!("--job-name={}", sbatch_word(&format!("tauscope-{}{suffix}", submission.name()))),
        format!("--output={}", sbatch_word(&format!("{folder}/log/{log}.txt"))),
        "--open-mode=append".into(),
        format!("--chdir={}", sbatch_word(&submission.directory.display().to_string())),
    ];
    for option in own.iter().chain(more) {
        writeln!(text, "#SBATCH {option}").expect("a String takes it all");
    }
    text
}

/// The prologue without its interpreter, as whole lines.
fn commands(submission: &Submission) -> String {
    let lines = submission.prologue.lines().enumerate().filter(|(number, line)| *number > 0 || !line.starts_with("#!"));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// Reads the file of `--prologue`.
///
/// # Errors
/// Where it cannot be read, or has options for sbatch.
pub fn read_prologue(path: &Path) -> Result<String> {
    let shown = path.display();
    let text_of = |bytes| String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let text =
        read_input(path).and_then(text_of).with_context(|| format!("--prologue {shown}: cannot be read as text"))?;
    if let Some(number) = text.lines().position(|line| line.starts_with("#SBATCH")) {
        bail!("--prologue {shown}, line {}: an #SBATCH line; accepted: --sbatch with its option", number + 1);
    }
    Ok(text)
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

/// A word of an #SBATCH line: there a backslash keeps the character behind it, and quotes keep spaces.
fn sbatch_word(word: &str) -> String {
    let escaped: String =
        word.chars().flat_map(|c| "\\\"'#".contains(c).then_some('\\').into_iter().chain([c])).collect();
    if word.is_empty() || word.contains(char::is_whitespace) { format!("\"{escaped}\"") } else { escaped }
}

/// Name, what stands behind it, and value of an option: `--mem=1G`, `--mem 1G`, `-p short`, `-pshort`.
fn parts(option: &str) -> (&str, &str, &str) {
    if !option.starts_with("--") {
        let (name, value) = option.split_at(option.char_indices().nth(2).map_or(option.len(), |(at, _)| at));
        let apart = if value.starts_with(char::is_whitespace) { " " } else { "" };
        return (name, apart, value.trim());
    }
    match option.find(|c: char| c == '=' || c.is_whitespace()) {
        None => (option, "", ""),
        Some(at) if option[at..].starts_with('=') => (&option[..at], "=", &option[at + 1..]),
        Some(at) => (&option[..at], " ", option[at..].trim()),
    }
}

/// An option as an #SBATCH line holds it: its value, with whatever spaces are in it, is one word.
fn sbatch_option(option: &str) -> String {
    match parts(option) {
        (name, "", "") => name.into(),
        (name, apart, value) => format!("{name}{apart}{}", sbatch_word(value)),
    }
}

/// Whether an option asks for GPUs or says how they are used.
fn wants_gpus(option: &str) -> bool {
    let (name, ..) = parts(option);
    let begins = ["--gres", "--gpu", "--tres"].iter().any(|beginning| name.starts_with(beginning));
    begins || name.ends_with("-per-gpu") || name == "-G"
}

/// Checks an option of sbatch.
///
/// # Errors
/// One that the submission itself gives, by its name; what is no option, or several.
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
    const SHORT: [&str; 5] = ["-a", "-d", "-o", "-D", "-J"];
    if !option.starts_with('-') || option.chars().any(char::is_control) {
        return Err("accepted: an option of sbatch, as --partition=NAME".into());
    }
    let (name, _, value) = parts(option);
    // getopt knows a long option by its beginning.
    let is_own = |own: &&&str| own.starts_with(name) && name.len() > 2;
    if let Some(own) = OWN.iter().find(is_own).or_else(|| SHORT.iter().find(|own| **own == name)) {
        return Err(format!("{own} is set by tauscope submit; accepted: other options of sbatch, as --partition=NAME"));
    }
    if value.contains(" --") {
        return Err("accepted: one option of sbatch each, as --sbatch=--partition=NAME --sbatch=--time=60".into());
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
    fn words_of_the_shell_are_quoted_where_they_must_be() {
        assert_eq!(quoted("quadratic:1.0,0.3"), "quadratic:1.0,0.3");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_value_of_an_option_is_one_word_of_its_line() {
        let cases = [
            ("--comment=nightly run", "--comment=\"nightly run\""),
            ("--comment nightly run", "--comment \"nightly run\""),
            ("--comment=50% of #3", "--comment=\"50% of \\#3\""),
            (r#"--comment=say "hi" \o/"#, r#"--comment="say \"hi\" \\o/""#),
            ("--mem 1G", "--mem 1G"),
            ("-p short", "-p short"),
            ("-pshort", "-pshort"),
            ("--gres=gpu:1", "--gres=gpu:1"),
            ("--exclusive", "--exclusive"),
            ("--comment=", "--comment=\"\""),
        ];
        for (option, line) in cases {
            assert_eq!(sbatch_option(option), line);
        }
    }

    #[test]
    fn options_of_the_submission_itself_are_refused_in_every_spelling() {
        for own in
            ["--array=1-3", "--array 1-3", "--arr=1", "-a1-3", "-a 1-3", "-J x", "--dependency=afterok:1", "--out=x"]
        {
            assert!(check_option(own).unwrap_err().contains("is set by tauscope submit"), "{own}");
        }
        for wrong in ["partition", "", "--comment=a\nb", "--partition=p --time=60"] {
            assert!(check_option(wrong).unwrap_err().contains("accepted: "), "{wrong}");
        }
        for fine in ["--gres=gpu:1", "-p short", "-A me", "--comment=nightly run", "--nodelist=n1", "-N1"] {
            assert_eq!(check_option(fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn a_merge_asks_for_no_gpus() {
        let asked =
            ["--gres=gpu:1", "--gpus=2", "-G1", "-G 1", "--gpus-per-node=1", "--cpus-per-gpu=4", "--mem-per-gpu 8G"];
        assert!(asked.iter().all(|option| wants_gpus(option)));
        let kept = ["--partition=gpu", "--mem=8G", "--cpus-per-task=4", "--get-user-env", "-p gpu"];
        assert!(!kept.iter().any(|option| wants_gpus(option)));
    }
}
