//! What a row is: a struct whose fields are the columns of a table, in their order.
//!
//! A new column is one line in such a struct, plus the value where the row is made: reader, writer and header follow. Not
//! here: the rows themselves ([`super::sweep`], [`super::training`], [`super::comparison`]).

use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;

/// One line of a table. `None` is an empty cell. A column may be missing in a file that is read if its field is an
/// [`Option`] or has a `#[serde(default)]`; all others are needed.
pub trait Row: Serialize + DeserializeOwned {
    /// Refuses values that can be read but mean nothing.
    ///
    /// # Errors
    /// Where there is such a value; it says in which column, and what would be accepted.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A value that means nothing in its column.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("column `{column}`: `{value}`, expected {expected}")]
pub struct Refusal {
    column: &'static str,
    value: String,
    expected: &'static str,
}

/// Requires `accepted` of a value.
pub(super) fn require(
    column: &'static str,
    value: impl Display,
    accepted: bool,
    expected: &'static str,
) -> Result<(), Refusal> {
    if accepted { Ok(()) } else { Err(Refusal { column, value: value.to_string(), expected }) }
}

/// Requires a positive number where there is one, as logarithmic axes and ratios do.
pub(super) fn require_positive(column: &'static str, value: impl Into<Option<f64>>) -> Result<(), Refusal> {
    let positive = |value: f64| require(column, value, value.is_finite() && value > 0.0, "a positive number");
    value.into().map_or(Ok(()), positive)
}

/// The numbers of rows that are not finite, each as `column is inf`.
pub fn not_finite(rows: &impl Serialize) -> Vec<String> {
    fn collect(name: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Float(number) if !number.is_finite() => found.push(format!("{name} is {number}")),
            Value::Array(values) => values.iter().for_each(|value| collect(name, value, found)),
            Value::Map(members) => {
                members.iter().for_each(|(key, value)| collect(key.as_text().unwrap_or(name), value, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    // Unlike JSON, CBOR has them.
    if let Ok(value) = Value::serialized(rows) {
        collect("", &value, &mut found);
    }
    found
}

/// Empties a cell whose number is not finite.
pub fn keep_finite(cell: &mut Option<f64>) {
    *cell = cell.filter(|number| number.is_finite());
}

/// How an update of a row is made of gradients, and which parameters go together, as a person would say it; empty where gradients
/// are applied as they come, to all parameters.
macro_rules! outer_name {
    ($row:ty) => {
        impl $row {
            pub fn outer_name(&self) -> Option<String> {
                let lr = self
                    .local_lr
                    .map_or(String::new(), |lr| format!(" of lr {}", $crate::table::number::significant(lr, 4)));
                let parts = [
                    self.local_steps
                        .map(|steps| format!("{steps} local step{}{lr}", if steps == 1 { "" } else { "s" })),
                    self.replicas.map(|replicas| format!("{replicas} replicas")),
                    self.fresh_share
                        .map(|share| format!("fresh share {}", $crate::table::number::significant(share, 4))),
                    self.overlap.map(|steps| match self.overlap_weight {
                        Some(weight) if weight > 0.0 => format!("overlap {steps} of weight {weight}"),
                        _ => format!("overlap {steps}"),
                    }),
                    self.arrivals.clone(),
                    self.stage_delays.as_ref().map(|delays| format!("stages late by {delays}")),
                    self.stage_cuts.as_ref().map(|cuts| format!("cut at {cuts}")),
                    self.backward_delays.as_ref().map(|delays| format!("backward passes late by {delays}")),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                (!parts.is_empty()).then(|| parts.join(", "))
            }

            /// The stages apart from what is done against their delays, to be compared.
            pub fn stage_key(&self) -> impl Eq + std::hash::Hash + '_ {
                (&self.stage_delays, &self.stage_cuts, &self.backward_delays)
            }

            /// All of it but the stages, to be compared.
            pub fn outer_key(&self) -> impl Eq + std::hash::Hash + '_ {
                let bits = |value: Option<f64>| value.map(f64::to_bits);
                let local = (self.local_steps, bits(self.local_lr), &self.local_rule);
                let overlap = (self.overlap, bits(self.overlap_weight));
                (local, self.replicas, bits(self.fresh_share), overlap, &self.arrivals)
            }

            /// The same with what is done against the delays of stages.
            pub fn way(&self) -> Option<String> {
                let way = self.outer_name().unwrap_or_default() + &self.remedies();
                (!way.is_empty()).then_some(way)
            }

            /// What [`Self::way`] is of: stages where there are some, else an outer loop.
            pub fn way_title(&self) -> Option<&'static str> {
                let title = if self.stage_delays.is_some() { "stages" } else { "outer loop" };
                self.way().map(|_| title)
            }

            /// Whether stages have learning rates or momenta of their own, against their delays.
            pub fn has_remedies(&self) -> bool {
                self.stage_lr.is_some() || self.stage_momentum.is_some()
            }

            /// These as they follow the rule's name; empty where there are none.
            pub(super) fn remedies(&self) -> String {
                let lr = self.stage_lr.as_ref().map(|factors| format!(", stage lr {factors}"));
                let momentum = self.stage_momentum.as_ref().map(|momenta| format!(", stage momentum {momenta}"));
                lr.into_iter().chain(momentum).collect()
            }
        }
    };
}
pub(super) use outer_name;

/// Defines a row. `..outer` stands for the columns that tell which gradients make up an update and which parameters go together,
/// `..update` for those that tell how a run updates its weights, which rows of sweeps and of trainings share, and `..group` for those that a training's run shares with its group.
macro_rules! row {
    ($(#[$($meta:tt)*])* pub struct $name:ident { $($columns:tt)* }) => {
        row!(@columns [$(#[$($meta)*])* pub struct $name] [] $($columns)*);
    };
    (@columns [$($head:tt)*] [$($columns:tt)*]) => {
        crate::table::row::written! {
            #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
            $($head)* { $($columns)* }
        }
    };
    (@columns $head:tt [$($done:tt)*] ..update, $($rest:tt)*) => {
        row!(@columns $head [$($done)*]
            /// The rule's name and, where it has one, its number: `sgd`, `shifted`, `ringmaster:4`.
            pub rule: String,
            /// 0 for a rule without momentum.
            pub momentum: f64,
            /// PyTorch's dampening; equal to the momentum in the EMA form, 0 for sgd.
            pub dampening: f64,
            /// Updates between reading the weights and applying their gradient, as asked for: the mean where the process is
            /// random; empty where the process brings delays of its own. 0 is synchronous.
            pub delay: Option<u32>,
            /// Name of the delay process, as typed.
            pub schedule: String,
            $($rest)*
        );
    };
    (@columns $head:tt [$($done:tt)*] ..outer, $($rest:tt)*) => {
        row!(@columns $head [$($done)*]
            /// Local steps of a worker between reading and sending; empty, as all columns to `arrivals`, where workers send gradients.
            pub local_steps: Option<u32>,
            /// Their learning rate.
            pub local_lr: Option<f64>,
            /// Their rule.
            pub local_rule: Option<String>,
            /// Workers that read together, whose mean is one update; empty where it is one.
            pub replicas: Option<u32>,
            /// Share of an applied gradient that is taken at the newest weights; empty where there is none.
            pub fresh_share: Option<f64>,
            /// Local steps that the result of a round comes late; empty where it does not.
            pub overlap: Option<u32>,
            /// Share that the local weights then keep of themselves.
            pub overlap_weight: Option<f64>,
            /// `each` or `each-over-n`; empty where an update is the mean over replicas.
            pub arrivals: Option<String>,
            /// Stages of a pipeline; empty, as all columns to `backward_delays`, where all parameters go together.
            pub stages: Option<u32>,
            /// Updates that each stage is late, from the first on; `delay` is then empty.
            pub stage_delays: Option<String>,
            /// What the learning rate of each stage is multiplied by, as typed; empty where that is 1 for all.
            pub stage_lr: Option<String>,
            /// Momentum of each stage, as typed; empty where it is the rule's.
            pub stage_momentum: Option<String>,
            /// Layers at which stages begin; empty where the largest stage is as small as can be.
            pub stage_cuts: Option<String>,
            /// `off` where backward passes read other weights than forward ones; empty where they do not.
            pub stashing: Option<String>,
            /// Updates that what backward passes read is late, stage by stage.
            pub backward_delays: Option<String>,
            $($rest)*
        );
    };
    (@columns $head:tt [$($done:tt)*] ..group, $($rest:tt)*) => {
        row!(@columns $head [$($done)*]
            /// Short content hash of everything of a run but its seed.
            pub group_id: String,
            /// Name of the data set.
            pub data: String,
            /// As given to `--model`, with the activation where it has none of its own.
            pub model: String,
            /// `ce` or `mse`.
            pub loss: String,
            /// Number of training samples.
            pub samples: u64,
            /// Number of test samples.
            pub test_samples: u64,
            /// L2 penalty: weight_decay / 2 ||x||^2 is added to the loss.
            pub weight_decay: f64,
            ..update,
            /// `none`, `inverse-delay` or `preserve`; `none` wherever it changes nothing.
            pub lr_scaling: String,
            /// Learning rate as asked for, that of synchronous training.
            pub lr: f64,
            /// Learning rate as the rule takes it: scaled.
            pub lr_scaled: f64,
            /// How far a constant gradient moves the weights for each gradient that arrives, of stages their mean; empty where that
            /// depends on the size of the gradient (adam, nadam, lion, signum, clipped, dc-asgd), or is no number.
            pub effective_lr: Option<f64>,
            /// As given to `--regime`, and the warm-up: `cosine from the start with 4 epochs of warm-up` where the regime goes on
            /// during the warm-up, `cosine:after-warm-up with 4 epochs of warm-up` where it begins after it.
            pub lr_regime: String,
            /// `full` or the number of samples per gradient of a worker.
            pub batch: String,
            ..outer,
            $($rest)*
        );
    };
    (@columns $head:tt [$($done:tt)*] $(#[$($meta:tt)*])* pub $column:ident: $kind:ty, $($rest:tt)*) => {
        row!(@columns $head [$($done)* $(#[$($meta)*])* pub $column: $kind,] $($rest)*);
    };
}
pub(super) use row;

/// A column as its row struct describes it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// Rust type of the field.
    pub kind: &'static str,
    /// Lines of its doc.
    pub doc: &'static [&'static str],
}

impl Column {
    /// What it holds and in which unit.
    pub fn meaning(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// What is in a cell, in words; `or empty` where a cell may be.
    pub fn type_name(&self) -> String {
        let kind = self.kind.replace(' ', "");
        let inner = kind.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>'));
        let word = match inner.unwrap_or(&kind) {
            "f64" => "number",
            "u32" | "u64" | "usize" => "whole number",
            _ => "text",
        };
        if inner.is_some() { format!("{word} or empty") } else { word.to_owned() }
    }
}

/// A struct that is written as a line of CSV, with its columns described by their docs.
pub trait Described {
    const COLUMNS: &'static [Column];
}

/// Defines such a struct.
macro_rules! written {
    (
        #[derive($($derived:path),*)]
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* $(#[serde $serde:tt])? pub $column:ident: $kind:ty,)*
        }
    ) => {
        #[derive($($derived),*)]
        $(#[doc = $about])*
        pub struct $name {
            $($(#[doc = $doc])* $(#[serde $serde])? pub $column: $kind,)*
        }

        impl $crate::table::row::Described for $name {
            const COLUMNS: &'static [$crate::table::row::Column] = &[$($crate::table::row::Column {
                name: stringify!($column),
                kind: stringify!($kind),
                doc: &[$($doc),*],
            }),*];
        }
    };
}
pub(super) use written;
