//! Outer loops: workers that make local steps, and send how far they came instead of a gradient.
//!
//! *What it is:* how one round of local gradient descent acts on a direction of curvature, as coefficients of the outer rule's
//! [`Equation`]. *What it is not:* an outer rule, which states its equation itself; nor a statement about local steps of
//! another rule than plain gradient descent on the full batch, for which it is a guide.
//!
//! **Coverage.** From weights `x` at the distance 1 from the minimum, `H` steps of gradient descent with the learning rate `eta`
//! along a curvature `l` come to the distance `r^H`, `r = 1 - eta l`. The difference that is sent, `x - x_H`, is
//! `rho = 1 - r^H` of the way: the *coverage*. So the outer rule sees the curvature `rho`, and is stable where its learning rate
//! times `rho` is below its own threshold gain `K*`, at the delay at which differences arrive, counted in rounds.
//!
//! **Fresh share.** A server that applies `F g(x[t]) + (1-F) g(x[t-tau])` multiplies `N` by `F z^tau + (1-F)`
//! ([`Equation::ages`]). With `F = 1/M` it is the eager update of one of `M` replicas. Where `F` is at least a half no delay lowers
//! sgd's threshold below 2: `|1 - K F| + K (1-F) < 1` for `K < 2` there.
//!
//! **Overlap.** Local steps go on while the result of the round before is on its way, and it comes `V` of `H` steps late. Then the
//! local weights keep the share `A` of themselves and take the rest from the server. With `x` the server's weights, `w` the local
//! ones at the end of a round, `R = r^H` and `s = r^(H-V)`, one round is
//!
//! ```text
//! x' = x - lr C (x - w),   w' = A R w + (1-A) s x'
//! ```
//!
//! with `C` what the outer rule does with a difference. So `x - w = x ((1 - (1-A) s) z - A R) / (z - A R)`: the outer rule's `N` is
//! multiplied by `u z - A R` with `u = 1 - (1-A) s`, its `D` by `z - A R` ([`Lag`]). At `A = 0` that is the outer rule without
//! delay at the coverage `1 - r^(H-V)`.

use super::equation::Lag;
use super::{Criterion, Equation, TheoryError, threshold};

/// Local gradient descent of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Local steps `H`.
    pub steps: u64,
    /// Steps `V`, of these, that the result of the round before comes late.
    pub overlap: u64,
    /// Share `A` that the local weights then keep of themselves.
    pub weight: f64,
}

impl Round {
    /// `H` steps from the weights that were read.
    pub fn plain(steps: u64) -> Self {
        Self { steps, overlap: 0, weight: 0.0 }
    }

    /// The outer learning rate up to which `equation`, at the delay of its law in rounds, is stable along a direction where the
    /// local learning rate times the curvature is `local_gain`.
    ///
    /// # Errors
    /// A local gain outside (0, 2), at which local steps diverge themselves, or an equation without a threshold.
    pub fn limit(&self, equation: &Equation, criterion: Criterion, local_gain: f64) -> Result<f64, TheoryError> {
        let covered = self.coverage(local_gain)?;
        let Some(lag) = self.lag(local_gain)? else {
            return TheoryError::in_range(threshold(equation, criterion)?.gain / covered);
        };
        if !equation.law.is_fixed() || equation.fixed_delay()? != 0 {
            return Err(TheoryError::unsupported("an overlap of rounds", &equation.law));
        }
        Ok(threshold(&Equation { lag: Some(lag), ..equation.clone() }, criterion)?.gain)
    }

    /// Share of the way to the minimum that a round's difference covers, with the overlap in it.
    ///
    /// # Errors
    /// A local gain outside (0, 2).
    pub fn coverage(&self, local_gain: f64) -> Result<f64, TheoryError> {
        if !(local_gain > 0.0 && local_gain < 2.0) {
            return Err(TheoryError::LocalGain(local_gain));
        }
        Ok(match self.overlap {
            0 => coverage(local_gain, self.steps),
            // What is left of the steps after the result came.
            late if self.weight == 0.0 => coverage(local_gain, self.steps.saturating_sub(late)),
            _ => coverage(local_gain, self.steps),
        })
    }

    /// None where rounds do not overlap, or the local weights keep nothing of themselves.
    fn lag(&self, local_gain: f64) -> Result<Option<Lag>, TheoryError> {
        if self.overlap == 0 || self.weight == 0.0 {
            return Ok(None);
        }
        let left = |steps: u64| 1.0 - coverage(local_gain, steps);
        let kept = self.weight * left(self.steps);
        if kept < 0.0 {
            return Err(TheoryError::Unsupported(
                "an overlap of rounds whose local steps pass the minimum has no theory; accepted: a local gain up to 1"
                    .into(),
            ));
        }
        let seen = 1.0 - (1.0 - self.weight) * left(self.steps.saturating_sub(self.overlap));
        Ok(Some(Lag { kept, seen }))
    }
}

