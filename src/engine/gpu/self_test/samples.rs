//! The kernels of one invocation per row or element against their twins: `loss`, `evaluate`, `gather`, `quadratic`, `hessian` and
//! `observe`; and those of the benchmarks, `copy` and `peak`.

use super::stand::{
    BUSY, Case, IDLE, LANES, SLOTS, STEP_SLOTS, TOLERANCE, labels, lane, lane_steps, nan, placed, uniform, untouched,
    version, wide, without_idle,
};
use crate::batch::Augmentation;
use crate::engine::gpu::device::Device;
use crate::kernels::{
    Batch, LaneStep, copy, evaluate, gather, hessian, loss, observe, peak, quadratic, step as step_kernel,
};
use crate::math::{EXACT, Loss, Shape, close};

/// Checks partial sums, `partials` for a lane.
fn sums(what: &'static str, expected: [f64; 2]) -> impl Fn(&[f32]) -> Result<(), String> {
    move |found| {
        for (index, expected) in BUSY.into_iter().zip(expected) {
            let sum: f64 = wide(lane(found, index)).iter().sum();
            close(&format!("{what} of lane {index}"), &[sum], &[expected], TOLERANCE)?;
        }
        untouched(what, lane(found, IDLE))
    }
}

pub fn loss(device: &Device) -> Case {
    let (rows, classes) = (3 * loss::WORKGROUP + 7, 5);
    let classes_of_rows = labels(8, LANES * rows, classes);
    // Mostly logits of a size that overflows a softmax without its shift.
    let outputs = without_idle(uniform(9, LANES * rows * classes).iter().map(|x| 200.0 * x).collect());
    let partials = loss::partials(rows);
    let params = loss::Params {
        step: 0,
        lanes: LANES as u32,
        rows: rows as u32,
        classes: classes as u32,
        label_stride: rows as u32,
        partials: partials as u32,
        scale: 1.0 / rows as f32,
    };
    let (on_device, results) = (device.buffer_of("outputs", &outputs), nan(device, LANES * partials));
    let buffers = [&lane_steps(device), &device.buffer_of("labels", &classes_of_rows), &on_device, &results];
    let each = BUSY.map(|index| {
        let mut gradient = wide(lane(&outputs, index));
        (loss::cpu(Loss::Ce, lane(&classes_of_rows, index), &mut gradient), gradient)
    });
    let [(value, gradient), (other_value, other_gradient)] = each;
    Case::of(&loss::KERNEL)
        .call(device, loss::call(Loss::Ce, &params, buffers))
        .expect_lanes("the gradient of the cross-entropy", &on_device, [gradient, other_gradient], 10.0 * TOLERANCE)
        .expect(&results, LANES * partials, sums("the cross-entropy", [value, other_value]))
}

pub fn evaluate(device: &Device) -> Case {
    // Two chunks, the second of which is mostly beyond the last sample; the first lies in the first step.
    let (rows, classes) = (evaluate::WORKGROUP + 1, 10);
    let samples = rows + rows.div_ceil(3);
    let outputs: Vec<f32> = labels(1, LANES * rows * classes, 7).iter().map(|x| 0.5 * *x as f32).collect();
    let classes_of_rows = labels(2, LANES * rows, classes);
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
    for index in BUSY {
        let at = LaneStep::at(STEP_SLOTS[index].read);
        (chunks[index], chunks[LANES + index]) = (at, at);
    }
    let length = LANES * 2 * partials * 2;
    let results = nan(device, length);
    let buffers = [
        &device.buffer_of("lane_steps", &chunks),
        &device.buffer_of("labels", &classes_of_rows),
        &device.buffer_of("outputs", &outputs),
        &results,
    ];
    // Sum of losses and count of what is right, of each chunk.
    let expected = BUSY.map(|index| {
        [rows, samples - rows].map(|counted| {
            let (mut outputs, labels) = (wide(lane(&outputs, index)), &lane(&classes_of_rows, index)[..counted]);
            outputs.truncate(counted * classes);
            let is_right = |(row, label): (&[f64], &u32)| {
                let (before, labelled) = (&row[..*label as usize], row[*label as usize]);
                row.iter().all(|f| *f <= labelled) && before.iter().all(|f| *f < labelled)
            };
            let right = outputs.chunks_exact(classes).zip(labels).filter(|row| is_right(*row)).count();
            [counted as f64 * loss::cpu(Loss::Ce, labels, &mut outputs), right as f64]
        })
    });
    Case::of(&evaluate::KERNEL).call(device, evaluate::call(Loss::Ce, &params, buffers)).expect(
        &results,
        length,
        move |found| {
            for (index, chunks) in BUSY.into_iter().zip(&expected) {
                let found = lane(found, index);
                for (chunk, expected) in found.chunks_exact(2 * partials).zip(chunks) {
                    let sum = |part: usize| wide(chunk).iter().skip(part).step_by(2).sum::<f64>();
                    close("losses of an evaluation", &[sum(0)], &expected[..1], TOLERANCE)?;
                    close("right samples of an evaluation", &[sum(1)], &expected[1..], EXACT)?;
                }
            }
            untouched("an evaluation", lane(found, IDLE))
        },
    )
}

