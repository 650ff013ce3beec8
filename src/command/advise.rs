//! `tauscope advise`: "my recipe is this; what should I run at that delay?"

use std::fmt::Write as _;

use crate::table::number::{aligned, exact, significant};
use anyhow::{Result, anyhow};
use comfy_table::{Table, presets};
use serde::Serialize;

use super::to_stdout;
use crate::config::{non_negative, positive};
use crate::delay::ScheduleSpec;
use crate::rule::{self, Advice, Choice, ChoiceKind, Dampening, Recipe, Rule, RuleSpec, advise};
use crate::theory::{Criterion, DelayLaw, LONGEST_DELAY, MOMENTA, TheoryError};

/// A threshold in mean square below this share of the mean's is worth a warning.
const NOISE_LIMITED: f64 = 0.9;

/// Turn a recipe that works into one that keeps the same minima at another delay.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, default_value = "heavy-ball", help = rule_help())]
    pub rule: RuleSpec,
    /// The recipe's learning rate
    #[arg(long, allow_negative_numbers = true, value_parser = positive)]
    pub lr: f64,
    /// Momentum of the recipe, and of the choices with momentum
    #[arg(long, allow_negative_numbers = true, default_value = "0.9", value_parser = momentum)]
    pub momentum: f64,
    /// The recipe's dampening: a number, or 'ema' (equal to the momentum)
    #[arg(long, allow_negative_numbers = true, default_value = "0")]
    pub dampening: Dampening,
    /// Delay of the recipe, in updates, always the same
    #[arg(long, allow_negative_numbers = true, default_value = "0", value_parser = delay)]
    pub from_delay: usize,
    /// Delay to move to, in updates; N workers have a delay of N - 1
    #[arg(long, allow_negative_numbers = true, value_parser = delay)]
    pub to_delay: Option<usize>,
    #[arg(long, default_value = "round-robin", help = schedule_help())]
    pub schedule: ScheduleSpec,
    /// Judge in mean square, under gradient noise of this variance relative to the curvature squared
    #[arg(long, allow_negative_numbers = true, value_parser = non_negative)]
    pub relative_variance: Option<f64>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
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
    format!("Delay process to move to, as far as the theory knows its delays\n{help}")
}

fn rule_help() -> String {
    format!("The recipe's rule: {}", rule::names_with_equation().join(", "))
}

/// What is written with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    criterion: &'static str,
    relative_variance: Option<f64>,
    from: Given,
    to_schedule: String,
    to_delay: f64,
    /// What the same rule would still reach with its learning rate left as it is.
    unchanged_curvature: Option<f64>,
    choices: Vec<Line>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Given {
    rule: String,
    momentum: f64,
    dampening: f64,
    schedule: String,
    delay: f64,
    lr: f64,
    effective_lr: f64,
    threshold_gain: f64,
    accessible_curvature: f64,
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
    gain_ratio: Option<f64>,
    cost: String,
}

/// Writes the choices to stdout.
///
/// # Errors
/// A recipe that has no threshold, or no delay to move to.
pub fn run(args: &Args) -> Result<()> {
    let report = report(args)?;
    to_stdout(&if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { as_text(&report) })
}

fn report(args: &Args) -> Result<Report> {
    let RuleSpec { kind, number } = args.rule;
    let (momentum, dampening) = match kind.definition().momentum {
        Some(_) => (args.momentum, args.dampening.beside(args.momentum)),
        None => (0.0, 0.0),
    };
    let rule = Rule { kind, momentum, dampening, number };
    let from = DelayLaw::Fixed(args.from_delay);
    if args.schedule.takes_delay() && args.to_delay.is_none() {
        return Err(anyhow!(
            "no delay to move to; accepted: --to-delay UPDATES, or --schedule with delays of its own, as iid:FILE"
        ));
    }
    // What processes say of delays, they say of the flag that other commands have.
    let own_flag = |text: String| text.replace("--delays", "--to-delay");
    let to = args.schedule.law(args.to_delay).map_err(|error| anyhow!(own_flag(error.to_string())))?;
    let to_delay = args.to_delay.map_or_else(|| to.mean_delay(), |delay| delay as f64);
    let criterion = match args.relative_variance {
        None => Criterion::Mean,
        Some(relative_variance) => Criterion::MeanSquare { relative_variance },
    };
    let recipe = Recipe { rule, lr: args.lr, law: from };
    let advice = advise(&recipe, &to, criterion, args.momentum).map_err(|error| blame(&rule, error))?;
    Ok(Report {
        criterion: criterion.name(),
        relative_variance: args.relative_variance,
        from: Given {
            rule: rule.name(),
            momentum: rule.momentum,
            dampening: rule.dampening,
            schedule: "round-robin".to_owned(),
            delay: recipe.law.mean_delay(),
            lr: args.lr,
            effective_lr: advice.effective_lr,
            threshold_gain: advice.threshold_gain,
            accessible_curvature: advice.accessible_curvature,
        },
        to_schedule: args.schedule.to_string(),
        to_delay,
        unchanged_curvature: advice.unchanged_curvature,
        choices: advice.choices.iter().map(|choice| line(choice, &advice, to_delay)).collect(),
        warnings: noise_warning(&recipe, &advice, criterion)?.into_iter().collect(),
        notes: momentum_note(&advice).into_iter().collect(),
    })
}

