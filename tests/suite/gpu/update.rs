//! What changes a lane's state: `start`, `finish`, `step` and `renew`, for every rule.

use super::lanes::*;
use crate::common::{KERNEL_F32, assert_close, gpu};
use aligned_vec::AVec;
use strum::IntoEnumIterator;
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::kernels::step::{Landmarks, State};
use tauscope::kernels::update::{Update, table};
use tauscope::kernels::{LaneStep, finish, renew, start, step};
use tauscope::rule::{Arrival, Rule, RuleKind};
use tauscope::update::UpdateCoefficients;

pub const WEIGHT_DECAY: f32 = 0.01;

/// A rule's coefficients in every lane, at learning rates and ages of their own; those of one lane that clips and is centred,
/// whatever the rule.
pub fn coefficients(kind: RuleKind, extra: bool) -> [UpdateCoefficients; LANES] {
    std::array::from_fn(|lane| {
        let rule = Rule::new(kind, 0.875, 0.25);
        let (age, state_steps) = (lane as u64, 6.5);
        let arrival = Arrival { age, updates: 7, workers: 3, mean_delay: 2.0, undamped: false, state_steps };
        let coefficients = (rule.definition().update)(&rule, &arrival, &mut 1).coefficients;
        let lr = [0.3, 0.1, 0.07][lane] * coefficients.lr;
        let decoupled_decay = 0.01 * coefficients.decoupled_decay;
        let clip_norm = if extra { Some(0.5) } else { coefficients.clip_norm };
        UpdateCoefficients {
            lr,
            decoupled_decay,
            decay: f64::from(WEIGHT_DECAY),
            clip_norm,
            centred: extra,
            ..coefficients
        }
    })
}

/// The lanes' buffers: SLOTS versions, as many velocities and second moments; NaN in the idle lane.
pub struct Lanes {
    parameters: usize,
    pub server: Vec<f32>,
    pub history: Vec<f32>,
    pub state: Vec<f32>,
    pub gradient: Vec<f32>,
    anchor: Vec<f32>,
    /// The same for all.
    pub landmarks: Vec<f32>,
}

pub const PLANES: usize = 2 * SLOTS;

impl Lanes {
    pub fn new(parameters: usize) -> Self {
        let with_idle = |mut values: Vec<f32>| {
            let length = values.len() / LANES;
            values[IDLE * length..][..length].fill(f32::NAN);
            values
        };
        let mut state = uniform(19, LANES * PLANES * parameters);
        // Second moments are not negative.
        for lane in state.chunks_exact_mut(PLANES * parameters) {
            lane[SLOTS * parameters..].iter_mut().for_each(|s| *s = s.abs());
        }
        Self {
            parameters,
            server: with_idle(uniform(17, LANES * parameters)),
            history: with_idle(uniform(18, LANES * SLOTS * parameters)),
            state: with_idle(state),
            gradient: with_idle(uniform(15, LANES * parameters)),
            anchor: with_idle(uniform(20, LANES * parameters)),
            landmarks: uniform(16, 3 * parameters),
        }
    }

    /// One lane in f64.
    pub fn state(&self, index: usize) -> State<f64> {
        let aligned = |values: &[f32]| AVec::from_iter(0, wide(values));
        let (velocity, second) = lane(&self.state, index).split_at(SLOTS * self.parameters);
        State {
            server: aligned(lane(&self.server, index)),
            history: aligned(lane(&self.history, index)),
            velocity: aligned(velocity),
            second: aligned(second),
        }
    }
}

pub struct Wide {
    pub minimum: Vec<f64>,
    pub direction: Vec<f64>,
    curvature: Vec<f64>,
}

impl Wide {
    pub fn new(lanes: &Lanes) -> Self {
        let mut thirds = lanes.landmarks.chunks_exact(lanes.parameters).map(wide);
        let mut next = || thirds.next().unwrap();
        Self { minimum: next(), direction: next(), curvature: next() }
    }

    pub fn landmarks(&self) -> Landmarks<'_, f64> {
        Landmarks { minimum: &self.minimum, direction: &self.direction, curvature: &self.curvature }
    }
}

