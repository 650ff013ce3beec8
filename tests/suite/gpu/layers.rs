//! The kernels of layers that are no dense ones: conv with reduce, pool, norm, elementwise, and evaluate.

use super::lanes::*;
use crate::common::{KERNEL_F32, assert_close, gpu};
use strum::IntoEnumIterator;
use tauscope::engine::gpu::device::Buffer;
use tauscope::kernels::conv::{self, Convolution, Product};
use tauscope::kernels::elementwise::{self, Operation};
use tauscope::kernels::loss;
use tauscope::kernels::norm::Over;
use tauscope::kernels::norm::{self, Norm};
use tauscope::kernels::pool::Pooling;
use tauscope::kernels::pool::{self, Pool};
use tauscope::kernels::tile::Tile;
use tauscope::kernels::{Batch, LaneStep, evaluate};
use tauscope::math::vector::Pieces;
use tauscope::math::{Activation, Loss, Shape, Window};

fn batch(rows: usize, parameters: usize) -> Batch {
    Batch { lanes: LANES, rows, parameters, slots: SLOTS }
}

/// Every lane's share of a buffer in f64.
fn lanes_of(buffer: &Buffer, length: usize) -> Vec<Vec<f32>> {
    let all = read(buffer, LANES * length);
    (0..LANES).map(|index| lane(&all, index).to_vec()).collect()
}

/// The version that a lane reads, in f64.
fn version(history: &[f32], index: usize, parameters: usize) -> Vec<f64> {
    wide(&lane(history, index)[STEP_SLOTS[index].read * parameters..][..parameters])
}

fn shape(input: Shape, channels: usize, window: Window) -> Shape {
    let places = |extent| window.places(extent).expect("the window fits");
    Shape::new(channels, places(input.height), places(input.width))
}

const fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    Window { kernel, stride, padding }
}

#[test]
fn convolutions_agree_at_every_shape() {
    let cases = [
        (Shape::new(1, 1, 1), 1, window(1, 1, 0), 1),
        (Shape::new(3, 5, 7), 4, window(3, 2, 1), 3),
        // A kernel larger than its stride, and a stride larger than its kernel.
        (Shape::new(2, 9, 6), 31, window(5, 2, 2), 2),
        (Shape::new(3, 8, 7), 33, window(2, 3, 1), 2),
        (Shape::new(32, 4, 4), 3, window(1, 2, 0), 5),
        // 3W + 7 channels of either side.
        (Shape::new(2, 4, 3), 103, window(3, 1, 1), 2),
        (Shape::new(103, 3, 4), 5, window(3, 1, 1), 2),
        // The largest tile in all three products, the last one filled in part.
        (Shape::new(128, 7, 9), 128, window(1, 1, 0), 3),
        (Shape::new(130, 8, 8), 130, window(1, 1, 0), 3),
        // Two slices and four.
        (Shape::new(1, 16, 16), 2, window(3, 1, 1), 5),
        (Shape::new(2, 17, 11), 3, window(4, 1, 3), 12),
    ];
    let (mut slices, mut largest) = (Vec::new(), Vec::new());
    for (case, (input, channels, window, rows)) in cases.into_iter().enumerate() {
        let convolution = Convolution { input, output: shape(input, channels, window), window };
        let weight = 3;
        let behind = weight + channels * convolution.depth();
        let bias = (case % 3 != 1).then_some(behind);
        let layer = conv::Layer { batch: batch(rows, behind + channels + 2), convolution, weight, bias };
        slices.push(layer.slices(Product::Gradient)[0]);
        let products = [Product::Forward, Product::Backward, Product::Gradient];
        largest.push(products.map(|product| layer.tile(product) == Tile::ALL[3]));
        check_convolution(&format!("{layer:?}"), &layer);
    }
    assert_eq!(slices, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4]);
    assert!(largest.contains(&[true; 3]), "{largest:?}");
}

