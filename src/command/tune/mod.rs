//! `tauscope tune`: the fastest parameters of every rule under delay as CSV, beside the bound on all rules.
//!
//! Here: the flags, and what is printed for fixed delays. Not here: delays that vary (`late`), or any search
//! ([`crate::theory::tuning`]).

mod late;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::shown::{self, Worth};
use crate::config::{Delays, TunedRuleSpec, non_negative};
use crate::curvature::Bulk;
use crate::delay::ScheduleSpec;
use crate::files::write_whole;
use crate::plan::axes::once;
use crate::plot::{self, Theme};
use crate::streams::{stderr_is_terminal, to_stderr};
use crate::sweep::{BULK, MeasuredSpectrum};
use crate::table::TuneRow;
use crate::table::number::significant;
use crate::theory::tuning::{
    LARGEST_CONDITION, LinearRule, TunedRule, Tuning, TuningSource, bound, bound_at, tune, tune_at, tune_by_formula,
};
use late::{Lateness, Process};

/// Print, as CSV or on a terminal as a table, the parameters of every rule with which the slowest direction of a quadratic decays fastest, and how far that is
/// from what any rule can reach. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Delays, in updates: numbers up to 64, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 1,4,8]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true)]
    pub delays: Vec<Delays>,
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "round-robin", help = schedule_help())]
    pub schedule: Vec<ScheduleSpec>,
    /// Condition numbers, above 1: the largest curvature over the smallest one that matters [default: 100,1000]
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        value_parser = condition
    )]
    pub condition: Vec<f64>,
    /// Take the largest curvature from this folder of `tauscope sweep`, and without --condition the smallest one that matters too: directions above
    /// it hold 99 % of the trace of the Hessian beyond weight decay, by stochastic Lanczos at the folder's minimum
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        default_value = "sgd,heavy-ball,nesterov,shifted,weight-prediction:delay,weight-prediction,prediction-2,mixing:0.5,\
                         mixing:1/T",
        help = format!("Update rules; what stands behind a colon is held, and all else is free: {}", TunedRuleSpec::grammar())
    )]
    pub rules: Vec<TunedRuleSpec>,
    /// Variance of additive gradient noise, with the largest curvature 1: multiplies the noise floors
    #[arg(long, allow_negative_numbers = true, value_parser = non_negative, default_value = "1")]
    pub noise: f64,
    /// Part of the best gain to take, for a largest curvature that is not known well; what else is free is best for that
    #[arg(long, allow_negative_numbers = true, value_parser = part, default_value = "1")]
    pub lr_factor: f64,
    /// Also draw the factors against the delay, and what speed costs in noise, into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Ground of that picture
    #[arg(long, value_name = "THEME", value_enum, default_value_t, requires = "svg")]
    pub theme: Theme,
    /// Columns to print, as `tauscope columns tune` lists them [default: all, of which a terminal shows those that fit]
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1)]
    pub columns: Vec<String>,
}

fn schedule_help() -> String {
    format!(
        "Delay processes, as in `tauscope sweep`; where delays vary, the rate is that in mean square, or simulated\n{}",
        ScheduleSpec::help()
    )
}

/// Parts of the best gain at which the picture shows what speed costs in noise.
const FRONT: [f64; 7] = [1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05];

pub(super) fn condition(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 1.0 && *number <= LARGEST_CONDITION);
    number.ok_or_else(|| format!("accepted: numbers above 1, up to {LARGEST_CONDITION:e}"))
}

fn part(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number| (0.01..=1.0).contains(number));
    number.ok_or_else(|| "accepted: numbers from 0.01 to 1".to_owned())
}

/// Condition numbers of those who ask for none.
const CONDITIONS: [f64; 2] = [100.0, 1000.0];

/// The condition numbers to tune for, and the largest curvature where a folder tells it.
fn conditions(args: &Args) -> Result<(Vec<f64>, Option<f64>)> {
    let Some(dir) = &args.folder else {
        let usual = || CONDITIONS.to_vec();
        return Ok((if args.condition.is_empty() { usual() } else { args.condition.clone() }, None));
    };
    let spectrum = MeasuredSpectrum::read(dir)?;
    if args.condition.is_empty() {
        let (condition, note) = condition_of(dir, &spectrum)?;
        to_stderr(&format!("note: {note}"));
        return Ok((vec![condition], Some(spectrum.largest)));
    }
    args.condition.iter().try_for_each(|condition| agrees(*condition, dir, &spectrum))?;
    Ok((args.condition.clone(), Some(spectrum.largest)))
}

