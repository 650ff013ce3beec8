//! Loops over whole arrays: compiled for the vector instructions that are asked for, in pieces that threads may share. What becomes of
//! a number does not depend on its neighbours, so that the bits are the same however they are shared.

use super::Instructions;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Numbers that are worth a thread's while.
const PIECE: usize = 1 << 14;

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

impl Pieces {
    /// Sets every number of `to` to what `of` makes of that of `a` at its place.
    pub fn map<A: Copy + Sync, B: Send>(self, to: &mut [B], a: &[A], of: impl Fn(A) -> B + Sync) {
        let pieces = to.chunks_mut(PIECE).zip(a.chunks(PIECE)).collect();
        self.each(pieces, |(to, a)| to.iter_mut().zip(a).for_each(|(to, a)| *to = of(*a)));
    }

    /// The same with two arrays.
    pub fn map_two<A: Copy + Sync, B: Copy + Sync, C: Send>(
        self,
        to: &mut [C],
        a: &[A],
        b: &[B],
        of: impl Fn(A, B) -> C + Sync,
    ) {
        let pieces = to.chunks_mut(PIECE).zip(a.chunks(PIECE).zip(b.chunks(PIECE))).collect();
        self.each(pieces, |(to, (a, b))| {
            to.iter_mut().zip(a).zip(b).for_each(|((to, a), b)| *to = of(*a, *b));
        });
    }

    /// Changes every number of `to` by that of `a` at its place.
    pub fn change<A: Copy + Sync, B: Send>(self, to: &mut [B], a: &[A], by: impl Fn(&mut B, A) + Sync) {
        let pieces = to.chunks_mut(PIECE).zip(a.chunks(PIECE)).collect();
        self.each(pieces, |(to, a)| to.iter_mut().zip(a).for_each(|(to, a)| by(to, *a)));
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
        self.each(pieces, |(one, (two, a))| {
            one.iter_mut().zip(two).zip(a).for_each(|((one, two), a)| (*one, *two) = of(*a));
        });
    }

    /// Calls `work` for every piece.
    pub fn each<P: Send>(self, pieces: Vec<P>, work: impl Fn(P) + Sync) {
        let work = |piece| self.instructions.run(Compiled { work: &work, piece });
        if self.parallel && pieces.len() > 1 {
            pieces.into_par_iter().for_each(work);
        } else {
            pieces.into_iter().for_each(work);
        }
    }
}

/// Some work on a piece, compiled for the instructions that it is dispatched to.
struct Compiled<'a, F, P> {
    work: &'a F,
    piece: P,
}

impl<P, F: Fn(P)> WithSimd for Compiled<'_, F, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        (self.work)(self.piece);
    }
}
