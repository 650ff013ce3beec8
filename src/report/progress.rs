//! How far an unfinished job is, read from its folder while it may be running: the plan, the command, and where its runs were at the latest
//! checkpoint.
//!
//! Nothing in the folder is changed, and whatever cannot be read is left out. Not here: the tables of what is finished
//! ([`crate::session::SoFar`]).

use super::facts;
use crate::session::checkpoint::{BEFORE, NEWEST};
use crate::session::{JOURNAL, PLAN, is_held};
use crate::table::number::{percent, significant};
use crate::text::counted;
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file that the process which writes a folder holds.
const LOCK: &str = "lock";
/// Most runs that are listed.
const MOST_RUNS: usize = 100;
/// Longest table of a checkpoint that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What is known of an unfinished folder.
pub struct Unfinished {
    dir: PathBuf,
    pub plan: Value,
}

/// A run in a checkpoint.
#[derive(Deserialize)]
struct Section {
    about: Run,
}

#[derive(Deserialize)]
struct Run {
    run: usize,
    step: u64,
    progress: InProgress,
}

#[derive(Deserialize)]
struct InProgress {
    outcome: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    diverged: bool,
    evaluations: Vec<Evaluation>,
}

#[derive(Deserialize)]
struct Evaluation {
    step: u64,
    epoch: u64,
    test: Right,
}

#[derive(Deserialize)]
struct Right {
    correct: u64,
    samples: u64,
}

impl Run {
    /// Epochs that it has made, fractions included; none before its first evaluation after the start.
    fn epochs(&self) -> Option<f64> {
        let last = self.progress.outcome.evaluations.iter().rfind(|one| one.epoch > 0)?;
        Some(self.step as f64 * last.epoch as f64 / last.step as f64)
    }

    /// The part of its epochs that it has made; one that diverged is over.
    fn share(&self, epochs: f64) -> f64 {
        if self.progress.outcome.diverged { 1.0 } else { (self.epochs().unwrap_or(0.0) / epochs).clamp(0.0, 1.0) }
    }
}

/// The runs of a training's checkpoint, and when it was made: its last bytes are a table in CBOR, the length of that, and a checksum.
fn runs(path: &Path) -> Option<(Vec<Run>, SystemTime)> {
    const WORD: u64 = size_of::<u64>() as u64;
    let mut file = File::open(path).ok()?;
    let made = file.metadata().and_then(|about| about.modified()).ok()?;
    let end = file.seek(SeekFrom::End(0)).ok()?.checked_sub(blake3::OUT_LEN as u64 + WORD)?;
    file.seek(SeekFrom::Start(end)).ok()?;
    let mut length = [0; WORD as usize];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    file.seek(SeekFrom::Start(end.checked_sub(length).filter(|_| length <= LONGEST)?)).ok()?;
    let mut table = vec![0; usize::try_from(length).ok()?];
    file.read_exact(&mut table).ok()?;
    let (_, sections): (IgnoredAny, Vec<Section>) = ciborium::from_reader(&table[..]).ok()?;
    let runs: Vec<Run> = sections.into_iter().map(|section| section.about).collect();
    (!runs.is_empty()).then_some((runs, made))
}

impl Unfinished {
    /// The unfinished folder that `named` is, or that stands beside it under the name of the finished one.
    pub fn find(named: &Path) -> Option<Self> {
        // Without a slash at its end, and whatever bytes its name has.
        let mut beside = named.components().collect::<PathBuf>().into_os_string();
        beside.push(".partial");
        [named.to_owned(), beside.into()].into_iter().find_map(|dir| {
            let plan = serde_json::from_slice(&fs::read(dir.join(PLAN)).ok()?).ok()?;
            Some(Self { dir, plan })
        })
    }

