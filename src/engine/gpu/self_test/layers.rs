//! The kernels of layers against their twins: `matmul`, `conv`, `reduce`, `pool`, `norm` and `elementwise`.

use super::stand::{
    BUSY, Case, IDLE, LANES, SLOTS, TOLERANCE, labels, lane, lane_steps, nan, uniform, untouched, version, wide,
    without_idle,
};
use crate::engine::gpu::device::Device;
use crate::kernels::conv::{self, Convolution, Product};
use crate::kernels::elementwise::{self, Operation};
use crate::kernels::matmul::{self, Dense, Epilogue};
use crate::kernels::norm::{self, Norm, Over};
use crate::kernels::pool::{self, Pool, Pooling};
use crate::kernels::{Batch, reduce};
use crate::math::vector::Pieces;
use crate::math::{Activation, Shape, Window, close};

/// A layer with other parameters before it, between weight and bias, and behind them.
const DENSE: Dense = Dense {
    lanes: LANES as u32,
    rows: 21,
    inputs: 9,
    outputs: 7,
    weight: 3,
    bias: 3 + 9 * 7 + 2,
    parameters: 3 + 9 * 7 + 2 + 7 + 1,
    slots: SLOTS as u32,
    input_lane_stride: 21 * 9,
};

/// Rows, columns and inner length of a product of the largest tile, with edges.
const LARGE: [u32; 3] = [130, 129, 19];

/// A dense layer forward, in f64.
fn forward(layer: &Dense, activation: Option<Activation>, input: &[f32], history: &[f32]) -> [[Vec<f64>; 2]; 2] {
    let each = BUSY.map(|index| {
        let version = version(history, index, layer.parameters as usize);
        let weight = &version[layer.weight as usize..][..(layer.inputs * layer.outputs) as usize];
        let bias = &version[layer.bias as usize..][..layer.outputs as usize];
        let elements = (layer.rows * layer.outputs) as usize;
        let (mut value, mut slope) = (vec![0.0; elements], vec![0.0; elements]);
        matmul::forward(&wide(lane(input, index)), weight, bias, activation, &mut value, &mut slope);
        [value, slope]
    });
    let [[value, slope], [other_value, other_slope]] = each;
    [[value, other_value], [slope, other_slope]]
}

pub fn dense_forward(device: &Device) -> Case {
    let [rows, columns, inner] = LARGE;
    let bias = 3 + inner * columns;
    let large = Dense {
        rows,
        inputs: inner,
        outputs: columns,
        bias,
        parameters: bias + columns,
        input_lane_stride: rows * inner,
        ..DENSE
    };
    let mut case = Case::of(&matmul::KERNEL);
    for (layer, activation) in [(DENSE, Some(Activation::Tanh)), (large, None)] {
        let elements = (layer.rows * layer.outputs) as usize;
        let input = uniform(1, LANES * (layer.rows * layer.inputs) as usize);
        let history = uniform(2, LANES * SLOTS * layer.parameters as usize);
        let (c, slope) = (nan(device, LANES * elements), nan(device, LANES * elements));
        let [a, b] = [&input, &history].map(|values| device.buffer_of("operand", values));
        let epilogue = Epilogue::Forward(activation);
        case = case.call(device, matmul::call(epilogue, &layer.forward(), [&lane_steps(device), &a, &b, &c, &slope]));
        let [value, slopes] = forward(&layer, activation, &input, &history);
        case = case.expect_lanes("the value of a dense layer", &c, value, TOLERANCE);
        if activation.is_some() {
            case = case.expect_lanes("the slope of a dense layer", &slope, slopes, TOLERANCE);
        }
    }
    case
}

pub fn dense_backward(device: &Device) -> Case {
    let (layer, [rows, inputs, outputs]) = (DENSE, [DENSE.rows, DENSE.inputs, DENSE.outputs].map(|n| n as usize));
    let delta = uniform(3, LANES * rows * outputs);
    let history = uniform(4, LANES * SLOTS * layer.parameters as usize);
    let slope = uniform(5, LANES * rows * inputs);
    let c = nan(device, LANES * rows * inputs);
    let [a, b, on_device] = [&delta, &history, &slope].map(|values| device.buffer_of("operand", values));
    let buffers = [&lane_steps(device), &a, &b, &c, &on_device];
    let expected = BUSY.map(|index| {
        let version = version(&history, index, layer.parameters as usize);
        let mut below = vec![0.0; rows * inputs];
        let (delta, slope) = (wide(lane(&delta, index)), wide(lane(&slope, index)));
        matmul::backward(&delta, &version[layer.weight as usize..][..inputs * outputs], outputs, &slope, &mut below);
        below
    });
    let case = Case::of(&matmul::KERNEL).call(device, matmul::call(Epilogue::Backward, &layer.backward(), buffers));
    case.expect_lanes("the delta below a dense layer", &c, expected, TOLERANCE)
}

