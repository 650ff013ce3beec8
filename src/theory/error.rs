use super::law::DelayLaw;

/// Why a question to the theory has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TheoryError {
    #[error("momentum is {0}; it must be at least 0 and less than 1")]
    Momentum(f64),
    #[error("dampening is {0}; it must be at least 0 and at most 1")]
    Dampening(f64),
    #[error(
        "dampening is 1, which multiplies every gradient by 0: the rule never moves and has no threshold; \
         it must be less than 1"
    )]
    NoGradient,
    #[error("delay is {0}; the longest supported is {max}", max = super::LONGEST_DELAY)]
    Delay(usize),
    #[error("the delays reach up to {0} updates; the longest supported of a distribution is {max}", max = super::LONGEST_PMF)]
    LongPmf(usize),
    #[error("gain is {0}; it must be positive and finite")]
    Gain(f64),
    #[error(
        "the local gain (local learning rate x curvature) is {0}; it must lie between 0 and 2, beyond which the local steps \
         themselves diverge"
    )]
    LocalGain(f64),
    #[error("learning rate is {0}; it must be positive and finite")]
    LearningRate(f64),
    #[error("the ratio of weight decay to curvature is {0}; it must be at least 0 and finite")]
    WeightDecay(f64),
    #[error("learning rate x weight decay is {0}; it must be at least 0 and less than 1")]
    Shrink(f64),
    #[error("curvature is {0}; under minibatches every direction must have a positive and finite one")]
    Curvature(f64),
    #[error("the second moments of minibatches have not settled after {0} applications of their map")]
    NotConverged(usize),
    #[error("relative variance is {0}; it must be at least 0 and finite")]
    RelativeVariance(f64),
    #[error("the delay distribution is not one: {0}")]
    DelayPmf(String),
    #[error("the number of workers is {0}; it must be at least 1")]
    Workers(usize),
    #[error("{0} has no characteristic equation")]
    NoEquation(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("stages of a pipeline: {0}")]
    Stages(String),
    #[error("the answer is too large or too small for f64 in full precision; accepted: less extreme values")]
    OutOfRange,
    #[error("no root ever reaches the unit circle: the rule is stable at every gain")]
    Unbounded,
    #[error("the dominant root at gain {0} could not be separated from its neighbours")]
    NotSeparated(f64),
}

impl TheoryError {
    /// The number, if it is positive, finite and of full precision.
    ///
    /// # Errors
    /// [`Self::OutOfRange`] otherwise.
    pub fn in_range(number: f64) -> Result<f64, Self> {
        if number > 0.0 && number.is_normal() { Ok(number) } else { Err(Self::OutOfRange) }
    }

    /// Something that the theory does not know under this law of delays.
    pub fn unsupported(what: &str, law: &DelayLaw) -> Self {
        Self::Unsupported(match law {
            DelayLaw::Fixed(delay) => format!("{what} has no theory at a fixed delay of {delay}"),
            DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => {
                format!("{what} has no theory under {}; accepted: a fixed delay", law.name())
            }
        })
    }
}
