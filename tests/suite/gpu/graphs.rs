//! Networks of any layers on the GPU engine: gradients against one pass in f64, whole runs against the CPU engine in f64,
//! running statistics, evaluations, augmentation, and what a wave of them takes.

use super::waves::{run, spec};
use crate::common::{STEPS_F32, assert_close, checks, gpu};
use std::sync::Arc;
use tauscope::batch::Augmentation;
use tauscope::data::Dataset;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::{AdapterChoice, Gpu, Options, Paths};
use tauscope::engine::{Engine, EngineError, Footprint, Needs, Observation, Part, Renewal, Run, Wave, WaveSpec};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::model::Backprop;
use tauscope::model::layers::Layers;
use tauscope::model::zoo::Named;
use tauscope::model::{Model, graph::Graph};
use tauscope::problem::{Network, Problem};
use tauscope::rule::RuleKind;

const CLASSES: usize = 3;

/// Models of every layer that there is, on images of the given shape.
const MODELS: [(Shape, &str); 7] = [
    (Shape::new(2, 6, 6), "conv(5,3,pad=1),bn,relu,max(2),res(conv(5,3,pad=1),bn,tanh),relu,dense"),
    (
        Shape::new(3, 7, 5),
        "conv(4,3,stride=2,pad=1,nobias),gn(2),gelu,avg(2,stride=1),conv(6,1),leaky-relu,dense(7,nobias),tanh,dense",
    ),
    (Shape::new(1, 8, 8), "max(3,stride=2,pad=1),res(conv(4,1,nobias);conv(4,3,pad=1)),avg,dense"),
    // The data itself is a part of sums; two blocks read one value, and one block holds another.
    (Shape::new(2, 4, 4), "res(tanh),conv(3,2),res(conv(3,3,pad=1);res(conv(3,1),bn;relu)),relu,dense"),
    (Shape::new(2, 5, 5), "bn,conv(4,3),bn,relu,res(res(tanh)),dense(6),bn,relu,res(dense(6)),dense"),
    (Shape::vector(9), "dense(8),gn(4),relu,res(dense(8),bn,relu),dense(nobias)"),
    // Gradients in slices.
    (Shape::new(1, 16, 16), "conv(3,3,pad=1),relu,max(4),conv(4,3,pad=1),relu,avg,dense"),
];

/// Random images; `test` ones too.
pub fn problem(graph: Graph, samples: usize) -> Network {
    let data = |seed: u64, samples: usize| Dataset {
        inputs: super::lanes::uniform(seed, samples * graph.input.elements()),
        labels: (0..samples as u32).map(|row| (row * row + 1) % CLASSES as u32).collect(),
        shape: graph.input,
        classes: CLASSES,
    };
    let network = Network::new(graph.clone().into(), Loss::Ce, 0.01, data(1, samples));
    Network { test: Some(data(2, 2 * samples + 5)), ..network }
}

pub fn graph(shape: Shape, layers: &str) -> Graph {
    layers.replace("dense(nobias)", "dense(3,nobias)").parse::<Layers>().unwrap().graph(shape, CLASSES).unwrap()
}

/// A wave whose landmarks are arbitrary and whose runs start as the model does.
pub fn wave_of(network: Network, batch: Option<usize>, lanes: usize) -> WaveSpec {
    let spec = spec(Problem::Network(network), batch, lanes);
    WaveSpec { needs: Needs { centred: false, evaluation: true, ..spec.needs }, ..spec }
}

fn a_run(spec: &WaveSpec, kind: RuleKind, delay: u32, seed: u64) -> Run {
    let Problem::Network(network) = &*spec.problem else { panic!("a network") };
    let start = Arc::new(network.model.init(seed));
    Run { start, lr: 0.05.into(), centred: false, ..run(spec, kind, Schedule::round_robin(delay), seed) }
}

#[test]
fn gradients_of_every_layer_agree_with_a_pass_in_f64() {
    for (index, (shape, layers)) in MODELS.into_iter().enumerate() {
        check_gradient(layers, &problem(graph(shape, layers), [5, 13, 7][index % 3]));
    }
    let deep = Named::Resnet20.graph(Shape::new(3, 8, 8), CLASSES).unwrap();
    check_gradient("resnet20", &problem(deep, 6));
}

