//! The theory against independent references: stored vectors, companion matrices and known limits.

use nalgebra::DMatrix;
use proptest::prelude::*;
use std::f64::consts::PI;
use tauscope::theory::{
    Criterion, DelayPmf, DelayProcess, Rule, TheoryError, WeightDecay, dominant_root, gain_margin,
    gain_margin_with_decay, mean_square_margin, random_delay_margin, random_workers_margin,
    random_workers_mean_square_margin, state_space, threshold,
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
    Rule::named(name, vector.momentum, vector.dampening).unwrap()
}

fn process(vector: &Vector) -> DelayProcess {
    match vector.delay_model.as_str() {
        "fixed" => DelayProcess::Fixed(vector.tau),
        model => {
            assert_eq!(model, format!("uniform(0..{})", vector.tau));
            DelayProcess::Independent(DelayPmf::uniform(0, vector.tau).unwrap())
        }
    }
}

#[test]
fn thresholds_meet_the_vectors() {
    for vector in vectors() {
        let (criterion, tolerance) = match vector.criterion.as_str() {
            "mean" => (Criterion::Mean, MEAN),
            "mean-square" => (Criterion::MeanSquare { relative_variance: vector.relative_variance }, MEAN_SQUARE),
            other => panic!("criterion {other} in the vectors"),
        };
        let ours = threshold(&rule(&vector), &process(&vector), criterion).unwrap();
        assert_close(ours.gain, vector.threshold_gain, tolerance, &format!("{vector:?}"));
    }
    assert_eq!(vectors().len(), 119);
}

/// `K* = 2 sin(pi / (2 (2 tau + 1)))` and its crossing, at every delay up to a thousand and some beyond.
#[test]
fn sgd_meets_its_closed_form() {
    for delay in (0..1000).chain([10_000, 99_999, 100_000]) {
        let turn = PI / (2 * delay + 1) as f64;
        let margin = gain_margin(&Rule::Sgd, delay).unwrap();
        assert_close(margin.gain, 2.0 * (0.5 * turn).sin(), 1e-13, "gain");
        assert_close(margin.angle, turn, 1e-13, "angle");
    }
    let far = gain_margin(&Rule::Sgd, 100_000).unwrap().gain;
    assert_close(far, PI / 200_001.0, 1e-9, "long delay");
}

