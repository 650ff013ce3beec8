//! The kernels that change a lane's state, or read its ring as a whole, against their twins: `start`, `fetch`, `finish`, `local`,
//! `spectral` with its products, `step` and `renew`.

use super::stand::{
    BUSY, Case, IDLE, LANES, SLOTS, STEP_SLOTS, TOLERANCE, lane, lane_steps, nan, placed, uniform, untouched, wide,
    without_idle,
};
use crate::engine::gpu::device::{Buffer, Device};
use crate::kernels::step::{Landmarks, State};
use crate::kernels::update::{Update, table};
use crate::kernels::{LaneStep, fetch, finish, local, renew, spectral, start, step};
use crate::math::{EXACT, close};
use crate::outer::{Piece, Place, PlacedPiece, Role};
use crate::update::{Form, Matrix, UpdateCoefficients};
use aligned_vec::AVec;

/// P: a few workgroups, the last of which is not full.
const PARAMETERS: usize = 3 * step::WORKGROUP + 7;

/// Velocities and second moments, of every slot.
const PLANES: usize = 2 * SLOTS;

/// Clipped, centred, with decay and a second moment, at a learning rate of its own in each lane.
fn coefficients(index: usize) -> UpdateCoefficients {
    UpdateCoefficients {
        lr: [0.3, 0.1, 0.07][index],
        momentum: 0.875,
        gradient_to_velocity: 0.25,
        velocity_to_weights: 1.0,
        decay: 0.01,
        form: Form::Adam { second_moment_decay: 0.75, bias_correction: 1.5, epsilon: 1e-3 },
        clip_norm: Some(0.5),
        centred: true,
        ..UpdateCoefficients::default()
    }
}

/// The lanes' vectors, NaN in the idle lane.
struct Lanes {
    server: Vec<f32>,
    history: Vec<f32>,
    state: Vec<f32>,
    gradient: Vec<f32>,
    anchor: Vec<f32>,
    /// The same for all.
    landmarks: Vec<f32>,
}

impl Lanes {
    fn new() -> Self {
        let mut state = uniform(19, LANES * PLANES * PARAMETERS);
        // Second moments are not negative.
        for lane in state.chunks_exact_mut(PLANES * PARAMETERS) {
            lane[SLOTS * PARAMETERS..].iter_mut().for_each(|s| *s = s.abs());
        }
        Self {
            server: without_idle(uniform(17, LANES * PARAMETERS)),
            history: without_idle(uniform(18, LANES * SLOTS * PARAMETERS)),
            state: without_idle(state),
            gradient: without_idle(uniform(15, LANES * PARAMETERS)),
            anchor: without_idle(uniform(20, LANES * PARAMETERS)),
            landmarks: uniform(16, 3 * PARAMETERS),
        }
    }

    /// One lane in f64.
    fn state(&self, index: usize) -> State<f64> {
        let aligned = |values: &[f32]| AVec::from_iter(0, wide(values));
        let (velocity, second) = lane(&self.state, index).split_at(SLOTS * PARAMETERS);
        State {
            server: aligned(lane(&self.server, index)),
            history: aligned(lane(&self.history, index)),
            velocity: aligned(velocity),
            second: aligned(second),
        }
    }
}

/// Thirds of the landmarks, in f64.
fn thirds(landmarks: &[f32]) -> [Vec<f64>; 3] {
    [0, 1, 2].map(|third| wide(&landmarks[third * PARAMETERS..][..PARAMETERS]))
}

/// Only the second step of the block moves anything, as of [`lane_steps`].
fn updates(device: &Device, mut of: impl FnMut(usize) -> Update) -> Buffer {
    let idle = [(); LANES].map(|()| Update::default());
    let second = (0..LANES).map(&mut of);
    let updates = STEP_SLOTS.into_iter().cycle().zip(idle.into_iter().chain(second));
    let updates: Vec<_> = updates.collect();
    device.buffer_of("updates", &table(&updates, PARAMETERS))
}

fn update(index: usize) -> Update {
    Update::new(&coefficients(index))
}

/// The values of both busy lanes.
fn both<T>(mut each: impl FnMut(usize) -> T) -> [T; 2] {
    BUSY.map(&mut each)
}

