//! What may be put around any rule: another epsilon, an extrapolated update, a limit to the gradient's length. Typed behind the
//! rule's name, `adam+eps=1e-6+extrapolate=1`, so that every table that names the rule names them.
//!
//! With u(t) the update that the rule makes of its t-th gradient, `extrapolate=A` moves the weights that workers read by
//! (1+A) u(t) - A u(t-1): x(t+1) = y(t+1) + A (y(t+1) - y(t)) where y are the weights that the rule alone would have, so that a
//! server keeps y and publishes x. A decoupled weight decay of y is one of x. N(z) is multiplied by ((1+A) z - A) / z.
//!
//! Not here: the rules ([`super`]), nor the arithmetic ([`crate::kernels::step`], [`crate::kernels::finish`]).

use super::{Arrival, Rule, RuleKind};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::{Form, UpdateCoefficients};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Changes to a rule; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Modifiers {
    /// Epsilon of Adam and its kin, 0 or more; 1e-8 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// A, above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extrapolate: Option<f64>,
    /// Largest norm of a gradient, above 0; a longer one is shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Learning rate of the parameters that muon moves by AdamW, 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adam_lr: Option<f64>,
}

impl Modifiers {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Reads what stands behind a rule's name, without the first `+`.
    ///
    /// # Errors
    /// A name that is none, one that stands twice, or a number out of its range.
    pub fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut modifiers = Self::default();
        for text in texts {
            let accepted = || {
                format!(
                    "'+{text}'; accepted: +eps=E (0 or more), +extrapolate=A (0 to 10000), +clip=C (above 0), \
                     +adam-lr=ETA (0 or more), each once"
                )
            };
            let (name, number) = text.split_once('=').ok_or_else(accepted)?;
            let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(accepted)?;
            let (place, is_accepted) = match name {
                "eps" => (&mut modifiers.eps, number >= 0.0),
                "extrapolate" => (&mut modifiers.extrapolate, (0.0..=1e4).contains(&number)),
                "clip" => (&mut modifiers.clip, number > 0.0),
                "adam-lr" => (&mut modifiers.adam_lr, number >= 0.0),
                _ => return Err(accepted()),
            };
            if !is_accepted || place.replace(number).is_some() {
                return Err(accepted());
            }
        }
        // No extrapolation.
        modifiers.extrapolate = modifiers.extrapolate.filter(|ahead| *ahead > 0.0);
        Ok(modifiers)
    }

    /// Whether they have a meaning around this rule.
    ///
    /// # Errors
    /// Where they have not.
    pub fn suit(&self, kind: RuleKind) -> Result<(), String> {
        // With a momentum: the look-ahead of some rules is as long as it is large.
        let rule = Rule::new(kind, 0.5, 0.5);
        let bare = rule.probe();
        let late = Arrival { age: 4, updates: 9, workers: 5, mean_delay: 4.0, undamped: false, state_steps: 0.0 };
        let reads_ahead = rule.reads_ahead() || rule.act(&late, &mut 0).coefficients.lookahead != 0.0;
        if let Some(eps) = self.eps
            && !matches!(bare.form, Form::Adam { .. } | Form::MixingAdam { .. })
        {
            return Err(format!(
                "'+eps={eps}': {kind} has no epsilon; accepted: with adam, adamw, nadam, nadamw, mixing-adam, mixing-adamw"
            ));
        }
        if let Some(ahead) = self.extrapolate {
            let is_plain = matches!(bare.form, Form::Linear | Form::Adam { .. } | Form::Sign | Form::Spectral { .. });
            if !is_plain || reads_ahead || rule.counts() {
                return Err(format!(
                    "'+extrapolate={ahead}': {kind} reads other weights than the server's, or uses their distance, or does not \
                     move at each gradient; accepted: with sgd, heavy-ball, nesterov, shifted, adam, lion, ..."
                ));
            }
        }
        if let (Some(adam_lr), None) = (self.adam_lr, rule.companion()) {
            return Err(format!("'+adam-lr={adam_lr}': {kind} moves all parameters alike; accepted: with muon"));
        }
        if let Some(clip) = self.clip
            && (bare.clip_norm.is_some() || rule.counts())
        {
            return Err(format!(
                "'+clip={clip}': {kind} has a limit of its own, or collects gradients; accepted: with sgd, heavy-ball, adam, \
                 adamw, lion, ..."
            ));
        }
        Ok(())
    }

    /// Epsilon as it is computed with: 0 is the smallest normal number of f32, so that a parameter without any gradient, as vectors have
    /// them where they are padded, stays where it is instead of moving by 0 / 0.
    fn epsilon(&self) -> f64 {
        self.eps.unwrap_or_default().max(f64::from(f32::MIN_POSITIVE))
    }

    /// What they make of an update.
    pub(super) fn change(&self, coefficients: UpdateCoefficients) -> UpdateCoefficients {
        let form = match (coefficients.form, self.eps) {
            (Form::Adam { second_moment_decay, bias_correction, .. }, Some(_)) => {
                Form::Adam { second_moment_decay, bias_correction, epsilon: self.epsilon() }
            }
            (Form::MixingAdam { share, second_moment_decay, bias_correction, .. }, Some(_)) => {
                Form::MixingAdam { share, second_moment_decay, bias_correction, epsilon: self.epsilon() }
            }
            (form, _) => form,
        };
        UpdateCoefficients {
            form,
            lookahead: self.extrapolate.unwrap_or(coefficients.lookahead),
            clip_norm: self.clip.or(coefficients.clip_norm),
            ..coefficients
        }
    }

    /// The rule's equation with them, where it is one that is known. A limit to the gradient does not touch small displacements.
    pub(super) fn equation(&self, bare: Equation) -> Option<Equation> {
        let Some(ahead) = self.extrapolate else { return Some(bare) };
        let [slow, fast] = bare.numerator;
        // D is multiplied by z, and N = n0 + n1 (z-1) by 1 + (1+A)(z-1), which makes
        // z (n0 + (n1 + A n0)(z-1)) + A (n1 - n0) (z-1)^2: a bend, but where N is a multiple of z, which cancels the z of D.
        let (velocity, bend) = match bare.velocity {
            Velocity::None if fast == 0.0 => (Velocity::Server { momentum: 0.0 }, 0.0),
            velocity @ (Velocity::Server { .. } | Velocity::Worker { .. }) => (velocity, ahead * (fast - slow)),
            Velocity::None => return None,
        };
        let is_plain = bare.decay_numerator.is_none()
            && bare.bend == 0.0
            && bare.share.is_none()
            && (bare.divisor.is_none() || bend == 0.0)
            && bare.ages.is_empty()
            && bare.lag.is_none()
            && bare.momentum_every.is_none();
        let fast = if bare.velocity == Velocity::None { slow } else { fast };
        (is_plain && matches!(bare.law, DelayLaw::Fixed(_))).then_some(Equation {
            velocity,
            numerator: [slow, fast + slow * ahead],
            bend,
            // As for weight prediction: a decay acts on the weights that are there.
            decay_numerator: Some([slow, fast]),
            ..bare
        })
    }
}

