//! What every long job shares: the choice of an engine, the results folder with lock, journal, resume and shards, progress,
//! events, signals and run.json.
//!
//! A job says what a unit of its work is, how it is worked on and which rows it makes ([`Job`], [`Tables`]); a [`Session`]
//! does the rest:
//!
//! 1. [`Session::begin`]: is the folder usable, which shard is this, which engine;
//! 2. the job is laid out (data loaded, a minimum found);
//! 3. [`Session::run`]: units that are in the journal are passed over, every finished one is appended to it, and at the end the
//!    folder is written and gets its name.
//!
//! Not here: what is measured ([`crate::sweep`], [`crate::train`]), nor the rows themselves ([`crate::table`]).

pub mod checkpoint;
mod draft;
mod engine;
mod folder;
mod identity;
pub mod job;
pub mod journal;
mod kind;
mod lock;
mod marks;
mod merge;
pub mod progress;
pub mod recovery;
mod run_file;
mod settling;
pub mod signals;
mod so_far;
mod space;
pub mod traces;

pub use draft::{Draft, Existing, beside, check};
pub use engine::{ChosenEngine, choose};
pub use folder::Folder;
pub use identity::{Identity, differences};
pub use job::{Entry, EntryOf, Job, ReadEntries, Stage, Tables, Unit, Work};
pub use journal::{Journal, UnitIds};
pub use kind::{JobName, Kind};
pub use lock::is_held;
pub use merge::{Merged, merge};
pub use run_file::{Build, RunFile, ShardRow, ShardRun, command_line};
pub use so_far::{NothingYet, SoFar, UNFINISHED};

use crate::config::Shard;
use crate::config::{EngineArgs, JobArgs};
use crate::engine::{Engine, EngineInfo};
use crate::files::write_whole;
use crate::streams::{self, tell, to_stderr, warn};
use anyhow::{Context, Error, Result, bail};
use progress::{Display, Progress};
use serde_json::{Map, Value, json};
use signals::{Interrupt, Interrupted};
use std::cell::{Cell, RefCell};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// In an unfinished folder: the identity of its job.
pub const PLAN: &str = "plan.json";
/// In an unfinished folder: its finished units.
pub const JOURNAL: &str = "journal.jsonl";
/// In a finished folder: how it came to be.
pub const RUN: &str = "run.json";
/// In the folder of a shard: every unit of the plan, and which shard it is in.
pub const SHARDS: &str = "shards.csv";
/// The keys that plan.json has beside the identity: the commit, whether a folder of the same name is to be replaced, and how
/// many units are this process's.
const COMMIT: &str = "commit";
const REPLACE: &str = "replace";
const UNITS: &str = "units";

/// One long job from its flags to its results folder.
pub struct Session {
    json: bool,
    quiet: bool,
    started: jiff::Timestamp,
    clock: Instant,
    existing: Existing,
    /// The results folder.
    pub target: PathBuf,
    /// The results folder in the making, until [`Self::run`] takes it.
    draft: Option<Draft>,
    interrupt: Interrupt,
    shard: Option<Shard>,
    /// Whether events can still be written.
    stream: Cell<bool>,
    chosen: ChosenEngine,
}

/// What a finished job came to.
#[derive(Clone, Debug)]
pub struct Finished<S, T> {
    /// The rows of the answer.
    pub summary: S,
    pub totals: T,
    pub seconds: f64,
}

impl Session {
    /// Makes the unfinished folder, locks it and opens the engine, before any work is done.
    ///
    /// # Errors
    /// Where the folder cannot be used, the environment names no shard, or the engine cannot be had.
    pub fn begin(engine: &EngineArgs, job: &JobArgs) -> Result<Self> {
        let started = jiff::Timestamp::now();
        let JobArgs { out, force, resume, shard, json, quiet, .. } = job;
        if *resume && out.is_none() {
            bail!("--resume: accepted: with --out, which names the unfinished folder");
        }
        let existing = match (*force, *resume) {
            (true, _) => Existing::Replace,
            (_, true) => Existing::Resume,
            _ => Existing::Keep,
        };
        let variable = |name: &str| std::env::var(name).ok();
        let shard = shard.map(|flag| flag.resolve(&variable)).transpose().map_err(Error::msg)?;
        // Before anything is made or said, so that no signal ends the job without a word.
        let interrupt = Interrupt::watch().context("cannot watch for signals")?;
        let draft = match out {
            Some(out) => Draft::open(out, existing)?,
            None => Draft::claim(Path::new(&started.strftime("tauscope-%Y%m%d-%H%M%S").to_string()))?,
        };
        let chosen = choose(engine)?;
        let session = Self {
            json: *json,
            quiet: *quiet,
            started,
            clock: Instant::now(),
            existing,
            target: draft.target().to_owned(),
            draft: Some(draft),
            interrupt,
            shard,
            stream: Cell::new(true),
            chosen,
        };
        let EngineInfo { engine, precision, adapter, .. } = session.info();
        session.say(&format!("engine   {engine} {precision} on {adapter} ({})", session.chosen.why));
        Ok(session)
    }

