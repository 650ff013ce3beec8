//! A sweep's answers against the number of lanes it had, and against a device that fails: engines that are told how many
//! lanes they have, and when to die.

use clap::Parser;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use tauscope::cli::{Cli, Command};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{
    Engine, EngineError, EngineInfo, Evaluation, Footprint, Observations, Part, Renewal, Run, StateError, Wave,
    WaveSpec,
};
use tauscope::minimum;
use tauscope::plan::SweepPlan;
use tauscope::sweep::{PreparedSweep, StartedCell};
use tauscope::threshold::{SearchOutcome, Trial};

/// The CPU engine with a number of lanes of its own, and of blocks in flight, whose device fails at a given block.
struct Limited {
    inner: Cpu<f64>,
    lanes: usize,
    ahead: usize,
    blocks: usize,
}

struct LimitedWave {
    inner: Box<dyn Wave>,
    ahead: usize,
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
    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        self.inner.path(spec)
    }
    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        assert!(spec.lanes <= self.lanes);
        Ok(Box::new(LimitedWave { inner: self.inner.open(spec)?, ahead: self.ahead, blocks: self.blocks }))
    }
}

impl Wave for LimitedWave {
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
        self.blocks = self.blocks.checked_sub(1).ok_or(EngineError::Device("unplugged".into()))?;
        self.inner.submit(steps)
    }
    fn collect(&mut self) -> Result<Observations, EngineError> {
        self.inner.collect()
    }
    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        self.inner.renew(renewals)
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
    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        self.inner.weights(lane)
    }
}

/// Fixed delays: every run is a job of its own.
const RUNS: &[&str] = &["--rules", "sgd,heavy-ball,nesterov,shifted", "--delays", "0,1,5"];

/// Random delays: ensembles of different beats, whose members renew each other.
const ENSEMBLES: &[&str] =
    &["--rules", "sgd,shifted", "--schedule", "random", "--delays", "1,2", "--ensemble", "8", "--tolerance", "0.3"];

fn sweep(flags: &[&str]) -> (PreparedSweep, Vec<StartedCell>) {
    let fixed = ["tauscope", "sweep", "--model", "quadratic:2,1", "--precision", "f64"];
    let flags = fixed.iter().chain(flags).copied();
    let Command::Sweep(args) = Cli::try_parse_from(flags).unwrap().command else { panic!("the flags say sweep") };
    let plan = SweepPlan::resolve(&[*args]).unwrap();
    let problem = Arc::new(plan.build().unwrap());
    let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
    let sweep = PreparedSweep::new(plan, problem, minimum);
    let cells = sweep.plan.cells().into_iter().map(|cell| StartedCell::new(cell.clone(), sweep.guess(&cell).unwrap()));
    let cells = cells.collect();
    (sweep, cells)
}

/// What each cell came to, by its index, where it was finished.
type Results = Vec<Option<(SearchOutcome, Vec<Trial>)>>;

/// What a sweep came to.
struct Measured {
    results: Results,
    config_steps: u64,
    ended: anyhow::Result<()>,
}

fn measure(flags: &[&str], lanes: usize, ahead: usize, blocks: usize) -> Measured {
    let (sweep, cells) = sweep(flags);
    let engine = Limited { inner: Cpu::default(), lanes, ahead, blocks };
    let (mut results, mut config_steps) = (vec![None; cells.len()], 0);
    let ended = sweep.measure(
        &engine,
        &cells,
        None,
        &mut |index, result| {
            assert!(results[index].is_none(), "cell {index} was reported twice");
            results[index] = Some((result.outcome, result.trials));
            Ok(())
        },
        &mut |progress| {
            assert!(progress.alive <= lanes);
            config_steps = progress.config_steps;
            ControlFlow::Continue(())
        },
    );
    Measured { results, config_steps, ended }
}

#[test]
fn the_answers_do_not_depend_on_the_number_of_lanes() {
    let one = measure(RUNS, 1, 0, usize::MAX);
    one.ended.unwrap();
    assert_eq!(one.results.len(), 5 * 3);
    assert!(one.results.iter().all(|cell| cell.as_ref().is_some_and(|(outcome, _)| outcome.measured)));
    for lanes in [2, 7, 1000] {
        let many = measure(RUNS, lanes, 0, usize::MAX);
        many.ended.unwrap();
        assert_eq!(one.results, many.results, "{lanes} lanes");
    }
}

/// Decided runs are retired late, new ones begin while others are in flight, and ensembles wait for their beats.
#[test]
fn the_answers_do_not_depend_on_the_blocks_in_flight() {
    for flags in [RUNS, ENSEMBLES] {
        for lanes in [9, 1000] {
            let none = measure(flags, lanes, 0, usize::MAX);
            none.ended.unwrap();
            assert!(none.results.iter().all(|cell| cell.as_ref().is_some_and(|(outcome, _)| outcome.measured)));
            for ahead in [1, 3] {
                let some = measure(flags, lanes, ahead, usize::MAX);
                some.ended.unwrap();
                assert_eq!(none.results, some.results, "{ahead} blocks ahead in {lanes} lanes");
                if flags == RUNS {
                    assert_eq!(none.config_steps, some.config_steps, "steps beyond a verdict do not count");
                }
            }
        }
    }
}

#[test]
fn a_failing_device_ends_the_sweep_with_its_words_and_keeps_what_was_finished() {
    for ahead in [0, 2] {
        let Measured { results, ended, .. } = measure(RUNS, 4, ahead, 60);
        let error = ended.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(EngineError::Device(_))), "{error:#}");
        assert!(error.to_string().contains("unplugged"));
        let finished = results.iter().flatten().count();
        assert!(finished > 0 && finished < results.len(), "{finished} cells were finished");
    }
}