impl fmt::Display for Modifiers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let named =
            [("eps", self.eps), ("extrapolate", self.extrapolate), ("clip", self.clip), ("adam-lr", self.adam_lr)];
        named
            .into_iter()
            .try_for_each(|(name, number)| number.map_or(Ok(()), |number| write!(f, "+{name}={}", typed(number))))
    }
}

/// A number as a person types it: 1e-6, but 1 and 0.05.
fn typed(number: f64) -> String {
    let (long, short) = (number.to_string(), format!("{number:e}"));
    if short.len() < long.len() { short } else { long }
}

#[cfg(test)]
mod tests {
    use crate::rule::{Rule, RuleSpec};
    use crate::theory::{Criterion, DelayLaw};

    fn rule(text: &str, momentum: f64) -> Rule {
        text.parse::<RuleSpec>().unwrap().with(momentum, momentum)
    }

    #[test]
    fn names_are_read_back_and_what_has_no_meaning_is_refused() {
        for text in [
            "adam:0.9+eps=1e-6+extrapolate=1",
            "adamw:0.999+clip=0.5",
            "nadam:torch+eps=0",
            "heavy-ball+extrapolate=0.05",
            "muon:rms+clip=1+adam-lr=1e-3",
        ] {
            let spec: RuleSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
            assert_eq!(spec.with(0.9, 0.9).name(), text);
        }
        assert_eq!("sgd+extrapolate=0".parse::<RuleSpec>().unwrap().to_string(), "sgd");
        let wrong = [
            "sgd+eps=1e-8",
            "adam+eps=-1",
            "adam+eps=nan",
            "adam+eps",
            "sgd+clip=0",
            "clipped+clip=1",
            "buffer:2+clip=1",
            "adam+clip=inf",
            "sgd+clip=1+clip=2",
            "mixing+extrapolate=1",
            "rennala+extrapolate=1",
            "weight-prediction+extrapolate=1",
            "delayed-nesterov+extrapolate=1",
            "sgd+extrapolate=-1",
            "sgd+zoom=2",
            "adamw+adam-lr=1e-3",
            "muon+eps=1e-8",
            "muon:0.2",
        ];
        for text in wrong {
            let error = text.parse::<RuleSpec>().unwrap_err();
            assert!(error.contains("accepted:"), "{text}: {error}");
        }
    }