/// One step of gradient descent at rate 1 is the gradient.
fn check_gradient(what: &str, network: &Network) {
    let network = Network { weight_decay: 0.0, ..network.clone() };
    let (spec, samples) = (wave_of(network.clone(), None, 2), network.data.samples());
    let mut wave = gpu().open(spec.clone()).unwrap();
    let start: Vec<f64> = a_run(&spec, RuleKind::Sgd, 0, 7).start.iter().map(|x| f64::from(*x as f32)).collect();
    let run = Run { lr: 1.0.into(), start: Arc::new(start.clone()), ..a_run(&spec, RuleKind::Sgd, 0, 7) };
    wave.start(1, run).unwrap();
    let seen = wave.advance(1).unwrap();
    let found: Vec<f64> = start.iter().zip(wave.weights(1).unwrap()).map(|(x, moved)| x - moved).collect();

    let inputs: Vec<f64> = network.data.inputs.iter().map(|x| f64::from(*x)).collect();
    let mut pass = Backprop::<f64>::new(&network.model.graph, network.loss, samples);
    let mut gradient = vec![0.0; start.len()];
    let loss = pass.loss_and_gradient(&start, &inputs, &network.data.labels, &mut gradient);
    assert_close(&format!("{what}: loss"), &[seen.get(0, 1).loss], &[loss], STEPS_F32);
    let largest = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    for tensor in &network.model.graph.tensors.parameters {
        let (found, expected) = (tensor.of(&found), tensor.of(&gradient));
        // Before a batch norm a bias has no gradient but rounding.
        if expected.iter().any(|g| g.abs() > 1e-9 * largest) {
            assert_close(&format!("{what}: {}", tensor.name), found, expected, 5.0 * STEPS_F32);
        }
    }
    let mut statistics = network.model.fresh_statistics();
    pass.update_statistics(samples, &mut statistics);
    if !statistics.is_empty() {
        assert_close(&format!("{what}: statistics"), &wave.statistics(1).unwrap(), &statistics, STEPS_F32);
    }
}

/// What is seen of runs, and what is left of them.
struct Outcome {
    seen: Vec<Observation>,
    weights: Vec<f64>,
    statistics: Vec<f64>,
    train: (f64, u64),
    test: (f64, u64),
}

fn outcome(wave: &mut dyn Wave, lane: usize, seen: Vec<Observation>) -> Outcome {
    let mut evaluate = |part| {
        let evaluation = wave.evaluate(part).unwrap()[lane].expect("a busy lane");
        (evaluation.loss, evaluation.correct)
    };
    let (train, test) = (evaluate(Part::Train), evaluate(Part::Test));
    Outcome { seen, train, test, weights: wave.weights(lane).unwrap(), statistics: wave.statistics(lane).unwrap() }
}

fn advance(engine: &dyn Engine, spec: &WaveSpec, runs: &[Run], steps: usize) -> Vec<Outcome> {
    let mut wave = engine.open(WaveSpec { lanes: runs.len(), ..spec.clone() }).unwrap();
    runs.iter().enumerate().for_each(|(lane, run)| wave.start(lane, run.clone()).unwrap());
    let seen = wave.advance(steps).unwrap();
    (0..runs.len()).map(|lane| outcome(&mut *wave, lane, seen.lane(lane).to_vec())).collect()
}

fn assert_same(what: &str, found: &Outcome, expected: &Outcome) {
    let tolerance = 5.0 * STEPS_F32;
    assert_close(&format!("{what}: weights"), &found.weights, &expected.weights, tolerance);
    let losses = |outcome: &Outcome| outcome.seen.iter().map(|seen| seen.loss).collect::<Vec<_>>();
    assert_close(&format!("{what}: losses"), &losses(found), &losses(expected), tolerance);
    if !expected.statistics.is_empty() {
        assert_close(&format!("{what}: statistics"), &found.statistics, &expected.statistics, tolerance);
    }
    for (part, found, expected) in [("train", found.train, expected.train), ("test", found.test, expected.test)] {
        assert_close(&format!("{what}: loss on {part}"), &[found.0], &[expected.0], tolerance);
        assert_eq!(found.1, expected.1, "{what}: right on {part}");
    }
}

#[test]
fn delayed_runs_agree_with_the_oracle_and_are_evaluated() {
    for (index, (shape, layers)) in MODELS.into_iter().enumerate() {
        let batch = (index % 2 == 0).then_some(6);
        let mut network = problem(graph(shape, layers), 20);
        if batch.is_some() {
            network.augmentation = Augmentation { flip: true, crop: index / 2 };
        }
        let spec = wave_of(network, batch, 2);
        assert_eq!(gpu().path(&spec).unwrap(), "layered");
        let runs = [a_run(&spec, RuleKind::HeavyBall, 2, 1), a_run(&spec, RuleKind::Shifted, 1, 2)];
        let expected = advance(&Cpu::<f64>::default(), &spec, &runs, 5);
        for ((run, found), expected) in runs.iter().zip(advance(gpu(), &spec, &runs, 5)).zip(&expected) {
            assert_same(&format!("{layers}, {}", run.rule.name()), &found, expected);
        }
    }
}

