//! Tuning where delays vary: rates in the mean, in mean square and simulated against the operators on whole states, made dense.
//!
//! The oracle writes an update as its definition says it, as a matrix on all that a run keeps, for each draw of the delay. The mean of these
//! matrices carries the mean, the mean of their Kronecker squares the second moments.

use crate::common::spectral_radius;
use crate::printed::{number, rows, tauscope};
use nalgebra::{DMatrix, DVector};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use tauscope::delay::{Schedule, SlotStream};
use tauscope::theory::tuning::{
    LateDynamics, LinearRule, SimulatedDelays, SlotSteps, TunedRule, tune, tune_under, updates_per_efold,
};
use tauscope::theory::{DelayLaw, DelayPmf};

const CONDITION: f64 = 30.0;
/// As many as the theory looks at.
const CURVATURES: usize = 25;

/// One update of a run that keeps the versions x_0, x_1, ... from the newest on, with the gradient of the version `late`.
fn drawn(rule: LinearRule, late: usize, longest: usize, k: f64) -> DMatrix<f64> {
    let versions = longest + 3;
    let column = |index: usize| {
        let state: Vec<f64> = (0..2 * versions).map(|i| f64::from(u8::from(i == index))).collect();
        let (x, p) = state.split_at(versions);
        let [now, before, earlier] = [0, 1, 2].map(|age| x[late + age]);
        let (moved, kept) = match rule {
            LinearRule::Predicting { momentum, horizons: [first, second] } => {
                let read = now + first * (now - before) + second * (now - 2.0 * before + earlier);
                (x[0] + momentum * (x[0] - x[1]) - k * read, 0.0)
            }
            LinearRule::Mixing { momentum, share } => {
                let result = now + momentum * (now - p[late]) - k * now;
                ((1.0 - share) * x[0] + share * result, (1.0 - share) * p[0] + share * now)
            }
            LinearRule::PerWorker { .. } => panic!("delays that are drawn come from no workers"),
        };
        let push = |new: f64, old: &[f64]| [&[new], &old[..old.len() - 1]].concat();
        DVector::from_vec([push(moved, x), push(kept, p)].concat())
    };
    DMatrix::from_columns(&(0..2 * versions).map(column).collect::<Vec<_>>())
}

/// One report of a worker: x, two versions before, P, then of every worker the version that it read, two before that, and its velocity or P;
/// what a rule has no use for is 0.
fn reported(rule: LinearRule, worker: usize, workers: usize, k: f64) -> DMatrix<f64> {
    let size = 4 + 4 * workers;
    let column = |index: usize| {
        let mut state: Vec<f64> = (0..size).map(|i| f64::from(u8::from(i == index))).collect();
        let [x, x1, _, p] = [state[0], state[1], state[2], state[3]];
        let own = 4 + 4 * worker;
        let [read, before, earlier, beside] = [0, 1, 2, 3].map(|place| state[own + place]);
        match rule {
            LinearRule::Predicting { momentum, horizons: [first, second] } => {
                let point = read + first * (read - before) + second * (read - 2.0 * before + earlier);
                let moved = x + momentum * (x - x1) - k * point;
                state[..4].copy_from_slice(&[moved, x, x1, 0.0]);
                state[own..own + 4].copy_from_slice(&[moved, x, x1, 0.0]);
            }
            LinearRule::PerWorker { momentum } => {
                let velocity = momentum * beside + k * read;
                state[..4].copy_from_slice(&[x - velocity, 0.0, 0.0, 0.0]);
                state[own..own + 4].copy_from_slice(&[x - velocity, 0.0, 0.0, velocity]);
            }
            LinearRule::Mixing { momentum, share } => {
                let result = read + momentum * (read - beside) - k * read;
                let mixed = (1.0 - share) * x + share * result;
                let kept = (1.0 - share) * p + share * read;
                state[..4].copy_from_slice(&[mixed, 0.0, 0.0, kept]);
                state[own..own + 4].copy_from_slice(&[mixed, 0.0, 0.0, kept]);
            }
        }
        DVector::from_vec(state)
    };
    DMatrix::from_columns(&(0..size).map(column).collect::<Vec<_>>())
}

