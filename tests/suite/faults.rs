//! System calls that fail, or at which the process dies: at every one of them a results folder is left that is whole, or goes
//! on with `--resume`, or begins again, and always ends with the bytes of an undisturbed job and nothing beside it.
//!
//! `tests/data/fault.c`, loaded into the real binary, counts the calls on the results folder and does the harm. The process is
//! killed at every call that changes something; of the errors a seeded sample is taken. With `TAUSCOPE_FAULTS=all` in the
//! environment every call fails in every way.

use crate::folders::{outcome, tauscope};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use tempfile::TempDir;

/// The results folder: no other path has this in it.
const OUT: &str = "faulted";
/// Errors of one job that are tried without `TAUSCOPE_FAULTS=all`.
const SAMPLE: usize = 12;
const EIO: &str = "5";
const ENOSPC: &str = "28";

/// The compiled shim.
static SHIM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fault.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fault.c");
    let compiled =
        Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&path).args([source, "-ldl"]).output();
    let compiled = compiled.expect("a C compiler, cc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    (folder, path)
});

/// Makes a command run with the shim, which looks at the results folder alone.
pub fn with_shim(command: &mut Command) -> &mut Command {
    command.env("LD_PRELOAD", &SHIM.1).env("FAULT_WITHIN", OUT).env("RAYON_NUM_THREADS", "1")
}

/// A job, and what stands there before it.
struct Job {
    arguments: Vec<&'static str>,
    /// The flags with which it is begun, and begun again.
    begin: &'static [&'static str],
    /// Folders that are there before, copied from here.
    before: Option<PathBuf>,
    /// Whether an unfinished one is gone on with, and not begun again.
    resumes: bool,
    /// Calls at which the process is killed. What a kill at `fsync` leaves, one at the next call leaves too.
    kills: &'static [&'static str],
}

/// A call, counted from 1, and what happens there.
type Fault = (String, usize, &'static str);

impl Job {
    fn command(&self, folder: &Path, flags: &[&str]) -> Command {
        let mut command = tauscope(folder);
        command.args(&self.arguments).args(["--out", OUT]).args(flags).env("RAYON_NUM_THREADS", "1");
        command
    }

    fn prepare(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(before) = &self.before {
            copy(before, folder.path());
        }
        folder
    }

    /// How often each call is made in an undisturbed run, which is left in the folder.
    fn undisturbed(&self) -> (TempDir, BTreeMap<String, usize>) {
        let (folder, scratch) = (self.prepare(), tempfile::tempdir().unwrap());
        let log = scratch.path().join("log");
        let (code, error) =
            outcome(&with_shim(&mut self.command(folder.path(), self.begin)).env("FAULT_LOG", &log).output().unwrap());
        assert_eq!(code, Some(0), "{error}");
        let mut counts = BTreeMap::new();
        fs::read_to_string(log).unwrap().lines().for_each(|call| *counts.entry(call.to_owned()).or_default() += 1);
        (folder, counts)
    }

    /// Disturbs the job once and brings it to its end; what is wrong then.
    fn survive(&self, whole: &Path, (call, count, action): &Fault) -> Result<(), String> {
        let folder = self.prepare();
        let folder = folder.path();
        let fault = format!("{call}:{count}:{action}");
        let mut told = fault.clone();
        let (code, error) =
            outcome(&with_shim(&mut self.command(folder, self.begin)).env("FAULT", fault).output().unwrap());
        told += &format!("\n  at first {code:?} {error}");
        if matches!(code, Some(code) if code != 0 && !is_one_line(&error)) {
            return Err(told);
        }
        let resume = self.resumes.then_some("--resume");
        let (code, error) = outcome(&self.command(folder, resume.as_slice()).output().unwrap());
        told += &format!("\n  then {code:?} {error}");
        let finished = error.contains("it is finished") || error.contains("exists already");
        let begins_again = error.contains("accepted: without --resume") || finished && !same(folder, whole);
        if code == Some(2) && begins_again {
            let (code, error) = outcome(&self.command(folder, self.begin).output().unwrap());
            told += &format!("\n  again {code:?} {error}");
            if code != Some(0) {
                return Err(told);
            }
        } else if code != Some(0) && !finished {
            return Err(told);
        }
        if same(folder, whole) { Ok(()) } else { Err(format!("{told}\n  left {:?}", files(folder).keys())) }
    }

    /// Disturbs the job at every call.
    fn survives_everything(&self) {
        let (whole, counts) = self.undisturbed();
        let places = counts.iter().flat_map(|(call, most)| (1..=*most).map(move |count| (call.clone(), count)));
        let (mut faults, mut errors): (Vec<Fault>, Vec<Fault>) = (Vec::new(), Vec::new());
        let all = std::env::var("TAUSCOPE_FAULTS").is_ok_and(|which| which == "all");
        for (call, count) in places {
            if all || self.kills.contains(&call.as_str()) {
                faults.push((call.clone(), count, "kill"));
                faults.extend((call == "write").then(|| (call.clone(), count, "half")));
            }
            errors.extend([EIO, ENOSPC].map(|errno| (call.clone(), count, errno)));
        }
        if all {
            faults.extend(errors);
        } else {
            faults.extend(errors.sample(&mut ChaCha8Rng::seed_from_u64(4), SAMPLE).cloned());
        }
        assert!(faults.len() > 30, "the shim counts calls: {counts:?}");
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(told) = self.survive(whole.path(), fault) {
                            wrong.lock().unwrap().push(told);
                        }
                    }
                });
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{} of {} faults:\n{}", wrong.len(), faults.len(), wrong.join("\n"));
    }
}

