//! A slice that is read without further checks up to a bound that was checked.

use super::Element;
use pulp::Simd;

/// Numbers, good up to a bound.
#[derive(Clone, Copy)]
pub struct Span<'a, T>(&'a [T]);

impl<'a, T: Copy> Span<'a, T> {
    /// # Panics
    /// Where `last` lies outside.
    #[inline(always)]
    pub fn within(data: &'a [T], last: usize) -> Self {
        assert!(last < data.len(), "element {last} of {}", data.len());
        Self(data)
    }

    /// # Safety
    /// `at` is at most the bound that was checked.
    #[inline(always)]
    pub unsafe fn value(self, at: usize) -> T {
        debug_assert!(at < self.0.len());
        unsafe { *self.0.get_unchecked(at) }
    }

    /// # Safety
    /// `at` plus the vector's length is at most one more than the bound that was checked.
    #[inline(always)]
    pub unsafe fn vector<S: Simd>(self, at: usize) -> T::Vector<S>
    where
        T: Element,
    {
        debug_assert!(at + T::lanes::<S>() <= self.0.len());
        unsafe { self.0.as_ptr().add(at).cast::<T::Vector<S>>().read_unaligned() }
    }
}
