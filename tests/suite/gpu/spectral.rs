//! Matrices that move as wholes: the kernel `spectral` and its products against their twin, and whole runs of muon beside the CPU
//! engine.
//!
//! Not here: what the twin and the CPU engine are held to (`orthogonal` in `src/math`, `tests/suite/muon.rs`).

use super::graphs::{graph, problem};
use super::lanes::*;
use super::update::{Lanes, PLANES, updates};
use super::waves;
use crate::common::{KERNEL_F32, assert_close, gpu};
use std::sync::Arc;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::Paths;
use tauscope::engine::{Engine, Needs, Run, WaveSpec};
use tauscope::kernels::spectral::{self, Buffers, Direction};
use tauscope::kernels::{Call, step};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::problem::Problem;
use tauscope::rule::{RuleKind, RuleSpec};
use tauscope::update::{Form, Matrix, UpdateCoefficients};

/// Five steps take the smallest singular values up by 3.4445^5 = 485, with their rounding.
const DIRECTION: f64 = 50.0 * KERNEL_F32;

/// Updates of a comparison of engines, in blocks of a quarter.
const UPDATES: usize = 100;

/// Agreement of that many updates in f32 with f64, on the CPU engine as well: rounding decides signs of AdamW's steps where a gradient
/// is near 0, and small singular values grow.
const TRAJECTORY: f64 = 3e-2;

fn coefficients(index: usize) -> UpdateCoefficients {
    UpdateCoefficients {
        momentum: [0.95, 0.5, 0.0][index],
        gradient_to_velocity: [0.05, 0.5, 1.0][index],
        gradient_to_weights: [0.05, 0.5, 1.0][index],
        velocity_to_weights: [0.95, 0.5, 0.0][index],
        form: Form::Spectral { by_rms: index == BUSY[0] },
        ..UpdateCoefficients::default()
    }
}

/// Returns gradient and state of all lanes after the calls, with the ring's vectors in parts of `part` numbers.
fn direct(lanes: &Lanes, parameters: usize, matrix: Matrix, part: usize) -> [Vec<f32>; 2] {
    let device = gpu().device();
    let parts: Vec<_> = (0..parameters).step_by(part).map(|first| first..(first + part).min(parameters)).collect();
    let states: Vec<_> = parts
        .iter()
        .map(|range| {
            let vectors = lanes.state.chunks_exact(parameters);
            let of_part: Vec<f32> = vectors.flat_map(|vector| vector[range.clone()].iter().copied()).collect();
            device.buffer_of("state", &of_part)
        })
        .collect();
    let gradient = device.buffer_of("gradient", &lanes.gradient);
    let updates = updates(device, &std::array::from_fn(coefficients), parameters);
    let [numbers, squares, blocks] = spectral::scratch([matrix]).map(|words| LANES * words);
    let scratch = [numbers, numbers, squares, squares, blocks, 1].map(|length| nan(device, length));
    let lane_steps = lane_steps(device);
    let [x, other, gram, polynomial, squares, no_slopes] = &scratch;
    let buffers = Buffers {
        lane_steps: &lane_steps,
        updates: &updates,
        gradient: &gradient,
        iterates: [x, other],
        gram,
        polynomial,
        squares,
        no_slopes,
    };
    let direction = Direction { lanes: LANES, parameters, stages: 1, update: 0, memories: PLANES, matrix };
    let calls: Vec<Call<_>> = direction.calls(parts.iter().cloned().zip(&states), &buffers);
    calls.into_iter().for_each(run);
    let mut state = vec![0.0; lanes.state.len()];
    for (range, buffer) in parts.iter().zip(&states) {
        let found: Vec<f32> = read(buffer, LANES * PLANES * range.len());
        for (vector, found) in state.chunks_exact_mut(parameters).zip(found.chunks_exact(range.len())) {
            vector[range.clone()].copy_from_slice(found);
        }
    }
    for (what, buffer, length) in [("iterate", x, numbers), ("gram", gram, spectral::scratch([matrix])[1] * LANES)] {
        assert_untouched(what, lane(&read(buffer, length), IDLE));
    }
    [read(&gradient, lanes.gradient.len()), state]
}

