//! The two floating-point types the CPU side computes in.

use num_traits::{Float, FromPrimitive, NumAssign};

/// f32 or f64. Everything numeric on the CPU is written once over this trait: f32 is the engine that mirrors the
/// GPU, f64 is the oracle that both are checked against.
pub trait Real:
    Float + NumAssign + FromPrimitive + std::iter::Sum + std::fmt::Debug + Default + Send + Sync + 'static
{
    /// `"f32"` or `"f64"`, as written in the results.
    const NAME: &'static str;
    fn of(value: f64) -> Self;
    fn widen(self) -> f64;
    /// Gauss error function.
    fn erf(self) -> Self;
}

impl Real for f32 {
    const NAME: &'static str = "f32";
    fn of(value: f64) -> Self {
        value as f32
    }
    fn widen(self) -> f64 {
        f64::from(self)
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    const NAME: &'static str = "f64";
    fn of(value: f64) -> Self {
        value
    }
    fn widen(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
}

/// Sum of `term(i)` for `i < length` in a fixed order: sixteen running sums, then a tree over them. The order depends
/// on `length` alone, so a lane's observations have the same bits wherever it runs.
pub fn ordered_sum<T: Real>(length: usize, term: impl Fn(usize) -> T) -> T {
    const WIDTH: usize = 16;
    let mut sums = [T::zero(); WIDTH];
    let whole = length - length % WIDTH;
    for start in (0..whole).step_by(WIDTH) {
        for (offset, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + offset);
        }
    }
    for (sum, index) in sums.iter_mut().zip(whole..length) {
        *sum += term(index);
    }
    let mut width = WIDTH;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            let other = sums[i + width];
            sums[i] += other;
        }
    }
    sums[0]
}