/// Only the second step of the block moves anything, see [`lane_steps`]; `end` is the length of a vector on the device.
pub fn updates(device: &Device, coefficients: &[UpdateCoefficients; LANES], end: usize) -> Buffer {
    let idle = [UpdateCoefficients::default(); LANES];
    let updates = idle.iter().chain(coefficients).map(Update::new);
    let updates: Vec<_> = STEP_SLOTS.into_iter().cycle().zip(updates).collect();
    device.buffer_of("updates", &table(&updates, end))
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
    let (lanes, coefficients) = (Lanes::new(parameters), coefficients(kind, false));
    let (landmarks, partials) = (Wide::new(&lanes), step::partials(parameters));
    let params = step::Params {
        step: 0,
        lanes: LANES as u32,
        stages: 1,
        parameters: parameters as u32,
        first: 0,
        length: parameters as u32,
        history_stride: (SLOTS * parameters) as u32,
        state_stride: (PLANES * parameters) as u32,
        second_offset: (SLOTS * parameters) as u32,
        partials: partials as u32,
    };
    let on_device = |label: &str, values: &[f32]| device.buffer_of(label, values);
    let (x, ring) = (on_device("server", &lanes.server), on_device("history", &lanes.history));
    let (s, sums) = (on_device("state", &lanes.state), nan(device, LANES * partials * 4));
    let (g, marks) = (on_device("gradient", &lanes.gradient), on_device("landmarks", &lanes.landmarks));
    let buffers = [&lane_steps(device), &updates(device, &coefficients, parameters), &g, &marks, &x, &ring, &s, &sums];
    run(step::call(&params, buffers));

    let [x, ring, s] =
        [(&x, lanes.server.len()), (&ring, lanes.history.len()), (&s, lanes.state.len())].map(|(b, n)| read(b, n));
    let sums = read(&sums, LANES * partials * 4);
    for index in BUSY {
        let mut state = lanes.state(index);
        let gradient = wide(lane(&lanes.gradient, index));
        let moments = step::cpu(
            &coefficients[index],
            STEP_SLOTS[index],
            0..parameters,
            &gradient,
            landmarks.landmarks(),
            &mut state,
        );
        let what = format!("{kind} {parameters} lane {index}");
        // Divisions by small roots lose a few digits.
        let tolerance = 10.0 * KERNEL_F32;
        assert_close(&what, lane(&x, index), &state.server, tolerance);
        assert_close(&what, lane(&ring, index), &state.history, tolerance);
        assert_close(&what, lane(&s, index), &[&state.velocity[..], &state.second].concat(), tolerance);
        let total = |member: usize| wide(lane(&sums, index)).iter().skip(member).step_by(4).sum::<f64>();
        assert_close(&what, &[total(0)], &[moments.distance_squared], tolerance);
        // A sum of terms of both signs: its scale is that of its factors.
        let norm = landmarks.direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = moments.distance_squared.sqrt() * norm;
        assert_close(&what, &[total(1), scale], &[moments.projection, scale], tolerance);
        assert_close(&what, &[total(2)], &[moments.read_squared], tolerance);
        assert_eq!(total(3), 0.0, "{what}: weights that are not finite");
    }
    for (what, values) in [("server", &x), ("history", &ring), ("state", &s), ("moments", &sums)] {
        assert_untouched(what, lane(values, IDLE));
    }
}

#[test]
fn finish_agrees_for_every_rule_and_leaves_alone_what_wants_nothing_of_it() {
    for kind in RuleKind::iter() {
        for parameters in around(finish::WORKGROUP) {
            for extra in [false, true] {
                check_finish(kind, parameters, extra);
            }
        }
    }
}

fn check_finish(kind: RuleKind, parameters: usize, extra: bool) {
    let device = gpu().device();
    let (lanes, coefficients) = (Lanes::new(parameters), coefficients(kind, extra));
    let landmarks = Wide::new(&lanes);
    let params = finish::Params {
        step: 0,
        lanes: LANES as u32,
        stages: 1,
        parameters: parameters as u32,
        history_stride: (SLOTS * parameters) as u32,
        slot_stride: parameters as u32,
        state_stride: (PLANES * parameters) as u32,
        second_offset: (SLOTS * parameters) as u32,
        weight_decay: WEIGHT_DECAY,
    };
    let on_device = |label: &str, values: &[f32]| device.buffer_of(label, values);
    let (x, ring) = (on_device("server", &lanes.server), on_device("history", &lanes.history));
    let (s, g) = (on_device("state", &lanes.state), on_device("gradient", &lanes.gradient));
    let (marks, anchor) = (on_device("landmarks", &lanes.landmarks), on_device("anchor", &lanes.anchor));
    let buffers =
        [&lane_steps(device), &updates(device, &coefficients, parameters), &ring, &marks, &x, &anchor, &s, &g];
    run(finish::call(&params, buffers));

    let [g, s] = [(&g, lanes.gradient.len()), (&s, lanes.state.len())].map(|(b, n)| read(b, n));
    for index in BUSY {
        let mut state = lanes.state(index);
        let mut gradient = wide(lane(&lanes.gradient, index));
        let anchor = wide(lane(&lanes.anchor, index));
        let coefficients = &coefficients[index];
        if coefficients.wants_finish() {
            let anchor = coefficients.centred.then_some(&anchor[..]);
            let place = STEP_SLOTS[index];
            let decay = f64::from(WEIGHT_DECAY);
            finish::cpu(coefficients, decay, place, landmarks.landmarks(), &mut state, anchor, &mut gradient);
        }
        let what = format!("{kind} {parameters} lane {index}, clipped and centred: {extra}");
        assert_close(&what, lane(&g, index), &gradient, 10.0 * KERNEL_F32);
        assert_close(&what, lane(&s, index), &[&state.velocity[..], &state.second].concat(), 10.0 * KERNEL_F32);
    }
    for (what, values) in [("gradient", &g), ("state", &s)] {
        assert_untouched(what, lane(values, IDLE));
    }
}

