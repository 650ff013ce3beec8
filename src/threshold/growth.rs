//! Growth rate of an oscillation, computed from its recorded energy.
//!
//! Near a minimum the displacement along the top eigenvector settles into p_t = C e^{gamma t} cos(w t + phi) once faster
//! modes have died. Its energy p_t^2 under two equal smooth windows, one after the other, grows by e^{2 gamma dt} between
//! them, exactly, for every gamma. What remains of the cosine is a ripple that a Hann window over n half-periods damps like
//! 1/n^3. So gamma is known after a few periods, long before the distance has visibly grown.

use serde::{Deserialize, Serialize};

/// Bins kept at most; twice as many steps make every bin twice as wide.
const BINS: usize = 2048;

/// Periods of the oscillation that a record must hold before its growth rate is used. A period has two zero crossings.
const PERIODS: u32 = 6;

/// Parts of a record in which the smallest displacement is looked for: each holds a period.
const PARTS: usize = PERIODS as usize;

/// Sums over the steps of one bin.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Bin {
    projection: f64,
    distance: f64,
    /// Squares of the projection's change from step to step.
    change: f64,
    crossings: u32,
}

/// Energies of a run over time, in bounded memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EnergyRecord {
    bins: Vec<Bin>,
    /// Steps per bin, a power of two.
    width: u64,
    steps: u64,
    previous: f64,
}

/// Growth rates over a record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Growth {
    /// gamma of the projection on the top eigenvector, per step.
    pub projection: f64,
    /// gamma of its change from step to step, in which fast oscillations weigh more: another one as long as several oscillations that
    /// grow at rates of their own are in the record.
    pub change: f64,
    /// gamma of the whole distance from the minimum, per step.
    pub distance: f64,
    /// Steps between the two windows that gamma is computed from.
    pub between: f64,
    /// Root mean square of the projection, and of its change per step, in that part of the record where each is smallest.
    pub least: Level,
}

/// How large a displacement is, along the top eigenvector: root mean squares over some steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    pub projection: f64,
    /// Change of the projection per step.
    pub change: f64,
}

impl Level {
    /// So many times as large.
    pub fn times(self, factor: f64) -> Self {
        Self { projection: factor * self.projection, change: factor * self.change }
    }

    /// Whether both stand above those of `floor`.
    pub fn is_above(self, floor: Self) -> bool {
        self.projection >= floor.projection && self.change >= floor.change
    }
}

impl EnergyRecord {
    pub fn new() -> Self {
        Self { bins: Vec::with_capacity(BINS), width: 1, steps: 0, previous: 0.0 }
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn push(&mut self, projection: f64, distance_squared: f64) {
        if self.steps == self.width * BINS as u64 {
            for i in 0..BINS / 2 {
                let (a, b) = (self.bins[2 * i], self.bins[2 * i + 1]);
                self.bins[i] = Bin {
                    projection: a.projection + b.projection,
                    distance: a.distance + b.distance,
                    change: a.change + b.change,
                    crossings: a.crossings + b.crossings,
                };
            }
            self.bins.truncate(BINS / 2);
            self.width *= 2;
        }
        if self.steps.is_multiple_of(self.width) {
            self.bins.push(Bin::default());
        }
        let bin = self.bins.last_mut().expect("a bin was opened for the first step");
        bin.projection += projection * projection;
        bin.distance += distance_squared;
        // Where the first step came from is not known.
        bin.change += if self.steps == 0 { 0.0 } else { (projection - self.previous).powi(2) };
        bin.crossings += u32::from(projection * self.previous < 0.0);
        self.previous = projection;
        self.steps += 1;
    }

    /// How large the displacement was over all steps so far.
    pub fn level(&self) -> Level {
        let mean = |energy: fn(&Bin) -> f64| (self.bins.iter().map(energy).sum::<f64>() / self.steps as f64).sqrt();
        Level { projection: mean(|bin| bin.projection), change: mean(|bin| bin.change) }
    }

    /// Returns the growth over the last three quarters of the first `steps` steps (the first quarter holds transients), or
    /// `None` where these have too few periods to tell growth from oscillation.
    pub fn growth(&self, steps: u64) -> Option<Growth> {
        let end = (steps / self.width) as usize;
        let begin = end / 4;
        let length = (end - begin) / 2;
        if length < 2 {
            return None;
        }
        let tail = &self.bins[end - 2 * length..end];
        if tail.iter().map(|bin| bin.crossings).sum::<u32>() < 2 * PERIODS {
            return None;
        }
        let (early, late) = tail.split_at(length);
        let between = (length as u64 * self.width) as f64;
        let rate = |energy: fn(&Bin) -> f64| {
            let windowed = |bins: &[Bin]| -> f64 {
                bins.iter().enumerate().map(|(i, bin)| hann(i, bins.len()) * energy(bin)).sum()
            };
            (windowed(late) / windowed(early)).ln() / (2.0 * between)
        };
        let least = |energy: fn(&Bin) -> f64| {
            let mean = |part: &[Bin]| part.iter().map(energy).sum::<f64>() / (part.len() as u64 * self.width) as f64;
            tail.chunks_exact((tail.len() / PARTS).max(1)).map(mean).fold(f64::INFINITY, f64::min).sqrt()
        };
        let growth = Growth {
            projection: rate(|bin| bin.projection),
            change: rate(|bin| bin.change),
            distance: rate(|bin| bin.distance),
            between,
            least: Level { projection: least(|bin| bin.projection), change: least(|bin| bin.change) },
        };
        (growth.projection.is_finite() && growth.distance.is_finite()).then_some(growth)
    }
}

/// Hann window over `length` points, zero just outside both ends.
fn hann(index: usize, length: usize) -> f64 {
    (std::f64::consts::PI * (index as f64 + 0.5) / length as f64).sin().powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Oracle: a signal whose growth rate is its definition; slow enough ones have too few periods in 2000 steps.
        #[test]
        fn the_growth_rate_of_a_pure_oscillation_is_found(
            gamma in -2e-3..2e-3f64, angle in 0.03..3.1f64, phase in 0.0..6.2f64, length in 2000u64..9000,
        ) {
            let mut record = EnergyRecord::new();
            for t in 0..length {
                let p = (gamma * t as f64).exp() * (angle * t as f64 + phase).cos();
                record.push(p, p * p + 1.0);
            }
            let growth = record.growth(length).expect("many periods");
            prop_assert!((growth.projection - gamma).abs() <= 2e-6, "{} for {gamma}", growth.projection);
        }
    }

    #[test]
    fn less_than_six_periods_are_no_evidence() {
        let mut record = EnergyRecord::new();
        for t in 0..1000 {
            record.push((0.02 * f64::from(t)).cos(), 1.0);
        }
        assert_eq!(record.growth(1000), None);
    }
}