    pub fn engine(&self) -> &dyn Engine {
        &*self.chosen.engine
    }

    pub fn info(&self) -> &EngineInfo {
        self.chosen.engine.info()
    }

    /// A line on stderr, unless `--quiet`.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            to_stderr(line);
        }
    }

    /// An event on stdout, where `--json` asks for them. Where it cannot be written, the events end and the job goes on.
    fn tell(&self, event: &Value) {
        if !self.json || !self.stream.get() {
            return;
        }
        if let Err(error) = streams::write(&format!("{event}\n")) {
            self.stream.set(false);
            warn(&format!("events end here, stdout cannot be written: {error}; the job goes on"));
        }
    }

    /// The unfinished folder, which is this process's alone; `None` once [`Self::run`] has begun.
    pub fn dir(&self) -> Option<&Path> {
        self.draft.as_ref().map(Draft::dir)
    }

    /// Works on the job's units, as far as the journal does not hold them, and writes the folder. `pictures` draws into it.
    ///
    /// # Errors
    /// Where the folder holds another job or cannot be written, the units do not fit the device, or the device fails.
    /// [`Interrupted`] where a signal arrived first; what was finished stays in the unfinished folder.
    ///
    /// # Panics
    /// Where it is called twice.
    pub fn run<J: Job>(
        &mut self,
        job: &J,
        pictures: &dyn Fn(&SummaryOf<J>, &Path) -> Result<()>,
    ) -> Result<Finished<SummaryOf<J>, TotalsOf<J>>> {
        let kind = <J::Tables as Tables>::KIND;
        let units = job.units();
        let id = |index: usize| {
            let id = &units.get(index)?.id;
            self.shard.is_none_or(|shard| shard.holds(id)).then(|| id.clone())
        };
        let mine: Vec<usize> = (0..units.len()).filter(|index| id(*index).is_some()).collect();
        if let Some(shard) = self.shard {
            self.say(&format!("shard    {shard}: {} of {} {}", mine.len(), units.len(), kind.units));
        }
        let interrupt = self.interrupt.clone();
        let identity = Identity {
            job: kind.name,
            version: Build::this().version,
            plan: job.plan()?,
            data: job.data_hash(),
            engine: self.info().clone(),
            shard: self.shard,
        };
        let draft = self.draft.take().expect("a session runs once");
        let resumed = draft.resumed;
        if !resumed {
            self.has_space(job, draft.dir(), &mine)?;
        }
        let folder = Folder::open(draft, kind, &identity, units.len(), &id)?;
        folder.warnings.iter().for_each(|line| warn(line));
        if resumed {
            let left: Vec<usize> = mine.iter().copied().filter(|unit| !folder.holds(*unit)).collect();
            self.has_space(job, folder.dir(), &left)?;
        }
        if self.existing == Existing::Resume {
            self.say(&format!("resume   {} of {} {} are in the journal", folder.finished(), mine.len(), kind.units));
        }
        self.tell_start(job, mine.len(), folder.finished())?;
        if self.json {
            folder.entries().try_for_each(|entry| {
                self.tell(&unit_event(kind, &entry?)?);
                Ok::<_, Error>(())
            })?;
        }
        let mut folder = self.settle(job, folder, &interrupt)?;
        let mended = self.perform(job, &serde_json::to_value(&identity)?, &mine, &mut folder, &interrupt)?;
        if folder.finished() < mine.len()
            && let Some(signal) = interrupt.received()
        {
            return Err(self.interrupted(signal, kind, &folder, mine.len()).into());
        }
        // Whoever merges shards learns from each what all of them should hold.
        let all: Option<Vec<ShardRow>> = self.shard.map(|shard| {
            let row = |Unit { id, name }| ShardRow { shard: Shard::place(&id, shard.of), id, name };
            units.into_iter().map(row).collect()
        });
        let begun_by_commit = folder.begun_by_another_commit();
        let (summary, totals) = folder.finish(job, all.as_deref(), pictures, |totals| {
            let mut facts = job.facts()?;
            facts.extend(as_map(serde_json::to_value(totals)?));
            Ok(RunFile {
                job: kind.name,
                build: Build::this(),
                command: command_line(),
                started: self.started.to_string(),
                finished: jiff::Timestamp::now().to_string(),
                seconds: self.clock.elapsed().as_secs_f64(),
                plan_hash: job.plan_hash(),
                plan: identity.plan,
                engine: self.info().clone(),
                engine_choice: self.chosen.why.clone(),
                paths: job.paths(),
                data_hash: identity.data,
                begun_by_commit,
                mended,
                shard: self.shard,
                shards: Vec::new(),
                facts,
            })
        })?;
        let seconds = self.clock.elapsed().as_secs_f64();
        Ok(Finished { summary, totals, seconds })
    }

    /// Works on what the journal does not hold. Returns what failed on the way and was mended.
    fn perform<J: Job>(
        &self,
        job: &J,
        identity: &Value,
        mine: &[usize],
        folder: &mut Folder<EntryOf<J>>,
        interrupt: &Interrupt,
    ) -> Result<Vec<String>> {
        let kind = <J::Tables as Tables>::KIND;
        let rest: Vec<usize> = mine.iter().copied().filter(|unit| !folder.holds(*unit)).collect();
        // Both of the job's callbacks report to it.
        let display = RefCell::new(Display::new(kind, mine.len(), folder.finished(), self.quiet, self.json));
        let since = Instant::now();
        let (mut mended, mut warnings): (Vec<String>, usize) = (Vec::new(), 0);
        let dir = folder.dir().to_owned();
        job.perform(Work {
            engine: self.engine(),
            rest: &rest,
            dir: &dir,
            identity,
            finish: &mut |entry| {
                let failed = folder.append(entry)?;
                display.borrow_mut().unit();
                self.tell(&unit_event(kind, failed.as_ref().unwrap_or(entry))?);
                Ok(())
            },
            watch: &mut |now: Progress| {
                for line in &now.mended[mended.len()..] {
                    display.borrow().warn(line);
                    mended.push(line.clone());
                }
                now.warnings[warnings..].iter().for_each(|line| display.borrow().warn(line));
                warnings = now.warnings.len();
                let due = display.borrow_mut().advance(since.elapsed(), &now);
                due.iter().for_each(|event| self.tell(event));
                match interrupt.received() {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            },
        })
        .with_context(|| format!("what was {} until then is kept; --resume goes on from it", kind.again))?;
        self.tell(&display.into_inner().finish());
        Ok(mended)
    }

    /// Refuses a job that the disk has no room for.
    fn has_space(&self, job: &impl Job, dir: &Path, units: &[usize]) -> Result<()> {
        let bytes = units.iter().map(|unit| job.unit_bytes(*unit)).fold(0, u64::saturating_add);
        space::check(dir, bytes, job.checkpoint_bytes(self.engine(), units)?)
    }

    fn tell_start(&self, job: &impl Job, units: usize, done: usize) -> Result<()> {
        let kind = kind_of(job);
        let mut event = as_map(json!({"event": "start", "plan_hash": job.plan_hash()}));
        event.insert(kind.units.into(), units.into());
        event.insert(format!("{}_done", kind.units), done.into());
        event.extend(job.counts());
        event.extend(as_map(serde_json::to_value(self.info())?));
        self.tell(&Value::Object(event));
        Ok(())
    }

    /// Ends a job: with `--json` the last event, with `counts` beside time and folder; else `answer` and the files.
    pub fn end(&self, counts: Map<String, Value>, answer: &str, files: &str) {
        let target = self.target.display();
        if self.json {
            let mut event = as_map(json!({"event": "end"}));
            event.extend(counts);
            event.insert("seconds".into(), self.clock.elapsed().as_secs_f64().into());
            event.insert("folder".into(), target.to_string().into());
            self.tell(&Value::Object(event));
        } else if !self.quiet {
            tell(&format!("{answer}\nwrote {target}: {files}\n"));
        }
    }

    fn interrupted<E: Entry>(&self, signal: usize, kind: Kind, folder: &Folder<E>, all: usize) -> Interrupted {
        let message = format!(
            "interrupted: {} of {all} {} are safe in {}{}; the same command with --resume and --out {} goes on",
            folder.finished(),
            kind.units,
            folder.journal().display(),
            if folder.dir().join(checkpoint::NEWEST).exists() { kind.unfinished } else { "" },
            self.target.display()
        );
        Interrupted { signal, message }
    }
}

/// A job that went to its end, with units that failed for reasons of their own; the folder is written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{failed} of {all} {units} failed, for the reasons that stand in {}{}",
    folder.display(), if failed < all { "; the others are there" } else { "" }
)]
pub struct SomeFailed {
    pub failed: usize,
    pub all: usize,
    pub units: &'static str,
    pub folder: PathBuf,
}

/// The rows of a job's answer, and its totals.
pub type SummaryOf<J> = <<J as Job>::Tables as Tables>::Summary;
pub type TotalsOf<J> = <<J as Job>::Tables as Tables>::Totals;

fn kind_of<J: Job>(_: &J) -> Kind {
    <J::Tables as Tables>::KIND
}

/// `cell` or `run` with its row.
fn unit_event(kind: Kind, entry: &impl Entry) -> serde_json::Result<Value> {
    let mut event = as_map(json!({"event": kind.unit}));
    event.extend(as_map(entry.row()?));
    Ok(Value::Object(event))
}

/// The members of a JSON object.
pub fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn read_plan(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no plan", path.display()))
}
