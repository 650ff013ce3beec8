//! Gradients, Hessian-vector products and eigenvalues of networks, against oracles that share no code with them: central
//! differences of the objective, central differences of the gradient, and a dense eigensolver on the whole Hessian.

use crate::common::{DIFFERENCES, EIGENVALUE, assert_close};
use nalgebra::{DMatrix, SymmetricEigen};
use strum::IntoEnumIterator;
use tauscope::curvature::{Effort, extremes};
use tauscope::data::{DataSource, Dataset};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::minimum::{self, MinimumError};
use tauscope::model::layers::Layers;
use tauscope::model::{Backprop, Model};
use tauscope::problem::network::{FullBatch, Network};
use tauscope::problem::weights::{self, Wanted};
use tauscope::problem::{Problem, Quadratic};

/// Depth 0 to 3, with widths that are no multiple of anything.
const HIDDEN: [&[usize]; 4] = [&[], &[5], &[7, 3], &[4, 1, 6]];

const STEP: f64 = 1e-5;

fn network(hidden: &[usize], activation: Activation, loss: Loss) -> Network {
    let data = Dataset::load(&DataSource::Digits, Some(37), 5).unwrap();
    let model = Model::mlp(data.features(), hidden, data.classes, activation);
    Network::new(model, loss, 0.01, data)
}

/// Between them every layer: windows that overlap, that leave pixels out, that reach beyond the edge; norms of images and of
/// vectors; norms and residual blocks right at the data.
const LAYERS: [&str; 6] = [
    "conv(4,3,pad=1),tanh,max(2),dense",
    "conv(5,3,stride=2,pad=1,nobias),bn,gelu,conv(3,2),avg(2),dense(nobias)",
    "conv(4,1),gn(2),tanh,res(conv(4,3,pad=1),bn,tanh,conv(4,3,pad=1);conv(4,1),bn),avg(5,stride=1),dense",
    "bn,conv(4,5,stride=3,pad=2),leaky-relu,max(3,stride=1,pad=1),flatten,dense(7),bn,tanh,dense",
    "res(gn(3),tanh),avg(3,stride=2,pad=1),dense",
    "conv(3,3),res(res(tanh,conv(3,1)),gelu;gn(1)),relu,dense",
];

/// 11 random images of 3 x 5 x 6 in 4 classes.
fn images() -> Dataset {
    let (samples, shape) = (11, Shape::new(3, 5, 6));
    let inputs = (0..samples * shape.elements()).map(|i| ((i * i + 3 * i) as f32 * 0.37).sin()).collect();
    Dataset { inputs, labels: (0..samples as u32).map(|row| (row * row + 1) % 4).collect(), shape, classes: 4 }
}

/// Models of every layer, with both losses.
fn graphs() -> Vec<(String, Network)> {
    let of = |loss: Loss, text: &str| {
        let (data, layers) = (images(), text.parse::<Layers>().unwrap());
        let model = layers.graph(data.shape, data.classes).unwrap().into();
        (format!("{text} {loss}"), Network::new(model, loss, 0.01, data))
    };
    let all: Vec<_> = Loss::iter().flat_map(|loss| LAYERS.map(|text| of(loss, text))).collect();
    assert_eq!(all.len(), 12);
    all
}

/// Every activation, loss and depth, each once.
fn networks() -> Vec<(String, Network)> {
    let mut all = Vec::new();
    for (loss, hidden) in Loss::iter().flat_map(|loss| HIDDEN.map(|hidden| (loss, hidden))) {
        for activation in Activation::iter() {
            all.push((format!("{hidden:?} {activation} {loss}"), network(hidden, activation, loss)));
        }
    }
    assert_eq!(all.len(), 2 * 4 * 4);
    all
}

/// Moves `x` by `step` along `direction`.
fn moved(x: &[f64], direction: &[f64], step: f64) -> Vec<f64> {
    x.iter().zip(direction).map(|(x, d)| x + step * d).collect()
}

