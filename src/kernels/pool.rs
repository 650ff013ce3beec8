//! `pool`: the largest number of every window, or the mean, and the gradient.
//!
//! The first of equal numbers in a window, line by line, counts as the largest, as in PyTorch; NaN is larger than any. A mean
//! counts numbers beyond the edge as 0.
//!
//! Bindings of `pool.wgsl`, an invocation per element of `output`, or per several:
//! - `lane_steps`: steps x lanes
//! - `input`: lanes x rows x input; a backward pass of a mean does not read it
//! - `delta`: lanes x rows x output; read in the backward pass
//! - `output`: lanes x rows x output, or in the backward pass the delta below, lanes x rows x input

use super::{Call, Kernel, LANE_STEP, LaneStep, NUMBERS, codes, read, read_write, shader, shared_struct, spread};
use crate::math::vector::{Pieces, Work};
use crate::math::{Number, Shape, Window};

shared_struct! {
    /// Immediates of `pool.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Channels of all rows of a lane.
        pub planes: u32,
        pub height: u32,
        pub width: u32,
        pub out_height: u32,
        pub out_width: u32,
        pub kernel: u32,
        pub stride: u32,
        pub padding: u32,
        /// Numbers of a lane's `output`.
        pub elements: u32,
        /// From one element of an invocation to the next.
        pub apart: u32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "pool",
    files: &[shader!("pool.wgsl"), LANE_STEP, NUMBERS],
    bindings: &[read("lane_steps"), read("input"), read("delta"), read_write("output")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Pooling::CODES, Pass::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &["KIND", "PASS"],
};

/// The direction of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Forward,
    Backward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Pooling {
    Max,
    /// Over the whole window, padding included, as PyTorch's default.
    Avg,
}

codes!(Pooling { MAX: Self::Max, AVG: Self::Avg });
codes!(Pass { FORWARD: Self::Forward, BACKWARD: Self::Backward });

/// One pooling; the shapes are those of a sample, and their channels agree.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    pub kind: Pooling,
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
}

impl Pool {
    /// The values of [`KERNEL`]'s variants.
    pub fn variant(&self, pass: Pass) -> [(&'static str, f64); 2] {
        [("KIND", f64::from(self.kind.code())), ("PASS", f64::from(pass.code()))]
    }

    /// For `lanes` lanes of `rows` rows, with their workgroups.
    fn params(&self, pass: Pass, lanes: usize, rows: usize) -> (Params, [u32; 3]) {
        let Self { input, output, window: Window { kernel, stride, padding }, .. } = *self;
        let elements = rows * if pass == Pass::Forward { output.elements() } else { input.elements() };
        let groups = spread(elements, WORKGROUP);
        let params = Params {
            step: 0,
            lanes: lanes as u32,
            planes: (rows * input.channels) as u32,
            height: input.height as u32,
            width: input.width as u32,
            out_height: output.height as u32,
            out_width: output.width as u32,
            kernel: kernel as u32,
            stride: stride as u32,
            padding: padding as u32,
            elements: elements as u32,
            apart: (groups * WORKGROUP) as u32,
        };
        (params, [groups as u32, lanes as u32, 1])
    }

    /// Turns of an invocation's loops in a pass over `rows` rows.
    pub fn iterations(&self, pass: Pass, rows: usize) -> usize {
        let (params, [groups, ..]) = self.params(pass, 1, rows);
        let Window { kernel, stride, .. } = self.window;
        let rounds = (params.elements as usize).div_ceil(groups as usize * WORKGROUP);
        let window = kernel * (kernel + 1);
        let places = kernel.div_ceil(stride);
        match (pass, self.kind) {
            (Pass::Forward, _) => rounds * (1 + window),
            (Pass::Backward, Pooling::Max) => rounds * (1 + places * (1 + places * (1 + window))),
            (Pass::Backward, Pooling::Avg) => rounds * (1 + places * (1 + places)),
        }
    }

    /// `buffers`: lane_steps, input, delta, output.
    pub fn call<B>(&self, pass: Pass, lanes: usize, rows: usize, buffers: [B; 4]) -> Call<B> {
        let (params, workgroups) = self.params(pass, lanes, rows);
        Call::new(&KERNEL, &self.variant(pass), buffers, &params, workgroups, self.iterations(pass, rows))
    }

    /// Places beside each other in a line of a plane, for every pixel of their windows in turn.
    fn lines(&self) -> Vec<Line> {
        let Self { input, output, window: Window { kernel, stride, padding }, .. } = *self;
        let mut lines = Vec::with_capacity(output.height * kernel * kernel);
        for y in 0..output.height {
            for (down, right) in (0..kernel).flat_map(|down| (0..kernel).map(move |right| (down, right))) {
                let Some(line) = (y * stride + down).checked_sub(padding).filter(|line| *line < input.height) else {
                    continue;
                };
                // Places whose pixel lies in the image: padding <= place stride + right < padding + width.
                let first = padding.saturating_sub(right).div_ceil(stride);
                let last = (padding + input.width).saturating_sub(right).div_ceil(stride).min(output.width);
                if first < last {
                    let pixel = line * input.width + first * stride + right - padding;
                    lines.push(Line { count: last - first, place: y * output.width + first, pixel });
                }
            }
        }
        lines
    }

    /// `output` (rows x output) of `input` (rows x input); for the largest, where in its plane each one was goes to `places`.
    pub fn forward<T: Number>(&self, input: &[T], output: &mut [T], places: &mut [u32], pieces: Pieces) {
        let samples = input.chunks_exact(self.input.elements()).zip(output.chunks_exact_mut(self.output.elements()));
        let samples = samples.zip(places.chunks_exact_mut(self.output.elements())).collect();
        pieces.each(input.len(), samples, &PoolForward { pool: self, lines: self.lines() });
    }

    /// `below` (rows x input) from `delta` (rows x output).
    pub fn backward<T: Number>(&self, delta: &[T], places: &[u32], below: &mut [T], pieces: Pieces) {
        let numbers = below.len();
        let samples = delta.chunks_exact(self.output.elements()).zip(below.chunks_exact_mut(self.input.elements()));
        let samples = samples.zip(places.chunks_exact(self.output.elements())).collect();
        pieces.each(numbers, samples, &PoolBackward { pool: self, lines: self.lines() });
    }
}

/// Some places beside each other, and a pixel of the window of each.
struct Line {
    count: usize,
    /// The first place.
    place: usize,
    /// Its pixel; the others' are a stride apart.
    pixel: usize,
}

/// The first of every `stride` numbers, as many as there are in `to`.
#[inline(always)]
fn take_every<T: Copy>(stride: usize, to: &mut [T], from: &[T]) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        // The usual stride has a loop that becomes vector code.
        2 => {
            let (last, before) = to.split_last_mut().expect("there is a place");
            *last = from[2 * before.len()];
            before.iter_mut().zip(from.chunks_exact(2)).for_each(|(to, pair)| *to = pair[0]);
        }
        _ => to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from),
    }
}

