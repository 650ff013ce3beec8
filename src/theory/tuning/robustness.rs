//! How fast a tuned rule still is where what it was tuned for is not so.
//!
//! Another delay and other curvatures are answered by the roots ([`super::updates_per_efold`]). Workers of different speed are not:
//! their delays come in a period, over which the state grows by a matrix; its spectral radius is the answer.

use super::rule::LinearRule;
use crate::theory::periodic::grows_by;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Curvatures at which a period of unequal workers is taken.
const CURVATURES: usize = 40;

/// Updates per e-fold of the slowest direction with `delay + 1` workers of which one takes `slowness` times as long as the others;
/// none where one does not decay.
pub fn with_a_slow_worker(rule: &LinearRule, delay: usize, gain: f64, condition: f64, slowness: usize) -> Option<f64> {
    let growth = |index: usize| {
        let curvature = condition.powf(-(index as f64) / (CURVATURES - 1) as f64);
        grows_by(Workers::new(*rule, delay + 1, gain * curvature).map_of_period(slowness))
    };
    let slowest = (0..CURVATURES).into_par_iter().map(growth).reduce(|| f64::NEG_INFINITY, f64::max);
    // The others report once in each unit of time.
    let rate = -slowest / (delay * slowness + 1) as f64;
    (rate > 0.0).then(|| 1.0 / rate)
}

/// What a worker read last, and the velocity that it keeps.
#[derive(Clone, Copy)]
struct Worker {
    read: f64,
    /// P of mixing, or the velocity of a worker's own.
    beside: f64,
}

/// One curvature with all that a training keeps of it.
struct Workers {
    rule: LinearRule,
    gain: f64,
    x: f64,
    /// The velocity, or P of mixing.
    beside: f64,
    workers: Vec<Worker>,
}

impl Workers {
    fn new(rule: LinearRule, count: usize, gain: f64) -> Self {
        Self { rule, gain, x: 0.0, beside: 0.0, workers: vec![Worker { read: 0.0, beside: 0.0 }; count] }
    }

    /// The linear map of the state over one period: all workers but the first report so many times in turn, then the first.
    fn map_of_period(&mut self, rounds: usize) -> DMatrix<f64> {
        let size = self.state().count();
        let mut map = DMatrix::zeros(size, size);
        for (place, mut column) in map.column_iter_mut().enumerate() {
            self.state().enumerate().for_each(|(index, number)| *number = f64::from(u8::from(index == place)));
            for _ in 0..rounds {
                (1..self.workers.len()).for_each(|worker| self.report(worker));
            }
            self.report(0);
            column.iter_mut().zip(self.state()).for_each(|(entry, number)| *entry = *number);
        }
        map
    }

    fn state(&mut self) -> impl Iterator<Item = &mut f64> {
        let workers = self.workers.iter_mut().flat_map(|worker| [&mut worker.read, &mut worker.beside]);
        [&mut self.x, &mut self.beside].into_iter().chain(workers)
    }

    fn report(&mut self, worker: usize) {
        let Worker { read, beside } = self.workers[worker];
        let gradient = self.gain * read;
        let before = self.x;
        self.workers[worker] = match self.rule {
            LinearRule::Predicting { momentum, horizons: [first, second] } => {
                let velocity = momentum * self.beside + gradient;
                self.x -= velocity;
                let predicted = self.x + (first + second) * (self.x - before) + second * self.beside;
                self.beside = velocity;
                Worker { read: predicted, beside: 0.0 }
            }
            LinearRule::PerWorker { momentum } => {
                let velocity = momentum * beside + gradient;
                self.x -= velocity;
                // The server has none.
                self.beside = 0.0;
                Worker { read: self.x, beside: velocity }
            }
            LinearRule::Mixing { momentum, share } => {
                let result = read + momentum * (read - beside) - gradient;
                self.x += share * (result - self.x);
                self.beside += share * (read - self.beside);
                Worker { read: self.x, beside: self.beside }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TunedRule, tune, updates_per_efold};
    use super::*;

    #[test]
    fn with_workers_of_one_speed_it_is_the_rate_of_the_roots() {
        let rules = [
            TunedRule::Sgd,
            TunedRule::Shifted,
            TunedRule::WeightPrediction(None),
            TunedRule::SecondPrediction(None),
            TunedRule::Mixing { share: 0.5 },
        ];
        for rule in rules {
            for delay in [0, 3] {
                // Less than the best gain, where roots meet.
                let tuning = tune(rule, delay, 20.0, 0.8).unwrap();
                let exact = updates_per_efold(&tuning.rule, delay, tuning.gain, 20.0).unwrap();
                let run = with_a_slow_worker(&tuning.rule, delay, tuning.gain, 20.0, 1).unwrap();
                assert!((run / exact - 1.0).abs() < 1e-5, "{rule:?} at delay {delay}: {run}, not {exact}");
            }
        }
    }

    #[test]
    fn what_diverges_has_no_rate() {
        let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
        assert_eq!(with_a_slow_worker(&sgd, 3, 1.0, 10.0, 10), None);
    }

    /// Beside the eigenvalues of the period's matrix, by another program.
    #[test]
    fn at_large_condition_numbers_mixing_still_decays() {
        for (condition, low, high) in [(1e4, 330.0, 350.0), (1e6, 3_200.0, 3_450.0)] {
            let tuning = tune(TunedRule::Mixing { share: 0.5 }, 4, condition, 0.8).unwrap();
            let found = with_a_slow_worker(&tuning.rule, 4, tuning.gain, condition, 10).unwrap();
            assert!((low..high).contains(&found), "{condition}: {found}");
        }
    }
}