/// The condition number at the minimum of a folder, and how it comes about.
///
/// # Errors
/// Where its problem cannot be made again, or has but one curvature.
pub(super) fn condition_of(dir: &Path, spectrum: &MeasuredSpectrum) -> Result<(f64, String)> {
    let (Bulk { smallest, on_the_floor }, decay) = spectrum.bulk()?;
    let largest = spectrum.largest;
    let condition = largest / smallest;
    if !(condition > 1.0 && condition <= LARGEST_CONDITION) {
        bail!(
            "--folder {}: curvatures from {} to {}; accepted: a spectrum of several curvatures, or --condition up \
             to {LARGEST_CONDITION:e}",
            dir.display(),
            significant(smallest, 4),
            significant(largest, 4)
        );
    }
    let beyond = if decay > 0.0 { " beyond weight decay" } else { "" };
    let mut note = format!(
        "lambda_max {} and the smallest curvature that matters {}, above which directions hold {} % of the trace{beyond} (stochastic \
         Lanczos): condition {}",
        significant(largest, 4),
        significant(smallest, 3),
        100.0 * BULK,
        significant(condition, 3)
    );
    if decay > 0.0 && on_the_floor >= PLATEAU {
        let all = significant(largest / decay.max(spectrum.smallest.unwrap_or(0.0)), 3);
        note += &format!(
            "; {} % of the directions are a plateau at the weight decay {decay}, where only the decay moves weights: --condition {all} takes \
             them in",
            significant(100.0 * on_the_floor, 2)
        );
    }
    Ok((condition, note))
}

/// The part of all directions from which on those at the weight decay are told.
const PLATEAU: f64 = 0.01;

/// Whether a condition number that was asked for is one of the folder's curvatures.
///
/// # Errors
/// Where no curvature of the folder is so small.
pub(super) fn agrees(condition: f64, dir: &Path, spectrum: &MeasuredSpectrum) -> Result<()> {
    let largest = spectrum.largest;
    match spectrum.smallest {
        Some(smallest) if condition > CLOSE * largest / smallest => bail!(
            "--condition {condition} with --folder {}: no curvature there is below {}, that of condition {}; accepted: up \
             to that, or without --condition",
            dir.display(),
            significant(smallest, 4),
            significant(largest / smallest, 4)
        ),
        _ => Ok(()),
    }
}

/// By how much a condition number may be above the largest there is: that of rounded numbers.
const CLOSE: f64 = 1.01;

/// Writes the table to stdout, and the picture where one is asked for.
///
/// # Errors
/// A delay beyond those that are answered, a rule that is stable with no parameters, or a file that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    shown::check(&columns(), &args.columns)?;
    let (conditions, largest) = conditions(args)?;
    once("--rules", &args.rules)?;
    once("--condition", &args.condition)?;
    once("--schedule", &args.schedule)?;
    let delays: Vec<usize> = args.delays.iter().flat_map(|delays| delays.0.iter().copied()).collect();
    once("--delays", &delays)?;
    let processes = late::processes(args)?;
    let mut cases = vec![];
    for process in &processes {
        for condition in &conditions {
            cases.extend(args.rules.iter().map(|rule| (rule, process, *condition)));
        }
    }
    cases.iter().try_for_each(|(rule, process, _)| late::suits(rule, process))?;
    let simulated = cases.iter().filter(|(_, process, _)| matches!(process.kind, Process::Simulated { .. })).count();
    if simulated > 0 {
        to_stderr(&format!(
            "note: {simulated} searches whose rates are simulated; each takes from under a second (a short trace, a small condition number) to tens of \
             seconds of a core and more (long delays, large condition numbers)"
        ));
    }
    let searching = Searching::begin(cases.len());
    let found: Result<Vec<Vec<TuneRow>>> =
        cases.par_iter().map(|case| rows(args, *case, args.lr_factor).inspect(|_| searching.done())).collect();
    drop(searching);
    let lr = |row: TuneRow| TuneRow { lr: largest.map(|largest| row.gain / largest), ..row };
    let by_case = found?;
    // Of every case the optimum comes first.
    let best: Vec<TuneRow> = by_case.iter().filter_map(|rows| rows.first().cloned()).collect();
    let found: Vec<TuneRow> = by_case.into_iter().flatten().map(lr).collect();
    if let Some(path) = &args.svg {
        if let Some(varying) = processes.iter().find(|process| process.fixed().is_none()) {
            bail!(
                "--svg with --schedule {}: the picture is that of fixed delays; accepted: --schedule round-robin",
                varying.name
            );
        }
        let text = plot::tuning(&found, &front(args, &cases, &best), args.theme).context("--svg")?;
        write_whole(path, text.as_bytes()).with_context(|| format!("--svg {}: cannot be written", path.display()))?;
    }
    shown::print(&found, columns(), &args.columns)
}

/// The columns of optima on a terminal.
fn columns() -> Vec<shown::Column<TuneRow>> {
    shown::of_file(|name| match name {
        "rule" | "updates_per_efold" | "factor" => Worth::Needed,
        "delay" | "condition" | "schedule" | "source" | "dynamics" | "dampening" | "gradients_per_update" => {
            Worth::Setting
        }
        "gain" | "momentum" | "horizon" | "horizon_2" | "mixing" | "lr" => Worth::Result,
        "bound" | "rate_low" | "rate_high" => Worth::Evidence,
        _ => Worth::Detail,
    })
}

type Case<'a> = (&'a TunedRuleSpec, &'a Lateness, f64);

