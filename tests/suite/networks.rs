//! The named models against PyTorch: outputs, loss, gradients of every tensor, running statistics and evaluation, from
//! weights and images that a formula gives (tests/data/networks.py made the numbers); and weights on their way there and back.

use crate::common::assert_close;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::sync::Arc;
use strum::IntoEnumIterator;
use tauscope::batch::Augmentation;
use tauscope::batch::BatchOrder;
use tauscope::batch::RowTables;
use tauscope::batch::Sampling;
use tauscope::data::Dataset;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Evaluation, Needs, Part, Run, WaveSpec};
use tauscope::kernels::gather;
use tauscope::layer::tensor::Tensor;
use tauscope::layer::traits::Mode;
use tauscope::math::{Loss, Real, Shape};
use tauscope::model::Backprop;
use tauscope::model::Model;
use tauscope::model::layers::Layers;
use tauscope::model::zoo::Named;
use tauscope::outer::OuterLoop;
use tauscope::problem::Network;
use tauscope::problem::Problem;
use tauscope::problem::weights::{self, LoadedWeights, Wanted};
use tauscope::rule::regime::{LearningRate, Regime};
use tauscope::rule::{Rule, RuleKind};

/// Two programs in f64 agree on whole networks.
const NETWORK_F64: f64 = 1e-9;

/// A network in f32 agrees with one in f64, of every tensor relative to its largest number.
const NETWORK_F32: f64 = 1e-4;

/// The same of the gradients of ResNet-20: one of the 190,000 inputs of an image that is within rounding of zero, on which side depends on
/// the width of vectors, may move the sums of ResNet-20's first norm over 4,096 places by 3e-4.
const RESNET_GRADIENTS_F32: f64 = 1e-3;

const ROWS: usize = 4;
const CLASSES: usize = 10;

/// As `numbers` in networks.py.
fn numbers(count: usize, stream: u64) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| {
        ((i * 2_654_435_761 + stream * 40_503 * 65_537 + 12_345) % (1 << 32)) as f64 / 2f64.powi(31) - 1.0
    })
}