pub fn step(device: &Device) -> Case {
    let lanes = Lanes::new();
    let [minimum, direction, curvature] = thirds(&lanes.landmarks);
    let marks = Landmarks { minimum: &minimum, direction: &direction, curvature: &curvature };
    let partials = step::partials(PARAMETERS);
    let params = step::Params {
        step: 0,
        lanes: LANES as u32,
        stages: 1,
        parameters: PARAMETERS as u32,
        first: 0,
        length: PARAMETERS as u32,
        history_stride: (SLOTS * PARAMETERS) as u32,
        state_stride: (PLANES * PARAMETERS) as u32,
        second_offset: (SLOTS * PARAMETERS) as u32,
        partials: partials as u32,
    };
    let [gradient, landmarks, server, history, state] =
        [&lanes.gradient, &lanes.landmarks, &lanes.server, &lanes.history, &lanes.state]
            .map(|values| device.buffer_of("vectors", values));
    let sums = nan(device, LANES * partials * 4);
    let buffers =
        [&lane_steps(device), &updates(device, update), &gradient, &landmarks, &server, &history, &state, &sums];
    let each = both(|index| {
        let (mut state, gradient) = (lanes.state(index), wide(lane(&lanes.gradient, index)));
        let coefficients = coefficients(index);
        let moments = step::cpu(&coefficients, STEP_SLOTS[index], 0..PARAMETERS, &gradient, marks, &mut state);
        (state, moments)
    });
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    let moments = [0, 1].map(|place| each[place].1);
    // Divisions by small roots lose a few digits.
    let tolerance = 10.0 * TOLERANCE;
    Case::of(&step::KERNEL)
        .call(device, step::call(&params, buffers))
        .expect_lanes("the server's weights", &server, [0, 1].map(|lane| each[lane].0.server.to_vec()), tolerance)
        .expect_lanes("the ring of weights", &history, [0, 1].map(|lane| each[lane].0.history.to_vec()), tolerance)
        .expect_lanes("velocities and second moment", &state, [0, 1].map(|lane| planes(&each[lane].0)), tolerance)
        .expect(&sums, LANES * partials * 4, move |found| {
            for (index, moments) in BUSY.into_iter().zip(&moments) {
                let total = |member: usize| wide(lane(found, index)).iter().skip(member).step_by(4).sum::<f64>();
                // A sum of terms of both signs: its scale is that of its factors.
                let scale = moments.distance_squared.sqrt() * norm;
                close("the distance", &[total(0)], &[moments.distance_squared], tolerance)?;
                close("the projection", &[total(1), scale], &[moments.projection, scale], tolerance)?;
                close("the square of the weights", &[total(2)], &[moments.read_squared], tolerance)?;
                close("weights that are finite", &[1.0 - total(3)], &[1.0], EXACT)?;
            }
            untouched("the moments", lane(found, IDLE))
        })
}

/// Velocities and second moment of a lane, as the device keeps them.
fn planes(state: &State<f64>) -> Vec<f64> {
    [&state.velocity[..], &state.second].concat()
}

/// A part of a vector of which two workgroups lie before it and some numbers behind it, for the way back.
pub fn fetch(device: &Device) -> Case {
    let (lanes, parameters, first) = (Lanes::new(), 3 * PARAMETERS, 2 * fetch::WORKGROUP);
    let params = fetch::Params {
        step: 0,
        lanes: LANES as u32,
        parameters: parameters as u32,
        first: first as u32,
        length: PARAMETERS as u32,
        history_stride: (SLOTS * PARAMETERS) as u32,
        backward: 1,
    };
    let slots: [usize; LANES] = [2, 0, 1];
    let lane_step = |index: usize| LaneStep { backward: slots[index] as u32, ..LaneStep::at(STEP_SLOTS[index].read) };
    let (history, weights) = (device.buffer_of("history", &lanes.history), nan(device, LANES * parameters));
    let buffers = [&placed(device, lane_step), &history, &weights];
    let expected = both(|index| lane(&lanes.history, index)[slots[index] * PARAMETERS..][..PARAMETERS].to_vec());
    Case::of(&fetch::KERNEL).call(device, fetch::call(&params, buffers)).expect(
        &weights,
        LANES * parameters,
        move |found| {
            for (index, expected) in BUSY.into_iter().zip(&expected) {
                let (before, rest) = lane(found, index).split_at(first);
                let (part, behind) = rest.split_at(PARAMETERS);
                close("the weights of the way back", part, &wide(expected), EXACT)?;
                untouched("the weights before a part", before)?;
                untouched("the weights behind a part", behind)?;
            }
            untouched("the weights of an idle lane", lane(found, IDLE))
        },
    )
}

