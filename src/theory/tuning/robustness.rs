//! How fast a tuned rule still is where what it was tuned for is not so.
//!
//! Another delay and other curvatures are answered by the roots ([`super::updates_per_efold`]). Workers of different speed are not:
//! their delays come in a period, over which the state grows by a matrix; its growth is found by running it.

use super::rule::LinearRule;

/// Curvatures at which a period of unequal workers is run.
const CURVATURES: usize = 40;

/// Reports of the slow worker over which growth is averaged, after as many that are not.
const REPORTS: usize = 200;

/// Updates per e-fold of the slowest direction with `delay + 1` workers of which one takes `slowness` times as long as the others,
/// to about a per cent; none where one does not decay.
pub fn with_a_slow_worker(rule: &LinearRule, delay: usize, gain: f64, condition: f64, slowness: usize) -> Option<f64> {
    let curvatures = (0..CURVATURES).map(|index| condition.powf(-(index as f64) / (CURVATURES - 1) as f64));
    let slowest = curvatures.map(|curvature| {
        let mut workers = Workers::new(*rule, delay + 1, gain * curvature);
        // The others report once in each unit of time.
        let mut run = || (0..REPORTS).map(|_| workers.period(slowness)).sum::<f64>();
        run();
        run()
    });
    let updates = (REPORTS * (delay * slowness + 1)) as f64;
    let rate = -slowest.fold(f64::NEG_INFINITY, f64::max) / updates;
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
        // P is at X first; velocities are 0.
        let beside = if matches!(rule, LinearRule::Mixing { .. }) { 1.0 } else { 0.0 };
        Self { rule, gain, x: 1.0, beside, workers: vec![Worker { read: 1.0, beside }; count] }
    }

    /// All workers but the first report so many times in turn, then the first. Returns by how much the logarithm of the state has grown.
    fn period(&mut self, rounds: usize) -> f64 {
        for _ in 0..rounds {
            (1..self.workers.len()).for_each(|worker| self.report(worker));
        }
        self.report(0);
        let of_workers = self.workers.iter().map(|worker| worker.read * worker.read + worker.beside * worker.beside);
        let norm = (self.x * self.x + self.beside * self.beside + of_workers.sum::<f64>()).sqrt();
        if norm == 0.0 {
            return f64::NEG_INFINITY;
        }
        let scaled = |number: &mut f64| *number /= norm;
        [&mut self.x, &mut self.beside].into_iter().for_each(scaled);
        self.workers.iter_mut().flat_map(|worker| [&mut worker.read, &mut worker.beside]).for_each(scaled);
        norm.ln()
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
                // Less than the best gain: at the best, roots meet, and powers tell them apart slowly.
                let tuning = tune(rule, delay, 20.0, 0.8).unwrap();
                let exact = updates_per_efold(&tuning.rule, delay, tuning.gain, 20.0).unwrap();
                let run = with_a_slow_worker(&tuning.rule, delay, tuning.gain, 20.0, 1).unwrap();
                assert!((run / exact - 1.0).abs() < 0.02, "{rule:?} at delay {delay}: {run}, not {exact}");
            }
        }
    }

    #[test]
    fn what_diverges_has_no_rate() {
        let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
        assert_eq!(with_a_slow_worker(&sgd, 3, 1.0, 10.0, 10), None);
    }
}
