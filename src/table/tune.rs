//! The row that `tauscope tune` prints.

use super::row::written;

written! {
    #[derive(Clone, Debug, serde::Serialize)]
    /// One rule with its parameters at a delay and a condition number, as `tauscope tune` prints it.
    pub struct TuneRow {
        /// As typed; a number behind it was held.
        pub rule: String,
        /// Updates between reading the weights and applying their gradient, as asked for; empty where the process brings its own delays.
        pub delay: Option<usize>,
        /// Largest curvature over the smallest one that matters.
        pub condition: f64,
        /// Learning rate times the largest curvature.
        pub gain: f64,
        /// 0 for a rule without momentum.
        pub momentum: f64,
        /// PyTorch's dampening, 0 throughout: another one divides the learning rate, and changes nothing else.
        pub dampening: f64,
        /// Updates by which the read point runs ahead along the last step; empty for rules that predict nothing.
        pub horizon: Option<f64>,
        /// Weight of the change of the last step in the prediction; empty for rules without it.
        pub horizon_2: Option<f64>,
        /// Share of a worker's result that the server takes in; empty for rules that mix nothing.
        pub mixing: Option<f64>,
        /// Updates in which the slowest direction shrinks by e; empty where one does not shrink, which parameters that are not optimised
        /// may have.
        pub updates_per_efold: Option<f64>,
        /// Updates per e-fold that no stationary linear rule gets below at a fixed delay of `mean_delay`; where delays vary, no more than
        /// a measure.
        pub bound: f64,
        /// `updates_per_efold / bound`.
        pub factor: Option<f64>,
        /// Curvature times stationary variance of the server's weights under gradient noise, on the mean of logarithmically spaced
        /// curvatures, with the largest curvature 1; empty where delays vary.
        pub noise_floor: Option<f64>,
        /// The same of the weights at which gradients are taken.
        pub noise_floor_read: Option<f64>,
        /// Vectors as long as the weights that are kept beside them, those of the ring apart.
        pub extra_vectors: usize,
        /// Gradients of one update.
        pub gradients_per_update: u32,
        /// `optimised`, `formula`, `formula-beyond-fit` at a delay or condition number that the formula was not fitted to, or `fixed-delay`:
        /// parameters that are best at a fixed delay, the mean.
        pub source: &'static str,
        /// `gain` over the largest curvature, where a folder tells that.
        pub lr: Option<f64>,
        /// The delay process, as typed.
        pub schedule: String,
        /// Mean delay in the long run, updates.
        pub mean_delay: f64,
        /// Whose decay `updates_per_efold` is: of the run, under one delay (`fixed`); of the average over all draws of the delays
        /// (`averaged`); of the root of the mean square over them (`mean-square`); of the same by simulation (`simulated`), which of
        /// recorded delays is the run itself.
        pub dynamics: &'static str,
        /// Lower end of the 95 % interval of 1 / `updates_per_efold` where it is simulated; below 0 where it may grow.
        pub rate_low: Option<f64>,
        /// Upper end of that interval.
        pub rate_high: Option<f64>,
    }
}