pub fn dense_gradient(device: &Device) -> Case {
    let (layer, [rows, inputs, outputs]) = (DENSE, [DENSE.rows, DENSE.inputs, DENSE.outputs].map(|n| n as usize));
    let (delta, input) = (uniform(6, LANES * rows * outputs), uniform(7, LANES * rows * inputs));
    let length = LANES * layer.parameters as usize;
    let c = nan(device, length);
    let [a, b] = [&delta, &input].map(|values| device.buffer_of("operand", values));
    let buffers = [&lane_steps(device), &a, &b, &c, &device.buffer("no slope", 0)];
    let expected = BUSY.map(|index| {
        let (mut weight, mut bias) = (vec![0.0; outputs * inputs], vec![0.0; outputs]);
        matmul::gradient(&wide(lane(&delta, index)), &wide(lane(&input, index)), &mut weight, &mut bias);
        (weight, bias)
    });
    let case = Case::of(&matmul::KERNEL).call(device, matmul::call(Epilogue::Gradient, &layer.gradient(), buffers));
    let (at_weight, at_bias) = (layer.weight as usize, layer.bias as usize);
    case.expect(&c, length, move |found| {
        for (index, (weight, bias)) in BUSY.into_iter().zip(&expected) {
            let found = lane(found, index);
            let (of_weight, of_bias) = (&found[at_weight..][..weight.len()], &found[at_bias..][..bias.len()]);
            close("the weight gradient of a dense layer", of_weight, weight, TOLERANCE)?;
            close("the bias gradient of a dense layer", of_bias, bias, TOLERANCE)?;
            untouched("the parameters around a dense layer", &found[at_weight + weight.len()..at_bias])?;
        }
        untouched("the gradient of a dense layer", lane(found, IDLE))
    })
}

/// Strided and padded, with a kernel that does not fit the image evenly.
fn convolution() -> conv::Layer {
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    let convolution = Convolution { input: Shape::new(3, 9, 7), output: Shape::new(5, 5, 4), window };
    let (weight, bias) = (3, 3 + 5 * convolution.depth());
    let batch = Batch { lanes: LANES, rows: 3, parameters: bias + 5 + 2, slots: SLOTS };
    conv::Layer { batch, convolution, weight, bias: Some(bias) }
}

pub fn conv(device: &Device) -> Case {
    let layer = convolution();
    let conv::Layer { batch: Batch { rows, parameters, .. }, convolution, weight, bias } = layer;
    let Convolution { input, output, .. } = convolution;
    let (below, above) = (rows * input.elements(), rows * output.elements());
    let elements = output.channels * convolution.depth();
    let (x, delta) = (uniform(1, LANES * below), uniform(2, LANES * above));
    let history = uniform(3, LANES * SLOTS * parameters);
    let [x_there, delta_there, ring] = [&x, &delta, &history].map(|values| device.buffer_of("operand", values));
    let (y, d, gradient) = (nan(device, LANES * above), nan(device, LANES * below), nan(device, LANES * parameters));
    let lane_steps = lane_steps(device);
    let partials = nan(device, LANES * layer.partials());
    let of_gradient = if layer.reduce([(); 3]).is_some() { &partials } else { &gradient };
    let mut case = Case::of(&conv::KERNEL)
        .call(device, layer.call(Product::Forward, [&lane_steps, &x_there, &ring, &y]))
        .call(device, layer.call(Product::Backward, [&lane_steps, &delta_there, &ring, &d]))
        .call(device, layer.call(Product::Gradient, [&lane_steps, &delta_there, &x_there, of_gradient]));
    if let Some(sum) = layer.reduce([&lane_steps, &partials, &gradient]) {
        case = case.call(device, sum);
    }
    let [(mut values, mut deltas), mut gradients] = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for index in BUSY {
        let version = version(&history, index, parameters);
        let (weights, biases) = (&version[weight..][..elements], bias.map(|bias| &version[bias..][..output.channels]));
        let (x, delta) = (wide(lane(&x, index)), wide(lane(&delta, index)));
        let mut scratch = conv::Scratch::default();
        let (mut value, mut under) = (vec![0.0; above], vec![0.0; below]);
        let (mut of_weight, mut of_bias) = (vec![0.0; elements], vec![0.0; output.channels]);
        let forward = conv::Forward { input: &x, weight: weights, bias: biases, then: None, output: &mut value };
        convolution.forward(forward, &mut scratch);
        let backward = conv::Backward {
            input: &x,
            weight: weights,
            delta: &delta,
            of_weight: &mut of_weight,
            of_bias: Some(&mut of_bias),
            below: Some(&mut under),
        };
        convolution.backward(backward, &mut scratch);
        values.push(value);
        deltas.push(under);
        gradients.0.push(of_weight);
        gradients.1.push(of_bias);
    }
    let both = |each: Vec<Vec<f64>>| <[Vec<f64>; 2]>::try_from(each).expect("two lanes are busy");
    let at_bias = bias.unwrap_or(0);
    case.expect_lanes("the value of a convolution", &y, both(values), TOLERANCE)
        .expect_lanes("the delta below a convolution", &d, both(deltas), TOLERANCE)
        .expect(&gradient, LANES * parameters, move |found| {
            for ((index, of_weight), of_bias) in BUSY.into_iter().zip(&gradients.0).zip(&gradients.1) {
                let found = lane(found, index);
                close("the weight gradient of a convolution", &found[weight..][..elements], of_weight, TOLERANCE)?;
                close("its bias gradient", &found[at_bias..][..of_bias.len()], of_bias, TOLERANCE)?;
            }
            untouched("the gradient of a convolution", lane(found, IDLE))
        })
}