/// Perceptrons are evaluated on whichever path they run: packed weights are read where they lie.
#[test]
fn perceptrons_are_evaluated_on_every_path() {
    let data = problem(graph(Shape::vector(7), "dense"), 70);
    for hidden in [&[][..], &[6], &[5, 9, 4]] {
        let model = Model::mlp(7, hidden, CLASSES, Activation::Tanh);
        let spec = wave_of(Network { model, ..data.clone() }, Some(11), 2);
        let runs = [1, 2].map(|seed| a_run(&spec, RuleKind::HeavyBall, 2, seed));
        let expected = advance(&Cpu::<f64>::default(), &spec, &runs, 5);
        for paths in [Paths::Fused, Paths::Layered] {
            let found = advance(&gpu().with_paths(paths), &spec, &runs, 5);
            for (found, expected) in found.iter().zip(&expected) {
                assert_same(&format!("{paths:?} {hidden:?}"), found, expected);
            }
        }
    }
}

#[test]
fn a_list_of_layers_that_is_a_perceptron_runs_as_one() {
    let typed = problem(graph(Shape::new(1, 3, 3), "dense(6),tanh,dense"), 40);
    let made = Network { model: Model::mlp(9, &[6], CLASSES, Activation::Tanh), ..typed.clone() };
    let [typed, made] = [typed, made].map(|network| {
        let spec = wave_of(network, Some(11), 2);
        assert_eq!(gpu().path(&spec).unwrap(), "fused");
        let runs = [1, 2].map(|seed| a_run(&spec, RuleKind::HeavyBall, 2, seed));
        advance(gpu(), &spec, &runs, 5).iter().map(bits).collect::<Vec<_>>()
    });
    assert_eq!(typed, made);
}

/// The bits of what is seen of a run.
fn bits(outcome: &Outcome) -> Vec<u64> {
    let seen = outcome.seen.iter().flat_map(|seen| [seen.distance_squared, seen.projection, seen.loss]);
    let rest = [outcome.train.0, outcome.test.0, outcome.train.1 as f64, outcome.test.1 as f64];
    let numbers = seen.chain(outcome.weights.iter().copied()).chain(outcome.statistics.iter().copied()).chain(rest);
    numbers.map(f64::to_bits).collect()
}

#[test]
fn a_run_has_the_same_bits_alone_and_among_others() {
    let (shape, layers) = MODELS[0];
    let network = Network { augmentation: Augmentation { flip: true, crop: 1 }, ..problem(graph(shape, layers), 20) };
    let spec = wave_of(network, Some(6), 4);
    let probe = a_run(&spec, RuleKind::Shifted, 3, 50);
    let alone = bits(&advance(gpu(), &spec, std::slice::from_ref(&probe), 6)[0]);
    let mut wave = gpu().open(spec.clone()).unwrap();
    wave.start(0, a_run(&spec, RuleKind::Adam, 1, 3)).unwrap();
    wave.start(2, probe.clone()).unwrap();
    wave.start(3, Run { lr: f64::NAN.into(), ..a_run(&spec, RuleKind::Sgd, 0, 4) }).unwrap();
    let mut seen = wave.advance(2).unwrap().lane(2).to_vec();
    let untouched = wave.evaluate(Part::Test).unwrap();
    assert!(untouched[1].is_none() && untouched[0].is_some(), "{untouched:?}");
    assert!(untouched[3].is_some_and(|seen| seen.correct == 0 && !seen.loss.is_finite()), "{untouched:?}");
    seen.extend(wave.advance(4).unwrap().lane(2));
    assert_eq!(bits(&outcome(&mut *wave, 2, seen)), alone, "among others");
    // In place of what diverged, with statistics of its own.
    wave.start(3, probe).unwrap();
    let seen = wave.advance(6).unwrap().lane(3).to_vec();
    assert_eq!(bits(&outcome(&mut *wave, 3, seen)), alone, "started late");
    // A copy takes the statistics along.
    let statistics = wave.statistics(3).unwrap();
    assert_ne!(wave.statistics(0).unwrap(), statistics);
    wave.renew(&[Renewal { lane: 0, source: 3, factor: 1.0, seed: None }]).unwrap();
    assert_eq!(wave.statistics(0).unwrap(), statistics);
}

