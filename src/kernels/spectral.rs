//! `spectral`: the direction of a matrix that moves as a whole ([`Form::Spectral`]), left where its gradient was for the kernel
//! [`super::step`].
//!
//! ```text
//! RENEW:      v = momentum v + gradient_to_velocity g; u = gradient_to_weights g + velocity_to_weights v
//! NORMALISE:  X = u / (|u| + epsilon), transposed where it has more rows than columns
//!             five times, by products of `matmul`: G = X X^T, Q = b G + c G G, X = a X + Q X
//! SCALE:      gradient = s X
//! ```
//!
//! A tall matrix is transposed, so that G is as small as it can be: NS(X^T) = NS(X)^T. X X^T of all lanes, and the two X that the
//! steps go between, are scratch that one matrix after the other uses.
//!
//! Bindings of `spectral.wgsl`:
//! - `lane_steps`: steps x lanes
//! - `updates`: steps x lanes x stages entries, then coefficients ([`super::update`])
//! - `state`: lanes x (velocities, then second moments if any) x length, of a part of the ring ([`super::step`])
//! - `gradient`: lanes x P
//! - `iterate`: lanes x side x length, the X of the steps: side is the smaller one of rows and columns, length the larger one
//! - `squares`: lanes x blocks, partial sums of |u|^2

use super::matmul::{self, Epilogue, Operand};
use super::update::{Update, UpdateStep};
use super::{
    Call, Kernel, LANE_STEP, LaneStep, UPDATE, codes, grid, read, read_write, shader, shared_struct, spread,
    sum_iterations,
};
use crate::math::{NEWTON_SCHULZ_STEPS, NORM_EPSILON, Real, orthogonalise};
use crate::update::{Form, Matrix, UpdateCoefficients};
use std::ops::Range;

shared_struct! {
    /// Immediates of `spectral.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Updates of each lane at every step.
        pub stages: u32,
        /// Number of the matrix's own among them.
        pub update: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part of the ring that is bound.
        pub first: u32,
        /// Parameters of that part, P where the ring is whole.
        pub length: u32,
        /// (velocities and second moments) length.
        pub state_stride: u32,
        /// The matrix's first parameter.
        pub begin: u32,
        pub rows: u32,
        pub columns: u32,
        /// From one element of an invocation to the next.
        pub apart: u32,
        /// [`Matrix::scale`] of either kind.
        pub scale: f32,
        pub scale_by_rms: f32,
    }
}

/// Parameters of a block, whose squares a workgroup adds up.
pub const WORKGROUP: usize = 128;

// Parts of the ring are whole workgroups of `step`, and must be whole blocks here.
const _: () = assert!(super::step::WORKGROUP.is_multiple_of(WORKGROUP));

pub const KERNEL: Kernel = Kernel {
    name: "spectral",
    files: &[shader!("spectral.wgsl"), LANE_STEP, UPDATE],
    bindings: &[
        read("lane_steps"),
        read("updates"),
        read_write("state"),
        read_write("gradient"),
        read_write("iterate"),
        read_write("squares"),
    ],
    structs: &[LaneStep::LAYOUT, UpdateStep::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    codes: &[Pass::CODES, Form::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64), ("NORM_EPSILON", NORM_EPSILON)],
    variants: &["PASS"],
};

/// What a dispatch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Renews the velocity, in a part of the ring.
    Renew,
    /// Divides by the norm, into the first X.
    Normalise,
    /// Puts the last X where the gradient was.
    Scale,
}

codes!(Pass { RENEW: Self::Renew, NORMALISE: Self::Normalise, SCALE: Self::Scale });

/// The buffers of all lanes.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<B> {
    pub lane_steps: B,
    pub updates: B,
    pub gradient: B,
    /// The X that the steps go between.
    pub iterates: [B; 2],
    /// X X^T.
    pub gram: B,
    /// The polynomial of it that X is multiplied by.
    pub polynomial: B,
    pub squares: B,
    /// Bound where a product has no slopes.
    pub no_slopes: B,
}

/// 32-bit words of a lane that one matrix after the other computes in: of X, of X X^T, and of the partial sums.
pub fn scratch(matrices: impl IntoIterator<Item = Matrix>) -> [usize; 3] {
    matrices.into_iter().fold([0; 3], |[numbers, squares, sums], matrix| {
        let (side, length) = sides(&matrix);
        [numbers.max(side * length), squares.max(side * side), sums.max(blocks(matrix.range()).len())]
    })
}

/// Floating-point operations of a lane for the direction of a matrix.
pub fn work(matrix: &Matrix) -> usize {
    let (side, length) = sides(matrix);
    NEWTON_SCHULZ_STEPS * 2 * side * side * (2 * length + side)
}

/// The calls that leave the direction of one matrix of every lane where its gradient was.
#[derive(Clone, Copy, Debug)]
pub struct Direction {
    pub lanes: usize,
    /// P.
    pub parameters: usize,
    /// Updates of each lane at every step, and the number of the matrix's own among them.
    pub stages: usize,
    pub update: usize,
    /// Vectors that a lane's rule remembers.
    pub memories: usize,
    pub matrix: Matrix,
}

impl Direction {
    /// `parts`: the parameters of each part of the rule's state, in its buffer.
    pub fn calls<B: Copy>(
        &self,
        parts: impl IntoIterator<Item = (Range<usize>, B)>,
        buffers: &Buffers<B>,
    ) -> Vec<Call<B>> {
        let matrix = self.matrix.range();
        let parts: Vec<_> =
            parts.into_iter().filter(|(part, _)| part.start < matrix.end && matrix.start < part.end).collect();
        let mut calls: Vec<_> =
            parts.iter().map(|(part, state)| self.call(Pass::Renew, part, *state, buffers)).collect();
        let (whole, state) = (0..self.parameters, parts[0].1);
        calls.push(self.call(Pass::Normalise, &whole, state, buffers));
        calls.extend(self.products(buffers));
        calls.push(self.call(Pass::Scale, &whole, state, buffers));
        calls
    }

