//! The comparator that every other comparison rests on is itself shown planted faults, each of which it must reject.

use crate::common::{KERNEL_F32, close};

/// A smooth, non-constant, non-zero signal.
fn signal() -> Vec<f64> {
    (0..64).map(|i| (0.3 * f64::from(i)).sin() + 0.01 * f64::from(i)).collect()
}

fn rejected(actual: &[f64]) -> bool {
    close("planted", actual, &signal(), KERNEL_F32).is_err()
}

#[test]
fn accepts_what_is_within_the_promise() {
    let near: Vec<f64> = signal().iter().map(|x| x + 0.9 * KERNEL_F32).collect();
    assert_eq!(close("near", &near, &signal(), KERNEL_F32), Ok(()));
}

#[test]
fn rejects_what_is_just_beyond_the_promise() {
    let scale = signal().iter().fold(0.0, |scale: f64, x| scale.max(x.abs()));
    let mut far = signal();
    far[40] += 1.01 * KERNEL_F32 * scale;
    assert!(rejected(&far));
}

#[test]
fn rejects_values_that_are_not_finite() {
    for planted in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for index in [0, 31, 63] {
            let mut actual = signal();
            actual[index] = planted;
            assert!(rejected(&actual), "{planted} at {index}");
        }
        assert!(rejected(&[planted; 64]), "{planted} throughout");
    }
}

#[test]
fn rejects_zeros_where_values_are_expected() {
    assert!(rejected(&[0.0; 64]), "zeros throughout");
    let mut actual = signal();
    actual[63] = 0.0;
    assert!(rejected(&actual), "a zero at the end");
}

#[test]
fn rejects_a_shift_by_one() {
    let mut actual = signal();
    actual.rotate_right(1);
    assert!(rejected(&actual));
}

#[test]
fn rejects_short_and_empty_outputs() {
    assert!(rejected(&signal()[..63]), "short");
    assert!(rejected(&[]), "empty");
    assert!(close::<f64, f64>("both empty", &[], &[], KERNEL_F32).is_err(), "nothing compared with nothing");
}

#[test]
fn rejects_oracles_that_prove_nothing() {
    assert!(close("zero", &[0.0; 4], &[0.0; 4], KERNEL_F32).is_err(), "an oracle of zeros");
    assert!(close("nan", &[1.0, 2.0], &[1.0, f64::NAN], KERNEL_F32).is_err(), "an oracle with NaN");
    assert!(close("inf", &[1.0, 2.0], &[1.0, f64::INFINITY], KERNEL_F32).is_err(), "an oracle with an infinity");
}
