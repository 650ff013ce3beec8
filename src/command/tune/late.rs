//! Delay processes of `tauscope tune`, and its rows where delays vary.
//!
//! Where the theory knows the law of the delays, rates are exact: in mean square, and beside it those of the averaged dynamics. Elsewhere
//! they are simulated, with an interval. Not here: how ([`crate::theory::tuning`]).

use super::{Args, bare_row, source};
use crate::config::{Delays, TunedRuleSpec};
use crate::delay::{Schedule, ScheduleSpec, SlotStream};
use crate::table::TuneRow;
use crate::theory::DelayLaw;
use crate::theory::tuning::{
    LONGEST_EXACT, LONGEST_TUNED_DELAY, LateDynamics, LinearRule, SimulatedDelays, SimulatedRate, SlotSteps, TunedRule,
    TuningSource, bound_at, tune, tune_by_formula, tune_under,
};
use anyhow::{Result, anyhow, bail};

/// Delays of those who ask for none.
const DELAYS: [usize; 3] = [1, 4, 8];

/// Most slots of a process that is simulated.
const MOST_SLOTS: u32 = 4096;

/// Updates whose delays are counted to see which are long, and what part of them is not.
const COUNTED: u64 = 20_000;
const LONG: f64 = 0.95;

/// A delay process with nothing left open.
pub struct Lateness {
    /// As typed.
    pub name: String,
    /// As asked for; none of a process that brings its own delays.
    pub delay: Option<usize>,
    pub mean_delay: f64,
    pub workers: Option<usize>,
    pub group: u32,
    pub kind: Process,
}

/// What is known of its delays.
pub enum Process {
    Fixed(usize),
    Known { law: DelayLaw, long: usize },
    Simulated { schedule: Schedule, long: usize },
}

impl Lateness {
    /// The delay, where it is always the same.
    pub fn fixed(&self) -> Option<usize> {
        match self.kind {
            Process::Fixed(delay) => Some(delay),
            _ => None,
        }
    }

    fn new(spec: &ScheduleSpec, delay: Option<usize>) -> Result<Self> {
        let schedule = match delay {
            Some(delay) if delay > LONGEST_TUNED_DELAY => {
                bail!("--delays {delay}: too long to tune for; accepted: 0 to {LONGEST_TUNED_DELAY}")
            }
            Some(delay) => spec.resolve(u32::try_from(delay).unwrap_or(u32::MAX))?,
            None => spec.own()?,
        };
        // A law with a tail is cut somewhere, and its mean falls short of what was asked for.
        let mean_delay = delay.map_or_else(|| schedule.mean_delay(), |delay| delay as f64);
        if mean_delay > LONGEST_TUNED_DELAY as f64 {
            bail!(
                "--schedule {spec}: a mean delay of {mean_delay:.1} is too long to tune for; accepted: up to {LONGEST_TUNED_DELAY}"
            );
        }
        let known = |law: &DelayLaw| match law {
            DelayLaw::Independent(pmf) => pmf.longest() <= LONGEST_EXACT,
            DelayLaw::Fixed(_) | DelayLaw::RandomWorkers(_) => true,
        };
        let (workers, group) = (schedule.workers().map(|workers| workers as usize), schedule.group());
        let kind = match schedule.theory().filter(known) {
            Some(DelayLaw::Fixed(delay)) => Process::Fixed(delay),
            Some(law) => Process::Known { law, long: long(&schedule) },
            None if schedule.slots() > MOST_SLOTS => bail!(
                "--schedule {spec}: {} versions of the weights at a time are too many to simulate; accepted: up to {MOST_SLOTS}",
                schedule.slots()
            ),
            None => Process::Simulated { long: long(&schedule), schedule },
        };
        Ok(Self { name: spec.to_string(), delay, mean_delay, workers, group, kind })
    }
}

/// A delay than which few are longer.
fn long(schedule: &Schedule) -> usize {
    let delays = schedule.realised(0, COUNTED);
    let most = (LONG * delays.count() as f64) as u64;
    let mut below = 0;
    let found = delays.iter().find(|(_, count)| {
        below += count;
        below >= most
    });
    found.map_or(0, |(delay, _)| (delay as usize).min(LONGEST_TUNED_DELAY))
}

/// Every delay process at every delay, or once where it brings its own.
///
/// # Errors
/// A delay that the process cannot have or that is too long, or delays that no process takes.
pub fn processes(args: &Args) -> Result<Vec<Lateness>> {
    if !args.delays.is_empty() && !args.schedule.iter().any(ScheduleSpec::takes_delay) {
        let names: Vec<String> = args.schedule.iter().map(ToString::to_string).collect();
        bail!("--delays beside --schedule {}: it brings its own delays; accepted: without --delays", names.join(","));
    }
    let usual = [Delays(DELAYS.to_vec())];
    let delays = if args.delays.is_empty() { &usual[..] } else { &args.delays };
    let mut processes = vec![];
    for schedule in &args.schedule {
        if schedule.takes_delay() {
            for delay in delays.iter().flat_map(|delays| &delays.0) {
                processes.push(Lateness::new(schedule, Some(*delay))?);
            }
        } else {
            processes.push(Lateness::new(schedule, None)?);
        }
    }
    Ok(processes)
}

