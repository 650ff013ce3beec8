//! How fast a tuned rule still is where what it was tuned for is not so.
//!
//! Another delay and other curvatures are answered by the roots ([`super::updates_per_efold`]). Workers of different speed are not:
//! their delays come in a period, over which the state grows by a matrix; its spectral radius is the answer.

use super::rule::LinearRule;
use super::run::Run;
use crate::theory::periodic::grows_by;
use rayon::prelude::*;

/// Curvatures at which a period of unequal workers is taken.
const CURVATURES: usize = 40;

/// Updates per e-fold of the slowest direction with `delay + 1` workers of which one takes `slowness` times as long as the others;
/// none where one does not decay.
pub fn with_a_slow_worker(rule: &LinearRule, delay: usize, gain: f64, condition: f64, slowness: usize) -> Option<f64> {
    let growth = |index: usize| {
        let curvature = condition.powf(-(index as f64) / (CURVATURES - 1) as f64);
        // All workers but the first report so many times in turn, then the first.
        let period = |run: &mut Run| {
            for _ in 0..slowness {
                (1..=delay).for_each(|worker| run.report(worker, worker));
            }
            run.report(0, 0);
        };
        grows_by(Run::new(*rule, delay + 1, gain * curvature).map_of(period))
    };
    let slowest = (0..CURVATURES).into_par_iter().map(growth).reduce(|| f64::NEG_INFINITY, f64::max);
    // The others report once in each unit of time.
    let rate = -slowest / (delay * slowness + 1) as f64;
    (rate > 0.0).then(|| 1.0 / rate)
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

    /// As the share vanishes, mixing without momentum is sgd whose learning rate is the product of both.
    #[test]
    fn a_tiny_share_without_momentum_is_as_fast_as_sgd() {
        let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
        let mixing = LinearRule::Mixing { momentum: 0.0, share: 1e-7 };
        let expected = with_a_slow_worker(&sgd, 3, 0.1, 20.0, 3).unwrap();
        let found = with_a_slow_worker(&mixing, 3, 0.1 / 1e-7, 20.0, 3).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-3, "{found}, not {expected}");
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
