//! What `tauscope advise` says: sentences, and the report as text. Numbers have three digits.
//!
//! Not here: any decision.

use super::{Args, Line, Report, Target, is_adaptive, tuned};
use crate::command::lines::paragraphs;
use crate::command::shown::{Column, Worth, fitted};
use crate::rule::{Advice, Choice, ChoiceKind, Rule, RuleKind, Setting, ThresholdSource, by_theory};
use crate::table::number::{percent, significant};
use crate::theory::{Criterion, DelayLaw, TheoryError};
use std::fmt::Write as _;

/// A threshold in mean square below this share of the mean's is worth a warning.
const NOISE_LIMITED: f64 = 0.9;

/// Digits of all numbers.
const DIGITS: usize = 3;

/// What was asked, where sentences need it.
pub struct Asked<'a> {
    pub args: &'a Args,
    pub target: &'a Target,
    pub criterion: Criterion,
    pub rule: &'a Rule,
    pub curvature: Option<f64>,
}

pub fn name(kind: ChoiceKind) -> &'static str {
    match kind {
        ChoiceKind::SameRule => "same rule",
        ChoiceKind::MomentumOff => "momentum off",
        ChoiceKind::ServerMomentum => "server EMA",
        ChoiceKind::WorkerMomentum => "shifted EMA",
    }
}

pub fn source(source: ThresholdSource) -> &'static str {
    match source {
        ThresholdSource::Theory => "theory",
        ThresholdSource::Measured => "measured",
    }
}

fn short(number: f64) -> String {
    significant(number, DIGITS)
}

fn share(fraction: f64) -> String {
    percent(fraction, DIGITS)
}

/// One sentence on what a choice costs.
pub fn cost(choice: &Choice, advice: &Advice) -> String {
    let setting = match &choice.setting {
        Ok(setting) => setting,
        Err(error) => return format!("Not available: {error}."),
    };
    let Some(progress) = setting.progress else {
        return "How far an update moves the weights depends on the size of the gradient.".to_owned();
    };
    let speed = format!("Along flat directions an update moves {} as far as in your recipe", share(progress));
    let plain = advice.setting(ChoiceKind::MomentumOff).filter(|_| choice.kind != ChoiceKind::MomentumOff);
    match plain.and_then(|plain| Some(setting.effective_lr? / plain.effective_lr?)) {
        Some(ratio) => format!("{speed}, {}.", beside(ratio, "with momentum off")),
        None => format!("{speed}."),
    }
}

/// `24 % less than with momentum off`.
fn beside(ratio: f64, other: &str) -> String {
    let difference = (ratio - 1.0).abs();
    if difference < 5e-4 {
        return format!("as far as {other}");
    }
    format!("{} {} than {other}", share(difference), if ratio < 1.0 { "less" } else { "more" })
}

/// Why the recommended choice is the one.
pub fn why(advice: &Advice, choice: &Choice, setting: &Setting) -> String {
    let keeps = "of the options that keep the same minima";
    match (setting.progress, advice.choices.iter().filter(|choice| choice.setting.is_ok()).count()) {
        (_, 1) => "it is the only option with a known threshold.".to_owned(),
        (None, _) if setting.effective_lr.is_some() => {
            format!(
                "{keeps} none moves the weights farther along flat directions; your own rule has no effective learning rate."
            )
        }
        (None, _) => format!("it is your own rule; {keeps} none has an effective learning rate to be ranked by."),
        (Some(progress), _) => {
            let change = if choice.kind == ChoiceKind::SameRule { ", and it is your own rule" } else { "" };
            format!(
                "{keeps} none moves the weights farther along flat directions ({} as far as your recipe){change}.",
                share(progress)
            )
        }
    }
}

