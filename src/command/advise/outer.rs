//! `tauscope advise` for an outer loop: whether a recipe of DiLoCo's kind stays at a minimum when its rounds come late, how far it
//! is from the limit, and the nearest learning rate, momentum and fresh share that would.
//!
//! Exact along a direction of constant curvature with gradient descent inside. Not here: gradients that workers send as they
//! are (the parent module).

use super::{Args, measured::MeasuredThresholds};
use crate::command::lines::paragraphs;
use crate::command::to_stdout;
use crate::outer::{LocalRule, LocalSteps, OuterLoop};
use crate::rule::Rule;
use crate::streams::stdout_width;
use crate::table::number::{percent, significant};
use crate::text::counted;
use crate::theory::{Criterion, DelayLaw, TheoryError, threshold};
use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use std::fmt::Write as _;

/// Share of the limit that is advised: the margin that `tauscope tune` leaves for a curvature known to 20 %.
const ADVISED: f64 = 0.8;

/// Digits of all numbers.
const DIGITS: usize = 3;

/// Halvings of a momentum or a share.
const HALVINGS: u32 = 40;

/// What is written with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    rule: String,
    momentum: f64,
    dampening: f64,
    /// Rounds.
    stale_rounds: usize,
    fresh_share: f64,
    local_steps: Option<u32>,
    local_lr: Option<f64>,
    curvature: f64,
    local_gain: Option<f64>,
    /// Share of the way to the minimum that a round's difference covers; 1 where workers send gradients.
    coverage: f64,
    lr: f64,
    /// `lr` x coverage, or x curvature where workers send gradients.
    outer_gain: f64,
    threshold_outer_gain: f64,
    threshold_lr: f64,
    /// `lr` / `threshold_lr`.
    share_of_threshold: f64,
    stable: bool,
    /// Without stale rounds.
    synchronous_threshold_lr: f64,
    advised_lr: f64,
    /// Largest momentum at which `lr` is at most 0.8 of the limit; none where not even 0 does.
    advised_momentum: Option<f64>,
    /// Least fresh share at which it is; none where not even 1 does.
    advised_fresh_share: Option<f64>,
    sentence: String,
}

/// An outer loop at one curvature.
struct Loop<'a> {
    rule: &'a Rule,
    law: DelayLaw,
    outer: OuterLoop,
    curvature: f64,
}

impl Loop<'_> {
    /// What the outer learning rate is multiplied by on the way to the weights.
    fn coverage(&self) -> Result<f64, TheoryError> {
        match self.outer.local {
            None => Ok(self.curvature),
            Some(local) => self.outer.round().coverage(local.lr * self.curvature),
        }
    }

    fn threshold_gain(&self) -> Result<f64, TheoryError> {
        let equation = self.outer.equation(self.rule, &self.law);
        let equation = equation.ok_or_else(|| TheoryError::unsupported(&self.rule.name(), &self.law))?;
        Ok(threshold(&equation, Criterion::Mean)?.gain)
    }

    fn limit(&self) -> Result<f64, TheoryError> {
        Ok(self.threshold_gain()? / self.coverage()?)
    }
}

/// Writes the report.
///
/// # Errors
/// Flags that do not go together, or a rule without a threshold.
pub fn run(args: &Args, rule: &Rule) -> Result<()> {
    let report = report(args, rule)?;
    to_stdout(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        paragraphs(&as_text(&report), stdout_width())
    })
}

