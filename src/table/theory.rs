//! The row that `tauscope theory` prints.

use serde::Serialize;

/// One closed-form threshold, as `tauscope theory` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct TheoryRow {
    pub rule: String,
    pub momentum: f64,
    pub dampening: f64,
    /// Updates; the mean delay where it is random; empty where stages have delays of their own.
    pub delay: Option<f64>,
    pub schedule: String,
    pub criterion: &'static str,
    pub relative_variance: f64,
    pub threshold_gain: f64,
    /// None where the drift of the rule depends on the size of the gradient.
    pub effective_gain: Option<f64>,
    pub crossing_angle: Option<f64>,
    /// Share of an applied gradient that is taken at the newest weights; empty where there is none.
    pub fresh_share: Option<f64>,
    /// Stages of a pipeline, their delays and their shares in the top eigenvector's square; empty where there are none. The threshold is
    /// then that of a Hessian with one large eigenvalue.
    pub stages: Option<usize>,
    pub stage_delays: Option<String>,
    pub stage_energies: Option<String>,
    /// Local steps of a round; empty, as all columns behind it, where workers send gradients.
    pub local_steps: Option<u64>,
    /// Local learning rate x curvature.
    pub local_gain: Option<f64>,
    /// Local steps that the result of a round comes late, and the share that local weights then keep of themselves.
    pub overlap: Option<u64>,
    pub overlap_weight: Option<f64>,
    /// Share of the way to the minimum that the difference of a round covers along that curvature.
    pub coverage: Option<f64>,
    /// Limit of the outer learning rate x coverage.
    pub threshold_outer_gain: Option<f64>,
    /// Limit of the outer learning rate.
    pub threshold_lr: Option<f64>,
    /// Learning rate x weight decay of rules whose decay is decoupled; empty where none was asked for.
    pub decoupled_decay: Option<f64>,
}
