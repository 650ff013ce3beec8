//! Closed-form stability thresholds of delayed SGD: pure mathematics, imports nothing of the rest of the crate.
