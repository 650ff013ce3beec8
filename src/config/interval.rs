//! A time between two things that happen again and again, as `--checkpoint-every` takes it.

use jiff::SignedDuration;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.trim().parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        let time = time.filter(|time| !time.is_zero());
        time.map(Self).ok_or_else(|| "accepted: a time above 0 with its unit, as 90s, 5m or 1h".to_owned())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(time) = self;
        match SignedDuration::try_from(*time) {
            Ok(time) => write!(f, "{time:#}"),
            Err(_) => write!(f, "{}s", time.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_above_0() {
        let seconds = |text: &str| text.parse::<Interval>().map(|Interval(time)| time.as_secs_f64());
        let times = [("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("1m 30s", 90.0), ("250ms", 0.25)];
        for (text, expected) in times {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
            let shown = text.parse::<Interval>().unwrap().to_string();
            assert_eq!(seconds(&shown).unwrap(), expected, "{text} is shown as {shown}");
        }
        for wrong in ["", "0", "0s", "60", "-5m", "5 parsecs", "1 month", "s", "999999999999999999999h"] {
            assert!(seconds(wrong).unwrap_err().contains("accepted: a time above 0"), "{wrong}");
        }
    }
}
