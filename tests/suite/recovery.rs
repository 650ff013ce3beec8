//! Sweeps on devices that fail: engines that are told when to run out of memory and when to be lost. What they measure
//! must be what a sound device measures, and what happened must be told.

use clap::Parser;
use std::cell::Cell as Count;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use tauscope::cli::{Cli, Command};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{
    Engine, EngineError, EngineInfo, Evaluation, Footprint, Needs, Observation, Observations, Part, Renewal, Run,
    StateError, Wave, WaveSpec,
};
use tauscope::minimum;
use tauscope::outer::OuterLoop;
use tauscope::plan::SweepPlan;
use tauscope::sweep::{PreparedSweep, StartedCell};
use tauscope::threshold::{SearchOutcome, Trial};

/// Lanes that the engine believes to have.
const LANES: usize = 20;

/// The CPU engine on a device with a fate. Clones share it.
#[derive(Clone)]
struct Frail {
    inner: Cpu<f64>,
    info: EngineInfo,
    /// Lanes that it has memory for.
    memory: usize,
    /// Whether it notices that when a wave is opened, or in its third block.
    lazy: bool,
    /// Blocks in flight. Where there are any, it fails when a block is collected, else when it is submitted.
    ahead: usize,
    /// How often it will still be lost, each time after so many blocks.
    losses: Rc<Count<u32>>,
    blocks: usize,
    /// Whether it comes back, and as what.
    comes_back: bool,
    comes_back_as: &'static str,
}

impl Frail {
    fn sound() -> Self {
        let inner = Cpu::default();
        let info = EngineInfo { adapter: "frail".into(), ..inner.info().clone() };
        let losses = Rc::new(Count::new(0));
        let (memory, blocks) = (LANES, 12);
        Self { inner, info, memory, lazy: false, ahead: 0, losses, blocks, comes_back: true, comes_back_as: "frail" }
    }

    fn lost(times: u32) -> Self {
        Self { losses: Rc::new(Count::new(times)), ..Self::sound() }
    }
}

struct FrailWave {
    inner: Box<dyn Wave>,
    fate: Frail,
    lanes: usize,
    block: usize,
}

impl FrailWave {
    /// # Errors
    /// Where its time has come.
    fn meet_fate(&mut self) -> Result<(), EngineError> {
        self.block += 1;
        if self.lanes > self.fate.memory && self.block == 3 {
            return Err(out_of_memory());
        }
        if self.block == self.fate.blocks && self.fate.losses.get() > 0 {
            self.fate.losses.set(self.fate.losses.get() - 1);
            return Err(EngineError::Lost("unplugged".into()));
        }
        Ok(())
    }
}

fn out_of_memory() -> EngineError {
    EngineError::OutOfMemory("no room".into())
}

