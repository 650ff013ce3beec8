//! `--engine`, `--adapter` and `--precision`: which engine computes, the same in every command and in every plan.
//!
//! Not here: opening it ([`crate::engine`]).

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
    F32,
    F64,
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
    /// f64 on the CPU only
    #[arg(long, value_enum, default_value_t = Precision::F32, help_heading = "Engine")]
    pub precision: Precision,
}

impl EngineArgs {
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