/// `1 - (1 - local_gain)^steps`.
fn coverage(local_gain: f64, steps: u64) -> f64 {
    if local_gain < 1.0 {
        return -(steps as f64 * (-local_gain).ln_1p()).exp_m1();
    }
    // Past the minimum at every step, and so on alternating sides.
    let left = ((local_gain - 1.0).ln() * steps as f64).exp();
    if steps.is_multiple_of(2) { 1.0 - left } else { 1.0 + left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{DelayLaw, Velocity};
    use nalgebra::DMatrix;

    fn nesterov(momentum: f64, delay: usize) -> Equation {
        let velocity = Velocity::Server { momentum };
        Equation::new(&DelayLaw::Fixed(delay), velocity, [1.0, 1.0 + momentum])
    }

    #[test]
    fn coverage_is_one_minus_the_power_of_the_contraction() {
        for (gain, steps) in [(1e-9f64, 1_000u64), (0.05, 30), (1.0, 3), (1.4, 4), (1.4, 5), (1.999, 1)] {
            let covered = Round::plain(steps).coverage(gain).unwrap();
            let expected = 1.0 - (1.0f64 - gain).powi(steps as i32);
            assert!((covered - expected).abs() <= 1e-7 * expected.abs().clamp(1e-9, 1.0), "{gain}, {steps}: {covered}");
        }
        assert!((Round::plain(1_000).coverage(1e-12).unwrap() / 1e-9 - 1.0).abs() < 1e-8, "no digits are lost");
        for gain in [0.0, -0.1, 2.0, f64::NAN] {
            assert!(matches!(Round::plain(3).coverage(gain), Err(TheoryError::LocalGain(_))), "{gain}");
        }
    }

    /// The published recipe (Nesterov, momentum .9, dampening 0) by stale rounds, and by replicas at one stale round.
    #[test]
    fn outer_thresholds_are_those_of_the_outer_rule() {
        let expected = [(0, 1.357), (1, 0.2531), (2, 0.0807), (3, 0.0464), (4, 0.0326), (8, 0.0154)];
        for (delay, gain) in expected {
            let found = threshold(&nesterov(0.9, delay), Criterion::Mean).unwrap().gain;
            assert!((found / gain - 1.0).abs() < 2e-3, "{delay}: {found}");
            let limit = Round::plain(30).limit(&nesterov(0.9, delay), Criterion::Mean, 0.05).unwrap();
            assert!((limit * Round::plain(30).coverage(0.05).unwrap() / found - 1.0).abs() < 1e-12);
        }
        for (replicas, gain) in [(1.0, 1.357), (2.0, 0.770), (4.0, 0.416), (8.0, 0.320), (16.0, 0.284), (64.0, 0.260)] {
            let share = 1.0 / replicas;
            let ages = vec![(0, share), (1, 1.0 - share)];
            let found = threshold(&Equation { ages, ..nesterov(0.9, 1) }, Criterion::Mean).unwrap().gain;
            assert!((found / gain - 1.0).abs() < 2e-3, "{replicas}: {found}");
        }
    }

    #[test]
    fn a_half_that_is_fresh_keeps_the_synchronous_threshold_of_sgd() {
        for (share, least, most) in [(0.5, 2.0, 2.0), (0.75, 2.0, 4.0), (0.49, 0.0, 2.0)] {
            for delay in [1, 2, 3, 8, 31] {
                let sgd = Equation::new(&DelayLaw::Fixed(delay), Velocity::None, [1.0, 0.0]);
                let found =
                    threshold(&Equation { ages: vec![(0, share), (delay, 1.0 - share)], ..sgd }, Criterion::Mean);
                // At an odd delay the late half cancels the fresh one where the sign turns at every update.
                let found = found.map_or(f64::INFINITY, |found| found.gain);
                assert!(found >= least - 1e-9 && (found <= most + 1e-9 || share >= 0.5), "{share}, {delay}: {found}");
            }
        }
    }

    /// The spectral radius of the 3 x 3 map of server weights, velocity and local weights, from the steps themselves.
    #[test]
    fn an_overlap_of_rounds_has_the_threshold_of_its_map() {
        let radius = |lr: f64, m: f64, gain: f64, round: Round| {
            let r = 1.0 - gain;
            let left = |steps: u64| r.powi(steps as i32);
            let (kept, fresh) =
                (round.weight * left(round.steps), (1.0 - round.weight) * left(round.steps - round.overlap));
            // v' = m v + (x - w); x' = x - lr ((x - w) + m v')
            let v = [1.0, m, -1.0];
            let x = [1.0 - lr * (1.0 + m * v[0]), -lr * m * v[1], lr - lr * m * v[2]];
            let w = [fresh * x[0], fresh * x[1], kept + fresh * x[2]];
            let map = DMatrix::from_row_slice(3, 3, &[x, v, w].concat());
            map.complex_eigenvalues().iter().map(|root| root.norm()).fold(0.0, f64::max)
        };
        for (m, gain, steps, overlap, weight) in [
            (0.9, 0.05, 30, 5, 0.5),
            (0.9, 0.01, 10, 1, 0.25),
            (0.5, 0.3, 4, 3, 0.9),
            (0.0, 0.1, 8, 4, 0.5),
            (0.9, 0.05, 30, 5, 0.0),
        ] {
            let round = Round { steps, overlap, weight };
            let limit = round.limit(&nesterov(m, 0), Criterion::Mean, gain).unwrap();
            let [below, above] = [0.999, 1.001].map(|factor| radius(factor * limit, m, gain, round));
            assert!(below < 1.0 && above > 1.0, "{m}, {gain}, {round:?}: {limit}, {below}, {above}");
        }
    }
}