pub fn finish(device: &Device) -> Case {
    let lanes = Lanes::new();
    let [minimum, direction, curvature] = thirds(&lanes.landmarks);
    let marks = Landmarks { minimum: &minimum, direction: &direction, curvature: &curvature };
    let decay = 0.01f32;
    let params = finish::Params {
        step: 0,
        lanes: LANES as u32,
        stages: 1,
        parameters: PARAMETERS as u32,
        history_stride: (SLOTS * PARAMETERS) as u32,
        slot_stride: PARAMETERS as u32,
        state_stride: (PLANES * PARAMETERS) as u32,
        second_offset: (SLOTS * PARAMETERS) as u32,
        weight_decay: decay,
    };
    let [server, history, state, gradient, landmarks, anchor] =
        [&lanes.server, &lanes.history, &lanes.state, &lanes.gradient, &lanes.landmarks, &lanes.anchor]
            .map(|values| device.buffer_of("vectors", values));
    // A second moment of its own is what makes this form of compensation touch the state too.
    let form = Form::CompensatedAdaptively { compensation: 0.5, second_moment_decay: 0.75 };
    let coefficients = |index| UpdateCoefficients { form, ..coefficients(index) };
    let of = |index| Update::new(&coefficients(index));
    let buffers =
        [&lane_steps(device), &updates(device, of), &history, &landmarks, &server, &anchor, &state, &gradient];
    let each = both(|index| {
        let (mut state, mut gradient) = (lanes.state(index), wide(lane(&lanes.gradient, index)));
        let (anchor, slots) = (wide(lane(&lanes.anchor, index)), STEP_SLOTS[index]);
        let decay = f64::from(decay);
        finish::cpu(&coefficients(index), decay, slots, marks, &mut state, Some(&anchor), &mut gradient);
        (planes(&state), gradient)
    });
    let [(planes, of_first), (other_planes, of_other)] = each;
    Case::of(&finish::KERNEL)
        .call(device, finish::call(&params, buffers))
        .expect_lanes("the finished gradient", &gradient, [of_first, of_other], 10.0 * TOLERANCE)
        .expect_lanes("the state of a finished gradient", &state, [planes, other_planes], 10.0 * TOLERANCE)
}

/// The last gradient of an update in one lane, a local step in the other.
pub fn local(device: &Device) -> Case {
    let lanes = Lanes::new();
    let decay = f64::from(0.01f32);
    let place = |index: usize| {
        let ends = index == BUSY[0];
        let piece = Piece {
            at: Place::Read,
            base: Place::Newest,
            role: if ends { Role::Apply } else { Role::Local },
            local_lr: f64::from(0.3f32),
            share: 0.5,
            joins: ends,
            keeps_local: false,
            merged: if ends { 0.0 } else { 0.25 },
            batch: 0,
            part: 0,
        };
        PlacedPiece { piece, at: 0, base: 2, local: 1, adam: None }
    };
    let lane_step = |index: usize| {
        let placed = place(index);
        LaneStep { base: placed.base as u32, part: placed.packed(), ..LaneStep::at(placed.at) }
    };
    let of = |index: usize| {
        let coefficients = UpdateCoefficients { decay, ..UpdateCoefficients::default() };
        Update::new(&coefficients).joined(&place(index).piece)
    };
    let params = local::Params {
        step: 0,
        lanes: LANES as u32,
        parameters: PARAMETERS as u32,
        first: 0,
        length: PARAMETERS as u32,
        history_stride: (SLOTS * PARAMETERS) as u32,
    };
    let [server, history, gradient] =
        [&lanes.server, &lanes.history, &lanes.gradient].map(|values| device.buffer_of("vectors", values));
    let buffers = [&placed(device, lane_step), &updates(device, of), &server, &history, &gradient];
    let each = both(|index| {
        let (mut state, mut gradient) = (lanes.state(index), wide(lane(&lanes.gradient, index)));
        local::cpu(&place(index), decay, &mut state, &mut gradient);
        // A local step leaves nothing in the gradient that anyone reads: the device leaves it alone.
        let sent = if place(index).piece.role == Role::Apply { gradient } else { wide(lane(&lanes.gradient, index)) };
        (state.history.to_vec(), sent)
    });
    let [(ring, sent), (other_ring, other_sent)] = each;
    Case::of(&local::KERNEL)
        .call(device, local::call(&params, buffers))
        .expect_lanes("the ring behind a local step", &history, [ring, other_ring], TOLERANCE)
        .expect_lanes("what a worker sends", &gradient, [sent, other_sent], TOLERANCE)
}