#[test]
fn directions_agree_for_tall_wide_and_narrow_matrices_anywhere_in_the_vector() {
    let shapes = [(1, 1), (1, 40), (40, 1), (2, 2), (9, 6), (6, 45), (33, 32), (15, 129), (130, 31), (129, 65)];
    for (number, (rows, columns)) in shapes.into_iter().enumerate() {
        // Before the first block's end, at its end, in a later one.
        let first = [3, 128, 0, 300][number % 4];
        let matrix = Matrix { first, rows, columns };
        let parameters = matrix.range().end + [0, 1, 200][number % 3];
        let lanes = Lanes::new(parameters);
        let [gradient, state] = direct(&lanes, parameters, matrix, parameters);
        for index in BUSY {
            let (mut expected, mut states) = (wide(lane(&lanes.gradient, index)), lanes.state(index));
            let velocity = &mut states.velocity[STEP_SLOTS[index].velocity * parameters..];
            spectral::cpu(&coefficients(index), &matrix, &mut expected, velocity, &mut Vec::new());
            let what = format!("{rows} x {columns} at {first}, lane {index}");
            // The direction beside the gradients around it.
            assert_close(&what, &lane(&gradient, index)[matrix.range()], &expected[matrix.range()], DIRECTION);
            assert_close(&what, lane(&gradient, index), &expected, DIRECTION);
            let planes = [&states.velocity[..], &states.second].concat();
            assert_close(&what, lane(&state, index), &planes, KERNEL_F32);
        }
        assert_untouched("gradient", lane(&gradient, IDLE));
        assert_untouched("state", lane(&state, IDLE));
    }
}

#[test]
fn no_cut_of_the_ring_changes_a_bit_of_a_direction() {
    let matrix = Matrix { first: 70, rows: 21, columns: 37 };
    let parameters = matrix.range().end + 90;
    let lanes = Lanes::new(parameters);
    let bits = |values: [Vec<f32>; 2]| values.map(|values| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>());
    let whole = bits(direct(&lanes, parameters, matrix, parameters));
    for blocks in [1, 2, 5] {
        assert_eq!(bits(direct(&lanes, parameters, matrix, blocks * step::WORKGROUP)), whole, "{blocks} blocks");
    }
}

/// Runs of muon of either scale, with everything around it, at delays of their own.
pub fn wave(problem: Problem, batch: Option<usize>) -> (WaveSpec, Vec<Run>) {
    let start = match &problem {
        Problem::Network(network) => Arc::new(network.model.init(4)),
        other => panic!("{other:?} has no matrices"),
    };
    let plain = waves::spec(problem, batch, 1);
    let cells = [
        ("muon", Schedule::round_robin(0)),
        ("muon:rms", Schedule::round_robin(1)),
        ("muon", Schedule::round_robin(4)),
        ("muon+clip=0.5+adam-lr=1e-4", Schedule::round_robin(1)),
        ("muon:rms+extrapolate=1", Schedule::round_robin(2)),
        ("muon", Schedule::random(4)),
    ];
    let run = |(seed, (rule, schedule)): (u64, (&str, Schedule))| Run {
        rule: rule.parse::<RuleSpec>().unwrap().with(0.9, 0.9),
        lr: 0.02.into(),
        start: Arc::clone(&start),
        centred: false,
        ..waves::run(&plain, RuleKind::Muon, schedule, seed)
    };
    let runs: Vec<Run> = (0..).zip(cells).map(run).collect();
    let needs = runs.iter().map(|run| run.needs(batch.is_some())).reduce(Needs::and).unwrap();
    (WaveSpec { needs, lanes: runs.len(), block: UPDATES / 4, ..plain }, runs)
}

