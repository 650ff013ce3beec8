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
    #[error("delay is {0}; the largest supported is {max}", max = super::MAX_DELAY)]
    Delay(usize),
    #[error("gain is {0}; it must be positive and finite")]
    Gain(f64),
    #[error("learning rate is {0}; it must be positive and finite")]
    LearningRate(f64),
    #[error("the ratio of weight decay to curvature is {0}; it must be at least 0 and finite")]
    WeightDecay(f64),
    #[error("relative variance is {0}; it must be at least 0 and finite")]
    RelativeVariance(f64),
    #[error("the delay distribution is not one: {0}")]
    DelayPmf(String),
    #[error("the number of workers is {0}; it must be at least 1")]
    Workers(usize),
    #[error("{rule} has no theory here under {process}; use a fixed delay")]
    Unsupported { rule: &'static str, process: &'static str },
    #[error("no root ever reaches the unit circle: the rule is stable at every gain")]
    Unbounded,
    #[error("the dominant root at gain {0} could not be separated from its neighbours")]
    NotSeparated(f64),
}