#[test]
fn start_fills_every_slot_and_forgets_what_was_there() {
    let device = gpu().device();
    let memories = 2;
    for parameters in around(start::WORKGROUP) {
        let starts = uniform(30, 3 * parameters);
        let params = start::Params {
            step: 0,
            parameters: parameters as u32,
            first: 0,
            length: parameters as u32,
            slots: SLOTS as u32,
            memories: memories as u32,
        };
        let mut lane_steps = [LaneStep::default(); LANES];
        for (lane, number) in BUSY.into_iter().zip([2, 0]) {
            lane_steps[lane] = LaneStep { busy: 1, read: number, ..LaneStep::default() };
        }
        let lengths = [1, SLOTS, memories].map(|vectors| vectors * LANES * parameters);
        let [server, history, state] = lengths.map(|length| nan(device, length));
        let (lane_steps, starts_there) =
            (device.buffer_of("lane_steps", &lane_steps), device.buffer_of("starts", &starts));
        let buffers = [&lane_steps, &starts_there, &server, &history, &state];
        device.run(&[device.bind(start::call(&params, LANES, buffers))], 1);

        let seen = [(server, lengths[0]), (history, lengths[1]), (state, lengths[2])];
        let [server, history, state] = seen.map(|(buffer, length)| read(&buffer, length));
        for (index, number) in BUSY.into_iter().zip([2, 0]) {
            let expected = &starts[number * parameters..][..parameters];
            assert_eq!(lane(&server, index), expected, "{parameters} parameters");
            assert_eq!(lane(&history, index), expected.repeat(SLOTS), "{parameters} parameters");
            assert!(lane(&state, index).iter().all(|x| x.to_bits() == 0), "{parameters} parameters");
        }
        for (what, values) in [("server", &server), ("history", &history), ("state", &state)] {
            assert_untouched(what, lane(values, IDLE));
        }
    }
}

#[test]
fn renew_copies_to_the_bit_and_scales_about_the_minimum() {
    let device = gpu().device();
    for parameters in around(renew::WORKGROUP) {
        let lanes = Lanes::new(parameters);
        let landmarks = Wide::new(&lanes);
        let params = renew::Params {
            step: 0,
            parameters: parameters as u32,
            first: 0,
            length: parameters as u32,
            slots: SLOTS as u32,
            velocities: SLOTS as u32,
            seconds: SLOTS as u32,
        };
        // (lane, source, factor): the third lane to the first, then the third alone.
        for (target, source, factor) in [(0, 2, 1.0f32), (2, 2, -0.375)] {
            let on_device = |label: &str, values: &[f32]| device.buffer_of(label, values);
            let (x, ring) = (on_device("server", &lanes.server), on_device("history", &lanes.history));
            let (s, marks) = (on_device("state", &lanes.state), on_device("landmarks", &lanes.landmarks));
            let mut lane_steps = [LaneStep::default(); LANES];
            lane_steps[target] = LaneStep { busy: 1, read: source as u32, ..LaneStep::default() };
            let lane_steps = device.buffer_of("lane_steps", &lane_steps);
            let factors = on_device("factors", &[factor; LANES]);
            let buffers = [&lane_steps, &factors, &marks, &x, &ring, &s];
            device.run(&[device.bind(renew::call(&params, LANES, buffers))], 1);

            let seen = [(&x, lanes.server.len()), (&ring, lanes.history.len()), (&s, lanes.state.len())];
            let seen = seen.map(|(buffer, length)| read(buffer, length));
            let before = [&lanes.server, &lanes.history, &lanes.state];
            let mut state = lanes.state(source);
            renew::cpu(f64::from(factor), &landmarks.minimum, &mut state);
            let expected =
                [state.server.to_vec(), state.history.to_vec(), [&state.velocity[..], &state.second].concat()];
            for ((seen, expected), before) in seen.iter().zip(&expected).zip(before) {
                let what = format!("{parameters} parameters, lane {target} from {source}");
                assert_close(&what, lane(seen, target), expected, KERNEL_F32);
                if factor == 1.0 {
                    assert_eq!(lane(seen, target), lane(before, source), "{what}");
                }
                let other = 2 - target;
                assert_eq!(lane(seen, other), lane(before, other), "{what}: the other lane");
            }
        }
    }
}