/// Hidden matrices that are tall, wide, a row and a column; filters, and a batch norm. Before it stands no bias: its gradient would be
/// rounding alone, whose sign AdamW follows.
pub fn problems() -> [(&'static str, Problem, Option<usize>); 3] {
    let layers = "conv(5,3,pad=1,nobias),bn,tanh,conv(6,3,pad=1),tanh,max(2),conv(9,1),tanh,dense(11),tanh,dense";
    [
        ("a perceptron", waves::network(&[6, 1, 5, 9], Activation::Tanh, Loss::Ce), Some(11)),
        ("a perceptron's full batch", waves::network(&[35, 7, 40], Activation::Gelu, Loss::Ce), None),
        ("a graph", Problem::Network(problem(graph(Shape::new(2, 6, 6), layers), 23)), Some(7)),
    ]
}

/// Weights of all lanes after every quarter, and the losses of all steps.
fn trained(engine: &dyn Engine, spec: &WaveSpec, runs: &[Run]) -> Vec<[Vec<f64>; 2]> {
    let mut wave = engine.open(WaveSpec { lanes: runs.len(), ..spec.clone() }).unwrap();
    runs.iter().enumerate().for_each(|(lane, run)| wave.start(lane, run.clone()).unwrap());
    let mut seen = vec![[Vec::new(), Vec::new()]; runs.len()];
    for _ in 0..4 {
        let block = wave.advance(UPDATES / 4).unwrap();
        for (lane, [weights, losses]) in seen.iter_mut().enumerate() {
            weights.extend(wave.weights(lane).unwrap());
            losses.extend(block.lane(lane).iter().map(|seen| seen.loss));
        }
    }
    seen
}

#[test]
fn what_is_never_fused_says_so() {
    let [(_, problem, batch), ..] = problems();
    let why = gpu().with_paths(Paths::Fused).path(&wave(problem, batch).0).unwrap_err().to_string();
    assert!(why.contains("matrices move as wholes"), "{why}");
}

#[test]
fn a_hundred_updates_of_muon_agree_with_the_cpu_engine_on_perceptrons_and_convolutions() {
    for (what, problem, batch) in problems() {
        let (spec, runs) = wave(problem, batch);
        assert_eq!(gpu().path(&spec).unwrap(), "layered");
        let (expected, found) = (trained(&Cpu::<f64>::default(), &spec, &runs), trained(gpu(), &spec, &runs));
        let on_cpu = trained(&Cpu::<f32>::default(), &spec, &runs);
        for (engine, found) in [("gpu", &found), ("cpu", &on_cpu)] {
            for ((run, expected), found) in runs.iter().zip(&expected).zip(found) {
                let what = format!("{engine}: {what}, {} at {:?}", run.rule.name(), run.schedule);
                for (expected, found) in expected.iter().zip(found) {
                    assert_close(&what, found, expected, TRAJECTORY);
                }
            }
        }
        // Alone, in another lane of another wave.
        let alone = trained(gpu(), &spec, &runs[2..3]).remove(0);
        let bits = |numbers: &[Vec<f64>; 2]| numbers.concat().into_iter().map(f64::to_bits).collect::<Vec<u64>>();
        assert!(bits(&alone) == bits(&found[2]), "{what}: a run has its own bits");
    }
}

#[test]
fn what_matrices_are_computed_in_is_part_of_the_plan() {
    let (spec, _) = wave(waves::network(&[6, 9, 5], Activation::Tanh, Loss::Ce), Some(11));
    let spec = WaveSpec { block: 1, ..spec };
    let plain = WaveSpec { needs: Needs { work: spec.needs.work.with_matrices(false), ..spec.needs }, ..spec.clone() };
    let engine = gpu().with_paths(Paths::Layered);
    let [lane, plain] = [&spec, &plain].map(|spec| engine.footprint(spec).unwrap().lane);
    // 9 x 6 and 5 x 9: two of the larger one, two squares of 6, two blocks of partial sums; five updates of 28 words instead of one.
    assert_eq!(lane - plain, 4 * (2 * 54 + 2 * 36 + 2 + 4 * 28));
}
