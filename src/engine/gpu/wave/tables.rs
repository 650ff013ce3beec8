//! The tables of a portion: what each lane does at every step of it, worked out on the host before the device is given
//! them.
//!
//! Not here: what the kernels make of them ([`crate::kernels`]).

use crate::engine::host_run::HostRun;
use crate::kernels::LaneStep;
use crate::kernels::update::{Update, UpdateStep};
use crate::outer::{Piece, PlacedPiece};
use crate::update::{PartialUpdate, UpdateCoefficients};
use rayon::prelude::*;
use std::sync::Arc;

/// Lanes that a thread works on at a time: their parts of a step's row are neighbours in memory.
const GROUP: usize = 16;

/// A run with the ends of its stages, in the units of the device's vectors.
#[derive(Clone)]
pub struct StagedRun {
    pub run: HostRun,
    pub ends: Arc<[usize]>,
}

/// What the device is given of a portion. The memory is used again for the next one.
#[derive(Default)]
pub struct Tables {
    /// steps x lanes
    pub lane_steps: Vec<LaneStep>,
    /// steps x lanes x stages
    pub update_steps: Vec<UpdateStep>,
    /// The coefficients that those name: for every lane and stage those of the portion's first step, then others as they come.
    pub coefficients: Vec<Update>,
    /// Row numbers of the minibatches, in which every lane step says where its own begin: at most steps x lanes x rows.
    pub order: Vec<u32>,
}

impl Tables {
    /// Makes the next `steps` steps of every lane, all with as many stages. Each batch has `batch` rows (0 where the batch is full).
    pub fn fill(&mut self, lanes: &mut [Option<StagedRun>], steps: usize, batch: usize, stages: usize) {
        let Self { lane_steps, update_steps, coefficients, order } = self;
        let count = lanes.len();
        lane_steps.resize(steps * count, LaneStep::default());
        update_steps.resize(steps * count * stages, UpdateStep::default());
        coefficients.resize(count * stages, Update::default());
        let places = Places { stages, first: update_steps.len() * UpdateStep::QUADS, lanes: count };

        let of_steps =
            split(lane_steps, count, GROUP).into_par_iter().zip(split(update_steps, count * stages, GROUP * stages));
        let of_lanes = lanes.par_chunks_mut(GROUP).zip(coefficients.par_chunks_mut(GROUP * stages)).enumerate();
        let advance = |((group, (lanes, coefficients)), (lane_steps, update_steps)): (_, (Vec<_>, Vec<_>))| {
            let mut group = Group { places, first_lane: group * GROUP, batch, lane_steps, update_steps, coefficients };
            group.advance(lanes)
        };
        let mut others: Vec<Others> = of_lanes.zip(of_steps).map(advance).collect();

        *order = pool(others.iter_mut().flat_map(|others| &mut others.spans).collect(), batch);
        for Others { coefficients: more, first, .. } in &mut others {
            *first = coefficients.len() - count * stages;
            coefficients.append(more);
        }
        let of_steps =
            split(lane_steps, count, GROUP).into_par_iter().zip(split(update_steps, count * stages, GROUP * stages));
        of_steps.zip(&others).for_each(|((mut lane_steps, update_steps), others)| {
            others.spans.iter().for_each(|span| span.note_rows(&mut lane_steps, batch));
            if others.first > 0 && others.any {
                let moved = (others.first * Update::QUADS) as u32;
                let named = update_steps.into_iter().flatten();
                named.filter(|it| it.coefficients >= places.of_others()).for_each(|it| it.coefficients += moved);
            }
        });
    }
}

/// Cuts every row of a table into pieces of `width` elements: those of the first piece of every row, those of the second, and so on.
fn split<T>(table: &mut [T], row: usize, width: usize) -> Vec<Vec<&mut [T]>> {
    let mut pieces: Vec<Vec<&mut [T]>> =
        (0..row.div_ceil(width)).map(|_| Vec::with_capacity(table.len() / row)).collect();
    for row in table.chunks_exact_mut(row) {
        row.chunks_mut(width).zip(&mut pieces).for_each(|(piece, pieces)| pieces.push(piece));
    }
    pieces
}

/// Where coefficients stand, in vec4s from the start of their buffer.
#[derive(Clone, Copy)]
struct Places {
    lanes: usize,
    stages: usize,
    /// Where the first ones are.
    first: usize,
}

