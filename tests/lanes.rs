//! A sweep's answers against the number of lanes it had, and against a device that fails: engines that are told how many
//! lanes they have, and when to die.

use clap::Parser;
use std::ops::ControlFlow;
use std::sync::Arc;
use tauscope::cli::{Cli, Command};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, EngineError, EngineInfo, Footprint, Observations, Renewal, Run, Wave, WaveSpec};
use tauscope::minimum;
use tauscope::plan::{Cell, Plan};
use tauscope::sweep::Sweep;
use tauscope::threshold::{Outcome, Trial};

/// The CPU engine with a number of lanes of its own, whose device fails at a given block.
struct Limited {
    inner: Cpu<f64>,
    lanes: usize,
    blocks: usize,
}

struct LimitedWave {
    inner: Box<dyn Wave>,
    blocks: usize,
}

impl Engine for Limited {
    fn info(&self) -> &EngineInfo {
        self.inner.info()
    }
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        Ok(spec.lanes.min(self.lanes))
    }
    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        self.inner.footprint(spec)
    }
    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        assert!(spec.lanes <= self.lanes);
        Ok(Box::new(LimitedWave { inner: self.inner.open(spec)?, blocks: self.blocks }))
    }
}

impl Wave for LimitedWave {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.inner.start(lane, run)
    }
    fn retire(&mut self, lane: usize) {
        self.inner.retire(lane);
    }
    fn advance(&mut self, steps: usize) -> Result<Observations, EngineError> {
        self.blocks = self.blocks.checked_sub(1).ok_or(EngineError::Device("unplugged".into()))?;
        self.inner.advance(steps)
    }
    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        self.inner.renew(renewals)
    }
    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.inner.weights(lane)
    }
}

fn sweep() -> (Sweep, Vec<(Cell, f64)>) {
    let flags = [
        "tauscope",
        "sweep",
        "--model",
        "quadratic:2,1",
        "--rules",
        "sgd,heavy-ball,nesterov,shifted",
        "--delays",
        "0,1,5",
        "--precision",
        "f64",
    ];
    let Command::Sweep(args) = Cli::try_parse_from(flags).unwrap().command else { panic!("the flags say sweep") };
    let plan = Plan::resolve(&[*args]).unwrap();
    let problem = Arc::new(plan.problem.build().unwrap());
    let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
    let sweep = Sweep::new(plan, problem, minimum);
    let cells = sweep.plan.cells().into_iter().map(|cell| (cell.clone(), sweep.guess(&cell).unwrap())).collect();
    (sweep, cells)
}

/// What each cell came to, by its index, where it was finished.
type Results = Vec<Option<(Outcome, Vec<Trial>)>>;

/// The results, and how the sweep ended.
fn measure(lanes: usize, blocks: usize) -> (Results, anyhow::Result<()>) {
    let (sweep, cells) = sweep();
    let engine = Limited { inner: Cpu::default(), lanes, blocks };
    let mut results = vec![None; cells.len()];
    let ended = sweep.measure(
        &engine,
        &cells,
        &mut |index, result| {
            assert!(results[index].is_none(), "cell {index} was reported twice");
            results[index] = Some((result.outcome, result.trials));
            Ok(())
        },
        &mut |progress| {
            assert!(progress.lanes <= lanes);
            ControlFlow::Continue(())
        },
    );
    (results, ended)
}

#[test]
fn the_answers_do_not_depend_on_the_number_of_lanes() {
    let (one, ended) = measure(1, usize::MAX);
    ended.unwrap();
    assert_eq!(one.len(), 5 * 3);
    assert!(one.iter().all(|cell| cell.as_ref().is_some_and(|(outcome, _)| outcome.measured)));
    for lanes in [2, 7, 1000] {
        let (many, ended) = measure(lanes, usize::MAX);
        ended.unwrap();
        assert_eq!(one, many, "{lanes} lanes");
    }
}

#[test]
fn a_failing_device_ends_the_sweep_with_its_words_and_keeps_what_was_finished() {
    let (results, ended) = measure(4, 60);
    let error = ended.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(EngineError::Device(_))), "{error:#}");
    assert!(error.to_string().contains("unplugged"));
    let finished = results.iter().flatten().count();
    assert!(finished > 0 && finished < results.len(), "{finished} cells were finished");
}
