//! The two precisions that runs are made in, as a choice at run time.

use serde::{Deserialize, Serialize};

/// A format of floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FloatFormat {
    F32,
    F64,
}

impl FloatFormat {
    /// Distance from 1 to the next larger number.
    pub fn epsilon(self) -> f64 {
        match self {
            Self::F32 => f32::EPSILON.into(),
            Self::F64 => f64::EPSILON,
        }
    }

    /// Distance between neighbouring numbers at `x`: the last digit of a number of this size.
    pub fn last_digit(self, x: f64) -> f64 {
        if x.abs() < f64::MIN_POSITIVE {
            return 0.0;
        }
        2f64.powi(x.abs().log2().floor() as i32) * self.epsilon()
    }

    /// Whether `x` is a number of this format to its full precision.
    pub fn holds(self, x: f64) -> bool {
        match self {
            Self::F32 => (x as f32).is_normal(),
            Self::F64 => x.is_normal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digit_is_the_distance_to_the_next_number() {
        for x in [1.0, 0.3, 7e-9, 1.5e8, f64::from(1.0f32.next_down())] {
            let single = x as f32;
            assert_eq!(FloatFormat::F32.last_digit(f64::from(single)), f64::from(single.next_up() - single), "{x}");
            assert_eq!(FloatFormat::F64.last_digit(x), x.next_up() - x, "{x}");
        }
    }
}
