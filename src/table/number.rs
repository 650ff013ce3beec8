//! Numbers as text for people. Not here: those of CSV files, which have all digits.

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

/// A fraction in percent, to so many significant digits: `97.22 %`.
pub fn percent(fraction: f64, digits: usize) -> String {
    format!("{} %", significant(100.0 * fraction, digits))
}

/// A fraction in percent with half the width of its interval, to two digits of that width: `97.22 ± 0.31 %`.
pub fn percent_within(fraction: f64, half_width: Option<f64>) -> String {
    match half_width.map(|half| rounded(100.0 * half, 2)).filter(|half| half.is_finite() && *half > 0.0) {
        None => format!("{} %", significant(100.0 * fraction, 4)),
        Some(half) => {
            let decimals = (1 - half.log10().floor() as i32).clamp(0, 4) as usize;
            format!("{:.decimals$} ± {half:.decimals$} %", 100.0 * fraction)
        }
    }
}

/// A count with commas between thousands: `1,234,567`.
pub fn grouped_digits(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

/// The number that is left of `value` to so many significant digits.
pub fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
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
    }

    #[test]
    fn extremes_are_neither_nothing_nor_endless() {
        assert_eq!((significant(4e-6, 5), aligned(4e-6, 5)), ("4e-6".into(), "4.0000e-6".into()));
        assert_eq!((significant(1e30, 5), aligned(1e30, 5)), ("1e30".into(), "1.0000e30".into()));
        assert_eq!((exact(1e30), exact(f64::MIN_POSITIVE)), ("1e30".into(), "2.2250738585072014e-308".into()));
        assert_eq!(significant(5e-324, 3), "5e-324");
    }

    #[test]
    fn large_counts_are_grouped() {
        let counts = [0, 999, 1000, 100_000, 1_234_567];
        assert_eq!(counts.map(grouped_digits), ["0", "999", "1,000", "100,000", "1,234,567"]);
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