    /// The command that made the folder, where that is known: from the plan, or that of the process which writes it.
    pub fn command(&self) -> Option<String> {
        facts::command(&self.plan).or_else(|| {
            let text = fs::read_to_string(self.dir.join(LOCK)).ok().filter(|_| is_held(&self.dir))?;
            let process: u32 = text.split_whitespace().nth(1)?.parse().ok()?;
            // Where the system has such files; elsewhere the command is not known.
            let words = fs::read(format!("/proc/{process}/cmdline")).ok()?;
            let mut words: Vec<String> =
                words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            // Words end with a zero; the program is called by its name.
            words.pop();
            // The number may be that of a process on another machine.
            let program =
                words.first_mut().filter(|word| Path::new(word).file_stem().is_some_and(|name| name == "tauscope"))?;
            *program = "tauscope".into();
            facts::command(&json!({ "command": words }))
        })
    }

    /// How to go on with the job.
    pub fn advice(&self) -> Markup {
        let word = if self.plan["job"] == "training" { "train" } else { "sweep" };
        let target = self.dir.with_extension("");
        html! {
            p.note {
                @if is_held(&self.dir) { "A process writes this folder. If it is stopped, the job goes on with " }
                @else { "No process writes this folder. The job goes on with " }
                code { "tauscope " (word) " … --out " (target.display()) " --resume" }
                ", with the flags that it was begun with."
            }
        }
    }

    /// How many runs are finished.
    fn finished(&self) -> usize {
        fs::read(self.dir.join(JOURNAL)).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
    }

    /// What a run is called: its arm and its seed, in the order of the plan.
    fn name(&self, run: usize) -> String {
        let plan = &self.plan["plan"];
        let seeds = plan["seeds"].as_array().map_or(&[][..], |seeds| &seeds[..]);
        let arm = run.checked_div(seeds.len()).map_or(&Value::Null, |arm| &plan["arms"][arm]);
        let (Some(rule), Some(lr)) = (arm["rule"]["kind"].as_str(), arm["lr_scaled"].as_f64()) else {
            return format!("run {}", run + 1);
        };
        let delay = arm["delay"].as_u64().map_or_else(String::new, |delay| format!(", delay {delay}"));
        format!("{rule}{delay}, lr {}, seed {}", significant(lr, 4), seeds[run % seeds.len()])
    }

    /// Where the runs of a training were at its latest checkpoint, and how long the rest will take at the speed between the latest two.
    /// Nothing of other jobs.
    pub fn runs(&self) -> Markup {
        let epochs = self.plan["plan"]["course"]["epochs"].as_f64().filter(|epochs| *epochs > 0.0);
        let units = self.plan["units"].as_u64().filter(|units| *units > 0);
        let is_training = self.plan["job"] == "training";
        let Some((epochs, units)) = epochs.zip(units).filter(|_| is_training) else { return html! {} };
        let Some((newest, made)) = runs(&self.dir.join(NEWEST)) else {
            return html! {
                p { "How far the runs are shows once the job has made a checkpoint, by " code { "--checkpoint-every" } "." }
            };
        };
        let shares: f64 = newest.iter().map(|run| run.share(epochs)).sum();
        let share = ((self.finished() as f64 + shares) / units as f64).min(1.0);
        let left = self.left(&newest, made, epochs, (1.0 - share) * units as f64);
        let when = jiff::Timestamp::try_from(made)
            .map_or_else(|_| String::new(), |at| format!(" of {}", at.strftime("%H:%M:%S UTC")));
        let farthest = newest.iter().filter_map(Run::epochs).fold(0.0, f64::max);
        html! {
            p {
                "At the checkpoint" (when) ": epoch " (farthest as u64) " of " (epochs) ", " (percent(share, 3)) " of all work"
                @if let Some(left) = left { "; about " (told(left)) " left" }
                "."
            }
            .scrolled role="region" aria-label="Runs in flight" tabindex="0" {
                table {
                    caption { "Runs in flight at that checkpoint" }
                    thead { tr {
                        th scope="col" { "run" }
                        th.number scope="col" { "epoch" }
                        th.number scope="col" { "test accuracy" }
                    } }
                    tbody { @for run in newest.iter().take(MOST_RUNS) { tr {
                        th scope="row" { (self.name(run.run)) }
                        td.number {
                            @match run.epochs() { Some(epochs) => (epochs as u64), None => "–" }
                            @if run.progress.outcome.diverged { " (diverged)" }
                        }
                        td.number {
                            @match run.progress.outcome.evaluations.last() {
                                Some(Evaluation { test, .. }) if test.samples > 0 => (percent(test.correct as f64 / test.samples as f64, 4)),
                                _ => "–",
                            }
                        }
                    } } }
                }
            }
            @if newest.len() > MOST_RUNS { p.note { "The first " (MOST_RUNS) " of " (counted(newest.len(), "run")) "." } }
        }
    }

