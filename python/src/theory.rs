//! Closed forms over many points at once. Arrays come flat and of one length: broadcasting is Python's.
//!
//! Not here: the mathematics ([`tauscope::theory`]).

use crate::delays::Delays;
use crate::failure::{guarded, value};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use std::time::{Duration, Instant};
use tauscope::delay::{Process, Schedule};
use tauscope::rule::Rule;
use tauscope::theory::{self, Criterion, DelayLaw, DelayPmf, Equation, TheoryError, Velocity, dominant_root};
use tauscope::{RuleSpec, ScheduleSpec};

/// Time between two questions whether a signal has arrived.
const QUESTIONS: Duration = Duration::from_millis(100);

/// Rules, momenta, dampenings, delays, and a number for each.
type Points = (Vec<String>, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>);

/// A process as typed, recorded delays, or probabilities.
type DelaysGiven<'py> = (Option<String>, Option<Bound<'py, PyAny>>, Option<Vec<f64>>);

/// One number for each point.
type Array<'py> = Bound<'py, PyArray1<f64>>;

/// Two of them.
type Pair<'py> = (Array<'py>, Array<'py>);

/// One point: a rule at a delay. What is NaN is the rule's own: the momentum, the dampening as well.
#[derive(Clone, Debug)]
struct Point {
    spec: RuleSpec,
    momentum: f64,
    dampening: f64,
    /// In updates; NaN where the process brings its own.
    delay: f64,
    /// A relative variance or a gain.
    number: f64,
    /// Share of the gradient that is taken at the newest weights.
    fresh_share: f64,
}

impl Point {
    fn rule(&self) -> Rule {
        let Some(usual) = self.spec.kind.definition().momentum else {
            return self.spec.with(0.0, 0.0);
        };
        let momentum = if self.momentum.is_nan() { usual.momentum } else { self.momentum };
        let dampening = if self.dampening.is_nan() { momentum } else { self.dampening };
        self.spec.with(momentum, dampening)
    }

    fn delay(&self) -> PyResult<Option<usize>> {
        let most = theory::LONGEST_DELAY as f64;
        match self.delay {
            delay if delay.is_nan() => Ok(None),
            delay if (0.0..=most).contains(&delay) && delay.fract() == 0.0 => Ok(Some(delay as usize)),
            delay => Err(value(format!("delay {delay}: accepted: whole numbers of updates from 0 to {most}"))),
        }
    }

    /// The same where a share of the gradient is taken at the newest weights.
    fn fresh_equation(&self, laws: &Laws) -> PyResult<Equation> {
        let fresh_share = self.fresh_share;
        if !(0.0..=1.0).contains(&fresh_share) {
            return Err(value(format!("fresh_share {fresh_share}: accepted: numbers from 0 to 1")));
        }
        let equation = self.equation(laws)?;
        if fresh_share == 0.0 {
            return Ok(equation);
        }
        let rule = self.rule();
        let equation = equation.with_fresh_share(fresh_share, &laws.at(self.delay()?)?);
        equation.ok_or_else(|| {
            let rule = rule.name();
            value(format!("fresh_share {fresh_share} with {rule}: no theory is known; accepted: a fixed delay, and rules whose gradients are all as late as it"))
        })
    }

    fn equation(&self, laws: &Laws) -> PyResult<Equation> {
        let law = laws.at(self.delay()?)?;
        let rule = self.rule();
        rule.known_equation(&law).map_err(|error| blame(&rule, error))
    }
}

/// Names what an error is about.
fn blame(rule: &Rule, error: TheoryError) -> PyErr {
    let Rule { momentum, dampening, .. } = rule;
    value(match error {
        TheoryError::Momentum(_) => format!("momentum {momentum}: accepted: numbers from 0 to below 1"),
        TheoryError::Dampening(_) => format!("dampening {dampening}: accepted: numbers from 0 to 1, or 'ema'"),
        TheoryError::NoEquation(_) => {
            format!("rule {error}; accepted: {}", tauscope::rule::names_with_equation().join(", "))
        }
        error => format!("{} with momentum {momentum} and dampening {dampening}: {error}", rule.name()),
    })
}

