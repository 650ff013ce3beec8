//! Update rules: what the server does with a gradient that arrives late.
//!
//! A rule is one file: a [`Definition`] with its formula and source in the doc, its update, and its characteristic equation
//! where it has one. It is listed once in the registry below, where flags, engines, tests, theory and advice find it. With
//! momentum m and dampening d in PyTorch's conventions, its whole effect on a step is a set of [`UpdateCoefficients`], whose
//! arithmetic stands in [`crate::kernels::step`] and [`crate::kernels::finish`]; rules differ in the numbers, which may depend
//! on the age of the gradient that arrives.
//!
//! Not here: which worker reports when ([`crate::delay`]), nor how the two become the steps of a run ([`steps`]).

mod advise;
mod frozen;
mod modifiers;
pub mod regime;
mod spec;
pub mod steps;

pub use modifiers::Modifiers;

pub use advise::{
    Advice, AdviceDelays, Choice, ChoiceKind, KnownRule, Question, Setting, ThresholdSource, advise, by_theory,
};
pub use frozen::SecondMomentScale;
pub use spec::{RuleNumber, RuleSpec, SecondNumber};

use crate::theory::{self, Criterion, DAMPENINGS, DelayLaw, Equation, MOMENTA, TheoryError, Threshold, Velocity};
use crate::update::{Form, UpdateCoefficients};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use strum::IntoEnumIterator;

macro_rules! registry {
    ($($kind:ident => $module:ident,)*) => {
        $(mod $module;)*

        /// The family of update rules, in the order in which help texts list them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
        pub enum RuleKind {
            $($kind,)*
            /// A rule of a program that uses this crate: not in the list, and not to be typed as a flag.
            #[strum(disabled)]
            Own(&'static Definition),
        }

        impl RuleKind {
            pub fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$kind => &$module::DEFINITION,)*
                    Self::Own(definition) => definition,
                }
            }
        }
    };
}

registry! {
    Sgd => sgd,
    HeavyBall => heavy_ball,
    Nesterov => nesterov,
    Shifted => shifted,
    DelayedNesterov => delayed_nesterov,
    NesterovEvery => nesterov_every,
    WeightPrediction => weight_prediction,
    SecondPrediction => second_prediction,
    Mixing => mixing,
    MixingAdam => mixing_adam,
    MixingAdamW => mixing_adamw,
    StalenessScaled => staleness_scaled,
    DelayAdaptive => delay_adaptive,
    GapAware => gap_aware,
    DcAsgd => dc_asgd,
    DcAsgdAdaptive => dc_asgd_adaptive,
    DcAsgdExact => dc_asgd_exact,
    Clipped => clipped,
    Ringmaster => ringmaster,
    Rennala => rennala,
    Buffer => buffer,
    OrMo => ormo,
    Adam => adam,
    AdamW => adamw,
    NAdam => nadam,
    NAdamW => nadamw,
    Lion => lion,
    Signum => signum,
    Muon => muon,
}

/// All that the rest of the program knows of a rule.
#[derive(Debug)]
pub struct Definition {
    /// As flags and CSV columns write it.
    pub name: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// The number that may follow the name (`ringmaster:4`), where the rule has one.
    pub number: Option<RuleNumber>,
    /// Whether `--momentum` and `--dampening` apply, and what is compared where they are not given.
    pub momentum: Option<MomentumDefaults>,
    /// Whether it distinguishes workers, so that it has no meaning where delays do not come from any.
    pub workers: bool,
    /// Whether every worker keeps a velocity of its own, with its slot.
    pub slot_velocity: bool,
    /// What the server does with a gradient. It depends on the rule, on the [`Arrival`] and on a number that the rule may
    /// keep from step to step, 0 at first.
    pub update: fn(&Rule, &Arrival, &mut u64) -> Action,
    pub locality: Locality,
    /// Its characteristic equation under a law of delays, where it has one.
    pub equation: fn(&Rule, &DelayLaw) -> Option<Equation>,
    /// Its threshold gain in the mean at a delay of 0, where a closed form is known.
    pub synchronous_gain: Option<fn(&Rule) -> f64>,
}

