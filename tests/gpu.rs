//! Every shader on a device against its CPU twin in f64, at shapes around its workgroup, with several lanes of which one
//! is idle, and outputs that hold NaN beforehand. The twin shares its author with the shader: what shows that both are
//! right are finite differences, hand-worked trajectories (tests/trajectory.rs) and closed-form thresholds.

mod common;

use common::{ACTIVATION_F32, KERNEL_F32, assert_close, gpu};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use strum::IntoEnumIterator;
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::kernels::activation::Activation;
use tauscope::kernels::loss::Loss;
use tauscope::kernels::matmul::{Dense, Epilogue, Tile};
use tauscope::kernels::step::State;
use tauscope::kernels::{Kernel, Place, gather, loss, matmul, observe, quadratic, step};
use tauscope::rule::{Rule, RuleKind};

const LANES: usize = 3;
/// The lane that no kernel may touch.
const IDLE: usize = 1;
const BUSY: [usize; 2] = [0, 2];
const SLOTS: usize = 3;
/// A slot of its own for everything, so that no mix-up passes.
const PLACES: [step::Place; LANES] = [
    step::Place { read: 1, write: 2, velocity: 0 },
    step::Place { read: 0, write: 0, velocity: 0 },
    step::Place { read: 2, write: 0, velocity: 1 },
];

/// 1, W-1, W, W+1, 3W+7.
fn around(width: usize) -> [usize; 5] {
    [1, width - 1, width, width + 1, 3 * width + 7]
}

