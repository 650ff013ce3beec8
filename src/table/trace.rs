//! The rows of traces/RUN_ID.csv: what a run drew at each step, and what was seen of it.

use super::row::{Row, row};

row! {
    /// One step of a run, or of one member of an ensemble.
    pub struct TraceRow {
        /// Short content hash of the run.
        pub run_id: String,
        /// Member of the ensemble, from 0; 0 for a run alone.
        pub member: u32,
        /// From 1.
        pub step: u64,
        /// Slot whose weights the gradient is taken at.
        pub slot_read: u32,
        /// Slot that the new weights go into.
        pub slot_write: u32,
        /// Worker that reports; empty where slots are not workers.
        pub worker: Option<u32>,
        /// Updates made between reading the weights and this step.
        pub delay: u64,
        /// Rows of the gradient, separated by spaces; empty where it has all. An augmented row is ROW:FLIP:DOWN:RIGHT. Where an
        /// update has several gradients, theirs are separated by semicolons.
        pub rows: String,
        /// Learning rate of the step, in f64.
        pub lr: f64,
        /// Member whose state this one takes over before the step; empty where the run just goes on.
        pub source: Option<u32>,
        /// What displacements from the minimum and velocities are then multiplied by.
        pub factor: Option<f64>,
        /// ||x - minimum|| after the step; empty where it was not observed or is not finite.
        pub distance: Option<f64>,
        /// (x - minimum) . direction after the step.
        pub projection: Option<f64>,
        /// Objective over the rows, at the weights that were read.
        pub loss: Option<f64>,
    }
}

impl Row for TraceRow {}