impl Engine for Frail {
    fn info(&self) -> &EngineInfo {
        &self.info
    }
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        Ok(spec.lanes.min(LANES))
    }
    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        let lanes = spec.lanes;
        if lanes > self.memory && !self.lazy {
            return Err(out_of_memory());
        }
        Ok(Box::new(FrailWave { inner: self.inner.open(spec)?, fate: self.clone(), lanes, block: 0 }))
    }
    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        self.inner.footprint(spec)
    }
    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        self.inner.path(spec)
    }
    fn reopen(&self) -> Result<Box<dyn Engine>, EngineError> {
        let mut again = self.clone();
        again.info.adapter = self.comes_back_as.into();
        let gone = || EngineError::Unavailable("no adapter".into());
        self.comes_back.then(|| Box::new(again) as Box<dyn Engine>).ok_or_else(gone)
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
        self.fate.ahead
    }
    fn submit(&mut self, steps: usize) -> Result<(), EngineError> {
        if self.fate.ahead == 0 {
            self.meet_fate()?;
        }
        self.inner.submit(steps)
    }
    fn collect(&mut self) -> Result<Observations, EngineError> {
        if self.fate.ahead > 0 {
            self.meet_fate()?;
        }
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

/// What each cell came to, by its index, where it was finished.
type Results = Vec<Option<(SearchOutcome, Vec<Trial>)>>;

/// The results, what was mended, and how the sweep ended.
fn measure(engine: &Frail) -> (Results, Vec<String>, anyhow::Result<()>) {
    measure_of(engine, &["--rules", "sgd,heavy-ball,nesterov,shifted", "--delays", "0,1,5"])
}

fn measure_of(engine: &Frail, flags: &[&str]) -> (Results, Vec<String>, anyhow::Result<()>) {
    let fixed = ["tauscope", "sweep", "--model", "quadratic:2,1", "--precision", "f64"];
    let flags = fixed.iter().chain(flags).copied();
    let Command::Sweep(args) = Cli::try_parse_from(flags).unwrap().command else { panic!("the flags say sweep") };
    let plan = SweepPlan::resolve(&[*args]).unwrap();
    let problem = Arc::new(plan.build().unwrap());
    let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
    let sweep = PreparedSweep::new(plan, problem, minimum);
    let cells = sweep.plan.cells().into_iter().map(|cell| StartedCell::new(cell.clone(), sweep.guess(&cell).unwrap()));
    let cells: Vec<StartedCell> = cells.collect();
    let (mut results, mut mended) = (vec![None; cells.len()], Vec::new());
    let ended = sweep.measure(
        engine,
        &cells,
        None,
        &mut |index, result| {
            assert!(results[index].is_none(), "cell {index} was reported twice");
            results[index] = Some((result.outcome, result.trials));
            Ok(())
        },
        &mut |progress| {
            mended = progress.mended.to_vec();
            ControlFlow::Continue(())
        },
    );
    (results, mended, ended)
}

/// What a sound device measures.
fn expected() -> Results {
    let (results, mended, ended) = measure(&Frail::sound());
    ended.unwrap();
    assert!(mended.is_empty() && results.len() == 15 && results.iter().all(Option::is_some));
    results
}

#[test]
fn out_of_memory_halves_the_wave_until_it_fits() {
    let expected = expected();
    for lazy in [false, true] {
        for (memory, waves) in [
            (19, &["10 runs at once instead of 20"][..]),
            (4, &["10 runs at once instead of 20", "5 runs at once instead of 10", "2 runs at once instead of 5"]),
        ] {
            let (results, mended, ended) = measure(&Frail { memory, lazy, ..Frail::sound() });
            ended.unwrap();
            assert_eq!(results, expected, "memory for {memory} lanes");
            assert_eq!(mended.len(), waves.len(), "{mended:?}");
            for (line, wave) in mended.iter().zip(waves) {
                assert!(line.contains("out of memory") && line.contains(wave), "'{wave}' in: {line}");
            }
        }
        let (results, _, ended) = measure(&Frail { memory: 0, lazy, ..Frail::sound() });
        let error = ended.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(EngineError::OutOfMemory(_))), "{error:#}");
        assert!(format!("{error:#}").contains("not even one run fits"), "{error:#}");
        assert!(results.iter().all(Option::is_none));
    }
}

#[test]
fn a_lost_device_is_opened_again_three_times_and_no_more() {
    let expected = expected();
    for times in 1..=3 {
        let (results, mended, ended) = measure(&Frail::lost(times));
        ended.unwrap();
        assert_eq!(results, expected, "lost {times} times");
        assert_eq!(mended.len(), times as usize, "{mended:?}");
        assert!(mended.iter().all(|line| line.contains("unplugged") && line.contains("opened again")), "{mended:?}");
    }
    let (results, mended, ended) = measure(&Frail::lost(4));
    let error = format!("{:#}", ended.as_ref().unwrap_err());
    assert!(matches!(ended.unwrap_err().downcast_ref(), Some(EngineError::Lost(_))), "{error}");
    assert!(error.contains("opened again 3 times") && error.contains("unplugged"), "{error}");
    assert_eq!(mended.len(), 3);
    let finished: Vec<_> = results.iter().zip(&expected).filter(|(result, _)| result.is_some()).collect();
    assert!(!finished.is_empty() && finished.iter().all(|(result, expected)| result == expected));
}

