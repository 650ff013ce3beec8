//! Lanes that are saved, and go on in another lane of another wave: on both engines every later observation, evaluation,
//! statistic and weight must have the bits of a run that nobody interrupted.

use super::graphs::{graph, problem, wave_of};
use super::spectral;
use super::waves::{all_runs, network, paths, quadratic, run, spec};
use crate::common::gpu;
use std::io::{self, Write};
use std::sync::Arc;
use strum::IntoEnumIterator;
use tauscope::batch::{Augmentation, Sampling};
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::Paths;
use tauscope::engine::{Engine, Evaluation, Needs, Observations, Part, Renewal, Run, StateError, Wave, WaveSpec};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::problem::Network;
use tauscope::rule::{Locality, RuleKind};

/// Steps of every run.
const END: usize = 30;

/// Steps after which all lanes are saved: at the start, after the first step, in the middle of an epoch, where the slots have
/// been written several times.
const SAVES: [usize; 4] = [0, 1, 5, 17];

/// Bits of everything that is seen of a lane from some step on.
type Seen = Vec<u64>;

fn observations(seen: &Observations, lane: usize) -> impl Iterator<Item = u64> + '_ {
    seen.lane(lane)
        .iter()
        .flat_map(|it| [it.distance_squared.to_bits(), it.projection.to_bits(), it.loss.to_bits(), it.finite.into()])
}

/// What a lane ends with.
fn last(wave: &mut dyn Wave, lane: usize) -> Seen {
    let mut numbers = wave.weights(lane).unwrap();
    numbers.extend(wave.statistics(lane).unwrap());
    numbers.iter().map(|x| x.to_bits()).collect()
}

fn evaluations(wave: &mut dyn Wave, spec: &WaveSpec) -> Vec<Option<Evaluation>> {
    if spec.needs.evaluation { wave.evaluate(Part::Train).unwrap() } else { Vec::new() }
}

/// Runs `runs` to the end, saved on the way; then, from every save, in a wave with its lanes in another order, an idle one
/// among them, and with room for more than they need.
fn check(what: &str, engine: &dyn Engine, spec: &WaveSpec, runs: &[Run]) {
    let lanes = runs.len();
    let spec = WaveSpec { lanes, block: END, ..spec.clone() };
    let mut wave = engine.open(spec.clone()).unwrap();
    for (lane, run) in runs.iter().enumerate() {
        wave.start(lane, run.clone()).unwrap();
    }
    let mut seen: Vec<Seen> = vec![Vec::new(); lanes];
    let mut saved: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut lengths = Vec::new();
    for (index, made) in SAVES.into_iter().enumerate() {
        lengths.push(seen[0].len());
        if made == 5 {
            evaluations(&mut *wave, &spec);
        }
        saved.push((0..lanes).map(|lane| save(&mut *wave, lane)).collect());
        let next = SAVES.get(index + 1).copied().unwrap_or(END);
        let block = wave.advance(next - made).unwrap();
        seen.iter_mut().enumerate().for_each(|(lane, seen)| seen.extend(observations(&block, lane)));
    }
    let expected_evaluations = evaluations(&mut *wave, &spec);
    for (lane, run) in runs.iter().enumerate() {
        let own = Needs { evaluation: spec.needs.evaluation, ..run.needs(spec.batch.is_some()) };
        let bytes = engine.checkpoint_bytes(&WaveSpec { needs: own, ..spec.clone() });
        assert!(saved.iter().all(|saved| saved[lane].len() as u64 == bytes), "{what}: {bytes} bytes");
        let ended = last(&mut *wave, lane);
        seen[lane].extend(ended);
    }
    drop(wave);

    let wide = WaveSpec { lanes: lanes + 1, needs: Needs { slots: spec.needs.slots + 2, ..spec.needs }, ..spec };
    for (index, made) in SAVES.into_iter().enumerate() {
        let mut wave = engine.open(wide.clone()).unwrap();
        let place = |lane: usize| lanes - lane;
        for (lane, run) in runs.iter().enumerate() {
            let state = &mut &saved[index][lane][..];
            wave.restore(place(lane), run.clone(), made as u64, state).unwrap();
            assert!(state.is_empty(), "{what}: {} bytes are left", state.len());
        }
        let (block, seen_before) = (wave.advance(END - made).unwrap(), lengths[index]);
        let found_evaluations = evaluations(&mut *wave, &wide);
        for (lane, run) in runs.iter().enumerate() {
            let mut found: Seen = observations(&block, place(lane)).collect();
            found.extend(last(&mut *wave, place(lane)));
            let who = format!("{what}, {} at {:?}, saved after {made} steps", run.rule.name(), run.schedule);
            assert!(found == seen[lane][seen_before..], "{who}");
            if !expected_evaluations.is_empty() {
                assert_eq!(found_evaluations[place(lane)], expected_evaluations[lane], "{who}");
            }
        }
    }
}

