//! What sweeps and trainings do when their device fails: runs that find no memory are begun again, half as many at a time,
//! and a device that is lost is opened again. Runs that were on their way go on from the newest checkpoint, or start over. How many run together, and how often a run was begun, changes none of its bits, so the results do not show
//! it; run.json says it.
//!
//! Not here: how a device tells what happened to it ([`crate::engine::gpu`]).

use crate::engine::{Engine, EngineError};
use crate::text::counted;
use anyhow::{Context, Error, Result};
use std::time::Duration;

/// Times that a lost device is opened again.
const REOPENINGS: u32 = 3;

/// Before another try where a device has not come back.
const PAUSE: Duration = Duration::from_secs(1);

/// The engine in use, and what was done to keep it going.
pub struct Recovery<'a> {
    first: &'a dyn Engine,
    reopened: Option<Box<dyn Engine>>,
    /// Lanes that have proved to be too many.
    too_many: usize,
    losses: u32,
    mended: Vec<String>,
}

impl<'a> Recovery<'a> {
    pub fn new(engine: &'a dyn Engine) -> Self {
        Self { first: engine, reopened: None, too_many: usize::MAX, losses: 0, mended: Vec::new() }
    }

    pub fn engine(&self) -> &dyn Engine {
        self.reopened.as_deref().unwrap_or(self.first)
    }

    /// What failed and was mended, in the order in which it happened.
    pub fn mended(&self) -> &[String] {
        &self.mended
    }

    /// Most lanes to ask for, where the engine thinks that `capacity` fit and `least` are needed.
    pub fn lanes(&self, capacity: usize, least: usize) -> usize {
        capacity.min((self.too_many / 2).max(least))
    }

    /// Makes it possible to go on after `error` in a wave of `lanes` lanes, of which `least` are needed.
    ///
    /// # Errors
    /// `error` itself where nothing can be done about it, or nothing more.
    pub fn mend(&mut self, error: Error, lanes: usize, least: usize) -> Result<()> {
        match error.downcast_ref::<EngineError>() {
            Some(EngineError::OutOfMemory(_)) if lanes > least => {
                self.too_many = lanes;
                let fewer = self.lanes(lanes, least);
                self.mended.push(format!("{error}; {} at once instead of {lanes}", counted(fewer, "run")));
                Ok(())
            }
            Some(EngineError::OutOfMemory(_)) if least > 1 => {
                Err(error
                    .context(format!("not even one ensemble of {least} runs fits; accepted: a smaller --ensemble")))
            }
            Some(EngineError::OutOfMemory(_)) => Err(error.context("not even one run fits")),
            Some(EngineError::Lost(_)) => self.reopen(error),
            _ => Err(error),
        }
    }

    fn reopen(&mut self, mut error: Error) -> Result<()> {
        while self.losses < REOPENINGS {
            self.losses += 1;
            match self.first.reopen() {
                Ok(engine) if engine.info() == self.first.info() => {
                    self.reopened = Some(engine);
                    let nth = self.losses;
                    self.mended.push(format!("{error}; it was opened again ({nth} of {REOPENINGS} times)"));
                    return Ok(());
                }
                Ok(engine) => {
                    let (now, before) = (engine.info(), self.first.info());
                    return Err(error).with_context(|| {
                        let (now, before) = (format!("{} {}", now.adapter, now.driver), &before.adapter);
                        format!("opening {before} again gave {now}, which may not go on with its rows")
                    });
                }
                Err(refusal) => {
                    error = error.context(format!("it did not come back: {refusal}"));
                    std::thread::sleep(PAUSE);
                }
            }
        }
        Err(error.context(format!("the device was lost once more after it had been opened again {REOPENINGS} times")))
    }
}