pub fn reduce(device: &Device) -> Case {
    let (slices, rows, columns) = (3, 7, 20);
    let (elements, of_slice) = (rows * columns, rows * (columns + 1));
    let partials = uniform(8, LANES * slices * of_slice);
    let params = reduce::Params {
        step: 0,
        lanes: LANES as u32,
        slices: slices as u32,
        rows: rows as u32,
        columns: columns as u32,
        biased: 1,
        weight: 0,
        bias: elements as u32,
        parameters: of_slice as u32,
    };
    let expected = BUSY.map(|index| {
        let partials = wide(lane(&partials, index));
        let sum = |row: usize, column: usize| {
            let place = row * (columns + 1) + column;
            partials.chunks_exact(of_slice).map(|slice| slice[place]).sum::<f64>()
        };
        let weight = (0..elements).map(|element| sum(element / columns, element % columns));
        weight.chain((0..rows).map(|row| sum(row, columns))).collect::<Vec<f64>>()
    });
    let gradient = nan(device, LANES * of_slice);
    let buffers = [&lane_steps(device), &device.buffer_of("partials", &partials), &gradient];
    let case = Case::of(&reduce::KERNEL).call(device, reduce::call(&params, buffers));
    case.expect_lanes("the sum of slices", &gradient, expected, TOLERANCE)
}

pub fn pool(device: &Device) -> Case {
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    let pool = Pool { kind: Pooling::Max, input: Shape::new(2, 7, 5), output: Shape::new(2, 4, 3), window };
    let rows = 5;
    let (below, above) = (rows * pool.input.elements(), rows * pool.output.elements());
    // Few different numbers, so that many windows have several that are largest; all below 0, which padding is not.
    let x: Vec<f32> = labels(1, LANES * below, 4).iter().map(|x| *x as f32 - 5.0).collect();
    let delta = uniform(2, LANES * above);
    let [x_there, delta_there] = [&x, &delta].map(|values| device.buffer_of("operand", values));
    let (y, d) = (nan(device, LANES * above), nan(device, LANES * below));
    let lane_steps = lane_steps(device);
    let call = |pass, result| pool.call(pass, LANES, rows, [&lane_steps, &x_there, &delta_there, result]);
    let case = Case::of(&pool::KERNEL)
        .call(device, call(pool::Pass::Forward, &y))
        .call(device, call(pool::Pass::Backward, &d));
    let each = BUSY.map(|index| {
        let (mut value, mut winners, mut under) = (vec![0.0; above], vec![0; above], vec![0.0; below]);
        pool.forward(&wide(lane(&x, index)), &mut value, &mut winners, Pieces::default());
        pool.backward(&wide(lane(&delta, index)), &winners, &mut under, Pieces::default());
        (value, under)
    });
    let [(value, under), (other_value, other_under)] = each;
    case.expect_lanes("the value of a pooling", &y, [value, other_value], TOLERANCE).expect_lanes(
        "the delta below a pooling",
        &d,
        [under, other_under],
        TOLERANCE,
    )
}

