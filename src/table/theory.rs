//! The row that `tauscope theory` prints.

use super::row::written;

written! {
    #[derive(Clone, Debug, serde::Serialize)]
    /// One closed-form threshold, as `tauscope theory` prints it.
    pub struct TheoryRow {
        /// The rule's name and, where it has one, its number.
        pub rule: String,
        /// 0 for a rule without momentum.
        pub momentum: f64,
        /// PyTorch's dampening; equal to the momentum in the EMA form.
        pub dampening: f64,
        /// Updates; the mean delay where it is random; empty where stages have delays of their own.
        pub delay: Option<f64>,
        /// Name of the delay process, as typed.
        pub schedule: String,
        /// Sense in which a run stays: `mean`, `mean-square`, `almost-sure` or `escape`.
        pub criterion: &'static str,
        /// Variance of the curvature over minibatches, relative to its square; 0 for the full batch.
        pub relative_variance: f64,
        /// Largest stable learning rate times curvature.
        pub threshold_gain: f64,
        /// The same of effective learning rates; empty where the drift of the rule depends on the size of the gradient.
        pub effective_gain: Option<f64>,
        /// Angle of the root that crosses the unit circle at the threshold, radians; empty where there is no such root.
        pub crossing_angle: Option<f64>,
        /// Share of an applied gradient that is taken at the newest weights; empty where there is none.
        pub fresh_share: Option<f64>,
        /// Stages of a pipeline; empty where there are none. The threshold is then that of a Hessian with one large eigenvalue.
        pub stages: Option<usize>,
        /// Updates that each stage is late.
        pub stage_delays: Option<String>,
        /// Share of each stage in the square of the top eigenvector.
        pub stage_energies: Option<String>,
        /// Local steps of a round; empty, as all columns behind it, where workers send gradients.
        pub local_steps: Option<u64>,
        /// Local learning rate x curvature.
        pub local_gain: Option<f64>,
        /// Local steps that the result of a round comes late.
        pub overlap: Option<u64>,
        /// Share that local weights then keep of themselves.
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
}
