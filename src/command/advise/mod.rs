//! `tauscope advise`: "my recipe is this; what should I run at that delay?"
//!
//! Here: the flags, and the report as it is written with `--json`. Not here: its words (`words`), measured thresholds
//! (`measured`), or which option is best ([`crate::rule::advise()`]).

mod adaptive;
mod measured;
mod outer;
mod tuned;
mod words;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use std::path::PathBuf;

use super::to_stdout;
use crate::config::{non_negative, positive};
use crate::delay::{Process, Schedule, ScheduleSpec};
use crate::rule::{
    self, Advice, AdviceDelays, Dampening, Question, Rule, RuleKind, RuleSpec, Setting, advise, by_theory,
};
use crate::streams::stdout_width;
use crate::theory::{Criterion, DelayLaw, DelayPmf, LONGEST_DELAY, MOMENTA, TheoryError};
use measured::MeasuredThresholds;

/// Recommend a recipe for another delay that keeps the same minima.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, default_value = "heavy-ball", help = rule_help())]
    pub rule: RuleSpec,
    /// The recipe's learning rate; without one, half the threshold at the curvature of --lambda or --folder is recommended
    #[arg(long, allow_negative_numbers = true, value_parser = positive)]
    pub lr: Option<f64>,
    /// Momentum of the recipe (beta1 of adam, adamw, nadam and nadamw), and of the options with momentum
    #[arg(long, allow_negative_numbers = true, default_value = "0.9", value_parser = momentum)]
    pub momentum: f64,
    /// The recipe's dampening: a number, or 'ema' (equal to the momentum) [default: 0; ema for those with a beta1]
    #[arg(long, allow_negative_numbers = true)]
    pub dampening: Option<Dampening>,
    /// Delay of the recipe, in updates, always the same
    #[arg(long, allow_negative_numbers = true, default_value = "0", value_parser = delay)]
    pub from_delay: usize,
    /// Delay to move to, in updates; N workers have a delay of N - 1
    #[arg(long, allow_negative_numbers = true, value_parser = delay)]
    pub to_delay: Option<usize>,
    #[arg(long, default_value = "round-robin", help = schedule_help())]
    pub schedule: ScheduleSpec,
    /// Sense in which a minimum is kept [default: mean-square where delays or gradients are random, else mean]
    #[arg(long, value_enum)]
    pub criterion: Option<Sense>,
    /// Gradients are noisy: variance of the curvature that a minibatch sees, relative to its mean squared
    #[arg(long, allow_negative_numbers = true, value_parser = non_negative)]
    pub relative_variance: Option<f64>,
    /// Largest curvature (Hessian eigenvalue) of the minimum to keep
    #[arg(long, value_name = "CURVATURE", allow_negative_numbers = true, value_parser = positive)]
    pub lambda: Option<f64>,
    /// Results folder of a sweep: its lambda_max, and its measured thresholds where it has the rule and the delay
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lambda", "relative_variance"])]
    pub folder: Option<PathBuf>,
    /// Condition number, above 1: the largest curvature over the smallest one that matters; then the fastest rule at the delay is
    /// recommended, as by `tauscope tune`, at 0.8 of its best learning rate [default: that of the folder's spectrum, with --folder]
    #[arg(long, allow_negative_numbers = true, value_parser = super::tune::condition)]
    pub condition: Option<f64>,
    /// The recipe is that of an outer loop (DiLoCo): local steps H (sync_every, inner steps) of a round. --lr, --momentum and --rule are
    /// then the outer ones, and --to-delay counts stale rounds
    #[arg(long, value_name = "STEPS", requires = "local_lr", value_parser = clap::value_parser!(u32).range(1..))]
    pub local_steps: Option<u32>,
    /// Learning rate of the local steps
    #[arg(long, value_name = "LR", requires = "local_steps", allow_negative_numbers = true, value_parser = positive)]
    pub local_lr: Option<f64>,
    /// Share, from 0 to 1, of an applied gradient or difference that is not late: 1/M for eager updates of M replicas
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = outer::share)]
    pub fresh_share: Option<f64>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// `--criterion`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sense {
    /// The variance of small displacements returns
    MeanSquare,
    /// Their mean returns, long after the variance has left where there is chance
    Mean,
}