/// The optima of every rule at the longest delay and the first condition number, from the fastest gain down. `best` are those at the
/// fastest gain, one for each case, which nothing is searched for again.
fn front(args: &Args, cases: &[Case], best: &[TuneRow]) -> Vec<TuneRow> {
    let delay = cases.iter().filter_map(|(_, process, _)| process.fixed()).max();
    let condition = cases.first().map(|(.., condition)| *condition);
    let here =
        cases.iter().zip(best).filter(|((_, process, with), _)| process.fixed() == delay && Some(*with) == condition);
    let slower: Vec<(Case, &TuneRow, f64)> =
        here.flat_map(|(case, row)| FRONT.map(|part| (*case, row, part))).collect();
    let searching = Searching::begin(slower.len());
    let row = |(case, best, part): &(Case, &TuneRow, f64)| {
        let (spec, process, condition) = *case;
        let found = match process.kind {
            Process::Fixed(_) if *part == 1.0 => Some((*best).clone()),
            Process::Fixed(delay) => {
                let rule = spec.at(delay as f64);
                let tuning = tune_at(rule, delay, condition, part * best.gain);
                tuning.map(|tuning| row_of(args, *case, delay, tuning))
            }
            _ => None,
        };
        searching.done();
        found
    };
    slower.par_iter().map(row).collect::<Vec<_>>().into_iter().flatten().collect()
}

/// A bar of the searches that are done, on stderr where that is a terminal.
struct Searching(Option<ProgressBar>);

impl Searching {
    fn begin(searches: usize) -> Self {
        let style = ProgressStyle::with_template("{pos} of {len} searches, {elapsed}");
        let bar = stderr_is_terminal().then(|| ProgressBar::new(searches as u64));
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Self(bar)
    }

    fn done(&self) {
        self.0.iter().for_each(|bar| bar.inc(1));
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// The optimum, and what the formula gives where there is one.
fn rows(args: &Args, (spec, process, condition): Case, lr_factor: f64) -> Result<Vec<TuneRow>> {
    let Process::Fixed(delay) = process.kind else {
        return late::rows(spec, process, condition, lr_factor);
    };
    let rule = spec.at(delay as f64);
    let optimum = tune(rule, delay, condition, lr_factor).ok_or_else(|| {
        anyhow!(
            "--rules {spec} at delay {delay} and condition {condition}: no parameters found with which every direction decays; \
             accepted: shorter horizons, or without a number"
        )
    })?;
    let formula = tune_by_formula(rule, delay, condition, lr_factor);
    Ok(std::iter::once(optimum)
        .chain(formula)
        .map(|tuning| row_of(args, (spec, process, condition), delay, tuning))
        .collect())
}

/// The row of what was found at a fixed delay.
fn row_of(args: &Args, (spec, process, condition): Case, delay: usize, tuning: Tuning) -> TuneRow {
    let floors = tuning.noise_floors(delay, condition).map(|floors| floors.map(|floor| args.noise * floor));
    TuneRow {
        updates_per_efold: tuning.updates_per_efold,
        factor: tuning.updates_per_efold.map(|updates| updates / bound(delay, condition)),
        noise_floor: floors.map(|floors| floors[0]),
        noise_floor_read: floors.map(|floors| floors[1]),
        source: source(tuning.source),
        ..bare_row((spec, process, condition), spec.at(delay as f64), (tuning.rule, tuning.gain))
    }
}

fn source(source: TuningSource) -> &'static str {
    match source {
        TuningSource::Optimised => "optimised",
        TuningSource::Formula => "formula",
        TuningSource::FormulaBeyondFit => "formula-beyond-fit",
    }
}

/// A row with a rule's parameters, and without a rate.
fn bare_row((spec, process, condition): Case, tuned: TunedRule, (rule, gain): (LinearRule, f64)) -> TuneRow {
    let [horizon, horizon_2, mixing] = match (tuned, rule) {
        (TunedRule::WeightPrediction(_), LinearRule::Predicting { horizons, .. }) => [Some(horizons[0]), None, None],
        (TunedRule::SecondPrediction(_), LinearRule::Predicting { horizons, .. }) => {
            [Some(horizons[0]), Some(horizons[1]), None]
        }
        (_, LinearRule::Mixing { share, .. }) => [None, None, Some(share)],
        _ => [None; 3],
    };
    TuneRow {
        rule: spec.to_string(),
        delay: process.delay,
        condition,
        gain,
        momentum: rule.momentum(),
        dampening: 0.0,
        horizon,
        horizon_2,
        mixing,
        updates_per_efold: None,
        bound: bound_at(process.mean_delay, condition),
        factor: None,
        noise_floor: None,
        noise_floor_read: None,
        extra_vectors: tuned.extra_vectors(process.workers.unwrap_or(1) - 1),
        gradients_per_update: process.group,
        source: source(TuningSource::Optimised),
        lr: None,
        schedule: process.name.clone(),
        mean_delay: process.mean_delay,
        dynamics: "fixed",
        rate_low: None,
        rate_high: None,
    }
}
