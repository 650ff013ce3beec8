//! `tauscope bench`: every kernel under the roofline of the machine.

use crate::bench::kernels::{Subject, Timed, on_adapter, on_processor};
use crate::bench::roof::Roof;
use crate::command::lines::wrapped;
use crate::command::shown::{Column, Worth, fitted};
use crate::command::to_stdout;
use crate::config::EngineArgs;
use crate::engine::EngineInfo;
use crate::engine::gpu::{AdapterChoice, Gpu};
use crate::math::vector::Instructions;
use crate::session::ChosenEngine;
use crate::streams::stdout_width;
use crate::table::number::{aligned, percent, significant};
use crate::text::counted;
use anyhow::Result;
use serde::Serialize;

#[derive(Clone, Debug, clap::Args)]
pub struct KernelArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Write JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    roof: Roof,
    kernels: Vec<Row>,
    #[serde(flatten)]
    info: EngineInfo,
    engine_choice: String,
    /// What the times are read from: `device` or `host`.
    clock: &'static str,
    threads: usize,
    commit: &'static str,
}

/// One kernel at one shape, or a whole network.
#[derive(Debug, Serialize)]
struct Row {
    kernel: String,
    /// How a whole network is run: `fused` or `layered`; null of a single kernel.
    path: Option<String>,
    /// At once: threads of the processor, or lanes of a dispatch.
    lanes: usize,
    /// Time of all lanes together.
    microseconds: f64,
    gflops: f64,
    gb_per_s: f64,
    fraction_of_peak: f64,
    /// Whether the peaks before and after it differ by a fifth or more, or it was faster than both: fractions then say nothing.
    noisy: bool,
    /// Above 1 where operands stay in a cache.
    fraction_of_copy: f64,
    /// Which roof is lower at the kernel's operations per byte: `compute` or `memory`.
    bound_by: &'static str,
    /// Why it has fewer lanes than usual, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fewer: Vec<String>,
}

impl Row {
    /// `around`: the roofs before and after it; `roof`: the best of all.
    fn new(
        Subject { name, path, work, .. }: &Subject,
        Timed { lanes, seconds, fewer }: Timed,
        around: [Roof; 2],
        roof: Roof,
    ) -> Self {
        let rate = |amount: u64| amount as f64 * lanes as f64 / seconds / 1e9;
        let (gflops, gb_per_s) = (rate(work.flops), rate(work.bytes));
        let (fraction_of_peak, fraction_of_copy) = (gflops / roof.peak_gflops, gb_per_s / roof.copy_gb_per_s);
        let bound_by = if fraction_of_peak > fraction_of_copy { "compute" } else { "memory" };
        Self {
            kernel: name.clone(),
            path: path.clone(),
            lanes,
            microseconds: 1e6 * seconds,
            gflops,
            gb_per_s,
            fraction_of_peak,
            noisy: !Roof::is_steady(around[0], around[1], gflops),
            fraction_of_copy,
            bound_by,
            fewer,
        }
    }
}

/// # Errors
/// Bad flags, an engine that cannot be had, a device that fails.
pub fn run(args: &KernelArgs) -> Result<()> {
    let ChosenEngine { engine, why } = super::open(&args.engine)?;
    let info = engine.info().clone();
    let adapter = match info.engine.as_str() {
        "gpu" => Some(Gpu::open(&AdapterChoice::Named(info.adapter.clone()))?),
        _ => None,
    };
    let subjects = match &adapter {
        Some(gpu) => on_adapter(gpu)?,
        None if info.precision == "f64" => on_processor::<f64>()?,
        None => on_processor::<f32>()?,
    };
    let chosen: Vec<_> = subjects.iter().filter(|subject| subject.name.contains(&args.only)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        let (engine, precision) = (&info.engine, &info.precision);
        anyhow::bail!(
            "--only {}: accepted on {engine} in {precision}: a part of one of {}",
            args.only,
            names.join("; ")
        );
    }
    // An adapter is measured at both ends, as it seldom has other work; a processor around every kernel.
    let roof = || Roof::of(&info, Instructions::best());
    let mut roofs = vec![roof()?];
    let mut timed = Vec::new();
    for (number, subject) in chosen.iter().enumerate() {
        timed.push(subject.time()?);
        if adapter.is_none() || number + 1 == chosen.len() {
            roofs.push(roof()?);
        }
    }
    let roof = roofs.iter().copied().reduce(Roof::or).expect("one was measured before all");
    let around = |number: usize| if adapter.is_none() { [number, number + 1] } else { [0, 1] };
    let rows = chosen.into_iter().zip(timed).enumerate();
    let kernels =
        rows.map(|(number, (subject, timed))| Row::new(subject, timed, around(number).map(|at| roofs[at]), roof));
    let kernels = kernels.collect();
    let report = Report {
        roof,
        kernels,
        info,
        engine_choice: why,
        clock: if adapter.as_ref().is_some_and(|gpu| gpu.device().has_clock()) { "device" } else { "host" },
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
    let Report { roof, info, clock, threads, .. } = report;
    let engine = format!(
        "{} {} on {} ({}), {}, times by the {clock}'s clock",
        info.engine,
        info.precision,
        info.adapter,
        report.engine_choice,
        counted(*threads, "thread")
    );
    let peak = format!(
        "peak {} GFLOP/s, copy {} GB/s (read plus written)",
        significant(roof.peak_gflops, 4),
        significant(roof.copy_gb_per_s, 4)
    );
    let mut told = vec![engine, peak, fitted(&report.kernels, columns(), width, "--json has all")];
    if report.kernels.iter().any(|row| row.noisy) {
        told.push(
            "noisy: the machine was not as fast after it as before, or the kernel was faster than its peak; other work was \
             going on"
                .into(),
        );
    }
    if report.kernels.iter().any(|row| row.fraction_of_copy > 1.0) {
        told.push(
            "of copy over 100 %: operands of a small kernel stay in a cache, which is faster than the memory that is copied"
                .into(),
        );
    }
    told.extend(report.kernels.iter().flat_map(|row| row.fewer.iter().map(|why| format!("{}: {why}", row.kernel))));
    // A table is as wide as it should be, and has its own lines.
    let lines = told.iter().map(|text| if text.contains('\n') { text.clone() } else { wrapped(text, width) });
    lines.map(|line| format!("{line}\n")).collect()
}

/// What is shown of a kernel.
fn columns() -> Vec<Column<Row>> {
    let share = |row: &Row| if row.noisy { "noisy".into() } else { percent(row.fraction_of_peak, 2) };
    vec![
        Column::new("kernel", Worth::Needed, |row: &Row| row.kernel.clone()),
        Column::new("path", Worth::Detail, |row: &Row| row.path.clone().unwrap_or_default()),
        Column::new("lanes", Worth::Detail, |row: &Row| row.lanes.to_string()),
        Column::new("us", Worth::Evidence, |row: &Row| aligned(row.microseconds, 4)),
        Column::new("GFLOP/s", Worth::Needed, |row: &Row| aligned(row.gflops, 4)),
        Column::new("GB/s", Worth::Evidence, |row: &Row| aligned(row.gb_per_s, 4)),
        Column::new("of peak", Worth::Result, share),
        Column::new("of copy", Worth::Result, |row: &Row| percent(row.fraction_of_copy, 2)),
        Column::new("bound by", Worth::Evidence, |row: &Row| row.bound_by.to_owned()),
    ]
}