impl Asked<'_> {
    /// How far the recommended learning rate is from its threshold.
    pub fn margin(&self, advice: &Advice, setting: &Setting) -> String {
        let kept = short(advice.accessible_curvature);
        match (setting.share, self.curvature) {
            (Some(fraction), Some(curvature)) => format!(
                "at curvature {} the learning rate is {} of its threshold ({}){}; minima of curvature below {kept} are kept",
                short(curvature),
                share(fraction),
                source(setting.source),
                if fraction < 1.0 { "" } else { ": runs leave, as those of your recipe do" }
            ),
            _ => format!(
                "that of your recipe: minima of curvature below {kept} are kept (--lambda CURVATURE tells how far yours is from \
                 the threshold)"
            ),
        }
    }

    /// Where the given recipe is not what it seems.
    pub fn warnings(&self, advice: &Advice) -> Result<Vec<String>, TheoryError> {
        let mut warnings = Vec::new();
        if let Some(fraction) = advice.from.share.filter(|fraction| *fraction >= 1.0) {
            warnings.push(format!(
                "Your recipe does not keep a minimum of this curvature: its learning rate is {} of its threshold. What is \
                 recommended keeps no more.",
                share(fraction)
            ));
        }
        if self.criterion == Criterion::Mean && self.target.is_random() {
            warnings.push(
                "Delays are random, and the mean returns long after the variance has left: a run at this learning rate is \
                 likely to leave. Without --criterion mean the answer is in mean square."
                    .to_owned(),
            );
        }
        if let Criterion::MeanSquare { relative_variance } = self.criterion
            && relative_variance > 0.0
        {
            let mean = by_theory(self.rule, &DelayLaw::Fixed(self.args.from_delay), Criterion::Mean)?.gain;
            let fraction = advice.from.threshold_gain / mean;
            if fraction < NOISE_LIMITED {
                warnings.push(format!(
                    "Your recipe is already limited by gradient noise: at relative variance {relative_variance} its threshold \
                     gain is {} in mean square, {} of the {} of its mean.",
                    short(advice.from.threshold_gain),
                    share(fraction),
                    short(mean)
                ));
            }
        }
        Ok(warnings)
    }

    /// What the answer takes for granted, and what is worth knowing.
    pub fn notes(&self, advice: &Advice) -> Vec<String> {
        let mut notes = Vec::new();
        if is_adaptive(self.rule.kind) {
            notes.push(format!(
                "{} is taken as {} with momentum beta1, on gradients divided by sqrt(second moment). This assumes that the second \
                 moment changes little within a delay and is the same at both delays; curvatures are those of the \
                 preconditioned Hessian (`tauscope train --track preconditioned-sharpness`); decoupled weight decay is left aside.",
                self.rule.name(),
                match self.rule.kind {
                    RuleKind::Adam | RuleKind::AdamW => "heavy-ball in EMA form",
                    _ => "nesterov without dampening at (1 - beta1) times its learning rate",
                }
            ));
        }
        if self.target.is_trace && self.target.is_random() {
            notes.push(
                "The recorded delays are taken as if they were drawn independently from their histogram, which the theory \
                 needs; their order is not looked at. `tauscope sweep` measures the trace itself."
                    .to_owned(),
            );
        }
        if self.criterion != Criterion::Mean && self.target.is_random() {
            notes.push("Delays are random, so that the threshold is that of the variance (mean-square).".to_owned());
        }
        notes.extend(worth_of_momentum(advice));
        notes.extend(rescaled(advice));
        notes
    }
}

/// Whether momentum is worth keeping at the new delay.
fn worth_of_momentum(advice: &Advice) -> Option<String> {
    let same = advice.setting(ChoiceKind::SameRule)?.effective_lr?;
    let plain = advice.setting(ChoiceKind::MomentumOff)?.effective_lr?;
    let verdict = match same / plain {
        ratio if (ratio - 1.0).abs() < 5e-4 => "Momentum neither helps nor hurts",
        ratio if ratio < 1.0 => "Momentum hurts",
        _ => "Momentum helps",
    };
    Some(format!(
        "{verdict} at this delay: the same rule moves the weights {}.",
        beside(same / plain, "with momentum off")
    ))
}

/// Dampening as it would be typed otherwise, of the first choice for which it is nothing but a factor.
fn rescaled(advice: &Advice) -> Option<String> {
    let scales = |choice: &&Choice| {
        matches!(choice.rule.kind, RuleKind::HeavyBall | RuleKind::Shifted) && choice.rule.momentum > 0.0
    };
    let recommended = advice.best().map(|(choice, _)| choice).filter(scales);
    let choice = recommended.or_else(|| advice.choices.iter().filter(scales).find(|choice| choice.setting.is_ok()))?;
    let (rule, lr) = (choice.rule, choice.setting.as_ref().ok()?.lr);
    let other = if rule.dampening == 0.0 { rule.momentum } else { 0.0 };
    Some(format!(
        "Dampening only rescales {}: lr {} with dampening {} and lr {} with dampening {other} are the same run.",
        rule.kind,
        short(lr),
        rule.dampening,
        short(lr * (1.0 - rule.dampening) / (1.0 - other))
    ))
}