/// `r tan(w/2) tan(pi/4 + (2 tau + 1) w/4) = 1` at `K = 2 sin(w/2)`.
#[test]
fn sgd_in_mean_square_meets_its_closed_form() {
    for delay in [0, 1, 2, 7, 100, 10_000] {
        for r in [1e-6, 0.1, 1.0, 30.0] {
            let gain = mean_square_margin(&Rule::Sgd, delay, r).unwrap();
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
        let ema = Rule::HeavyBall { momentum, dampening: momentum };
        assert_close(gain_margin(&ema, delay).unwrap().gain, 1.0 / tau, 1e-5, "EMA heavy-ball");
        let shifted = Rule::Shifted { momentum, dampening: momentum };
        assert_close(gain_margin(&shifted, delay).unwrap().gain, 2.0 / tau, 1e-5, "EMA shifted");
        let ahead = Rule::DelayedNesterov { momentum, dampening: momentum };
        let limit = 1.0 / (tau - 1.0);
        assert_close(gain_margin(&ahead, delay).unwrap().gain, limit, 1e-5, "EMA look-ahead");
    }
}

#[test]
fn asynchrony_begets_momentum() {
    for q in [0.3, 0.5, 0.9] {
        let pmf = DelayPmf::geometric(q).unwrap();
        let random = random_delay_margin(&Rule::Sgd, &pmf).unwrap();
        let ball = Rule::HeavyBall { momentum: q, dampening: 0.0 };
        let momentum = gain_margin(&ball, 0).unwrap();
        assert_close(random.gain * (1.0 - q), momentum.gain, 1e-9, &format!("q = {q}"));
    }
}

#[test]
fn random_workers_meet_the_published_numbers() {
    for (workers, mean_square) in [(2, 1.281), (4, 0.843), (8, 0.566), (16, 0.386)] {
        let mean = random_workers_margin(&Rule::Sgd, workers).unwrap();
        assert_close(mean.gain, (2 * workers - 1) as f64, 1e-12, "mean");
        let gain = random_workers_mean_square_margin(&Rule::Sgd, workers, 0.0).unwrap();
        assert!((gain - mean_square).abs() < 6e-4, "{workers}: {gain}");
    }
}

/// Field values of linear weight prediction and of asynchronous NAG, to the digits they are stated in.
#[test]
fn mitigations_meet_the_published_numbers() {
    let gain = |rule: Rule, delay| gain_margin(&rule, delay).unwrap().gain;
    let predicted = |momentum| Rule::WeightPrediction { momentum, dampening: 0.0 };
    assert!((gain(predicted(0.0), 4) - 0.2070).abs() < 6e-5);
    assert!((gain(predicted(0.9), 4) - 0.0494).abs() < 6e-5);
    assert!((gain(predicted(0.9), 16) - 0.0077).abs() < 6e-5);
    let ahead = Rule::DelayedNesterov { momentum: 0.9, dampening: 0.9 };
    for (delay, expected) in [(1, 2.5314), (2, 0.8070), (4, 0.3265), (8, 0.1538), (32, 0.0416)] {
        assert!((gain(ahead, delay) - expected).abs() < 6e-5, "{delay}");
    }
    let scaled = Rule::StalenessScaled { momentum: 0.0, dampening: 0.0 };
    assert_close(gain(scaled, 0), 2.0, 1e-12, "synchronous");
    assert_close(gain(scaled, 1), 1.0, 1e-12, "staleness 1");
    assert_close(gain(scaled, 100_000), PI / 2.0, 1e-5, "long delay");
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let name = prop::sample::select(Rule::NAMES.to_vec());
    let dampening = prop_oneof![Just(0.0), 0.0..0.99];
    (name, prop_oneof![Just(0.0), 0.0..0.995], dampening)
        .prop_map(|(name, momentum, dampening)| Rule::named(name, momentum, dampening).unwrap())
}

fn any_decay() -> impl Strategy<Value = WeightDecay> {
    prop_oneof![
        Just(WeightDecay::None),
        (0.0..2.0).prop_map(|ratio| WeightDecay::Delayed { ratio }),
        (0.0..2.0).prop_map(|ratio| WeightDecay::Current { ratio }),
    ]
}

/// `lim ||A^n||^(1/n)` at `n = 2^36`, by repeated squaring: unlike a QR iteration it does not mind the many zero
/// eigenvalues of a history.
fn spectral_radius(matrix: DMatrix<f64>) -> f64 {
    const SQUARINGS: i32 = 36;
    let mut power = matrix;
    let mut log_norm = 0.0;
    for _ in 0..SQUARINGS {
        let norm = power.norm();
        if norm == 0.0 {
            return 0.0;
        }
        power /= norm;
        log_norm = 2.0 * (log_norm + norm.ln());
        power = &power * &power;
    }
    ((log_norm + power.norm().ln()) / 2_f64.powi(SQUARINGS)).exp()
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
        let threshold = gain_margin_with_decay(&rule, delay, decay).unwrap().gain;
        for factor in [fraction, 1.0 - 1e-6] {
            let radius = spectral_radius(state_space(&rule, delay, factor * threshold, decay).unwrap());
            prop_assert!(radius < 1.0, "{factor} of {threshold}: {radius}");
        }
        let above = (1.0 + 1e-6) * threshold;
        let radius = spectral_radius(state_space(&rule, delay, above, decay).unwrap());
        prop_assert!(radius > 1.0, "above {threshold}: {radius}");
    }

    /// The rate of the dominant root is the logarithm of the spectral radius, on both sides of the threshold.
    #[test]
    fn growth_is_the_spectral_radius(
        rule in any_rule(),
        delay in 0..=40_usize,
        factor in 0.01..4.0,
    ) {
        let gain = factor * gain_margin(&rule, delay).unwrap().gain;
        let root = dominant_root(&rule, delay, gain).unwrap();
        let radius = spectral_radius(state_space(&rule, delay, gain, WeightDecay::None).unwrap());
        prop_assert!((root.rate.exp() - radius).abs() < 1e-7 * radius, "{root:?} {radius}");
    }
}

