//! The theory against independent references: stored vectors, companion matrices and known limits.

use tauscope::theory::{Rule, TheoryError, gain_margin};

/// One reference threshold of `tests/data/theory-vectors.csv`.
#[derive(Debug, serde::Deserialize)]
struct Vector {
    rule: String,
    delay_model: String,
    tau: usize,
    momentum: f64,
    dampening: f64,
    threshold_gain: f64,
    criterion: String,
}

fn vectors() -> Vec<Vector> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/theory-vectors.csv");
    let rows: Result<Vec<Vector>, _> = csv::Reader::from_path(file).unwrap().deserialize().collect();
    rows.unwrap()
}

fn rule(vector: &Vector) -> Rule {
    let (momentum, dampening) = (vector.momentum, vector.dampening);
    match vector.rule.as_str() {
        "sgd" => Rule::Sgd,
        "heavy-ball" | "ema" => Rule::HeavyBall { momentum, dampening },
        "nesterov" => Rule::Nesterov { momentum, dampening },
        "shifted" => Rule::Shifted { momentum, dampening },
        other => panic!("rule {other} in the vectors"),
    }
}

#[test]
fn mean_thresholds_at_fixed_delay_meet_the_vectors() {
    let mut checked = 0;
    for vector in vectors() {
        if vector.criterion != "mean" || vector.delay_model != "fixed" {
            continue;
        }
        let margin = gain_margin(&rule(&vector), vector.tau).unwrap();
        let error = (margin.gain / vector.threshold_gain - 1.0).abs();
        assert!(error < 1e-9, "{vector:?}: {margin:?}, relative error {error:e}");
        checked += 1;
    }
    assert!(checked > 80, "only {checked} vectors checked");
}

#[test]
fn extreme_inputs_answer() {
    for delay in [0, 1, 2, 31, 1000, 99_999, 100_000] {
        for momentum in [0.0, 0.3, 0.9, 0.999, 1.0 - 1e-9] {
            for dampening in [0.0, momentum, 1.0 - 1e-9, 1.0] {
                for rule in [
                    Rule::Sgd,
                    Rule::HeavyBall { momentum, dampening },
                    Rule::Nesterov { momentum, dampening },
                    Rule::Shifted { momentum, dampening },
                ] {
                    match gain_margin(&rule, delay) {
                        Ok(margin) => {
                            assert!(margin.gain > 0.0 && margin.gain.is_finite(), "{rule:?} {delay} {margin:?}");
                        }
                        Err(error) => assert_eq!((error, dampening), (TheoryError::NoGradient, 1.0)),
                    }
                }
            }
        }
    }
}
