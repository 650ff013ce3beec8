//! The theory against independent references: stored vectors, companion matrices and known limits.

use crate::common::spectral_radius;
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use std::f64::consts::PI;
use strum::IntoEnumIterator;
use tauscope::rule::{Arrival, Rule, RuleKind};
use tauscope::theory::{
    Criterion, DelayLaw, DelayPmf, Equation, Margin, TheoryError, WeightDecay, dominant_root, margin_with_decay,
};

/// Relative agreement promised for thresholds in the mean.
const MEAN: f64 = 1e-9;
/// Relative agreement promised for thresholds in mean square.
const MEAN_SQUARE: f64 = 1e-6;

fn assert_close(value: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (value / expected - 1.0).abs();
    // Written so that NaN fails.
    assert!(error <= tolerance, "{what}: {value} is not {expected}: relative error {error:e}, allowed {tolerance:e}");
}

/// One reference threshold of `tests/data/theory-vectors.csv`.
#[derive(Debug, serde::Deserialize)]
struct Vector {
    rule: String,
    delay_model: String,
    tau: usize,
    momentum: f64,
    dampening: f64,
    relative_variance: f64,
    threshold_gain: f64,
    criterion: String,
}

fn vectors() -> Vec<Vector> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/theory-vectors.csv");
    let rows: Result<Vec<Vector>, _> = csv::Reader::from_path(file).unwrap().deserialize().collect();
    rows.unwrap()
}

fn rule(vector: &Vector) -> Rule {
    let name = match vector.rule.as_str() {
        "ema" => "heavy-ball",
        other => other,
    };
    Rule::new(name.parse().unwrap(), vector.momentum, vector.dampening)
}

fn law(vector: &Vector) -> DelayLaw {
    match vector.delay_model.as_str() {
        "fixed" => DelayLaw::Fixed(vector.tau),
        model => {
            assert_eq!(model, format!("uniform(0..{})", vector.tau));
            DelayLaw::Independent(DelayPmf::uniform(0, vector.tau).unwrap())
        }
    }
}

fn mean(rule: &Rule, law: DelayLaw) -> f64 {
    rule.threshold(&law, Criterion::Mean).unwrap().gain
}

fn mean_square(rule: &Rule, law: DelayLaw, relative_variance: f64) -> f64 {
    rule.threshold(&law, Criterion::MeanSquare { relative_variance }).unwrap().gain
}

fn at(rule: &Rule, delay: usize) -> Equation {
    rule.equation(&DelayLaw::Fixed(delay)).unwrap()
}

fn margin(rule: &Rule, delay: usize) -> Margin {
    margin_with_decay(&at(rule, delay), WeightDecay::None).unwrap()
}

#[test]
fn thresholds_meet_the_vectors() {
    for vector in vectors() {
        let (criterion, tolerance) = match vector.criterion.as_str() {
            "mean" => (Criterion::Mean, MEAN),
            "mean-square" => (Criterion::MeanSquare { relative_variance: vector.relative_variance }, MEAN_SQUARE),
            other => panic!("criterion {other} in the vectors"),
        };
        let ours = rule(&vector).threshold(&law(&vector), criterion).unwrap();
        assert_close(ours.gain, vector.threshold_gain, tolerance, &format!("{vector:?}"));
    }
    assert_eq!(vectors().len(), 119);
}

/// `K* = 2 sin(pi / (2 (2 tau + 1)))` and its crossing, at every delay up to a thousand and some beyond.
#[test]
fn sgd_meets_its_closed_form() {
    for delay in (0..1000).chain([10_000, 99_999, 100_000]) {
        let turn = PI / (2 * delay + 1) as f64;
        let margin = margin(&Rule::SGD, delay);
        assert_close(margin.gain, 2.0 * (0.5 * turn).sin(), 1e-13, "gain");
        assert_close(margin.angle, turn, 1e-13, "angle");
    }
    let far = mean(&Rule::SGD, DelayLaw::Fixed(100_000));
    assert_close(far, PI / 200_001.0, 1e-9, "long delay");
}

