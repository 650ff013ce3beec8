//! One file per subcommand: from its flags to its output.

pub mod advise;
pub mod devices;
pub mod plot;
pub mod sweep;
pub mod theory;
