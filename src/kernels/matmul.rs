//! `matmul`: C = A B with one of three epilogues; every product that backpropagation needs, transposes by strides.
//!
//! For a dense layer with weights W (outputs x inputs, PyTorch's layout), bias b, input rows H and output slope S = a'(Z):
//!
//! | product | A | B | epilogue |
//! | --- | --- | --- | --- |
//! | forward | H, rows x inputs | W^T | `z + b`, then activation: writes a(z) and a'(z) |
//! | backward | delta, rows x outputs | W | times the slope of the layer below |
//! | gradient | delta^T, outputs x rows | H | none; one more column, the sum over rows, is the bias gradient |

use super::activation::Activation;
use super::real::Real;

/// A matrix seen through strides (in elements), so that a transpose costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// Row-major with `columns` columns.
    pub fn rows(data: &'a [T], columns: usize) -> Self {
        Self { data, row_stride: columns, column_stride: 1 }
    }

    /// The transpose of a row-major matrix with `columns` columns.
    pub fn transposed(data: &'a [T], columns: usize) -> Self {
        Self { data, row_stride: 1, column_stride: columns }
    }

    /// Index of the last element of a `rows` x `columns` view.
    fn last(&self, rows: usize, columns: usize) -> usize {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride
    }
}

/// C (m x n, row-major) = A (m x k) B (k x n), one thread, so that the order of every sum is fixed.
pub fn product<T: Real>(m: usize, k: usize, n: usize, a: View<T>, b: View<T>, c: &mut [T]) {
    assert!(m > 0 && k > 0 && n > 0, "empty product {m} x {k} x {n}");
    assert!(a.last(m, k) < a.data.len() && b.last(k, n) < b.data.len() && c.len() >= m * n, "matrix out of bounds");
    // SAFETY: the assertions above keep every strided element of the three matrices inside its slice; `c` is
    // borrowed mutably and so overlaps neither operand; gemm reads nothing of `c` (read_dst = false).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::zero(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Forward product of one layer. `input` rows x inputs, `weight` outputs x inputs, `bias` outputs; fills `value` and
/// `slope`, rows x outputs. Without an activation (the last layer) `value` is z and `slope` is left alone.
pub fn forward<T: Real>(
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
    for (row, slopes) in value.chunks_exact_mut(outputs).zip(slope.chunks_exact_mut(outputs)) {
        for ((z, s), b) in row.iter_mut().zip(slopes).zip(bias) {
            *z += *b;
            if let Some(activation) = activation {
                (*z, *s) = activation.value_and_slope(*z);
            }
        }
    }
}

/// Backward product: delta of the layer below, rows x inputs, = (delta W) times `slope` of the layer below.
pub fn backward<T: Real>(delta: &[T], weight: &[T], outputs: usize, slope: &[T], below: &mut [T]) {
    let inputs = weight.len() / outputs;
    let rows = delta.len() / outputs;
    product(rows, outputs, inputs, View::rows(delta, outputs), View::rows(weight, inputs), below);
    for (d, s) in below.iter_mut().zip(slope) {
        *d *= *s;
    }
}

/// Gradient product: `weight_gradient` (outputs x inputs) = delta^T input and `bias_gradient` = column sums of delta.
pub fn gradient<T: Real>(delta: &[T], input: &[T], weight_gradient: &mut [T], bias_gradient: &mut [T]) {
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
