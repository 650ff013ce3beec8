//! `fused`: many whole steps of delayed SGD of a multilayer perceptron in one dispatch, one workgroup per lane.
//!
//! A step is what the kernels `gather`, `matmul`, `loss`, `finish`, `step` and `observe` make of it, by the same formulae; here
//! weights, activations, deltas and the gradient never leave the workgroup. Rows go through in chunks; every invocation keeps
//! its tiles of the gradient in registers until the last chunk is through.
//!
//! Every vector of a lane is stored packed ([`super::packing`]). Padding stays 0 under every rule, so that sums over a packed
//! vector are sums over the parameters. Lengths and strides below are in vec4s.
//!
//! Not here: which networks fit and where ([`Shape`] says how, `engine::gpu::plan` whether), nor the formulae's CPU twin, which
//! is the whole CPU engine.
//!
//! Bindings of `fused.wgsl`:
//! - `lane_steps`: steps x lanes
//! - `updates`: steps x lanes x stages entries, then coefficients ([`super::update`])
//! - `order`: row numbers of the data, in which a place says where its batch begins; not read where the batch is full
//! - `data`: samples x features
//! - `labels`: samples
//! - `layers`: the model
//! - `landmarks`: 3 x P: the minimum, a direction, the diagonal of the Hessian (not known of a network: zeros)
//! - `vectors`: what is read and written, in one buffer, so that devices with few bindings take this path too: the servers' weights
//!   (lanes x P), the weight versions (lanes x slots x P), what rules remember (lanes x (velocities, then the second moment if any)
//!   x P), and the gradients of the loss at the minimum (lanes x P, where lanes are centred)
//! - `observations`: steps x lanes, as of `observe`

use super::packing::{Packing, padded, quads};
use super::update::{Update, UpdateStep};
use super::{ACTIVATION, Call, Kernel, LANE_STEP, LaneStep, NUMBERS, UPDATE, read, read_write, shader, shared_struct};
use crate::kernels::perceptron::Perceptron;
use crate::math::{Activation, LEAKY_SLOPE, Loss};
use crate::outer::Role;
use crate::update::{CLIPPING_EPSILON, COMPENSATION_EPSILON, Form};

shared_struct! {
    /// Immediates of `fused.wgsl`.
    pub struct Params {
        /// The first of the tables' steps that are made.
        pub step: u32,
        pub lanes: u32,
        /// How many steps are made.
        pub steps: u32,
        /// As in [`super::step::Params`].
        pub stages: u32,
        /// Rows of a batch.
        pub rows: u32,
        /// 1 where `order` says which rows these are.
        pub minibatch: u32,
        /// Numbers of a sample, padded.
        pub features: u32,
        /// Outputs that are classes: those beyond are padding.
        pub classes: u32,
        pub layers: u32,
        /// P, packed.
        pub parameters: u32,
        /// Where the weight versions begin in the vectors.
        pub history: u32,
        /// slots P.
        pub history_stride: u32,
        /// Where the states begin in the vectors.
        pub state: u32,
        /// As in [`super::step::Params`].
        pub state_stride: u32,
        pub second_offset: u32,
        /// Where the gradients at the minimum begin in the vectors.
        pub anchor: u32,
        /// 1 / rows.
        pub scale: f32,
        pub weight_decay: f32,
    }
}

shared_struct! {
    /// A dense layer: its shape, where its parameters lie in a packed vector, and its matrices in the arena.
    pub struct Layer {
        pub inputs: u32,
        pub outputs: u32,
        pub weight: u32,
        pub input: u32,
        /// From one row of the input to the next.
        pub input_stride: u32,
        pub value: u32,
        /// The slopes until the deltas take their place; the same as `value` in the last layer.
        pub delta: u32,
        /// From one row of values, or of deltas, to the next.
        pub stride: u32,
    }
}

pub const KERNEL: Kernel = Kernel {
    name: "fused",
    files: &[shader!("fused.wgsl"), LANE_STEP, UPDATE, ACTIVATION, NUMBERS],
    bindings: &[
        read("lane_steps"),
        read("updates"),
        read("order"),
        read("data"),
        read("labels"),
        read("layers"),
        read("landmarks"),
        read_write("vectors"),
        read_write("observations"),
    ],
    structs: &[LaneStep::LAYOUT, UpdateStep::LAYOUT, Update::LAYOUT, Layer::LAYOUT, Params::LAYOUT],
    codes: &[Role::CODES, Activation::CODES, Loss::CODES, Form::CODES],
    constants: &[
        ("LEAKY_SLOPE", LEAKY_SLOPE),
        ("COMPENSATION_EPSILON", COMPENSATION_EPSILON),
        ("CLIPPING_EPSILON", CLIPPING_EPSILON),
    ],
    variants: &["WORKGROUP", "ARENA", "ROWS", "TILES", "DOWN", "FETCHES", "ACTIVATION", "LOSS"],
};

/// Bytes of a vec4.
pub const QUAD: usize = 16;

