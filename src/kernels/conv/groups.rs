//! Samples in groups that threads may share, for sums whose bits are the same on one thread and on many: a sum runs through a group,
//! and then over the groups in their order.

use crate::math::Number;
use rayon::prelude::*;

/// Groups of samples, at most: threads that can be kept busy.
pub const GROUPS: usize = 8;

/// Samples of a group where `together` of them are taken at a time.
pub fn samples(rows: usize, together: usize) -> usize {
    rows.div_ceil(GROUPS).next_multiple_of(together)
}

/// Does `work` for every group, at a desk for each where threads share them, else at one.
pub fn each<D: Default + Send, G: Send>(
    desks: &mut Vec<D>,
    parallel: bool,
    groups: Vec<G>,
    work: impl Fn(&mut D, G) + Sync,
) {
    let needed = if parallel { groups.len() } else { 1 };
    desks.resize_with(desks.len().max(needed), D::default);
    if parallel {
        desks.par_iter_mut().zip(groups).for_each(|(desk, group)| work(desk, group));
    } else {
        groups.into_iter().for_each(|group| work(&mut desks[0], group));
    }
}

/// Leaves in `sum` what `work` makes of every group, at least one, added in their order. `work` gets a slice as long as `sum` to write to.
pub fn sum<D: Default + Send, G: Send, T: Number>(
    desks: &mut Vec<(D, Vec<T>)>,
    parallel: bool,
    groups: Vec<G>,
    sum: &mut [T],
    work: impl Fn(&mut D, G, &mut [T]) + Sync,
) {
    let length = sum.len();
    let needed = if parallel { groups.len() } else { 1 };
    desks.resize_with(desks.len().max(needed), Default::default);
    desks.iter_mut().take(needed).for_each(|(_, share)| share.resize(length, T::zero()));
    let add = |sum: &mut [T], share: &[T]| sum.iter_mut().zip(share).for_each(|(sum, share)| *sum += *share);
    if parallel {
        // The first writes to where the sum goes.
        let mut first = Some(&mut *sum);
        let places = desks.iter_mut().map(|(desk, share)| (desk, first.take().unwrap_or(share.as_mut_slice())));
        let tasks: Vec<_> = places.zip(groups).collect();
        tasks.into_par_iter().for_each(|((desk, place), group)| work(desk, group, place));
        desks[1..needed].iter().for_each(|(_, share)| add(sum, share));
    } else {
        let (desk, share) = &mut desks[0];
        for (index, group) in groups.into_iter().enumerate() {
            if index == 0 {
                work(desk, group, sum);
            } else {
                work(desk, group, share);
                add(sum, share);
            }
        }
    }
}