pub fn gather(device: &Device) -> Case {
    let (samples, shape, rows) = (37, Shape::new(2, 3, 5), 21);
    let (features, augmentation) = (shape.elements(), Augmentation { flip: true, crop: 2 });
    let (data, data_labels) = (uniform(10, samples * features), labels(11, samples, 10));
    // The lanes' rows overlap, as those of lanes that share them do.
    let mut order = labels(12, 2 * rows + 3, samples);
    let places = 2 * augmentation.crop as u32 + 1;
    let changes = labels(13, order.len(), (2 * places * places) as usize);
    for (draw, change) in order.iter_mut().zip(changes) {
        *draw |= (change % 2) << 23 | (change / 2 % places) << 24 | (change / 2 / places) << 28;
    }
    let firsts = [rows / 2 + 3, 0, 1];
    let place = |lane: usize| LaneStep { rows: firsts[lane] as u32, ..LaneStep::at(STEP_SLOTS[lane].read) };
    let params = gather::params(LANES, rows, shape, augmentation);
    let inputs = nan(device, LANES * rows * features);
    // NaN as bits: the idle lane's labels must stay it.
    let picked = nan(device, LANES * rows);
    let buffers = [
        &placed(device, place),
        &device.buffer_of("order", &order),
        &device.buffer_of("data", &data),
        &device.buffer_of("data_labels", &data_labels),
        &inputs,
        &picked,
    ];
    let each = BUSY.map(|index| {
        let (mut expected, mut expected_labels) = (Vec::new(), Vec::new());
        let order = &order[firsts[index]..][..rows];
        gather::cpu(order, augmentation, shape, &data, &data_labels, &mut expected, &mut expected_labels);
        (wide(&expected), expected_labels)
    });
    let [(values, classes), (other_values, other_classes)] = each;
    let both = [classes, other_classes];
    Case::of(&gather::KERNEL)
        .call(device, gather::call(augmentation, &params, buffers))
        .expect_lanes("the gathered samples", &inputs, [values, other_values], EXACT)
        .expect(&picked, LANES * rows, move |found| {
            for (index, expected) in BUSY.into_iter().zip(&both) {
                let found: Vec<u32> = lane(found, index).iter().map(|bits| bits.to_bits()).collect();
                close("the gathered labels", &found, expected, EXACT)?;
            }
            untouched("the gathered labels", lane(found, IDLE))
        })
}

pub fn quadratic(device: &Device) -> Case {
    let parameters = 3 * quadratic::WORKGROUP + 7;
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
    let (gradient, results) = (nan(device, LANES * parameters), nan(device, LANES * partials));
    let [on_device, ring] = [&eigenvalues, &history].map(|values| device.buffer_of("operand", values));
    let buffers = [&lane_steps(device), &on_device, &ring, &gradient, &results];
    let each = BUSY.map(|index| {
        let mut gradient = vec![0.0; parameters];
        let value = quadratic::cpu(&wide(&eigenvalues), &version(&history, index, parameters), &mut gradient);
        (value, gradient)
    });
    let [(value, of_first), (other_value, of_other)] = each;
    Case::of(&quadratic::KERNEL)
        .call(device, quadratic::call(&params, buffers))
        .expect_lanes("the gradient of a quadratic", &gradient, [of_first, of_other], TOLERANCE)
        .expect(&results, LANES * partials, sums("a quadratic", [value, other_value]))
}

pub fn hessian(device: &Device) -> Case {
    let (parameters, rows, samples) = (hessian::WORKGROUP + 1, 3, 5);
    let order: Vec<u32> = (0..2 * LANES + rows).map(|place| (3 * place % samples) as u32).collect();
    let mut hessians = uniform(15, samples * parameters * parameters);
    for hessian in hessians.chunks_exact_mut(parameters * parameters) {
        (0..parameters).for_each(|i| (0..i).for_each(|j| hessian[i * parameters + j] = hessian[j * parameters + i]));
    }
    let history = uniform(16, LANES * SLOTS * parameters);
    let partials = hessian::partials(parameters);
    let (gradient, results) = (nan(device, LANES * parameters), nan(device, LANES * partials));
    let [on_device, ring] = [&hessians, &history].map(|values| device.buffer_of("operand", values));
    // Batches that lie in one table and overlap there.
    let place = |lane: usize| LaneStep { rows: 2 * lane as u32, ..LaneStep::at(STEP_SLOTS[lane].read) };
    let (places, table) = (placed(device, place), device.buffer_of("order", &order));
    let batch = Batch { lanes: LANES, rows, parameters, slots: SLOTS };
    let each = BUSY.map(|index| {
        let (mut gradient, rows) = (vec![0.0; parameters], &order[2 * index..][..rows]);
        let value = hessian::cpu(rows, &wide(&hessians), &version(&history, index, parameters), &mut gradient);
        (value, gradient)
    });
    let [(value, of_first), (other_value, of_other)] = each;
    Case::of(&hessian::KERNEL)
        .call(device, hessian::call(batch, [&places, &table, &on_device, &ring, &gradient, &results]))
        .expect_lanes("the gradient of a matrix", &gradient, [of_first, of_other], TOLERANCE)
        .expect(&results, LANES * partials, sums("a matrix", [value, other_value]))
}