fn momentum(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number.filter(|m| MOMENTA.contains(m)).ok_or_else(|| "accepted: a number from 0 to below 1".to_owned())
}

fn delay(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok();
    number
        .filter(|&n| n <= LONGEST_DELAY)
        .ok_or_else(|| format!("accepted: a whole number of updates from 0 to {LONGEST_DELAY}"))
}

fn schedule_help() -> String {
    let help = ScheduleSpec::help().replace("--delays", "--to-delay");
    format!(
        "Delay process to move to, as far as the theory knows its delays or the folder has it; of a trace, its delays as if \
         they were drawn independently\n{help}"
    )
}

fn rule_help() -> String {
    format!("The recipe's rule: {}", rules().join(", "))
}

/// Rules that the theory has an answer for.
fn rules() -> Vec<&'static str> {
    rule::names_with_equation()
}

/// What is written with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    criterion: &'static str,
    relative_variance: Option<f64>,
    /// Largest curvature of the minimum to keep, where it is known.
    curvature: Option<f64>,
    /// Largest curvature over the smallest one that matters, where it is known.
    condition: Option<f64>,
    /// The fastest rules, the recommended one first, where the condition number is known.
    tuned: Vec<tuned::Tuned>,
    recommendation: Option<Recommendation>,
    from: Given,
    to_schedule: String,
    to_delay: f64,
    /// What the same rule would still reach with its learning rate left as it is.
    unchanged_curvature: Option<f64>,
    choices: Vec<Line>,
    /// Other rules and values of beta1, where the recipe's rule divides by a second moment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tolerances: Vec<adaptive::Tolerance>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Recommendation {
    choice: &'static str,
    rule: String,
    lr: f64,
    momentum: f64,
    dampening: f64,
    /// `lr lambda / K*`, where the curvature is known.
    share_of_threshold: Option<f64>,
    /// Minima of curvature below this are kept.
    accessible_curvature: f64,
    margin: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Given {
    rule: String,
    momentum: f64,
    dampening: f64,
    schedule: String,
    delay: f64,
    lr: f64,
    effective_lr: Option<f64>,
    threshold_gain: f64,
    threshold_from: &'static str,
    accessible_curvature: f64,
    share_of_threshold: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Line {
    choice: &'static str,
    rule: String,
    momentum: f64,
    dampening: f64,
    delay: f64,
    lr: Option<f64>,
    effective_lr: Option<f64>,
    threshold_gain: Option<f64>,
    threshold_from: Option<&'static str>,
    gain_ratio: Option<f64>,
    /// Effective learning rate over the recipe's.
    progress: Option<f64>,
    cost: String,
}

/// Writes the recommendation and the options to stdout.
///
/// # Errors
/// A recipe that has no threshold, no delay to move to, or a folder that cannot be read.
pub fn run(args: &Args) -> Result<()> {
    if outer::is_asked(args) {
        return outer::run(args, &recipe(args)?);
    }
    let report = report(args)?;
    to_stdout(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        words::as_text(&report, args, stdout_width())
    })
}

/// The delays to move to.
struct Target {
    delay: f64,
    /// None where the theory does not know them, and why.
    law: Result<DelayLaw, String>,
    schedule: Option<Schedule>,
    is_trace: bool,
}

impl Target {
    fn of(args: &Args) -> Result<Self> {
        let spec = &args.schedule;
        if spec.takes_delay() && args.to_delay.is_none() {
            bail!(
                "no delay to move to; accepted: --to-delay UPDATES, or --schedule with delays of its own, as iid:FILE or \
                 trace:FILE"
            );
        }
        // What processes say of delays, they say of the flag that other commands have.
        let own_flag = |text: String| text.replace("--delays", "--to-delay");
        let schedule = match args.to_delay {
            // A fixed delay may be longer than any run could be.
            Some(delay) => spec.resolve(u32::try_from(delay).unwrap_or(u32::MAX)).ok(),
            None => Some(spec.own().map_err(|error| anyhow!(own_flag(error.to_string())))?),
        };
        let recorded = schedule.as_ref().and_then(|schedule| match schedule.process() {
            Process::Trace(trace) => Some(trace.delays()),
            _ => None,
        });
        let law = match recorded {
            Some(delays) => of_trace(delays).map_err(|error| format!("--schedule {spec}: {error}")),
            None => spec.law(args.to_delay).map_err(|error| own_flag(error.to_string())),
        };
        let mean =
            || law.as_ref().map_or_else(|_| schedule.as_ref().map_or(0.0, Schedule::mean_delay), DelayLaw::mean_delay);
        let delay = args.to_delay.map_or_else(mean, |delay| delay as f64);
        let is_trace = recorded.is_some();
        Ok(Self { delay, law, schedule, is_trace })
    }

