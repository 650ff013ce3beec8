//! `conv`: the convolution of images with a kernel for every output channel, and its gradients.
//!
//! A convolution is a product with a matrix that repeats pixels: row (channel, y, x) of a window, column (sample, place of the
//! window). The processor reads the windows where they lie (`planar`) or, where many channels make better use of a library's products,
//! writes that matrix out for some samples at a time (`windows`), which is the reference. The device looks up every element where the
//! product wants it:
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

mod dual;
mod groups;
mod planar;
mod windows;

use super::tile::{self, Tile};
use super::{Batch, Call, Kernel, LANE_STEP, LaneStep, TILES, codes, read, read_write, reduce, shader, shared_struct};
use crate::math::vector::{Element, Pieces};
use crate::math::{Activation, Kind, Number, Shape, Window};

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

/// Multiplications from which on threads share a convolution: some hundred microseconds.
const SHARED: usize = 1 << 22;

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

/// Buffers of convolutions of any shape and any numbers.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    singles: Buffers<f32>,
    doubles: Buffers<f64>,
    /// How whatever uses it runs.
    pub pieces: Pieces,
}

/// Buffers of convolutions in one precision.
#[derive(Clone, Debug, Default)]
struct Buffers<T> {
    windows: windows::Scratch<T>,
    planar: planar::Scratch<T>,
}

/// What the way forward through a convolution reads and writes.
pub struct Forward<'a, T> {
    /// rows x input
    pub input: &'a [T],
    /// output channels x depth
    pub weight: &'a [T],
    /// output channels
    pub bias: Option<&'a [T]>,
    /// What is done with every number that is made.
    pub then: Option<Activation>,
    /// rows x output
    pub output: &'a mut [T],
}

/// What the way back through a convolution reads and writes.
pub struct Backward<'a, T> {
    /// rows x input
    pub input: &'a [T],
    /// output channels x depth
    pub weight: &'a [T],
    /// Gradient of the loss with respect to the output, rows x output.
    pub delta: &'a [T],
    /// Gradient of the weight, output channels x depth.
    pub of_weight: &'a mut [T],
    /// Gradient of the bias, output channels.
    pub of_bias: Option<&'a mut [T]>,
    /// Gradient with respect to the input, rows x input, where it is asked for.
    pub below: Option<&'a mut [T]>,
}

/// The same numbers as those of another type that they are known to have.
fn same<T: Number, U: Number>(numbers: &[T]) -> &[U] {
    U::of_kind(T::kind(numbers)).expect("numbers of one kind")
}

/// [`same`], to be written.
fn same_mut<T: Number, U: Number>(numbers: &mut [T]) -> &mut [U] {
    U::of_kind_mut(T::kind_mut(numbers)).expect("numbers of one kind")
}

impl<'a, T: Number> Forward<'a, T> {
    /// The same numbers.
    fn into_kind<U: Number>(self) -> Forward<'a, U> {
        let Self { input, weight, bias, then, output } = self;
        Forward { input: same(input), weight: same(weight), bias: bias.map(same), then, output: same_mut(output) }
    }
}

impl<'a, T: Number> Backward<'a, T> {
    /// The same numbers.
    fn into_kind<U: Number>(self) -> Backward<'a, U> {
        let Self { input, weight, delta, of_weight, of_bias, below } = self;
        Backward {
            input: same(input),
            weight: same(weight),
            delta: same(delta),
            of_weight: same_mut(of_weight),
            of_bias: of_bias.map(same_mut),
            below: below.map(same_mut),
        }
    }
}

impl Convolution {
    /// Numbers of a window, all channels.
    pub fn depth(&self) -> usize {
        self.input.channels * self.window.pixels()
    }

    /// Numbers of a [`Scratch`], at most.
    pub fn scratch(&self) -> usize {
        self.windows_scratch().max(self.planar_scratch())
    }

    /// Whether threads share the work on so many numbers of input: where it takes much longer than to wake them.
    fn shared(&self, numbers: usize, pieces: Pieces) -> Pieces {
        let products = numbers / self.input.elements() * self.output.elements() * self.depth();
        Pieces { parallel: pieces.parallel && products >= SHARED, ..pieces }
    }

    /// Computes the output.
    pub fn forward<T: Number>(&self, at: Forward<T>, scratch: &mut Scratch) {
        let Scratch { singles, doubles, pieces } = scratch;
        match T::kind(at.input) {
            Kind::F32(_) => self.forward_in::<f32>(at.into_kind(), singles, *pieces),
            Kind::F64(_) => self.forward_in::<f64>(at.into_kind(), doubles, *pieces),
            Kind::Dual(_) => self.forward_dual(at.into_kind(), doubles, *pieces),
        }
    }

    fn forward_in<T: Element>(&self, at: Forward<T>, buffers: &mut Buffers<T>, pieces: Pieces) {
        let pieces = self.shared(at.input.len(), pieces);
        if self.is_planar(at.input.len() / self.input.elements()) {
            self.forward_planar(at, &mut buffers.planar, pieces);
        } else {
            self.forward_by_windows(at, &mut buffers.windows, pieces.parallel);
        }
    }

    /// Computes the gradients of weight and bias and, where it is asked for, that with respect to the input.
    pub fn backward<T: Number>(&self, at: Backward<T>, scratch: &mut Scratch) {
        let Scratch { singles, doubles, pieces } = scratch;
        match T::kind(at.input) {
            Kind::F32(_) => self.backward_in::<f32>(at.into_kind(), singles, *pieces),
            Kind::F64(_) => self.backward_in::<f64>(at.into_kind(), doubles, *pieces),
            Kind::Dual(_) => self.backward_dual(at.into_kind(), doubles, *pieces),
        }
    }

    fn backward_in<T: Element>(&self, at: Backward<T>, buffers: &mut Buffers<T>, pieces: Pieces) {
        let pieces = self.shared(at.input.len(), pieces);
        if self.is_planar_back(at.input.len() / self.input.elements()) {
            self.backward_planar(at, &mut buffers.planar, pieces);
        } else {
            self.backward_by_windows(at, &mut buffers.windows, pieces.parallel);
        }
    }
}
