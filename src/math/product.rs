//! Products of matrices, transposes by strides; the library that computes them is called from here alone.

use super::{Number, Real};

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

    /// A view with the same strides and no data.
    pub fn strides<U>(&self) -> View<'static, U> {
        View { data: &[], row_stride: self.row_stride, column_stride: self.column_stride }
    }

    /// Index of the last element of a `rows` x `columns` view.
    fn last(&self, rows: usize, columns: usize) -> usize {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride
    }
}

/// C (m x n, row-major) = A (m x k) B (k x n), one thread, so that the order of every sum is fixed.
pub fn product<T: Number>(m: usize, k: usize, n: usize, a: View<T>, b: View<T>, c: &mut [T]) {
    T::product([m, k, n], a, b, false, c);
}

/// [`product`] of numbers that the library knows, added to C where `onto`.
pub fn native_product<T: Real>([m, k, n]: [usize; 3], a: View<T>, b: View<T>, onto: bool, c: &mut [T]) {
    assert!(m > 0 && k > 0 && n > 0, "empty product {m} x {k} x {n}");
    assert!(a.last(m, k) < a.data.len() && b.last(k, n) < b.data.len() && c.len() >= m * n, "matrix out of bounds");
    // SAFETY: the assertions above keep every strided element of the three matrices inside its slice; `c` is
    // borrowed mutably and so overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            onto,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if onto { T::one() } else { T::zero() },
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
