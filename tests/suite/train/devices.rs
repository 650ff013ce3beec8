//! Trainings on devices that fail: what becomes of the runs must be what a sound device makes of them, and what happened must
//! be told.

use super::training;
use std::cell::Cell as Count;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::rc::Rc;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{
    Engine, EngineError, EngineInfo, Evaluation, Footprint, Observations, Part, Renewal, Run, StateError, Wave,
    WaveSpec,
};
use tauscope::train::Outcome;

/// The CPU engine on a device that has memory for so many lanes and is lost so many times, each time in its fifth block.
#[derive(Clone)]
pub struct Frail {
    inner: Cpu<f64>,
    memory: usize,
    losses: Rc<Count<u32>>,
    ahead: usize,
}

impl Frail {
    pub fn new(memory: usize, losses: u32, ahead: usize) -> Self {
        Self { inner: Cpu::default(), memory, losses: Rc::new(Count::new(losses)), ahead }
    }
}

struct FrailWave {
    inner: Box<dyn Wave>,
    losses: Rc<Count<u32>>,
    ahead: usize,
    blocks: u32,
}

impl Engine for Frail {
    fn info(&self) -> &EngineInfo {
        self.inner.info()
    }
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        Ok(spec.lanes)
    }
    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        self.inner.footprint(spec)
    }
    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        self.inner.path(spec)
    }
    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        if spec.lanes > self.memory {
            return Err(EngineError::OutOfMemory("no room".into()));
        }
        let (losses, ahead) = (Rc::clone(&self.losses), self.ahead);
        Ok(Box::new(FrailWave { inner: self.inner.open(spec)?, losses, ahead, blocks: 0 }))
    }
    fn reopen(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(self.clone()))
    }
}

impl Wave for FrailWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.inner.start(lane, run)
    }
    fn retire(&mut self, lane: usize) {
        self.inner.retire(lane);
    }
    fn ahead(&self) -> usize {
        self.ahead
    }
    fn submit(&mut self, steps: usize) -> Result<(), EngineError> {
        self.blocks += 1;
        if self.blocks == 5 && self.losses.get() > 0 {
            self.losses.set(self.losses.get() - 1);
            return Err(EngineError::Lost("unplugged".into()));
        }
        self.inner.submit(steps)
    }
    fn collect(&mut self) -> Result<Observations, EngineError> {
        self.inner.collect()
    }
    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        self.inner.renew(renewals)
    }
    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.inner.weights(lane)
    }
    fn second_moment(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.inner.second_moment(lane)
    }
    fn statistics(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.inner.statistics(lane)
    }
    fn save(&mut self, lane: usize, out: &mut dyn Write) -> Result<(), StateError> {
        self.inner.save(lane, out)
    }
    fn restore(&mut self, lane: usize, run: Run, made: u64, state: &mut dyn Read) -> Result<(), StateError> {
        self.inner.restore(lane, run, made, state)
    }
    fn evaluate(&mut self, part: Part) -> Result<Vec<Option<Evaluation>>, EngineError> {
        self.inner.evaluate(part)
    }
}

#[test]
fn devices_that_fail_change_no_outcome_and_are_told_of() {
    let grid = ["--batch", "20,full", "--delays", "0,5", "--seeds", "2", "--epochs", "70", "--evaluate-every", "7"];
    let size = ["--samples", "40", "--test", "20", "--model", "mlp:3", "--sharpness", "--precision", "f64"];
    let training = training(&[&grid[..], &size].concat());
    let all = |memory: usize, losses: u32, ahead: usize| -> (Vec<Option<Outcome>>, Vec<String>, anyhow::Result<()>) {
        let engine = Frail::new(memory, losses, ahead);
        let (mut ended, mut mended) = (vec![None; training.runs.len()], Vec::new());
        let done = training.train(
            &engine,
            &training.all(),
            None,
            &mut |run, outcome| {
                assert!(ended[run].is_none(), "run {run} was reported twice");
                ended[run] = Some(outcome);
                Ok(())
            },
            &mut |now| {
                mended = now.mended.to_vec();
                ControlFlow::Continue(())
            },
        );
        (ended, mended, done)
    };
    let (expected, mended, done) = all(usize::MAX, 0, 0);
    done.unwrap();
    assert!(
        mended.is_empty() && expected.len() == 12 && expected.iter().flatten().all(|outcome| outcome.last.is_some())
    );
    for (memory, losses, ahead, lines) in [(4, 0, 0, 1), (1, 0, 2, 2), (usize::MAX, 2, 0, 2), (2, 1, 3, 3)] {
        let (ended, mended, done) = all(memory, losses, ahead);
        done.unwrap();
        assert!(ended == expected, "memory for {memory} lanes, lost {losses} times");
        assert_eq!(mended.len(), lines, "{mended:?}");
    }
    let error = format!("{:#}", all(0, 0, 0).2.unwrap_err());
    assert!(error.contains("not even one run fits"), "{error}");
}