    /// Oracle: the largest root of D(z) + K N(z), found by simultaneous iteration over its written-out polynomial, crosses 1 there.
    #[test]
    fn one_late_step_of_extrapolated_rules_has_these_thresholds() {
        let cases = [("sgd", 0.0, 0.618_033_988_75), ("heavy-ball", 0.9, 2.701_562_118_72), ("heavy-ball", 0.95, 4.0)];
        for (name, momentum, expected) in cases {
            let gain = |text: &str| {
                let law = DelayLaw::Fixed(1);
                rule(text, momentum).threshold(&law, Criterion::Mean).unwrap().gain
            };
            let (bare, seen) = (gain(name), gain(&format!("{name}+extrapolate=1")));
            assert!((bare - 1.0).abs() < 1e-12, "{name} {momentum}: {bare}");
            assert!((seen / expected - 1.0).abs() < 1e-10, "{name} {momentum}: {seen}");
        }
    }

    /// Oracle: the recursion of x itself over a plain list, with u(t) and u(t-1), on a quadratic.
    #[test]
    fn extrapolated_thresholds_are_where_the_plain_recursion_begins_to_grow() {
        let grows = |name: &str, gain: f64, momentum: f64, ahead: f64, delay: usize| {
            let (shifted, looks_ahead) = (name == "shifted", matches!(name, "nesterov" | "nadam"));
            let (mut xs, mut vs, mut before) = (vec![1.0_f64], vec![0.0_f64], 0.0);
            for t in 0..20_000_usize {
                // One velocity for each worker comes back with its gradient.
                let kept = if shifted { (t + 1).saturating_sub(delay + 1) } else { t };
                let seen = xs[t.saturating_sub(delay)];
                let v = momentum * vs[kept] + (1.0 - momentum) * seen;
                vs.push(v);
                // The second moment of nadam stands still; nesterov takes the whole gradient beside m v.
                let own = if name == "nadam" { (1.0 - momentum) * seen } else { seen };
                let update = if looks_ahead { own + momentum * v } else { v };
                xs.push(xs[t] - gain * ((1.0 + ahead) * update - ahead * before));
                before = update;
                if xs[t + 1].abs() > 1e100 {
                    return true;
                }
            }
            let largest = |range: &[f64]| range.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            largest(&xs[19_000..]) > largest(&xs[1_000..2_000])
        };
        for (name, momentum, ahead, delay) in [
            ("sgd", 0.0, 1.0, 1),
            ("heavy-ball", 0.9, 1.0, 1),
            ("heavy-ball", 0.95, 1.0, 1),
            ("heavy-ball", 0.9, 0.5, 4),
            ("sgd", 0.0, 0.3, 0),
            ("shifted", 0.9, 1.0, 2),
            ("nesterov", 0.9, 1.0, 1),
            ("nesterov", 0.5, 0.5, 3),
            ("nesterov", 0.0, 1.0, 2),
            ("nadam", 0.9, 1.0, 1),
            ("nadam", 0.95, 2.0, 4),
            ("nadam", 0.9, 0.3, 0),
        ] {
            let rule = rule(&format!("{name}+extrapolate={ahead}"), momentum);
            let gain = rule.threshold(&DelayLaw::Fixed(delay), Criterion::Mean).unwrap().gain;
            assert!(!grows(name, gain * 0.995, momentum, ahead, delay), "{name} {momentum} {ahead} {delay}: {gain}");
            assert!(grows(name, gain * 1.005, momentum, ahead, delay), "{name} {momentum} {ahead} {delay}: {gain}");
        }
    }
}