impl Places {
    /// Those of a lane's first step of the portion.
    fn of_first_step(&self, lane: usize, stage: usize) -> u32 {
        (self.first + (lane * self.stages + stage) * Update::QUADS) as u32
    }

    /// Where the others begin.
    fn of_others(&self) -> u32 {
        self.of_first_step(self.lanes, 0)
    }
}

/// Some neighbouring lanes with their parts of the tables.
struct Group<'a> {
    places: Places,
    first_lane: usize,
    batch: usize,
    /// steps: the lanes' part of each.
    lane_steps: Vec<&'a mut [LaneStep]>,
    /// steps: lanes x stages of each.
    update_steps: Vec<&'a mut [UpdateStep]>,
    /// lanes x stages: of their first steps.
    coefficients: &'a mut [Update],
}

/// What a group has beside its parts of the tables.
struct Others {
    spans: Vec<Span>,
    /// Coefficients that are not those of a first step.
    coefficients: Vec<Update>,
    /// Whether there are such.
    any: bool,
    /// How many there are in the groups before.
    first: usize,
}

/// Coefficients as they were last, and their place.
struct Latest {
    coefficients: UpdateCoefficients,
    piece: Option<Piece>,
    place: u32,
}

impl Group<'_> {
    /// Fills the tables; rows and other coefficients are counted from the start of the group, until it is known where that is.
    fn advance(&mut self, lanes: &mut [Option<StagedRun>]) -> Others {
        let mut others = Others { spans: Vec::new(), coefficients: Vec::new(), any: false, first: 0 };
        let mut latest = Vec::new();
        for (number, lane) in lanes.iter_mut().enumerate() {
            match lane {
                Some(lane) => self.advance_lane(number, lane, &mut latest, &mut others),
                None => self.clear_lane(number),
            }
        }
        others.any = !others.coefficients.is_empty();
        others
    }

    /// Leaves nothing of a lane that was here in an earlier portion: places in it are counted from what was there then.
    fn clear_lane(&mut self, number: usize) {
        let stages = self.places.stages;
        self.lane_steps.iter_mut().for_each(|lanes| lanes[number] = LaneStep::default());
        self.update_steps.iter_mut().for_each(|lanes| lanes[number * stages..][..stages].fill(UpdateStep::default()));
    }

    /// Makes the steps of one lane, each a gradient.
    fn advance_lane(&mut self, number: usize, lane: &mut StagedRun, latest: &mut Vec<Latest>, others: &mut Others) {
        let Self { places, first_lane, batch, lane_steps, update_steps, coefficients } = self;
        let (stages, spans) = (places.stages, others.spans.len());
        let StagedRun { run, ends } = lane;
        latest.clear();
        for (step, (lane_steps, update_steps)) in lane_steps.iter_mut().zip(update_steps).enumerate() {
            let (gradient, table) = run.next_with_table();
            let placed = gradient.placed.as_ref();
            lane_steps[number] = LaneStep {
                backward: gradient.backward.unwrap_or(gradient.at) as u32,
                base: gradient.slots.read as u32,
                part: placed.map_or(0, PlacedPiece::packed),
                ..LaneStep::at(gradient.at)
            };
            let piece = placed.map(|placed| placed.piece);
            if let Some((table, first)) = table {
                match others.spans[spans..].last_mut() {
                    Some(span) if Arc::ptr_eq(&span.table, table) && first == span.first + span.steps * *batch => {
                        span.steps += 1
                    }
                    _ => others.spans.push(Span {
                        table: Arc::clone(table),
                        first,
                        lane: number,
                        step,
                        steps: 1,
                        pooled: 0,
                    }),
                }
            }
            for (stage, (PartialUpdate { slots, coefficients: numbers }, end)) in
                run.updates().iter().zip(ends.iter()).enumerate()
            {
                // By reference: nothing is copied at the many steps whose numbers are those of the step before.
                if !latest.get(stage).is_some_and(|latest| latest.coefficients == *numbers && latest.piece == piece) {
                    let made = Update::new(numbers);
                    let made = piece.map_or(made, |piece| made.joined(&piece));
                    let place = if latest.len() == stage {
                        coefficients[number * stages + stage] = made;
                        places.of_first_step(*first_lane + number, stage)
                    } else {
                        others.coefficients.push(made);
                        places.of_others() + ((others.coefficients.len() - 1) * Update::QUADS) as u32
                    };
                    let now = Latest { coefficients: *numbers, piece, place };
                    if latest.len() == stage { latest.push(now) } else { latest[stage] = now }
                }
                update_steps[number * stages + stage] = UpdateStep::new(slots, *end as u32, latest[stage].place);
            }
        }
    }
}