/// The momentum that a rule is compared at where none is asked for, and its dampenings.
#[derive(Clone, Copy, Debug)]
pub struct MomentumDefaults {
    pub momentum: f64,
    pub dampenings: &'static [Dampening],
}

/// Dampening: a number, or `ema` for the value of the momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dampening {
    Ema,
    Value(f64),
}

impl Dampening {
    /// The number it means beside this momentum.
    pub fn beside(self, momentum: f64) -> f64 {
        match self {
            Self::Ema => momentum,
            Self::Value(dampening) => dampening,
        }
    }
}

/// How a rule acts on a small displacement from a minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// Doubling the displacement doubles what follows: it grows or decays at a rate.
    Scales,
    /// As [`Self::Scales`], where the Hessian is diagonal (quadratics by their eigenvalues).
    ScalesWithHessian,
    /// Steps do not shrink with the displacement: no run comes to rest, and there is no growth rate.
    Restless,
}

/// A gradient that arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Updates made since its weights were read.
    pub age: u64,
    /// Updates made so far.
    pub updates: u64,
    /// Workers; slots where there are none.
    pub workers: u32,
    /// Mean delay of the process, updates.
    pub mean_delay: f64,
    /// Whether it is the first of its velocity and enters it undamped, as in PyTorch, where the first momentum buffer is the
    /// gradient itself. A worker's velocity has a first gradient of its own.
    pub undamped: bool,
    /// Steps behind the state that was read, where a rule mixes states: mixed as they are, so that it is seldom a whole number.
    pub state_steps: f64,
}

/// What the server does with a gradient that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// At learning rate 1; `lr` and `decay` are filled in by the [`steps`].
    pub coefficients: UpdateCoefficients,
    /// Whether the server's weights move: ages count such steps only.
    pub moves_weights: bool,
}

impl Action {
    pub fn update(coefficients: UpdateCoefficients) -> Self {
        Self { coefficients: UpdateCoefficients { lr: 1.0, ..coefficients }, moves_weights: true }
    }

    /// The gradient is thrown away, and the worker goes on from the server's present weights.
    pub fn drop() -> Self {
        Self {
            coefficients: UpdateCoefficients { momentum: 1.0, ..UpdateCoefficients::default() },
            moves_weights: false,
        }
    }
}

/// An update rule with its numbers. Momentum and dampening are 0 where the rule has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(with = "text")]
    pub kind: RuleKind,
    pub momentum: f64,
    pub dampening: f64,
    /// The rule's own number, where it has one. None also where the usual one is a word.
    pub number: Option<f64>,
    /// The second one, where it has two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_number: Option<f64>,
    /// What is put around it.
    #[serde(default, skip_serializing_if = "Modifiers::is_none")]
    pub modifiers: Modifiers,
}

impl Rule {
    pub const SGD: Self = Self {
        kind: RuleKind::Sgd,
        momentum: 0.0,
        dampening: 0.0,
        number: None,
        second_number: None,
        modifiers: Modifiers { eps: None, extrapolate: None, clip: None, adam_lr: None },
    };

    /// What the server does with a gradient that arrived, as [`Definition::update`] with what is put around the rule.
    pub fn act(&self, arrival: &Arrival, tally: &mut u64) -> Action {
        let Action { coefficients, moves_weights } = (self.definition().update)(self, arrival, tally);
        Action { coefficients: self.modifiers.change(coefficients), moves_weights }
    }

    /// With the rule's usual number, if it has one.
    pub fn new(kind: RuleKind, momentum: f64, dampening: f64) -> Self {
        RuleSpec::from(kind).with(momentum, dampening)
    }

