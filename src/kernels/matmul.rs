//! `matmul`: C = A B with one of several epilogues; every product that backpropagation and Newton-Schulz steps
//! ([`super::spectral`]) need, transposes by strides.
//!
//! For a dense layer with weights W (outputs x inputs, PyTorch's layout), bias b, input rows H and output slope S = a'(Z):
//!
//! | product | A | B | epilogue |
//! | --- | --- | --- | --- |
//! | forward | H, rows x inputs | W^T | `z + b`, then activation: writes a(z) and a'(z) |
//! | backward | delta, rows x outputs | W | times the slope of the layer below |
//! | gradient | delta^T, outputs x rows | H | none; one more column, the sum over rows, is the bias gradient |
//!
//! A layer without a bias, or whose activation stands by itself, takes its products as they are.
//!
//! Bindings of `matmul.wgsl`:
//! - `lane_steps`: steps x lanes
//! - `a`, `b`: the operands, seen through strides; one with versions (the weights) is read at the lane's read slot
//! - `c`: the product, lanes x rows x columns; the gradient goes straight into the flat one, lanes x P
//! - `slope`: lanes x rows x columns; written forward, read backward, untouched by the gradient

use super::tile::{self, Tile};
use super::{
    ACTIVATION, Call, Constant, Kernel, LANE_STEP, LaneStep, TILES, codes, read, read_write, shader, shared_struct,
};
use crate::math::vector::Pieces;
use crate::math::{Activation, LEAKY_SLOPE, NEWTON_SCHULZ, Number, View, product};

shared_struct! {
    /// A matrix of every lane inside one buffer: element (i, k) of a lane's version lies at offset + lane lane_stride +
    /// slot slot_stride + i row_stride + k column_stride. Strides are in elements; lanes that share it have stride 0.
    pub struct Operand {
        pub offset: u32,
        pub lane_stride: u32,
        pub slot_stride: u32,
        pub row_stride: u32,
        pub column_stride: u32,
    }
}

shared_struct! {
    /// Immediates of `matmul.wgsl`: C (rows x columns) = A (rows x inner) B (inner x columns).
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        pub rows: u32,
        pub columns: u32,
        pub inner: u32,
        pub a: Operand,
        pub b: Operand,
        pub c_offset: u32,
        pub c_lane_stride: u32,
        pub c_row_stride: u32,
        /// Forward: where a version's bias begins in B. Gradient: where the bias gradient begins in a lane of C.
        pub bias: u32,
    }
}

pub const KERNEL: Kernel = Kernel {
    name: "matmul",
    files: &[shader!("matmul.wgsl"), LANE_STEP, TILES, ACTIVATION],
    bindings: &[read("lane_steps"), read("a"), read("b"), read_write("c"), read_write("slope")],
    structs: &[LaneStep::LAYOUT, Operand::LAYOUT, Params::LAYOUT],
    codes: &[Epilogue::CODES, Activation::CODES],
    constants: &[
        ("DEPTH", tile::DEPTH as f64),
        ("LEAKY_SLOPE", LEAKY_SLOPE),
        ("POWER_1", NEWTON_SCHULZ[0]),
        ("POWER_3", NEWTON_SCHULZ[1]),
        ("POWER_5", NEWTON_SCHULZ[2]),
    ],
    variants: &[
        "THREADS_X",
        "THREADS_Y",
        "ACROSS",
        "DOWN",
        "PARTS",
        "A_LOADS",
        "B_LOADS",
        "A_BY_COLUMNS",
        "B_BY_COLUMNS",
        "EPILOGUE",
        "ACTIVATION",
    ],
};

/// What happens to a sum on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// Adds the bias and applies the activation, where there is one; writes a(z) and a'(z).
    Forward(Option<Activation>),
    /// Multiplies by the slope of the layer below.
    Backward,
    /// Splits off the last column, which is the bias gradient.
    Gradient,
    /// Leaves it as it is.
    Plain,
    /// The same on the way back, where B is the weights.
    PlainBackward,
    /// b A + c A B, with the coefficients of a Newton-Schulz step: of A = B = X X^T what X is multiplied by.
    Polynomial,
    /// a B + A B: of what [`Self::Polynomial`] makes, and X, the X of the next step.
    Iterate,
}

codes!(Epilogue {
    FORWARD: Self::Forward(None),
    ACTIVATED: Self::Forward(Some(_)),
    BACKWARD: Self::Backward,
    GRADIENT: Self::Gradient,
    PLAIN: Self::Plain,
    PLAIN_BACKWARD: Self::PlainBackward,
    POLYNOMIAL: Self::Polynomial,
    ITERATE: Self::Iterate,
});

/// The values of [`KERNEL`]'s variants. Which way operands lie decides how they are read, not what is.
pub fn variant(tile: Tile, epilogue: Epilogue, params: &Params) -> [Constant; 11] {
    let activation = if let Epilogue::Forward(Some(activation)) = epilogue { activation.code() } else { 0 };
    let [x, y, across, down, parts, a_loads, b_loads] = tile.variant();
    let by_columns = |operand: &Operand| f64::from(u32::from(operand.row_stride == 1 && operand.column_stride != 1));
    let a_by_columns = ("A_BY_COLUMNS", by_columns(&params.a));
    let b_by_columns = ("B_BY_COLUMNS", by_columns(&params.b));
    let epilogue = ("EPILOGUE", f64::from(epilogue.code()));
    let activation = ("ACTIVATION", f64::from(activation));
    [x, y, across, down, parts, a_loads, b_loads, a_by_columns, b_by_columns, epilogue, activation]
}