/// Decay per update of the slowest curvature, in the mean and in mean square, from the matrices of all draws and their probabilities.
fn decays(gain: f64, draws: impl Fn(f64) -> Vec<(f64, DMatrix<f64>)>) -> [f64; 2] {
    let at = |index: usize| {
        let draws = draws(gain * CONDITION.powf(-(index as f64) / (CURVATURES - 1) as f64));
        let mean = draws.iter().map(|(p, map)| map * *p).sum::<DMatrix<f64>>();
        let square = draws.iter().map(|(p, map)| map.kronecker(map) * *p).sum::<DMatrix<f64>>();
        [-spectral_radius(mean).ln(), -0.5 * dominant(&square).ln()]
    };
    (0..CURVATURES).map(at).fold([f64::INFINITY; 2], |least, found| [least[0].min(found[0]), least[1].min(found[1])])
}

/// The largest eigenvalue of an operator on second moments, which has a covariance for eigenvector: by powers, from the identity.
fn dominant(operator: &DMatrix<f64>) -> f64 {
    let size = (operator.nrows() as f64).sqrt().round() as usize;
    let mut moment = DVector::from_column_slice(DMatrix::<f64>::identity(size, size).as_slice());
    let (mut log, steps) = (0.0, 3000);
    for step in 0..steps {
        moment = operator * moment;
        let norm = moment.norm();
        log += if step < steps / 2 { 0.0 } else { norm.ln() };
        moment /= norm;
    }
    (log / f64::from(steps / 2)).exp()
}

#[track_caller]
fn assert_within(what: &str, value: f64, expected: f64, part: f64) {
    // Written so that NaN fails.
    assert!((value / expected - 1.0).abs() <= part, "{what}: {value} is not {expected}");
}

/// Rules at parameters of no optimum, where a root is double.
fn rules() -> Vec<(LinearRule, f64)> {
    let predicting = |momentum, horizons| LinearRule::Predicting { momentum, horizons };
    vec![
        (predicting(0.0, [0.0; 2]), 0.3),
        (predicting(0.6, [0.0; 2]), 0.1),
        (predicting(0.8, [2.0, 0.0]), 0.1),
        (predicting(0.7, [1.5, 1.0]), 0.05),
        // The synchronous step has real eigenvalues at one end and complex ones at the other.
        (LinearRule::Mixing { momentum: 0.3, share: 0.5 }, 2.0),
        (LinearRule::Mixing { momentum: 0.5, share: 0.25 }, 1.5),
    ]
}

#[test]
fn rates_under_two_delays_drawn_independently_are_those_of_the_dense_operators() {
    let law = DelayLaw::Independent(DelayPmf::new(vec![0.0, 0.7, 0.0, 0.3]).unwrap());
    for (rule, gain) in rules() {
        let expected = decays(gain, |k| vec![(0.7, drawn(rule, 1, 3, k)), (0.3, drawn(rule, 3, 3, k))]);
        for (dynamics, rate) in [LateDynamics::Averaged, LateDynamics::MeanSquare].into_iter().zip(expected) {
            let found = law.updates_per_efold(dynamics, &rule, gain, CONDITION);
            assert!(rate > 0.0, "{rule:?} is no case: {rate}");
            // Powers of an operator tell the rate of second moments to one over their number.
            assert_within(&format!("{rule:?} {dynamics:?}"), found.unwrap(), 1.0 / rate, 2e-3);
        }
    }
    let shifted = LinearRule::PerWorker { momentum: 0.5 };
    assert_eq!(law.updates_per_efold(LateDynamics::MeanSquare, &shifted, 0.1, CONDITION), None);
    let fast = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
    assert_eq!(law.updates_per_efold(LateDynamics::Averaged, &fast, 1.5, CONDITION), None, "it grows");
}

#[test]
fn rates_under_random_workers_are_those_of_the_dense_operators() {
    let workers = 3;
    let law = DelayLaw::RandomWorkers(workers);
    let shifted = (LinearRule::PerWorker { momentum: 0.5 }, 0.1);
    for (rule, gain) in rules().into_iter().chain([shifted]) {
        let expected =
            decays(gain, |k| (0..workers).map(|worker| (1.0 / 3.0, reported(rule, worker, workers, k))).collect());
        for (dynamics, rate) in [LateDynamics::Averaged, LateDynamics::MeanSquare].into_iter().zip(expected) {
            let found = law.updates_per_efold(dynamics, &rule, gain, CONDITION);
            assert!(rate > 0.0, "{rule:?} is no case: {rate}");
            assert_within(&format!("{rule:?} {dynamics:?}"), found.unwrap(), 1.0 / rate, 2e-3);
        }
    }
}

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
    let start = move |seed| Steps(schedule.start(seed));
    SimulatedDelays { slots: schedule.slots() as usize, is_drawn: schedule.is_random(), period: 0, start }
}