pub fn norm(device: &Device) -> Case {
    let (shape, rows, weight) = (Shape::new(3, 5, 4), 9, 2);
    let (channels, before) = (shape.channels, 5);
    let layer = norm::Layer {
        batch: Batch { lanes: LANES, rows, parameters: weight + 2 * channels + 3, slots: SLOTS },
        norm: Norm { over: Over::Batch { statistics: before }, shape },
        weight,
        statistics: before + 2 * channels + 1,
        updates_statistics: true,
    };
    let (elements, parameters, statistics) = (rows * shape.elements(), layer.batch.parameters, layer.statistics);
    let x: Vec<f32> = uniform(1, LANES * elements).iter().map(|x| 1.0 + x).collect();
    let (delta, history) = (uniform(2, LANES * elements), uniform(3, LANES * SLOTS * parameters));
    let running = without_idle(uniform(4, LANES * statistics).iter().map(|x| x + 2.0).collect());
    let [x_there, delta_there, ring, fresh] =
        [&x, &delta, &history, &running].map(|values| device.buffer_of("operand", values));
    let moments = nan(device, LANES * layer.norm.sets(rows) * 2);
    let [y, evaluated, below] = [0; 3].map(|_| nan(device, LANES * elements));
    let gradient = nan(device, LANES * parameters);
    let lane_steps = lane_steps(device);
    let mut case = Case::of(&norm::KERNEL);
    for (pass, output) in [
        (norm::Pass::Evaluate, &evaluated),
        (norm::Pass::Forward, &y),
        (norm::Pass::Backward, &below),
        (norm::Pass::Gradient, &gradient),
    ] {
        let buffers = [&lane_steps, &ring, &x_there, &delta_there, &moments, &fresh, output];
        case = case.call(device, layer.call(pass, buffers));
    }
    let mut expected = [(); 5].map(|()| Vec::new());
    for index in BUSY {
        let version = version(&history, index, parameters);
        let (factor, shift) = (&version[weight..][..channels], &version[weight + channels..][..channels]);
        let (x, delta, mut running) = (wide(lane(&x, index)), wide(lane(&delta, index)), wide(lane(&running, index)));
        let [mut of_evaluation, mut value, mut under] = [0; 3].map(|_| vec![0.0; elements]);
        let (mut moments, pieces) = (norm::Moments::default(), Pieces::default());
        layer.norm.evaluate(&x, factor, shift, &running, &mut of_evaluation, None, pieces);
        layer.norm.forward(&x, factor, shift, &mut moments, &mut value, None, pieces);
        layer.norm.freshen(rows, &moments, &mut running);
        let (mut of_weight, mut of_bias) = (vec![0.0; channels], vec![0.0; channels]);
        layer.norm.backward(&x, factor, (&delta, None), &moments, [&mut of_weight, &mut of_bias], &mut under, pieces);
        let gradient = [of_weight, of_bias].concat();
        for (kept, one) in expected.iter_mut().zip([of_evaluation, value, running, under, gradient]) {
            kept.push(one);
        }
    }
    let [of_evaluation, value, running, under, of_parameters] =
        expected.map(|each| <[Vec<f64>; 2]>::try_from(each).expect("two lanes are busy"));
    case.expect_lanes("the value of a norm in evaluation", &evaluated, of_evaluation, 10.0 * TOLERANCE)
        .expect_lanes("the value of a norm", &y, value, 10.0 * TOLERANCE)
        .expect_lanes("the running statistics of a norm", &fresh, running, TOLERANCE)
        .expect_lanes("the delta below a norm", &below, under, 50.0 * TOLERANCE)
        .expect(&gradient, LANES * parameters, move |found| {
            for (index, expected) in BUSY.into_iter().zip(&of_parameters) {
                let found = &lane(found, index)[weight..][..expected.len()];
                close("the gradient of a norm", found, expected, 10.0 * TOLERANCE)?;
            }
            untouched("the gradient of a norm", lane(found, IDLE))
        })
}

pub fn elementwise(device: &Device) -> Case {
    let elements = 3 * elementwise::WORKGROUP + 7;
    let (one, other) = (uniform(1, LANES * elements), uniform(2, LANES * elements));
    let result = nan(device, LANES * elements);
    let [arguments, factors] = [&one, &other].map(|values| device.buffer_of("operand", values));
    let buffers = [&lane_steps(device), &arguments, &factors, &result];
    let operation = Operation::Differentiate(Activation::Gelu);
    let expected = BUSY.map(|index| {
        let pairs = lane(&one, index).iter().zip(lane(&other, index));
        let slope = |z: f32| Activation::Gelu.value_and_slope(f64::from(z)).1;
        pairs.map(|(z, delta)| f64::from(*delta) * slope(*z)).collect::<Vec<f64>>()
    });
    let case = Case::of(&elementwise::KERNEL);
    case.call(device, elementwise::call(operation, LANES, elements, buffers)).expect_lanes(
        "the slope of gelu",
        &result,
        expected,
        2.0 * TOLERANCE,
    )
}
