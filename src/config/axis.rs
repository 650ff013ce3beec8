//! The values of one axis as typed: numbers, ranges and evenly spaced series.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::spaced::{MOST, spaced};
use crate::rule::Dampening;
use crate::theory::{DAMPENINGS, LONGEST_DELAY, MOMENTA};

/// Delays: a number, `0..10`, `0..=10`, or `logspace:FIRST:LAST:COUNT` rounded to distinct whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Delays(pub Vec<usize>);

impl FromStr for Delays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = || {
            format!(
                "accepted: whole numbers up to {LONGEST_DELAY}, ranges like 0..10 or 0..=10 (at most {MOST} values), and \
                 logspace:FIRST:LAST:COUNT with FIRST at least 1"
            )
        };
        let whole = |text: &str| text.trim().parse::<usize>().ok().filter(|&n| n <= LONGEST_DELAY);
        let values = if let Some(values) = spaced(text, "logspace") {
            let mut values: Vec<usize> = values
                .filter(|v| v.iter().all(|&x| (1.0..=LONGEST_DELAY as f64).contains(&x)))
                .ok_or_else(accepted)?
                .into_iter()
                .map(|x| x.round() as usize)
                .collect();
            values.dedup();
            values
        } else if let Some((first, last)) = text.split_once("..") {
            let inclusive = last.starts_with('=');
            let first = whole(first).ok_or_else(accepted)?;
            let last = whole(last.trim_start_matches('=')).ok_or_else(accepted)?;
            let end = if inclusive { last + 1 } else { last };
            if first >= end || end - first > MOST {
                return Err(accepted());
            }
            (first..end).collect()
        } else {
            vec![whole(text).ok_or_else(accepted)?]
        };
        Ok(Self(values))
    }
}

/// Momenta: a number, `linspace:FIRST:LAST:COUNT` or `logspace:FIRST:LAST:COUNT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Momenta(pub Vec<f64>);

impl FromStr for Momenta {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values = spaced(text, "logspace")
            .or_else(|| spaced(text, "linspace"))
            .unwrap_or_else(|| text.trim().parse().ok().map(|m| vec![m]));
        values.filter(|v| v.iter().all(|m| MOMENTA.contains(m))).map(Self).ok_or_else(|| {
            "accepted: numbers from 0 to below 1, linspace:FIRST:LAST:COUNT and logspace:FIRST:LAST:COUNT".to_owned()
        })
    }
}

/// Learning rates that a scaling and a momentum leave finite.
const RATES: RangeInclusive<f64> = 1e-300..=1e100;

/// Learning rates: a number, `linspace:FIRST:LAST:COUNT` or `logspace:FIRST:LAST:COUNT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates(pub Vec<f64>);

impl FromStr for Rates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values = spaced(text, "logspace")
            .or_else(|| spaced(text, "linspace"))
            .unwrap_or_else(|| text.trim().parse().ok().map(|lr| vec![lr]));
        values.filter(|v| v.iter().all(|lr| RATES.contains(lr))).map(Self).ok_or_else(|| {
            "accepted: numbers above 0 (from 1e-300 to 1e100), linspace:FIRST:LAST:COUNT and logspace:FIRST:LAST:COUNT".to_owned()
        })
    }
}

/// Seeds: how many of them, counted from 0, or a range, or a list of at least two.
#[derive(Clone, Debug, PartialEq)]
pub struct Seeds(pub Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seeds: Option<Vec<u64>> = if let Some((first, last)) = text.split_once("..") {
            let end = match last.strip_prefix('=') {
                Some(last) => last.parse().ok().and_then(|last: u64| last.checked_add(1)),
                None => last.parse().ok(),
            };
            first
                .parse()
                .ok()
                .zip(end)
                .filter(|(first, end): &(u64, u64)| first < end && end - first <= MOST as u64)
                .map(|(first, end)| (first..end).collect())
        } else if text.contains(',') {
            text.split(',').map(|seed| seed.trim().parse().ok()).collect()
        } else {
            text.trim().parse().ok().filter(|count| (1..=MOST as u64).contains(count)).map(|count| (0..count).collect())
        };
        seeds.map(Self).ok_or_else(|| {
            format!("accepted: a number of seeds from 1 to {MOST}, a range like 0..10 or 5..=5, or a list like 1,5,9")
        })
    }
}

impl FromStr for Dampening {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "ema" => Ok(Self::Ema),
            number => number
                .parse()
                .ok()
                .filter(|d| DAMPENINGS.contains(d))
                .map(Self::Value)
                .ok_or_else(|| "accepted: ema (equal to the momentum), or a number from 0 to 1".to_owned()),
        }
    }
}

/// Numbers whose products with gains and factors stay finite, and above 0.
const SAFE: RangeInclusive<f64> = 1e-100..=1e100;

/// 0, or a number whose products stay finite.
pub fn non_negative(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number
        .filter(|r: &f64| *r == 0.0 || SAFE.contains(r))
        .map(f64::abs)
        .ok_or_else(|| "accepted: 0, and numbers from 1e-100 to 1e100".to_owned())
}

/// A number above 0 whose products stay finite.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number.filter(|r| SAFE.contains(r)).ok_or_else(|| "accepted: numbers from 1e-100 to 1e100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_a_range_or_a_list() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("3").unwrap(), [0, 1, 2]);
        assert_eq!(seeds("2..5").unwrap(), [2, 3, 4]);
        assert_eq!(seeds("7..=7").unwrap(), [7]);
        assert_eq!(seeds("9,1, 4").unwrap(), [9, 1, 4]);
        for wrong in ["", "0", "-1", "1.5", "5..5", "5..4", "1,,2", "0..18446744073709551615", "many"] {
            assert!(seeds(wrong).unwrap_err().contains("a range like 0..10"), "{wrong}");
        }
    }
}
