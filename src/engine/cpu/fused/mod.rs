//! Loss and gradient of a multilayer perceptron in f32 at the hardware's speed: weights in panels, rows in chunks that stay
//! in the first-level cache, every product by register tiles, activation and slope fused into their stores.
//!
//! Written once over [`pulp::Simd`] and compiled for each instruction set; which one runs is found out at run time.
//! Not here: the update ([`crate::kernels::step`]), or f64 ([`crate::model::Backprop`]), which stays the reference.

mod curve;
mod elementary;
mod panels;

pub use panels::Layout;

use crate::kernels::perceptron::Perceptron;
use crate::math::vector::tile::{self, At, Every, Panels, Rows, Starts, load, product, store};
use crate::math::vector::{PANEL, transpose};
use crate::math::{Activation, Loss, ordered_sum};
use crate::problem;
use aligned_vec::AVec;
use curve::{Backward, Curve, Forward, activate};
use panels::PanelLayer;
use pulp::Simd;
use std::marker::PhantomData;

/// Rows that pass through all layers together, at most. Their activations and deltas share the first-level cache with the
/// weights.
const CHUNK: usize = 128;

/// A network's shape in panels, and its data.
#[derive(Clone, Debug)]
pub struct PanelNetwork {
    pub layout: Layout,
    activation: Activation,
    loss: Loss,
    /// samples x [`Self::features`], padded with zeros.
    inputs: AVec<f32>,
    labels: Vec<u32>,
    /// The numbers of all samples.
    all: Vec<u32>,
}

/// Buffers of one gradient; every thread has its own.
#[derive(Clone, Debug)]
pub struct PanelScratch {
    /// Per layer, chunk x width: activations (of the last layer: outputs).
    values: Vec<AVec<f32>>,
    /// Per layer, chunk x width: a'(z), where it does not follow from a(z); else empty.
    slopes: Vec<AVec<f32>>,
    /// Per layer, chunk x width: gradient of the loss with respect to z.
    deltas: Vec<AVec<f32>>,
    /// Per layer but the first: W in panels of inputs, one row for every output.
    transposed: Vec<AVec<f32>>,
    /// A gradient of one panel, outputs by inputs.
    turned: AVec<f32>,
    /// Where each row of the chunk begins in the data.
    offsets: Vec<usize>,
    /// The classes of sixteen rows, one after the other; those that are none stay 0.
    columns: AVec<f32>,
    /// One for each row of the chunk.
    losses: AVec<f32>,
}

/// Empty buffers.
impl Default for PanelScratch {
    fn default() -> Self {
        let [values, slopes, deltas, transposed] = [const { Vec::new() }; 4];
        let [turned, columns, losses] = [zeros(0), zeros(0), zeros(0)];
        Self { values, slopes, deltas, transposed, turned, offsets: Vec::new(), columns, losses }
    }
}

fn zeros(length: usize) -> AVec<f32> {
    AVec::from_iter(64, std::iter::repeat_n(0.0, length))
}

/// Even chunks of at most [`CHUNK`] rows: rows of each, the last one's may be fewer.
fn chunk(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(CHUNK)).next_multiple_of(tile::ROWS)
}

impl PanelNetwork {
    /// Lays out weights and data of `network`, whose model is the perceptron `model`.
    pub fn new(network: &problem::Network, model: &Perceptron) -> Self {
        let layout = Layout::new(model);
        let data = &network.data;
        let depth = layout.layers.first().map_or(0, |layer| layer.depth);
        let mut inputs = zeros(data.samples() * depth);
        for (padded, row) in inputs.chunks_exact_mut(depth).zip(data.inputs.chunks_exact(data.features())) {
            padded[..data.features()].copy_from_slice(row);
        }
        Self {
            layout,
            activation: model.activation,
            loss: network.loss,
            inputs,
            labels: data.labels.clone(),
            all: (0..data.samples() as u32).collect(),
        }
    }

    /// Columns of the data, padded.
    fn features(&self) -> usize {
        self.layout.layers.first().map_or(0, |layer| layer.depth)
    }

