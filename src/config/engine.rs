//! `--engine`, `--adapter` and `--precision`: which engine computes, the same in every command and in every plan.
//!
//! Not here: opening it ([`crate::engine`]).

use crate::math::FloatFormat;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// `--engine`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    Auto,
    Cpu,
    Gpu,
}

/// `--precision`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    Auto,
    F32,
    F64,
}

impl Precision {
    /// The format of numbers that runs are first made in.
    pub fn first(self) -> FloatFormat {
        match self {
            Self::Auto | Self::F32 => FloatFormat::F32,
            Self::F64 => FloatFormat::F64,
        }
    }
}

/// The engine that computes. Names and order of the fields are part of every plan's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Args)]
pub struct EngineArgs {
    /// auto takes a hardware GPU, else the CPU, and says which; gpu takes any adapter, a software one too
    #[serde(rename = "engine")]
    #[arg(id = "engine", long, value_enum, default_value_t = EngineChoice::Auto, help_heading = "Engine")]
    pub choice: EngineChoice,
    /// The adapter to use: its index, or a part of its name, UUID or PCI address that no other has (see tauscope devices)
    #[arg(long, value_parser = adapter, help_heading = "Engine")]
    pub adapter: Option<String>,
    /// auto is f32; a sweep then measures cells that f32 leaves undecided again in f64, on the CPU, unless --engine gpu asks for
    /// the adapter alone. f64 on the CPU only
    #[arg(long, value_enum, default_value_t = Precision::Auto, help_heading = "Engine")]
    pub precision: Precision,
}

impl EngineArgs {
    /// Whether a sweep may turn to f64 where f32 does not do.
    pub fn falls_back(&self) -> bool {
        self.precision == Precision::Auto && self.choice != EngineChoice::Gpu
    }

    /// Checks that there is such an engine.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        if self.precision == Precision::F64 && self.choice == EngineChoice::Gpu {
            return Err("--precision f64: the gpu engine computes in f32; accepted: f32, or --engine cpu".into());
        }
        if self.adapter.is_some() && self.choice != EngineChoice::Gpu {
            return Err("--adapter: only the gpu engine has adapters; accepted: with --engine gpu".into());
        }
        Ok(())
    }
}

fn adapter(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("accepted: the index of an adapter, or a part of its name, UUID or PCI address".into()),
        text => Ok(text.into()),
    }
}
