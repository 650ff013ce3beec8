//! The kernels of one invocation per row or element: loss, gather, quadratic, hessian, observe; and what `step` counts.

use super::lanes::*;
use crate::common::{KERNEL_F32, assert_close, gpu};
use strum::IntoEnumIterator;
use tauscope::batch::{Augmentation, MOST_CROP};
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::kernels::update::{Update, table};
use tauscope::kernels::{Batch, LaneStep, gather, hessian, loss, observe, quadratic, step};
use tauscope::math::{Loss, Shape};
use tauscope::update::{StepSlots, UpdateCoefficients};

#[test]
fn loss_and_its_gradient_agree() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
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
            let buffers = [&lane_steps, &device.buffer_of("labels", &labels), &on_device, &sums];
            run(loss::call(loss, &params, buffers));

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
fn gather_copies_the_samples_of_the_step_as_they_are_or_augmented() {
    let device = gpu().device();
    let (samples, shape) = (37, Shape::new(2, 3, 5));
    let features = shape.elements();
    let data = uniform(10, samples * features);
    let data_labels = labels(11, samples, 10);
    let edge = around(gather::WORKGROUP)[3] / features + 1;
    for (case, rows) in [1, 7, 37, edge, 3 * gather::WORKGROUP / features + 7].into_iter().enumerate() {
        // The lanes' rows overlap, as those of lanes that share them do.
        let mut order = labels(12, 2 * rows + 3, samples);
        let (flip, crop) = [(false, 0), (true, 0), (false, 1), (true, 2), (true, MOST_CROP)][case];
        let augmentation = Augmentation { flip, crop };
        if !augmentation.is_none() {
            let places = 2 * crop as u32 + 1;
            let changes = labels(13, order.len(), (2 * places * places) as usize);
            for (draw, change) in order.iter_mut().zip(changes) {
                let (mirror, cut) = (change % 2 * u32::from(flip), change / 2);
                *draw |= mirror << 23 | (cut % places) << 24 | (cut / places) << 28;
            }
        }
        let firsts = [rows / 2 + 3, 0, 1];
        let mut lane_steps = vec![LaneStep::default(); 2 * LANES];
        for lane in BUSY {
            lane_steps[LANES + lane] = LaneStep { rows: firsts[lane] as u32, ..LaneStep::at(STEP_SLOTS[lane].read) };
        }
        let params = gather::params(LANES, rows, shape, augmentation);
        let inputs = nan(device, LANES * rows * features);
        let picked = device.buffer_of("labels", &vec![99u32; LANES * rows]);
        let buffers = [
            &device.buffer_of("lane_steps", &lane_steps),
            &device.buffer_of("order", &order),
            &device.buffer_of("data", &data),
            &device.buffer_of("data_labels", &data_labels),
            &inputs,
            &picked,
        ];
        run(gather::call(augmentation, &params, buffers));

        let inputs = read(&inputs, LANES * rows * features);
        let picked: Vec<u32> = device.read(&picked, 0, LANES * rows).unwrap();
        for index in BUSY {
            let (mut expected, mut expected_labels) = (Vec::new(), Vec::new());
            let order = &order[firsts[index]..][..rows];
            gather::cpu(order, augmentation, shape, &data, &data_labels, &mut expected, &mut expected_labels);
            assert_eq!(lane(&inputs, index), expected, "{rows} rows, {augmentation:?}");
            assert_eq!(lane(&picked, index), expected_labels, "{rows} rows");
        }
        assert_untouched("inputs", lane(&inputs, IDLE));
        assert!(lane(&picked, IDLE).iter().all(|label| *label == 99));
    }
}

