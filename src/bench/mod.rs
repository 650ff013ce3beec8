//! Benchmarks: how long a workload takes, beside its number of operations and what the machine could do at best.
//!
//! - [`workload`] is what is run, [`work`] counts its operations
//! - [`kernels`] times single kernels, [`step`] whole steps, on any engine; [`fewer`] lanes where not all fit
//! - [`roof`] measures the machine's peak speed of arithmetic and of memory
//! - [`export`] writes a workload and its final state to a file, so that other programs can run the same
//!
//! Not here: flags, tables and JSON (`command::bench`), nor statistics of a single function (`benches/`).

pub mod export;
pub mod fewer;
pub mod kernels;
pub mod roof;
pub mod step;
pub mod work;
pub mod workload;

use crate::table::quantile;

/// Median, minimum and maximum of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// # Panics
    /// Where there are no numbers.
    pub fn of(numbers: &[f64]) -> Self {
        let at = |q| quantile(numbers.iter().copied(), q).expect("there are numbers");
        Self { median: at(0.5), least: at(0.0), most: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_two() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]), Spread { median: 7.0, least: 7.0, most: 7.0 });
    }
}