fn of_arrays((rules, momenta, dampenings, delays, numbers): Points) -> PyResult<Vec<Point>> {
    let mut points = Vec::with_capacity(rules.len());
    for ((text, (momentum, dampening)), (delay, number)) in
        rules.iter().zip(momenta.into_iter().zip(dampenings)).zip(delays.into_iter().zip(numbers))
    {
        let spec = text.parse().map_err(|reason| value(format!("rule '{text}': {reason}")))?;
        points.push(Point { spec, momentum, dampening, delay, number, fresh_share: 0.0 });
    }
    Ok(points)
}

/// The laws of the delays of one process.
enum Laws {
    Spec(ScheduleSpec),
    /// Delays of its own, whatever is asked for.
    Own(DelayLaw),
}

impl Laws {
    fn of((schedule, trace, pmf): DelaysGiven) -> PyResult<Self> {
        if trace.is_some() || pmf.is_some() {
            let schedule = Delays { schedule, delay: None, trace, pmf }.resolve()?;
            return as_law(&schedule).map(Self::Own);
        }
        let text = schedule.as_deref().unwrap_or("round-robin");
        let spec: ScheduleSpec = text.parse().map_err(|reason| value(format!("schedule '{text}': {reason}")))?;
        if let ScheduleSpec::Trace(_) = spec {
            return as_law(&spec.own().map_err(value)?).map(Self::Own);
        }
        if spec.takes_delay() { Ok(Self::Spec(spec)) } else { spec.law(None).map(Self::Own).map_err(value) }
    }

    fn at(&self, delay: Option<usize>) -> PyResult<DelayLaw> {
        match (self, delay) {
            (Self::Own(law), None) => Ok(law.clone()),
            (Self::Own(_), Some(delay)) => {
                Err(value(format!("delay {delay} beside delays of its own; accepted: without delay")))
            }
            (Self::Spec(_), None) => Err(value("no delay; accepted: updates from 0 on, or a trace, or a pmf")),
            (Self::Spec(spec), delay) => spec.law(delay).map_err(value),
        }
    }
}

/// The law of delays that a process brings. Recorded ones count as if they were drawn independently, as `tauscope advise`
/// takes them.
fn as_law(schedule: &Schedule) -> PyResult<DelayLaw> {
    if let Some(law) = schedule.theory() {
        return Ok(law);
    }
    let Process::Trace(trace) = schedule.process() else {
        return Err(value(format!("schedule {}: the theory does not know its delays", schedule.name())));
    };
    let mut counts = vec![0.0; schedule.slots() as usize];
    trace.delays().iter().for_each(|delay| counts[*delay as usize] += 1.0);
    DelayPmf::from_counts(&counts).map(DelayLaw::Independent).map_err(|error| value(format!("trace: {error}")))
}

/// Answers for every point, until a signal arrives.
fn each<T: Send>(
    py: Python,
    points: &[Point],
    answer: impl Fn(&Point) -> PyResult<T> + Send + Sync,
) -> PyResult<Vec<T>> {
    guarded(|| {
        py.detach(|| {
            let mut asked = Instant::now();
            let one = |point: &Point| {
                if asked.elapsed() >= QUESTIONS {
                    Python::attach(|py| py.check_signals())?;
                    asked = Instant::now();
                }
                answer(point)
            };
            points.iter().map(one).collect()
        })
    })
}

/// Threshold gains, and the angles of the crossings: NaN in mean square. The number of a point is its relative variance.
#[pyfunction]
pub fn threshold<'py>(
    py: Python<'py>,
    points: Points,
    criterion: Option<&str>,
    delays: DelaysGiven<'py>,
    fresh_shares: Vec<f64>,
) -> PyResult<Pair<'py>> {
    let laws = Laws::of(delays)?;
    let mut points = of_arrays(points)?;
    points.iter_mut().zip(fresh_shares).for_each(|(point, share)| point.fresh_share = share);
    let asked = match criterion {
        None => None,
        Some("mean") => Some(false),
        Some("mean-square") => Some(true),
        Some(other) => return Err(value(format!("criterion '{other}': accepted: mean, mean-square"))),
    };
    let found = each(py, &points, |point| {
        let relative_variance = point.number;
        if !(relative_variance >= 0.0 && relative_variance.is_finite()) {
            return Err(value(format!("relative_variance {relative_variance}: accepted: numbers from 0 on")));
        }
        let equation = point.fresh_equation(&laws)?;
        let in_square = asked.unwrap_or(relative_variance > 0.0 || !equation.law.is_fixed());
        let criterion = if in_square { Criterion::MeanSquare { relative_variance } } else { Criterion::Mean };
        theory::threshold(&equation, criterion)
            .and_then(|found| TheoryError::in_range(found.gain).map(|_| found))
            .map_err(|error| blame(&point.rule(), error))
    })?;
    Ok(pair(py, found.iter().map(|found| (found.gain, found.angle.unwrap_or(f64::NAN)))))
}