/// The second-moment operator of a fixed delay, `A kron A + r B kron B`, with `B` the part of `A` in front of the noise:
/// what a delayed decay that doubles the curvature adds.
fn lifted(rule: &Rule, delay: usize, gain: f64, relative_variance: f64) -> DMatrix<f64> {
    let once = state_space(rule, delay, gain, WeightDecay::None).unwrap();
    let twice = state_space(rule, delay, gain, WeightDecay::Delayed { ratio: 1.0 }).unwrap();
    let noise = twice - &once;
    once.kronecker(&once) + relative_variance * noise.kronecker(&noise)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Stable below and unstable above the mean-square threshold, by the lifted operator.
    #[test]
    fn mean_square_threshold_separates_the_lifted_operators(
        rule in any_rule(),
        delay in 0..=2_usize,
        relative_variance in 0.01..20.0,
        fraction in 0.01..0.99,
    ) {
        let threshold = mean_square_margin(&rule, delay, relative_variance).unwrap();
        for (factor, stable) in [(fraction, true), (1.0 - 1e-5, true), (1.0 + 1e-5, false)] {
            let radius = spectral_radius(lifted(&rule, delay, factor * threshold, relative_variance));
            prop_assert_eq!(radius < 1.0, stable, "{} of {}: {}", factor, threshold, radius);
        }
    }
}

/// Two workers as a switched system of their full state: server weights and velocity, then a snapshot and a velocity for
/// each worker.
fn two_workers(rule: &Rule, gain: f64, reporter: usize) -> DMatrix<f64> {
    let (m, d) = (rule.momentum(), rule.dampening());
    let columns: Vec<_> = (0..6)
        .map(|i| {
            let mut s = [0.0; 6];
            s[i] = 1.0;
            let (snapshot, own) = (2 + 2 * reporter, 3 + 2 * reporter);
            let gradient = s[snapshot];
            match rule {
                Rule::Shifted { .. } => {
                    s[own] = m * s[own] + (1.0 - d) * gradient;
                    s[0] -= gain * s[own];
                }
                Rule::Nesterov { .. } => {
                    s[1] = m * s[1] + (1.0 - d) * gradient;
                    s[0] -= gain * (gradient + m * s[1]);
                }
                _ => {
                    s[1] = m * s[1] + (1.0 - d) * gradient;
                    s[0] -= gain * s[1];
                }
            }
            s[snapshot] = s[0];
            // A velocity that the rule does not keep must not keep its value either.
            s[if matches!(rule, Rule::Shifted { .. }) { 1 } else { own }] = 0.0;
            nalgebra::DVector::from_column_slice(&s)
        })
        .collect();
    DMatrix::from_columns(&columns)
}

#[test]
fn two_random_workers_meet_the_full_lifted_operator() {
    let (momentum, dampening) = (0.6, 0.2);
    for rule in [
        Rule::Sgd,
        Rule::HeavyBall { momentum, dampening },
        Rule::Nesterov { momentum, dampening },
        Rule::Shifted { momentum, dampening },
    ] {
        let mean = random_workers_margin(&rule, 2).unwrap().gain;
        let square = random_workers_mean_square_margin(&rule, 2, 0.0).unwrap();
        for (factor, stable) in [(0.3, true), (1.0 - 1e-6, true), (1.0 + 1e-6, false)] {
            let both = |gain: f64| [0, 1].map(|reporter| two_workers(&rule, gain, reporter));
            let [a, b] = both(factor * mean);
            assert_eq!(spectral_radius((a + b) * 0.5) < 1.0, stable, "{rule:?} mean {factor}");
            let [a, b] = both(factor * square);
            let lifted = (a.kronecker(&a) + b.kronecker(&b)) * 0.5;
            assert_eq!(spectral_radius(lifted) < 1.0, stable, "{rule:?} mean square {factor}");
        }
    }
}

/// For sgd the lifted operator's threshold solves `N (1+r) K^2 - (1-r) K - 2 = 0`.
#[test]
fn sgd_with_random_workers_meets_its_quadratic() {
    for workers in [1, 2, 3, 8, 100, 1000] {
        for r in [0.0_f64, 0.1, 1.0, 10.0] {
            let n = workers as f64;
            let root = ((1.0 - r).powi(2) + 8.0 * n * (1.0 + r)).sqrt();
            let expected = (1.0 - r + root) / (2.0 * n * (1.0 + r));
            let gain = random_workers_mean_square_margin(&Rule::Sgd, workers, r).unwrap();
            assert_close(gain, expected, 1e-9, &format!("{workers} workers, r = {r}"));
        }
    }
}

#[test]
fn extreme_inputs_answer() {
    for delay in [0, 1, 2, 31, 1000, 99_999, 100_000] {
        for momentum in [0.0, 0.3, 0.9, 0.999, 1.0 - 1e-9] {
            for dampening in [0.0, momentum, 1.0 - 1e-9, 1.0] {
                for name in Rule::NAMES {
                    let rule = Rule::named(name, momentum, dampening).unwrap();
                    match gain_margin(&rule, delay) {
                        Ok(margin) => {
                            let gain = margin.gain;
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