    fn call<B: Copy>(&self, pass: Pass, part: &Range<usize>, state: B, buffers: &Buffers<B>) -> Call<B> {
        let Self { lanes, matrix, .. } = *self;
        let (range, numbers) = (matrix.range(), matrix.rows * matrix.columns);
        let groups = spread(numbers, WORKGROUP);
        let apart = groups * WORKGROUP;
        let params = Params {
            step: 0,
            lanes: lanes as u32,
            stages: self.stages as u32,
            update: self.update as u32,
            parameters: self.parameters as u32,
            first: part.start as u32,
            length: part.len() as u32,
            state_stride: (self.memories * part.len()) as u32,
            begin: matrix.first as u32,
            rows: matrix.rows as u32,
            columns: matrix.columns as u32,
            apart: apart as u32,
            scale: matrix.scale(false) as f32,
            scale_by_rms: matrix.scale(true) as f32,
        };
        let (workgroups, iterations) = match pass {
            Pass::Renew => {
                let here = range.start.max(part.start)..range.end.min(part.end);
                (grid(blocks(here).len(), lanes), sum_iterations(WORKGROUP))
            }
            Pass::Normalise => {
                let sums = blocks(range).len().div_ceil(WORKGROUP) + sum_iterations(WORKGROUP);
                (grid(groups, lanes), sums + numbers.div_ceil(apart))
            }
            Pass::Scale => (grid(groups, lanes), numbers.div_ceil(apart)),
        };
        // Where the last step leaves its X.
        let last = buffers.iterates[NEWTON_SCHULZ_STEPS % 2];
        let matrix = if pass == Pass::Scale { last } else { buffers.iterates[0] };
        let variant = [("PASS", f64::from(pass.code()))];
        let buffers = [buffers.lane_steps, buffers.updates, state, buffers.gradient, matrix, buffers.squares];
        Call::new(&KERNEL, &variant, buffers, &params, workgroups, iterations)
    }

    /// The Newton-Schulz steps.
    fn products<B: Copy>(&self, buffers: &Buffers<B>) -> Vec<Call<B>> {
        let Buffers { lane_steps, iterates, gram, polynomial, no_slopes, .. } = *buffers;
        let (side, length) = sides(&self.matrix);
        let [side, length] = [side, length].map(|size| size as u32);
        let square = Operand { lane_stride: side * side, row_stride: side, column_stride: 1, ..Operand::default() };
        let flat = Operand { lane_stride: side * length, row_stride: length, column_stride: 1, ..Operand::default() };
        let turned = Operand { row_stride: 1, column_stride: length, ..flat };
        let common = matmul::Params { lanes: self.lanes as u32, rows: side, ..matmul::Params::default() };
        let of_squares = matmul::Params { columns: side, c_lane_stride: side * side, c_row_stride: side, ..common };
        let gram_of = matmul::Params { inner: length, a: flat, b: turned, ..of_squares };
        let polynomial_of = matmul::Params { inner: side, a: square, b: square, ..of_squares };
        let next = matmul::Params {
            columns: length,
            inner: side,
            a: square,
            b: flat,
            c_lane_stride: side * length,
            c_row_stride: length,
            ..common
        };
        let step = |number: usize| {
            let (x, other) = (iterates[number % 2], iterates[(number + 1) % 2]);
            [
                matmul::call(Epilogue::Plain, &gram_of, [lane_steps, x, x, gram, no_slopes]),
                matmul::call(Epilogue::Polynomial, &polynomial_of, [lane_steps, gram, gram, polynomial, no_slopes]),
                matmul::call(Epilogue::Iterate, &next, [lane_steps, polynomial, x, other, no_slopes]),
            ]
        };
        (0..NEWTON_SCHULZ_STEPS).flat_map(step).collect()
    }
}

/// The smaller one of rows and columns, and the larger one.
fn sides(matrix: &Matrix) -> (usize, usize) {
    (matrix.rows.min(matrix.columns), matrix.rows.max(matrix.columns))
}

/// Blocks that some parameters lie in, counted from parameter 0.
fn blocks(range: Range<usize>) -> Range<usize> {
    range.start / WORKGROUP..(range.end - 1) / WORKGROUP + 1
}

/// One lane: renews the velocity of a whole matrix, and puts its direction where its gradient was. Both are P long; `scratch` is
/// whatever it was the last time.
pub fn cpu<T: Real>(
    coefficients: &UpdateCoefficients,
    matrix: &Matrix,
    gradient: &mut [T],
    velocity: &mut [T],
    scratch: &mut Vec<T>,
) {
    let UpdateCoefficients { momentum, gradient_to_velocity, gradient_to_weights, velocity_to_weights, form, .. } =
        *coefficients;
    let [momentum, gradient_to_velocity, gradient_to_weights, velocity_to_weights] =
        [momentum, gradient_to_velocity, gradient_to_weights, velocity_to_weights].map(T::of);
    let (gradient, velocity) = (&mut gradient[matrix.range()], &mut velocity[matrix.range()]);
    for (g, v) in gradient.iter_mut().zip(velocity) {
        *v = momentum * *v + gradient_to_velocity * *g;
        *g = gradient_to_weights * *g + velocity_to_weights * *v;
    }
    orthogonalise(gradient, matrix.rows, matrix.columns, scratch);
    let scale = T::of(matrix.scale(matches!(form, Form::Spectral { by_rms: true })));
    gradient.iter_mut().for_each(|g| *g *= scale);
}