    /// Buffers for gradients over `rows` rows.
    pub fn scratch(&self, rows: usize) -> PanelScratch {
        let chunk = chunk(rows).next_multiple_of(PANEL);
        let layers = &self.layout.layers;
        let keeps_slopes = |index: usize| self.activation == Activation::Gelu && index + 1 < layers.len();
        let per_layer = |room: &dyn Fn(usize, &PanelLayer) -> usize| {
            layers.iter().enumerate().map(|(index, layer)| zeros(room(index, layer))).collect::<Vec<_>>()
        };
        PanelScratch {
            values: per_layer(&|_, layer| chunk * layer.width),
            slopes: per_layer(&|index, layer| if keeps_slopes(index) { chunk * layer.width } else { 0 }),
            deltas: per_layer(&|_, layer| chunk * layer.width),
            transposed: per_layer(&|index, layer| if index > 0 { layer.depth * layer.width } else { 0 }),
            turned: zeros(layers.iter().map(|layer| layer.depth * PANEL).max().unwrap_or(0)),
            offsets: vec![0; chunk],
            columns: zeros(layers.last().map_or(0, |layer| layer.width * PANEL)),
            losses: zeros(chunk),
        }
    }

    /// Mean loss over `rows` (numbers of samples; all where `None`) at `weights` (in panels); its gradient goes to
    /// `gradient`. No weight decay in either.
    #[inline(always)]
    pub fn loss_and_gradient<S: Simd>(
        &self,
        simd: S,
        weights: &[f32],
        rows: Option<&[u32]>,
        scratch: &mut PanelScratch,
        gradient: &mut [f32],
    ) -> f32 {
        let layers = &self.layout.layers;
        for (layer, transposed) in layers.iter().zip(&mut scratch.transposed).skip(1) {
            transpose_layer(simd, layer, weights, transposed);
        }
        let rows = rows.unwrap_or(&self.all);
        let scale = 1.0 / rows.len() as f32;
        let mut loss = 0.0;
        for (index, numbers) in rows.chunks(chunk(rows.len())).enumerate() {
            // The last tile may have rows beyond the batch; they hold some sample, and their results are ignored.
            scratch.offsets.fill(0);
            let features = self.features();
            scratch.offsets.iter_mut().zip(numbers).for_each(|(offset, row)| *offset = *row as usize * features);
            let height = numbers.len().next_multiple_of(tile::ROWS);
            self.forward(simd, weights, height, scratch);
            loss += self.loss(simd, numbers, scale, scratch);
            self.backward(simd, numbers.len(), scratch, gradient, index == 0);
        }
        loss * scale
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, weights: &[f32], height: usize, scratch: &mut PanelScratch) {
        let PanelScratch { values, slopes, offsets, .. } = scratch;
        let last = self.layout.layers.len() - 1;
        for (index, layer) in self.layout.layers.iter().enumerate() {
            let (below, here) = values.split_at_mut(index);
            let bias = &weights[layer.bias..][..layer.width];
            let epilogue = &mut Forward { bias, values: &mut here[0] };
            let panels =
                Panels { data: &weights[layer.weight..layer.bias], stride: layer.stride(), width: layer.width };
            match below.last() {
                None => {
                    let inputs = Rows { data: &self.inputs, starts: At(offsets), width: layer.inputs };
                    product(simd, height, inputs, panels, epilogue);
                }
                Some(below) => {
                    let below = Rows { data: below, starts: Every(layer.depth), width: layer.inputs };
                    product(simd, height, below, panels, epilogue);
                }
            }
            if index < last {
                let (values, slopes) = (&mut here[0][..height * layer.width], &mut slopes[index]);
                // One loop for each activation: the choice stays outside.
                match self.activation {
                    Activation::Tanh => activate::<S, curve::Tanh>(simd, values, slopes),
                    Activation::Relu => activate::<S, curve::Relu>(simd, values, slopes),
                    Activation::LeakyRelu => activate::<S, curve::LeakyRelu>(simd, values, slopes),
                    Activation::Gelu => activate::<S, curve::Gelu>(simd, values, slopes),
                }
            }
        }
    }