fn check_convolution(what: &str, layer: &conv::Layer) {
    let device = gpu().device();
    let conv::Layer { batch: Batch { rows, parameters, .. }, convolution, weight, bias } = *layer;
    let Convolution { input, output, .. } = convolution;
    let (below, above) = (rows * input.elements(), rows * output.elements());
    let (x, delta) = (uniform(1, LANES * below), uniform(2, LANES * above));
    let history = uniform(3, LANES * SLOTS * parameters);
    let [x_there, delta_there, history_there] =
        [&x, &delta, &history].map(|values| device.buffer_of("operand", values));
    let (y, d, gradient) = (nan(device, LANES * above), nan(device, LANES * below), nan(device, LANES * parameters));
    let lane_steps = lane_steps(device);
    let dispatch = |product: Product, [a, b, c]: [&Buffer; 3]| {
        run(layer.call(product, [&lane_steps, a, b, c]));
    };
    dispatch(Product::Forward, [&x_there, &history_there, &y]);
    dispatch(Product::Backward, [&delta_there, &history_there, &d]);
    let partials = nan(device, LANES * layer.partials());
    match layer.reduce([&lane_steps, &partials, &gradient]) {
        None => dispatch(Product::Gradient, [&delta_there, &x_there, &gradient]),
        Some(sum) => {
            dispatch(Product::Gradient, [&delta_there, &x_there, &partials]);
            run(sum);
        }
    }
    let (y, d, gradient) = (lanes_of(&y, above), lanes_of(&d, below), lanes_of(&gradient, parameters));
    let elements = output.channels * convolution.depth();
    for index in BUSY {
        let version = version(&history, index, parameters);
        let weights = &version[weight..][..elements];
        let biases = bias.map(|bias| &version[bias..][..output.channels]);
        let (x, delta) = (wide(lane(&x, index)), wide(lane(&delta, index)));
        let mut scratch = conv::Scratch::default();
        let mut expected = vec![0.0; above];
        let at = conv::Forward { input: &x, weight: weights, bias: biases, then: None, output: &mut expected };
        convolution.forward(at, &mut scratch);
        assert_close(&format!("{what}: forward"), &y[index], &expected, KERNEL_F32);
        let (mut expected, mut of_weight, mut of_bias) =
            (vec![0.0; below], vec![0.0; elements], vec![0.0; output.channels]);
        let at = conv::Backward {
            input: &x,
            weight: weights,
            delta: &delta,
            of_weight: &mut of_weight,
            of_bias: bias.map(|_| &mut of_bias[..]),
            below: Some(&mut expected),
        };
        convolution.backward(at, &mut scratch);
        assert_close(&format!("{what}: backward"), &d[index], &expected, KERNEL_F32);
        let (before, rest) = gradient[index].split_at(weight);
        let (found, behind) = rest.split_at(elements);
        assert_close(&format!("{what}: gradient"), found, &of_weight, KERNEL_F32);
        assert_untouched("parameters before", before);
        let after = if bias.is_some() {
            assert_close(&format!("{what}: bias"), &behind[..output.channels], &of_bias, KERNEL_F32);
            &behind[output.channels..]
        } else {
            behind
        };
        assert_untouched("parameters after", after);
    }
    for values in [&y, &d, &gradient] {
        assert_untouched(what, &values[IDLE]);
    }
}