    pub fn definition(&self) -> &'static Definition {
        self.kind.definition()
    }

    /// Name and number, as typed.
    pub fn name(&self) -> String {
        let Self { kind, number, second_number, modifiers, .. } = *self;
        RuleSpec { kind, number, second_number, modifiers }.to_string()
    }

    fn number(&self) -> f64 {
        let usual = || self.definition().number.map(|own| own.usual);
        self.number.or_else(usual).expect("a rule asks for a number only where its definition has one")
    }

    /// v = m v + (1-d) g; x -= lr v: what most rules start from.
    fn heavy_ball(&self, arrival: &Arrival) -> UpdateCoefficients {
        UpdateCoefficients {
            momentum: self.momentum,
            gradient_to_velocity: if arrival.undamped { 1.0 } else { 1.0 - self.dampening },
            velocity_to_weights: 1.0,
            ..UpdateCoefficients::default()
        }
    }

    /// Whether it keeps a second moment of every parameter.
    pub fn has_second_moment(&self) -> bool {
        self.probe().form.has_second_moment() || self.companion().is_some()
    }

    /// The rule of all parameters but hidden matrices, and its learning rate, where this one moves such matrices as wholes.
    pub fn companion(&self) -> Option<(Self, f64)> {
        matches!(self.probe().form, Form::Spectral { .. }).then(|| muon::companion(self))
    }

    /// Whether [`Modifiers::eps`] has a meaning around it.
    pub fn has_epsilon(&self) -> bool {
        matches!(self.probe().form, Form::Adam { .. } | Form::MixingAdam { .. })
    }

    /// Whether every slot keeps a second moment.
    pub fn has_slot_second_moment(&self) -> bool {
        self.definition().slot_velocity && self.has_second_moment()
    }

    /// Whether gradients are gone over before they are applied, at any age.
    pub fn wants_finish(&self) -> bool {
        self.probe().wants_finish()
    }

    /// How far a constant gradient moves the weights for each gradient that arrives, per unit of learning rate, where the
    /// rule has this equation. None where that depends on the size of the gradient: such a rule has no effective learning
    /// rate.
    pub fn effective_factor(&self, equation: &Equation) -> Option<f64> {
        self.is_homogeneous().then(|| equation.effective_factor())
    }

    /// The same of a rule that treats all gradients alike, whatever their age: it does not depend on the delays. None for
    /// other rules.
    pub fn constant_factor(&self) -> Option<f64> {
        let long = u64::MAX / 4;
        let at = |age: u64, updates: u64, mean_delay: f64| {
            let arrival = Arrival { age, updates, workers: 2, mean_delay, undamped: false, state_steps: 0.0 };
            let mut tally = 0;
            let action = self.act(&arrival, &mut tally);
            // What is stored for reading moves no weights.
            let still = UpdateCoefficients { lookahead: 0.0, lookback: 0.0, ..action.coefficients };
            // A rule that counts treats the next gradient otherwise.
            (action.moves_weights && tally == 0).then_some(still)
        };
        let is_mixed = |first: &UpdateCoefficients| first.form.share().is_some();
        let first = at(0, 0, 0.0).filter(UpdateCoefficients::is_homogeneous).filter(|first| !is_mixed(first))?;
        let alike = [at(0, 10, 0.0), at(1, 11, 1.0), at(long, long + 7, 5.0)].iter().all(|other| *other == Some(first));
        let by_velocity = first.velocity_to_weights * first.gradient_to_velocity / (1.0 - first.momentum);
        alike.then_some(first.gradient_to_weights + by_velocity)
    }

    /// Whether it drops gradients that are fresh, or collects several before it moves.
    pub fn counts(&self) -> bool {
        let mut tally = 0;
        (0..4).any(|updates| {
            let arrival = Arrival { age: 0, updates, workers: 2, mean_delay: 0.0, undamped: false, state_steps: 0.0 };
            let action = self.act(&arrival, &mut tally);
            !action.moves_weights || tally != 0
        })
    }

    /// Whether workers read other weights than the server's, or mix what they find there.
    pub fn reads_ahead(&self) -> bool {
        let probe = self.probe();
        probe.lookahead != 0.0 || probe.lookback != 0.0 || probe.form.share().is_some()
    }

    /// Whether twice the gradient moves the weights twice as far, also far from a minimum.
    pub fn is_homogeneous(&self) -> bool {
        self.probe().is_homogeneous()
    }

    /// Whether no gradient ever moves the weights, as with a dampening of 1 where there is nothing but the velocity.
    pub fn ignores_gradients(&self) -> bool {
        let UpdateCoefficients { gradient_to_velocity, gradient_to_weights, .. } = self.probe();
        gradient_to_velocity == 0.0 && gradient_to_weights == 0.0
    }

    /// Whether its update is linear in the gradient that arrives, so that its [`Equation`] holds for the noise of minibatches as
    /// well. The equation of any other rule describes full batches alone, whose gradients vanish at a minimum.
    pub fn is_linear(&self) -> bool {
        let probe = self.probe();
        matches!(probe.form, Form::Linear | Form::Mixing { .. }) && probe.clip_norm.is_none()
    }

    /// The coefficients of one update: forms do not change from step to step, only their numbers do.
    pub(crate) fn probe(&self) -> UpdateCoefficients {
        self.coefficients_after(0)
    }

    /// The coefficients of the update that follows so many others.
    fn coefficients_after(&self, updates: u64) -> UpdateCoefficients {
        let arrival = Arrival { age: 0, updates, workers: 1, mean_delay: 0.0, undamped: false, state_steps: 0.0 };
        self.act(&arrival, &mut 0).coefficients
    }

    /// The rule's characteristic equation under this law of delays, if it has one.
    pub fn equation(&self, law: &DelayLaw) -> Option<Equation> {
        self.modifiers.equation((self.definition().equation)(self, law)?)
    }

    /// The same, and of rules of Adam's kind the one with a frozen second moment, whose gain is lr x preconditioned curvature.
    pub fn theory_equation(&self, law: &DelayLaw) -> Option<Equation> {
        self.equation(law).or_else(|| self.frozen_equation(law, 0.0))
    }

    /// Threshold gain of the rule under this law of delays.
    ///
    /// # Errors
    /// Momentum or dampening out of range, no equation, or an equation without a threshold.
    pub fn threshold(&self, law: &DelayLaw, criterion: Criterion) -> Result<Threshold, TheoryError> {
        theory::threshold(&self.known_equation(law)?, criterion)
    }

    /// As [`Rule::theory_equation`], checked.
    ///
    /// # Errors
    /// Momentum or dampening out of range, or no equation.
    pub fn known_equation(&self, law: &DelayLaw) -> Result<Equation, TheoryError> {
        if !MOMENTA.contains(&self.momentum) {
            return Err(TheoryError::Momentum(self.momentum));
        }
        if !DAMPENINGS.contains(&self.dampening) {
            return Err(TheoryError::Dampening(self.dampening));
        }
        match self.theory_equation(law) {
            Some(equation) => Ok(equation),
            None if self.theory_equation(&DelayLaw::Fixed(0)).is_none() => Err(TheoryError::NoEquation(self.name())),
            None => Err(TheoryError::unsupported(&self.name(), law)),
        }
    }
}

