//! `conv`: the convolution of images with a kernel for every output channel, and its gradients.
//!
//! A convolution is a product with a matrix that repeats pixels: row (channel, y, x) of a window, column (sample, place of the
//! window). The CPU writes that matrix out for some samples at a time, so that it stays in the cache.
//! The device looks up every element where the product wants it:
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

use super::tile::{self, Tile};
use super::{Batch, Call, Kernel, LANE_STEP, LaneStep, TILES, codes, read, read_write, reduce, shader, shared_struct};
use crate::math::{Number, Shape, View, Window, ordered_sum};

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

/// Columns of the written-out matrix, about.
const COLUMNS: usize = 512;

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
    /// (input channels kernel^2) x columns
    windows: Vec<T>,
    /// output channels x columns
    outputs: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { windows: Vec::new(), outputs: Vec::new() }
    }
}

impl Convolution {
    /// Numbers of a window, all channels.
    pub fn depth(&self) -> usize {
        self.input.channels * self.window.pixels()
    }

    /// Samples at a time.
    fn together(&self) -> usize {
        (COLUMNS / self.output.pixels()).max(1)
    }

    /// Numbers of a [`Scratch`].
    pub fn scratch(&self) -> usize {
        (self.depth() + self.output.channels) * self.together() * self.output.pixels()
    }

    /// Calls `each` for every row of the written-out matrix, with the part of it that is inside the image: the first of
    /// its places across, and their number; where in the image the first lies.
    fn pieces(&self, mut each: impl FnMut(Piece)) {
        let Self { input, output, window: Window { kernel, stride, padding } } = *self;
        for row in 0..self.depth() {
            let (channel, down, right) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            // Places whose pixel lies in the image: padding <= place stride + right < padding + width.
            let first = padding.saturating_sub(right).div_ceil(stride);
            let last = (padding + input.width).saturating_sub(right).div_ceil(stride).min(output.width);
            for y in 0..output.height {
                let Some(line) = (y * stride + down).checked_sub(padding).filter(|line| *line < input.height) else {
                    continue;
                };
                if first < last {
                    let image = (channel * input.height + line) * input.width + first * stride + right - padding;
                    each(Piece { row, place: y * output.width + first, image, count: last - first });
                }
            }
        }
    }

    /// Writes out the windows of `samples` images.
    fn write_out<T: Number>(&self, images: &[T], samples: usize, windows: &mut Vec<T>) {
        let columns = samples * self.output.pixels();
        windows.clear();
        windows.resize(self.depth() * columns, T::zero());
        for (sample, image) in images.chunks_exact(self.input.elements()).enumerate() {
            let before = sample * self.output.pixels();
            self.pieces(|piece| {
                let there = &mut windows[piece.row * columns + before + piece.place..][..piece.count];
                if self.window.stride == 1 {
                    there.copy_from_slice(&image[piece.image..][..piece.count]);
                } else {
                    let pixels = image[piece.image..].iter().step_by(self.window.stride);
                    there.iter_mut().zip(pixels).for_each(|(there, pixel)| *there = *pixel);
                }
            });
        }
    }

    /// Adds the windows of `samples` images to where they were taken from.
    fn add_back<T: Number>(&self, windows: &[T], samples: usize, images: &mut [T]) {
        let columns = samples * self.output.pixels();
        for (sample, image) in images.chunks_exact_mut(self.input.elements()).enumerate() {
            let before = sample * self.output.pixels();
            self.pieces(|piece| {
                let here = &windows[piece.row * columns + before + piece.place..][..piece.count];
                if self.window.stride == 1 {
                    let pixels = &mut image[piece.image..][..piece.count];
                    pixels.iter_mut().zip(here).for_each(|(pixel, here)| *pixel += *here);
                } else {
                    let pixels = image[piece.image..].iter_mut().step_by(self.window.stride);
                    pixels.zip(here).for_each(|(pixel, here)| *pixel += *here);
                }
            });
        }
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
        let (channels, pixels) = (self.output.channels, self.output.pixels());
        let images = input.chunks(self.together() * self.input.elements());
        for (images, output) in images.zip(output.chunks_mut(self.together() * self.output.elements())) {
            let samples = images.len() / self.input.elements();
            let columns = samples * pixels;
            let Scratch { windows, outputs } = scratch;
            self.write_out(images, samples, windows);
            outputs.resize(channels * columns, T::zero());
            let (weight, windows) = (View::rows(weight, self.depth()), View::rows(&windows[..], columns));
            T::product([channels, self.depth(), columns], weight, windows, false, outputs);
            for (sample, output) in output.chunks_exact_mut(self.output.elements()).enumerate() {
                for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
                    let sums = &outputs[channel * columns + sample * pixels..][..pixels];
                    let bias = bias.map_or(T::zero(), |bias| bias[channel]);
                    plane.iter_mut().zip(sums).for_each(|(z, sum)| *z = *sum + bias);
                }
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
        mut below: Option<&mut [T]>,
        scratch: &mut Scratch<T>,
    ) {
        let (channels, pixels, depth) = (self.output.channels, self.output.pixels(), self.depth());
        if let Some(below) = &mut below {
            below.fill(T::zero());
        }
        let mut done = 0;
        let images = input.chunks(self.together() * self.input.elements());
        for (images, delta) in images.zip(delta.chunks(self.together() * self.output.elements())) {
            let samples = images.len() / self.input.elements();
            let columns = samples * pixels;
            let Scratch { windows, outputs } = scratch;
            self.write_out(images, samples, windows);
            outputs.resize(channels * columns, T::zero());
            for (sample, delta) in delta.chunks_exact(self.output.elements()).enumerate() {
                for (channel, plane) in delta.chunks_exact(pixels).enumerate() {
                    outputs[channel * columns + sample * pixels..][..pixels].copy_from_slice(plane);
                }
            }
            let turned = View::transposed(&windows[..], columns);
            let deltas = View::rows(&outputs[..], columns);
            T::product([channels, columns, depth], deltas, turned, done > 0, weight_gradient);
            if let Some(below) = &mut below {
                windows.resize(depth * columns, T::zero());
                let weight = View::transposed(weight, depth);
                T::product([depth, channels, columns], weight, View::rows(&outputs[..], columns), false, windows);
                self.add_back(windows, samples, &mut below[done * self.input.elements()..][..images.len()]);
            }
            done += samples;
        }
        if let Some(bias_gradient) = bias_gradient {
            bias_gradient.fill(T::zero());
            for sample in delta.chunks_exact(self.output.elements()) {
                for (sum, plane) in bias_gradient.iter_mut().zip(sample.chunks_exact(pixels)) {
                    *sum += ordered_sum(pixels, |i| plane[i]);
                }
            }
        }
    }
}

/// Part of a row of the written-out matrix: places beside each other in one line of the image.
struct Piece {
    row: usize,
    place: usize,
    image: usize,
    count: usize,
}