#[test]
fn both_can_happen_in_one_sweep_with_blocks_in_flight_or_without() {
    for ahead in [0, 1, 3] {
        let (results, mended, ended) = measure(&Frail { memory: 7, lazy: true, ahead, ..Frail::lost(2) });
        ended.unwrap();
        assert_eq!(results, expected());
        assert_eq!(mended.len(), 4, "{mended:?}");
    }
}

/// The runs of an ensemble advance together and renew each other: they are redone as a whole, and never split.
#[test]
fn ensembles_are_redone_whole() {
    let flags = ["--rules", "sgd", "--schedule", "random", "--delays", "1,2", "--ensemble", "16", "--tolerance", "0.3"];
    let (expected, _, ended) = measure_of(&Frail::sound(), &flags);
    ended.unwrap();
    for ahead in [0, 2] {
        let (results, mended, ended) = measure_of(&Frail { memory: 17, lazy: true, ahead, ..Frail::lost(1) }, &flags);
        ended.unwrap();
        assert_eq!(results, expected);
        assert!(mended.len() == 2 && mended[0].contains("16 runs at once instead of 20"), "{mended:?}");
    }
    let error = measure_of(&Frail { memory: 15, ..Frail::sound() }, &flags).2.unwrap_err();
    assert!(format!("{error:#}").contains("not even one ensemble of 16 runs fits"), "{error:#}");
}

#[test]
fn a_device_that_does_not_come_back_or_comes_back_as_another_ends_the_sweep() {
    let error = format!("{:#}", measure(&Frail { comes_back: false, ..Frail::lost(1) }).2.unwrap_err());
    assert!(error.contains("did not come back") && error.contains("no adapter"), "{error}");
    let error = format!("{:#}", measure(&Frail { comes_back_as: "another", ..Frail::lost(1) }).2.unwrap_err());
    assert!(error.contains("opening frail again gave another"), "{error}");
}

/// Observations of the first of `runs`, which all are in one wave.
fn first_of(engine: &dyn Engine, spec: &WaveSpec, runs: &[Run]) -> Vec<Observation> {
    let mut wave = engine.open(WaveSpec { lanes: runs.len(), ..spec.clone() }).unwrap();
    runs.iter().enumerate().for_each(|(lane, run)| wave.start(lane, run.clone()).unwrap());
    let seen = wave.advance(spec.block).unwrap();
    let others = (1..runs.len()).filter(|lane| seen.lane(*lane).last().is_some_and(|last| !last.finite)).count();
    assert_eq!(others, runs.len() - 1, "every other lane must have overflown");
    seen.lane(0).to_vec()
}

#[test]
fn what_is_not_finite_never_leaves_its_lane() {
    let problem = tauscope::problem::Quadratic { eigenvalues: vec![2.0, 1.0, 0.5] };
    let spec = WaveSpec {
        problem: Arc::new(tauscope::problem::Problem::Quadratic(problem)),
        batch: None,
        minimum: Arc::new(vec![0.0; 3]),
        direction: Arc::new(vec![1.0, 0.0, 0.0]),
        lanes: 1,
        together: 1,
        sampling: tauscope::batch::Sampling::Epochs,
        needs: Needs { slots: 2, ..Needs::default() },
        block: 64,
    };
    let calm = Run {
        rule: tauscope::rule::Rule::new(tauscope::rule::RuleKind::Sgd, 0.0, 0.0),
        lr: 0.1.into(),
        schedule: tauscope::delay::Schedule::round_robin(1),
        seed: 0,
        start: Arc::new(vec![1.0, -1.0, 0.5]),
        centred: false,
        undamped_start: false,
        second_moment: None,
        outer: OuterLoop::default(),
        stages: [].into(),
        statistics: None,
    };
    let wild = |lr: f64| Run { lr: lr.into(), ..calm.clone() };
    let crowd = [calm.clone(), wild(1e30), wild(f64::INFINITY), wild(f64::NAN)];
    let engines: [Box<dyn Engine>; 2] = [Box::new(Cpu::<f32>::default()), Box::new(Cpu::<f64>::default())];
    for engine in &engines {
        let alone = first_of(&**engine, &spec, &crowd[..1]);
        assert!(alone.iter().all(|seen| seen.finite));
        assert_eq!(first_of(&**engine, &spec, &crowd), alone);
    }
}