/// The way forward of a sample.
struct PoolForward<'a> {
    pool: &'a Pool,
    lines: Vec<Line>,
}

impl<T: Number> Work<((&[T], &mut [T]), &mut [u32])> for PoolForward<'_> {
    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "a branch for each number would take longer than the comparisons")]
    fn run(&self, ((input, output), places): ((&[T], &mut [T]), &mut [u32])) {
        /// No place yet.
        const NOWHERE: u32 = u32::MAX;
        let Pool { kind, window, .. } = *self.pool;
        let (from, to) = (self.pool.input.pixels(), self.pool.output.pixels());
        let mut numbers = vec![T::zero(); self.pool.output.width];
        output.fill(T::zero());
        places.fill(NOWHERE);
        let planes = input.chunks_exact(from).zip(output.chunks_exact_mut(to)).zip(places.chunks_exact_mut(to));
        for ((input, output), places) in planes {
            for Line { count, place, pixel } in &self.lines {
                let numbers = &mut numbers[..*count];
                take_every(window.stride, numbers, &input[*pixel..]);
                let (made, places) = (&mut output[*place..][..*count], &mut places[*place..][..*count]);
                match kind {
                    Pooling::Avg => made.iter_mut().zip(&*numbers).for_each(|(sum, x)| *sum += *x),
                    // No branch depends on the numbers.
                    Pooling::Max => {
                        let all = made.iter_mut().zip(places).zip(&*numbers);
                        for (index, ((best, place), x)) in all.enumerate() {
                            let pixel = (pixel + index * window.stride) as u32;
                            let is_larger = (*x > *best) | x.partial_cmp(x).is_none() | (*place == NOWHERE);
                            *best = if is_larger { *x } else { *best };
                            *place = if is_larger { pixel } else { *place };
                        }
                    }
                }
            }
        }
        if kind == Pooling::Avg {
            let share = T::one() / T::of(window.pixels() as f64);
            output.iter_mut().for_each(|sum| *sum *= share);
        }
    }
}

/// The way back of a sample.
struct PoolBackward<'a> {
    pool: &'a Pool,
    lines: Vec<Line>,
}

impl<T: Number> Work<((&[T], &mut [T]), &[u32])> for PoolBackward<'_> {
    #[inline(always)]
    fn run(&self, ((delta, below), places): ((&[T], &mut [T]), &[u32])) {
        let Pool { kind, window, .. } = *self.pool;
        let (from, to) = (self.pool.output.pixels(), self.pool.input.pixels());
        let share = T::one() / T::of(window.pixels() as f64);
        below.fill(T::zero());
        let planes = delta.chunks_exact(from).zip(below.chunks_exact_mut(to)).zip(places.chunks_exact(from));
        for ((delta, below), places) in planes {
            match kind {
                Pooling::Avg => {
                    for Line { count, place, pixel } in &self.lines {
                        let below = below[*pixel..].iter_mut().step_by(window.stride);
                        below.zip(&delta[*place..][..*count]).for_each(|(below, delta)| *below += *delta * share);
                    }
                }
                Pooling::Max => {
                    delta.iter().zip(places).for_each(|(delta, place)| below[*place as usize] += *delta);
                }
            }
        }
    }
}
