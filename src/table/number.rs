//! Numbers as text for people. Not here: those of CSV files, which have all digits.

/// Decimals of a number beside its interval; what takes more has an exponent.
const MOST_DECIMALS: i32 = 6;

/// A number with as many digits as it takes to read the same bits back: plain where that is short, else with an exponent.
pub fn exact(value: f64) -> String {
    if is_plain(value) { value.to_string() } else { format!("{value:e}") }
}

/// A number to so many significant digits, without trailing zeros: `0.622`, `1230`, `2e-9`.
///
/// # Panics
/// Where `digits` is 0.
pub fn significant(value: f64, digits: usize) -> String {
    exact(rounded(value, digits))
}

/// A number to exactly so many significant digits, as columns of a table have them: `0.6220`, `1.000`, `2.000e-9`.
///
/// # Panics
/// Where `digits` is 0.
pub fn aligned(value: f64, digits: usize) -> String {
    let rounded = rounded(value, digits);
    if !is_plain(rounded) || !rounded.is_finite() {
        return format!("{rounded:.*e}", digits - 1);
    }
    // 0 has one digit before its point, as 1 has.
    let magnitude = if rounded == 0.0 { 0 } else { rounded.abs().log10().floor() as i32 };
    let decimals = (digits as i32 - 1 - magnitude).max(0) as usize;
    format!("{rounded:.decimals$}")
}

/// A ratio with so many decimals where it is near 1, so that those of a column stand below each other; else with one significant digit
/// more.
pub fn ratio(value: f64, decimals: usize) -> String {
    if (0.5..2.0).contains(&value) { format!("{value:.decimals$}") } else { aligned(value, decimals + 1) }
}

/// A fraction in percent, to so many significant digits: `97.22 %`.
pub fn percent(fraction: f64, digits: usize) -> String {
    format!("{} %", significant(100.0 * fraction, digits))
}

/// A fraction in percent with half the width of its interval, to two digits of that width: `97.22 ± 0.31 %`.
pub fn percent_within(fraction: f64, half_width: Option<f64>) -> String {
    format!("{} %", within(100.0 * fraction, half_width.map(|half| 100.0 * half), 4))
}

/// A number with half the width of its interval, to two digits of that width, which says how many decimals both have: `1.500 ± 0.033`.
/// Without an interval, it has so many significant `digits`.
///
/// # Panics
/// Where `digits` is 0.
pub fn within(value: f64, half_width: Option<f64>, digits: usize) -> String {
    match half_width.map(|half| rounded(half, 2)).filter(|half| half.is_finite() && *half > 0.0) {
        None => significant(value, digits),
        Some(half) => {
            let decimals = 1 - half.log10().floor() as i32;
            if decimals > MOST_DECIMALS {
                return format!("{} ± {}", significant(value, digits), significant(half, 2));
            }
            let decimals = decimals.max(0) as usize;
            // Zero has no sign.
            let value = format!("{value:.decimals$}").parse().unwrap_or(value) + 0.0;
            format!("{value:.decimals$} ± {half:.decimals$}")
        }
    }
}

/// The number that is left of `value` to so many significant digits. Zero has no sign.
pub fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value) + 0.0
}

