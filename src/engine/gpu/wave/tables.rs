//! The tables of a portion: what each lane does at every step of it, worked out on the host before the device is given
//! them.
//!
//! Not here: what the kernels make of them ([`crate::kernels`]).

use crate::engine::host_run::{GradientStep, HostRun};
use crate::kernels::LaneStep;
use crate::kernels::update::Update;
use rayon::prelude::*;
use std::sync::Arc;

/// The next `steps` gradients of a lane, each a step of the device; where their rows lie in the pool is not known yet.
fn advance(lane: &mut StagedRun, steps: usize, batch: usize) -> Part {
    let StagedRun { run, ends } = lane;
    let updates = Vec::with_capacity(steps * ends.len());
    let mut part = Part { lane_steps: Vec::with_capacity(steps), updates, spans: Vec::new() };
    for step in 0..steps {
        let (GradientStep { slots, at, backward, placed, .. }, table) = run.next_with_table();
        let mut lane_step = LaneStep::at(at);
        lane_step.base = slots.read as u32;
        if let Some(slot) = backward {
            lane_step.backward = slot as u32;
        }
        lane_step.part = placed.map_or(0, |placed| placed.packed());
        part.lane_steps.push(lane_step);
        if let Some((table, first)) = table {
            match part.spans.last_mut() {
                Some(span) if Arc::ptr_eq(&span.table, table) && first == span.first + span.steps * batch => {
                    span.steps += 1
                }
                _ => part.spans.push(Span { table: Arc::clone(table), first, step, steps: 1, pooled: 0 }),
            }
        }
        part.updates.extend(run.updates().iter().zip(ends.iter()).map(|(update, end)| {
            let mut update = Update::new(update, *end);
            placed.iter().for_each(|placed| update.join(placed));
            update
        }));
    }
    part
}

/// A run with the ends of its stages, in the units of the device's vectors.
#[derive(Clone)]
pub struct StagedRun {
    pub run: HostRun,
    pub ends: Arc<[usize]>,
}

/// A lane's steps of a portion.
struct Part {
    lane_steps: Vec<LaneStep>,
    /// steps x stages
    updates: Vec<Update>,
    spans: Vec<Span>,
}

/// Steps of a lane whose batches lie in one table, one after the other.
struct Span {
    table: Arc<[u32]>,
    /// Index in the table of the first row number.
    first: usize,
    /// The first step of the portion.
    step: usize,
    steps: usize,
    /// Index in the pool of the first row number.
    pooled: usize,
}

/// What the device is given of a portion.
pub struct Tables {
    /// steps x lanes
    pub lane_steps: Vec<LaneStep>,
    /// steps x lanes x stages
    pub updates: Vec<Update>,
    /// Row numbers of the minibatches, in which every lane step says where its own begin: at most steps x lanes x rows.
    pub order: Vec<u32>,
}

impl Tables {
    /// The next `steps` steps of every lane, all with as many stages. Each batch has `batch` rows (0 where the batch is full).
    pub fn next(lanes: &mut [Option<StagedRun>], steps: usize, batch: usize, stages: usize) -> Self {
        let advance = |lane: &mut Option<StagedRun>| lane.as_mut().map(|lane| advance(lane, steps, batch));
        let mut parts: Vec<Option<Part>> = lanes.par_iter_mut().map(advance).collect();
        let order = pool(parts.iter_mut().flatten().flat_map(|part| &mut part.spans).collect(), batch);
        parts.par_iter_mut().flatten().for_each(|Part { lane_steps, spans, .. }| {
            for Span { step, steps, pooled, .. } in spans {
                let firsts = (*pooled..).step_by(batch);
                lane_steps[*step..][..*steps]
                    .iter_mut()
                    .zip(firsts)
                    .for_each(|(lane_step, first)| lane_step.rows = first as u32);
            }
        });
        let count = lanes.len();
        let mut lane_steps = vec![LaneStep::default(); steps * count];
        let mut updates = vec![Update::default(); steps * count * stages];
        let of_steps = lane_steps.par_chunks_mut(count).zip(updates.par_chunks_mut(count * stages));
        of_steps.enumerate().for_each(|(step, (lane_steps, updates))| {
            for ((lane_step, updates), part) in lane_steps.iter_mut().zip(updates.chunks_exact_mut(stages)).zip(&parts)
            {
                if let Some(part) = part {
                    *lane_step = part.lane_steps[step];
                    updates.copy_from_slice(&part.updates[step * stages..][..stages]);
                }
            }
        });
        Self { lane_steps, updates, order }
    }
}

/// The row numbers that `spans` cover, each once however many spans it is in; notes in every span where its own begin.
fn pool(mut spans: Vec<&mut Span>, batch: usize) -> Vec<u32> {
    let table = |span: &Span| span.table.as_ptr().addr();
    spans.par_sort_unstable_by_key(|span| (table(span), span.first));
    let mut pool = Vec::new();
    // The table of the span before, and how far of it the pool goes.
    let mut latest = (0, 0);
    for span in spans {
        let (first, last) = (span.first, span.first + span.steps * batch);
        let goes_on = latest.0 == table(span) && first <= latest.1;
        let pooled = if goes_on { latest.1 } else { first };
        if last > pooled {
            pool.extend_from_slice(&span.table[pooled..last]);
        }
        latest = (table(span), pooled.max(last));
        span.pooled = pool.len() - (latest.1 - first);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(table: &Arc<[u32]>, first: usize, steps: usize) -> Span {
        Span { table: Arc::clone(table), first, step: 0, steps, pooled: usize::MAX }
    }

    #[test]
    fn rows_that_lanes_share_are_pooled_once() {
        let batch = 3;
        let [one, two] = [0, 100].map(|from| (from..from + 30).collect::<Arc<[u32]>>());
        // In table one: apart, overlapping, touching, inside another; all of table two twice.
        let of_one = [(21, 3), (0, 2), (3, 2), (9, 1), (3, 1)].map(|(first, steps)| span(&one, first, steps));
        let of_two = [(0, 10), (0, 10)].map(|(first, steps)| span(&two, first, steps));
        let mut spans: Vec<Span> = of_one.into_iter().chain(of_two).collect();
        let pooled = pool(spans.iter_mut().collect(), batch);
        assert_eq!(pooled.len(), 12 + 9 + 30, "{pooled:?}");
        for Span { table, first, steps, pooled: at, .. } in &spans {
            let length = steps * batch;
            assert_eq!(pooled[*at..][..length], table[*first..][..length], "{steps} steps from {first}");
        }
        assert!(pool(Vec::new(), 0).is_empty());
    }
}
