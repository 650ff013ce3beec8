//! Rules of Adam's kind as if their second moment stood still: what divides their steps, and the equation that is left.
//!
//! With P = diag(sqrt(v_hat) + epsilon) frozen, the update is linear: x -= lr P^-1 u, u the averaged gradient. Along an eigenvector
//! of P^-1 H it is that of a rule of SGD's kind whose gain is lr x eigenvalue. So thresholds are those of lr x
//! lambda_max(P^-1 H), the preconditioned sharpness (Cohen et al., *Adaptive gradient methods at the edge of stability*,
//! arXiv:2207.14484).
//!
//! Not here: the eigenvalue ([`crate::curvature::largest_preconditioned`]), nor how far the second moment of a training really
//! stands still.

use super::{Rule, RuleKind, heavy_ball_equation, nadam};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::Form;

/// How a stored second moment becomes the diagonal of P.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondMomentScale {
    /// `1 / (1 - beta2^t)` after t updates.
    pub bias_correction: f64,
    pub epsilon: f64,
}

impl SecondMomentScale {
    /// The diagonal of P^-1/2, from second moments that are 0 or more.
    pub fn inverse_root(&self, second_moment: &[f64]) -> Vec<f64> {
        let Self { bias_correction, epsilon } = *self;
        second_moment.iter().map(|v| ((bias_correction * v).sqrt() + epsilon).sqrt().recip()).collect()
    }
}

impl Rule {
    /// Whether the root of a second moment divides its steps, parameter by parameter.
    pub fn is_preconditioned(&self) -> bool {
        matches!(self.probe().form, Form::Adam { .. })
    }

    /// Whether its weight decay acts on the server's weights at once instead of being part of the gradient.
    pub fn has_decoupled_decay(&self) -> bool {
        self.probe().decoupled_decay > 0.0
    }

    /// How its second moment divided the latest of `updates` updates; none before the first, and of rules without one.
    pub fn second_moment_scale(&self, updates: u64) -> Option<SecondMomentScale> {
        match self.coefficients_after(updates.checked_sub(1)?).form {
            Form::Adam { bias_correction, epsilon, .. } => Some(SecondMomentScale { bias_correction, epsilon }),
            _ => None,
        }
    }

