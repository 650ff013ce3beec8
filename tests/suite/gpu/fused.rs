//! The fused step: one step of it against the CPU's in f64, at awkward shapes, for every rule, activation and loss; and when it
//! is not to be had.
//!
//! Whole waves, fused and layered, against the CPU engine over every rule and schedule are in `waves`, as is what a run's
//! bits may depend on.

use super::lanes::*;
use super::update::{Lanes, PLANES, WEIGHT_DECAY, Wide, coefficients, updates};
use crate::common::{KERNEL_F32, assert_close, gpu};
use tauscope::delay::Schedule;

use super::waves;
use strum::IntoEnumIterator;

use tauscope::data::{DataSource, Dataset};
use tauscope::engine::gpu::Paths;
use tauscope::engine::{Engine, EngineError, Needs, WaveSpec};
use tauscope::kernels::fused::{Params, Shape};
use tauscope::kernels::packing::{Packing, pad_rows, quads};
use tauscope::kernels::{LaneStep, finish, gather, observe, step};
use tauscope::math::{Activation, Loss};
use tauscope::model::Backprop;
use tauscope::model::Model;
use tauscope::problem::{Network, Problem};
use tauscope::rule::RuleKind;
use tauscope::update::UpdateCoefficients;

/// Bytes of workgroup memory of the device.
fn memory() -> usize {
    gpu().device().limits().max_compute_workgroup_storage_size as usize
}

/// Invocations that a workgroup may have: plenty, and so few that each has several tiles of a gradient.
const INVOCATIONS: [usize; 2] = [256, 64];

/// Random samples: the rows of a batch, and a few more.
fn network(widths: &[usize], rows: usize, activation: Activation, loss: Loss) -> Network {
    let (features, classes) = (widths[0], *widths.last().unwrap());
    let samples = rows + 5;
    let data = Dataset {
        inputs: uniform(21, samples * features),
        labels: labels(22, samples, classes),
        shape: tauscope::math::Shape::vector(features),
        classes,
    };
    let model = Model::mlp(features, &widths[1..widths.len() - 1], classes, activation);
    Network::new(model, loss, f64::from(WEIGHT_DECAY), data)
}

