//! Loops over whole arrays: compiled for the vector instructions that are asked for, in pieces that threads may share. What becomes of
//! a number does not depend on its neighbours, so that the bits are the same however they are shared.

use super::Instructions;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Numbers of a piece.
const PIECE: usize = 1 << 14;

/// Numbers from which on threads share a loop: to wake one takes as long as a loop over a tenth of them.
const SHARED: usize = 1 << 17;

/// How loops over arrays run.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    pub instructions: Instructions,
    /// Whether threads share the pieces.
    pub parallel: bool,
}

impl Default for Pieces {
    /// The best instructions, on one thread.
    fn default() -> Self {
        Self { instructions: Instructions::best(), parallel: false }
    }
}

/// What is done with a piece. Its function is inlined, or it would be compiled without the instructions.
pub trait Work<P>: Sync {
    fn run(&self, piece: P);
}

impl Pieces {
    /// Sets every number of `to` to what `of` makes of that of `a` at its place.
    pub fn map<A: Copy + Sync, B: Send>(self, to: &mut [B], a: &[A], of: impl Fn(A) -> B + Sync) {
        self.change(to, a, |to, a| *to = of(a));
    }

    /// Sets every number of `to` to what `of` makes of those of `a` and `b` at its place.
    pub fn map_two<A: Copy + Sync, B: Copy + Sync, C: Send>(
        self,
        to: &mut [C],
        a: &[A],
        b: &[B],
        of: impl Fn(A, B) -> C + Sync,
    ) {
        let pieces = to.chunks_mut(PIECE).zip(a.chunks(PIECE).zip(b.chunks(PIECE))).collect();
        self.each(a.len(), pieces, &MapTwo(of));
    }

    /// Sets every number to what `of` makes of it.
    pub fn alter<A: Copy + Send>(self, numbers: &mut [A], of: impl Fn(A) -> A + Sync) {
        self.each(numbers.len(), numbers.chunks_mut(PIECE).collect(), &Alter(of));
    }

    /// Changes every number of `to` by that of `a` at its place.
    pub fn change<A: Copy + Sync, B: Send>(self, to: &mut [B], a: &[A], by: impl Fn(&mut B, A) + Sync) {
        self.each(a.len(), to.chunks_mut(PIECE).zip(a.chunks(PIECE)).collect(), &Change(by));
    }

    /// Sets the numbers of `one` and `two` to what `of` makes of that of `a` at their place.
    pub fn split<A: Copy + Sync, B: Send, C: Send>(
        self,
        one: &mut [B],
        two: &mut [C],
        a: &[A],
        of: impl Fn(A) -> (B, C) + Sync,
    ) {
        let pieces = one.chunks_mut(PIECE).zip(two.chunks_mut(PIECE).zip(a.chunks(PIECE))).collect();
        self.each(a.len(), pieces, &Split(of));
    }

    /// Does `work` with every piece; together they have so many numbers.
    pub fn each<P: Send>(self, numbers: usize, pieces: Vec<P>, work: &impl Work<P>) {
        let work = |piece| self.instructions.run(Compiled { work, piece });
        if self.parallel && numbers >= SHARED {
            pieces.into_par_iter().for_each(work);
        } else {
            pieces.into_iter().for_each(work);
        }
    }
}

struct Alter<F>(F);

impl<A: Copy, F: Fn(A) -> A + Sync> Work<&mut [A]> for Alter<F> {
    #[inline(always)]
    fn run(&self, numbers: &mut [A]) {
        numbers.iter_mut().for_each(|number| *number = (self.0)(*number));
    }
}

struct MapTwo<F>(F);

impl<A: Copy, B: Copy, C, F: Fn(A, B) -> C + Sync> Work<(&mut [C], (&[A], &[B]))> for MapTwo<F> {
    #[inline(always)]
    fn run(&self, (to, (a, b)): (&mut [C], (&[A], &[B]))) {
        to.iter_mut().zip(a).zip(b).for_each(|((to, a), b)| *to = self.0(*a, *b));
    }
}

struct Change<F>(F);

impl<A: Copy, B, F: Fn(&mut B, A) + Sync> Work<(&mut [B], &[A])> for Change<F> {
    #[inline(always)]
    fn run(&self, (to, a): (&mut [B], &[A])) {
        to.iter_mut().zip(a).for_each(|(to, a)| self.0(to, *a));
    }
}

struct Split<F>(F);

impl<A: Copy, B, C, F: Fn(A) -> (B, C) + Sync> Work<(&mut [B], (&mut [C], &[A]))> for Split<F> {
    #[inline(always)]
    fn run(&self, (one, (two, a)): (&mut [B], (&mut [C], &[A]))) {
        one.iter_mut().zip(two).zip(a).for_each(|((one, two), a)| (*one, *two) = self.0(*a));
    }
}

/// Some work on a piece, compiled for the instructions that it is dispatched to.
struct Compiled<'a, F, P> {
    work: &'a F,
    piece: P,
}

impl<P, F: Work<P>> WithSimd for Compiled<'_, F, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.work.run(self.piece);
    }
}
