//! `tauscope theory`: closed-form stability thresholds as CSV, and as a picture.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::config::{Delays, Momenta, NamedPmf, non_negative};
use crate::plot;
use crate::rule::Dampening;
use crate::table::TheoryRow;
use crate::theory::{Criterion, DelayProcess, Rule, TheoryError, threshold};

/// Print closed-form stability thresholds as CSV. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Update rules: sgd, heavy-ball, nesterov, shifted, weight-prediction, delayed-nesterov, staleness-scaled
    #[arg(long, value_delimiter = ',', num_args = 1, value_parser = rule_name, default_value = "sgd,heavy-ball,shifted")]
    pub rules: Vec<String>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 0,1,2,4,8,16,32, unless
    /// --delay-pmf or --workers is given]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true)]
    pub delays: Vec<Delays>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, default_value = "0.9")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules with momentum: numbers, or 'ema' (equal to the momentum)
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, default_value = "0")]
    pub dampening: Vec<Dampening>,
    /// Also thresholds in mean square, for gradient noise of these variances relative to the curvature squared
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, value_parser = non_negative)]
    pub relative_variance: Vec<f64>,
    /// Delays drawn independently: uniform:FIRST..=LAST, geometric:RATIO, or a CSV file with the columns delay and
    /// probability or count; may be given several times
    #[arg(long, value_name = "PMF")]
    pub delay_pmf: Vec<NamedPmf>,
    /// Numbers of workers of which a random one reports at each update
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub workers: Vec<u64>,
    /// Also draw the thresholds against the delay and against the momentum into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn rule_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if Rule::NAMES.contains(&name) { Ok(name.to_owned()) } else { Err(format!("accepted: {}", Rule::NAMES.join(", "))) }
}

/// Writes the table to stdout, and the picture where one is asked for.
///
/// # Errors
/// A combination of values that has no threshold, or a file that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let rows = table(args)?;
    if let Some(path) = &args.svg {
        let text = plot::theory(&rows).context("--svg")?;
        std::fs::write(path, text).with_context(|| format!("--svg {}: cannot be written", path.display()))?;
    }
    match write(&rows, io::stdout().lock()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to stdout"),
    }
}

fn write(rows: &[TheoryRow], out: impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    for row in rows {
        writer.serialize(row).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })?;
    }
    writer.flush()
}

/// Every combination, one row each: rules, then momenta, dampenings, delay processes and criteria.
fn table(args: &Args) -> Result<Vec<TheoryRow>> {
    let rules = rules(args);
    let processes = processes(args);
    let mut rows = vec![];
    for rule in &rules {
        for (schedule, process) in &processes {
            for criterion in criteria(args, process) {
                let found = threshold(rule, process, criterion).map_err(|error| blame(rule, error))?;
                rows.push(TheoryRow {
                    rule: rule.name(),
                    momentum: rule.momentum(),
                    dampening: rule.dampening(),
                    delay: process.mean_delay(),
                    schedule: schedule.clone(),
                    criterion: criterion.name(),
                    relative_variance: match criterion {
                        Criterion::Mean => 0.0,
                        Criterion::MeanSquare { relative_variance } => relative_variance,
                    },
                    threshold_gain: found.gain,
                    effective_gain: found.gain * rule.effective_factor(),
                    crossing_angle: found.angle,
                });
            }
        }
    }
    Ok(rows)
}

/// Names the flag behind a theory error; the flags' own parsers have caught the values that are wrong by themselves.
fn blame(rule: &Rule, error: TheoryError) -> anyhow::Error {
    match error {
        TheoryError::NoGradient => anyhow!("--dampening {} with {}: {error}", rule.dampening(), rule.name()),
        _ => anyhow!("--rules {}: {error}", rule.name()),
    }
}

fn rules(args: &Args) -> Vec<Rule> {
    let mut rules: Vec<Rule> = vec![];
    for name in &args.rules {
        for momentum in args.momentum.iter().flat_map(|m| &m.0) {
            for dampening in &args.dampening {
                let rule =
                    Rule::named(name, *momentum, dampening.beside(*momentum)).expect("the flag's parser checked it");
                // Rules without momentum, and ema beside its own value, repeat themselves.
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

fn processes(args: &Args) -> Vec<(String, DelayProcess)> {
    let default = vec![Delays(vec![0, 1, 2, 4, 8, 16, 32])];
    let only_random = !args.delay_pmf.is_empty() || !args.workers.is_empty();
    let delays = if args.delays.is_empty() && !only_random { &default } else { &args.delays };
    let fixed = delays.iter().flat_map(|d| &d.0).map(|&tau| ("round-robin".to_owned(), DelayProcess::Fixed(tau)));
    let independent =
        args.delay_pmf.iter().map(|named| (named.name.clone(), DelayProcess::Independent(named.pmf.clone())));
    let workers = args.workers.iter().map(|&n| ("random".to_owned(), DelayProcess::RandomWorkers(n as usize)));
    fixed.chain(independent).chain(workers).collect()
}

/// The mean, and the mean square at each variance; a random delay is noise by itself, so it has a mean square without
/// any other.
fn criteria(args: &Args, process: &DelayProcess) -> Vec<Criterion> {
    let random = !matches!(process, DelayProcess::Fixed(_));
    let mut variances = args.relative_variance.clone();
    if random && variances.is_empty() {
        variances.push(0.0);
    }
    let squares = variances.into_iter().map(|relative_variance| Criterion::MeanSquare { relative_variance });
    std::iter::once(Criterion::Mean).chain(squares).collect()
}
