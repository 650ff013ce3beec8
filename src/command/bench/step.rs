//! `tauscope bench step`: config-steps per second of one workload, beside what the machine could do.

use crate::bench::roof::Roof;
use crate::bench::step::{Measured, measure};
use crate::bench::workload::{NetworkSpec, Workload};
use crate::bench::{Spread, export};
use crate::command::lines::labelled;
use crate::command::to_stdout;
use crate::config::{Batch, EngineArgs, EngineChoice, Precision, ProblemArgs, Samples};
use crate::engine::EngineInfo;
use crate::engine::cpu::Cpu;
use crate::math::Activation;
use crate::math::vector::Instructions;
use crate::problem::Problem;
use crate::rule::{Locality, Rule, RuleSpec};
use crate::session::ChosenEngine;
use crate::streams::stdout_width;
use crate::table::number::{percent, significant};
use crate::text::counted;
use anyhow::{Error, Result, bail};
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use strum::IntoEnumIterator;

/// From 1 to `most`.
fn count(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// 0 to 600.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.0..=600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "accepted: a number of seconds from 0 to 600".into())
}

/// Many delayed runs of one network, which differ in their learning rates alone.
#[derive(Clone, Debug, clap::Args)]
#[command(
    mut_arg("samples", |arg| arg.default_value("1536")),
    mut_arg("model", |arg| arg.default_value("mlp:32"))
)]
pub struct StepArgs {
    #[command(flatten)]
    problem: ProblemArgs,
    /// Samples per gradient: a number, or 'full'
    #[arg(long, default_value = "128", help_heading = "Workload")]
    batch: Batch,
    /// Weight versions that a run stores: each gradient is one update less old
    #[arg(long, default_value = "17", value_parser = count(1_000_001), help_heading = "Workload")]
    slots: usize,
    /// Runs at once
    #[arg(long, default_value = "256", value_parser = count(1 << 24), help_heading = "Workload")]
    lanes: usize,
    /// Steps of the first round, which is not timed
    #[arg(long, default_value = "200", value_parser = count(1 << 24), help_heading = "Workload")]
    steps: usize,
    /// Update rule, by the names of `tauscope sweep --rules`
    #[arg(long, default_value = "sgd", help_heading = "Workload")]
    rule: RuleSpec,
    /// Momentum of the rules that have one [default: the rule's own]
    #[arg(long, allow_negative_numbers = true, help_heading = "Workload")]
    momentum: Option<f64>,
    /// Chooses the samples, draws the start and orders the minibatches
    #[arg(long, default_value_t = 0, help_heading = "Workload")]
    seed: u64,

    #[command(flatten)]
    engine: EngineArgs,
    /// Vector instructions of the cpu engine in f32 [default: the widest that the processor has]; a library's products of matrices take
    /// its own choice
    #[arg(long, value_enum, help_heading = "Engine")]
    instructions: Option<Instructions>,
    /// Rounds that are timed, after some that are not
    #[arg(long, default_value = "5", value_parser = count(10_000), help_heading = "Measurement")]
    rounds: usize,
    /// Seconds that a timed round takes at least: it repeats --steps until then; 0 for those steps alone
    #[arg(long, default_value = "0.5", value_parser = seconds, help_heading = "Measurement")]
    round_seconds: Duration,

    /// Write data, minibatches, start and outcome of the first round to a safetensors file, so that other programs can run
    /// the same and be compared
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    export: Option<PathBuf>,
    /// Write JSON instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl StepArgs {
    fn workload(&self) -> Result<Workload> {
        // A quadratic is refused whatever stands beside it.
        if !self.problem.model.is_quadratic() {
            self.problem.check().map_err(Error::msg)?;
        }
        let ProblemArgs { samples, ref model, .. } = self.problem;
        let samples = match samples {
            Some(Samples::All) | None => None,
            Some(Samples::Count(count)) => Some(count),
        };
        let problem = &self.problem;
        let (activation, loss) = (problem.activation().unwrap_or(Activation::Tanh), problem.loss());
        let network = NetworkSpec {
            data: &problem.data(),
            samples,
            model,
            activation,
            loss,
            weight_decay: problem.weight_decay(),
        }
        .build(self.seed)?;
        if self.export.is_some() && network.model.perceptron().is_none() {
            bail!(
                "--export: --model {model} is no perceptron; accepted: mlp:WIDTHS, linear, and layers: of dense layers with one \
                 activation between them"
            );
        }
        let (available, batch) = (network.data.samples(), self.batch.size());
        if let Some(size) = batch.filter(|size| *size > available) {
            bail!(
                "--batch {size}: more than the {}; accepted: 1 to {available}, or full",
                counted(available, "sample")
            );
        }
        let (slots, problem) = (self.slots as u32, Arc::new(Problem::Network(network)));
        let Self { lanes, steps, seed, .. } = *self;
        Ok(Workload { problem, batch, rule: self.rule()?, slots, lanes, steps, seed })
    }

