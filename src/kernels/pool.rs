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

    /// Calls `each` with every output of a plane and the inputs in its window.
    fn windows(&self, mut each: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
        let Self { input, output, window: Window { kernel, stride, padding }, .. } = *self;
        let span = |place: usize, extent: usize| {
            let start = place * stride;
            start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(extent)
        };
        for y in 0..output.height {
            for x in 0..output.width {
                let (lines, columns) = (span(y, input.height), span(x, input.width));
                let mut inputs = lines.flat_map(|line| columns.clone().map(move |column| line * input.width + column));
                each(y * output.width + x, &mut inputs);
            }
        }
    }

    /// `output` (rows x output) of `input` (rows x input); for the largest, where in its plane each one was goes to `lane_steps`.
    pub fn forward<T: Number>(&self, input: &[T], output: &mut [T], places: &mut [u32]) {
        let share = T::one() / T::of(self.window.pixels() as f64);
        let planes = input.chunks_exact(self.input.pixels()).zip(output.chunks_exact_mut(self.output.pixels()));
        for (index, (input, output)) in planes.enumerate() {
            match self.kind {
                Pooling::Avg => {
                    self.windows(|place, inputs| output[place] = inputs.map(|i| input[i]).sum::<T>() * share)
                }
                Pooling::Max => {
                    let places = &mut places[index * self.output.pixels()..][..self.output.pixels()];
                    self.windows(|place, inputs| {
                        let mut best = inputs.next().expect("every window has a pixel");
                        for i in inputs {
                            let is_nan = input[i].partial_cmp(&input[i]).is_none();
                            if input[i] > input[best] || is_nan {
                                best = i;
                            }
                        }
                        output[place] = input[best];
                        places[place] = best as u32;
                    });
                }
            }
        }
    }

    /// `below` (rows x input) from `delta` (rows x output).
    pub fn backward<T: Number>(&self, delta: &[T], places: &[u32], below: &mut [T]) {
        below.fill(T::zero());
        let share = T::one() / T::of(self.window.pixels() as f64);
        let planes = delta.chunks_exact(self.output.pixels()).zip(below.chunks_exact_mut(self.input.pixels()));
        for (index, (delta, below)) in planes.enumerate() {
            match self.kind {
                Pooling::Avg => self.windows(|place, inputs| inputs.for_each(|i| below[i] += delta[place] * share)),
                Pooling::Max => {
                    let places = &places[index * self.output.pixels()..][..self.output.pixels()];
                    delta.iter().zip(places).for_each(|(delta, place)| below[*place as usize] += *delta);
                }
            }
        }
    }
}
