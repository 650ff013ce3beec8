//! The choice of an engine: `--engine`, `--adapter` and `--precision` to an open engine, and why it is that one.

use crate::config::{EngineArgs, EngineChoice, Precision};
use crate::engine::Engine;
use crate::engine::cpu::Cpu;
use crate::engine::gpu::{AdapterChoice, Gpu};
use anyhow::Result;

/// The engine that will run, and why it was chosen.
pub struct ChosenEngine {
    pub engine: Box<dyn Engine>,
    pub why: String,
}

/// Opens the engine that the flags ask for: `auto` takes a hardware GPU, else the CPU.
///
/// # Errors
/// Where there is no such adapter, or it cannot be opened.
pub fn choose(flags: &EngineArgs) -> Result<ChosenEngine> {
    let EngineArgs { choice, adapter, precision } = flags;
    let cpu = |why: String| -> ChosenEngine {
        let engine: Box<dyn Engine> = match precision {
            Precision::Auto | Precision::F32 => Box::new(Cpu::<f32>::default()),
            Precision::F64 => Box::new(Cpu::<f64>::default()),
        };
        ChosenEngine { engine, why }
    };
    match choice {
        EngineChoice::Cpu => Ok(cpu("asked for".into())),
        EngineChoice::Auto if *precision == Precision::F64 => Ok(cpu("auto: f64 is the cpu engine's".into())),
        EngineChoice::Auto => match Gpu::open(&AdapterChoice::Hardware) {
            Ok(gpu) => {
                let why = format!("auto: a hardware GPU is here, {}", gpu.device().place());
                Ok(ChosenEngine { engine: Box::new(gpu), why })
            }
            Err(error) => Ok(cpu(format!("auto: {error}"))),
        },
        EngineChoice::Gpu => {
            let choice = adapter.as_deref().map_or(AdapterChoice::Any, |name| AdapterChoice::Named(name.into()));
            let gpu = Gpu::open(&choice)?;
            let why = format!("asked for, {}", gpu.device().place());
            Ok(ChosenEngine { engine: Box::new(gpu), why })
        }
    }
}