    /// The engine that is measured, and the instructions that it takes where it is the processor's.
    fn engine(&self) -> Result<(ChosenEngine, Instructions)> {
        let Some(instructions) = self.instructions else {
            return Ok((super::open(&self.engine)?, Instructions::best()));
        };
        let EngineArgs { choice, precision, .. } = self.engine;
        if choice != EngineChoice::Cpu || precision == Precision::F64 {
            bail!(
                "--instructions {instructions}: they are those of the cpu engine in f32; accepted: with --engine cpu"
            );
        }
        if !instructions.are_there() {
            let there: Vec<String> =
                Instructions::iter().filter(|set| set.are_there()).map(|set| set.to_string()).collect();
            bail!("--instructions {instructions}: this processor has none; accepted: {}", there.join(", "));
        }
        let engine = Box::new(Cpu::<f32>::with(instructions));
        Ok((ChosenEngine { engine, why: "asked for".into() }, instructions))
    }

    fn rule(&self) -> Result<Rule> {
        let definition = self.rule.kind.definition();
        if definition.locality == Locality::ScalesWithHessian {
            bail!(
                "--rule {}: it needs the true Hessian, which networks do not have; accepted: the other rules",
                self.rule
            );
        }
        let (momentum, dampening) = match (definition.momentum, self.momentum) {
            (None, None) => (0.0, 0.0),
            (None, Some(momentum)) => {
                bail!("--momentum {momentum}: {} has none; accepted: without --momentum", self.rule)
            }
            (Some(usual), asked) => {
                let momentum = asked.unwrap_or(usual.momentum);
                if !(0.0..1.0).contains(&momentum) {
                    bail!("--momentum {momentum}: accepted: 0 or more and less than 1");
                }
                (momentum, usual.dampenings.first().map_or(0.0, |dampening| dampening.beside(momentum)))
            }
        };
        Ok(self.rule.with(momentum, dampening))
    }
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    /// Steps of single runs per second: the median over the rounds, and both ends.
    config_steps_per_s: f64,
    config_steps_per_s_min: f64,
    config_steps_per_s_max: f64,
    rounds: usize,
    /// Useful operations of one step of one run ([`crate::bench::work::flops_of_step`]).
    flops_per_config_step: u64,
    gflops: f64,
    peak_gflops: f64,
    fraction_of_peak: f64,
    /// Whether the peaks before and after it differ by a fifth or more, or it was faster than both: the fraction then says nothing.
    noisy: bool,
    copy_gb_per_s: f64,
    planned_bytes: u64,
    resident_bytes: Option<u64>,
    /// How the engine makes its steps ([`crate::engine::Engine::path`]).
    path: String,
    waves: usize,
    parameters: usize,
    data: String,
    model: String,
    activation: String,
    loss: String,
    weight_decay: f64,
    rule: String,
    momentum: f64,
    samples: usize,
    batch: String,
    slots: usize,
    lanes: usize,
    /// More than `lanes` where these did not fit the adapter.
    lanes_asked: usize,
    /// Why there are fewer lanes, in words.
    fewer: Vec<String>,
    /// Steps of every run in a timed round.
    steps: usize,
    seed: u64,
    #[serde(flatten)]
    info: EngineInfo,
    engine_choice: String,
    /// Threads of the processor, whichever engine runs.
    threads: usize,
    commit: &'static str,
}

