//! Flag values with a grammar of their own: how they are typed, shown and stored.

use crate::math::{Activation, Shape};
use crate::model::Model;
use crate::model::layers::Layers;
use crate::model::zoo::Named;
use crate::text::{as_flag_with_a_file, as_text};
use clap_lex::OsStrExt;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use strum::IntoEnumIterator;

/// `--samples`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Samples {
    All,
    Count(usize),
}
as_text!(Samples);

impl FromStr for Samples {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) if count > 0 => Ok(Self::Count(count)),
            _ => Err("accepted: a whole number of at least 1, or 'all'".into()),
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

/// `--batch`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Batch {
    Full,
    Size(usize),
}
as_text!(Batch);

impl Batch {
    /// Rows per gradient, where it is not all of them.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Full => None,
            Self::Size(size) => Some(size),
        }
    }
}

impl FromStr for Batch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("full", _) => Ok(Self::Full),
            (_, Ok(size)) if size > 0 => Ok(Self::Size(size)),
            _ => Err("accepted: a whole number of at least 1, or 'full'".into()),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Size(size) => size.fmt(f),
        }
    }
}

/// `--model`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ModelSpec {
    /// Hidden widths.
    Mlp(Vec<usize>),
    /// Softmax (or linear) regression.
    Linear,
    /// Hessian eigenvalues.
    Quadratic(Vec<f64>),
    /// A file of NumPy with the Hessian, or with those of samples.
    QuadraticFile(PathBuf),
    Named(Named),
    Layers(Layers),
}
as_text!(ModelSpec);
as_flag_with_a_file!(ModelSpec);

impl ModelSpec {
    /// The model of samples of this shape; `activation` is that of perceptrons, the others bring their own.
    ///
    /// # Errors
    /// What of it does not fit, as the second half of a sentence.
    pub fn model(&self, input: Shape, classes: usize, activation: Activation) -> Result<Model, String> {
        match self {
            Self::Mlp(hidden) => Ok(Model::mlp(input.elements(), hidden, classes, activation)),
            Self::Linear => Ok(Model::mlp(input.elements(), &[], classes, activation)),
            Self::Quadratic(_) | Self::QuadraticFile(_) => Err("a quadratic is no model of data".into()),
            Self::Named(named) => named.graph(input, classes).map(Model::from),
            Self::Layers(layers) => layers.graph(input, classes).map(Model::from),
        }
    }

    /// Whether `--activation` says anything about it.
    pub fn takes_activation(&self) -> bool {
        matches!(self, Self::Mlp(_))
    }

    /// Whether it is a quadratic, which needs no data.
    pub fn is_quadratic(&self) -> bool {
        matches!(self, Self::Quadratic(_) | Self::QuadraticFile(_))
    }

    /// Reads what is typed, which may name a file by any bytes.
    ///
    /// # Errors
    /// Another text, with what would be accepted.
    pub fn parse_os(text: &OsStr) -> Result<Self, String> {
        match text.strip_prefix("quadratic:npz:") {
            Some(file) if !file.is_empty() => Ok(Self::QuadraticFile(file.into())),
            Some(_) => Err("quadratic:npz: names no file; accepted: quadratic:npz:FILE".into()),
            None => text.to_string_lossy().parse(),
        }
    }
}

impl FromStr for ModelSpec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, detail) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "quadratic" if detail.starts_with("npz:") => Self::parse_os(OsStr::new(text)),
            "mlp" => {
                let widths: Result<Vec<usize>, _> = detail.split('-').map(str::parse).collect();
                match widths {
                    Ok(widths) if widths.iter().all(|width| (1..=1 << 20).contains(width)) => Ok(Self::Mlp(widths)),
                    _ => Err("accepted: mlp:WIDTH or mlp:WIDTH-WIDTH-..., widths from 1".into()),
                }
            }
            "linear" if detail.is_empty() => Ok(Self::Linear),
            "quadratic" => {
                let eigenvalues: Result<Vec<f64>, _> = detail.split(',').map(|e| e.trim().parse()).collect();
                match eigenvalues {
                    Ok(values) if values.iter().all(|e| *e > 0.0 && e.is_finite()) => Ok(Self::Quadratic(values)),
                    _ => {
                        Err("accepted: quadratic:EIGENVALUE,EIGENVALUE,..., all positive, or quadratic:npz:FILE".into())
                    }
                }
            }
            "layers" => detail.parse().map(Self::Layers),
            _ => match text.parse() {
                Ok(named) => Ok(Self::Named(named)),
                Err(_) => {
                    let names: Vec<String> = Named::iter().map(|named| named.to_string()).collect();
                    let names = names.join(", ");
                    Err(format!(
                        "accepted: mlp:WIDTHS, linear, quadratic:EIGENVALUES, quadratic:npz:FILE, {names}, \
                         layers:LAYER,LAYER,..."
                    ))
                }
            },
        }
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let join = |parts: Vec<String>, separator: &str| parts.join(separator);
        match self {
            Self::Mlp(widths) => write!(f, "mlp:{}", join(widths.iter().map(usize::to_string).collect(), "-")),
            Self::Linear => f.write_str("linear"),
            Self::Quadratic(values) => {
                write!(f, "quadratic:{}", join(values.iter().map(f64::to_string).collect(), ","))
            }
            Self::QuadraticFile(file) => write!(f, "quadratic:npz:{}", file.display()),
            Self::Named(named) => named.fmt(f),
            Self::Layers(layers) => write!(f, "layers:{layers}"),
        }
    }
}