/// Names the flag behind a theory error.
fn blame(rule: &Rule, error: TheoryError) -> anyhow::Error {
    match error {
        TheoryError::NoGradient | TheoryError::Dampening(_) => anyhow!("--dampening: {error}"),
        TheoryError::NoEquation(_) => {
            let known = rule::names_with_equation().join(", ");
            anyhow!("--rule {error}; accepted: {known}")
        }
        _ => anyhow!("--rule {}: {error}", rule.name()),
    }
}

fn name(kind: ChoiceKind) -> &'static str {
    match kind {
        ChoiceKind::SameRule => "same rule",
        ChoiceKind::MomentumOff => "momentum off",
        ChoiceKind::Ema => "server EMA",
        ChoiceKind::ShiftedEma => "shifted EMA",
    }
}

fn line(choice: &Choice, advice: &Advice, delay: f64) -> Line {
    let setting = choice.setting.as_ref().ok();
    Line {
        choice: name(choice.kind),
        rule: choice.rule.name(),
        momentum: choice.rule.momentum,
        dampening: choice.rule.dampening,
        delay,
        lr: setting.map(|s| s.lr),
        effective_lr: setting.map(|s| s.effective_lr),
        threshold_gain: setting.map(|s| s.threshold_gain),
        gain_ratio: setting.map(|s| s.gain_ratio),
        cost: cost(choice, advice),
    }
}

/// One sentence on what a choice costs.
fn cost(choice: &Choice, advice: &Advice) -> String {
    let setting = match &choice.setting {
        Ok(setting) => setting,
        Err(error) => return format!("Not available: {error}."),
    };
    let speed = format!("Along flat directions an update moves {} as far as in your recipe", percent(setting.progress));
    let plain = advice.setting(ChoiceKind::MomentumOff).filter(|_| choice.kind != ChoiceKind::MomentumOff);
    match plain {
        Some(plain) => {
            let ratio = setting.effective_lr / plain.effective_lr;
            format!("{speed}, {} momentum off.", against(ratio))
        }
        None => format!("{speed}."),
    }
}

fn percent(factor: f64) -> String {
    let percent = 100.0 * factor;
    if percent >= 1e6 {
        return format!("{} %", significant(percent, 3));
    }
    // Three significant digits, whatever the size.
    let decimals = (2 - percent.log10().floor() as i32).clamp(0, 12) as usize;
    format!("{percent:.decimals$} %")
}

fn against(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0).abs();
    let shown = if percent < 1e6 { format!("{percent:.1}") } else { significant(percent, 3) };
    if ratio < 1.0 { format!("{shown} % less than with") } else { format!("{shown} % more than with") }
}

/// Whether momentum is worth keeping at the new delay.
fn momentum_note(advice: &Advice) -> Option<String> {
    let worth = advice.worth_of_momentum()?;
    let percent = 100.0 * (worth - 1.0).abs();
    Some(if worth < 1.0 {
        format!(
            "Momentum hurts at this delay: the same rule has a {percent:.1} % lower effective lr than momentum off."
        )
    } else {
        format!(
            "Momentum helps at this delay: the same rule has a {percent:.1} % higher effective lr than momentum off."
        )
    })
}

/// A warning where gradient noise, not curvature, already limits the given recipe.
fn noise_warning(recipe: &Recipe, advice: &Advice, criterion: Criterion) -> Result<Option<String>> {
    let Criterion::MeanSquare { relative_variance } = criterion else { return Ok(None) };
    let mean = recipe.rule.threshold(&recipe.law, Criterion::Mean)?.gain;
    let share = advice.threshold_gain / mean;
    Ok((share < NOISE_LIMITED).then(|| {
        format!(
            "Your recipe is already limited by gradient noise: at relative variance {relative_variance} its threshold \
             gain is {} in mean square, {:.1} % of the {} of its mean.",
            aligned(advice.threshold_gain, 5),
            100.0 * share,
            aligned(mean, 5)
        )
    }))
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    let from = &report.from;
    let _ = writeln!(
        text,
        "Your recipe: {}, momentum {}, dampening {}, lr {} (effective {}) at delay {} ({}).\n\
         Its threshold gain is {} ({}): it reaches minima of curvature below {}.",
        from.rule,
        from.momentum,
        from.dampening,
        exact(from.lr),
        significant(from.effective_lr, 6),
        from.delay,
        from.schedule,
        significant(from.threshold_gain, 6),
        report.criterion,
        significant(from.accessible_curvature, 6)
    );
    if let Some(curvature) = report.unchanged_curvature {
        let _ = writeln!(
            text,
            "Left as it is, at delay {} ({}) it would reach only those below {}. Every choice below keeps \
             {}.",
            report.to_delay,
            report.to_schedule,
            significant(curvature, 6),
            significant(from.accessible_curvature, 6)
        );
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["choice", "rule", "momentum", "dampening", "delay", "lr", "effective_lr", "gain_ratio"]);
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| aligned(x, 7));
    for line in &report.choices {
        table.add_row([
            line.choice.to_owned(),
            line.rule.clone(),
            line.momentum.to_string(),
            line.dampening.to_string(),
            line.delay.to_string(),
            number(line.lr),
            number(line.effective_lr),
            number(line.gain_ratio),
        ]);
    }
    let _ = writeln!(text, "\n{table}\n");
    for line in &report.choices {
        let _ = writeln!(text, "{}: {}", line.choice, line.cost);
    }
    for note in &report.notes {
        let _ = writeln!(text, "{note}");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