/// A tall matrix that begins and ends within blocks, at the scale of its kind in each lane.
pub fn spectral(device: &Device) -> Case {
    let (lanes, matrix) = (Lanes::new(), Matrix { first: 5, rows: 21, columns: 10 });
    let coefficients = |index| {
        let form = Form::Spectral { by_rms: index == BUSY[0] };
        UpdateCoefficients { gradient_to_weights: 0.25, form, ..coefficients(index) }
    };
    let of = |index| Update::new(&coefficients(index));
    let [gradient, state] = [&lanes.gradient, &lanes.state].map(|values| device.buffer_of("vectors", values));
    let [numbers, squares, blocks] = spectral::scratch([matrix]).map(|words| LANES * words);
    let (lane_steps, updates) = (lane_steps(device), updates(device, of));
    let scratch = [numbers, numbers, squares, squares, blocks, 1].map(|length| nan(device, length));
    let [x, other, gram, polynomial, squares, no_slopes] = &scratch;
    let buffers = spectral::Buffers {
        lane_steps: &lane_steps,
        updates: &updates,
        gradient: &gradient,
        iterates: [x, other],
        gram,
        polynomial,
        squares,
        no_slopes,
    };
    let (stages, update) = (1, 0);
    let direction =
        spectral::Direction { lanes: LANES, parameters: PARAMETERS, stages, update, memories: PLANES, matrix };
    let each = both(|index| {
        let (mut state, mut gradient) = (lanes.state(index), wide(lane(&lanes.gradient, index)));
        let velocity = &mut state.velocity[STEP_SLOTS[index].velocity * PARAMETERS..];
        spectral::cpu(&coefficients(index), &matrix, &mut gradient, velocity, &mut Vec::new());
        (planes(&state), gradient)
    });
    let [(planes, of_first), (other_planes, of_other)] = each;
    let calls = direction.calls([(0..PARAMETERS, &state)], &buffers);
    calls
        .into_iter()
        .fold(Case::of(&spectral::KERNEL), |case, call| case.call(device, call))
        .expect_lanes("the velocity of a matrix", &state, [planes, other_planes], TOLERANCE)
        .expect_lanes("the direction of a matrix", &gradient, [of_first, of_other], 10.0 * TOLERANCE)
}

pub fn start(device: &Device) -> Case {
    let memories = 2;
    let starts = uniform(30, 3 * PARAMETERS);
    let params = start::Params {
        step: 0,
        parameters: PARAMETERS as u32,
        first: 0,
        length: PARAMETERS as u32,
        slots: SLOTS as u32,
        memories: memories as u32,
    };
    let mut lane_steps = [LaneStep::default(); LANES];
    for (lane, number) in BUSY.into_iter().zip([2, 0]) {
        lane_steps[lane] = LaneStep { busy: 1, read: number, ..LaneStep::default() };
    }
    let [server, history, state] = [1, SLOTS, memories].map(|vectors| nan(device, vectors * LANES * PARAMETERS));
    let (lane_steps, on_device) = (device.buffer_of("lane_steps", &lane_steps), device.buffer_of("starts", &starts));
    let buffers = [&lane_steps, &on_device, &server, &history, &state];
    let one = [2, 0].map(|number| wide(&starts[number * PARAMETERS..][..PARAMETERS]));
    let in_every_slot = [0, 1].map(|lane| one[lane].repeat(SLOTS));
    let mut case = Case::of(&start::KERNEL)
        .call(device, start::call(&params, LANES, buffers))
        .expect_lanes("the start", &server, one, EXACT)
        .expect_lanes("the start in every slot", &history, in_every_slot, EXACT)
        .expect(&state, memories * LANES * PARAMETERS, |found| {
            for index in BUSY {
                let at = lane(found, index).iter().position(|x| x.to_bits() != 0);
                at.map_or(Ok(()), |at| Err(format!("the state at a start: element {at} is not 0")))?;
            }
            untouched("the state at a start", lane(found, IDLE))
        });
    case.steps = 1;
    case
}

/// The third lane goes on in the place of the first, at another scale.
pub fn renew(device: &Device) -> Case {
    let (lanes, factor, [target, source]) = (Lanes::new(), -0.375f32, BUSY);
    let [minimum, ..] = thirds(&lanes.landmarks);
    let params = renew::Params {
        step: 0,
        parameters: PARAMETERS as u32,
        first: 0,
        length: PARAMETERS as u32,
        slots: SLOTS as u32,
        velocities: SLOTS as u32,
        seconds: SLOTS as u32,
    };
    let [server, history, state, landmarks] =
        [&lanes.server, &lanes.history, &lanes.state, &lanes.landmarks].map(|values| device.buffer_of("v", values));
    let mut lane_steps = [LaneStep::default(); LANES];
    lane_steps[target] = LaneStep { busy: 1, read: source as u32, ..LaneStep::default() };
    let (lane_steps, factors) =
        (device.buffer_of("lane_steps", &lane_steps), device.buffer_of("factors", &[factor; LANES]));
    let buffers = [&lane_steps, &factors, &landmarks, &server, &history, &state];
    let (mut renewed, kept) = (lanes.state(source), lanes.state(source));
    renew::cpu(f64::from(factor), &minimum, &mut renewed);
    let mut case = Case::of(&renew::KERNEL)
        .call(device, renew::call(&params, LANES, buffers))
        .expect_lanes("renewed weights", &server, [&renewed, &kept].map(|state| state.server.to_vec()), TOLERANCE)
        .expect_lanes("a renewed ring", &history, [&renewed, &kept].map(|state| state.history.to_vec()), TOLERANCE)
        .expect_lanes("a renewed state", &state, [&renewed, &kept].map(planes), TOLERANCE);
    case.steps = 1;
    case
}
