//! tauscope measures which learning rate and momentum keep a minimum reachable when gradients arrive late.

pub mod bench;
pub mod cli;
pub mod command;
pub mod compare;
pub mod cost;
pub mod curvature;
pub mod engine;
pub mod flags;
pub mod interrupt;
pub mod kernels;
pub mod minimum;
pub mod plan;
pub mod plan_file;
pub mod plot;
pub mod problem;
pub mod progress;
pub mod record;
pub mod report;
pub mod rule;
pub mod schedule;
pub mod shard;
pub mod store;
pub mod submit;
pub mod sweep;
pub mod theory;
pub mod threshold;
