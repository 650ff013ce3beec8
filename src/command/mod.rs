//! One file per subcommand: from its flags to its output.

pub mod plot;
pub mod sweep;