#[test]
fn pooling_agrees_at_every_shape_and_the_first_of_equals_wins() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
    let cases = [
        (Shape::new(1, 1, 1), window(1, 1, 0), 1),
        (Shape::new(3, 6, 4), window(2, 2, 0), 3),
        (Shape::new(2, 7, 5), window(3, 2, 1), 2),
        (Shape::new(5, 4, 4), window(4, 1, 0), 9),
        (Shape::new(1, 9, 8), window(2, 3, 1), 7),
        (Shape::new(2, 5, 6), window(5, 1, 2), 2),
    ];
    for ((input, window, rows), kind) in
        cases.into_iter().flat_map(|case| [Pooling::Max, Pooling::Avg].map(|kind| (case, kind)))
    {
        let pool = Pool { kind, input, output: shape(input, input.channels, window), window };
        let (below, above) = (rows * input.elements(), rows * pool.output.elements());
        // Few different numbers, so that many windows have several that are largest; all below 0, which padding is not.
        let x: Vec<f32> = labels(1, LANES * below, 4).iter().map(|x| *x as f32 - 5.0).collect();
        let delta = uniform(2, LANES * above);
        let (x_there, delta_there) = (device.buffer_of("x", &x), device.buffer_of("delta", &delta));
        let (y, d) = (nan(device, LANES * above), nan(device, LANES * below));
        for (pass, result) in [(pool::Pass::Forward, &y), (pool::Pass::Backward, &d)] {
            run(pool.call(pass, LANES, rows, [&lane_steps, &x_there, &delta_there, result]));
        }
        let (y, d) = (lanes_of(&y, above), lanes_of(&d, below));
        for index in BUSY {
            let (mut expected, mut winners) = (vec![0.0; above], vec![0; above]);
            pool.forward(&wide(lane(&x, index)), &mut expected, &mut winners, Pieces::default());
            assert_close(&format!("{pool:?}"), &y[index], &expected, KERNEL_F32);
            let mut expected = vec![0.0; below];
            pool.backward(&wide(lane(&delta, index)), &winners, &mut expected, Pieces::default());
            assert_close(&format!("{pool:?}: backward"), &d[index], &expected, KERNEL_F32);
        }
        assert_untouched("pooled", &y[IDLE]);
        assert_untouched("delta", &d[IDLE]);
    }
}

/// A pooling hides no NaN, wherever in its window it lies.
#[test]
fn a_maximum_hides_no_nan() {
    let device = gpu().device();
    let (input, window) = (Shape::new(4, 2, 2), window(2, 2, 0));
    let pool = Pool { kind: Pooling::Max, input, output: Shape::new(4, 1, 1), window };
    let x: Vec<f32> = (0..16).map(|i| if i % 4 == i / 4 { f32::NAN } else { 1.0 }).collect();
    let (x, y) = (device.buffer_of("x", &x.repeat(LANES)), device.buffer_of("y", &[0.0f32; 4 * LANES]));
    let buffers = [&lane_steps(device), &x, &device.buffer("no delta", 0), &y];
    run(pool.call(pool::Pass::Forward, LANES, 1, buffers));
    assert!(lanes_of(&y, 4)[0].iter().all(|y| y.is_nan()));
}