#[test]
fn simulated_intervals_hold_the_rates_that_are_known() {
    let (random, fixed) = (Schedule::random(4), Schedule::round_robin(3));
    let (law, cases) = (DelayLaw::RandomWorkers(4), rules());
    for (rule, gain) in cases.into_iter().chain([(LinearRule::PerWorker { momentum: 0.5 }, 0.1)]) {
        let exact = law.updates_per_efold(LateDynamics::MeanSquare, &rule, gain, CONDITION).unwrap();
        let known = updates_per_efold(&rule, 3, gain, CONDITION).unwrap();
        let found = [
            simulated(&random).rate(&rule, gain, CONDITION, exact).unwrap(),
            simulated(&fixed).rate(&rule, gain, CONDITION, known).unwrap(),
        ];
        for (found, updates) in found.into_iter().zip([exact, known]) {
            assert!(
                found.low < 1.0 / updates && 1.0 / updates < found.high,
                "{rule:?}: {found:?}, not {}",
                1.0 / updates
            );
            assert!(found.high - found.low < 0.1 * found.rate, "{rule:?}: {found:?}");
        }
    }
}

/// Few draws are kind to too much gain, from which a search would fall back to where it began.
#[test]
fn a_search_by_simulation_comes_near_the_optimum_that_is_known() {
    let (workers, law) = (Schedule::random(4), DelayLaw::RandomWorkers(4));
    for rule in [TunedRule::Shifted, TunedRule::WeightPrediction(None), TunedRule::Mixing { share: 0.5 }] {
        let updates = |(rule, gain): (LinearRule, f64)| {
            law.updates_per_efold(LateDynamics::MeanSquare, &rule, gain, CONDITION).unwrap()
        };
        let found = updates(tune_under(rule, &simulated(&workers), &[3, 8], CONDITION, 1.0).unwrap());
        let best = updates(tune_under(rule, &law, &[3, 8], CONDITION, 1.0).unwrap());
        assert!(found <= 1.06 * best, "{rule:?}: {found}, where {best} can be had");
    }
}

#[test]
fn a_delay_that_is_certain_has_the_rate_of_its_roots_in_every_dynamics() {
    for (rule, gain) in rules() {
        let exact = updates_per_efold(&rule, 3, gain, CONDITION).unwrap();
        for dynamics in [LateDynamics::Averaged, LateDynamics::MeanSquare] {
            let found = DelayLaw::Fixed(3).updates_per_efold(dynamics, &rule, gain, CONDITION).unwrap();
            // Between the curvatures of the grid a rule may be a little slower.
            assert!((0.99..1.0 + 1e-5).contains(&(found / exact)), "{rule:?} {dynamics:?}: {found}, not {exact}");
        }
    }
}

#[test]
fn what_is_optimised_is_no_slower_than_what_is_best_at_the_mean_delay() {
    let law = DelayLaw::Independent(DelayPmf::uniform(0, 8).unwrap());
    for rule in [TunedRule::Sgd, TunedRule::WeightPrediction(None), TunedRule::Mixing { share: 0.5 }] {
        let fixed = tune(rule, 4, CONDITION, 1.0).unwrap();
        let (best, gain) = tune_under(rule, &law, &[4, 8], CONDITION, 1.0).unwrap();
        let updates = |rule: &LinearRule, gain| law.updates_per_efold(LateDynamics::MeanSquare, rule, gain, CONDITION);
        let reached = updates(&best, gain).unwrap();
        assert!(updates(&fixed.rule, fixed.gain).is_none_or(|fixed| reached <= 1.02 * fixed), "{rule:?}: {reached}");
        let (_, less) = tune_under(rule, &law, &[4, 8], CONDITION, 0.5).unwrap();
        assert_within("half of the gain", less, 0.5 * gain, 1e-12);
    }
}