/// A lane's steps whose batches lie in one table, one after the other.
struct Span {
    table: Arc<[u32]>,
    /// Index in the table of the first row number.
    first: usize,
    /// The lane's number in its group.
    lane: usize,
    /// The first step of the portion.
    step: usize,
    steps: usize,
    /// Index in the pool of the first row number.
    pooled: usize,
}

impl Span {
    /// Notes in the steps where their rows begin, once that is known.
    fn note_rows(&self, lane_steps: &mut [&mut [LaneStep]], batch: usize) {
        let firsts = (self.pooled..).step_by(batch);
        let steps = &mut lane_steps[self.step..][..self.steps];
        steps.iter_mut().zip(firsts).for_each(|(lanes, first)| lanes[self.lane].rows = first as u32);
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
    use crate::batch::Sampling;
    use crate::delay::Schedule;
    use crate::engine::{Needs, Run, WaveSpec};
    use crate::outer::OuterLoop;
    use crate::problem::{Problem, Quadratic};
    use crate::rule::RuleSpec;

    fn span(table: &Arc<[u32]>, first: usize, steps: usize) -> Span {
        Span { table: Arc::clone(table), first, lane: 0, step: 0, steps, pooled: usize::MAX }
    }

    /// A run whose coefficients change at every step, or never.
    fn run(rule: &str, lr: f64) -> Run {
        Run {
            rule: rule.parse::<RuleSpec>().unwrap().with(0.9, 0.0),
            lr: lr.into(),
            schedule: Schedule::round_robin(2),
            seed: 0,
            start: Arc::new(vec![1.0; 3]),
            statistics: None,
            centred: false,
            undamped_start: false,
            second_moment: None,
            outer: OuterLoop::default(),
            stages: [].into(),
        }
    }

    #[test]
    fn every_step_finds_its_own_coefficients_whether_they_change_or_not_and_idle_lanes_have_none() {
        let landmark = Arc::new(vec![0.0; 3]);
        let spec = WaveSpec {
            problem: Arc::new(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0; 3] })),
            batch: None,
            minimum: Arc::clone(&landmark),
            direction: landmark,
            lanes: 3 * GROUP + 5,
            sampling: Sampling::Epochs,
            together: 1,
            needs: Needs { slots: 3, second_moment: true, ..Needs::default() },
            block: 8,
        };
        let staged = |lane: usize| {
            let run = run(if lane.is_multiple_of(3) { "sgd" } else { "adam" }, 0.1 + lane as f64);
            StagedRun { run: HostRun::new(&run, &spec, None), ends: [3].into() }
        };
        let mut lanes: Vec<_> = (0..spec.lanes).map(|lane| Some(staged(lane))).collect();
        let mut alone: Vec<_> = (0..spec.lanes).map(staged).collect();
        let mut tables = Tables::default();
        for (portion, steps) in [4, 7, 2].into_iter().enumerate() {
            // Lanes fall idle one group after the other.
            lanes[portion * GROUP + 4] = None;
            tables.fill(&mut lanes, steps, 0, 1);
            let Tables { lane_steps, update_steps, coefficients, .. } = &tables;
            assert!(coefficients.len() > spec.lanes && coefficients.len() < steps * spec.lanes);
            let first = update_steps.len() * UpdateStep::QUADS;
            for (index, (lane_step, update)) in lane_steps.iter().zip(update_steps).enumerate() {
                let lane = index % spec.lanes;
                if lanes[lane].is_none() {
                    assert_eq!((*lane_step, *update), Default::default(), "lane {lane}");
                    continue;
                }
                let run = &mut alone[lane].run;
                let slots = run.next_with_rows().0.slots;
                let found = coefficients[(update.coefficients as usize - first) / Update::QUADS];
                assert_eq!(found, Update::new(run.coefficients()), "portion {portion}, lane {lane}");
                assert_eq!(update.write as usize, slots.write);
                assert_eq!((lane_step.busy, lane_step.read as usize), (1, slots.read));
            }
        }
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