/// Whether a rule has a meaning under a process.
///
/// # Errors
/// A velocity for each worker where there are no workers, or a share that depends on an age that varies.
pub fn suits(spec: &TunedRuleSpec, process: &Lateness) -> Result<()> {
    let name = &process.name;
    if process.fixed().is_some() {
        return Ok(());
    }
    if process.workers.is_none() && spec.at(process.mean_delay) == TunedRule::Shifted {
        bail!(
            "--rules {spec} with --schedule {name}: the rule keeps a velocity for each worker, and this process has no workers; accepted: \
             --rules without {spec}, or --schedule round-robin, random, normal, workers"
        );
    }
    if spec.goes_by_age() {
        bail!(
            "--rules {spec} with --schedule {name}: the share of a result depends on its age, which varies; accepted: mixing:1/T, or a \
             share"
        );
    }
    Ok(())
}

/// What is optimised, in mean square and averaged; what is best at a fixed delay, the mean; and what the formula gives for that.
pub fn rows(spec: &TunedRuleSpec, process: &Lateness, condition: f64, lr_factor: f64) -> Result<Vec<TuneRow>> {
    let rule = spec.at(process.mean_delay);
    let mean = process.mean_delay.round() as usize;
    let at_mean = tune(rule, mean, condition, lr_factor);
    let formula = tune_by_formula(rule, mean, condition, lr_factor);
    let others = at_mean.map(|tuning| ("fixed-delay", tuning)).into_iter().chain(formula.map(|tuning| {
        let from = if tuning.source == TuningSource::Optimised { "fixed-delay" } else { source(tuning.source) };
        (from, tuning)
    }));
    let others: Vec<(&'static str, LinearRule, f64)> =
        others.map(|(from, tuning)| (from, tuning.rule, tuning.gain)).collect();
    let none = || {
        let accepted = match rule {
            TunedRule::Mixing { .. } => "larger shares, or shorter delays",
            TunedRule::WeightPrediction(Some(_)) | TunedRule::SecondPrediction(Some(_)) => "shorter horizons or delays",
            _ => "shorter delays",
        };
        anyhow!(
            "--rules {spec} with --schedule {} and condition {condition}: no parameters found with which every direction decays; \
             accepted: {accepted}",
            process.name
        )
    };
    let row = |at: (LinearRule, f64)| bare_row((spec, process, condition), rule, at);
    let mut starts = vec![mean];
    let mut rows = vec![];
    match &process.kind {
        Process::Fixed(_) => {}
        Process::Known { law, long } => {
            starts.extend(Some(*long).filter(|long| *long != mean));
            let best = tune_under(rule, law, &starts, condition, lr_factor).ok_or_else(none)?;
            let told = |dynamics: LateDynamics, source: &'static str, (rule, gain): (LinearRule, f64)| TuneRow {
                source,
                dynamics: match dynamics {
                    LateDynamics::Averaged => "averaged",
                    LateDynamics::MeanSquare => "mean-square",
                },
                ..with_rate(row((rule, gain)), law.updates_per_efold(dynamics, &rule, gain, condition))
            };
            rows.push(told(LateDynamics::MeanSquare, "optimised", best));
            rows.push(told(LateDynamics::Averaged, "optimised", best));
            rows.extend(others.iter().map(|(from, rule, gain)| told(LateDynamics::MeanSquare, from, (*rule, *gain))));
        }
        Process::Simulated { schedule, long } => {
            starts.extend(Some(*long).filter(|long| *long != mean));
            let delays = simulated(schedule);
            let best = tune_under(rule, &delays, &starts, condition, lr_factor).ok_or_else(none)?;
            let about = at_mean.and_then(|tuning| tuning.updates_per_efold).unwrap_or(100.0);
            let told = |source: &'static str, at: (LinearRule, f64)| {
                let measured = delays.rate(&at.0, at.1, condition, about);
                let Some(SimulatedRate { rate, low, high }) = measured else {
                    return TuneRow { source, dynamics: "simulated", ..row(at) };
                };
                let updates = (rate > 0.0).then(|| rate.recip());
                TuneRow {
                    source,
                    dynamics: "simulated",
                    rate_low: Some(low),
                    rate_high: Some(high),
                    ..with_rate(row(at), updates)
                }
            };
            rows.push(told("optimised", best));
            rows.extend(others.iter().map(|(from, rule, gain)| told(from, (*rule, *gain))));
        }
    }
    Ok(rows)
}

fn with_rate(row: TuneRow, updates: Option<f64>) -> TuneRow {
    let bound = bound_at(row.mean_delay, row.condition);
    TuneRow { updates_per_efold: updates, factor: updates.map(|updates| updates / bound), ..row }
}

/// The slots of a run, as a simulation asks for them.
#[derive(Clone)]
struct Steps(SlotStream);

impl SlotSteps for Steps {
    fn next(&mut self) -> [usize; 2] {
        let slots = self.0.next();
        [slots.read as usize, slots.write as usize]
    }

    fn reseed(&mut self, seed: u64) {
        self.0.reseed(seed);
    }
}

fn simulated(schedule: &Schedule) -> SimulatedDelays<impl Fn(u64) -> Steps + Sync> {
    let period = match schedule.process() {
        crate::delay::Process::Trace(trace) => trace.delays().len(),
        _ => 0,
    };
    SimulatedDelays {
        slots: schedule.slots() as usize,
        is_drawn: schedule.is_random(),
        period,
        start: move |seed| Steps(schedule.start(seed)),
    }
}