/// What stands before the second recipe where the fastest rule is the recommended one.
const ALTERNATIVE: &str = "Alternative, not for speed but if the minima that your recipe keeps must stay as they are (the same limit of curvature; the recipe \
                           above is fastest in the slowest direction, and its own limit may be another),";

/// The report for people.
pub fn as_text(report: &Report, args: &Args, width: Option<usize>) -> String {
    let (has_recipe, adaptive) = (args.lr.is_some(), is_adaptive(args.rule.kind));
    let form = |momentum: f64, dampening: f64| match adaptive {
        true => format!("beta1 {momentum}"),
        false => format!("momentum {momentum}, dampening {dampening}"),
    };
    let mut text = String::new();
    let where_to = format!("at delay {} ({})", short(report.to_delay), report.to_schedule);
    text.push_str(&tuned::as_text(&report.tuned, &where_to, report.condition.unwrap_or_default(), width));
    let keeping = if report.tuned.is_empty() { "Recommended" } else { ALTERNATIVE };
    let _ = match &report.recommendation {
        Some(best) => writeln!(
            text,
            "{keeping} {where_to}: {}, lr {}, {}.\n  margin: {}.\n  why: {}\n",
            best.rule,
            short(best.lr),
            form(best.momentum, best.dampening),
            best.margin,
            best.why
        ),
        None => writeln!(text, "Nothing can be recommended {where_to}: no option has a known threshold there.\n"),
    };
    let from = &report.from;
    let effective = from.effective_lr.map_or_else(String::new, |lr| format!(" (effective {})", short(lr)));
    let _ = writeln!(
        text,
        "{}: {}, {}, lr {}{effective} at delay {} ({}). Its threshold gain is {} ({}, {}): it keeps \
         minima of curvature below {}.",
        if has_recipe { "Your recipe" } else { "Your recipe, without --lr at half its threshold" },
        from.rule,
        form(from.momentum, from.dampening),
        short(from.lr),
        from.delay,
        from.schedule,
        short(from.threshold_gain),
        report.criterion,
        from.threshold_from,
        short(from.accessible_curvature)
    );
    if let Some(curvature) = report.unchanged_curvature.filter(|_| has_recipe) {
        let _ = writeln!(
            text,
            "Left as it is, {where_to} it would keep only those below {}. Every option below keeps {}.",
            short(curvature),
            short(from.accessible_curvature)
        );
    }
    let _ = writeln!(text, "\n{}\n", options(report, adaptive, width));
    for line in &report.choices {
        let _ = writeln!(text, "{}: {}", line.choice, line.cost);
    }
    text.push_str(&super::adaptive::as_text(&report.tolerances, &where_to, width));
    for note in &report.notes {
        let _ = writeln!(text, "{note}");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    paragraphs(&text, width)
}

fn options(report: &Report, adaptive: bool, width: Option<usize>) -> String {
    fn number(value: Option<f64>) -> String {
        value.map_or_else(|| "-".to_owned(), short)
    }
    let columns = vec![
        Column::new("option", Worth::Needed, |line: &Line| line.choice.to_owned()),
        Column::new("rule", Worth::Result, |line: &Line| line.rule.clone()),
        Column::new(if adaptive { "beta1" } else { "momentum" }, Worth::Setting, |line: &Line| {
            line.momentum.to_string()
        }),
        Column::new(
            "dampening",
            Worth::Setting,
            move |line: &Line| {
                if adaptive { String::new() } else { line.dampening.to_string() }
            },
        ),
        Column::new("lr", Worth::Needed, |line: &Line| number(line.lr)),
        Column::new("effective_lr", Worth::Detail, |line: &Line| number(line.effective_lr)),
        Column::new("progress", Worth::Result, |line: &Line| line.progress.map_or_else(|| "-".to_owned(), share)),
        Column::new("threshold_gain", Worth::Evidence, |line: &Line| number(line.threshold_gain)),
        Column::new("threshold", Worth::Setting, |line: &Line| line.threshold_from.unwrap_or("-").to_owned()),
    ];
    fitted(&report.choices, columns, width, "--json has all")
}
