//! Whole waves: the GPU engine, on either path, against the CPU engine in f64, for every rule, delay process, batch, activation and loss; and
//! what a run's bits may depend on, which is nothing but the run.

use crate::common::{STEPS_F32, assert_close, gpu};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use strum::IntoEnumIterator;
use tauscope::batch::Sampling;
use tauscope::data::Dataset;
use tauscope::delay::Schedule;
use tauscope::delay::ScheduleSpec;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::{Gpu, Paths};
use tauscope::engine::{Engine, EngineError, Needs, Observation, Observations, Renewal, Run, Wave, WaveSpec};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::model::Model;
use tauscope::outer::OuterLoop;
use tauscope::problem::{DenseQuadratic, Network, Problem, Quadratic};
use tauscope::rule::{Locality, Rule, RuleKind};

/// Steps of a comparison: every slot is written several times, and no trajectory has parted from its twin yet.
const STEPS: usize = 12;

fn uniform(seed: u64, length: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// 45 random samples of 7 features in 4 classes, on which a network learns something but fits nothing.
pub fn network(hidden: &[usize], activation: Activation, loss: Loss) -> Problem {
    let (samples, features, classes) = (45, 7, 4);
    let data = Dataset {
        inputs: uniform(1, samples * features).iter().map(|x| *x as f32).collect(),
        labels: (0..samples as u32).map(|row| (row * row + 1) % classes as u32).collect(),
        shape: Shape::vector(features),
        classes,
    };
    Problem::Network(Network::new(Model::mlp(features, hidden, classes, activation), loss, 0.01, data))
}

pub fn quadratic() -> Problem {
    Problem::Quadratic(Quadratic { eigenvalues: (0..150).map(|i| 0.1 + f64::from(i) / 200.0).collect() })
}

/// The Hessians of 9 random samples, each of two outputs and 70 parameters.
pub fn dense() -> Problem {
    let (samples, dimension) = (9, 70);
    let of = |sample: u64| {
        let slopes = uniform(200 + sample, 2 * dimension);
        let entry = move |place: usize| {
            let (i, j) = (place / dimension, place % dimension);
            let product = slopes[i] * slopes[j] + slopes[dimension + i] * slopes[dimension + j];
            0.05 * product + if i == j { 0.1 } else { 0.0 }
        };
        (0..dimension * dimension).map(entry).collect::<Vec<f64>>()
    };
    let hessians = (0..samples).flat_map(of).collect();
    Problem::Dense(DenseQuadratic::new(dimension, Some(samples as usize), hessians).unwrap())
}

/// A wave for `lanes` runs with rings of up to four slots, whose landmarks are arbitrary.
pub fn spec(problem: Problem, batch: Option<usize>, lanes: usize) -> WaveSpec {
    let dimension = problem.dimension();
    let direction = uniform(3, dimension);
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    WaveSpec {
        problem: Arc::new(problem),
        batch,
        sampling: Sampling::Epochs,
        minimum: Arc::new(uniform(2, dimension).iter().map(|x| 0.1 * x).collect()),
        direction: Arc::new(direction.iter().map(|x| x / norm).collect()),
        lanes,
        together: 1,
        needs: Needs {
            slots: 6,
            slot_velocity: true,
            second_moment: true,
            slot_second_moment: true,
            finish: true,
            centred: batch.is_some(),
            evaluation: false,
            work: Default::default(),
        },
        block: STEPS,
    }
}

/// A run that moves visibly in a few steps, from a start of its own.
pub fn run(spec: &WaveSpec, kind: RuleKind, schedule: Schedule, seed: u64) -> Run {
    let restless = kind.definition().locality == Locality::Restless;
    let (momentum, dampening) = if kind.definition().momentum.is_some() { (0.5, 0.25) } else { (0.0, 0.0) };
    Run {
        rule: Rule::new(kind, momentum, dampening),
        lr: (if restless { 0.01 } else { 0.2 + 0.001 * seed as f64 }).into(),
        schedule,
        seed,
        start: Arc::new(uniform(100 + seed, spec.problem.dimension())),
        // Every other one, where there are batches to centre.
        centred: !restless && spec.batch.is_some() && seed.is_multiple_of(2),
        undamped_start: !seed.is_multiple_of(2),
        second_moment: None,
        outer: OuterLoop::default(),
        stages: [].into(),
        statistics: None,
    }
}

fn in_turn(delay: u32) -> Schedule {
    Schedule::round_robin(delay)
}

/// The last example of every process in the registry, and a recorded trace.
fn every_process() -> Vec<Schedule> {
    let mut last = BTreeMap::new();
    for text in ScheduleSpec::examples() {
        last.insert(text.split(':').next().unwrap(), text.parse::<ScheduleSpec>().unwrap().example());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0\n3\n1\n5\n2\n").unwrap();
    let trace = format!("trace:{}", file.path().display()).parse::<ScheduleSpec>().unwrap().own().unwrap();
    last.into_values().chain([trace]).collect()
}

/// Every rule under every delay process that it admits.
pub fn all_runs(spec: &WaveSpec) -> Vec<Run> {
    let quadratic = spec.problem.curvature().is_some();
    let schedules: Vec<Schedule> = [0, 1].map(in_turn).into_iter().chain(every_process()).collect();
    // Muon needs a wave of its own kind (`spectral`).
    let rules = RuleKind::iter()
        .filter(|kind| *kind != RuleKind::Muon)
        .filter(|kind| quadratic || kind.definition().locality != Locality::ScalesWithHessian);
    let cells = rules.flat_map(|kind| schedules.iter().map(move |schedule| (kind, schedule.clone())));
    let admitted = cells.filter(|(kind, schedule)| !kind.definition().workers || schedule.workers().is_some());
    let runs: Vec<Run> = admitted.zip(0..).map(|((kind, schedule), seed)| run(spec, kind, schedule, seed)).collect();
    assert!(runs.len() > 7 * 16, "{} runs", runs.len());
    runs
}

/// The GPU engine on each of the paths that a wave can take.
pub fn paths(spec: &WaveSpec) -> Vec<(&'static str, Gpu)> {
    let paths = [("layered", gpu().with_paths(Paths::Layered)), ("fused", gpu().with_paths(Paths::Fused))];
    let found: Vec<_> = paths.into_iter().filter(|(_, gpu)| gpu.path(spec).is_ok()).collect();
    assert_eq!(found.len(), if matches!(&*spec.problem, Problem::Network(_)) { 2 } else { 1 });
    found
}

/// Observations of `runs`, one lane each, and their weights at the end.
fn advance(engine: &dyn Engine, spec: &WaveSpec, runs: &[Run]) -> Vec<(Vec<Observation>, Vec<f64>)> {
    let mut wave = engine.open(WaveSpec { lanes: runs.len(), ..spec.clone() }).unwrap();
    for (lane, run) in runs.iter().enumerate() {
        wave.start(lane, run.clone()).unwrap();
    }
    let seen = wave.advance(STEPS).unwrap();
    assert_eq!(seen.steps(), STEPS);
    (0..runs.len()).map(|lane| (seen.lane(lane).to_vec(), wave.weights(lane).unwrap())).collect()
}

/// The GPU waves and the f32 CPU wave against the f64 one.
pub fn check_parity(what: &str, spec: &WaveSpec, runs: &[Run]) {
    let oracle = advance(&Cpu::<f64>::default(), spec, runs);
    let (cpu, paths) = (Cpu::<f32>::default(), paths(spec));
    let gpus = paths.iter().map(|(name, gpu)| (gpu as &dyn Engine, *name));
    for (engine, name) in gpus.chain([(&cpu as &dyn Engine, "cpu f32")]) {
        for ((run, (seen, weights)), (expected, expected_weights)) in
            runs.iter().zip(advance(engine, spec, runs)).zip(&oracle)
        {
            let what = format!("{name}: {what}, {} at {:?}", run.rule.name(), run.schedule);
            assert_close(&what, &weights, expected_weights, STEPS_F32);
            let series = |seen: &[Observation]| {
                let members = |seen: &Observation| [seen.distance_squared, seen.projection, seen.loss];
                [0, 1, 2].map(|member| seen.iter().map(|seen| members(seen)[member]).collect::<Vec<f64>>())
            };
            for (member, (seen, expected)) in
                ["distance", "projection", "loss"].iter().zip(series(&seen).iter().zip(&series(expected)))
            {
                assert_close(&format!("{what}: {member}"), seen, expected, STEPS_F32);
            }
            assert!(seen.iter().all(|seen| seen.finite), "{what}");
        }
    }
}

#[test]
fn every_rule_and_schedule_agrees_on_the_full_batch() {
    let spec = spec(network(&[6], Activation::Tanh, Loss::Ce), None, 12);
    check_parity("full batch", &spec, &all_runs(&spec));
}

#[test]
fn every_rule_and_schedule_agrees_on_minibatches() {
    let spec = spec(network(&[6], Activation::Tanh, Loss::Ce), Some(11), 12);
    check_parity("minibatch", &spec, &all_runs(&spec));
}

#[test]
fn every_rule_and_schedule_agrees_on_a_quadratic() {
    let spec = spec(quadratic(), None, 12);
    check_parity("quadratic", &spec, &all_runs(&spec));
}

#[test]
fn every_rule_and_schedule_agrees_on_the_hessians_of_samples() {
    for batch in [None, Some(2)] {
        let spec = spec(dense(), batch, 12);
        check_parity(&format!("dense quadratic, batch {batch:?}"), &spec, &all_runs(&spec));
    }
}

#[test]
fn every_activation_and_loss_agrees_at_every_depth() {
    let mut cases = 0;
    // Every activation with every loss, and either with every depth: two of four depths each time, since every case
    // compiles shaders of its own.
    let depths = [&[][..], &[5], &[9, 6], &[5, 35, 3]];
    for (i, activation) in Activation::iter().enumerate() {
        for (j, loss) in Loss::iter().enumerate() {
            for hidden in [depths[(i + 2 * j) % 4], depths[(i + 2 * j + 1) % 4]] {
                let spec = spec(network(hidden, activation, loss), None, 1);
                check_parity(
                    &format!("{activation} {loss} {hidden:?}"),
                    &spec,
                    &[run(&spec, RuleKind::HeavyBall, in_turn(1), 0)],
                );
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 16);
}

/// The bits of a run: distance, projection and loss of every step, then its weights.
fn bits(seen: impl Iterator<Item = Observation>, weights: &[f64]) -> Vec<u64> {
    let seen = seen.flat_map(|seen| [seen.distance_squared, seen.projection, seen.loss]);
    seen.chain(weights.iter().copied()).map(f64::to_bits).collect()
}

/// The bits of every rule and schedule, of full batches, minibatches and a quadratic.
pub fn short_waves(gpu: &dyn Engine) -> Vec<Vec<u64>> {
    let network = || network(&[6], Activation::Gelu, Loss::Ce);
    [spec(network(), None, 1), spec(network(), Some(11), 1), spec(quadratic(), None, 1)]
        .iter()
        .flat_map(|spec| advance(gpu, spec, &all_runs(spec)))
        .map(|(seen, weights)| bits(seen.into_iter(), &weights))
        .collect()
}

#[test]
fn a_run_has_the_same_bits_wherever_and_whenever_it_runs() {
    let network = || network(&[6], Activation::Gelu, Loss::Ce);
    for (what, spec) in [
        ("full batch", spec(network(), None, 7)),
        ("minibatch", spec(network(), Some(11), 7)),
        ("quadratic", spec(quadratic(), None, 7)),
        ("dense quadratic", spec(dense(), Some(2), 7)),
    ] {
        for (path, engine) in &paths(&spec) {
            has_the_same_bits(&format!("{path}, {what}"), engine, &spec);
        }
    }
}

fn has_the_same_bits(what: &str, engine: &Gpu, spec: &WaveSpec) {
    let probe = run(spec, RuleKind::Shifted, in_turn(3), 50);
    let (seen, weights) = advance(engine, spec, std::slice::from_ref(&probe)).remove(0);
    let alone = bits(seen.into_iter(), &weights);

    let others: Vec<Run> = all_runs(spec).into_iter().rev().take(7).collect();
    let mut wave = engine.open(spec.clone()).unwrap();
    for lane in [0, 1, 2, 4, 6] {
        wave.start(lane, others[lane].clone()).unwrap();
    }
    wave.start(5, probe.clone()).unwrap();
    // Lane 3 is idle; the block is cut in two.
    let mut seen: Vec<Observation> = wave.advance(5).unwrap().lane(5).to_vec();
    seen.extend(wave.advance(STEPS - 5).unwrap().lane(5));
    assert_eq!(bits(seen.into_iter(), &wave.weights(5).unwrap()), alone, "{what}: in lane 5 of 7");

    // Late, in place of a run that was retired, and in a lane that has never been used.
    wave.retire(6);
    wave.start(6, probe.clone()).unwrap();
    wave.start(3, probe.clone()).unwrap();
    wave.start(0, probe).unwrap();
    let seen = wave.advance(STEPS).unwrap();
    for lane in [0, 3, 6] {
        let weights = wave.weights(lane).unwrap();
        assert_eq!(bits(seen.lane(lane).iter().copied(), &weights), alone, "{what}: started late in lane {lane}");
    }
}

/// Copies take over weights, velocities, the place in the schedule and in the epoch; only the future is their own.
#[test]
fn renewed_lanes_go_on_like_their_sources_at_another_scale() {
    for (what, spec) in [
        ("minibatch", spec(network(&[6], Activation::Tanh, Loss::Ce), Some(11), 3)),
        ("quadratic", spec(quadratic(), None, 3)),
    ] {
        let (oracle, paths) = (Cpu::<f64>::default(), paths(&spec));
        let engines = std::iter::once(&oracle as &dyn Engine).chain(paths.iter().map(|(_, gpu)| gpu as &dyn Engine));
        let series = engines.map(|engine| {
            let mut wave = engine.open(spec.clone()).unwrap();
            let schedule = Schedule::random(4);
            for lane in 0..3 {
                wave.start(lane, run(&spec, RuleKind::HeavyBall, schedule.clone(), 2 * lane as u64)).unwrap();
            }
            wave.advance(STEPS / 2).unwrap();
            let renewal = |lane, source, factor, seed| Renewal { lane, source, factor, seed };
            // Lane 1 becomes lane 0 as it was, which is scaled in the same call; lane 2 draws other batches and delays.
            let renewals = [renewal(1, 0, 1.0, None), renewal(0, 0, 0.5, None), renewal(2, 2, -0.25, Some(99))];
            wave.renew(&renewals).unwrap();
            let after: Vec<Vec<f64>> = (0..3).map(|lane| wave.weights(lane).unwrap()).collect();
            let half: Vec<f64> = after[1].iter().zip(&*spec.minimum).map(|(x, m)| m + 0.5 * (x - m)).collect();
            assert_close(&format!("{what}: half of lane 1"), &after[0], &half, STEPS_F32);
            let seen = wave.advance(STEPS / 2).unwrap();
            (0..3)
                .flat_map(|lane| seen.lane(lane).iter().map(|seen| seen.projection).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        });
        let series: Vec<Vec<f64>> = series.collect();
        for (series_of, (path, _)) in series[1..].iter().zip(&paths) {
            assert_close(&format!("{path}, {what}: after the renewal"), series_of, &series[0], STEPS_F32);
        }
    }
}

/// Starts are brought to the device when they are first needed: more of them than the wave has lanes, some known and some
/// not, some replaced before they were ever submitted.
#[test]
fn every_run_begins_at_its_own_start() {
    let spec = spec(quadratic(), None, 3);
    let run = |start| run(&spec, RuleKind::HeavyBall, in_turn(2), start);
    let mut wave = gpu().open(spec.clone()).unwrap();
    for (round, starts) in [[0u64, 1, 1], [1, 2, 3], [4, 4, 5], [5, 6, 0]].into_iter().enumerate() {
        wave.start(1, run(50 + round as u64)).unwrap();
        for (lane, start) in starts.into_iter().enumerate() {
            wave.start(lane, run(start)).unwrap();
        }
        if round % 2 == 0 {
            for (lane, start) in starts.into_iter().enumerate() {
                let expected: Vec<f64> = run(start).start.iter().map(|x| f64::from(*x as f32)).collect();
                assert_eq!(wave.weights(lane).unwrap(), expected, "round {round}");
            }
        }
        let seen = wave.advance(STEPS).unwrap();
        for (lane, start) in starts.into_iter().enumerate() {
            let [(alone, weights)] = &advance(gpu(), &spec, &[run(start)])[..] else { panic!("one run") };
            assert_eq!(seen.lane(lane), alone, "round {round}, lane {lane}");
            assert_eq!(&wave.weights(lane).unwrap(), weights, "round {round}, lane {lane}");
        }
    }
}

#[test]
fn a_run_that_diverges_is_seen_to_and_disturbs_no_other() {
    let spec = spec(quadratic(), None, 2);
    let calm = run(&spec, RuleKind::Sgd, in_turn(1), 1);
    let wild = Run { lr: 1e30.into(), ..calm.clone() };
    let [(expected, _)] = &advance(gpu(), &spec, std::slice::from_ref(&calm))[..] else { panic!("one run") };
    let seen = advance(gpu(), &spec, &[calm, wild]);
    assert_eq!(&seen[0].0, expected);
    assert!(seen[0].0.iter().all(|seen| seen.finite));
    assert!(!seen[1].0[STEPS - 1].finite, "{:?}", seen[1].0);
}

/// Blocks are collected late, while runs end, begin and are renewed behind them.
#[test]
fn blocks_in_flight_hold_what_they_would_hold_alone() {
    let spec = spec(network(&[6], Activation::Tanh, Loss::Ce), Some(11), 3);
    let run = |seed| run(&spec, RuleKind::HeavyBall, in_turn(2), seed);
    let renewals = [Renewal { lane: 1, source: 2, factor: 0.5, seed: Some(9) }];
    let observe = |engine: &dyn Engine, late: bool| {
        let mut wave = engine.open(spec.clone()).unwrap();
        let (mut seen, mut flying) = (Vec::new(), 0);
        let mut submit = |wave: &mut dyn Wave, steps| {
            wave.submit(steps).unwrap();
            flying += 1;
            while flying > if late { 3 } else { 0 } {
                seen.push(wave.collect().unwrap());
                flying -= 1;
            }
        };
        wave.start(0, run(0)).unwrap();
        wave.start(2, run(2)).unwrap();
        submit(&mut *wave, 5);
        wave.start(1, run(1)).unwrap();
        wave.retire(0);
        submit(&mut *wave, STEPS);
        submit(&mut *wave, 0);
        wave.renew(&renewals).unwrap();
        wave.start(0, run(3)).unwrap();
        submit(&mut *wave, 7);
        wave.retire(2);
        submit(&mut *wave, 3);
        (0..3).for_each(|lane| wave.retire(lane));
        submit(&mut *wave, 2);
        while flying > 0 {
            seen.push(wave.collect().unwrap());
            flying -= 1;
        }
        let steps: Vec<usize> = seen.iter().map(Observations::steps).collect();
        assert_eq!(steps, [5, STEPS, 0, 7, 3, 2]);
        seen.iter().flat_map(|block| (0..3).map(|lane| block.lane(lane).to_vec())).collect::<Vec<_>>()
    };
    let at_once = observe(gpu(), false);
    assert_eq!(observe(gpu(), true), at_once);
    let cpu = Cpu::<f32>::default();
    assert_eq!(observe(&cpu, true), observe(&cpu, false));
    let busy: Vec<bool> = at_once.iter().map(|seen| seen.iter().any(|seen| seen.loss > 0.0)).collect();
    let expected = [[true, false, true], [false, true, true], [false; 3], [true; 3], [true, true, false], [false; 3]];
    assert_eq!(busy, expected.concat());
}

#[test]
fn a_block_is_submitted_in_as_many_portions_as_it_takes() {
    for problem in [quadratic(), network(&[6], Activation::Tanh, Loss::Ce)] {
        let spec = WaveSpec { block: 300, ..spec(problem, None, 1) };
        let start = |engine: &dyn Engine| {
            let mut wave = engine.open(spec.clone()).unwrap();
            wave.start(0, run(&spec, RuleKind::HeavyBall, in_turn(3), 4)).unwrap();
            wave
        };
        let whole: Vec<Observation> = start(gpu()).advance(300).unwrap().lane(0).to_vec();
        let mut wave = start(gpu());
        let pieces: Vec<Observation> =
            [1, 63, 65, 171].iter().flat_map(|steps| wave.advance(*steps).unwrap().lane(0).to_vec()).collect();
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 300);
    }
}

#[test]
fn a_wave_that_exceeds_the_device_is_refused_with_the_numbers() {
    let largest = gpu().device().limits().max_storage_buffer_binding_size;
    let dimension = quadratic().dimension() as u64;
    let slots = (largest / (4 * dimension)) as usize + 1;
    // A second moment of whole gradients keeps the ring in one buffer.
    let whole = Needs { finish: true, second_moment: true, ..Needs::default() };
    let deep = |slots| Needs { slots, slot_velocity: true, ..whole };
    let too_deep = WaveSpec { needs: deep(slots), ..spec(quadratic(), None, 1) };
    for error in [gpu().capacity(&too_deep).err(), gpu().open(too_deep).err()] {
        let Some(EngineError::TooLarge(message)) = error else { panic!("{error:?}") };
        assert!(message.contains("history") && message.contains(&largest.to_string()), "{message}");
    }
    // A software adapter with large bindings ends the loops that fill more slots.
    let fewer = (slots / 10).min(20_000);
    let fit = (largest / (4 * dimension * fewer as u64)) as usize;
    let many = WaveSpec { needs: deep(fewer), lanes: fit + 1, ..spec(quadratic(), None, 1) };
    let capacity = gpu().capacity(&many).unwrap();
    assert!((1..=fit).contains(&capacity), "{capacity} of {fit}");
    assert!(matches!(gpu().open(many).err(), Some(EngineError::TooLarge(_))));
}

#[test]
fn a_run_that_does_not_fit_its_wave_is_refused() {
    let spec = spec(quadratic(), None, 1);
    let needs = Needs { slots: 4, ..Needs::default() };
    let mut wave = gpu().open(WaveSpec { needs, ..spec.clone() }).unwrap();
    wave.start(0, run(&spec, RuleKind::Sgd, in_turn(3), 0)).unwrap();
    for (kind, delay) in [
        (RuleKind::Shifted, 1),
        (RuleKind::Sgd, 4),
        (RuleKind::Adam, 1),
        (RuleKind::GapAware, 1),
        (RuleKind::Clipped, 1),
        (RuleKind::DcAsgd, 1),
    ] {
        let refused = wave.start(0, run(&spec, kind, in_turn(delay), 0));
        assert!(matches!(refused, Err(EngineError::TooLarge(_))), "{kind} at delay {delay}");
    }
}

/// A wave of a network that keeps a device busy for a while, the longer the more lanes it has.
pub fn busy_wave(gpu: &dyn Engine, lanes: usize) -> (Box<dyn Wave>, WaveSpec) {
    let spec = spec(network(&[64], Activation::Tanh, Loss::Ce), None, lanes);
    let mut wave = gpu.open(spec.clone()).unwrap();
    (0..spec.lanes).for_each(|lane| wave.start(lane, run(&spec, RuleKind::Sgd, in_turn(1), lane as u64)).unwrap());
    (wave, spec)
}

#[test]
fn what_is_not_finite_never_leaves_its_lane() {
    for batch in [None, Some(8)] {
        let spec = spec(network(&[9], Activation::Tanh, Loss::Ce), batch, 1);
        let calm = run(&spec, RuleKind::HeavyBall, in_turn(1), 0);
        let wild = [1e30, f64::INFINITY, f64::NAN].map(|lr| Run { lr: lr.into(), ..calm.clone() });
        for (path, engine) in &paths(&spec) {
            let alone = advance(engine, &spec, std::slice::from_ref(&calm));
            // Between them, so that both neighbours in memory are wild.
            let crowd = [wild[0].clone(), calm.clone(), wild[1].clone(), wild[2].clone()];
            let seen = advance(engine, &spec, &crowd);
            for lane in [0, 2, 3] {
                assert!(!seen[lane].0.last().unwrap().finite, "{path}: lane {lane} must have overflown");
            }
            assert_eq!(seen[1], alone[0], "{path}");
        }
    }
}
