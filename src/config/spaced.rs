//! Evenly spaced series of numbers: `linspace:FIRST:LAST:COUNT` and `logspace:FIRST:LAST:COUNT`.
//!
//! Computed in decimal, so that a series between two powers of ten holds the powers between them: `logspace:1e-4:1e-1:4` has
//! 0.001, where powers in f64 give 0.0009999999999999998. Not here: which values an axis accepts ([`super::axis`]).

use dashu_float::DBig;

/// Most values one item of a list may stand for.
pub const MOST: usize = 1_000_000;

/// Significant decimal digits that are computed with. The products of a series of [`MOST`] values lose 6 of them, and 17 tell
/// two f64 apart.
const DIGITS: usize = 50;

/// `KIND:FIRST:LAST:COUNT` as its values; `None` where the text is of another kind, `Some(None)` where it is malformed.
#[expect(clippy::option_option, reason = "another grammar, or this one with a mistake in it")]
pub fn spaced(text: &str, kind: &str) -> Option<Option<Vec<f64>>> {
    let rest = text.trim().strip_prefix(kind)?.strip_prefix(':')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let [first, last, count] = parts[..] else { return Some(None) };
    let (Ok(first), Ok(last), Ok(count)) = (first.parse::<f64>(), last.parse::<f64>(), count.parse::<usize>()) else {
        return Some(None);
    };
    let logarithmic = kind == "logspace";
    let ordered = first <= last && first.is_finite() && last.is_finite() && (!logarithmic || first > 0.0);
    if !ordered || !(2..=MOST).contains(&count) {
        return Some(None);
    }
    if first == last {
        return Some(Some(vec![first; count]));
    }
    let between = if logarithmic { geometric(first, last, count) } else { arithmetic(first, last, count) };
    Some(Some([vec![first], between, vec![last]].concat()))
}

/// The values between the ends, whose ratios are all alike.
fn geometric(first: f64, last: f64, count: usize) -> Vec<f64> {
    let ratio = ((decimal(last) / decimal(first)).ln() / whole(count - 1)).exp();
    let mut value = decimal(first);
    let next = |_| {
        value = &value * &ratio;
        nearest(&value)
    };
    (1..count - 1).map(next).collect()
}

/// The values between the ends, whose differences are all alike.
fn arithmetic(first: f64, last: f64, count: usize) -> Vec<f64> {
    let (first, last, intervals) = (decimal(first), decimal(last), whole(count - 1));
    let width = last - &first;
    (1..count - 1).map(|i| nearest(&(&first + &width * whole(i) / &intervals))).collect()
}

/// The number that was typed: the shortest decimal that reads as these bits.
fn decimal(value: f64) -> DBig {
    let read: DBig = format!("{value:e}").parse().expect("a finite number is a decimal");
    read.with_precision(DIGITS).value()
}

fn whole(number: usize) -> DBig {
    DBig::from(number).with_precision(DIGITS).value()
}

/// Digits that are right after all products: short decimals come out as themselves, also where they lie as near to one f64 as
/// to the next (1.48e23).
const RIGHT: usize = DIGITS - 10;

/// The nearest f64; infinite beyond the largest.
fn nearest(value: &DBig) -> f64 {
    let value = value.clone().with_precision(RIGHT).value();
    format!("{value:e}").parse().expect("a decimal is a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<f64> {
        let kind = text.split(':').next().unwrap();
        spaced(text, kind).unwrap().unwrap_or_else(|| panic!("{text}"))
    }

    /// Oracle: the module decimal of Python, to 80 digits, in `tests/data/series.py`.
    #[test]
    fn series_are_the_nearest_numbers_to_the_exact_ones() {
        let file = include_str!("../../tests/data/series.csv");
        let mut series = 0;
        for line in file.lines().skip(1) {
            let (text, exact) = line.split_once(',').unwrap();
            let exact: Vec<f64> = exact.split(' ').map(|value| value.parse().unwrap()).collect();
            let found = values(text);
            let ends = [found.first(), found.last()];
            // A long series is sampled.
            let kept: Vec<f64> = found.iter().copied().step_by((found.len() / 16).max(1)).collect();
            assert_eq!(kept, exact, "{text}");
            let typed: Vec<f64> = text.split(':').skip(1).take(2).map(|end| end.parse().unwrap()).collect();
            assert_eq!(ends, [typed.first(), typed.last()], "{text}");
            series += 1;
        }
        assert!(series > 20, "{series} series");
    }

    proptest! {
        /// Powers of ten and whole steps of a decimal are what a reader writes down for them.
        #[test]
        fn decimals_between_decimals_are_decimals(digits in 1u32..1000, low in -300i32..200, powers in 1usize..60, step in 1usize..50) {
            let shown = |power: i32| format!("{digits}e{power}");
            let expected: Vec<f64> = (0..=powers).map(|i| shown(low + i as i32).parse().unwrap()).collect();
            prop_assert_eq!(values(&format!("logspace:{}:{}:{}", shown(low), shown(low + powers as i32), powers + 1)), expected);
            let shown = |i: usize| format!("{}e{low}", digits as usize + i * step);
            let expected: Vec<f64> = (0..=powers).map(|i| shown(i).parse().unwrap()).collect();
            prop_assert_eq!(values(&format!("linspace:{}:{}:{}", shown(0), shown(powers), powers + 1)), expected);
        }
    }

    #[test]
    fn ends_that_agree_and_ends_of_the_range_have_values() {
        assert_eq!(values("logspace:0.5:0.5:3"), [0.5; 3]);
        assert_eq!(values("linspace:0:0:2"), [0.0; 2]);
        assert_eq!(values("linspace:-1:1:3"), [-1.0, 0.0, 1.0]);
        assert_eq!(values("logspace:1.48:1.48e46:47")[23], 1.48e23);
        let extremes = values("logspace:5e-324:1.7976931348623157e308:1000");
        assert!(extremes.iter().all(|value| value.is_finite() && *value > 0.0) && extremes.is_sorted());
        for wrong in [
            "linspace:1:0:3",
            "linspace:0:1:1",
            "linspace:0:1",
            "linspace:-inf:0:2",
            "linspace:0:nan:2",
            "logspace:0:1:2",
        ] {
            let kind = wrong.split(':').next().unwrap();
            assert_eq!(spaced(wrong, kind), Some(None), "{wrong}");
        }
    }
}