/// One step of three lanes, of which one is idle, on batches of `rows` rows, which are the first ones or drawn.
fn check(
    what: &str,
    network: &Network,
    shape: &Shape,
    rows: usize,
    drawn: bool,
    coefficients: &[UpdateCoefficients; LANES],
) {
    let device = gpu().device();
    let (data, model, parameters) = (&network.data, network.model.perceptron().unwrap(), network.dimension());
    let (lanes, packing) = (Lanes::new(parameters), Packing::of(model));
    let landmarks = Wide::new(&lanes);
    let length = packing.length();
    // Vector by vector; those of the idle lane hold nothing but NaN.
    let pack = |values: &[f32]| {
        let packed = values.chunks_exact(parameters).map(|flat| packing.pack(&wide(flat)));
        packed.map(|flat| if flat[0].is_nan() { vec![f32::NAN; length] } else { flat }).collect::<Vec<_>>().concat()
    };
    // The lanes' rows overlap, as those of lanes that share them do.
    let firsts = [rows / 2 + 3, 0, 1];
    let order = labels(23, 2 * rows + 3, data.samples());
    let mut lane_steps = vec![LaneStep::default(); 2 * LANES];
    for lane in BUSY {
        lane_steps[LANES + lane] = LaneStep { rows: firsts[lane] as u32, ..LaneStep::at(STEP_SLOTS[lane].read) };
    }
    let params = Params {
        step: 0,
        lanes: LANES as u32,
        steps: 1,
        stages: 1,
        rows: rows as u32,
        minibatch: u32::from(drawn),
        features: quads(data.features()) as u32,
        classes: data.classes as u32,
        layers: model.layers.len() as u32,
        parameters: (length / 4) as u32,
        history: (LANES * length / 4) as u32,
        history_stride: (SLOTS * length / 4) as u32,
        state: ((1 + SLOTS) * LANES * length / 4) as u32,
        state_stride: (PLANES * length / 4) as u32,
        second_offset: (SLOTS * length / 4) as u32,
        anchor: ((1 + SLOTS + PLANES) * LANES * length / 4) as u32,
        scale: 1.0 / rows as f32,
        weight_decay: WEIGHT_DECAY,
    };
    let on_device = |label: &str, values: &[f32]| device.buffer_of(label, values);
    let unknown = vec![f32::NAN; LANES * length];
    let vectors = [pack(&lanes.server), pack(&lanes.history), pack(&lanes.state), unknown].concat();
    let (vectors, seen) = (on_device("vectors", &vectors), nan(device, 2 * LANES * 4));
    let buffers = [
        &device.buffer_of("lane_steps", &lane_steps),
        &updates(device, coefficients, length / 4),
        &device.buffer_of("order", &order),
        &on_device("data", &pad_rows(&data.inputs, data.features())),
        &device.buffer_of("labels", &data.labels),
        &device.buffer_of("layers", &shape.layers(model)),
        &on_device("landmarks", &pack(&lanes.landmarks)),
        &vectors,
        &seen,
    ];
    run(shape.call(model, network.loss, &params, buffers));

    let mut left = read(&vectors, (2 + SLOTS + PLANES) * LANES * length);
    let [x, ring, s, anchor] =
        [1, SLOTS, PLANES, 1].map(|vectors| left.drain(..vectors * LANES * length).collect::<Vec<f32>>());
    let seen = read(&seen, 2 * LANES * 4);
    for index in BUSY {
        let first: Vec<u32> = (0..rows as u32).collect();
        let batch = if drawn { &order[firsts[index]..][..rows] } else { &first };
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        let whole = wide(&data.inputs);
        gather::cpu(batch, network.augmentation, data.shape, &whole, &data.labels, &mut inputs, &mut labels);
        let mut pass = Backprop::<f64>::new(&network.model.graph, network.loss, rows);
        let gradient_at = |pass: &mut Backprop<f64>, weights: &[f64]| {
            let mut gradient = vec![0.0; parameters];
            (pass.loss_and_gradient(weights, &inputs, &labels, &mut gradient), gradient)
        };
        let (mut state, coefficients, place) = (lanes.state(index), &coefficients[index], STEP_SLOTS[index]);
        let weights = state.history[place.read * parameters..][..parameters].to_vec();
        let (loss, mut gradient) = gradient_at(&mut pass, &weights);
        if coefficients.wants_finish() {
            let at_minimum = coefficients.centred.then(|| gradient_at(&mut pass, &landmarks.minimum).1);
            let (marks, decay) = (landmarks.landmarks(), network.weight_decay);
            finish::cpu(coefficients, decay, place, marks, &mut state, at_minimum.as_deref(), &mut gradient);
        }
        let moments = step::cpu(coefficients, place, 0..parameters, &gradient, landmarks.landmarks(), &mut state);
        let (objective, _) = observe::cpu(loss, network.weight_decay, &moments);

        let what = format!("{what} lane {index}");
        let unpacked = |values: &[f32]| {
            lane(values, index).chunks_exact(length).flat_map(|v| packing.unpack(v)).collect::<Vec<_>>()
        };
        // Divisions by small roots lose a few digits.
        let tolerance = 10.0 * KERNEL_F32;
        assert_close(&format!("{what}: server"), &unpacked(&x), &state.server, tolerance);
        assert_close(&format!("{what}: history"), &unpacked(&ring), &state.history, tolerance);
        assert_close(
            &format!("{what}: state"),
            &unpacked(&s),
            &[&state.velocity[..], &state.second].concat(),
            tolerance,
        );
        let padding = |values: &[f32]| lane(values, index).iter().filter(|x| **x != 0.0).count();
        assert!(padding(&x) <= parameters && padding(&ring) <= SLOTS * parameters, "{what}: padding is not 0");
        let row = &seen[4 * (LANES + index)..][..4];
        // A sum of terms of both signs: its scale is that of its factors.
        let norm = landmarks.direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = moments.distance_squared.sqrt() * norm;
        assert_close(&what, &[f64::from(row[0])], &[moments.distance_squared], tolerance);
        assert_close(&what, &[f64::from(row[1]), scale], &[moments.projection, scale], tolerance);
        assert_close(&what, &row[2..], &[objective, 1.0], tolerance);
    }
    for (what, values) in [("server", &x), ("history", &ring), ("state", &s), ("anchor", &anchor)] {
        assert_untouched(what, lane(values, IDLE));
    }
    assert_untouched("observations of the first step", &seen[..4 * LANES]);
    assert_untouched("observations", &seen[4 * (LANES + IDLE)..][..4]);
}

#[test]
fn a_step_agrees_at_every_shape_activation_and_loss() {
    let models = [
        &[3, 1][..],
        &[17, 3],
        &[1, 5],
        &[5, 33, 4],
        &[33, 3, 17],
        &[4, 1, 2],
        &[7, 17, 5, 33],
        &[64, 16, 10],
        &[3, 4, 33, 2],
        &[100, 40, 4],
    ];
    let kinds = [RuleKind::Sgd, RuleKind::HeavyBall, RuleKind::Adam];
    let activations: Vec<Activation> = Activation::iter().collect();
    let (mut cases, mut several) = (0, 0);
    for (i, widths) in models.into_iter().enumerate() {
        for (j, invocations) in INVOCATIONS.into_iter().enumerate() {
            let activation = activations[(i + j) % activations.len()];
            // One class has no cross-entropy.
            let loss = if i % 2 == 0 { Loss::Mse } else { Loss::Ce };
            let model = network(widths, 1, activation, loss).model;
            let most = Shape::new(model.perceptron().unwrap(), 1 << 40, memory(), invocations).unwrap().rows;
            // Two of five row counts for every model, each beside several others; each case compiles a shader of its own.
            let rows = around(most)[(i + 2 * j) % 5];
            let network = network(widths, rows, activation, loss);
            let shape = Shape::new(network.model.perceptron().unwrap(), rows, memory(), invocations).unwrap();
            several += usize::from(shape.tiles > 1);
            let what = format!("{widths:?} {activation} {loss} {rows} rows {shape:?}");
            let coefficients = coefficients(kinds[cases % 3], (i + j) % 3 == 0);
            check(&what, &network, &shape, rows, (i + j) % 2 == 1, &coefficients);
            cases += 1;
        }
    }
    assert!(cases == 20 && several >= 3, "{cases} cases, {several} with several tiles an invocation");
}

