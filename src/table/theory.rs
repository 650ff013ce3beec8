//! The row that `tauscope theory` prints.

use serde::Serialize;

/// One closed-form threshold, as `tauscope theory` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct TheoryRow {
    pub rule: String,
    pub momentum: f64,
    pub dampening: f64,
    /// Updates; the mean delay where it is random.
    pub delay: f64,
    pub schedule: String,
    pub criterion: &'static str,
    pub relative_variance: f64,
    pub threshold_gain: f64,
    /// None where the drift of the rule depends on the size of the gradient.
    pub effective_gain: Option<f64>,
    pub crossing_angle: Option<f64>,
}
