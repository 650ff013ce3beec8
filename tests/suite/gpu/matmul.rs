//! The batched product: every shape, tile and epilogue, and the activations.

use super::lanes::*;
use crate::common::{ACTIVATION_F32, KERNEL_F32, assert_close, gpu};
use strum::IntoEnumIterator;
use tauscope::engine::gpu::device::Buffer;
use tauscope::kernels::matmul::{self, Dense, Epilogue};
use tauscope::kernels::tile::Tile;
use tauscope::kernels::{Call, LaneStep};
use tauscope::math::Activation;

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
    let version = &lane(history, index)[STEP_SLOTS[index].read * parameters..][..parameters];
    let weight = &version[layer.weight as usize..][..(layer.inputs * layer.outputs) as usize];
    let bias = &version[layer.bias as usize..][..layer.outputs as usize];
    (wide(weight), wide(bias))
}

fn product(tile: Tile, epilogue: Epilogue, params: &matmul::Params, buffers: [&Buffer; 4]) {
    let lane_steps = lane_steps(gpu().device());
    let [a, b, c, slope] = buffers;
    let workgroups = tile.workgroups(params.rows, params.columns, params.lanes);
    let variant = matmul::variant(tile, epilogue, params);
    run(Call::new(&matmul::KERNEL, &variant, [&lane_steps, a, b, c, slope], params, workgroups, 0));
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
        let (wide, tall) = (tile.columns() as usize, tile.rows() as usize);
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
    assert_eq!(cases, 100);
}

#[test]
fn no_tile_changes_a_bit() {
    let device = gpu().device();
    let (rows, inputs, outputs) = (131, 37, 70);
    let layer = dense(rows, inputs, outputs, true);
    let a = device.buffer_of("a", &uniform(1, rows * inputs));
    let b = device.buffer_of("b", &uniform(2, LANES * SLOTS * layer.parameters as usize));
    let values = Tile::ALL.map(|tile| {
        let (c, slope) = (nan(device, LANES * rows * outputs), nan(device, LANES * rows * outputs));
        product(tile, Epilogue::Forward(Some(Activation::Tanh)), &layer.forward(), [&a, &b, &c, &slope]);
        BUSY.map(|index| lane(&read(&c, LANES * rows * outputs), index).to_vec())
    });
    assert!(values[0].concat().iter().all(|value| value.is_finite()));
    assert!(values.iter().all(|others| *others == values[0]));
}

/// Large tiles for the wide layers' products, unless they would mostly cover what is not there.
#[test]
fn wide_products_take_large_tiles() {
    for (rows, columns, side) in [(512, 512, 64), (512, 513, 64), (128, 128, 64), (129, 129, 32), (127, 512, 32)] {
        let tile = Tile::for_shape(rows, columns);
        assert_eq!((tile.rows(), tile.columns()), (side, side), "{rows} x {columns}");
    }
    assert_eq!(Tile::for_shape(1000, 10).columns(), 16);
    assert_eq!(Tile::for_shape(16, 64).rows(), 16);
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
    let lane_steps = device.buffer_of("lane_steps", &[LaneStep { busy: 1, ..LaneStep::default() }; 2]);
    let (a, b) = (device.buffer_of("a", arguments), device.buffer_of("b", &[1.0f32, 0.0]));
    let (c, slope) = (nan(device, rows), nan(device, rows));
    run(matmul::call(Epilogue::Forward(Some(activation)), &layer.forward(), [&lane_steps, &a, &b, &c, &slope]));
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