#[test]
fn a_step_agrees_for_every_rule() {
    let rows = 21;
    let network = network(&[9, 6, 5], rows, Activation::Tanh, Loss::Ce);
    let shape = Shape::new(network.model.perceptron().unwrap(), rows, memory(), INVOCATIONS[0]).unwrap();
    // Matrices that move as wholes are never fused.
    for kind in RuleKind::iter().filter(|kind| *kind != RuleKind::Muon) {
        for extra in [false, true] {
            let what = format!("{kind}, clipped and centred: {extra}");
            check(&what, &network, &shape, rows, extra, &coefficients(kind, extra));
        }
    }
}

#[test]
fn a_wave_is_fused_where_its_network_fits_and_refused_where_that_is_asked_in_vain() {
    let fits = waves::spec(waves::network(&[6], Activation::Tanh, Loss::Ce), None, 4);
    let wide = waves::spec(waves::network(&[3000], Activation::Tanh, Loss::Ce), None, 4);
    let quadratic = waves::spec(waves::quadratic(), None, 4);
    let [fastest, fused, layered] = [Paths::Fastest, Paths::Fused, Paths::Layered].map(|paths| gpu().with_paths(paths));
    for (spec, path) in [(&fits, "fused"), (&wide, "layered"), (&quadratic, "layered")] {
        assert_eq!(fastest.path(spec).unwrap(), path);
        assert_eq!(layered.path(spec).unwrap(), "layered");
        if path == "fused" {
            assert_eq!(fused.path(spec).unwrap(), "fused");
            continue;
        }
        for error in [fused.path(spec).err(), fused.capacity(spec).err(), fused.open(spec.clone()).err()] {
            let Some(EngineError::TooLarge(message)) = error else { panic!("{error:?}") };
            assert!(message.contains("fused"), "{message}");
        }
    }
    let memory = gpu().device().limits().max_compute_workgroup_storage_size.to_string();
    let Err(EngineError::TooLarge(message)) = fused.path(&wide) else { panic!("3000 units fit a workgroup") };
    assert!(message.contains(&memory), "{message}");
}

/// Packed vectors are longer than flat ones: 6 units of 7 inputs take 8 rows and a bias of 2 vec4s, 4 of 6
/// inputs as many of 1.
#[test]
fn a_fused_wave_counts_its_packed_bytes() {
    let needs = Needs { slots: 1000, ..Needs::default() };
    let spec = WaveSpec { needs, ..waves::spec(waves::network(&[6], Activation::Tanh, Loss::Ce), None, usize::MAX) };
    let largest = gpu().device().limits().max_storage_buffer_binding_size as usize;
    let packed = 16 * (9 * 2 + 9);
    let most = gpu().device().limits().max_compute_workgroups_per_dimension as usize;
    // The server's weights, the ring and a velocity lie in one buffer, with room for four gaps.
    let fit = (largest - 4 * 256) / ((1 + 1000 + 1) * packed);
    assert_eq!(gpu().with_paths(Paths::Fused).capacity(&spec).unwrap(), fit.min(most));
}

/// A software rasteriser ends the loops of a dispatch that turns them too often, and says nothing.
#[test]
fn a_block_of_many_rows_has_the_bits_of_its_single_steps() {
    let data = Dataset::load(&DataSource::Digits, Some(512), 0).unwrap();
    let model = Model::mlp(64, &[16], 10, Activation::Tanh);
    let problem = Problem::Network(Network::new(model, Loss::Ce, 1e-3, data));
    let spec = WaveSpec { block: 64, ..waves::spec(problem, None, 1) };
    let run = waves::run(&spec, RuleKind::HeavyBall, Schedule::round_robin(1), 0);
    let [whole, pieces] = [64, 1].map(|steps| {
        let mut wave = gpu().with_paths(Paths::Fused).open(spec.clone()).unwrap();
        wave.start(0, run.clone()).unwrap();
        (0..64 / steps).flat_map(|_| wave.advance(steps).unwrap().lane(0).to_vec()).collect::<Vec<_>>()
    });
    assert_eq!(whole, pieces);
    assert!(whole.iter().all(|seen| seen.finite && seen.loss > 0.0));
}