#[test]
fn norms_agree_and_keep_running_statistics() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
    let of_batch = Over::Batch { statistics: 5 };
    let wide_unit = (8 * norm::FOURS + 1) * norm::WORKGROUP + 7;
    let cases = [
        (Shape::new(1, 1, 2), of_batch, 1),
        (Shape::vector(6), of_batch, 7),
        (Shape::new(3, 5, 4), of_batch, 9),
        (Shape::new(2, 1, 1), of_batch, wide_unit),
        (Shape::new(6, 3, 3), Over::Groups(3), 4),
        (Shape::new(4, 1, wide_unit), Over::Groups(1), 2),
        (Shape::new(4, 2, 3), Over::Groups(4), 3),
    ];
    for (shape, over, rows) in cases {
        let channels = shape.channels;
        let statistics = 5 + 2 * channels + 1;
        let layer = norm::Layer {
            batch: batch(rows, 2 + 2 * channels + 3),
            norm: Norm { over, shape },
            weight: 2,
            statistics,
            updates_statistics: true,
        };
        let (elements, parameters) = (rows * shape.elements(), layer.batch.parameters);
        // Far from 0, where a variance by differences of squares would be noise.
        let x: Vec<f32> = uniform(1, LANES * elements).iter().map(|x| 100.0 + x).collect();
        let delta = uniform(2, LANES * elements);
        let history = uniform(3, LANES * SLOTS * parameters);
        let running: Vec<f32> = uniform(4, LANES * statistics).iter().map(|x| x + 2.0).collect();
        let [x_there, delta_there, history_there, running_there] =
            [&x, &delta, &history, &running].map(|values| device.buffer_of("operand", values));
        let sets = layer.norm.sets(rows);
        let moments = nan(device, LANES * sets * 2);
        let [y, evaluated, below] = [0; 3].map(|_| nan(device, LANES * elements));
        let gradient = nan(device, LANES * parameters);
        for (pass, output) in [
            (norm::Pass::Evaluate, &evaluated),
            (norm::Pass::Forward, &y),
            (norm::Pass::Backward, &below),
            (norm::Pass::Gradient, &gradient),
        ] {
            let buffers = [&lane_steps, &history_there, &x_there, &delta_there, &moments, &running_there, output];
            run(layer.call(pass, buffers));
        }
        let [y, evaluated, below] = [y, evaluated, below].map(|buffer| lanes_of(&buffer, elements));
        let (gradient, fresh) = (lanes_of(&gradient, parameters), lanes_of(&running_there, statistics));
        for index in BUSY {
            let what = format!("{layer:?}, lane {index}");
            let version = version(&history, index, parameters);
            let (weight, bias) = (&version[2..][..channels], &version[2 + channels..][..channels]);
            let (x, delta, mut running) =
                (wide(lane(&x, index)), wide(lane(&delta, index)), wide(lane(&running, index)));
            let mut expected = vec![0.0; elements];
            layer.norm.evaluate(&x, weight, bias, &running, &mut expected, None, Pieces::default());
            // A mean of 100 loses two digits of the differences from it.
            assert_close(&format!("{what}: evaluated"), &evaluated[index], &expected, 50.0 * KERNEL_F32);
            let mut moments = norm::Moments::default();
            layer.norm.forward(&x, weight, bias, &mut moments, &mut expected, None, Pieces::default());
            assert_close(&format!("{what}: forward"), &y[index], &expected, 50.0 * KERNEL_F32);
            layer.norm.freshen(rows, &moments, &mut running);
            assert_close(&format!("{what}: statistics"), &fresh[index], &running, KERNEL_F32);
            let (mut of_weight, mut of_bias) = (vec![0.0; channels], vec![0.0; channels]);
            layer.norm.backward(
                &x,
                weight,
                (&delta, None),
                &moments,
                [&mut of_weight, &mut of_bias],
                &mut expected,
                Pieces::default(),
            );
            let found = &gradient[index];
            // Two numbers of a unit are +-1 apart from it, whatever they are: of one pair nothing is left but rounding.
            if layer.norm.count(rows) > 2 {
                assert_close(&format!("{what}: backward"), &below[index], &expected, 100.0 * KERNEL_F32);
            }
            assert_close(&format!("{what}: weight"), &found[2..][..channels], &of_weight, 50.0 * KERNEL_F32);
            assert_close(&format!("{what}: bias"), &found[2 + channels..][..channels], &of_bias, KERNEL_F32);
            assert_untouched("parameters before", &found[..2]);
            assert_untouched("parameters after", &found[2 + 2 * channels..]);
        }
        for values in [&y, &evaluated, &below, &gradient] {
            assert_untouched("norm", &values[IDLE]);
        }
        assert_eq!(fresh[IDLE], lane(&running, IDLE));
    }
}