/// `r tan(w/2) tan(pi/4 + (2 tau + 1) w/4) = 1` at `K = 2 sin(w/2)`.
#[test]
fn sgd_in_mean_square_meets_its_closed_form() {
    for delay in [0, 1, 2, 7, 100, 10_000] {
        for r in [1e-6, 0.1, 1.0, 30.0] {
            let gain = mean_square(&Rule::SGD, DelayLaw::Fixed(delay), r);
            let w = 2.0 * (0.5 * gain).asin();
            let late = (2 * delay + 1) as f64;
            // Near the mean threshold the second tangent is steep, so compare the angle it is taken of.
            let angle = (1.0 / (r * (0.5 * w).tan())).atan();
            assert_close(angle, 0.25 * (PI + late * w), 1e-9, &format!("{delay} {r}"));
        }
    }
}

#[test]
fn long_memory_has_its_limits() {
    let momentum = 1.0 - 1e-9;
    for delay in [2, 5, 31, 1000] {
        let tau = delay as f64;
        let ema = |kind| margin(&Rule::new(kind, momentum, momentum), delay).gain;
        assert_close(ema(RuleKind::HeavyBall), 1.0 / tau, 1e-5, "EMA heavy-ball");
        assert_close(ema(RuleKind::Shifted), 2.0 / tau, 1e-5, "EMA shifted");
        assert_close(ema(RuleKind::DelayedNesterov), 1.0 / (tau - 1.0), 1e-5, "EMA look-ahead");
    }
}

#[test]
fn asynchrony_begets_momentum() {
    for q in [0.3, 0.5, 0.9] {
        let pmf = DelayPmf::geometric(q).unwrap();
        let random = mean(&Rule::SGD, DelayLaw::Independent(pmf));
        let momentum = margin(&Rule::new(RuleKind::HeavyBall, q, 0.0), 0).gain;
        assert_close(random * (1.0 - q), momentum, 1e-9, &format!("q = {q}"));
    }
}

#[test]
fn random_workers_meet_the_published_numbers() {
    for (workers, expected) in [(2, 1.281), (4, 0.843), (8, 0.566), (16, 0.386)] {
        let law = DelayLaw::RandomWorkers(workers);
        assert_close(mean(&Rule::SGD, law.clone()), (2 * workers - 1) as f64, 1e-12, "mean");
        let gain = mean_square(&Rule::SGD, law, 0.0);
        assert!((gain - expected).abs() < 6e-4, "{workers}: {gain}");
    }
}

/// Field values of linear weight prediction and of asynchronous NAG, to the digits they are stated in.
#[test]
fn mitigations_meet_the_published_numbers() {
    let gain = |rule: &Rule, delay| margin(rule, delay).gain;
    let predicted = |momentum| Rule::new(RuleKind::WeightPrediction, momentum, 0.0);
    assert!((gain(&predicted(0.0), 4) - 0.2070).abs() < 6e-5);
    assert!((gain(&predicted(0.9), 4) - 0.0494).abs() < 6e-5);
    assert!((gain(&predicted(0.9), 16) - 0.0077).abs() < 6e-5);
    let ahead = Rule::new(RuleKind::DelayedNesterov, 0.9, 0.9);
    for (delay, expected) in [(1, 2.5314), (2, 0.8070), (4, 0.3265), (8, 0.1538), (32, 0.0416)] {
        assert!((gain(&ahead, delay) - expected).abs() < 6e-5, "{delay}");
    }
    let scaled = Rule::new(RuleKind::StalenessScaled, 0.0, 0.0);
    assert_close(gain(&scaled, 0), 2.0, 1e-12, "synchronous");
    assert_close(gain(&scaled, 1), 1.0, 1e-12, "staleness 1");
    assert_close(gain(&scaled, 100_000), PI / 2.0, 1e-5, "long delay");
}

/// Every rule says what it knows of itself without delay, and the search for crossings finds it.
#[test]
fn synchronous_thresholds_meet_their_closed_forms() {
    let mut checked = 0;
    for kind in RuleKind::iter() {
        let Some(closed) = kind.definition().synchronous_gain else { continue };
        for momentum in [0.0, 0.3, 0.9, 0.99] {
            for dampening in [0.0, 0.4, momentum] {
                let rule = Rule::new(kind, momentum, dampening);
                assert_close(margin(&rule, 0).gain, closed(&rule), 1e-12, &format!("{rule:?}"));
                checked += 1;
            }
        }
        assert!(Rule::new(kind, 0.5, 0.0).equation(&DelayLaw::Fixed(0)).is_some(), "{kind} has an equation");
    }
    assert!(checked >= 12 * 7, "{checked} cases");
}