    fn is_random(&self) -> bool {
        match &self.law {
            Ok(law) => !law.is_fixed(),
            Err(_) => true,
        }
    }
}

/// The law of recorded delays as if they were drawn independently.
fn of_trace(delays: &[u32]) -> Result<DelayLaw, TheoryError> {
    let longest = delays.iter().copied().max().unwrap_or(0) as usize;
    if delays.iter().all(|delay| *delay as usize == longest) {
        return Ok(DelayLaw::Fixed(longest));
    }
    let mut counts = vec![0.0; longest + 1];
    delays.iter().for_each(|delay| counts[*delay as usize] += 1.0);
    Ok(DelayLaw::Independent(DelayPmf::from_counts(&counts)?))
}

/// The rule of the recipe with its numbers.
fn recipe(args: &Args) -> Result<Rule> {
    let kind = args.rule.kind;
    let adaptive = is_adaptive(kind);
    let usual = if adaptive { Dampening::Ema } else { Dampening::Value(0.0) };
    let (momentum, dampening) = match kind.definition().momentum {
        Some(_) => (args.momentum, args.dampening.unwrap_or(usual).beside(args.momentum)),
        None => (0.0, 0.0),
    };
    if adaptive && dampening != momentum {
        bail!("--dampening {dampening}: the first moment of {kind} is an EMA; accepted: ema, or without --dampening");
    }
    Ok(args.rule.with(momentum, dampening))
}

fn report(args: &Args) -> Result<Report> {
    let kind = args.rule.kind;
    let in_gains = args.lr.is_none() && args.lambda.is_none() && args.folder.is_none();
    if in_gains && args.condition.is_none() {
        bail!(
            "no recipe to start from; accepted: --lr with its learning rate, the curvature to keep by --lambda CURVATURE or \
             --folder DIR, or --condition for the fastest rules"
        );
    }
    let adaptive = is_adaptive(kind);
    let rule = recipe(args)?;
    let from = DelayLaw::Fixed(args.from_delay);
    let target = Target::of(args)?;
    let measured = match &args.folder {
        Some(_) if adaptive => bail!(
            "--folder with --rule {}: lambda_max of a sweep is not the curvature that its second moment leaves; accepted: \
             --lambda with the largest curvature of the preconditioned Hessian",
            rule.name()
        ),
        Some(folder) => Some(MeasuredThresholds::read(folder)?),
        None => None,
    };
    let noisy = measured.as_ref().is_some_and(MeasuredThresholds::is_noisy);
    let criterion = criterion(args, target.is_random() || noisy)?;
    let known = |rule: &Rule, delays: AdviceDelays| {
        let (text, asked) = match delays {
            AdviceDelays::From => ("round-robin".to_owned(), Some(args.from_delay)),
            AdviceDelays::To => (args.schedule.to_string(), args.to_delay),
        };
        if let Some(measured) = &measured {
            if let Some(known) = measured.find(rule, &text, asked, criterion) {
                return Ok(known);
            }
            measured.needs(rule, &text, asked)?;
        }
        match (delays, &target.law) {
            (AdviceDelays::From, _) => by_theory(rule, &from, criterion),
            (AdviceDelays::To, Ok(law)) => by_theory(rule, law, criterion),
            (AdviceDelays::To, Err(why)) => Err(TheoryError::Unsupported(why.clone())),
        }
    };
    if let (None, Err(why)) = (&measured, &target.law) {
        bail!("{why}");
    }
    let known_curvature = args.lambda.or_else(|| measured.as_ref().map(MeasuredThresholds::curvature));
    let curvature = known_curvature.or(in_gains.then_some(1.0));
    let workers = target.schedule.as_ref().is_none_or(|schedule| schedule.workers().is_some());
    let question = Question { rule, lr: args.lr, curvature, momentum: args.momentum, workers };
    let advice = advise(&question, known).map_err(|error| blame(&rule, error))?;
    let asked = words::Asked { args, target: &target, criterion, rule: &rule, curvature };
    let fastest = tuned::fastest(args, &target, known_curvature)?;
    let unit = in_gains.then(|| IN_GAINS.to_owned());
    Ok(Report {
        criterion: criterion.name(),
        relative_variance: args.relative_variance,
        curvature: known_curvature,
        condition: fastest.condition,
        tuned: fastest.rules,
        recommendation: recommendation(&asked, &advice),
        from: Given {
            rule: rule.name(),
            momentum: rule.momentum,
            dampening: rule.dampening,
            schedule: "round-robin".to_owned(),
            delay: args.from_delay as f64,
            lr: advice.from.lr,
            effective_lr: advice.from.effective_lr,
            threshold_gain: advice.from.threshold_gain,
            threshold_from: words::source(advice.from.source),
            accessible_curvature: advice.accessible_curvature,
            share_of_threshold: advice.from.share,
        },
        to_schedule: args.schedule.to_string(),
        to_delay: target.delay,
        unchanged_curvature: advice.unchanged_curvature,
        choices: advice.choices.iter().map(|choice| line(choice, &advice, target.delay)).collect(),
        tolerances: adaptive::tolerances(&rule, &target, criterion, &advice),
        warnings: asked.warnings(&advice)?,
        notes: unit.into_iter().chain(fastest.note).chain(asked.notes(&advice)).collect(),
    })
}

