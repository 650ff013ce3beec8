//! Thresholds of mixing under chance against the full operators on second moments, written from the definition of X and P: every slot or worker
//! with both vectors, one matrix for each delay or worker that may come.

use crate::common::spectral_radius;
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use tauscope::rule::{Rule, RuleKind};
use tauscope::theory::{Criterion, DelayLaw, DelayPmf};

fn rule(share: f64, momentum: f64) -> Rule {
    Rule { number: Some(share), ..Rule::new(RuleKind::Mixing, momentum, 0.0) }
}

fn mean_square(rule: &Rule, law: &DelayLaw, relative_variance: f64) -> f64 {
    rule.threshold(law, Criterion::MeanSquare { relative_variance }).unwrap().gain
}

/// The server's X and P after a worker that has read slot `read` of `state` reports; slots hold X and P one after the other, the server's
/// in front.
fn mixed(rule: &Rule, gain: f64, state: &[f64], read: usize) -> [f64; 2] {
    let (share, momentum) = (rule.number.unwrap(), rule.momentum);
    let (x, p) = (state[2 * read], state[2 * read + 1]);
    let result = x + momentum * (x - p) - gain * x;
    [(1.0 - share) * state[0] + share * result, (1.0 - share) * state[1] + share * x]
}

fn matrix(size: usize, step: impl Fn(&[f64]) -> Vec<f64>) -> DMatrix<f64> {
    let column = |i: usize| {
        let mut unit = vec![0.0; size];
        unit[i] = 1.0;
        DVector::from_vec(step(&unit))
    };
    DMatrix::from_columns(&(0..size).map(column).collect::<Vec<_>>())
}

/// One update at this delay on a ring of versions, the newest first.
fn by_delay(rule: &Rule, gain: f64, longest: usize, delay: usize) -> DMatrix<f64> {
    let size = 2 * (longest + 1);
    matrix(size, |state| [&mixed(rule, gain, state, delay)[..], &state[..size - 2]].concat())
}

/// One report of this worker: it takes the new X and P.
fn by_worker(rule: &Rule, gain: f64, workers: usize, reporter: usize) -> DMatrix<f64> {
    matrix(2 * (workers + 1), |state| {
        let new = mixed(rule, gain, state, reporter + 1);
        let mut next = state.to_vec();
        for slot in [0, reporter + 1] {
            next[2 * slot..2 * slot + 2].copy_from_slice(&new);
        }
        next
    })
}

/// The map of a step at a gain.
type StepAt<'a> = Box<dyn Fn(f64) -> DMatrix<f64> + 'a>;