/// Rows of a chunk: fewer leave most invocations without work, more save little.
const ROWS: std::ops::RangeInclusive<usize> = 16..=64;

/// Invocations of a workgroup.
const WORKGROUPS: [usize; 3] = [64, 128, 256];

/// Tiles of the gradient that an invocation keeps: 16 registers each.
const MOST_TILES: usize = 6;

/// vec4s of the next chunk's samples that an invocation keeps at most; it fetches the others when their turn comes.
const MOST_FETCHES: usize = 4;

/// Turns of loops in one dispatch, at most, where a device ends them ([`Shape::iterations`]): with room for those before the first
/// step.
pub const MOST_ITERATIONS: usize = 65_000;

/// How a model and its batch lie in a workgroup. It depends on nothing else but the device's limits: all lanes of such a model
/// compute the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Invocations.
    pub workgroup: usize,
    /// Rows of a chunk, a multiple of 4.
    pub rows: usize,
    /// Tiles of the gradient for each invocation.
    pub tiles: usize,
    /// Rows of a layer's values that an invocation computes together: as many as leave every invocation something.
    pub down: usize,
    /// vec4s of the next chunk's samples for each invocation.
    pub fetches: usize,
    /// vec4s of workgroup memory.
    pub arena: usize,
}

impl Shape {
    /// For batches of `rows` rows, in at most `memory` bytes and `invocations` invocations.
    ///
    /// # Errors
    /// What does not fit, with the numbers.
    pub fn new(model: &Perceptron, rows: usize, memory: usize, invocations: usize) -> Result<Self, String> {
        let packing = Packing::of(model);
        let tiles: usize = model.layers.iter().map(|layer| (quads(layer.inputs) + 1) * quads(layer.outputs)).sum();
        let fitting = WORKGROUPS.into_iter().filter(|workgroup| *workgroup <= invocations);
        let enough = fitting.clone().find(|workgroup| *workgroup >= tiles);
        let Some(workgroup) = enough.or(fitting.max()) else {
            return Err(format!("a workgroup of {invocations} invocations; the least is {}", WORKGROUPS[0]));
        };
        let fixed = packing.quads() + 1;
        let per_row = row_strides(model).iter().sum::<usize>();
        let least = padded(rows).min(*ROWS.start());
        let needed = fixed + (least * per_row).max(workgroup);
        if needed * QUAD > memory {
            return Err(format!(
                "{} bytes of workgroup memory for {} parameters and {least} rows; the adapter has {memory}",
                needed * QUAD,
                model.parameters()
            ));
        }
        let each = tiles.div_ceil(workgroup);
        if each > MOST_TILES {
            return Err(format!(
                "{each} tiles of the gradient for each of {workgroup} invocations; the most is {MOST_TILES}"
            ));
        }
        let most = ((memory / QUAD - fixed) / per_row / 4 * 4).min(*ROWS.end());
        // As many rows in every chunk, but for the last.
        let rows = padded(rows.div_ceil(rows.div_ceil(most)));
        let arena = fixed + (rows * per_row).max(workgroup);
        let widest = model.layers.iter().map(|layer| quads(layer.outputs)).max().unwrap_or(0);
        let down = if rows / 4 * widest < workgroup { 2 } else { 4 };
        let fetches = (rows * quads(model.layers[0].inputs)).div_ceil(workgroup).min(MOST_FETCHES);
        Ok(Self { workgroup, rows, tiles: each, down, fetches, arena })
    }

    /// How often the loops of an invocation turn in one step, at most, the turn that ends each of them counted; `rows` of the
    /// batch, once more where gradients are centred.
    ///
    /// Mesa's software rasteriser ends all loops of an invocation after 65,535 iterations of them together, and says nothing.
    pub fn iterations(&self, model: &Perceptron, rows: usize, centred: bool) -> usize {
        let each = |things: usize| things.div_ceil(self.workgroup) + 1;
        let (layers, part) = (&model.layers, self.rows / self.down);
        let vector = each(Packing::of(model).quads());
        let forward = layers.iter().map(|layer| each(part * quads(layer.outputs)) * (quads(layer.inputs) + 2));
        let backward = layers.iter().skip(1).map(|layer| each(part * quads(layer.inputs)) * (quads(layer.outputs) + 2));
        let loss = 3 * (quads(layers.last().map_or(0, |layer| layer.outputs)) + 1);
        let chunk = each(self.rows * quads(layers[0].inputs))
            + forward.chain(backward).sum::<usize>()
            + 2 * (layers.len() + 1)
            + loss
            + self.tiles * (self.rows + 1)
            + 1;
        let pass = vector + rows.div_ceil(self.rows) * chunk + 1;
        let total = self.workgroup.ilog2() as usize + 1;
        // The passes, the gradient at the minimum put away, finish, the part of an outer loop and advance with their sums, in
        // advance also the search for the stage, and the step itself.
        (1 + usize::from(centred)) * (pass + 1) + 5 * vector + layers.len() + 2 * total + 2
    }