/// Whether stderr ends in one line that says what is wrong; warnings may stand before it.
fn is_one_line(error: &str) -> bool {
    let others = error.lines().filter(|line| !line.starts_with("warning: ")).collect::<Vec<_>>();
    others.len() == 1 && others[0].starts_with("error: ")
}

/// Every file below a folder, and what is in it; run.json, which has times, without its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, Vec::new());
                folders.push(path);
            } else {
                let content = if path.ends_with("run.json") { Vec::new() } else { fs::read(&path).unwrap() };
                found.insert(name, content);
            }
        }
    }
    found
}

fn same(folder: &Path, whole: &Path) -> bool {
    files(folder) == files(whole)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Calls after which a folder is another one.
const CHANGING: &[&str] = &["open", "write", "rename", "unlink", "unlinkat", "rmdir", "mkdir"];
/// Those by which folders and files get and lose their names: what a replacement or a merge does otherwise than a sweep.
const NAMING: &[&str] = &["rename", "unlink", "unlinkat", "rmdir", "mkdir"];

const SWEEP: [&str; 10] =
    ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0,1", "--engine", "cpu", "--quiet"];

#[test]
fn a_sweep_survives_every_call_that_fails_or_kills_it() {
    Job { arguments: SWEEP.to_vec(), begin: &[], before: None, resumes: true, kills: CHANGING }.survives_everything();
}

#[test]
fn a_sweep_that_replaces_a_folder_survives_every_call_that_fails_or_kills_it() {
    let before = tempfile::tempdir().unwrap();
    let (code, error) =
        outcome(&tauscope(before.path()).args(SWEEP).args(["--tolerance", "0.05", "--out", OUT]).output().unwrap());
    assert_eq!(code, Some(0), "{error}");
    Job {
        arguments: SWEEP.to_vec(),
        begin: &["--force"],
        before: Some(before.path().into()),
        resumes: true,
        kills: NAMING,
    }
    .survives_everything();
}

#[test]
fn a_training_survives_every_call_that_fails_or_kills_it() {
    let arguments = [
        ["train", "--samples", "16", "--test", "8", "--batch", "8", "--model", "mlp:2"].as_slice(),
        &["--epochs", "2", "--seeds", "1", "--rules", "sgd", "--delays", "0", "--save-weights"],
        &["--checkpoint-every", "1us", "--engine", "cpu", "--quiet"],
    ];
    Job { arguments: arguments.concat(), begin: &[], before: None, resumes: true, kills: CHANGING }
        .survives_everything();
}

#[test]
fn a_merge_survives_every_call_that_fails_or_kills_it() {
    let before = tempfile::tempdir().unwrap();
    for (shard, out) in [("1/2", "one"), ("2/2", "two")] {
        let (code, error) =
            outcome(&tauscope(before.path()).args(SWEEP).args(["--shard", shard, "--out", out]).output().unwrap());
        assert_eq!(code, Some(0), "{error}");
    }
    Job {
        arguments: vec!["merge", "one", "two"],
        begin: &[],
        before: Some(before.path().into()),
        resumes: false,
        kills: NAMING,
    }
    .survives_everything();
}

#[test]
fn delays_from_a_file_are_bound_by_their_content_and_not_by_its_name() {
    for (process, content, other) in [
        ("trace", "delay\n1\n2\n", "delay\n1\n3\n"),
        ("iid", "delay,probability\n1,0.5\n2,0.5\n", "delay,probability\n1,0.25\n2,0.75\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let job = |file: &str, flags: &[&str]| {
            let mut command = tauscope(folder);
            let fixed = ["sweep", "--model", "quadratic:1", "--rules", "sgd,heavy-ball,nesterov", "--engine", "cpu"];
            let small = ["--ensemble", "16", "--horizon", "256", "--tolerance", "0.3", "--quiet", "--out", OUT];
            command.args(fixed).args(small).args(["--schedule", &format!("{process}:{file}")]).args(flags);
            command
        };
        fs::write(folder.join("delays.csv"), content).unwrap();
        let (code, error) =
            outcome(&with_shim(&mut job("delays.csv", &[])).env("FAULT", "fdatasync:2:kill").output().unwrap());
        assert_eq!(code, None, "killed at its second cell: {error}");
        fs::write(folder.join("delays.csv"), other).unwrap();
        let (code, error) = outcome(&job("delays.csv", &["--resume"]).output().unwrap());
        assert!(code == Some(2) && error.contains("--resume: this differs from the unfinished sweep"), "{error}");
        fs::write(folder.join("moved.csv"), content).unwrap();
        let (code, error) = outcome(&job("moved.csv", &["--resume"]).output().unwrap());
        assert_eq!(code, Some(0), "{error}");
    }
}