/// Mean of `A x A + r B x B` over what may come, with `B` what a gain of 1 adds to a step, times the gain.
fn lifted(gain: f64, relative_variance: f64, steps: &[(f64, StepAt<'_>)]) -> DMatrix<f64> {
    let all = steps.iter().map(|(probability, step)| {
        let (once, still) = (step(gain), step(0.0));
        let noise = &once - still;
        (once.kronecker(&once) + relative_variance * noise.kronecker(&noise)) * *probability
    });
    all.reduce(|sum, step| sum + step).unwrap()
}

type Steps<'a> = Vec<(f64, Box<dyn Fn(f64) -> DMatrix<f64> + 'a>)>;

fn steps<'a>(rule: &'a Rule, law: &'a DelayLaw) -> Steps<'a> {
    match law {
        DelayLaw::Fixed(delay) => vec![(1.0, Box::new(|gain| by_delay(rule, gain, *delay, *delay)))],
        DelayLaw::Independent(pmf) => {
            let longest = pmf.longest();
            let of = |(delay, p): (usize, &f64)| -> (f64, Box<dyn Fn(f64) -> DMatrix<f64> + 'a>) {
                (*p, Box::new(move |gain| by_delay(rule, gain, longest, delay)))
            };
            pmf.probabilities().iter().enumerate().map(of).collect()
        }
        DelayLaw::RandomWorkers(workers) => (0..*workers)
            .map(|reporter| -> (f64, Box<dyn Fn(f64) -> DMatrix<f64> + 'a>) {
                (1.0 / *workers as f64, Box::new(move |gain| by_worker(rule, gain, *workers, reporter)))
            })
            .collect(),
    }
}

#[test]
fn mean_square_thresholds_separate_the_full_operators_under_every_law_and_noise() {
    let laws = [
        DelayLaw::Fixed(0),
        DelayLaw::Fixed(2),
        DelayLaw::Independent(DelayPmf::uniform(0, 2).unwrap()),
        DelayLaw::Independent(DelayPmf::new(vec![0.2, 0.0, 0.5, 0.3]).unwrap()),
        DelayLaw::RandomWorkers(2),
        DelayLaw::RandomWorkers(3),
    ];
    for law in &laws {
        for (share, momentum, relative_variance) in
            [(0.5, 0.0, 0.0), (0.5, 0.8, 0.0), (0.3, 0.6, 0.4), (1.0, 0.5, 2.0), (0.9, 0.9, 0.1)]
        {
            let rule = rule(share, momentum);
            let gain = mean_square(&rule, law, relative_variance);
            for (factor, stable) in [(0.2, true), (1.0 - 1e-5, true), (1.0 + 1e-5, false)] {
                let radius = spectral_radius(lifted(factor * gain, relative_variance, &steps(&rule, law)));
                let told = format!("{law:?}, {rule:?}, r {relative_variance}: radius {radius} at {factor} of {gain}");
                assert_eq!(radius < 1.0, stable, "{told}");
            }
        }
    }
}

#[test]
fn thresholds_in_the_mean_separate_the_mean_of_all_steps() {
    let laws = [
        DelayLaw::Independent(DelayPmf::uniform(0, 3).unwrap()),
        DelayLaw::Independent(DelayPmf::new(vec![0.2, 0.0, 0.5, 0.3]).unwrap()),
        DelayLaw::RandomWorkers(2),
        DelayLaw::RandomWorkers(4),
    ];
    for law in &laws {
        for (share, momentum) in [(0.5, 0.0), (0.5, 0.8), (1.0, 0.9), (0.1, 0.9)] {
            let rule = rule(share, momentum);
            let gain = rule.threshold(law, Criterion::Mean).unwrap().gain;
            for (factor, stable) in [(0.3, true), (1.0 - 1e-7, true), (1.0 + 1e-7, false)] {
                let all = steps(&rule, law);
                let mean = all.iter().map(|(p, step)| step(factor * gain) * *p).reduce(|sum, step| sum + step).unwrap();
                let radius = spectral_radius(mean);
                assert_eq!(radius < 1.0, stable, "{law:?}, {rule:?}: radius {radius} at {factor} of {gain}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// As far as without delay and chance at the least, and with a chain for each worker exactly as far.
    #[test]
    fn no_chance_of_delays_takes_mixing_below_the_synchronous_threshold(
        share in 0.05..1.0f64, momentum in 0.0..0.95f64, workers in 1usize..20, longest in 0usize..8,
    ) {
        let synchronous = 2.0 * (1.0 + momentum);
        let pmf = DelayPmf::uniform(longest / 3, longest).unwrap();
        for law in [DelayLaw::Fixed(longest), DelayLaw::RandomWorkers(workers), DelayLaw::Independent(pmf)] {
            let gain = mean_square(&rule(share, momentum), &law, 0.0);
            prop_assert!(gain >= synchronous * (1.0 - 1e-9), "{law:?}: {gain} below {synchronous}");
            let chains = mean_square(&rule(1.0, momentum), &law, 0.0);
            prop_assert!((chains / synchronous - 1.0).abs() < 1e-6, "{law:?}: {chains}, not {synchronous}");
        }
    }
}
