//! `--dry-run` of sweeps and trainings: the batches of runs that a plan makes, their memory, and the time they take at the
//! speed of this moment. Writes nothing.
//!
//! Not here: what one command alone says of its plan ([`sweep`], [`train`]).

pub mod sweep;
pub mod train;

use crate::command::lines::labelled;
use crate::config::Precision;
use crate::engine::{Engine, EngineError, EngineInfo, Needs, Part, Run, WaveSpec};
use crate::session::progress::bytes;
use crate::table::number::{percent, significant};
use crate::text::counted;
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long the engine is timed, all batches of runs together.
const TIMED: Duration = Duration::from_millis(300);

/// Kinds of batches that a person is shown.
const SHOWN: usize = 5;

/// A learning rate at which weights hardly move: timing wants steps, not results.
const STILL: f64 = 1e-9;

/// Runs that can advance together.
struct Kind {
    /// With as many lanes as advance at once.
    spec: WaveSpec,
    runs: usize,
    /// Needs of every run that may be at work at once with the others, those that need most first.
    needs: Vec<Needs>,
    /// The runs that are timed, and what they need.
    timed: (Vec<Run>, Needs),
    config_steps: f64,
    /// Config-steps that take as long as the steps which must follow each other.
    longest: f64,
    /// How often single runs go through all samples without a step.
    evaluations: f64,
    has_checkpoints: bool,
}

/// What runs that can advance together take.
#[derive(Debug, Serialize)]
struct BatchReport {
    /// Samples of a gradient; none where they are all.
    rows: Option<usize>,
    /// How the engine makes their steps.
    path: String,
    runs: usize,
    config_steps: f64,
    /// Runs that advance at once.
    at_once: usize,
    /// How many batches of so many runs there are.
    fills: usize,
    /// Bytes of the run that needs most.
    run_bytes: u64,
    /// Bytes that are needed however many runs there are.
    shared_bytes: u64,
    /// Bytes for looking at all samples, which a sweep never does.
    evaluation_bytes: u64,
    /// Bytes of all runs that advance at once, with what they share.
    total_bytes: u64,
    free_bytes: Option<u64>,
    /// Share of `run_bytes` that the stored weight versions take.
    history_share: f64,
    /// Bytes and seconds of a checkpoint of all runs that advance at once, where there are checkpoints.
    checkpoint_bytes: Option<u64>,
    checkpoint_seconds: Option<f64>,
    config_steps_per_second: f64,
    seconds: f64,
}

/// What the clock said of an engine.
struct Speed {
    config_steps_per_second: f64,
    /// Seconds of one run's evaluation.
    evaluation: f64,
    /// Seconds in which one byte of a run's state is taken from the engine.
    checkpoint_byte: f64,
}

impl BatchReport {
    fn measure(engine: &dyn Engine, precision: Precision, kind: Kind, time: Duration) -> Result<Self> {
        let (spec, at_once) = (&kind.spec, kind.spec.lanes);
        let word = if precision == Precision::F64 { 8 } else { 4 };
        let footprint = engine.footprint(spec)?;
        let without = Needs { evaluation: false, ..spec.needs };
        let training = engine.footprint(&WaveSpec { needs: without, ..spec.clone() })?;
        let of_evaluation = |lanes: u64| {
            lanes * footprint.lane.saturating_sub(training.lane) + footprint.shared.saturating_sub(training.shared)
        };
        let history = (spec.needs.slots * spec.problem.dimension() * word) as f64;
        // A processor makes room for each run, an adapter the same room for all of a batch.
        let each = |needs: &Needs| -> Result<(u64, u64), EngineError> {
            let spec = WaveSpec { needs: *needs, ..spec.clone() };
            Ok((engine.footprint(&spec)?.lane, engine.checkpoint_bytes(&spec)))
        };
        let held: Vec<(u64, u64)> = kind.needs.iter().take(at_once).map(each).collect::<Result<_, _>>()?;
        let of_runs = match engine.info().engine.as_str() {
            "cpu" => held.iter().map(|(run, _)| run).sum::<u64>(),
            _ => footprint.lane * at_once as u64,
        };
        let checkpoint_bytes = kind.has_checkpoints.then(|| held.iter().map(|(_, checkpoint)| checkpoint).sum::<u64>());
        let path = engine.path(spec)?;
        let (rows, runs, config_steps) = (spec.batch, kind.runs, kind.config_steps);
        let (longest, evaluations) = (kind.longest, kind.evaluations);
        let speed = Speed::measure(engine, kind, time)?;
        let rate = speed.config_steps_per_second;
        Ok(Self {
            rows,
            path,
            runs,
            config_steps,
            at_once,
            fills: runs.div_ceil(at_once),
            run_bytes: training.lane,
            shared_bytes: training.shared,
            evaluation_bytes: of_evaluation(at_once as u64),
            total_bytes: footprint.shared + of_runs,
            free_bytes: footprint.free,
            history_share: history / training.lane as f64,
            checkpoint_bytes,
            checkpoint_seconds: checkpoint_bytes.map(|bytes| bytes as f64 * speed.checkpoint_byte),
            config_steps_per_second: rate,
            seconds: config_steps.max(longest) / rate + evaluations * speed.evaluation,
        })
    }