/// The product that `params` describe. `buffers`: lane_steps, a, b, c, slope.
pub fn call<B>(epilogue: Epilogue, params: &Params, buffers: [B; 5]) -> Call<B> {
    let Params { rows, columns, inner, lanes, .. } = *params;
    let tile = Tile::for_shape(rows, columns);
    let (variant, workgroups) = (variant(tile, epilogue, params), tile.workgroups(rows, columns, lanes));
    Call::new(&KERNEL, &variant, buffers, params, workgroups, tile.iterations(inner as usize))
}

/// A dense layer in a wave: its shape, and where its parameters lie in the flat vector of each weight version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    pub lanes: u32,
    /// Rows of the batch.
    pub rows: u32,
    pub inputs: u32,
    pub outputs: u32,
    /// Offset of the weight (outputs x inputs) in a version.
    pub weight: u32,
    /// Offset of the bias in a version.
    pub bias: u32,
    /// P, the length of a version.
    pub parameters: u32,
    /// Versions in a lane's ring; 0 where all lanes read one version, which has no ring.
    pub slots: u32,
    /// Elements from one lane's input rows to the next one's; 0 where all lanes read the same data.
    pub input_lane_stride: u32,
}

impl Dense {
    /// Z = H W^T + b, rows x outputs.
    pub fn forward(&self) -> Params {
        Params {
            rows: self.rows,
            columns: self.outputs,
            inner: self.inputs,
            a: self.input(),
            b: Operand { row_stride: 1, column_stride: self.inputs, ..self.weights() },
            c_lane_stride: self.rows * self.outputs,
            c_row_stride: self.outputs,
            bias: self.bias,
            ..self.common()
        }
    }

    /// The delta below, rows x inputs, = (delta W) times the slope below.
    pub fn backward(&self) -> Params {
        Params {
            rows: self.rows,
            columns: self.inputs,
            inner: self.outputs,
            a: Operand { row_stride: self.outputs, column_stride: 1, ..self.delta() },
            b: Operand { row_stride: self.inputs, column_stride: 1, ..self.weights() },
            c_lane_stride: self.rows * self.inputs,
            c_row_stride: self.inputs,
            ..self.common()
        }
    }

    /// delta^T H, outputs x inputs, and one more column: delta^T 1.
    pub fn gradient(&self) -> Params {
        Params {
            rows: self.outputs,
            columns: self.inputs + 1,
            inner: self.rows,
            a: Operand { row_stride: 1, column_stride: self.outputs, ..self.delta() },
            b: self.input(),
            c_offset: self.weight,
            c_lane_stride: self.parameters,
            c_row_stride: self.inputs,
            bias: self.bias,
            ..self.common()
        }
    }

    fn common(&self) -> Params {
        Params { lanes: self.lanes, ..Params::default() }
    }

    fn input(&self) -> Operand {
        Operand { lane_stride: self.input_lane_stride, row_stride: self.inputs, column_stride: 1, ..Operand::default() }
    }

    fn delta(&self) -> Operand {
        Operand { lane_stride: self.rows * self.outputs, ..Operand::default() }
    }

    fn weights(&self) -> Operand {
        let lane_stride = self.slots * self.parameters;
        let slot_stride = if self.slots > 1 { self.parameters } else { 0 };
        Operand { offset: self.weight, lane_stride, slot_stride, ..Operand::default() }
    }
}

/// Forward product of one layer. `input` rows x inputs, `weight` outputs x inputs, `bias` outputs; fills `value` and
/// `slope`, rows x outputs. Without an activation (the last layer) `value` is z and `slope` is left alone.
pub fn forward<T: Number>(
    input: &[T],
    weight: &[T],
    bias: &[T],
    activation: Option<Activation>,
    value: &mut [T],
    slope: &mut [T],
) {
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let rows = input.len() / inputs;
    product(rows, inputs, outputs, View::rows(input, inputs), View::transposed(weight, inputs), value);
    for row in value.chunks_exact_mut(outputs) {
        row.iter_mut().zip(bias).for_each(|(z, b)| *z += *b);
    }
    if let Some(activation) = activation {
        let inputs = value.to_vec();
        activation.apply(&inputs, value, slope, Pieces::default());
    }
}

/// Backward product: delta of the layer below, rows x inputs, = (delta W) times `slope` of the layer below.
pub fn backward<T: Number>(delta: &[T], weight: &[T], outputs: usize, slope: &[T], below: &mut [T]) {
    let inputs = weight.len() / outputs;
    let rows = delta.len() / outputs;
    product(rows, outputs, inputs, View::rows(delta, outputs), View::rows(weight, inputs), below);
    for (d, s) in below.iter_mut().zip(slope) {
        *d *= *s;
    }
}

/// Gradient product: `weight_gradient` (outputs x inputs) = delta^T input and `bias_gradient` = column sums of delta.
pub fn gradient<T: Number>(delta: &[T], input: &[T], weight_gradient: &mut [T], bias_gradient: &mut [T]) {
    let outputs = bias_gradient.len();
    let inputs = weight_gradient.len() / outputs;
    let rows = delta.len() / outputs;
    product(outputs, rows, inputs, View::transposed(delta, outputs), View::rows(input, inputs), weight_gradient);
    bias_gradient.fill(T::zero());
    for row in delta.chunks_exact(outputs) {
        for (sum, d) in bias_gradient.iter_mut().zip(row) {
            *sum += *d;
        }
    }
}