/// `D = (z-1)(z-m) z^tau`, `N = (1-d) z`: the equation of rules that are heavy-ball near a minimum (sgd where the momentum
/// is 0).
fn heavy_ball_equation(rule: &Rule, law: &DelayLaw) -> Equation {
    Equation::new(law, Velocity::Server { momentum: rule.momentum }, [1.0 - rule.dampening; 2])
}

/// `K* = 2 (1+m) / (1-d)` at tau 0, of rules that are heavy-ball there.
fn synchronous_heavy_ball(rule: &Rule) -> f64 {
    2.0 * (1.0 + rule.momentum) / (1.0 - rule.dampening)
}

/// Rules are told apart by their names.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl FromStr for RuleKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::iter().find(|kind| kind.definition().name == name).ok_or_else(|| {
            let names: Vec<&str> = Self::iter().map(|kind| kind.definition().name).collect();
            format!("accepted: {}", names.join(", "))
        })
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.definition().name)
    }
}

/// Names of the rules that have an equation under a fixed delay, as they are or with a frozen second moment, for help and errors.
pub fn names_with_equation() -> Vec<&'static str> {
    let has_equation = |kind: &RuleKind| Rule::new(*kind, 0.0, 0.0).theory_equation(&DelayLaw::Fixed(0)).is_some();
    RuleKind::iter().filter(has_equation).map(|kind| kind.definition().name).collect()
}

/// The rules and what they are, for `--help`.
pub fn help() -> String {
    let lines = RuleKind::iter().map(|kind| {
        let Definition { name, summary, number, .. } = kind.definition();
        let number = number.map_or(String::new(), |number| format!(" ({name}:NUMBER, {})", number.meaning));
        format!("- {name}: {summary}{number}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

mod text {
    use super::RuleKind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(kind: &RuleKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.definition().name)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RuleKind, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
