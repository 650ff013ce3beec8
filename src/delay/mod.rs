//! Delay processes: which slot each step reads and writes. Made on the host from seeds and followed by every engine, so that
//! engines agree on them bit for bit.
//!
//! *What it is:* a registry. A run keeps a ring of slots, each one stored weight version. Step t reads slot `r_t`, applies the
//! gradient taken there and writes the new server weights into slot `w_t`. All slots start as x_0. A process is one file: how
//! it is typed after `--schedule`, its slots, its law where the theory knows one, its limits and the stream of its slots. It is
//! listed once in the registry below, where flags, engines, theory and tests find it. A [`ScheduleSpec`] is what was typed, a
//! [`Schedule`] is a process with nothing left open, a [`SlotStream`] is its slots in one run, and [`Delays`] are the delays
//! that come of it. *What it is not:* what a rule does with a late gradient ([`crate::rule`]), nor thresholds
//! ([`crate::theory`]).
//!
//! | process | slots | `r_t`, `w_t` | delay |
//! | --- | --- | --- | --- |
//! | round-robin | N, one per worker | both the worker whose turn it is | N - 1, always |
//! | random | N | both a uniformly random worker | geometric, mean N - 1 |
//! | normal | N | both a worker drawn by the age of its snapshot | mean N - 1, standard deviation about 0.2 N |
//! | workers | N | both the worker that finishes next, in virtual time | mean N - 1, the rest by the law of the service times |
//! | iid | longest + 1 | (t - d_t) mod K, (t + 1) mod K | drawn independently at every update |
//! | hybrid | D + 1 | both the group whose turn it is | D, always; an update averages N / (D + 1) gradients |
//! | trace | longest + 1 | (t - d_t) mod K, (t + 1) mod K | as recorded, over and over |
//!
//! A server that hands out one snapshot per update has N - 1 updates in the time of each gradient, averaged over gradients,
//! whoever its workers are: every update falls into the flight of the N - 1 gradients that are not being applied.

mod bound;
mod columns;
mod process;
mod realised;
mod recorded;
mod ring;
mod schedule;
mod service;

pub use process::{DelayProcess, ProcessSpec, ScheduleError, SlotSource, Slots};
pub use realised::Delays;
pub use schedule::{Schedule, SlotStream};
pub use service::Service;
pub use workers::{Means, Times};

use crate::text::{as_flag_with_a_file, as_text};
use clap_lex::OsStrExt;
use ring::Turns;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

/// Longest delay that a run may have, and most workers less one; updates.
pub const LONGEST: u32 = 1_000_000;

/// What is typed for a process.
type SpecOf<P> = <P as DelayProcess>::Spec;

macro_rules! registry {
    ($($module:ident::$kind:ident,)*) => {
        $(mod $module;)*
        $(pub use $module::$kind;)*

        /// `--schedule`, as typed. Files are read when it is resolved, not when it is parsed.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum ScheduleSpec { $($kind(SpecOf<$kind>),)* }

        impl FromStr for ScheduleSpec {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse_os(OsStr::new(text))
            }
        }

        impl ScheduleSpec {
            /// Reads what is typed, which may name a file by any bytes.
            ///
            /// # Errors
            /// Another text, with what would be accepted.
            pub fn parse_os(text: &OsStr) -> Result<Self, String> {
                let (name, detail) = match text.split_once(":") {
                    Some((name, detail)) => (name, Some(detail)),
                    None => (text, None),
                };
                $(if name == SpecOf::<$kind>::NAME {
                    return SpecOf::<$kind>::parse_os(detail).map(Self::$kind);
                })*
                let forms = [$(SpecOf::<$kind>::FORMS,)*].join(", ");
                Err(format!("no process '{}'; accepted: {forms}", name.display()))
            }
        }

        impl fmt::Display for ScheduleSpec {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                match self { $(Self::$kind(spec) => spec.fmt(f),)* }
            }
        }

        impl ScheduleSpec {
            /// Whether a delay of `--delays` goes with it; a recorded or given distribution brings its own.
            pub fn takes_delay(&self) -> bool {
                match self { $(Self::$kind(spec) => spec.takes_delay(),)* }
            }

            /// Whether every gradient is exactly as late as the delay that is asked for.
            fn is_fixed(&self) -> bool {
                match self { $(Self::$kind(_) => SpecOf::<$kind>::FIXED,)* }
            }

            fn process(&self, delay: u32) -> Result<Process, String> {
                match self { $(Self::$kind(spec) => spec.resolve(delay).map(Process::$kind),)* }
            }

            /// Texts of every process that reads no file, which go with a delay of 3 where they take one.
            pub fn examples() -> Vec<&'static str> {
                [$(SpecOf::<$kind>::EXAMPLES,)*].concat()
            }

            /// The processes, how each is typed and what it is, for `--help`.
            pub fn help() -> String {
                [$((SpecOf::<$kind>::FORMS, SpecOf::<$kind>::SUMMARY),)*]
                    .map(|(forms, summary)| format!("- {forms}: {summary}"))
                    .join("\n")
            }
        }

        /// A delay process with its numbers. It serialises to its content: two with the same JSON make the same streams.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(rename_all = "kebab-case", tag = "name")]
        pub enum Process { $($kind($kind),)* }

        impl Process {
            /// What is asked of every process.
            fn facts(&self) -> &dyn DelayProcess {
                match self { $(Self::$kind(process) => process,)* }
            }

            fn source(&self, rng: &mut rand_chacha::ChaCha8Rng) -> Source {
                match self { $(Self::$kind(process) => Source::$kind(process.source(rng)),)* }
            }
        }

        /// Where the slots of a run come from.
        #[derive(Clone, Debug)]
        enum Source {
            /// Workers that report in turn, whatever the process.
            Turns(Turns),
            $($kind(<$kind as DelayProcess>::Source),)*
        }

        impl SlotSource for Source {
            fn next(&mut self, step: u64, rng: &mut rand_chacha::ChaCha8Rng) -> Slots {
                match self {
                    Self::Turns(turns) => turns.next(step, rng),
                    $(Self::$kind(source) => source.next(step, rng),)*
                }
            }
        }
    };
}

registry! {
    round_robin::RoundRobin,
    random::Random,
    normal::Normal,
    workers::Workers,
    iid::Iid,
    hybrid::Hybrid,
    trace::Trace,
}
as_text!(ScheduleSpec);
as_flag_with_a_file!(ScheduleSpec);

#[cfg(test)]
mod tests;