fn is_plain(value: f64) -> bool {
    value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&value.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_rounded_to_what_can_be_read() {
        let cases = [
            (0.621_987_654, 4, "0.622", "0.6220"),
            (1234.567, 3, "1230", "1230"),
            (2e-9, 3, "2e-9", "2.00e-9"),
            (1.0, 5, "1", "1.0000"),
            (0.999_96, 4, "1", "1.000"),
            (-0.047_39, 4, "-0.04739", "-0.04739"),
            (0.0, 3, "0", "0.00"),
            (999_999.6, 6, "1e6", "1.00000e6"),
            (f64::INFINITY, 3, "inf", "inf"),
        ];
        for (value, digits, short, wide) in cases {
            assert_eq!(
                (significant(value, digits).as_str(), aligned(value, digits).as_str()),
                (short, wide),
                "{value}"
            );
        }
        assert_eq!(significant(f64::NAN, 3), "NaN");
        assert_eq!(aligned(f64::NAN, 3), "NaN");
        assert_eq!((percent(0.972_249, 4), percent(4e-8, 2)), ("97.22 %".into(), "4e-6 %".into()));
        let within =
            [(0.972_249, Some(0.003_14)), (0.0891, Some(0.03)), (0.9, Some(0.12)), (0.961, Some(0.0)), (0.5, None)];
        let told = within.map(|(fraction, half)| percent_within(fraction, half));
        assert_eq!(told, ["97.22 ± 0.31 %", "8.9 ± 3.0 %", "90 ± 12 %", "96.1 %", "50 %"]);
        let within = [
            (1.5, Some(0.0331)),
            (-1.6667, Some(1.43)),
            (3.0, None),
            (0.0123, Some(2e-8)),
            (5128.0, Some(1234.0)),
            (-1e-9, Some(0.2)),
        ];
        let told = within.map(|(value, half)| super::within(value, half, 3));
        assert_eq!(told, ["1.500 ± 0.033", "-1.7 ± 1.4", "3", "0.0123 ± 2e-8", "5128 ± 1200", "0.00 ± 0.20"]);
    }

    #[test]
    fn extremes_are_neither_nothing_nor_endless() {
        assert_eq!((significant(4e-6, 5), aligned(4e-6, 5)), ("4e-6".into(), "4.0000e-6".into()));
        assert_eq!((significant(1e30, 5), aligned(1e30, 5)), ("1e30".into(), "1.0000e30".into()));
        assert_eq!((exact(1e30), exact(f64::MIN_POSITIVE)), ("1e30".into(), "2.2250738585072014e-308".into()));
        assert_eq!(significant(5e-324, 3), "5e-324");
    }

    /// Every magnitude that a table may hold, in both forms.
    #[test]
    fn every_decade_from_1e_minus_30_to_1e30_takes_few_letters_and_keeps_its_digits() {
        for exponent in -30..=30 {
            let value: f64 = format!("1.2346e{exponent}").parse().unwrap();
            let expected = match exponent {
                -4..=-1 => format!("0.{}1235", "0".repeat((-1 - exponent) as usize)),
                0 => "1.235".to_owned(),
                1 => "12.35".to_owned(),
                2 => "123.5".to_owned(),
                3 => "1235".to_owned(),
                4 => "12350".to_owned(),
                5 => "123500".to_owned(),
                _ => format!("1.235e{exponent}"),
            };
            assert_eq!((significant(value, 4), aligned(value, 4)), (expected.clone(), expected.clone()));
            assert_eq!((significant(-value, 4), aligned(-value, 4)), (format!("-{expected}"), format!("-{expected}")));
            let power: f64 = format!("1e{exponent}").parse().unwrap();
            assert_eq!(significant(power, 4).parse::<f64>(), Ok(power));
            assert!(expected.len() <= 9, "{expected}");
        }
    }

    #[test]
    fn zero_the_infinities_and_no_number_are_words_that_align() {
        let cases = [
            (0.0, "0", "0.000"),
            (-0.0, "0", "0.000"),
            (f64::INFINITY, "inf", "inf"),
            (f64::NEG_INFINITY, "-inf", "-inf"),
            (f64::NAN, "NaN", "NaN"),
            (1.7e308, "1.7e308", "1.700e308"),
            (f64::MIN_POSITIVE, "2.225e-308", "2.225e-308"),
        ];
        for (value, short, wide) in cases {
            assert_eq!((significant(value, 4).as_str(), aligned(value, 4).as_str()), (short, wide), "{value:e}");
        }
        let ratios = [0.999_999, 1.000_004, 1.5, 0.25, 21.016, 0.0, 1e-9, f64::NAN].map(|value| ratio(value, 4));
        assert_eq!(ratios, ["1.0000", "1.0000", "1.5000", "0.25000", "21.016", "0.0000", "1.0000e-9", "NaN"]);
        assert_eq!((percent(f64::NAN, 2), percent(f64::INFINITY, 2)), ("NaN %".into(), "inf %".into()));
        assert_eq!(percent_within(0.5, Some(f64::NAN)), "50 %");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL, digits in 1usize..17) {
            prop_assert_eq!(exact(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
            for text in [significant(value, digits), aligned(value, digits)] {
                let read: f64 = text.parse().unwrap();
                // Half a unit of the last digit; the least subnormals have no neighbours as close.
                let most = 0.5001 * value.abs() * 10f64.powi(1 - digits as i32) + 5e-324;
                prop_assert!(read == rounded(value, digits) && (read.is_infinite() || (read - value).abs() <= most), "{}", text);
                prop_assert!(text.len() <= digits.max(7) + 8, "{}", text);
            }
        }
    }
}