/// # Errors
/// Bad flags, an engine that cannot be had, a device that fails, a file that cannot be written.
pub fn run(args: &StepArgs) -> Result<()> {
    let workload = args.workload()?;
    let (ChosenEngine { engine, why }, instructions) = args.engine()?;
    let before = Roof::of(engine.info(), instructions)?;
    let Measured { config_steps_per_s, steps, path, waves, planned_bytes, resident_bytes, state, lanes, fewer } =
        measure(&workload, &*engine, args.rounds, args.round_seconds)?;
    let after = Roof::of(engine.info(), instructions)?;
    let roof = before.or(after);
    let workload = Workload { lanes, ..workload };
    if let Some(path) = &args.export {
        export::write(path, &workload, &state)?;
    }
    let Spread { median, least, most } = config_steps_per_s;
    let flops = workload.flops_of_step();
    let gflops = median * flops as f64 / 1e9;
    let network = workload.network();
    let report = Report {
        config_steps_per_s: median,
        config_steps_per_s_min: least,
        config_steps_per_s_max: most,
        rounds: args.rounds,
        flops_per_config_step: flops,
        gflops,
        peak_gflops: roof.peak_gflops,
        fraction_of_peak: gflops / roof.peak_gflops,
        noisy: !Roof::is_steady(before, after, gflops),
        copy_gb_per_s: roof.copy_gb_per_s,
        planned_bytes,
        resident_bytes,
        path,
        waves,
        parameters: network.dimension(),
        data: args.problem.data().to_string(),
        model: args.problem.model.to_string(),
        activation: network.model.perceptron().map(|model| model.activation.to_string()).unwrap_or_default(),
        loss: network.loss.to_string(),
        weight_decay: network.weight_decay,
        rule: workload.rule.name(),
        momentum: workload.rule.momentum,
        samples: network.data.samples(),
        batch: args.batch.to_string(),
        slots: args.slots,
        lanes,
        lanes_asked: args.lanes,
        fewer,
        steps,
        seed: args.seed,
        info: engine.info().clone(),
        engine_choice: why,
        threads: rayon::current_num_threads(),
        commit: env!("TAUSCOPE_COMMIT"),
    };
    to_stdout(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        table(&report, stdout_width())
    })
}

/// The report as a person reads it.
fn table(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| text += &format!("{}\n", labelled(label, &value, 16, width));
    let Report { info, .. } = report;
    let driver = if info.driver.is_empty() { String::new() } else { format!(", {}", info.driver) };
    line(
        "engine",
        format!("{} {} on {}{driver} ({})", info.engine, info.precision, info.adapter, report.engine_choice),
    );
    line("path", report.path.clone());
    line("threads", report.threads.to_string());
    line(
        "workload",
        format!(
            "{} {} {}, batch {} of {}, {} at delay {}, {}, {} of {}",
            report.model,
            report.activation,
            report.loss,
            report.batch,
            report.samples,
            report.rule,
            report.slots - 1,
            counted(report.lanes, "lane"),
            counted(report.rounds, "round"),
            counted(report.steps, "step")
        ),
    );
    line(
        "config-steps/s",
        format!(
            "{} (median; {} to {})",
            significant(report.config_steps_per_s, 4),
            significant(report.config_steps_per_s_min, 4),
            significant(report.config_steps_per_s_max, 4)
        ),
    );
    line(
        "GFLOP/s",
        format!(
            "{} useful, {}",
            significant(report.gflops, 4),
            if report.noisy {
                "no fraction of a peak: the machine was not as fast after it as before, or slower than what ran on it"
                    .into()
            } else {
                let (share, peak) = (percent(report.fraction_of_peak, 2), significant(report.peak_gflops, 4));
                format!("{share} of the measured peak of {peak}")
            }
        ),
    );
    line("copy", format!("{} GB/s, read plus written", significant(report.copy_gb_per_s, 4)));
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let resident = report.resident_bytes.map_or("unknown".into(), mib);
    line(
        "memory",
        format!("{} planned, {resident} resident, {}", mib(report.planned_bytes), counted(report.waves, "wave")),
    );
    report.fewer.iter().for_each(|why| line("fewer lanes", why.clone()));
    line("commit", report.commit.into());
    text
}