#[test]
fn quadratic_agrees() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
    for parameters in around(quadratic::WORKGROUP) {
        let eigenvalues: Vec<f32> = uniform(13, parameters).iter().map(|x| x + 2.0).collect();
        let history = uniform(14, LANES * SLOTS * parameters);
        let partials = quadratic::partials(parameters);
        let params = quadratic::Params {
            step: 0,
            lanes: LANES as u32,
            parameters: parameters as u32,
            history_stride: (SLOTS * parameters) as u32,
            slot_stride: parameters as u32,
            partials: partials as u32,
        };
        let (gradient, sums) = (nan(device, LANES * parameters), nan(device, LANES * partials));
        let (on_device, ring) = (device.buffer_of("eigenvalues", &eigenvalues), device.buffer_of("history", &history));
        let buffers = [&lane_steps, &on_device, &ring, &gradient, &sums];
        run(quadratic::call(&params, buffers));

        let (gradient, sums) = (read(&gradient, LANES * parameters), read(&sums, LANES * partials));
        for index in BUSY {
            let weights = wide(&lane(&history, index)[STEP_SLOTS[index].read * parameters..][..parameters]);
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
fn hessian_agrees() {
    let device = gpu().device();
    // Batches that lie in one table and overlap there.
    let firsts: Vec<usize> = (0..LANES).map(|lane| 2 * lane).collect();
    for (case, parameters) in around(hessian::WORKGROUP).into_iter().enumerate() {
        let (rows, samples) = (1 + case % 3, 5);
        let mut lane_steps = vec![LaneStep::default(); 2 * LANES];
        for index in BUSY {
            lane_steps[LANES + index] = LaneStep { rows: firsts[index] as u32, ..LaneStep::at(STEP_SLOTS[index].read) };
        }
        let order: Vec<u32> = (0..2 * LANES + rows).map(|place| (3 * place % samples) as u32).collect();
        let mut hessians = uniform(15, samples * parameters * parameters);
        for hessian in hessians.chunks_exact_mut(parameters * parameters) {
            (0..parameters)
                .for_each(|i| (0..i).for_each(|j| hessian[i * parameters + j] = hessian[j * parameters + i]));
        }
        let history = uniform(16, LANES * SLOTS * parameters);
        let partials = hessian::partials(parameters);
        let (gradient, sums) = (nan(device, LANES * parameters), nan(device, LANES * partials));
        let [on_device, ring] =
            [("hessians", &hessians), ("history", &history)].map(|(name, x)| device.buffer_of(name, &x[..]));
        let (lane_steps, table) = (device.buffer_of("lane_steps", &lane_steps), device.buffer_of("order", &order));
        let batch = Batch { lanes: LANES, rows, parameters, slots: SLOTS };
        run(hessian::call(batch, [&lane_steps, &table, &on_device, &ring, &gradient, &sums]));

        let (gradient, sums) = (read(&gradient, LANES * parameters), read(&sums, LANES * partials));
        for index in BUSY {
            let weights = wide(&lane(&history, index)[STEP_SLOTS[index].read * parameters..][..parameters]);
            let mut expected = vec![0.0; parameters];
            let value = hessian::cpu(&order[firsts[index]..][..rows], &wide(&hessians), &weights, &mut expected);
            let what = format!("{rows} Hessians of {parameters} parameters, lane {index}");
            assert_close(&what, lane(&gradient, index), &expected, KERNEL_F32);
            assert_close(&what, &[wide(lane(&sums, index)).iter().sum::<f64>()], &[value], KERNEL_F32);
        }
        assert_untouched("gradient", lane(&gradient, IDLE));
        assert_untouched("loss", lane(&sums, IDLE));
    }
}

#[test]
fn observe_finishes_sums_of_any_length() {
    let device = gpu().device();
    let lane_steps = lane_steps(device);
    for (case, losses) in around(observe::WORKGROUP).into_iter().enumerate() {
        let moments = around(observe::WORKGROUP)[4 - case];
        let loss_partials = uniform(20, LANES * losses);
        let mut moment_partials = uniform(21, LANES * moments * 4);
        moment_partials.iter_mut().skip(3).step_by(4).for_each(|count| *count = 0.0);
        let (seen, params) = check_observe(device, &lane_steps, &loss_partials, &moment_partials, losses, moments);
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
    let lane_steps = lane_steps(device);
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
            let (seen, _) = check_observe(device, &lane_steps, &loss_partials, &moment_partials, losses, moments);
            assert_eq!(lane(&seen, 0)[3], 1.0, "{fault} in the {planted} of another lane");
            assert_eq!(lane(&seen, 2)[3], if planted == "nowhere" { 1.0 } else { 0.0 }, "{fault} in the {planted}");
        }
    }
}

/// The observations of the second step; the first one's must stay as they were.
fn check_observe(
    device: &Device,
    lane_steps: &Buffer,
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
    run(observe::call(&params, [lane_steps, &a, &b, &seen]));
    let seen = read(&seen, 2 * LANES * 4);
    assert_untouched("the step at rest", &seen[..LANES * 4]);
    (seen[LANES * 4..].to_vec(), params)
}

#[test]
fn step_counts_weights_that_are_not_finite() {
    let device = gpu().device();
    let parameters = 3 * step::WORKGROUP + 7;
    let place = LaneStep { busy: 1, ..LaneStep::default() };
    for fault in [f32::NAN, f32::INFINITY] {
        let mut gradient = vec![0.0f32; parameters];
        gradient[parameters - 1] = fault;
        gradient[5] = fault;
        let partials = step::partials(parameters);
        let length = parameters as u32;
        let params = step::Params {
            step: 0,
            lanes: 1,
            stages: 1,
            parameters: length,
            first: 0,
            length,
            history_stride: length,
            state_stride: length,
            second_offset: length,
            partials: partials as u32,
        };
        let zeros = |label| device.buffer_of(label, &vec![0.0f32; parameters]);
        let sums = nan(device, partials * 4);
        let sgd = UpdateCoefficients { lr: 1.0, gradient_to_weights: 1.0, ..UpdateCoefficients::default() };
        let slots = StepSlots { read: 0, write: 0, velocity: 0, velocity_read: 0, newest: 0, backward_write: None };
        let updates = device.buffer_of("updates", &table(&[(slots, Update::new(&sgd))], parameters));
        let buffers = [
            &device.buffer_of("lane_steps", &[place]),
            &updates,
            &device.buffer_of("gradient", &gradient),
            &device.buffer_of("landmarks", &vec![0.0f32; 3 * parameters]),
            &zeros("server"),
            &zeros("history"),
            &zeros("state"),
            &sums,
        ];
        device.run(&[device.bind(step::call(&params, buffers))], 1);
        let counts: Vec<f32> = read(&sums, partials * 4).into_iter().skip(3).step_by(4).collect();
        assert_eq!(counts, [1.0, 0.0, 0.0, 1.0], "{fault}");
    }
}