/// As `fill` in networks.py: the norms are the tensors whose start is 1.
fn filled(model: &Model) -> Vec<f64> {
    let of = |(stream, tensor): (usize, &Tensor)| {
        let values = numbers(tensor.elements(), stream as u64);
        let (scale, shift) = match tensor.start {
            _ if tensor.shape.len() > 1 => ((6.0 / tensor.shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0),
            tauscope::layer::tensor::Start::Constant(1.0) => (0.1, 1.0),
            _ => (0.1, 0.0),
        };
        values.map(|x| scale * x + shift).collect::<Vec<f64>>()
    };
    model.graph.tensors.parameters.iter().enumerate().flat_map(of).collect()
}

fn model(named: Named) -> (Model, Shape) {
    let shape = if named == Named::Lenet { Shape::new(1, 28, 28) } else { Shape::new(3, 32, 32) };
    (named.graph(shape, CLASSES).unwrap().into(), shape)
}

/// By model and quantity.
fn fixtures() -> BTreeMap<(String, String), Vec<f64>> {
    let mut reader = csv::Reader::from_path("tests/data/networks.csv").unwrap();
    let mut fixtures: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for row in reader.deserialize() {
        let (model, quantity, index, value): (String, String, usize, f64) = row.unwrap();
        let values = fixtures.entry((model, quantity)).or_default();
        assert_eq!(values.len(), index);
        values.push(value);
    }
    fixtures
}

/// As `probes` in networks.py.
fn probes(tensor: &[f64]) -> Vec<f64> {
    let norm = tensor.iter().map(|x| x * x).sum::<f64>().sqrt();
    (0..6).map(|k| tensor[k * (tensor.len() - 1) / 5]).chain([norm]).collect()
}

fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

fn check<T: Real>(tolerance: f64, of_resnet: f64) {
    let fixtures = fixtures();
    let mut checked = 0;
    for named in Named::iter() {
        let (model, shape) = model(named);
        let expected = |quantity: &str| &fixtures[&(named.to_string(), quantity.to_string())];
        let parameters: Vec<T> = filled(&model).into_iter().map(T::of).collect();
        let inputs: Vec<T> = numbers(ROWS * shape.elements(), 1000).map(T::of).collect();
        let labels: Vec<u32> = (0..ROWS as u32).map(|row| row * 3 % CLASSES as u32).collect();
        let mut pass = Backprop::new(&model.graph, Loss::Ce, ROWS);
        let what = |quantity: &str| format!("{named} {quantity} in {}", T::NAME);

        let outputs = pass.forward(&parameters, &inputs, Mode::Training).to_vec();
        assert_close(&what("outputs"), &wide(&outputs), expected("outputs"), tolerance);
        let mut gradient = vec![T::nan(); parameters.len()];
        let loss = pass.loss_and_gradient(&parameters, &inputs, &labels, &mut gradient);
        assert_close(&what("loss"), &[loss.widen()], expected("loss"), tolerance);
        let gradient = wide(&gradient);
        for tensor in &model.graph.tensors.parameters {
            let quantity = format!("gradient {}", tensor.name);
            let (found, expected) = (probes(tensor.of(&gradient)), expected(&quantity));
            if expected[6] < 1e-12 {
                // The bias of a convolution before a batch norm changes nothing.
                assert!(found[6] < tolerance, "{}: {found:?}", what(&quantity));
            } else {
                assert_close(
                    &what(&quantity),
                    &found,
                    expected,
                    if named == Named::Resnet20 { of_resnet } else { tolerance },
                );
            }
            checked += 1;
        }
        let mut statistics: Vec<T> = model.fresh_statistics().into_iter().map(T::of).collect();
        pass.update_statistics(ROWS, &mut statistics);
        for tensor in &model.graph.tensors.statistics {
            let quantity = format!("statistics {}", tensor.name);
            assert_close(&what(&quantity), &probes(tensor.of(&wide(&statistics))), expected(&quantity), tolerance);
            checked += 1;
        }
        let evaluated = pass.forward(&parameters, &inputs, Mode::Evaluation(&statistics)).to_vec();
        assert_close(&what("evaluated"), &wide(&evaluated), expected("evaluated"), tolerance);
        checked += 3;
    }
    assert_eq!(checked, fixtures.len(), "every number of the file was looked at");
}

#[test]
fn named_models_are_those_of_pytorch_in_f64() {
    check::<f64>(NETWORK_F64, NETWORK_F64);
}

#[test]
fn named_models_are_those_of_pytorch_in_f32() {
    check::<f32>(NETWORK_F32, RESNET_GRADIENTS_F32);
}

#[test]
fn weights_and_statistics_go_to_a_file_and_come_back() {
    let (model, shape) = model(Named::Resnet20);
    let data = Dataset { inputs: vec![0.0; shape.elements()], labels: vec![0], shape, classes: CLASSES };
    let network = Network::new(model, Loss::Ce, 0.0, data);
    let (parameters, mut statistics) = (filled(&network.model), network.model.fresh_statistics());
    statistics.iter_mut().zip(numbers(1 << 20, 7)).for_each(|(statistic, x)| *statistic += x);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let problem = Problem::Network(network.clone());
    std::fs::write(&path, weights::to_safetensors(&problem, &parameters, &statistics)).unwrap();
    let load = |wanted| weights::load(&problem, &path, None, wanted);
    let loaded = LoadedWeights { parameters, statistics, mapping: None };
    assert_eq!(load(Wanted::WithStatistics).unwrap(), loaded);
    assert_eq!(load(Wanted::Parameters).unwrap(), LoadedWeights { statistics: vec![], ..loaded.clone() });

    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // What a state_dict of the PyTorch model holds: 65 parameters and three buffers of each of 21 norms.
    assert_eq!(file.len(), 65 + 3 * 21);
    assert_eq!(file.tensor("layer2.0.downsample.0.weight").unwrap().shape(), [32, 16, 1, 1]);
    assert!(file.tensor("layer2.0.downsample.1.num_batches_tracked").unwrap().shape().is_empty());

    std::fs::write(&path, weights::to_safetensors(&problem, &loaded.parameters, &[])).unwrap();
    let error = load(Wanted::WithStatistics).unwrap_err().to_string();
    assert!(error.contains("no tensor 'bn1.running_mean'") && error.contains("weights.safetensors"), "{error}");
}

/// A small network of every kind of layer over 20 images, with 7 more to test on.
fn small(augmentation: Augmentation) -> Arc<Problem> {
    let shape = Shape::new(2, 6, 5);
    let data = |samples: usize, stream: u64| Dataset {
        inputs: numbers(samples * shape.elements(), stream).map(|x| x as f32).collect(),
        labels: (0..samples as u32).map(|row| (row * row + 1) % 3).collect(),
        shape,
        classes: 3,
    };
    let layers = "conv(4,3,pad=1,nobias),bn,tanh,max(2),res(conv(4,3,pad=1),gn(2)),gelu,avg(2),dense(6),bn,tanh,dense";
    let model = layers.parse::<Layers>().unwrap().graph(shape, 3).unwrap().into();
    let network = Network { test: Some(data(7, 2)), augmentation, ..Network::new(model, Loss::Ce, 0.01, data(20, 1)) };
    Arc::new(Problem::Network(network))
}

fn network(problem: &Problem) -> &Network {
    let Problem::Network(network) = problem else { panic!("it is a network") };
    network
}

const BATCH: usize = 6;
const STEPS: usize = 7;
const DELAY: usize = 2;

fn spec(problem: &Arc<Problem>, lanes: usize) -> WaveSpec {
    let zero = Arc::new(vec![0.0; problem.dimension()]);
    let needs = Needs { slots: DELAY + 1, evaluation: true, ..Needs::default() };
    WaveSpec {
        problem: Arc::clone(problem),
        batch: Some(BATCH),
        minimum: Arc::clone(&zero),
        direction: zero,
        lanes,
        together: 1,
        sampling: Sampling::Epochs,
        needs,
        block: STEPS,
    }
}

fn run(problem: &Problem, seed: u64) -> Run {
    let regime = Regime::Steps { factor: 0.5, at: [3].into() };
    Run {
        rule: Rule::new(RuleKind::HeavyBall, 0.7, 0.0),
        lr: LearningRate { regime, warm_up: 2, ..LearningRate::from(0.2) },
        schedule: Schedule::round_robin(DELAY as u32),
        seed,
        start: Arc::new(network(problem).model.init(seed)),
        centred: false,
        undamped_start: false,
        second_moment: None,
        outer: OuterLoop::default(),
        stages: [].into(),
        statistics: None,
    }
}

/// Weights, running statistics and evaluations after some steps, of every seed.
fn trained(engine: &dyn Engine, problem: &Arc<Problem>, seeds: &[u64]) -> Vec<(Vec<f64>, Vec<f64>, [Evaluation; 2])> {
    let mut wave = engine.open(spec(problem, seeds.len() + 1)).unwrap();
    // Lane 0 stays idle.
    for (lane, seed) in seeds.iter().enumerate() {
        wave.start(lane + 1, run(problem, *seed)).unwrap();
    }
    wave.advance(STEPS).unwrap();
    let [train, test] = [Part::Train, Part::Test].map(|part| wave.evaluate(part).unwrap());
    assert!(train[0].is_none() && test[0].is_none());
    (1..=seeds.len())
        .map(|lane| {
            let (weights, statistics) = (wave.weights(lane).unwrap(), wave.statistics(lane).unwrap());
            (weights, statistics, [train[lane].unwrap(), test[lane].unwrap()])
        })
        .collect()
}

/// The same by a list of all weights so far, momentum and batch norm by their formulas.
fn by_hand(problem: &Problem, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let network = network(problem);
    let Network { data, model, weight_decay, augmentation, .. } = network;
    let mut order = BatchOrder::new(&RowTables::new(data.samples(), BATCH, Sampling::Epochs, *augmentation), seed);
    let mut pass = Backprop::<f64>::new(&model.graph, network.loss, BATCH);
    let (mut versions, mut velocity) = (vec![model.init(seed)], vec![0.0; model.parameters()]);
    let mut statistics = model.fresh_statistics();
    let whole: Vec<f64> = data.inputs.iter().map(|x| f64::from(*x)).collect();
    for step in 0..STEPS {
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        let rows = order.rows(step as u64);
        gather::cpu(rows, *augmentation, data.shape, &whole, &data.labels, &mut inputs, &mut labels);
        let read = &versions[step.saturating_sub(DELAY)];
        let mut gradient = vec![0.0; read.len()];
        pass.loss_and_gradient(read, &inputs, &labels, &mut gradient);
        pass.update_statistics(BATCH, &mut statistics);
        let lr = 0.2 * [0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5][step];
        let mut next = versions[step].clone();
        for (((x, v), g), y) in next.iter_mut().zip(&mut velocity).zip(gradient).zip(read) {
            *v = 0.7 * *v + g + weight_decay * y;
            *x -= lr * *v;
        }
        versions.push(next);
    }
    (versions.pop().unwrap(), statistics)
}

#[test]
fn the_cpu_engine_trains_any_network() {
    for augmentation in [Augmentation::default(), Augmentation { flip: true, crop: 2 }] {
        let problem = small(augmentation);
        let seeds = [3, 4, 3];
        let found = trained(&Cpu::<f64>::default(), &problem, &seeds);
        let single = trained(&Cpu::<f32>::default(), &problem, &seeds);
        for ((seed, (weights, statistics, evaluations)), single) in seeds.iter().zip(&found).zip(&single) {
            let (by_hand, running) = by_hand(&problem, *seed);
            assert_close("weights", weights, &by_hand, NETWORK_F64);
            assert_close("statistics", statistics, &running, NETWORK_F64);
            assert_close("weights in f32", &single.0, &by_hand, NETWORK_F32);
            assert_close("statistics in f32", &single.1, &running, NETWORK_F32);
            let network = network(&problem);
            for (evaluation, data) in evaluations.iter().zip([&network.data, network.test.as_ref().unwrap()]) {
                let mut pass = Backprop::<f64>::new(&network.model.graph, Loss::Ce, data.samples());
                let inputs: Vec<f64> = data.inputs.iter().map(|x| f64::from(*x)).collect();
                let outputs = pass.forward(&by_hand, &inputs, Mode::Evaluation(&running));
                let (mut loss, mut correct) = (0.0, 0);
                for (row, label) in outputs.chunks_exact(3).zip(&data.labels) {
                    let own = row[*label as usize];
                    loss += row.iter().map(|f| (f - own).exp()).sum::<f64>().ln() / data.samples() as f64;
                    correct += u64::from(row.iter().all(|f| *f <= own));
                }
                assert_close("loss", &[evaluation.loss], &[loss], NETWORK_F64);
                assert_eq!((evaluation.correct, evaluation.samples), (correct, data.samples() as u64));
            }
        }
        // The same bits in every lane, and alone.
        for engine in [&Cpu::<f64>::default() as &dyn Engine, &Cpu::<f32>::default()] {
            let all = trained(engine, &problem, &seeds);
            assert_eq!(all[0], all[2]);
            assert_eq!(all[1], trained(engine, &problem, &[4])[0]);
        }
    }
}

#[test]
fn a_run_starts_with_the_statistics_that_it_is_given() {
    let problem = small(Augmentation::default());
    let statistics: Vec<f64> = numbers(network(&problem).model.statistics(), 9).map(|x| x + 2.0).collect();
    let mut wave = Cpu::<f64>::default().open(spec(&problem, 1)).unwrap();
    wave.start(0, Run { statistics: Some(Arc::new(statistics.clone())), ..run(&problem, 1) }).unwrap();
    assert_eq!(wave.statistics(0).unwrap(), statistics);
}

#[test]
fn a_batch_norm_of_single_numbers_is_refused() {
    let problem = small(Augmentation::default());
    let error = Cpu::<f32>::default().capacity(&WaveSpec { batch: Some(1), ..spec(&problem, 1) }).unwrap_err();
    assert!(error.to_string().contains("batches of at least 2"), "{error}");
}

#[test]
fn a_model_too_large_for_the_memory_is_refused_with_numbers() {
    let shape = Shape::new(3, 32, 32);
    let data = Dataset { inputs: vec![0.0; shape.elements()], labels: vec![0], shape, classes: CLASSES };
    let model = "conv(64,3,pad=1),relu,flatten,dense(100000),relu,dense".parse::<Layers>().unwrap();
    let network = Network::new(model.graph(shape, CLASSES).unwrap().into(), Loss::Ce, 0.0, data);
    let problem = Arc::new(Problem::Network(network));
    let spec = WaveSpec { problem, batch: None, ..spec(&small(Augmentation::default()), 3) };
    let error = Cpu::<f32>::default().capacity(&spec).unwrap_err().to_string();
    assert!(error.contains("6554701802 parameters") && error.contains("smaller model"), "{error}");
}
