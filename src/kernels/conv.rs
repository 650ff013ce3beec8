//! `conv`: the convolution of images with a kernel for every output channel, and its gradients.
//!
//! A convolution is a product with a matrix that repeats pixels: row (channel, y, x) of a window, column (sample, place of the
//! window). On the processor f32 reads the windows where they lie (`direct`); other numbers write that matrix out for some samples
//! at a time (`windows`), which is the reference. The device looks up every element where the product wants it:
//!
//! | product | A | B | C |
//! | --- | --- | --- | --- |
//! | forward | windows, (sample, place) x (channel, y, x) | W^T | the output, plus the bias |
//! | backward | deltas of the places whose windows cover a pixel, (sample, pixel) x (output, y, x) | W | the delta below |
//! | gradient | delta^T, output x (sample, place) | windows | the gradient of W; one more column is that of the bias |
//!
//! The gradient's inner dimension is cut into slices, for workgroups of their own, which `reduce` adds up. How many depends on
//! the layer and its rows alone.
//!
//! Bindings of `conv.wgsl`; images lie as in PyTorch, sample by sample and channel by channel:
//! - `lane_steps`: steps x lanes
//! - `a`: lanes x rows x the shape that is slid over; of the gradient the delta
//! - `b`: the weights, read at the lane's read slot; of the gradient the input, lanes x rows x shape
//! - `c`: lanes x rows x shape; the gradient goes straight into the flat one, lanes x P, or by slices, lanes x slices x C

mod direct;
mod groups;
mod windows;

use super::tile::{self, Tile};
use super::{Batch, Call, Kernel, LANE_STEP, LaneStep, TILES, codes, read, read_write, reduce, shader, shared_struct};
use crate::math::vector::Pieces;
use crate::math::{Number, Shape, Window};

shared_struct! {
    /// Immediates of `conv.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        pub rows: u32,
        pub channels: u32,
        pub height: u32,
        pub width: u32,
        pub outputs: u32,
        pub out_height: u32,
        pub out_width: u32,
        pub padding: u32,
        pub version_lane_stride: u32,
        pub version_slot_stride: u32,
        /// Where weight and bias begin in a version.
        pub weight: u32,
        /// 1 where there is a bias.
        pub biased: u32,
        pub bias: u32,
        /// P.
        pub parameters: u32,
        pub slices: u32,
        /// Inner elements of a slice, a multiple of the tiles' depth where there are several.
        pub slice: u32,
    }
}

pub const KERNEL: Kernel = Kernel {
    name: "conv",
    files: &[shader!("conv.wgsl"), LANE_STEP, TILES],
    bindings: &[read("lane_steps"), read("a"), read("b"), read_write("c")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Product::CODES],
    constants: &[("DEPTH", tile::DEPTH as f64)],
    variants: &[
        "THREADS_X",
        "THREADS_Y",
        "ACROSS",
        "DOWN",
        "PARTS",
        "A_LOADS",
        "B_LOADS",
        "PRODUCT",
        "KERNEL",
        "STRIDE",
    ],
};

/// Inner elements of a slice of the gradient, about.
const SLICE: usize = 1024;

/// Numbers that all slices together leave in a lane at most.
const MOST_PARTIALS: usize = 1 << 19;

/// One convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Shape of a sample.
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
}

/// The three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub enum Product {
    Forward,
    Backward,
    Gradient,
}

codes!(Product { FORWARD: Self::Forward, BACKWARD: Self::Backward, GRADIENT: Self::Gradient });

/// A convolution in a wave: its shape, and where its parameters lie in the flat vector of each weight version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub batch: Batch,
    pub convolution: Convolution,
    pub weight: usize,
    pub bias: Option<usize>,
}

impl Layer {
    /// Rows, columns and inner dimension.
    pub fn extent(&self, product: Product) -> [usize; 3] {
        let Convolution { input, output, window } = self.convolution;
        let rows = self.batch.rows;
        match product {
            Product::Forward => [rows * output.pixels(), output.channels, self.convolution.depth()],
            Product::Backward => [rows * input.pixels(), input.channels, output.channels * window.pixels()],
            Product::Gradient => {
                let columns = self.convolution.depth() + usize::from(self.bias.is_some());
                [output.channels, columns, rows * output.pixels()]
            }
        }
    }

    /// Into how many slices the inner dimension of a product is cut, and how long each is but the last.
    pub fn slices(&self, product: Product) -> [usize; 2] {
        let [rows, columns, inner] = self.extent(product);
        if product != Product::Gradient {
            return [1, inner];
        }
        let most = (MOST_PARTIALS / (rows * columns)).max(1);
        let length = inner.div_ceil(inner.div_ceil(SLICE).min(most)).next_multiple_of(tile::DEPTH as usize);
        [inner.div_ceil(length), length]
    }

    /// Numbers that slices of the gradient leave in a lane; none where there is one slice.
    pub fn partials(&self) -> usize {
        let ([rows, columns, _], [slices, _]) = (self.extent(Product::Gradient), self.slices(Product::Gradient));
        if slices == 1 { 0 } else { slices * rows * columns }
    }