fn report(args: &Args, rule: &Rule) -> Result<Report> {
    let (Some(lr), Some(rounds)) = (args.lr, args.to_delay) else {
        bail!(
            "--local-steps or --fresh-share: accepted: with --lr, the outer learning rate, and --to-delay, the stale rounds"
        );
    };
    let curvature = match (args.lambda, &args.folder) {
        (Some(lambda), _) => lambda,
        (None, Some(folder)) => MeasuredThresholds::read(folder)?.curvature(),
        (None, None) => {
            bail!("--local-steps or --fresh-share: accepted: with --lambda CURVATURE, or --folder DIR of a sweep")
        }
    };
    if !args.schedule.law(Some(rounds)).is_ok_and(|law| law.is_fixed()) {
        bail!("--schedule {} with an outer loop: accepted: round-robin", args.schedule);
    }
    if args.condition.is_some() || args.relative_variance.is_some() {
        bail!("--condition and --relative-variance are not known of an outer loop; accepted: without them");
    }
    let fresh_share = args.fresh_share.unwrap_or(0.0);
    let local = args.local_steps.zip(args.local_lr).map(|(steps, lr)| LocalSteps { steps, lr, rule: LocalRule::Sgd });
    let outer = OuterLoop { local, fresh_share, ..OuterLoop::default() };
    let law = DelayLaw::Fixed(rounds);
    let here = Loop { rule, law: law.clone(), outer, curvature };
    let blame = |error: TheoryError| match error {
        TheoryError::LocalGain(_) => anyhow!("--local-lr {}: {error}", args.local_lr.unwrap_or(0.0)),
        error => super::blame(rule, error),
    };
    let coverage = here.coverage().map_err(blame)?;
    let gain = here.threshold_gain().map_err(blame)?;
    let limit = gain / coverage;
    let synchronous = Loop { law: DelayLaw::Fixed(0), ..here }.limit().map_err(blame)?;
    let here = Loop { rule, law, outer, curvature };
    let bears = |other: &Loop| other.limit().is_ok_and(|limit| lr <= ADVISED * limit);
    let with_momentum = |momentum: f64| {
        let dampening = if rule.dampening == rule.momentum { momentum } else { rule.dampening };
        bears(&Loop { rule: &Rule { momentum, dampening, ..*rule }, law: here.law.clone(), ..here })
    };
    let with_share =
        |share: f64| bears(&Loop { outer: OuterLoop { fresh_share: share, ..outer }, law: here.law.clone(), ..here });
    let advised_momentum = match rule.momentum > 0.0 {
        _ if with_momentum(rule.momentum) => Some(rule.momentum),
        true if with_momentum(0.0) => Some(largest(0.0, rule.momentum, with_momentum)),
        _ => None,
    };
    let advised_fresh_share = match rounds {
        _ if with_share(fresh_share) => Some(fresh_share),
        0 => None,
        _ if with_share(1.0) => Some(1.0 - largest(0.0, 1.0 - fresh_share, |late| with_share(1.0 - late))),
        _ => None,
    };
    let mut report = Report {
        rule: rule.name(),
        momentum: rule.momentum,
        dampening: rule.dampening,
        stale_rounds: rounds,
        fresh_share,
        local_steps: args.local_steps,
        local_lr: args.local_lr,
        curvature,
        local_gain: local.map(|local| local.lr * curvature),
        coverage: if local.is_some() { coverage } else { 1.0 },
        lr,
        outer_gain: lr * coverage,
        threshold_outer_gain: gain,
        threshold_lr: limit,
        share_of_threshold: lr / limit,
        stable: lr < limit,
        synchronous_threshold_lr: synchronous,
        advised_lr: ADVISED * limit,
        advised_momentum,
        advised_fresh_share,
        sentence: String::new(),
    };
    report.sentence = sentence(&report);
    Ok(report)
}

/// The largest value up to `high` that holds, where `low` does and `high` does not.
fn largest(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

fn short(number: f64) -> String {
    significant(number, DIGITS)
}

fn sentence(report: &Report) -> String {
    let Report { stale_rounds, lr, threshold_lr, .. } = report;
    let rounds = counted(*stale_rounds, "round");
    let share = percent(report.share_of_threshold, DIGITS);
    let (lr, limit) = (short(*lr), short(*threshold_lr));
    if report.stable && report.share_of_threshold <= ADVISED {
        return format!("Stable at {rounds} of staleness: outer lr {lr} is {share} of the limit {limit}.");
    }
    let state = if report.stable { "Stable, but near its edge," } else { "Unstable" };
    let momentum = report.advised_momentum.map(|momentum| format!("momentum {}", short(momentum)));
    let fresh = report.advised_fresh_share.map(|share| match share {
        1.0 => "no late part at all".to_owned(),
        share => {
            let replicas = (1.0 / share).floor();
            let eager = if replicas < 2.0 {
                "more than eager updates of two replicas have".to_owned()
            } else {
                format!("eager updates of at most {replicas} replicas")
            };
            format!("a fresh share of {} ({eager})", short(share))
        }
    });
    let others: Vec<String> = momentum.into_iter().chain(fresh).collect();
    let others =
        if others.is_empty() { String::new() } else { format!(", or keep it with {}", others.join(", or with ")) };
    format!(
        "{state} at {rounds} of staleness: outer lr {lr} is {share} of the limit {limit}; take outer lr {}{others}.",
        short(report.advised_lr)
    )
}

fn as_text(report: &Report) -> String {
    let Report { rule, momentum, dampening, .. } = report;
    let mut text = format!("{}\n\n", report.sentence);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<22} {value}");
    };
    line("outer rule", format!("{rule}, momentum {}, dampening {}", short(*momentum), short(*dampening)));
    line("stale rounds", report.stale_rounds.to_string());
    if report.fresh_share > 0.0 {
        line("fresh share", short(report.fresh_share));
    }
    if let (Some(steps), Some(lr), Some(gain)) = (report.local_steps, report.local_lr, report.local_gain) {
        line(
            "local steps",
            format!("{steps} of lr {}, local gain {} at curvature {}", short(lr), short(gain), short(report.curvature)),
        );
        line("coverage", format!("{} of the way to the minimum in a round", short(report.coverage)));
    }
    line("outer gain", format!("{} (limit {})", short(report.outer_gain), short(report.threshold_outer_gain)));
    line(
        "limit of the outer lr",
        format!("{} ({} without stale rounds)", short(report.threshold_lr), short(report.synchronous_threshold_lr)),
    );
    line("advised outer lr", format!("{} (0.8 of the limit)", short(report.advised_lr)));
    text += "\nExact for a constant curvature and gradient descent inside; a guide where AdamW is inside. A round that is s rounds stale applies \
             what workers began s rounds before.\n";
    text
}

/// `--fresh-share`.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number.filter(|share: &f64| (0.0..=1.0).contains(share)).ok_or_else(|| "accepted: 0 to 1".to_owned())
}

/// Whether an outer loop is asked about.
pub fn is_asked(args: &Args) -> bool {
    args.local_steps.is_some() || args.fresh_share.is_some()
}