#[test]
fn what_is_done_to_numbers_one_by_one_agrees() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
    for elements in around(elementwise::WORKGROUP) {
        let (one, other) = (uniform(1, LANES * elements), uniform(2, LANES * elements));
        let check = |operation: Operation, expected: &dyn Fn(f64, f64) -> f64| {
            let sums = operation == Operation::Accumulate;
            let result = if sums { device.buffer_of("other", &other) } else { nan(device, one.len()) };
            let buffers = [&lane_steps, &device.buffer_of("one", &one), &device.buffer_of("other", &other), &result];
            run(elementwise::call(operation, LANES, elements, buffers));
            let found = lanes_of(&result, elements);
            for index in BUSY {
                let pairs = lane(&one, index).iter().zip(lane(&other, index));
                let expected: Vec<f64> =
                    pairs.map(|(one, other)| expected(f64::from(*one), f64::from(*other))).collect();
                // A single number may be one that the operation makes 0 of.
                if expected.iter().any(|x| *x != 0.0) {
                    let tolerance = 2.0 * KERNEL_F32;
                    assert_close(&format!("{operation:?} of {elements}"), &found[index], &expected, tolerance);
                }
            }
            match sums {
                true => assert_eq!(found[IDLE], lane(&other, IDLE)),
                false => assert_untouched("result", &found[IDLE]),
            }
        };
        check(Operation::Add, &|one, other| one + other);
        check(Operation::Accumulate, &|one, other| one + other);
        for activation in Activation::iter() {
            check(Operation::Activate(activation), &|z, _| activation.value_and_slope(z).0);
            check(Operation::Differentiate(activation), &|z, delta| delta * activation.value_and_slope(z).1);
        }
    }
}

#[test]
fn an_evaluation_counts_samples_once_and_the_first_of_equal_outputs() {
    let device = gpu().device();
    for (of, rows, classes) in [(Loss::Ce, 1usize, 2), (Loss::Mse, 64, 3), (Loss::Ce, 65, 10), (Loss::Mse, 199, 33)] {
        // Two chunks, the second of which is mostly beyond the last sample; the first lies in the step at rest.
        let samples = rows + rows.div_ceil(3);
        let outputs: Vec<f32> = labels(1, LANES * rows * classes, 7).iter().map(|x| 0.5 * *x as f32).collect();
        let labels = labels(2, LANES * rows, classes);
        let partials = evaluate::partials(rows);
        let params = evaluate::Params {
            step: 0,
            lanes: LANES as u32,
            rows: rows as u32,
            samples: samples as u32,
            classes: classes as u32,
            partials: partials as u32,
            stride: 2 * partials as u32,
        };
        let mut chunks = vec![LaneStep::default(); 2 * LANES];
        for lane in BUSY {
            (chunks[lane], chunks[LANES + lane]) =
                (LaneStep::at(STEP_SLOTS[lane].read), LaneStep::at(STEP_SLOTS[lane].read));
        }
        let results = nan(device, LANES * 2 * partials * 2);
        let buffers = [
            &device.buffer_of("lane_steps", &chunks),
            &device.buffer_of("labels", &labels),
            &device.buffer_of("outputs", &outputs),
            &results,
        ];
        run(evaluate::call(of, &params, buffers));
        let results = lanes_of(&results, 2 * partials * 2);
        for index in BUSY {
            for (chunk, counted) in [rows, samples - rows].into_iter().enumerate() {
                let found = &results[index][chunk * partials * 2..][..partials * 2];
                let sum = |part: usize| found.iter().skip(part).step_by(2).map(|x| f64::from(*x)).sum::<f64>();
                let (outputs, labels) = (wide(lane(&outputs, index)), lane(&labels, index));
                let (mut outputs, labels) = (outputs[..counted * classes].to_vec(), &labels[..counted]);
                let is_correct = |(row, label): (&[f64], &u32)| {
                    let labelled = row[*label as usize];
                    let before = &row[..*label as usize];
                    row.iter().all(|f| *f <= labelled) && before.iter().all(|f| *f < labelled)
                };
                let correct = outputs.chunks_exact(classes).zip(labels).filter(|row| is_correct(*row)).count();
                assert_eq!(sum(1), correct as f64, "{of} of {rows}");
                let total = counted as f64 * loss::cpu(of, labels, &mut outputs);
                assert_close(&format!("{of} of {rows}"), &[sum(0)], &[total], KERNEL_F32);
            }
        }
        assert_untouched("results", &results[IDLE]);
    }
}