/// Rules that add every late gradient, so that a step is a matrix of one kind: all that have an equation but those whose
/// equation is of another delay (they wait for gradients, or take the delay back) or of some delays alone, and mixing.
fn linear_rules() -> Vec<RuleKind> {
    let is_linear = |kind: &RuleKind| {
        let late = DelayLaw::Fixed(40);
        Rule::new(*kind, 0.5, 0.0).equation(&late).is_some_and(|equation| {
            equation.law == late && equation.share.is_none() && equation.momentum_every.is_none()
        })
    };
    let kinds: Vec<RuleKind> = RuleKind::iter().filter(is_linear).collect();
    assert!(kinds.len() >= 11, "{kinds:?}");
    kinds
}

/// The matrix that carries the state of the *simulated* step of a rule over one update on a curvature of 1, so that the gain
/// is the learning rate. It knows nothing of equations: its numbers are those that the engines are given, in the formula of
/// `kernels::step`. Its eigenvalues are the roots of `D + K N`, and possibly some zeros.
///
/// The state holds `delay + 3` weights, newest first, then the velocities, newest first: `delay + 1` of them where every slot
/// has its own, else one.
fn state_space(rule: &Rule, delay: usize, gain: f64, decay: WeightDecay) -> DMatrix<f64> {
    let definition = rule.definition();
    let age = delay as u64;
    let arrival = Arrival {
        age,
        updates: 1000 + age,
        workers: delay as u32 + 1,
        mean_delay: delay as f64,
        undamped: false,
        state_steps: 0.0,
    };
    let step = (definition.update)(rule, &arrival, &mut 0).coefficients;
    let velocities = if definition.slot_velocity { delay + 1 } else { 1 };
    let decays_server = at(rule, delay).decay_numerator.is_some();
    let kept = delay + 3;
    let size = kept + velocities;
    let columns: Vec<DVector<f64>> = (0..size)
        .map(|i| {
            let mut state = DVector::zeros(size);
            state[i] = 1.0;
            let x = |age: usize| state[age];
            // The velocity before a step moved the weights by the difference before.
            let stored = |age: usize| {
                x(age) + step.lookahead * (x(age) - x(age + 1)) - step.lookback * (x(age + 1) - x(age + 2))
            };
            let read = stored(delay);
            let gradient = read
                + match decay {
                    WeightDecay::None => 0.0,
                    WeightDecay::Delayed { ratio } => ratio * read,
                    WeightDecay::Current { ratio } => ratio * if decays_server { x(0) } else { stored(0) },
                };
            let old = state[kept + if definition.slot_velocity { delay } else { 0 }];
            let velocity = step.momentum * old + step.gradient_to_velocity * gradient;
            let update = step.gradient_to_weights * gradient + step.velocity_to_weights * velocity;
            let mut next = DVector::zeros(size);
            next[0] = x(0) - gain * step.lr * update;
            next[kept] = velocity;
            for age in 1..kept {
                next[age] = x(age - 1);
            }
            for age in 1..velocities {
                next[kept + age] = state[kept + age - 1];
            }
            next
        })
        .collect();
    DMatrix::from_columns(&columns)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kind = prop::sample::select(linear_rules());
    let dampening = prop_oneof![Just(0.0), 0.0..0.99];
    (kind, prop_oneof![Just(0.0), 0.0..0.995], dampening)
        .prop_map(|(kind, momentum, dampening)| Rule::new(kind, momentum, dampening))
}

/// A rule whose noise has a theory.
fn any_noisy_rule() -> impl Strategy<Value = Rule> {
    any_rule().prop_filter("two horizons", |rule| rule.kind != RuleKind::SecondPrediction)
}