#[test]
fn recorded_delays_are_simulated_and_mixing_keeps_the_synchronous_learning_rate() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, delays: &[u32]| {
        let path = folder.path().join(name);
        let lines: Vec<String> = delays.iter().map(u32::to_string).collect();
        fs::write(&path, format!("delay\n{}\n", lines.join("\n"))).unwrap();
        format!("trace:{}", path.display())
    };
    // Always the same delay: the fixed one.
    let same = rows(&format!("tune --rules sgd --condition 30 --schedule {}", trace("same.csv", &[3; 40])));
    let fixed = rows("tune --rules sgd --condition 30 --delays 3");
    assert_eq!((same[0]["dynamics"].as_str(), same[0]["delay"].as_str()), ("fixed", ""));
    for column in ["gain", "updates_per_efold", "mean_delay", "bound", "noise_floor"] {
        assert_eq!(same[0][column], fixed[0][column], "{column}");
    }
    let wild = trace("wild.csv", &[0, 1, 9, 9, 2, 0, 12, 3, 3, 3, 0, 7, 1, 11, 0, 0, 5, 6]);
    let found = rows(&format!("tune --rules mixing:0.5,weight-prediction --condition 100 --schedule {wild}"));
    let sources: Vec<&str> = found.iter().map(|row| row["source"].as_str()).collect();
    assert_eq!(sources, ["optimised", "fixed-delay", "formula"].repeat(2));
    for row in &found {
        assert_eq!((row["dynamics"].as_str(), row["noise_floor"].as_str()), ("simulated", ""), "{row:?}");
        assert!((number(row, "mean_delay") - 4.0).abs() < 1e-12);
    }
    let nominal = &found[2];
    assert!(number(nominal, "rate_low") > 0.0, "{nominal:?}");
    let rate = number(nominal, "updates_per_efold").recip();
    assert!(number(nominal, "rate_low") < rate && rate < number(nominal, "rate_high"));
    assert!(number(&found[0], "updates_per_efold") < 1.01 * number(nominal, "updates_per_efold"));
}

/// The matrix of the period has a radius that another program found: 53.08 updates for mixing at 0.8 of its gain.
#[test]
fn a_recorded_slow_worker_has_the_rate_of_its_period() {
    let mut last = [-1i32; 5];
    let mut delays = vec![];
    let order = || (0..10).flat_map(|_| 1..5).chain([0usize]);
    for (update, worker) in order().chain(order()).enumerate() {
        delays.push(update as i32 - last[worker] - 1);
        last[worker] = update as i32;
    }
    let period: Vec<String> = delays[41..].iter().map(i32::to_string).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), period.join("\n")).unwrap();
    let flags = "tune --rules mixing:0.5 --condition 100 --lr-factor 0.8 --schedule trace:";
    let found = rows(&format!("{flags}{}", file.path().display()));
    let of_mean = found.iter().find(|row| row["source"] == "fixed-delay").unwrap();
    let expected = 1.0 / 53.08;
    assert!(number(of_mean, "rate_low") < expected && expected < number(of_mean, "rate_high"), "{of_mean:?}");
    assert_within("updates", number(of_mean, "updates_per_efold"), 53.08, 0.03);
}

#[test]
fn a_law_prints_the_mean_square_and_beside_it_the_averaged_dynamics() {
    let found = rows("tune --rules shifted,mixing --condition 20 --delays 2 --schedule random,round-robin");
    let told = |row: &std::collections::HashMap<String, String>| {
        format!("{} {} {}", row["rule"], row["dynamics"], row["source"])
    };
    let told: Vec<String> = found.iter().map(told).collect();
    let expected = [
        "shifted mean-square optimised",
        "shifted averaged optimised",
        "shifted mean-square fixed-delay",
        "mixing mean-square optimised",
        "mixing averaged optimised",
        "mixing mean-square fixed-delay",
        "mixing mean-square formula",
        "shifted fixed optimised",
        "mixing fixed optimised",
        "mixing fixed formula",
    ];
    assert_eq!(told, expected);
    assert!(number(&found[1], "updates_per_efold") <= number(&found[0], "updates_per_efold") * (1.0 + 1e-6));
}

#[test]
fn what_has_no_meaning_where_delays_vary_is_refused_by_name() {
    let refused = [
        ("--rules shifted --schedule iid:uniform:0..=4", "--rules shifted with --schedule iid:uniform:0..=4"),
        ("--rules mixing:age --delays 2 --schedule random", "accepted: mixing:1/T, or a share"),
        ("--rules sgd --delays 2 --schedule iid:uniform:0..=4", "it brings its own delays; accepted: without --delays"),
        ("--rules sgd --delays 1 --schedule random --svg never.svg", "--svg with --schedule random"),
        ("--rules sgd --schedule trace:nowhere.csv", "nowhere.csv"),
        (
            "--rules sgd --schedule iid:uniform:0..=200",
            "a mean delay of 100.0 is too long to tune for; accepted: up to 64",
        ),
        ("--rules sgd --schedule sometimes", "sometimes"),
        ("--rules sgd --delays 65 --schedule random", "--delays 65: too long to tune for"),
    ];
    for (flags, accepted) in refused {
        let assert = tauscope(&format!("tune --condition 30 {flags}")).assert().code(2).stdout("");
        assert
            .stderr(contains(accepted))
            .stderr(predicate::function(|text: &str| text.trim_end().lines().count() == 1));
    }
}