    /// The values of [`KERNEL`]'s variants.
    pub fn variant(&self, activation: Activation, loss: Loss) -> [(&'static str, f64); 8] {
        [
            ("WORKGROUP", self.workgroup as f64),
            ("ARENA", self.arena as f64),
            ("ROWS", self.rows as f64),
            ("TILES", self.tiles as f64),
            ("DOWN", self.down as f64),
            ("FETCHES", self.fetches as f64),
            ("ACTIVATION", f64::from(activation.code())),
            ("LOSS", f64::from(loss.code())),
        ]
    }

    /// `buffers`: lane_steps, updates, order, data, labels, layers, landmarks, vectors, observations.
    pub fn call<B>(&self, model: &Perceptron, loss: Loss, params: &Params, buffers: [B; 9]) -> Call<B> {
        let iterations = params.steps as usize * self.iterations(model, params.rows as usize, true);
        let variant = self.variant(model.activation, loss);
        Call::new(&KERNEL, &variant, buffers, params, [params.lanes, 1, 1], iterations)
    }

    /// The model's table.
    pub fn layers(&self, model: &Perceptron) -> Vec<Layer> {
        let packing = Packing::of(model);
        let strides = row_strides(model);
        let mut at = packing.quads() + 1;
        let mut matrices = strides.iter().map(|stride| {
            let matrix = (at as u32, *stride as u32);
            at += self.rows * stride;
            matrix
        });
        let mut take = || matrices.next().expect("there is a stride for every matrix");
        let (mut input, mut input_stride) = take();
        let mut layers = Vec::new();
        for (index, (layer, weight)) in model.layers.iter().zip(&packing.weights).enumerate() {
            let (value, stride) = take();
            let delta = if index + 1 < model.layers.len() { take().0 } else { value };
            layers.push(Layer {
                inputs: quads(layer.inputs) as u32,
                outputs: quads(layer.outputs) as u32,
                weight: (weight / 4) as u32,
                input,
                input_stride,
                value,
                delta,
                stride,
            });
            (input, input_stride) = (value, stride);
        }
        layers
    }
}

/// Strides of the matrices of a chunk, in their order in the arena: inputs, then of every hidden layer values and deltas, then
/// outputs. All are odd, so that neighbouring rows lie in different banks.
fn row_strides(model: &Perceptron) -> Vec<usize> {
    let stride = |width: usize| quads(width) | 1;
    let (inputs, last) = (model.layers[0].inputs, model.layers.len() - 1);
    let mut strides = vec![stride(inputs)];
    for (index, layer) in model.layers.iter().enumerate() {
        strides.extend(vec![stride(layer.outputs); if index < last { 2 } else { 1 }]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::packing::model;

    #[test]
    fn a_shape_keeps_within_its_limits_and_its_matrices_apart() {
        for widths in [&[1, 1][..], &[7, 4], &[64, 16, 10], &[64, 32, 10], &[5, 33, 17, 4, 3]] {
            for rows in [1, 15, 16, 17, 64, 65, 512] {
                for (memory, invocations) in [(16 << 10, 128), (32 << 10, 256), (48 << 10, 1024)] {
                    let model = model(widths);
                    let Ok(shape) = Shape::new(&model, rows, memory, invocations) else {
                        assert_eq!((memory, widths), (16 << 10, &[64, 32, 10][..]), "{rows} rows do not fit");
                        continue;
                    };
                    assert!(shape.arena * QUAD <= memory && shape.workgroup <= invocations, "{shape:?}");
                    assert!(shape.rows % 4 == 0 && shape.rows <= shape.workgroup && shape.rows >= rows.min(16));
                    let mut matrices: Vec<(u32, u32)> = shape
                        .layers(&model)
                        .iter()
                        .flat_map(|layer| {
                            let Layer { input, input_stride, value, delta, stride, .. } = *layer;
                            [(input, input_stride), (value, stride), (delta, stride)]
                        })
                        .collect();
                    matrices.sort_unstable();
                    matrices.dedup();
                    let ends = matrices.iter().map(|(at, stride)| at + stride * shape.rows as u32);
                    let next = matrices.iter().skip(1).map(|(at, _)| *at).chain([shape.arena as u32]);
                    assert!(ends.zip(next).all(|(end, next)| end <= next), "{matrices:?} of {shape:?}");
                    assert!(matrices[0].0 as usize > Packing::of(&model).length() / 4);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let refusal = |widths: &[usize], memory, invocations| {
            Shape::new(&model(widths), 64, memory, invocations).expect_err("it does not fit")
        };
        let wide = refusal(&[64, 256, 10], 48 << 10, 1024);
        assert!(wide.contains("49152") && wide.contains("19210"), "{wide}");
        assert!(refusal(&[4, 4], 32 << 10, 32).contains("32 invocations"));
        assert!(refusal(&[63, 63, 63], 1 << 20, 64).contains("tiles"));
    }
}