fn save(wave: &mut dyn Wave, lane: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    wave.save(lane, &mut bytes).unwrap();
    bytes
}

/// On every engine and path.
pub fn check_all(what: &str, spec: &WaveSpec, runs: &[Run]) {
    check(&format!("cpu f64: {what}"), &Cpu::<f64>::default(), spec, runs);
    check(&format!("cpu f32: {what}"), &Cpu::<f32>::default(), spec, runs);
    for (name, gpu) in paths(spec) {
        check(&format!("{name}: {what}"), &gpu, spec, runs);
    }
}

#[test]
fn every_rule_under_every_schedule_goes_on_from_its_saved_state() {
    let perceptron = spec(network(&[5], Activation::Tanh, Loss::Ce), Some(7), 1);
    check_all("minibatches", &perceptron, &all_runs(&perceptron));
    let independent = WaveSpec { sampling: Sampling::Independent, ..perceptron };
    let runs: Vec<Run> = RuleKind::iter()
        .filter(|kind| kind.definition().locality != Locality::ScalesWithHessian && *kind != RuleKind::Muon)
        .map(|kind| run(&independent, kind, Schedule::random(4), 3))
        .collect();
    check_all("independent batches", &independent, &runs);
    let of_quadratic = spec(quadratic(), None, 1);
    check_all("a quadratic", &of_quadratic, &all_runs(&of_quadratic));
}

#[test]
fn networks_with_statistics_and_augmentation_go_on_from_their_saved_state() {
    let layers = "conv(5,3,pad=1),bn,relu,max(2),res(conv(5,3,pad=1),bn,tanh),relu,dense";
    let images = problem(graph(Shape::new(2, 6, 6), layers), 23);
    let images = Network { augmentation: Augmentation { flip: true, crop: 2 }, ..images };
    let spec = wave_of(images.clone(), Some(5), 1);
    let schedules = [Schedule::round_robin(2), Schedule::random(3)];
    let rules = [RuleKind::AdamW, RuleKind::Shifted, RuleKind::DcAsgdAdaptive, RuleKind::OrMo];
    let cells = rules.into_iter().flat_map(|kind| schedules.iter().map(move |schedule| (kind, schedule.clone())));
    let start = Arc::new(images.model.init(4));
    let of = |(kind, schedule)| Run {
        start: Arc::clone(&start),
        lr: 0.05.into(),
        centred: false,
        ..run(&spec, kind, schedule, 9)
    };
    let runs: Vec<Run> = cells.map(of).collect();
    check("cpu f64", &Cpu::<f64>::default(), &spec, &runs);
    check("cpu f32", &Cpu::<f32>::default(), &spec, &runs);
    check("gpu", &gpu().with_paths(Paths::Layered), &spec, &runs);
}

#[test]
fn matrices_that_move_as_wholes_go_on_from_their_saved_state() {
    for (what, problem, batch) in spectral::problems() {
        let (spec, runs) = spectral::wave(problem, batch);
        check(what, gpu(), &spec, &runs);
    }
}