/// Centred at the point where it stands, a run does not move, whatever its layers.
#[test]
fn centred_runs_rest_at_the_minimum() {
    let (shape, layers) = MODELS[0];
    let mut spec = wave_of(Network { weight_decay: 0.0, ..problem(graph(shape, layers), 20) }, Some(6), 1);
    spec.needs = Needs { centred: true, finish: true, ..spec.needs };
    let start: Vec<f64> = a_run(&spec, RuleKind::Sgd, 1, 3).start.iter().map(|x| f64::from(*x as f32)).collect();
    spec.minimum = Arc::new(start.clone());
    let run = Run { centred: true, start: Arc::new(start.clone()), ..a_run(&spec, RuleKind::Sgd, 1, 3) };
    let (mut wave, mut other) = (gpu().open(spec.clone()).unwrap(), gpu().open(spec.clone()).unwrap());
    wave.start(0, run.clone()).unwrap();
    wave.advance(3).unwrap();
    assert_eq!(wave.weights(0).unwrap(), start);
    // The batches count once in the statistics.
    other.start(0, Run { centred: false, lr: 0.0.into(), ..run }).unwrap();
    other.advance(3).unwrap();
    assert_eq!(wave.statistics(0).unwrap(), other.statistics(0).unwrap());
}

#[test]
fn a_plan_counts_what_is_allocated() {
    let wide = Model::mlp(9, &[30], CLASSES, Activation::Relu);
    let perceptron = Network { model: wide, ..problem(graph(Shape::vector(9), "dense"), 40) };
    let mut cases = vec![(perceptron.clone(), Some(8), Paths::Layered), (perceptron.clone(), None, Paths::Layered)];
    cases.push((perceptron, Some(8), Paths::Fused));
    for (shape, layers) in MODELS {
        cases.push((problem(graph(shape, layers), 40), Some(8), Paths::Fastest));
    }
    cases.push((problem(graph(MODELS[6].0, MODELS[6].1), 40), None, Paths::Fastest));
    // A device of its own: others make buffers at the same time.
    let options = Options { checks: checks(), cache: None, ..Options::default() };
    let own = Gpu::open_with(&AdapterChoice::Any, options).unwrap();
    for (network, batch, paths) in cases {
        let model = format!("{:?}", network.model.graph.nodes);
        for (lanes, evaluation) in [(1, true), (3, false)] {
            let spec = wave_of(network.clone(), batch, lanes);
            let spec = WaveSpec { needs: Needs { evaluation, ..spec.needs }, ..spec };
            let engine = own.with_paths(paths);
            let Footprint { lane, shared, .. } = engine.footprint(&spec).unwrap();
            let planned = shared + lane * lanes as u64;
            let before = own.device().made();
            drop(engine.open(spec).unwrap());
            let made = own.device().made() - before;
            // Stubs.
            assert!(made.abs_diff(planned) < 256, "{lanes} lanes: {planned} planned, {made} made: {model}");
        }
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_numbers_and_advice() {
    let large = problem(Named::Vgg11Bn.graph(Shape::new(3, 32, 32), CLASSES).unwrap(), 4);
    let spec = wave_of(large, Some(2), 1);
    // A software adapter cannot go over nine million gradients in one workgroup.
    let spec = WaveSpec { needs: Needs { finish: false, ..spec.needs }, ..spec };
    let refused = |spec: &WaveSpec| match gpu().capacity(spec) {
        Err(EngineError::TooLarge(message)) => message,
        other => panic!("{other:?}"),
    };
    let deep = WaveSpec { needs: Needs { slots: 2000, ..spec.needs }, ..spec.clone() };
    let message = refused(&deep);
    assert!(message.contains("'history'") && message.contains("shorter delays"), "{message}");
    let shallow = WaveSpec { needs: Needs { slots: 2, ..Needs::default() }, ..spec };
    assert_eq!(gpu().capacity(&shallow).unwrap(), 1, "nine million parameters fit any device");
    let (shape, layers) = (Shape::new(1, 1, 1), "conv(4,1),bn,relu,dense");
    let single = wave_of(problem(graph(shape, layers), 4), Some(1), 1);
    let Err(EngineError::Unavailable(message)) = gpu().capacity(&single) else { panic!("a norm of one number") };
    assert!(message.contains("at least 2"), "{message}");
}

#[test]
fn a_large_step_is_cut_into_pieces() {
    let (lanes, rows) = (8, 13);
    let network = problem(graph(MODELS[0].0, MODELS[0].1), 20);
    // A multiplication and an addition for each product, forward and in both directions backward.
    let step = (lanes * rows * 6 * network.model.graph.products()) as u64;
    let options = Options { checks: checks(), cache: None, first_submit: Some(step / 5), ..Options::default() };
    let cut = Gpu::open_with(&AdapterChoice::Any, options).unwrap();
    let spec = WaveSpec { block: 3, ..wave_of(network, Some(rows), lanes) };
    let runs: Vec<Run> = (0..lanes as u64).map(|seed| a_run(&spec, RuleKind::HeavyBall, 1, seed)).collect();
    let (found, whole) = (advance(&cut, &spec, &runs, 3), advance(gpu(), &spec, &runs, 3));
    for (found, whole) in found.iter().zip(&whole) {
        assert_eq!(bits(found), bits(whole));
    }
}