pub fn observe(device: &Device) -> Case {
    let (losses, moments) = (observe::WORKGROUP + 1, 3 * observe::WORKGROUP + 7);
    let loss_partials: Vec<f32> = uniform(20, LANES * losses).iter().map(|x| x + 1.0).collect();
    let mut moment_partials: Vec<f32> = uniform(21, LANES * moments * 4).iter().map(|x| x + 1.0).collect();
    moment_partials.iter_mut().skip(3).step_by(4).for_each(|count| *count = 0.0);
    let params = observe::Params {
        step: 0,
        lanes: LANES as u32,
        loss_partials: losses as u32,
        moment_partials: moments as u32,
        weight_decay: 0.125,
    };
    let seen = nan(device, 2 * LANES * 4);
    let [a, b] = [&loss_partials, &moment_partials].map(|values| device.buffer_of("partials", values));
    let expected = BUSY.map(|index| {
        let total = |member: usize| wide(lane(&moment_partials, index)).iter().skip(member).step_by(4).sum::<f64>();
        let moments = step_kernel::Moments { distance_squared: total(0), projection: total(1), read_squared: total(2) };
        let loss = wide(lane(&loss_partials, index)).iter().sum();
        let (objective, finite) = observe::cpu(loss, f64::from(params.weight_decay), &moments);
        [moments.distance_squared, moments.projection, objective, f64::from(u8::from(finite))]
    });
    Case::of(&observe::KERNEL).call(device, observe::call(&params, [&lane_steps(device), &a, &b, &seen])).expect(
        &seen,
        2 * LANES * 4,
        move |found| {
            let (at_rest, found) = found.split_at(LANES * 4);
            untouched("the observations of a step at rest", at_rest)?;
            for (index, expected) in BUSY.into_iter().zip(&expected) {
                close(&format!("the observations of lane {index}"), lane(found, index), expected, 5.0 * TOLERANCE)?;
            }
            untouched("the observations", lane(found, IDLE))
        },
    )
}

pub fn copy(device: &Device) -> Case {
    let stride = 2 * copy::WORKGROUP;
    let elements = 3 * stride + 7;
    let source = uniform(1, 4 * elements);
    // One more, which is to stay.
    let copied = nan(device, 4 * elements + 4);
    let params = copy::Params { step: 0, lanes: 1, elements: elements as u32, stride: stride as u32 };
    let busy = device.buffer_of("lane_steps", &[LaneStep::default(), LaneStep::at(0)]);
    let case = Case::of(&copy::KERNEL)
        .call(device, copy::call(&params, [&busy, &device.buffer_of("source", &source), &copied]));
    case.expect(&copied, 4 * elements + 4, move |found| {
        close("a copy", &found[..4 * elements], &source, EXACT)?;
        untouched("what lies behind a copy", &found[4 * elements..])
    })
}

/// The links of a chain, so few that the powers of the factor are far from 1 and from 0.
pub fn peak(device: &Device) -> Case {
    let (links, factor, groups) = (3, 0.99f32, 2);
    let length = 4 * groups * peak::WORKGROUP;
    let results = nan(device, length);
    let params = peak::Params { step: 0, lanes: 1, links, factor };
    let busy = device.buffer_of("lane_steps", &[LaneStep::default(), LaneStep::at(0)]);
    // x_n = 1 - (1 - x_0) factor^n, from x_0 = (1 - factor) of the chain's number; a multiply-add is two operations, eight abreast.
    let (links_in_all, factor) = ((peak::flops(links) / 16) as i32, f64::from(factor));
    let chain = |number: f64| 1.0 - (1.0 - number * (1.0 - factor)) * factor.powi(links_in_all);
    let expected = vec![chain(1.0) + chain(2.0); length];
    Case::of(&peak::KERNEL).call(device, peak::call(&params, groups as u32, [&busy, &results])).expect(
        &results,
        length,
        move |found| close("chains of multiply-adds", found, &expected, TOLERANCE),
    )
}
