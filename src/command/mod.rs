//! One file per subcommand: from its flags to its output.

pub mod advise;
pub mod theory;