    /// The time that so many runs' worth of work takes, at the speed between the latest two checkpoints of the process that writes the folder.
    fn left(&self, newest: &[Run], made: SystemTime, epochs: f64, work: f64) -> Option<Duration> {
        let (before, began) = runs(&self.dir.join(BEFORE))?;
        let locked = fs::metadata(self.dir.join(LOCK)).and_then(|about| about.modified()).ok()?;
        // A checkpoint of an earlier process: the time between is no time of work.
        if began < locked || !is_held(&self.dir) {
            return None;
        }
        let seconds = made.duration_since(began).ok()?.as_secs_f64();
        let now = |run: usize| newest.iter().find(|one| one.run == run).map_or(1.0, |run| run.share(epochs));
        let of_before: f64 = before.iter().map(|run| now(run.run) - run.share(epochs)).sum();
        let is_new = |run: &&Run| before.iter().all(|other| other.run != run.run);
        let of_new: f64 = newest.iter().filter(is_new).map(|run| run.share(epochs)).sum();
        let speed = (of_before + of_new) / seconds;
        (speed > 0.0 && speed.is_finite()).then(|| Duration::try_from_secs_f64(work / speed).ok()).flatten()
    }
}

/// A time in the largest unit that it has two of.
fn told(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => counted(seconds.max(1), "second"),
        120..7200 => counted(seconds / 60, "minute"),
        7200..172_800 => counted(seconds / 3600, "hour"),
        _ => counted(seconds / 86400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint of a training as far as it is read here: run 0 at `step` of 10 an epoch.
    fn checkpoint(path: &Path, step: u64) {
        let evaluation =
            json!({"step": 20, "epoch": 2, "objective": null, "test": {"loss": 1.0, "correct": 3, "samples": 4}});
        let about =
            json!({"run": 0, "step": step, "progress": {"outcome": {"diverged": false, "evaluations": [evaluation]}}});
        let mut table = vec![];
        ciborium::into_writer(&json!([null, [{"about": about, "first": 0, "length": 0}]]), &mut table).unwrap();
        let mut file = b"what stands before".to_vec();
        file.extend(&table);
        file.extend((table.len() as u64).to_le_bytes());
        file.extend([0; blake3::OUT_LEN]);
        fs::write(path, file).unwrap();
    }

    #[test]
    fn a_training_tells_its_epoch_its_share_and_its_plan() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("out.partial");
        fs::create_dir(&dir).unwrap();
        let arm = json!({"rule": {"kind": "sgd"}, "delay": 4, "lr_scaled": 0.1});
        let plan = json!({
            "job": "training", "units": 2, "command": ["tauscope", "train"],
            "plan": {"course": {"epochs": 10}, "arms": [arm], "seeds": [0, 1]},
        });
        fs::write(dir.join(PLAN), plan.to_string()).unwrap();
        let found = Unfinished::find(&folder.path().join("out")).unwrap();
        assert_eq!(found.command().as_deref(), Some("tauscope train"));
        assert!(found.runs().into_string().contains("once the job has made a checkpoint"));
        checkpoint(&dir.join(NEWEST), 40);
        let page = found.runs().into_string();
        // Epoch 4 of 10 of the first of two runs.
        for part in ["epoch 4 of 10, 20 % of all work.", "sgd, delay 4, lr 0.1, seed 0", "75 %"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(Unfinished::find(folder.path()).is_none());
    }

    #[test]
    fn what_is_no_checkpoint_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NEWEST);
        for bytes in [&b""[..], &[255; 100]] {
            fs::write(&path, bytes).unwrap();
            assert!(runs(&path).is_none());
        }
    }
}