    /// The report as a person reads it, on three lines.
    fn text(&self, width: Option<usize>) -> String {
        let rows = self.rows.map_or("all samples".to_owned(), |rows| counted(rows, "sample"));
        let turns = if self.fills > 1 { format!(", {} in turn", counted(self.fills, "batch")) } else { String::new() };
        let batch = format!("{} at once, {}{turns}; {rows} for each gradient", counted(self.at_once, "run"), self.path);
        let evaluation = match self.evaluation_bytes {
            0 => String::new(),
            size => format!(", {} for evaluations", bytes(size)),
        };
        let free = self.free_bytes.map_or(String::new(), |free| format!(", {} are free", bytes(free)));
        let checkpoint = self.checkpoint_bytes.zip(self.checkpoint_seconds).map_or(String::new(), |(size, seconds)| {
            format!("; a checkpoint takes {} and about {} s", bytes(size), significant(seconds, 2))
        });
        let memory = format!(
            "{} for a run ({} of it its ring of weight versions), {} shared{evaluation}: {} in all{free}{checkpoint}",
            bytes(self.run_bytes),
            percent(self.history_share, 2),
            bytes(self.shared_bytes),
            bytes(self.total_bytes),
        );
        let speed = counted(self.config_steps_per_second as usize, "config-step");
        [("batch", batch), ("memory", memory), ("speed", format!("{speed} per second"))]
            .map(|(label, told)| label_line(label, &told, width))
            .concat()
    }
}

/// Lines about the first kinds of batches, and how many more there are.
fn batch_lines(batches: &[BatchReport], width: Option<usize>) -> String {
    let mut text: String = batches.iter().take(SHOWN).map(|batch| batch.text(width)).collect();
    if batches.len() > SHOWN {
        text += &label_line("", &format!("and {} of batches", counted(batches.len() - SHOWN, "more kind")), width);
    }
    text
}

/// The engine, and why it is taken.
fn engine_line(info: &EngineInfo, why: &str) -> String {
    format!("{} {} on {} ({why})", info.engine, info.precision, info.adapter)
}

fn label_line(label: &str, told: &str, width: Option<usize>) -> String {
    format!("{}\n", labelled(label, told, 9, width))
}

impl Speed {
    /// Times a full batch of the runs to be timed.
    fn measure(engine: &dyn Engine, kind: Kind, time: Duration) -> Result<Self> {
        let Kind { spec, timed: (runs, needs), evaluations, has_checkpoints, .. } = kind;
        let (lanes, block) = (spec.lanes, spec.block);
        let spec = WaveSpec { needs, ..spec };
        let mut wave = engine.open(spec.clone())?;
        for (lane, run) in (0..lanes).zip(runs.iter().cycle()) {
            wave.start(lane, Run { lr: STILL.into(), ..run.clone() })?;
        }
        wave.advance(1)?; // the first step makes what later ones reuse
        let clock = Instant::now();
        let (mut steps, mut portion) = (0, 1);
        while clock.elapsed() < time {
            let before = clock.elapsed();
            wave.advance(portion)?;
            steps += portion;
            if clock.elapsed().saturating_sub(before) < time / 10 {
                portion = (2 * portion).min(block);
            }
        }
        let config_steps_per_second =
            (steps * lanes * spec.needs.work.gradients) as f64 / clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        if evaluations > 0.0 {
            wave.evaluate(Part::Train)?;
            wave.evaluate(Part::Test)?;
        }
        let evaluation = clock.elapsed().as_secs_f64() / lanes as f64;
        let (clock, mut state) = (Instant::now(), Vec::new());
        if has_checkpoints {
            wave.save(0, &mut state)?;
        }
        let checkpoint_byte = clock.elapsed().as_secs_f64() / state.len().max(1) as f64;
        Ok(Self { config_steps_per_second, evaluation, checkpoint_byte })
    }
}

/// Whether the engine takes as long for a step of few runs as of many: a GPU does, unless it is a program on the processor.
fn is_hardware(EngineInfo { engine, device_type, .. }: &EngineInfo) -> bool {
    engine == "gpu" && device_type != "Cpu"
}

/// The larger needs first.
fn sorted(mut needs: Vec<Needs>) -> Vec<Needs> {
    needs.sort_by_key(|needs| std::cmp::Reverse(needs.slots + needs.memories()));
    needs
}
