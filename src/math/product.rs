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

/// C (m x n, row-major) = A (m x k) B (k x n), on one thread.
pub fn product<T: Number>(m: usize, k: usize, n: usize, a: View<T>, b: View<T>, c: &mut [T]) {
    T::product([m, k, n], a, b, false, c, false);
}

/// [`product`] of numbers that the library knows, added to C where `onto`. Where `parallel`, threads share the elements of C; every
/// sum has the same order as on one.
pub fn native_product<T: Real>([m, k, n]: [usize; 3], a: View<T>, b: View<T>, onto: bool, c: &mut [T], parallel: bool) {
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
            if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More elements than the library takes for one thread.
    #[test]
    fn threads_share_a_product_without_another_bit() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for [m, k, n] in [[70, 1200, 90], [512, 600, 33], [7, 700, 400], [200, 500, 17]] {
            let numbers =
                |count: usize| (0..count).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 511.0).collect::<Vec<_>>();
            let (a, b) = (numbers(m * k), numbers(k * n));
            let made = |parallel: bool| {
                let mut c = numbers(m * n);
                f32::product([m, k, n], View::transposed(&a, m), View::rows(&b, n), true, &mut c, parallel);
                c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(pool.install(|| made(true)), made(false), "{m} x {k} x {n}");
        }
    }
}