/// Growth rates per update, and angles in radians per update. The number of a point is its gain.
#[pyfunction]
pub fn growth<'py>(py: Python<'py>, points: Points, delays: DelaysGiven<'py>) -> PyResult<Pair<'py>> {
    let laws = Laws::of(delays)?;
    let points = of_arrays(points)?;
    let found = each(py, &points, |point| {
        let gain = point.number;
        if !(gain > 0.0 && gain.is_finite()) {
            return Err(value(format!("gain {gain}: accepted: numbers above 0")));
        }
        dominant_root(&point.equation(&laws)?, gain).map_err(|error| blame(&point.rule(), error))
    })?;
    Ok(pair(py, found.iter().map(|root| (root.rate, root.angle))))
}

/// Distance that a constant gradient moves the weights for each gradient that arrives, in learning rates: NaN where it
/// depends on the size of the gradient. The number of a point is not looked at.
#[pyfunction]
pub fn effective_factor<'py>(py: Python<'py>, points: Points, delays: DelaysGiven<'py>) -> PyResult<Array<'py>> {
    let laws = Laws::of(delays)?;
    let points = of_arrays(points)?;
    let found = each(py, &points, |point| {
        let equation = point.equation(&laws)?;
        Ok(point.rule().effective_factor(&equation).unwrap_or(f64::NAN))
    })?;
    Ok(found.into_pyarray(py))
}

/// Power of `z`, where the velocity is kept, momentum and dampening, `N`, share.
type Parts = (usize, &'static str, [f64; 2], Vec<f64>, Option<f64>);

/// What an equation at a fixed delay is made of: the power of `z` in `D`, which is shorter than the delay asked for where a rule takes
/// it away, where the velocity is kept, the momentum and the dampening, the coefficients of `N` from the highest power on, and
/// the share of a rule that mixes results.
#[pyfunction]
pub fn equation(points: Points) -> PyResult<Parts> {
    guarded(|| {
        let points = of_arrays(points)?;
        let point = points.first().ok_or_else(|| value("no rule; accepted: one"))?;
        let equation = point.equation(&Laws::of((None, None, None))?)?;
        let rule = point.rule();
        let DelayLaw::Fixed(delay) = equation.law else {
            return Err(value(format!("{}: its equation is that of random delays", rule.name())));
        };
        if equation.momentum_every.is_some() {
            return Err(value(format!(
                "{}: its momentum acts at some arrivals alone, which is no polynomial",
                rule.name()
            )));
        }
        let divisor = equation.divisor.map_or(1.0, |divisor| divisor(delay));
        let kept = match equation.velocity {
            Velocity::None => "none",
            Velocity::Server { .. } => "server",
            Velocity::Worker { .. } => "worker",
        };
        let [n0, n1, n2] = [equation.numerator[0], equation.numerator[1], equation.bend].map(|n| n / divisor);
        let (delay, numerator) = match equation.share {
            Some(_) => (delay, vec![n0]),
            // Of several ages, from the newest to the oldest.
            None if !equation.ages.is_empty() => {
                let mut numerator = vec![0.0; delay + 1];
                equation.ages.iter().for_each(|(age, weight)| numerator[*age] += n0 * weight);
                (delay, numerator)
            }
            None if n2 == 0.0 => (delay, vec![n1, n0 - n1]),
            None => (delay + 1, vec![n1 + n2, n0 - n1 - 2.0 * n2, n2]),
        };
        Ok((delay, kept, [rule.momentum, rule.dampening], numerator, equation.share))
    })
}

fn pair<'py>(py: Python<'py>, found: impl Iterator<Item = (f64, f64)>) -> Pair<'py> {
    let (first, second): (Vec<f64>, Vec<f64>) = found.unzip();
    (first.into_pyarray(py), second.into_pyarray(py))
}