    /// The gradient with respect to the outputs goes to the last layer's deltas; returns the sum of losses over rows.
    #[inline(always)]
    fn loss<S: Simd>(&self, simd: S, numbers: &[u32], scale: f32, scratch: &mut PanelScratch) -> f32 {
        let PanelScratch { values, deltas, columns, losses, .. } = scratch;
        let (Some(layer), Some(outputs), Some(deltas)) = (self.layout.layers.last(), values.last(), deltas.last_mut())
        else {
            return 0.0;
        };
        let width = layer.width;
        let label = |row: usize| self.labels[numbers[row] as usize] as usize;
        match self.loss {
            Loss::Ce => {
                // Sixteen rows at a time, transposed so that a vector holds one class of all of them.
                for first in (0..numbers.len()).step_by(PANEL) {
                    for panel in (0..width).step_by(PANEL) {
                        transpose(simd, &outputs[first * width + panel..], width, &mut columns[panel * PANEL..], PANEL);
                    }
                    softmax(simd, layer.outputs, scale, columns, &mut losses[first..]);
                    for panel in (0..width).step_by(PANEL) {
                        transpose(simd, &columns[panel * PANEL..], PANEL, &mut deltas[first * width + panel..], width);
                    }
                }
                for (row, loss) in losses[..numbers.len()].iter_mut().enumerate() {
                    let at = row * width + label(row);
                    *loss -= outputs[at];
                    deltas[at] -= scale;
                }
            }
            Loss::Mse => {
                for (row, loss) in losses[..numbers.len()].iter_mut().enumerate() {
                    let delta = &mut deltas[row * width..][..width];
                    delta.copy_from_slice(&outputs[row * width..][..width]);
                    delta[label(row)] -= 1.0;
                    let mut squares = 0.0;
                    for error in delta {
                        squares += *error * *error;
                        *error *= scale;
                    }
                    *loss = 0.5 * squares;
                }
            }
        }
        ordered_sum(numbers.len(), |row| losses[row])
    }

    /// Adds the chunk's share to `gradient`, or replaces what was there where `fresh`.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, rows: usize, scratch: &mut PanelScratch, gradient: &mut [f32], fresh: bool) {
        let PanelScratch { values, slopes, deltas, transposed, turned, offsets, .. } = scratch;
        for (index, layer) in self.layout.layers.iter().enumerate().rev() {
            let (below, here) = deltas.split_at_mut(index);
            let delta = &here[0][..];
            let (weight, bias) =
                gradient[layer.weight..layer.bias + layer.width].split_at_mut(layer.bias - layer.weight);
            column_sums(simd, &delta[..rows * layer.width], bias, fresh);
            let delta = Rows { data: delta, starts: Every(layer.width), width: layer.width };
            let Some(below) = below.last_mut() else {
                let inputs = Rows { data: &self.inputs, starts: At(offsets), width: layer.depth };
                weight_gradient(simd, rows, inputs, delta, weight, turned, fresh);
                return;
            };
            let value = &values[index - 1][..];
            let inputs = Rows { data: value, starts: Every(layer.depth), width: layer.depth };
            weight_gradient(simd, rows, inputs, delta, weight, turned, fresh);
            let (slopes, transposed) = (&slopes[index - 1][..], &transposed[index][..]);
            match self.activation {
                Activation::Tanh => {
                    backward_layer::<S, curve::Tanh>(simd, layer, rows, delta, transposed, value, below)
                }
                Activation::Relu => {
                    backward_layer::<S, curve::Relu>(simd, layer, rows, delta, transposed, value, below)
                }
                Activation::LeakyRelu => {
                    backward_layer::<S, curve::LeakyRelu>(simd, layer, rows, delta, transposed, value, below);
                }
                Activation::Gelu => {
                    backward_layer::<S, curve::Gelu>(simd, layer, rows, delta, transposed, slopes, below)
                }
            }
        }
    }
}

