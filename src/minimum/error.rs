//! Reasons why there is no minimum, each with what would be accepted.

use std::fmt;

/// Reason why there is no minimum, or why given weights are none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MinimumError {
    #[error(
        "no minimum: max|gradient| is {gradient_max:.3e} after {evaluations} evaluations of L-BFGS, and must be at most \
         {tolerance:.1e}; {cause}; accepted: {}", cause.accepted(*hints)
    )]
    NotFlat { gradient_max: f64, tolerance: f64, evaluations: u64, cause: Cause, hints: Hints },
    #[error(
        "not a minimum: max|gradient| is {gradient_max:.3e} and must be at most {tolerance:.1e}; accepted: --minimum-from FILE, \
         which descends from these weights, or a larger --gradient-tolerance"
    )]
    GivenNotFlat { gradient_max: f64, tolerance: f64 },
    #[error(
        "not a minimum but a saddle: the Hessian's smallest eigenvalue is {smallest:.3e} (largest {largest:.3e}); accepted: {}",
        if hints.given {
            "weights that are trained further from a small random push away from these, or a larger --weight-decay"
        } else {
            "another --seed-init, or a larger --weight-decay"
        }
    )]
    Saddle { smallest: f64, largest: f64, hints: Hints },
    #[error(
        "no minimum: with --weight-decay 0 and cross-entropy every sample is classified right, so that the loss ({loss:.1e}) falls \
         to 0 as the weights grow without end; accepted: a positive --weight-decay, or --loss mse"
    )]
    Separated { loss: f64 },
    #[error(
        "no minimum: with --weight-decay 0 the loss falls from {loss:.9e} to {far:.9e} where the weights of the last layer grow \
         to {grown} times their size, and nothing turns them back; accepted: a positive --weight-decay, or --loss mse"
    )]
    Endless { loss: f64, far: f64, grown: f64 },
    #[error(
        "no minimum: with --weight-decay {weight_decay:e} and cross-entropy the weights have grown to {largest_weight:.1e}, where the Hessian is not \
         finite; accepted: a positive --weight-decay above it, or --loss mse"
    )]
    Runaway { largest_weight: f64, weight_decay: f64 },
    #[error(
        "no minimum: {what} is not finite {place}, where the largest input is {largest_input:.1e}; accepted: inputs scaled to \
         about 1, and a positive --weight-decay"
    )]
    NotFinite { what: &'static str, place: &'static str, largest_input: f64 },
    #[error(
        "the Hessian's largest eigenvalue did not converge: {value:.6e} with residual {residual:.1e} after {iterations} iterations \
         of Lanczos; accepted: another --seed-init or a larger --weight-decay, which separate eigenvalues"
    )]
    Unsure { value: f64, residual: f64, iterations: usize },
}

impl MinimumError {
    /// Whether the search may go on from where it ended, with a larger budget.
    pub fn can_go_on(&self) -> bool {
        matches!(self, Self::NotFlat { cause: Cause::Budget, .. })
    }
}

/// Why a descent ended before the gradient was flat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It has had all the evaluations that it may have.
    Budget,
    /// No step makes the loss smaller, and the model has kinks.
    Kinks,
    /// No step makes the loss smaller.
    Stalled,
}

/// What the weights and the problem admit as a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// Whether the user gave the weights that the search began with.
    pub given: bool,
    /// Whether there is no weight decay, so that there may be no minimum.
    pub undecayed: bool,
}

impl Cause {
    /// What would be accepted instead.
    fn accepted(self, hints: Hints) -> String {
        let mut accepted = match self {
            Self::Budget => vec!["the same command with --resume and a larger --minimum-evaluations"],
            Self::Kinks => {
                vec!["a smooth --activation (tanh, gelu) and no max pooling", "a larger --gradient-tolerance"]
            }
            Self::Stalled => vec!["a larger --gradient-tolerance"],
        };
        if hints.undecayed {
            accepted.push("a positive --weight-decay");
        }
        if !hints.given && self != Self::Budget {
            accepted.push("another --seed-init");
        }
        let last = accepted.pop().expect("every cause has a hint");
        if accepted.is_empty() { last.into() } else { format!("{}, or {last}", accepted.join(", ")) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "the evaluations of --minimum-evaluations are used up",
            Self::Kinks => "no step makes the loss smaller, as happens at the kinks of relu and max pooling",
            Self::Stalled => "no step makes the loss smaller, as happens where rounding is larger than the gradient",
        })
    }
}