fn uniform(seed: u64, length: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn labels(seed: u64, length: usize, classes: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(0..classes as u32)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The part of `values` that belongs to one of `lanes` equal lanes.
fn lane<T>(values: &[T], lane: usize) -> &[T] {
    let length = values.len() / LANES;
    &values[lane * length..][..length]
}

/// Two steps of a block: in the first all lanes rest, in the second all but one move. So a kernel that confuses the
/// steps, or moves an idle lane, is found out.
fn places(device: &Device) -> Buffer {
    let mut places = vec![Place::default(); 2 * LANES];
    for lane in BUSY {
        places[LANES + lane] = PLACES[lane].into();
    }
    device.buffer_of("places", &places)
}

fn nan(device: &Device, length: usize) -> Buffer {
    device.buffer_of("output", &vec![f32::NAN; length])
}

/// Runs both steps of [`places`].
fn run<P: bytemuck::Pod>(
    kernel: &'static Kernel,
    variant: &[(&'static str, f64)],
    buffers: &[&Buffer],
    params: &P,
    workgroups: [u32; 3],
) {
    let device = gpu().device();
    let dispatch = device.dispatch(&device.pipeline(kernel, variant), buffers, params, workgroups);
    device.run(&[dispatch], 2);
    device.check().unwrap();
}

fn read(buffer: &Buffer, length: usize) -> Vec<f32> {
    gpu().device().read(buffer, 0, length).unwrap()
}

#[track_caller]
fn assert_untouched(what: &str, values: &[f32]) {
    assert!(!values.is_empty() && values.iter().all(|x| x.is_nan()), "{what}: the idle lane was written");
}

/// A dense layer in a flat vector with other parameters before it, between weight and bias, and after them.
fn dense(rows: usize, inputs: usize, outputs: usize, shared_input: bool) -> Dense {
    let (weight, bias) = (3, 3 + inputs * outputs + 2);
    Dense {
        lanes: LANES as u32,
        rows: rows as u32,
        inputs: inputs as u32,
        outputs: outputs as u32,
        weight: weight as u32,
        bias: bias as u32,
        parameters: (bias + outputs + 1) as u32,
        slots: SLOTS as u32,
        input_lane_stride: if shared_input { 0 } else { rows * inputs } as u32,
    }
}

/// Weight and bias of a lane at the slot that it reads.
fn layer_weights(layer: &Dense, history: &[f32], index: usize) -> (Vec<f64>, Vec<f64>) {
    let parameters = layer.parameters as usize;
    let version = &lane(history, index)[PLACES[index].read * parameters..][..parameters];
    let weight = &version[layer.weight as usize..][..(layer.inputs * layer.outputs) as usize];
    let bias = &version[layer.bias as usize..][..layer.outputs as usize];
    (wide(weight), wide(bias))
}

fn product(tile: Tile, epilogue: Epilogue, params: &matmul::Params, buffers: [&Buffer; 4]) {
    let places = places(gpu().device());
    let [a, b, c, slope] = buffers;
    let workgroups = tile.workgroups(params.rows, params.columns, params.lanes);
    run(&matmul::KERNEL, &tile.variant(epilogue), &[&places, a, b, c, slope], params, workgroups);
}

fn check_forward(tile: Tile, activation: Option<Activation>, rows: usize, inputs: usize, outputs: usize, shared: bool) {
    let device = gpu().device();
    let layer = dense(rows, inputs, outputs, shared);
    let input = uniform(1, if shared { rows * inputs } else { LANES * rows * inputs });
    let history = uniform(2, LANES * SLOTS * layer.parameters as usize);
    let size = LANES * rows * outputs;
    let (c, slope) = (nan(device, size), nan(device, size));
    let (a, b) = (device.buffer_of("a", &input), device.buffer_of("b", &history));
    product(tile, Epilogue::Forward(activation), &layer.forward(), [&a, &b, &c, &slope]);

    let (c, slope) = (read(&c, size), read(&slope, size));
    for index in BUSY {
        let what = format!("{activation:?} {tile:?} {rows} x {inputs} x {outputs} lane {index}");
        let input = wide(if shared { &input } else { lane(&input, index) });
        let (weight, bias) = layer_weights(&layer, &history, index);
        let (mut value, mut slopes) = (vec![0.0; rows * outputs], vec![0.0; rows * outputs]);
        matmul::forward(&input, &weight, &bias, activation, &mut value, &mut slopes);
        assert_close(&what, lane(&c, index), &value, KERNEL_F32);
        match activation {
            // Where the sign of z is a matter of rounding, a kink's slope is too.
            Some(Activation::Relu | Activation::LeakyRelu) => {}
            Some(_) => assert_close(&what, lane(&slope, index), &slopes, KERNEL_F32),
            None => assert_untouched("slope of the last layer", lane(&slope, index)),
        }
    }
    assert_untouched("value", lane(&c, IDLE));
    assert_untouched("slope", lane(&slope, IDLE));
}

fn check_backward(tile: Tile, rows: usize, inputs: usize, outputs: usize) {
    let device = gpu().device();
    let layer = dense(rows, inputs, outputs, false);
    let delta = uniform(3, LANES * rows * outputs);
    let history = uniform(4, LANES * SLOTS * layer.parameters as usize);
    let slope = uniform(5, LANES * rows * inputs);
    let c = nan(device, LANES * rows * inputs);
    let (a, b) = (device.buffer_of("a", &delta), device.buffer_of("b", &history));
    product(tile, Epilogue::Backward, &layer.backward(), [&a, &b, &c, &device.buffer_of("slope", &slope)]);

    let c = read(&c, LANES * rows * inputs);
    for index in BUSY {
        let (weight, _) = layer_weights(&layer, &history, index);
        let mut below = vec![0.0; rows * inputs];
        let (delta, slope) = (wide(lane(&delta, index)), wide(lane(&slope, index)));
        matmul::backward(&delta, &weight, outputs, &slope, &mut below);
        let what = format!("backward {tile:?} {rows} x {inputs} x {outputs} lane {index}");
        assert_close(&what, lane(&c, index), &below, KERNEL_F32);
    }
    assert_untouched("delta below", lane(&c, IDLE));
}

fn check_gradient(tile: Tile, rows: usize, inputs: usize, outputs: usize, shared: bool) {
    let device = gpu().device();
    let layer = dense(rows, inputs, outputs, shared);
    let delta = uniform(6, LANES * rows * outputs);
    let input = uniform(7, if shared { rows * inputs } else { LANES * rows * inputs });
    let size = LANES * layer.parameters as usize;
    let c = nan(device, size);
    let (a, b) = (device.buffer_of("a", &delta), device.buffer_of("b", &input));
    product(tile, Epilogue::Gradient, &layer.gradient(), [&a, &b, &c, &device.buffer("no slope", 0)]);

    let c = read(&c, size);
    for index in BUSY {
        let what = format!("gradient {tile:?} {rows} x {inputs} x {outputs} lane {index}");
        let input = wide(if shared { &input } else { lane(&input, index) });
        let (mut weight, mut bias) = (vec![0.0; outputs * inputs], vec![0.0; outputs]);
        matmul::gradient(&wide(lane(&delta, index)), &input, &mut weight, &mut bias);
        let c = lane(&c, index);
        let (first, bias_first) = (layer.weight as usize, layer.bias as usize);
        assert_close(&what, &c[first..][..weight.len()], &weight, KERNEL_F32);
        assert_close(&what, &c[bias_first..][..bias.len()], &bias, KERNEL_F32);
        assert_untouched("parameters before", &c[..first]);
        assert_untouched("parameters between", &c[first + weight.len()..bias_first]);
        assert_untouched("parameters after", &c[bias_first + bias.len()..]);
    }
    assert_untouched("gradient", lane(&c, IDLE));
}

#[test]
fn matmul_agrees_at_every_shape_with_every_tile_and_epilogue() {
    let mut cases = 0;
    for tile in Tile::ALL {
        let (wide, tall) = (4 * tile.threads_x as usize, 4 * tile.threads_y as usize);
        for (i, rows) in around(tall).into_iter().enumerate() {
            for (j, columns) in around(wide).into_iter().enumerate() {
                // The depth of a tile is 16; five depths over twenty-five shapes, each beside every row and column.
                let inner = around(16)[(i + j) % 5];
                let shared = cases % 2 == 0;
                check_forward(tile, None, rows, inner, columns, shared);
                check_backward(tile, rows, columns, inner);
                check_gradient(tile, inner, columns, rows, shared);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 75);
}

#[test]
fn matmul_applies_every_activation() {
    for activation in Activation::iter() {
        check_forward(Tile::for_shape(70, 21), Some(activation), 70, 9, 21, false);
    }
}

/// a(z) and a'(z) on the device: z goes in as the input of one weight of one.
fn activate(activation: Activation, arguments: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let device = gpu().device();
    let rows = arguments.len();
    let layer = Dense { lanes: 1, slots: 1, parameters: 2, weight: 0, bias: 1, ..dense(rows, 1, 1, true) };
    let places = device.buffer_of("places", &[Place { busy: 1, ..Place::default() }; 2]);
    let (a, b) = (device.buffer_of("a", arguments), device.buffer_of("b", &[1.0f32, 0.0]));
    let (c, slope) = (nan(device, rows), nan(device, rows));
    let (tile, params) = (Tile::for_shape(rows as u32, 1), layer.forward());
    let workgroups = tile.workgroups(params.rows, params.columns, 1);
    let variant = tile.variant(Epilogue::Forward(Some(activation)));
    run(&matmul::KERNEL, &variant, &[&places, &a, &b, &c, &slope], &params, workgroups);
    (read(&c, rows), read(&slope, rows))
}

#[test]
fn activations_agree_from_tiny_to_huge_arguments() {
    let fine = (-3000..=3000).map(|i| i as f32 / 400.0);
    let huge = [1.0, 9.0, 10.0, 20.0, 45.0, 89.0, 100.0, 1e3, 1e4].into_iter().flat_map(|z| [z, -z]);
    let tiny = [1.0, 0.0, 1e-3, 1e-5, 1e-10, 1e-30].into_iter().flat_map(|z| [z, -z]);
    for arguments in [fine.collect::<Vec<f32>>(), huge.collect(), tiny.collect()] {
        for activation in Activation::iter() {
            let (value, slope) = activate(activation, &arguments);
            let exact = arguments.iter().map(|z| activation.value_and_slope(f64::from(*z)));
            let (exact_value, exact_slope): (Vec<f64>, Vec<f64>) = exact.unzip();
            assert_close(&format!("{activation}"), &value, &exact_value, ACTIVATION_F32);
            assert_close(&format!("slope of {activation}"), &slope, &exact_slope, ACTIVATION_F32);
        }
    }
}

/// Near 0 tanh(z) is z: small activations must not drown in the rounding of an exponential.
#[test]
fn tanh_keeps_its_digits_near_zero() {
    let arguments = [1e-1f32, 1e-2, 1e-4, -1e-6, 1e-12, -1e-30];
    let (value, _) = activate(Activation::Tanh, &arguments);
    for (value, z) in value.iter().zip(arguments) {
        assert_close(&format!("tanh {z}"), &[*value], &[f64::from(z).tanh()], ACTIVATION_F32);
    }
}

#[test]
fn a_nan_stays_one_through_every_activation() {
    for activation in Activation::iter() {
        let (value, _) = activate(activation, &[1.0, f32::NAN]);
        assert!(value[0].is_finite() && value[1].is_nan(), "{activation} of NaN is {}", value[1]);
    }
}

#[test]
fn loss_and_its_gradient_agree() {
    let device = gpu().device();
    let places = places(device);
    for loss in Loss::iter() {
        for (case, rows) in around(loss::WORKGROUP).into_iter().enumerate() {
            let classes = [2, 3, 10, 33, 5][case];
            let shared = case % 2 == 0;
            let labels = labels(8, if shared { rows } else { LANES * rows }, classes);
            // Mostly logits of a size that overflows a softmax without its shift.
            let size = if rows == 1 { 3.0 } else { 200.0 };
            let outputs: Vec<f32> = uniform(9, LANES * rows * classes).iter().map(|x| size * x).collect();
            let partials = loss::partials(rows);
            let params = loss::Params {
                step: 0,
                lanes: LANES as u32,
                rows: rows as u32,
                classes: classes as u32,
                label_stride: if shared { 0 } else { rows as u32 },
                partials: partials as u32,
                scale: 1.0 / rows as f32,
            };
            let (on_device, sums) = (device.buffer_of("outputs", &outputs), nan(device, LANES * partials));
            let buffers = [&places, &device.buffer_of("labels", &labels), &on_device, &sums];
            run(&loss::KERNEL, &loss.variant(), &buffers, &params, [partials as u32, LANES as u32, 1]);

            let gradient = read(&on_device, outputs.len());
            let sums = read(&sums, LANES * partials);
            for index in BUSY {
                let mut expected = wide(lane(&outputs, index));
                let labels = if shared { &labels[..] } else { lane(&labels, index) };
                let value = loss::cpu(loss, labels, &mut expected);
                let what = format!("{loss} {rows} x {classes} lane {index}");
                assert_close(&what, lane(&gradient, index), &expected, 10.0 * KERNEL_F32);
                let sum: f64 = wide(lane(&sums, index)).iter().sum();
                assert_close(&what, &[sum], &[value], KERNEL_F32);
            }
            assert_eq!(lane(&gradient, IDLE), lane(&outputs, IDLE), "the idle lane's outputs");
            assert_untouched("loss", lane(&sums, IDLE));
        }
    }
}

#[test]
fn gather_copies_the_rows_of_the_step() {
    let device = gpu().device();
    let places = places(device);
    let (samples, features) = (37, 5);
    let data = uniform(10, samples * features);
    let data_labels = labels(11, samples, 10);
    for rows in [1, 7, 37, around(gather::WORKGROUP)[3] / features + 1, 3 * gather::WORKGROUP + 7] {
        let order = labels(12, 2 * LANES * rows, samples);
        let params = gather::Params { step: 0, lanes: LANES as u32, rows: rows as u32, features: features as u32 };
        let inputs = nan(device, LANES * rows * features);
        let picked = device.buffer_of("labels", &vec![99u32; LANES * rows]);
        let buffers = [
            &places,
            &device.buffer_of("order", &order),
            &device.buffer_of("data", &data),
            &device.buffer_of("data_labels", &data_labels),
            &inputs,
            &picked,
        ];
        let groups = (rows * features).div_ceil(gather::WORKGROUP) as u32;
        run(&gather::KERNEL, &[], &buffers, &params, [groups, LANES as u32, 1]);

        let inputs = read(&inputs, LANES * rows * features);
        let picked: Vec<u32> = device.read(&picked, 0, LANES * rows).unwrap();
        for index in BUSY {
            let (mut expected, mut expected_labels) = (Vec::new(), Vec::new());
            let order = lane(&order[LANES * rows..], index);
            gather::cpu(order, &data, &data_labels, &mut expected, &mut expected_labels);
            assert_eq!(lane(&inputs, index), expected, "{rows} rows");
            assert_eq!(lane(&picked, index), expected_labels, "{rows} rows");
        }
        assert_untouched("inputs", lane(&inputs, IDLE));
        assert!(lane(&picked, IDLE).iter().all(|label| *label == 99));
    }
}

#[test]
fn quadratic_agrees() {
    let device = gpu().device();
    let places = places(device);
    for parameters in around(quadratic::WORKGROUP) {
        let eigenvalues: Vec<f32> = uniform(13, parameters).iter().map(|x| x + 2.0).collect();
        let history = uniform(14, LANES * SLOTS * parameters);
        let partials = quadratic::partials(parameters);
        let params = quadratic::Params {
            step: 0,
            lanes: LANES as u32,
            parameters: parameters as u32,
            history_stride: (SLOTS * parameters) as u32,
            partials: partials as u32,
        };
        let (gradient, sums) = (nan(device, LANES * parameters), nan(device, LANES * partials));
        let (on_device, ring) = (device.buffer_of("eigenvalues", &eigenvalues), device.buffer_of("history", &history));
        let buffers = [&places, &on_device, &ring, &gradient, &sums];
        run(&quadratic::KERNEL, &[], &buffers, &params, [partials as u32, LANES as u32, 1]);

        let (gradient, sums) = (read(&gradient, LANES * parameters), read(&sums, LANES * partials));
        for index in BUSY {
            let weights = wide(&lane(&history, index)[PLACES[index].read * parameters..][..parameters]);
            let mut expected = vec![0.0; parameters];
            let value = quadratic::cpu(&wide(&eigenvalues), &weights, &mut expected);
            let what = format!("{parameters} parameters, lane {index}");
            assert_close(&what, lane(&gradient, index), &expected, KERNEL_F32);
            assert_close(&what, &[wide(lane(&sums, index)).iter().sum::<f64>()], &[value], KERNEL_F32);
        }
        assert_untouched("gradient", lane(&gradient, IDLE));
        assert_untouched("loss", lane(&sums, IDLE));
    }
}

#[test]
fn step_agrees_for_every_rule() {
    for kind in RuleKind::iter() {
        for parameters in around(step::WORKGROUP) {
            check_step(kind, parameters);
        }
    }
}

fn check_step(kind: RuleKind, parameters: usize) {
    let device = gpu().device();
    let places = places(device);
    let rule = Rule { kind, momentum: 0.9, dampening: 0.25 };
    let (lr, weight_decay) = ([0.3f32, 0.0, 0.07], 0.01f32);
    let updates: Vec<step::Update> = lr.iter().map(|lr| rule.coefficients().update(f64::from(*lr))).collect();
    let gradient = uniform(15, LANES * parameters);
    let landmarks = uniform(16, 2 * parameters);
    let idle_nan = |mut values: Vec<f32>| {
        let length = values.len() / LANES;
        values[IDLE * length..][..length].fill(f32::NAN);
        values
    };
    let server = idle_nan(uniform(17, LANES * parameters));
    let history = idle_nan(uniform(18, LANES * SLOTS * parameters));
    let velocity = idle_nan(uniform(19, LANES * SLOTS * parameters));
    let partials = step::partials(parameters);
    let params = step::Params {
        step: 0,
        lanes: LANES as u32,
        parameters: parameters as u32,
        history_stride: (SLOTS * parameters) as u32,
        velocity_stride: (SLOTS * parameters) as u32,
        partials: partials as u32,
        weight_decay,
    };
    let (x, ring, v) =
        (device.buffer_of("server", &server), device.buffer_of("history", &history), device.buffer_of("v", &velocity));
    let sums = nan(device, LANES * partials * 4);
    let (updates, g) = (device.buffer_of("updates", &updates), device.buffer_of("gradient", &gradient));
    let marks = device.buffer_of("landmarks", &landmarks);
    let buffers = [&places, &updates, &g, &marks, &x, &ring, &v, &sums];
    run(&step::KERNEL, &[], &buffers, &params, [partials as u32, LANES as u32, 1]);

    let [x, ring, v] = [(&x, server.len()), (&ring, history.len()), (&v, velocity.len())].map(|(b, n)| read(b, n));
    let sums = read(&sums, LANES * partials * 4);
    let (minimum, direction) = landmarks.split_at(parameters);
    for index in BUSY {
        let mut state = State {
            server: wide(lane(&server, index)),
            history: wide(lane(&history, index)),
            velocity: wide(lane(&velocity, index)),
        };
        let moments = step::cpu(
            &rule.coefficients(),
            f64::from(lr[index]),
            f64::from(weight_decay),
            PLACES[index],
            &wide(lane(&gradient, index)),
            &wide(minimum),
            &wide(direction),
            &mut state,
        );
        let what = format!("{kind} {parameters} lane {index}");
        assert_close(&what, lane(&x, index), &state.server, KERNEL_F32);
        assert_close(&what, lane(&ring, index), &state.history, KERNEL_F32);
        assert_close(&what, lane(&v, index), &state.velocity, KERNEL_F32);
        let total = |member: usize| wide(lane(&sums, index)).iter().skip(member).step_by(4).sum::<f64>();
        assert_close(&what, &[total(0)], &[moments.distance_squared], KERNEL_F32);
        // A sum of terms of both signs: its scale is that of its factors.
        let scale = moments.distance_squared.sqrt() * wide(direction).iter().map(|x| x * x).sum::<f64>().sqrt();
        assert_close(&what, &[total(1), scale], &[moments.projection, scale], KERNEL_F32);
        assert_close(&what, &[total(2)], &[moments.read_squared], KERNEL_F32);
        assert_eq!(total(3), 0.0, "{what}: weights that are not finite");
    }
    for (what, values) in [("server", &x), ("history", &ring), ("velocity", &v), ("moments", &sums)] {
        assert_untouched(what, lane(values, IDLE));
    }
}

#[test]
fn observe_finishes_sums_of_any_length() {
    let device = gpu().device();
    let places = places(device);
    for (case, losses) in around(observe::WORKGROUP).into_iter().enumerate() {
        let moments = around(observe::WORKGROUP)[4 - case];
        let loss_partials = uniform(20, LANES * losses);
        let mut moment_partials = uniform(21, LANES * moments * 4);
        moment_partials.iter_mut().skip(3).step_by(4).for_each(|count| *count = 0.0);
        let (seen, params) = check_observe(device, &places, &loss_partials, &moment_partials, losses, moments);
        for index in BUSY {
            let total = |member: usize| wide(lane(&moment_partials, index)).iter().skip(member).step_by(4).sum::<f64>();
            let moments = step::Moments { distance_squared: total(0), projection: total(1), read_squared: total(2) };
            let loss = wide(lane(&loss_partials, index)).iter().sum();
            let (objective, finite) = observe::cpu(loss, f64::from(params.weight_decay), &moments);
            let expected = [moments.distance_squared, moments.projection, objective, f64::from(u8::from(finite))];
            assert_close(&format!("{losses} and {moments:?}"), lane(&seen, index), &expected, 5.0 * KERNEL_F32);
        }
        assert_untouched("observation", lane(&seen, IDLE));
    }
}

/// One weight, one term of the distance or one of the loss that is not finite is enough.
#[test]
fn observe_flags_whatever_is_not_finite() {
    let device = gpu().device();
    let places = places(device);
    let (losses, moments) = (70, 70);
    for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for planted in ["nowhere", "loss", "distance", "weight"] {
            let mut loss_partials = vec![1.0f32; LANES * losses];
            let mut moment_partials = vec![0.0f32; LANES * moments * 4];
            match planted {
                "loss" => loss_partials[2 * losses + 69] = fault,
                "distance" => moment_partials[(2 * moments + 69) * 4] = fault,
                "weight" => moment_partials[(2 * moments + 33) * 4 + 3] = 1.0,
                _ => {}
            }
            let (seen, _) = check_observe(device, &places, &loss_partials, &moment_partials, losses, moments);
            assert_eq!(lane(&seen, 0)[3], 1.0, "{fault} in the {planted} of another lane");
            assert_eq!(lane(&seen, 2)[3], if planted == "nowhere" { 1.0 } else { 0.0 }, "{fault} in the {planted}");
        }
    }
}

/// The observations of the second step; the first one's must stay as they were.
fn check_observe(
    device: &Device,
    places: &Buffer,
    loss_partials: &[f32],
    moment_partials: &[f32],
    losses: usize,
    moments: usize,
) -> (Vec<f32>, observe::Params) {
    let params = observe::Params {
        step: 0,
        lanes: LANES as u32,
        loss_partials: losses as u32,
        moment_partials: moments as u32,
        weight_decay: 0.125,
    };
    let seen = nan(device, 2 * LANES * 4);
    let (a, b) = (device.buffer_of("losses", loss_partials), device.buffer_of("moments", moment_partials));
    run(&observe::KERNEL, &[], &[places, &a, &b, &seen], &params, [LANES as u32, 1, 1]);
    let seen = read(&seen, 2 * LANES * 4);
    assert_untouched("the step at rest", &seen[..LANES * 4]);
    (seen[LANES * 4..].to_vec(), params)
}

#[test]
fn step_counts_weights_that_are_not_finite() {
    let device = gpu().device();
    let parameters = 3 * step::WORKGROUP + 7;
    let place = Place { busy: 1, ..Place::default() };
    for fault in [f32::NAN, f32::INFINITY] {
        let mut gradient = vec![0.0f32; parameters];
        gradient[parameters - 1] = fault;
        gradient[5] = fault;
        let partials = step::partials(parameters);
        let length = parameters as u32;
        let params = step::Params {
            step: 0,
            lanes: 1,
            parameters: length,
            history_stride: length,
            velocity_stride: length,
            partials: partials as u32,
            weight_decay: 0.0,
        };
        let zeros = |label| device.buffer_of(label, &vec![0.0f32; parameters]);
        let sums = nan(device, partials * 4);
        let updates = device.buffer_of("updates", &[Rule::SGD.coefficients().update(1.0)]);
        let buffers = [
            &device.buffer_of("places", &[place]),
            &updates,
            &device.buffer_of("gradient", &gradient),
            &device.buffer_of("landmarks", &vec![0.0f32; 2 * parameters]),
            &zeros("server"),
            &zeros("history"),
            &zeros("velocity"),
            &sums,
        ];
        let dispatch =
            device.dispatch(&device.pipeline(&step::KERNEL, &[]), &buffers, &params, [params.partials, 1, 1]);
        device.run(&[dispatch], 1);
        let counts: Vec<f32> = read(&sums, partials * 4).into_iter().skip(3).step_by(4).collect();
        assert_eq!(counts, [1.0, 0.0, 0.0, 1.0], "{fault}");
    }
}