    pub fn params(&self, product: Product) -> Params {
        let Self { batch, convolution: Convolution { input, output, window }, .. } = *self;
        let [version_lane_stride, version_slot_stride] = batch.version_strides();
        let [slices, slice] = self.slices(product);
        Params {
            step: 0,
            lanes: batch.lanes as u32,
            rows: batch.rows as u32,
            channels: input.channels as u32,
            height: input.height as u32,
            width: input.width as u32,
            outputs: output.channels as u32,
            out_height: output.height as u32,
            out_width: output.width as u32,
            padding: window.padding as u32,
            version_lane_stride,
            version_slot_stride,
            weight: self.weight as u32,
            biased: u32::from(self.bias.is_some()),
            bias: self.bias.unwrap_or(0) as u32,
            parameters: batch.parameters as u32,
            slices: slices as u32,
            slice: slice as u32,
        }
    }

    pub fn tile(&self, product: Product) -> Tile {
        let [rows, columns, _] = self.extent(product);
        Tile::for_shape(rows as u32, columns as u32)
    }

    /// The values of [`KERNEL`]'s variants.
    pub fn variant(&self, product: Product) -> [(&'static str, f64); 10] {
        let Window { kernel, stride, .. } = self.convolution.window;
        let [x, y, across, down, parts, a, b] = self.tile(product).variant();
        let code = f64::from(product.code());
        [x, y, across, down, parts, a, b, ("PRODUCT", code), ("KERNEL", kernel as f64), ("STRIDE", stride as f64)]
    }

    pub fn workgroups(&self, product: Product) -> [u32; 3] {
        let ([rows, columns, _], [slices, _]) = (self.extent(product), self.slices(product));
        self.tile(product).workgroups(rows as u32, columns as u32, (self.batch.lanes * slices) as u32)
    }

    /// One of the three products. `buffers`: lane_steps, a, b, c.
    pub fn call<B>(&self, product: Product, buffers: [B; 4]) -> Call<B> {
        let (variant, workgroups) = (self.variant(product), self.workgroups(product));
        let iterations = self.tile(product).iterations(self.slices(product)[1]);
        Call::new(&KERNEL, &variant, buffers, &self.params(product), workgroups, iterations)
    }

    /// Adds up the slices of the gradient; nothing where there is one slice. `buffers`: lane_steps, partials, gradient.
    pub fn reduce<B>(&self, buffers: [B; 3]) -> Option<Call<B>> {
        let ([rows, ..], [slices, _]) = (self.extent(Product::Gradient), self.slices(Product::Gradient));
        let params = reduce::Params {
            step: 0,
            lanes: self.batch.lanes as u32,
            slices: slices as u32,
            rows: rows as u32,
            columns: self.convolution.depth() as u32,
            biased: u32::from(self.bias.is_some()),
            weight: self.weight as u32,
            bias: self.bias.unwrap_or(0) as u32,
            parameters: self.batch.parameters as u32,
        };
        (slices > 1).then(|| reduce::call(&params, buffers))
    }
}

/// Buffers of a convolution of any shape.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    windows: windows::Scratch<T>,
    direct: direct::Scratch,
    /// How whatever uses it runs.
    pub pieces: Pieces,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { windows: windows::Scratch::default(), direct: direct::Scratch::default(), pieces: Pieces::default() }
    }
}

impl Convolution {
    /// Numbers of a window, all channels.
    pub fn depth(&self) -> usize {
        self.input.channels * self.window.pixels()
    }

    /// Numbers of a [`Scratch`], at most.
    pub fn scratch(&self) -> usize {
        self.windows_scratch().max(self.direct_scratch())
    }

    /// `output` (rows x output) of `input` (rows x input), `weight` (output channels x depth) and `bias` (output channels).
    pub fn forward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: Option<&[T]>,
        output: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let numbers = T::f32s(input).zip(T::f32s(weight));
        let rows = input.len() / self.input.elements();
        match numbers.filter(|_| self.is_direct(rows)).zip(T::f32s_mut(output)) {
            Some(((input, weight), output)) => {
                self.forward_direct(input, weight, bias.and_then(T::f32s), output, &mut scratch.direct, scratch.pieces);
            }
            None => {
                let Scratch { windows, pieces, .. } = scratch;
                self.forward_by_windows(input, weight, bias, output, windows, pieces.parallel);
            }
        }
    }

    /// From `delta` (rows x output): the gradients of `weight` and `bias` and, where `below` is asked for, the delta of the
    /// input (rows x input).
    #[expect(clippy::too_many_arguments, reason = "a gradient has as many parts as the layer")]
    pub fn backward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        delta: &[T],
        weight_gradient: &mut [T],
        bias_gradient: Option<&mut [T]>,
        below: Option<&mut [T]>,
        scratch: &mut Scratch<T>,
    ) {
        let is_direct = self.is_direct_back(input.len() / self.input.elements(), below.is_some());
        if let (true, Some(input), Some(weight), Some(delta)) =
            (is_direct, T::f32s(input), T::f32s(weight), T::f32s(delta))
        {
            let known = "numbers of one kind";
            let [weight_gradient, bias_gradient, below] =
                [Some(weight_gradient), bias_gradient, below].map(|to| to.map(|to| T::f32s_mut(to).expect(known)));
            let gradients = direct::Gradients { weight: weight_gradient.expect(known), bias: bias_gradient, below };
            return self.backward_direct(input, weight, delta, gradients, &mut scratch.direct, scratch.pieces);
        }
        let Scratch { windows, pieces, .. } = scratch;
        self.backward_by_windows(input, weight, delta, weight_gradient, bias_gradient, below, windows, pieces.parallel);
    }
}
