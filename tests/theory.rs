//! The theory against independent references: stored vectors, companion matrices and known limits.

use nalgebra::DMatrix;
use proptest::prelude::*;
use tauscope::theory::{
    Rule, TheoryError, WeightDecay, dominant_root, gain_margin, gain_margin_with_decay, mean_square_margin, state_space,
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

#[test]
fn fixed_delay_thresholds_meet_the_vectors() {
    let mut checked = [0, 0];
    for vector in vectors() {
        if vector.delay_model != "fixed" {
            continue;
        }
        let rule = rule(&vector);
        let what = format!("{vector:?}");
        if vector.criterion == "mean" {
            let margin = gain_margin(&rule, vector.tau).unwrap();
            assert_close(margin.gain, vector.threshold_gain, MEAN, &what);
            checked[0] += 1;
        } else {
            let gain = mean_square_margin(&rule, vector.tau, vector.relative_variance).unwrap();
            assert_close(gain, vector.threshold_gain, MEAN_SQUARE, &what);
            checked[1] += 1;
        }
    }
    assert_eq!(checked, [88, 25]);
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
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

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
