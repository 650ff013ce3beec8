//! tauscope measures which learning rate and momentum keep a minimum reachable when gradients arrive late.

pub mod bench;
pub mod cli;
pub mod command;
pub mod compare;
pub mod config;
pub mod cost;
pub mod curvature;
pub mod data;
pub mod engine;
pub mod kernels;
pub mod math;
pub mod minimum;
pub mod model;
pub mod plan;
pub mod plot;
pub mod problem;
pub mod report;
pub mod rule;
pub mod schedule;
pub mod session;
pub mod submit;
pub mod sweep;
pub mod table;
mod text;
pub mod theory;
pub mod threshold;
pub mod train;