/// Adds delta^T H to a layer's gradient, in panels, or replaces what was there where `fresh`. A single panel is as wide as
/// one vector: two vectors of inputs by the outputs keep the multipliers busier, and the result is transposed.
#[inline(always)]
fn weight_gradient<S: Simd>(
    simd: S,
    rows: usize,
    input: Rows<impl Starts>,
    delta: Rows<Every>,
    gradient: &mut [f32],
    turned: &mut [f32],
    fresh: bool,
) {
    if delta.width > PANEL || input.width == PANEL {
        return tile::outer_product(simd, rows, input, delta, gradient, fresh);
    }
    tile::outer_product(simd, rows, delta, input, turned, true);
    for (from, to) in turned.chunks_exact(PANEL * PANEL).zip(gradient.chunks_exact_mut(PANEL * PANEL)) {
        if fresh {
            transpose(simd, from, PANEL, to, PANEL);
        } else {
            let mut block = [0.0; PANEL * PANEL];
            transpose(simd, from, PANEL, &mut block, PANEL);
            to.iter_mut().zip(&block).for_each(|(sum, share)| *sum += share);
        }
    }
}

/// Computes the delta of the layer below. `kept` is what its activation keeps.
#[inline(always)]
fn backward_layer<S: Simd, C: Curve>(
    simd: S,
    layer: &PanelLayer,
    rows: usize,
    delta: Rows<Every>,
    transposed: &[f32],
    kept: &[f32],
    below: &mut [f32],
) {
    let panels = Panels { data: transposed, stride: layer.width * PANEL, width: layer.depth };
    let epilogue = &mut Backward { kept, below, width: layer.depth, curve: PhantomData::<C> };
    let delta = Rows { width: layer.outputs, ..delta };
    product(simd, rows.next_multiple_of(tile::ROWS), delta, panels, epilogue);
}

/// `columns` holds one class of [`PANEL`] rows after the other and becomes `scale` softmax; `losses` the logarithm of the
/// sum of their exponentials.
#[inline(always)]
fn softmax<S: Simd>(simd: S, classes: usize, scale: f32, columns: &mut [f32], losses: &mut [f32]) {
    for lane in (0..PANEL).step_by(S::F32_LANES) {
        let mut largest = load::<S>(columns, lane);
        for class in 1..classes {
            largest = simd.max_f32s(largest, load::<S>(columns, class * PANEL + lane));
        }
        let mut total = simd.splat_f32s(0.0);
        for class in 0..classes {
            let at = class * PANEL + lane;
            let below = simd.sub_f32s(load::<S>(columns, at), largest);
            let weight = elementary::exp_of_negative(simd, below);
            total = simd.add_f32s(total, weight);
            store::<S>(columns, at, weight);
        }
        let factor = simd.div_f32s(simd.splat_f32s(scale), total);
        for class in 0..classes {
            let at = class * PANEL + lane;
            store::<S>(columns, at, simd.mul_f32s(load::<S>(columns, at), factor));
        }
        store::<S>(losses, lane, simd.add_f32s(elementary::ln(simd, total), largest));
    }
}

/// Sums of the columns of `delta` (rows x width), four rows at a time in sums of their own.
#[inline(always)]
fn column_sums<S: Simd>(simd: S, delta: &[f32], sums: &mut [f32], fresh: bool) {
    let width = sums.len();
    let rows = delta.len() / width;
    for column in (0..width).step_by(S::F32_LANES) {
        let mut partial = [simd.splat_f32s(0.0); 4];
        if !fresh {
            partial[0] = load::<S>(sums, column);
        }
        for row in (0..rows - rows % 4).step_by(4) {
            for (i, partial) in partial.iter_mut().enumerate() {
                *partial = simd.add_f32s(*partial, load::<S>(delta, (row + i) * width + column));
            }
        }
        for row in rows - rows % 4..rows {
            partial[0] = simd.add_f32s(partial[0], load::<S>(delta, row * width + column));
        }
        let [a, b, c, d] = partial;
        store::<S>(sums, column, simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)));
    }
}

/// W of a layer in panels of inputs, one row for every output, from its panels of outputs.
#[inline(always)]
fn transpose_layer<S: Simd>(simd: S, layer: &PanelLayer, weights: &[f32], transposed: &mut [f32]) {
    for output in (0..layer.width).step_by(PANEL) {
        for input in (0..layer.depth).step_by(PANEL) {
            let from = &weights[layer.weight + output * layer.depth + input * PANEL..];
            transpose(simd, from, PANEL, &mut transposed[input * layer.width + output * PANEL..], PANEL);
        }
    }
}
