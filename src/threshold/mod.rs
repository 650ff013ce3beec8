//! Measures the threshold of one cell: which learning rates to try, what each run showed, when the answer is tight enough.
//!
//! - [`Watch`] follows one run and says what became of it ([`Trial`]): its growth rate gamma and a verdict.
//! - [`Search`] asks for learning rates, several at once, and closes a bracket around the zero of gamma(lr).
//!
//! Pure logic over observations: no engine, no files, no clock. A search sees the trials of its own cell alone, so its
//! answer does not depend on what else ran beside it.

mod growth;
mod search;
mod watch;

pub use search::{Bracket, Outcome, Request, Search, Step};
pub use watch::{Criterion, Trial, Watch, WatchSpec};