/// What is said where nothing tells the unit of learning rates.
const IN_GAINS: &str = "No curvature is known, so that the largest counts as 1: divide every learning rate by yours (--lambda CURVATURE does).";

/// The criterion of the answer: mean square wherever there is chance, unless another is asked for.
fn criterion(args: &Args, random: bool) -> Result<Criterion> {
    let relative_variance = args.relative_variance.unwrap_or(0.0);
    let random = random || args.relative_variance.is_some();
    match args.criterion {
        Some(Sense::Mean) if args.relative_variance.is_some() => {
            bail!("--relative-variance with --criterion mean: noise leaves the mean as it is; accepted: one of the two")
        }
        Some(Sense::Mean) => Ok(Criterion::Mean),
        None if !random => Ok(Criterion::Mean),
        Some(Sense::MeanSquare) | None => Ok(Criterion::MeanSquare { relative_variance }),
    }
}

/// Whether it divides gradients by their second moment; its momentum is then called beta1 and is always an EMA.
fn is_adaptive(kind: RuleKind) -> bool {
    Rule::new(kind, 0.0, 0.0).is_preconditioned()
}

/// Names the flag behind a theory error.
fn blame(rule: &Rule, error: TheoryError) -> anyhow::Error {
    match error {
        TheoryError::NoGradient | TheoryError::Dampening(_) => anyhow!("--dampening: {error}"),
        TheoryError::NoEquation(_) => anyhow!("--rule {error}; accepted: {}", rules().join(", ")),
        _ => anyhow!("--rule {}: {error}", rule.name()),
    }
}

fn recommendation(asked: &words::Asked, advice: &Advice) -> Option<Recommendation> {
    let (choice, setting) = advice.best()?;
    Some(Recommendation {
        choice: words::name(choice.kind),
        rule: choice.rule.name(),
        lr: setting.lr,
        momentum: choice.rule.momentum,
        dampening: choice.rule.dampening,
        share_of_threshold: setting.share,
        accessible_curvature: advice.accessible_curvature,
        margin: asked.margin(advice, &setting),
        why: words::why(advice, choice, &setting),
    })
}

fn line(choice: &rule::Choice, advice: &Advice, delay: f64) -> Line {
    let setting: Option<&Setting> = choice.setting.as_ref().ok();
    Line {
        choice: words::name(choice.kind),
        rule: choice.rule.name(),
        momentum: choice.rule.momentum,
        dampening: choice.rule.dampening,
        delay,
        lr: setting.map(|s| s.lr),
        effective_lr: setting.and_then(|s| s.effective_lr),
        threshold_gain: setting.map(|s| s.threshold_gain),
        threshold_from: setting.map(|s| words::source(s.source)),
        gain_ratio: setting.map(|s| s.gain_ratio),
        progress: setting.and_then(|s| s.progress),
        cost: words::cost(choice, advice),
    }
}