/// Unit vectors that between them touch every layer: one with a share of every parameter, and single parameters.
fn directions(parameters: usize) -> Vec<Vec<f64>> {
    let spread: Vec<f64> = (0..parameters).map(|i| ((i * i) as f64 * 0.7).sin()).collect();
    let single = |index: usize| (0..parameters).map(|i| f64::from(u8::from(i == index))).collect::<Vec<f64>>();
    let some = (0..12).map(|k| single(k * (parameters - 1) / 11));
    std::iter::once(spread).chain(some).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn gradients_agree_with_central_differences_of_the_objective() {
    for (name, network) in networks().into_iter().chain(graphs()) {
        let x = network.model.init(3);
        let mut batch = FullBatch::new(&network);
        let (mut gradient, mut unused) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        batch.loss_and_gradient(&x, &mut gradient);
        let directions = directions(x.len());
        let along: Vec<f64> = directions.iter().map(|direction| dot(&gradient, direction)).collect();
        let mut at = |step: f64, direction: &[f64]| batch.loss_and_gradient(&moved(&x, direction, step), &mut unused);
        let differences: Vec<f64> = directions.iter().map(|d| (at(STEP, d) - at(-STEP, d)) / (2.0 * STEP)).collect();
        assert_close(&name, &along, &differences, DIFFERENCES);
    }
}

#[test]
fn hessian_products_agree_with_central_differences_of_the_gradient() {
    for (name, network) in networks().into_iter().chain(graphs()) {
        let x = network.model.init(4);
        let mut batch = FullBatch::new(&network);
        for direction in directions(x.len()).iter().take(3) {
            let mut product = vec![0.0; x.len()];
            batch.hessian_product(&x, direction, &mut product);
            let mut gradient = |step: f64| {
                let mut gradient = vec![0.0; x.len()];
                batch.loss_and_gradient(&moved(&x, direction, step), &mut gradient);
                gradient
            };
            let (ahead, behind) = (gradient(1e-6), gradient(-1e-6));
            let differences: Vec<f64> = ahead.iter().zip(&behind).map(|(a, b)| (a - b) / 2e-6).collect();
            assert_close(&name, &product, &differences, DIFFERENCES);
        }
    }
}

/// Oracle: central differences of the gradient whose way back, or whose way forward, alone has other weights. The two derivatives
/// sum to the Hessian; the loss is that of the way forward.
#[test]
fn products_of_the_way_back_agree_with_central_differences_of_its_weights_alone() {
    for (name, network) in networks().into_iter().step_by(5).chain(graphs()) {
        let x = network.model.init(4);
        let inputs: Vec<f64> = network.data.inputs.iter().map(|x| f64::from(*x)).collect();
        let mut pass = Backprop::<f64>::new(&network.model.graph, network.loss, network.data.samples());
        let mut at = |forward: &[f64], backward: &[f64]| {
            let mut gradient = vec![0.0; x.len()];
            let loss = pass.loss_and_gradient_at(forward, backward, &inputs, &network.data.labels, &mut gradient);
            (loss, gradient)
        };
        let mut batch = FullBatch::new(&network);
        for direction in directions(x.len()).iter().take(3) {
            let [mut back, mut whole] = [vec![0.0; x.len()], vec![0.0; x.len()]];
            batch.backward_product(&x, direction, &mut back);
            batch.hessian_product(&x, direction, &mut whole);
            let [plus, minus] = [1e-6, -1e-6].map(|step| moved(&x, direction, step));
            let difference = |[(_, a), (_, b)]: [(f64, Vec<f64>); 2]| {
                a.iter().zip(b).map(|(a, b)| (a - b) / 2e-6).collect::<Vec<f64>>()
            };
            let ends = [at(&x, &plus), at(&x, &minus)];
            assert_eq!(ends[0].0, ends[1].0, "{name}");
            // The decay belongs to the weights of the way forward.
            let rest = whole.iter().zip(&back).zip(direction).map(|((h, b), v)| h - b - 0.01 * v).collect();
            let ahead = difference([at(&plus, &x), at(&minus, &x)]);
            // On the scale of the Hessian: one of the two parts may be zero, but for rounding in the differences.
            let [found, expected] =
                [[back, rest], [difference(ends), ahead]].map(|parts| [parts.concat(), whole.clone()].concat());
            assert_close(&name, &found, &expected, DIFFERENCES);
        }
        let vectors = directions(x.len());
        let mut alone = vec![0.0; x.len()];
        batch.backward_product(&x, &vectors[2], &mut alone);
        assert_eq!(network.backward_products(&x, &vectors)[2], alone, "{name}");
    }
}

/// The first layer sends no delta further down, no delta passes through a bias, and the gradient of the last layer has met no
/// weights on its way.
#[test]
fn the_way_back_reads_no_bias_and_nothing_of_the_first_layer() {
    let network = network(&[5], Activation::Tanh, Loss::Ce);
    let (features, classes) = (network.data.features(), network.data.classes);
    let (first, last) = (0..5 * (features + 1), 5 * (features + 1)..network.dimension());
    let x = network.model.init(2);
    let product = |vector: Vec<f64>| network.backward_products(&x, &[vector]).swap_remove(0);
    let within = |range: std::ops::Range<usize>| {
        (0..x.len()).map(|i| if range.contains(&i) { (i as f64).sin() } else { 0.0 }).collect()
    };
    for unread in [first.clone(), last.end - classes..last.end] {
        assert!(product(within(unread)).iter().all(|b| *b == 0.0));
    }
    let read = product(within(last.start..last.end - classes));
    assert!(read[last].iter().all(|b| *b == 0.0) && read[first].iter().any(|b| b.abs() > 1e-6));
}

/// The whole Hessian, column by column.
fn dense(network: &Network, x: &[f64]) -> DMatrix<f64> {
    let mut batch = FullBatch::new(network);
    let mut columns = Vec::with_capacity(x.len() * x.len());
    for i in 0..x.len() {
        let unit: Vec<f64> = (0..x.len()).map(|j| f64::from(u8::from(i == j))).collect();
        let mut column = vec![0.0; x.len()];
        batch.hessian_product(x, &unit, &mut column);
        columns.extend(column);
    }
    DMatrix::from_vec(x.len(), x.len(), columns)
}

#[test]
fn lanczos_agrees_with_a_dense_eigensolver() {
    for (hidden, activation, loss) in [
        (&[3][..], Activation::Tanh, Loss::Ce),
        (&[2, 4], Activation::Gelu, Loss::Mse),
        (&[], Activation::Relu, Loss::Ce),
    ] {
        let network = network(hidden, activation, loss);
        let x = network.model.init(1);
        let hessian = dense(&network, &x);
        assert_close("symmetry", hessian.as_slice(), hessian.transpose().as_slice(), 1e-12);
        let SymmetricEigen { eigenvalues, .. } = SymmetricEigen::new(hessian);
        let mut batch = FullBatch::new(&network);
        let found = extremes(x.len(), Effort::default(), |v, hv| batch.hessian_product(&x, v, hv)).unwrap();
        let expected = [eigenvalues.max(), eigenvalues.min()];
        assert!(found.largest.converged && found.smallest.converged, "{hidden:?} {activation} {loss}");
        assert_close("eigenvalues", &[found.largest.value, found.smallest.value], &expected, EIGENVALUE);
        let norm = dot(&found.largest.vector, &found.largest.vector);
        assert_close("the eigenvector's norm", &[norm], &[1.0], 1e-12);
    }
}

#[test]
fn too_few_iterations_are_not_called_converged() {
    let network = network(&[3], Activation::Tanh, Loss::Ce);
    let x = network.model.init(1);
    let mut batch = FullBatch::new(&network);
    let effort = Effort { iterations: 4, ..Effort::default() };
    let found = extremes(x.len(), effort, |v, hv| batch.hessian_product(&x, v, hv)).unwrap();
    assert!(!found.largest.converged && found.largest.residual > 0.0 && found.largest.iterations == 4);
}

#[test]
fn a_repeated_eigenvalue_ends_lanczos_early_and_right() {
    let eigenvalues = [2.0, 2.0, 2.0, 0.5, 0.5];
    let product = |v: &[f64], hv: &mut [f64]| {
        hv.iter_mut().zip(v).zip(&eigenvalues).for_each(|((hv, v), lambda)| *hv = lambda * v);
    };
    let found = extremes(5, Effort::default(), product).unwrap();
    assert_close("both ends", &[found.largest.value, found.smallest.value], &[2.0, 0.5], 1e-12);
}

#[test]
fn a_minimum_is_found_certified_and_comes_back_from_its_file() {
    let mut network = network(&[4], Activation::Tanh, Loss::Ce);
    network.data = Dataset::load(&DataSource::Digits, Some(100), 0).unwrap();
    let problem = Problem::Network(network);
    let minimum = minimum::find(&problem, 0, minimum::GRADIENT_TOLERANCE).unwrap();
    assert!(minimum.gradient_max <= 1e-8 && minimum.largest.converged && minimum.smallest.value > -1e-6);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("minimum.safetensors");
    std::fs::write(&file, weights::to_safetensors(&problem, &minimum.weights, &[])).unwrap();
    let load = |problem: &Problem| weights::load(problem, &file, None, Wanted::Parameters);
    let loaded = load(&problem).unwrap().parameters;
    assert_eq!(loaded, minimum.weights);
    let again = minimum::certify(&problem, loaded, minimum::GRADIENT_TOLERANCE).unwrap();
    assert_eq!(again.largest.value, minimum.largest.value);

    // Another model's weights are refused by name and shape.
    let other = Problem::Network(self::network(&[5], Activation::Tanh, Loss::Ce));
    let error = load(&other).unwrap_err().to_string();
    assert!(error.contains("0.weight") && error.contains("[4, 64]") && error.contains("[5, 64]"), "{error}");
    std::fs::write(&file, b"no tensors").unwrap();
    assert!(load(&problem).unwrap_err().to_string().contains("not a safetensors file"));
}

#[test]
fn what_is_no_minimum_is_refused() {
    let problem = Problem::Network(network(&[4], Activation::Tanh, Loss::Ce));
    let start = match &problem {
        Problem::Network(network) => network.model.init(0),
        Problem::Quadratic(_) | Problem::Dense(_) => unreachable!(),
    };
    let error = minimum::certify(&problem, start.clone(), 1e-8).unwrap_err();
    assert!(matches!(error, MinimumError::GivenNotFlat { .. }) && error.to_string().contains("1.0e-8"), "{error}");

    // All weights zero: with tanh every gradient but the last bias's vanishes, and the curvature there is a saddle's.
    let mut saddle = network(&[4], Activation::Tanh, Loss::Mse);
    saddle.weight_decay = 0.0;
    let bias = saddle.model.perceptron().unwrap().layers[1].bias;
    let mut weights = vec![0.0; saddle.dimension()];
    let samples = saddle.data.samples() as f64;
    for label in &saddle.data.labels {
        weights[bias + *label as usize] += 1.0 / samples;
    }
    let error = minimum::certify(&Problem::Network(saddle), weights, 1e-8).unwrap_err();
    assert!(matches!(error, MinimumError::Saddle { smallest, .. } if smallest < 0.0), "{error}");
}

#[test]
fn the_minimum_of_a_quadratic_is_known() {
    let problem = Problem::Quadratic(Quadratic { eigenvalues: vec![0.3, 1.0, 0.7] });
    let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
    assert_eq!((minimum.largest.value, minimum.smallest.value), (1.0, 0.3));
    assert_eq!(minimum.largest.vector, [0.0, 1.0, 0.0]);
}
