//! tauscope measures which learning rate and momentum keep a minimum reachable when gradients arrive late.

pub mod command;
pub mod theory;