fn any_decay() -> impl Strategy<Value = WeightDecay> {
    prop_oneof![
        Just(WeightDecay::None),
        (0.0..2.0).prop_map(|ratio| WeightDecay::Delayed { ratio }),
        (0.0..2.0).prop_map(|ratio| WeightDecay::Current { ratio }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Stable a little below the threshold and at a random fraction of it, unstable a little above.
    #[test]
    fn threshold_separates_the_spectral_radii(
        rule in any_rule(),
        delay in 0..=40_usize,
        decay in any_decay(),
        fraction in 0.01..0.99,
    ) {
        let threshold = margin_with_decay(&at(&rule, delay), decay).unwrap().gain;
        for factor in [fraction, 1.0 - 1e-6] {
            let radius = spectral_radius(state_space(&rule, delay, factor * threshold, decay));
            prop_assert!(radius < 1.0, "{factor} of {threshold}: {radius}");
        }
        let above = (1.0 + 1e-6) * threshold;
        let radius = spectral_radius(state_space(&rule, delay, above, decay));
        prop_assert!(radius > 1.0, "above {threshold}: {radius}");
    }

    /// The rate of the dominant root is the logarithm of the spectral radius, on both sides of the threshold.
    #[test]
    fn growth_is_the_spectral_radius(
        rule in any_rule(),
        delay in 0..=40_usize,
        factor in 0.01..4.0,
    ) {
        let gain = factor * margin(&rule, delay).gain;
        let root = dominant_root(&at(&rule, delay), gain).unwrap();
        let radius = spectral_radius(state_space(&rule, delay, gain, WeightDecay::None));
        prop_assert!((root.rate.exp() - radius).abs() < 1e-7 * radius, "{root:?} {radius}");
    }
}

/// The second-moment operator of a fixed delay, `A kron A + r B kron B`, with `B` the part of `A` in front of the noise:
/// what a delayed decay that doubles the curvature adds.
fn lifted(rule: &Rule, delay: usize, gain: f64, relative_variance: f64) -> DMatrix<f64> {
    let once = state_space(rule, delay, gain, WeightDecay::None);
    let twice = state_space(rule, delay, gain, WeightDecay::Delayed { ratio: 1.0 });
    let noise = twice - &once;
    once.kronecker(&once) + relative_variance * noise.kronecker(&noise)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Stable below and unstable above the mean-square threshold, by the lifted operator.
    #[test]
    fn mean_square_threshold_separates_the_lifted_operators(
        rule in any_noisy_rule(),
        delay in 0..=2_usize,
        relative_variance in 0.01..20.0,
        fraction in 0.01..0.99,
    ) {
        let threshold = mean_square(&rule, DelayLaw::Fixed(delay), relative_variance);
        for (factor, stable) in [(fraction, true), (1.0 - 1e-5, true), (1.0 + 1e-5, false)] {
            let radius = spectral_radius(lifted(&rule, delay, factor * threshold, relative_variance));
            prop_assert_eq!(radius < 1.0, stable, "{} of {}: {}", factor, threshold, radius);
        }
    }
}

/// Two workers as a switched system of the full state of the simulated step: server weights and velocity, then a snapshot
/// and a velocity for each worker.
fn two_workers(rule: &Rule, gain: f64, reporter: usize) -> DMatrix<f64> {
    let definition = rule.definition();
    let arrival = Arrival { age: 0, updates: 1000, workers: 2, mean_delay: 1.0, undamped: false, state_steps: 0.0 };
    let step = (definition.update)(rule, &arrival, &mut 0).coefficients;
    let columns: Vec<_> = (0..6)
        .map(|i| {
            let mut s = [0.0; 6];
            s[i] = 1.0;
            let (snapshot, own) = (2 + 2 * reporter, 3 + 2 * reporter);
            let (kept, unused) = if definition.slot_velocity { (own, 1) } else { (1, own) };
            let (gradient, before) = (s[snapshot], s[0]);
            s[kept] = step.momentum * s[kept] + step.gradient_to_velocity * gradient;
            s[0] -= gain * (step.gradient_to_weights * gradient + step.velocity_to_weights * s[kept]);
            s[snapshot] = s[0] + step.lookahead * (s[0] - before);
            // A velocity that the rule does not keep must not keep its value either.
            s[unused] = 0.0;
            DVector::from_column_slice(&s)
        })
        .collect();
    DMatrix::from_columns(&columns)
}

/// The matrix of one update of mixing on a curvature of 1, from the definition of X and P: the newest of each first.
fn mixing_matrix(share: f64, momentum: f64, delay: usize, lr: f64) -> DMatrix<f64> {
    let kept = delay + 1;
    let columns: Vec<DVector<f64>> = (0..2 * kept)
        .map(|i| {
            let mut state = DVector::zeros(2 * kept);
            state[i] = 1.0;
            let (read, other) = (state[delay], state[kept + delay]);
            let result = read + momentum * (read - other) - lr * read;
            let mut next = DVector::zeros(2 * kept);
            next[0] = (1.0 - share) * state[0] + share * result;
            next[kept] = (1.0 - share) * state[kept] + share * read;
            for age in 1..kept {
                next[age] = state[age - 1];
                next[kept + age] = state[kept + age - 1];
            }
            next
        })
        .collect();
    DMatrix::from_columns(&columns)
}

#[test]
fn mixing_is_stable_up_to_the_synchronous_threshold_at_least_and_exactly_as_far_as_its_matrix() {
    for (share, momentum) in [(1.0, 0.0), (1.0, 0.9), (0.5, 0.0), (0.5, 0.8), (0.1, 0.9), (0.01, 0.99)] {
        for delay in [0, 1, 2, 7, 20] {
            let rule = Rule { number: Some(share), ..Rule::new(RuleKind::Mixing, momentum, 0.0) };
            let gain = mean(&rule, DelayLaw::Fixed(delay));
            let synchronous = 2.0 * (1.0 + momentum);
            assert!(gain >= synchronous * (1.0 - 1e-12), "{rule:?} {delay}: {gain}");
            if share == 1.0 {
                assert_close(gain, synchronous, 1e-12, "chains of their own");
            }
            for (factor, stable) in [(0.5, true), (1.0 - 1e-6, true), (1.0 + 1e-6, false)] {
                let radius = spectral_radius(mixing_matrix(share, momentum, delay, factor * gain));
                assert_eq!(radius < 1.0, stable, "{rule:?} {delay}: {radius} at {factor} of {gain}");
            }
            for factor in [0.01, 0.4, 0.9, 1.8] {
                let radius = spectral_radius(mixing_matrix(share, momentum, delay, factor * gain));
                let root = dominant_root(&at(&rule, delay), factor * gain).unwrap();
                // Without momentum the matrix has a root of P alone, 1 - A, as well.
                let expected = if momentum == 0.0 { radius.max(1.0 - share) } else { radius };
                let found = if momentum == 0.0 { root.rate.exp().max(1.0 - share) } else { root.rate.exp() };
                assert_close(found, expected, 1e-6, &format!("{rule:?} {delay} at {factor}"));
            }
        }
    }
    // The first crossing of (1-p)(1-mp) + K p at A = 1/2 without momentum, as printed to three digits.
    let half = Rule { number: Some(0.5), ..Rule::new(RuleKind::Mixing, 0.0, 0.0) };
    for (delay, printed) in [(0, 4.0), (1, 3.0), (7, 2.12), (40, 2.006)] {
        let gain = mean(&half, DelayLaw::Fixed(delay));
        assert!((gain / printed - 1.0).abs() < 2e-3, "{delay}: {gain}");
    }
    // 1/T and the age are the same share at a fixed delay.
    for number in [0.0, -1.0] {
        let by_word = Rule { number: Some(number), ..Rule::new(RuleKind::Mixing, 0.9, 0.9) };
        let by_number = Rule { number: Some(0.2), ..by_word };
        assert_eq!(mean(&by_word, DelayLaw::Fixed(4)), mean(&by_number, DelayLaw::Fixed(4)));
    }
}

#[test]
fn two_random_workers_meet_the_full_lifted_operator() {
    let law = DelayLaw::RandomWorkers(2);
    let mut met = 0;
    for kind in RuleKind::iter() {
        let rule = Rule::new(kind, 0.6, 0.2);
        // Rules that take the delay away are another matter.
        let Some(equation) = rule.equation(&law).filter(|equation| equation.law == law) else { continue };
        if equation.share.is_some() {
            // A worker keeps two vectors: tests of its own.
            continue;
        }
        if equation.divisor.is_some() {
            let refused = rule.threshold(&law, Criterion::Mean);
            assert!(matches!(refused, Err(TheoryError::Unsupported(_))), "{rule:?}");
            continue;
        }
        let mean = mean(&rule, law.clone());
        let square = mean_square(&rule, law.clone(), 0.0);
        for (factor, stable) in [(0.3, true), (1.0 - 1e-6, true), (1.0 + 1e-6, false)] {
            let both = |gain: f64| [0, 1].map(|reporter| two_workers(&rule, gain, reporter));
            let [a, b] = both(factor * mean);
            assert_eq!(spectral_radius((a + b) * 0.5) < 1.0, stable, "{rule:?} mean {factor}");
            let [a, b] = both(factor * square);
            let lifted = (a.kronecker(&a) + b.kronecker(&b)) * 0.5;
            assert_eq!(spectral_radius(lifted) < 1.0, stable, "{rule:?} mean square {factor}");
        }
        met += 1;
    }
    assert!(met >= 8, "{met} rules");
}

/// For sgd the lifted operator's threshold solves `N (1+r) K^2 - (1-r) K - 2 = 0`.
#[test]
fn sgd_with_random_workers_meets_its_quadratic() {
    for workers in [1, 2, 3, 8, 100, 1000] {
        for r in [0.0_f64, 0.1, 1.0, 10.0] {
            let n = workers as f64;
            let root = ((1.0 - r).powi(2) + 8.0 * n * (1.0 + r)).sqrt();
            let expected = (1.0 - r + root) / (2.0 * n * (1.0 + r));
            let gain = mean_square(&Rule::SGD, DelayLaw::RandomWorkers(workers), r);
            assert_close(gain, expected, 1e-9, &format!("{workers} workers, r = {r}"));
        }
    }
}

#[test]
fn extreme_inputs_answer() {
    for delay in [0, 1, 2, 31, 1000, 99_999, 100_000] {
        for momentum in [0.0, 0.3, 0.9, 0.999, 1.0 - 1e-9] {
            for dampening in [0.0, momentum, 1.0 - 1e-9, 1.0] {
                for kind in linear_rules() {
                    let rule = Rule::new(kind, momentum, dampening);
                    match rule.threshold(&DelayLaw::Fixed(delay), Criterion::Mean) {
                        Ok(threshold) => {
                            let gain = threshold.gain;
                            assert!(gain > 0.0 && gain.is_finite(), "{rule:?} {delay}");
                        }
                        Err(error) => {
                            assert_eq!((error, dampening), (TheoryError::NoGradient, 1.0));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_no_rule_has_is_refused() {
    let fixed = DelayLaw::Fixed(3);
    let refusal = |rule: Rule, law: &DelayLaw| rule.threshold(law, Criterion::Mean).unwrap_err().to_string();
    let heavy_ball = |momentum, dampening| Rule::new(RuleKind::HeavyBall, momentum, dampening);
    assert!(refusal(heavy_ball(1.0, 0.0), &fixed).starts_with("momentum is 1;"));
    assert!(refusal(heavy_ball(f64::NAN, 0.0), &fixed).starts_with("momentum is NaN;"));
    assert!(refusal(heavy_ball(0.9, -1.0), &fixed).starts_with("dampening is -1;"));
    assert!(refusal(Rule::SGD, &DelayLaw::Fixed(usize::MAX)).contains("the longest supported is 1000000000"));
    assert!(refusal(Rule::SGD, &DelayLaw::RandomWorkers(0)).contains("at least 1"));
    let long = DelayLaw::Independent(DelayPmf::uniform(0, 5001).unwrap());
    assert!(refusal(Rule::SGD, &long).contains("5001 updates; the longest supported of a distribution is 5000"));
    let lion = Rule::new(RuleKind::Lion, 0.9, 0.9);
    assert_eq!(refusal(lion, &fixed), "lion:0.99 has no characteristic equation");
}
