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

/// Leaves in `sum` what `work` makes of every group, added in their order. `work` gets a slice as long as `sum` to write to.
pub fn sum<D: Default + Send, G: Send, T: Number>(
    desks: &mut Vec<(D, Vec<T>)>,
    parallel: bool,
    groups: Vec<G>,
    sum: &mut [T],
    work: impl Fn(&mut D, G, &mut [T]) + Sync,
) {
    let length = sum.len();
    let share = |(desk, share): &mut (D, Vec<T>), group| {
        share.resize(length, T::zero());
        work(desk, group, share);
    };
    let mut groups = groups.into_iter();
    let Some(first) = groups.next() else { return sum.fill(T::zero()) };
    let others: Vec<G> = groups.collect();
    let needed = if parallel { 1 + others.len() } else { 1 };
    desks.resize_with(desks.len().max(needed), Default::default);
    let (own, desks) = desks.split_first_mut().expect("one desk at least");
    let add = |sum: &mut [T], share: &[T]| sum.iter_mut().zip(share).for_each(|(sum, share)| *sum += *share);
    if parallel {
        let count = others.len();
        let rest = || desks.par_iter_mut().zip(others).for_each(|(desk, group)| share(desk, group));
        rayon::join(|| work(&mut own.0, first, sum), rest);
        desks[..count].iter().for_each(|(_, share)| add(sum, share));
    } else {
        work(&mut own.0, first, sum);
        for group in others {
            share(own, group);
            add(sum, &own.1);
        }
    }
}