    /// Its equation with the second moment frozen and its bias corrections over; the gain is lr x preconditioned curvature.
    /// `shrink` is what decoupled weight decay takes off the weights at every update, lr x weight decay; it is left aside where
    /// the decay is part of the gradient. None for rules without a second moment, and for a beta1 that follows a schedule, which
    /// reaches its value after some ten thousand updates.
    ///
    /// - adam, adamw: v = m v + (1-m) g; x -= lr P^-1 v: `N = (1-m) z`, heavy-ball in EMA form
    /// - nadam, nadamw: v = m v + (1-m) g; x -= lr P^-1 (m v + (1-m) g): `N = (1-m) ((1+m) z - m)`, nesterov without dampening
    ///   at (1-m) times its learning rate
    /// - decoupled decay: `D = (z - 1 + shrink)(z-m) z^tau`
    pub fn frozen_equation(&self, law: &DelayLaw, shrink: f64) -> Option<Equation> {
        let m = self.momentum;
        let equation = match self.kind {
            RuleKind::Adam | RuleKind::AdamW => heavy_ball_equation(&Self { dampening: m, ..*self }, law),
            RuleKind::NAdam | RuleKind::NAdamW if !nadam::has_schedule(self) => {
                let numerator = [1.0 - m, (1.0 - m) * (1.0 + m)];
                Equation::new(law, Velocity::Server { momentum: m }, numerator)
            }
            _ => return None,
        };
        let equation = self.modifiers.equation(equation)?;
        Some(Equation { shrink: if self.has_decoupled_decay() { shrink } else { 0.0 }, ..equation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleSpec;
    use crate::theory::{Criterion, dominant_root, threshold};
    use crate::update::UpdateCoefficients;

    fn rule(text: &str, momentum: f64) -> Rule {
        text.parse::<RuleSpec>().unwrap().with(momentum, momentum)
    }

    /// Largest modulus that x and v reach under the rule's own coefficients on one direction of curvature 1, its second moment
    /// frozen: the growth over many steps, from numbers alone.
    fn grows(rule: &Rule, delay: usize, lr: f64, shrink: f64) -> bool {
        let UpdateCoefficients {
            momentum,
            gradient_to_velocity,
            gradient_to_weights,
            velocity_to_weights,
            decoupled_decay,
            ..
        } = rule.coefficients_after(1 << 40);
        let mut past = vec![1.0; delay + 1];
        let (mut x, mut v) = (1.0, 0.0);
        let size = |past: &[f64], v: f64| past.iter().fold(f64::abs(v), |most, x| most.max(x.abs()));
        let steps = 20_000;
        let (mut logs, mut middle) = (0.0, 0.0);
        for step in 0..steps {
            let g = past[step % (delay + 1)];
            v = momentum * v + gradient_to_velocity * g;
            x -= shrink * decoupled_decay * x + lr * (gradient_to_weights * g + velocity_to_weights * v);
            past[step % (delay + 1)] = x;
            if step % 100 == 99 {
                let now = size(&past, v);
                past.iter_mut().for_each(|x| *x /= now);
                (x, v, logs) = (x / now, v / now, logs + now.ln());
            }
            if step == steps / 2 {
                middle = logs;
            }
        }
        logs > middle
    }

    #[test]
    fn thresholds_lie_where_the_rules_own_updates_begin_to_grow() {
        for name in ["adam", "adamw", "nadam", "nadamw"] {
            for (momentum, delay, shrink) in
                [(0.0, 0, 0.0), (0.9, 0, 0.03), (0.9, 1, 0.0), (0.95, 3, 0.03), (0.5, 8, 0.1)]
            {
                let rule = rule(name, momentum);
                let equation = rule.frozen_equation(&DelayLaw::Fixed(delay), shrink).unwrap();
                let gain = threshold(&equation, Criterion::Mean).unwrap().gain;
                let ends = [0.995, 1.005].map(|factor| grows(&rule, delay, factor * gain, shrink));
                assert_eq!(ends, [false, true], "{name} at beta1 {momentum}, delay {delay}, shrink {shrink}: {gain}");
            }
        }
    }

    #[test]
    fn one_late_update_takes_adam_from_38_to_1() {
        let gain = |name: &str, delay: usize| {
            let equation = rule(name, 0.9).frozen_equation(&DelayLaw::Fixed(delay), 0.0).unwrap();
            threshold(&equation, Criterion::Mean).unwrap().gain
        };
        // 2 (1+m)/(1-m) and (1-m)/(1-m); those of nesterov without dampening over 1-m.
        for (name, delay, expected) in [("adam", 0, 38.0), ("adam", 1, 1.0), ("nadam", 0, 3.8 / 2.8 / 0.1)] {
            assert!(
                (gain(name, delay) / expected - 1.0).abs() < 1e-9,
                "{name} at delay {delay}: {}",
                gain(name, delay)
            );
        }
        let nesterov = Rule::new(RuleKind::Nesterov, 0.9, 0.0);
        for delay in 0..9 {
            let ahead = nesterov.threshold(&DelayLaw::Fixed(delay), Criterion::Mean).unwrap().gain;
            assert!((gain("nadam", delay) * 0.1 / ahead - 1.0).abs() < 1e-9);
        }
    }

    /// Oracle: eigenvalues of the companion matrix of (z - 1 + c)(z - m) z^(tau+1) + K (1-m) ((1+m) z - m) ((1+A) z - A), written out.
    #[test]
    fn an_extrapolated_look_ahead_has_a_root_on_the_unit_circle_at_its_threshold() {
        let times = |a: &[f64], b: &[f64]| {
            let mut product = vec![0.0; a.len() + b.len() - 1];
            a.iter().enumerate().for_each(|(i, a)| b.iter().enumerate().for_each(|(j, b)| product[i + j] += a * b));
            product
        };
        for (name, m, ahead, delay, shrink) in [
            ("nadam", 0.9, 1.0, 0, 0.0),
            ("nadam", 0.9, 1.0, 1, 0.0),
            ("nadam", 0.95, 2.0, 4, 0.0),
            ("nadamw", 0.9, 0.5, 8, 0.02),
            ("nadam", 0.0, 1.0, 2, 0.0),
        ] {
            let rule = rule(&format!("{name}+extrapolate={ahead}"), m);
            let equation = rule.frozen_equation(&DelayLaw::Fixed(delay), shrink).unwrap();
            let gain = threshold(&equation, Criterion::Mean).unwrap().gain;
            // Coefficients from the lowest power on.
            let free = times(&times(&[shrink - 1.0, 1.0], &[-m, 1.0]), &[vec![0.0; delay + 1], vec![1.0]].concat());
            let driven = times(&[-m * (1.0 - m), (1.0 - m) * (1.0 + m)], &[-ahead, 1.0 + ahead]);
            let largest = |gain: f64| {
                let degree = free.len() - 1;
                let coefficient = |power: usize| free[power] + gain * driven.get(power).copied().unwrap_or(0.0);
                let leading = coefficient(degree);
                let companion = nalgebra::DMatrix::from_fn(degree, degree, |i, j| match (i, j) {
                    (0, j) => -coefficient(degree - 1 - j) / leading,
                    (i, j) => f64::from(i == j + 1),
                });
                companion.complex_eigenvalues().iter().fold(0.0_f64, |largest, root| largest.max(root.norm()))
            };
            for factor in [0.2, 0.9, 0.9999] {
                assert!(largest(factor * gain) < 1.0, "{name} at {m}, {ahead}, {delay}, {factor} of {gain}");
            }
            assert!(largest(1.0001 * gain) > 1.0, "{name} at {m}, {ahead}, {delay}: {gain}");
            let rate = dominant_root(&equation, 0.7 * gain).unwrap().rate;
            assert!((rate - largest(0.7 * gain).ln()).abs() < 1e-9, "{name} at {m}, {ahead}, {delay}: {rate}");
        }
    }

    #[test]
    fn rules_without_a_second_moment_or_with_a_schedule_have_none() {
        let law = DelayLaw::Fixed(1);
        for name in ["sgd", "lion", "signum", "gap-aware", "dc-asgd-adaptive", "nadam:torch", "nadamw:torch"] {
            assert!(rule(name, 0.9).frozen_equation(&law, 0.0).is_none(), "{name}");
        }
        assert!(rule("nadam", 0.0).frozen_equation(&law, 0.0).is_some());
        assert!(rule("nadam:torch", 0.9).is_preconditioned() && !rule("gap-aware", 0.9).is_preconditioned());
    }

    #[test]
    fn the_scale_is_that_of_the_latest_update() {
        let rule = rule("adam:0.9", 0.9);
        assert_eq!(rule.second_moment_scale(0), None);
        let scale = rule.second_moment_scale(2).unwrap();
        assert!((scale.bias_correction * (1.0 - 0.81) - 1.0).abs() < 1e-12);
        let root = scale.inverse_root(&[0.19, 0.0]);
        assert!((root[0] - 1.0).abs() < 1e-7 && (root[1] - 1e4).abs() < 1e-6, "{root:?}");
        assert_eq!(Rule::SGD.second_moment_scale(5), None);
    }

    #[test]
    fn growth_rates_know_the_decay_too() {
        // Without a gradient's delay and momentum: z = 1 - shrink - K.
        let equation = rule("adamw", 0.0).frozen_equation(&DelayLaw::Fixed(0), 0.1).unwrap();
        let rate = dominant_root(&equation, 0.5).unwrap().rate;
        assert!((rate - 0.4_f64.ln()).abs() < 1e-9, "{rate}");
    }
}
