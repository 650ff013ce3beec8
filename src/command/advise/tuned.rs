//! The fastest rules where the condition number is known: what `tauscope tune` finds, and what they tolerate.
//!
//! Not here: the search and its mathematics ([`crate::theory::tuning`]).

use super::{Args, Target, is_adaptive};
use crate::command::shown::continued;
use crate::command::tune::{agrees, condition_of};
use crate::config::TunedRuleSpec;
use crate::sweep::MeasuredSpectrum;
use crate::table::number::significant;
use crate::theory::DelayLaw;
use crate::theory::tuning::{
    LONGEST_TUNED_DELAY, LinearRule, Tuning, bound, tune, updates_per_efold, with_a_slow_worker,
};
use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::Write as _;

/// Rules that are compared.
const RULES: [&str; 6] = ["heavy-ball", "shifted", "weight-prediction", "prediction-2", "mixing:0.5", "mixing:1/T"];

/// Part of the best gain that is taken: a largest curvature is rarely known better than to some 20 %.
const LR_FACTOR: f64 = 0.8;

/// How many times as long the slow worker takes.
const SLOWNESS: usize = 10;

/// A rule with its parameters, and what it reaches.
#[derive(Debug, Serialize)]
pub struct Tuned {
    /// As typed after `--rules`, with its numbers.
    rule: String,
    /// None where no largest curvature is known.
    lr: Option<f64>,
    /// Learning rate times the largest curvature.
    gain: f64,
    momentum: f64,
    updates_per_efold: f64,
    bound: f64,
    factor: f64,
    /// Under gradient noise of variance 1, with the largest curvature 1: at the server, and where gradients are taken.
    noise_floor: f64,
    noise_floor_read: f64,
    extra_vectors: usize,
    costs: &'static str,
    /// Updates per e-fold where something is other than it was tuned for; none where a direction does not decay.
    tolerated: Vec<(String, Option<f64>)>,
}

/// The fastest rules at a delay.
#[derive(Debug, Default)]
pub struct Fastest {
    /// those first that tolerate everything that is asked; empty where no condition number is known.
    pub rules: Vec<Tuned>,
    pub condition: Option<f64>,
    /// Where the condition number comes from, or why there is none.
    pub note: Option<String>,
}

/// The fastest rules at the delay to move to, where a condition number is asked for, or a folder tells one.
///
/// # Errors
/// With `--condition`: delays that vary or are too long, or a rule that divides gradients by their second moment.
pub fn fastest(args: &Args, target: &Target, curvature: Option<f64>) -> Result<Fastest> {
    if let Some(condition) = args.condition {
        if let Some(dir) = &args.folder {
            agrees(condition, dir, &MeasuredSpectrum::read(dir)?)?;
        }
        return Ok(Fastest {
            rules: tuned(args, target, curvature, condition)?,
            condition: Some(condition),
            note: None,
        });
    }
    let fixed = matches!(target.law, Ok(DelayLaw::Fixed(delay)) if delay <= LONGEST_TUNED_DELAY);
    let Some(dir) = args.folder.as_ref().filter(|_| fixed && !is_adaptive(args.rule.kind)) else {
        return Ok(Fastest::default());
    };
    // Advice by thresholds needs no spectrum.
    match MeasuredSpectrum::read(dir).and_then(|spectrum| condition_of(dir, &spectrum)) {
        Ok((condition, note)) => {
            let rules = tuned(args, target, curvature, condition)?;
            Ok(Fastest {
                rules,
                condition: Some(condition),
                note: Some(format!("The fastest rules are those for {note}.")),
            })
        }
        Err(why) => {
            Ok(Fastest { note: Some(format!("The fastest rules are not told: {why:#}.")), ..Fastest::default() })
        }
    }
}

/// Those at one condition number.
fn tuned(args: &Args, target: &Target, curvature: Option<f64>, condition: f64) -> Result<Vec<Tuned>> {
    if is_adaptive(args.rule.kind) {
        bail!(
            "--condition with --rule {}: the fastest rules are those of SGD; accepted: without --condition",
            args.rule
        );
    }
    let delay = match target.law {
        Ok(DelayLaw::Fixed(delay)) if delay <= LONGEST_TUNED_DELAY => delay,
        Ok(DelayLaw::Fixed(delay)) => bail!(
            "--condition with a delay of {delay}: too long to tune for; accepted: delays from 0 to {LONGEST_TUNED_DELAY}"
        ),
        _ => bail!(
            "--condition with --schedule {}: rules are tuned for one delay; accepted: --schedule round-robin with the mean delay",
            args.schedule
        ),
    };
    let one = |text: &&str| {
        let spec: TunedRuleSpec = text.parse().expect("the rules are written as they are typed");
        let tuning = tune(spec.at(delay as f64), delay, condition, LR_FACTOR)?;
        let extra_vectors = spec.at(delay as f64).extra_vectors(delay);
        Tuned::of(text, &tuning, extra_vectors, (delay, condition, curvature))
    };
    let mut found: Vec<Tuned> = RULES.par_iter().filter_map(one).collect();
    let all = |tuned: &Tuned| tuned.tolerated.iter().all(|(_, updates)| updates.is_some());
    found.sort_by(|a, b| (all(b).cmp(&all(a))).then(a.updates_per_efold.total_cmp(&b.updates_per_efold)));
    Ok(found)
}