/// Members of an ensemble take new seeds on the way, in the middle of an epoch and at its end.
#[test]
fn new_seeds_and_blocks_in_flight_are_part_of_the_state() {
    let perceptron = spec(network(&[5], Activation::Tanh, Loss::Ce), Some(7), 2);
    let schedule = Schedule::random(4);
    let a_run = Run { centred: false, ..run(&perceptron, RuleKind::Shifted, schedule, 5) };
    let engines: [&dyn Engine; 2] = [&Cpu::<f32>::default(), gpu()];
    for engine in engines {
        let mut wave = engine.open(perceptron.clone()).unwrap();
        wave.start(0, a_run.clone()).unwrap();
        for (steps, seed) in [(3, 11), (1, 12), (2, 13)] {
            wave.advance(steps).unwrap();
            wave.renew(&[Renewal { lane: 0, source: 0, factor: 0.5, seed: Some(seed) }]).unwrap();
        }
        wave.submit(4).unwrap();
        wave.submit(1).unwrap();
        let state = save(&mut *wave, 0);
        wave.collect().unwrap();
        wave.collect().unwrap();
        let mut other = engine.open(perceptron.clone()).unwrap();
        other.start(1, a_run.clone()).unwrap();
        other.restore(1, a_run.clone(), 11, &mut &state[..]).unwrap();
        let (expected, found) = (wave.advance(12).unwrap(), other.advance(12).unwrap());
        assert!(observations(&expected, 0).eq(observations(&found, 1)), "{}", engine.info().engine);
        assert_eq!(last(&mut *wave, 0), last(&mut *other, 1));
    }
}

#[test]
fn what_is_no_state_of_the_run_is_refused() {
    let perceptron = spec(network(&[5], Activation::Tanh, Loss::Ce), Some(7), 2);
    let of = |kind, delay| Run { centred: false, ..run(&perceptron, kind, Schedule::round_robin(delay), 5) };
    let a_run = of(RuleKind::HeavyBall, 3);
    let engines: [&dyn Engine; 3] = [&Cpu::<f32>::default(), &Cpu::<f64>::default(), gpu()];
    for engine in engines {
        let mut wave = engine.open(perceptron.clone()).unwrap();
        wave.start(0, a_run.clone()).unwrap();
        wave.advance(6).unwrap();
        wave.renew(&[Renewal { lane: 0, source: 0, factor: 1.0, seed: Some(1) }]).unwrap();
        let state = save(&mut *wave, 0);
        let mut refused = |run: &Run, made: u64, state: &[u8]| match wave.restore(1, run.clone(), made, &mut &*state) {
            Err(StateError::Damaged(why)) => why,
            other => panic!("{other:?}"),
        };
        for length in [0, 7, 8, 40, 64, 79, 80, 81, state.len() / 2, state.len() - 1] {
            assert_eq!(refused(&a_run, 6, &state[..length]), "ends too early", "{length} bytes");
        }
        for (run, made, part) in [
            (&a_run, 5, "6 steps made; accepted: 5"),
            (&of(RuleKind::HeavyBall, 2), 6, "4 slots; accepted: 3"),
            (&of(RuleKind::Shifted, 3), 6, "1 velocities; accepted: 4"),
            (&of(RuleKind::Adam, 3), 6, "0 second moments; accepted: 1"),
        ] {
            let why = refused(run, made, &state);
            assert!(why.contains(part), "{why}");
        }
        // The first change of the seed stands behind the header.
        let later = [&state[..64], &99u64.to_le_bytes(), &state[72..]].concat();
        assert_eq!(refused(&a_run, 6, &later), "changes its seed after step 99; accepted: 0 to 6");
        // What was refused is idle, and the others go on.
        let seen = wave.advance(1).unwrap();
        assert!(seen.get(0, 0).finite && wave.restore(1, a_run.clone(), 6, &mut &state[..]).is_ok());
        let room = Needs { slots: 3, ..perceptron.needs };
        let mut small = engine.open(WaveSpec { needs: room, ..perceptron.clone() }).unwrap();
        let refused = small.restore(0, a_run.clone(), 6, &mut &state[..]);
        assert!(matches!(refused, Err(StateError::Engine(_))), "{refused:?}");
        let full = wave.save(0, &mut Full(100));
        assert!(matches!(&full, Err(StateError::Io(error)) if error.kind() == io::ErrorKind::StorageFull), "{full:?}");
    }
}

/// A disk with room for so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
