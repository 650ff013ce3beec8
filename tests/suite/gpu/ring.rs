//! Rings that are larger than one binding, and so lie in parts: every number has the bits that it has where the ring is whole.

use super::{graphs, outer, stages, waves};
use crate::common::{checks, gpu};
use tauscope::delay::Schedule;
use tauscope::engine::gpu::device::Limits;
use tauscope::engine::gpu::{AdapterChoice, Gpu, Options, Paths, SelfTest};
use tauscope::engine::{Engine, Needs, Observations, Renewal, Run, WaveSpec};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::RuleKind;
use tauscope::stages::Stages;

/// Bytes of a binding: no ring of the waves below fits, and everything else does.
const BINDING: u64 = 64 << 10;

const LANES: usize = 3;

/// Steps of a wave, in two blocks between which lanes are saved and renewed.
const STEPS: [usize; 2] = [5, 8];

/// The device whose bindings are small, and the same with its own.
fn engines() -> [Gpu; 2] {
    let limits = Limits { max_storage_buffer_binding_size: BINDING, ..gpu().device().limits().clone() };
    let (paths, self_test) = (Paths::Layered, SelfTest::Never);
    let options =
        Options { checks: checks(), cache: None, limits: Some(limits), paths, self_test, ..Options::default() };
    [Gpu::open_with(&AdapterChoice::Any, options).unwrap(), gpu().with_paths(paths)]
}

fn quadratic() -> Problem {
    Problem::Quadratic(Quadratic { eigenvalues: (0..4001).map(|i| 0.1 + f64::from(i) / 5000.0).collect() })
}

/// `plain` with room for these runs and as many lanes.
fn wave_for(plain: WaveSpec, runs: &[Run]) -> WaveSpec {
    let needs = runs.iter().map(|run| run.needs(plain.batch.is_some())).reduce(Needs::and).unwrap();
    WaveSpec { lanes: runs.len(), needs, block: STEPS[0].max(STEPS[1]), ..plain }
}

fn runs_of(plain: &WaveSpec, kinds: [RuleKind; LANES]) -> Vec<Run> {
    let run = |(kind, seed)| waves::run(plain, kind, Schedule::round_robin(4), seed);
    kinds.into_iter().zip(0..).map(run).collect()
}

/// Bits of everything that a wave shows: observations, saved states, weights.
fn outcome(engine: &Gpu, spec: &WaveSpec, runs: &[Run]) -> Vec<u64> {
    let mut bits = Vec::new();
    let mut see = |seen: Observations| {
        for lane in 0..LANES {
            let numbers = seen.lane(lane).iter().flat_map(|seen| [seen.distance_squared, seen.projection, seen.loss]);
            bits.extend(numbers.map(f64::to_bits));
        }
    };
    let mut wave = engine.open(spec.clone()).unwrap();
    for (lane, run) in runs.iter().enumerate() {
        wave.start(lane, run.clone()).unwrap();
    }
    see(wave.advance(STEPS[0]).unwrap());
    let mut states = [(); LANES].map(|()| Vec::new());
    for (lane, state) in states.iter_mut().enumerate() {
        wave.save(lane, state).unwrap();
    }
    drop(wave);
    let mut wave = engine.open(spec.clone()).unwrap();
    for (lane, run) in runs.iter().enumerate() {
        wave.restore(lane, run.clone(), STEPS[0] as u64, &mut &states[lane][..]).unwrap();
    }
    wave.renew(&[Renewal { lane: 1, source: 1, factor: 0.75, seed: None }]).unwrap();
    see(wave.advance(STEPS[1]).unwrap());
    for lane in 0..LANES {
        bits.extend(wave.weights(lane).unwrap().into_iter().map(f64::to_bits));
    }
    bits.extend(states.into_iter().flatten().map(u64::from));
    bits
}

fn check(what: &str, [cut, whole]: &[Gpu; 2], spec: &WaveSpec, runs: &[Run]) {
    let bytes = |engine: &Gpu| engine.footprint(spec).unwrap().lane;
    let together = 1 + u64::from(spec.needs.work.is_split);
    let put_together = 4 * together * spec.problem.dimension() as u64;
    assert_eq!(bytes(cut), bytes(whole) + put_together, "{what}: the ring is cut");
    let (found, expected) = (outcome(cut, spec, runs), outcome(whole, spec, runs));
    assert!(expected.len() > 1000 && found == expected, "{what}");
}

#[test]
fn a_ring_in_parts_has_the_bits_of_a_whole_one() {
    use RuleKind::{Adam, Clipped, DcAsgd, GapAware, HeavyBall, Mixing, Muon, Shifted, WeightPrediction};
    let engines = engines();
    let image = graphs::graph(Shape::new(2, 6, 6), "conv(8,3,pad=1),bn,relu,max(2),dense(40),bn,relu,dense");
    let graph = Problem::Network(graphs::problem(image, 13));
    let perceptron = waves::network(&[200, 12], Activation::Tanh, Loss::Ce);
    for (what, problem, batch) in
        [("a graph", graph, Some(5)), ("a perceptron", perceptron, Some(11)), ("a quadratic", quadratic(), None)]
    {
        let plain = waves::spec(problem, batch, LANES);
        for kinds in [[Mixing, DcAsgd, Clipped], [Shifted, HeavyBall, WeightPrediction], [Adam, GapAware, HeavyBall]] {
            let runs: Vec<Run> = runs_of(&plain, kinds)
                .into_iter()
                .map(|run| Run { centred: run.centred && kinds[0] == Mixing, ..run })
                .collect();
            check(&format!("{what}, {kinds:?}"), &engines, &wave_for(plain.clone(), &runs), &runs);
        }
        if batch.is_none() {
            let outer = outer::loops().pop().unwrap();
            let runs: Vec<Run> = runs_of(&plain, [Shifted, HeavyBall, HeavyBall])
                .into_iter()
                .map(|run| Run { outer, schedule: Schedule::round_robin(0), ..run })
                .collect();
            check("an outer loop", &engines, &wave_for(plain, &runs), &runs);
            continue;
        }
        let runs: Vec<Run> = runs_of(&plain, [Muon; LANES]);
        check(&format!("{what}, matrices as wholes"), &engines, &wave_for(plain.clone(), &runs), &runs);
        // Without stashing the way back reads other weights.
        let stages = Stages { backward_delays: Some(vec![3, 1, 0]), ..stages::stages(&[4, 2, 1]) };
        let blocks = stages.blocks(&plain.problem.layers(), plain.problem.dimension()).unwrap();
        let of_stages = |run: Run| Run { stages: stages.of_run(&run.rule, &blocks), centred: false, ..run };
        let runs: Vec<Run> = runs_of(&plain, [HeavyBall, Mixing, HeavyBall]).into_iter().map(of_stages).collect();
        check(&format!("{what} in stages"), &engines, &wave_for(plain, &runs), &runs);
    }
}