impl Tuned {
    fn of(
        name: &str,
        tuning: &Tuning,
        extra_vectors: usize,
        (delay, condition, curvature): (usize, f64, Option<f64>),
    ) -> Option<Self> {
        let Tuning { rule, gain, updates_per_efold: reached, .. } = *tuning;
        let [noise_floor, noise_floor_read] = tuning.noise_floors(delay, condition)?;
        let (updates, bound) = (reached?, bound(delay, condition));
        let rule_name = match rule {
            LinearRule::Predicting { horizons: [first, _], .. } if name == "weight-prediction" => {
                format!("{name}:{}", significant(first, 3))
            }
            LinearRule::Predicting { horizons: [first, second], .. } if name == "prediction-2" => {
                format!("{name}:{}/{}", significant(first, 3), significant(second, 3))
            }
            _ => name.to_owned(),
        };
        let at = |delay, gain, condition| updates_per_efold(&rule, delay, gain, condition);
        let mut tolerated = vec![];
        if delay > 0 {
            tolerated.push((
                format!("one worker of {} takes {SLOWNESS} times as long", delay + 1),
                with_a_slow_worker(&rule, delay, gain, condition, SLOWNESS),
            ));
        }
        tolerated.push((format!("delay {}", delay + 1), at(delay + 1, gain, condition)));
        if delay > 1 {
            tolerated.push((format!("delay {}", 2 * delay), at(2 * delay, gain, condition)));
        }
        tolerated.push(("largest curvature 20 % larger".to_owned(), at(delay, 1.2 * gain, 1.2 * condition)));
        tolerated.push(("smallest curvature 4 times smaller".to_owned(), at(delay, gain, 4.0 * condition)));
        let costs = match rule {
            LinearRule::Mixing { .. } => {
                "one vector beside the weights in every slot; a worker reads two vectors and returns two"
            }
            LinearRule::PerWorker { .. } => "a velocity for each worker",
            LinearRule::Predicting { horizons: [_, second], .. } if second > 0.0 => "two vectors beside the weights",
            LinearRule::Predicting { .. } => "one vector beside the weights",
        };
        Some(Self {
            rule: rule_name,
            lr: curvature.map(|curvature| gain / curvature),
            gain,
            momentum: rule.momentum(),
            updates_per_efold: updates,
            bound,
            factor: updates / bound,
            noise_floor,
            noise_floor_read,
            extra_vectors,
            costs,
            tolerated,
        })
    }
}

fn short(number: f64) -> String {
    significant(number, 3)
}

/// Whether the first rule tolerates all that is asked.
fn headline(best: &Tuned) -> &'static str {
    let tolerated = best.tolerated.iter().all(|(_, updates)| updates.is_some());
    if tolerated { "the fastest" } else { "the fastest (none tolerates all that is asked below)" }
}

/// With the digits that tell it from 1.
fn condition_text(condition: f64) -> String {
    if condition < 1.1 { format!("1 + {}", short(condition - 1.0)) } else { short(condition) }
}

/// A momentum to three digits of its distance from 1, on which the rate depends.
fn momentum_text(momentum: f64) -> String {
    let distance = 1.0 - momentum;
    let digits = (3.0 - distance.log10().floor()).clamp(3.0, 15.0) as usize;
    significant(momentum, digits - 1)
}

/// The recommended rule in words, and all of them as a table.
pub fn as_text(tuned: &[Tuned], where_to: &str, condition: f64, width: Option<usize>) -> String {
    let Some(best) = tuned.first() else { return String::new() };
    let mut text = format!(
        "Recommended: {} {where_to} at condition number {}: {}, {}, momentum {}, dampening 0.\n  reaches: an e-fold in {} updates, {} times the \
         fewest that any stationary linear rule needs ({}), at {LR_FACTOR} of its best learning rate.\n  costs: {}; with the largest curvature \
         scaled to 1, gradient noise of variance 1 leaves a floor of {} at the server and {} where gradients are taken.\n",
        headline(best),
        condition_text(condition),
        best.rule,
        match best.lr {
            Some(lr) => format!("lr {}", short(lr)),
            None => format!("lr {} / the largest curvature", short(best.gain)),
        },
        momentum_text(best.momentum),
        short(best.updates_per_efold),
        short(best.factor),
        short(best.bound),
        best.costs,
        short(best.noise_floor),
        short(best.noise_floor_read),
    );
    let updates = |updates: Option<f64>| updates.map_or_else(|| "leaves".to_owned(), short);
    let names = ["as tuned".to_owned()].into_iter().chain(best.tolerated.iter().map(|(name, _)| name.clone()));
    let names = names.chain(["noise floor".to_owned()]).collect();
    let of_rule = |one: &Tuned| {
        let tolerated = one.tolerated.iter().map(|(_, other)| updates(*other));
        let cells = [short(one.updates_per_efold)].into_iter().chain(tolerated).chain([short(one.noise_floor)]);
        (one.rule.clone(), cells.collect())
    };
    let columns: Vec<_> =
        [("updates per e-fold".to_owned(), names)].into_iter().chain(tuned.iter().map(of_rule)).collect();
    let table = continued(&columns, width);
    let _ = writeln!(text, "\n{table}\n");
    text.push_str(
        "This is linear theory: one delay, additive noise. With minibatches or far from a minimum the order may be another.\n\n",
    );
    text
}
