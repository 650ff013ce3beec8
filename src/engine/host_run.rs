//! The host's part of a run in a lane: the slots and the coefficients of every step, and the rows of its minibatch. Every
//! engine follows them.
//!
//! All that is random in them comes from seeds. The number of steps made, and the seeds that were given on the way, tell
//! therefore where a run is in each of its random streams: [`HostRun::replay`] goes there through the delay process and the
//! rule, without gradients. A million steps take less than 0.1 s (0.4 s where each of them draws among 256 workers by age), so
//! the streams' own state never has to be stored.
//!
//! Not here: the arithmetic of a step ([`crate::kernels`]), nor what a lane remembers of it ([`super::lane_state`]).

use super::blocks::Block;
use super::{Needs, Run, WaveSpec};
use crate::batch::{BatchOrder, RowTables};
use crate::outer::{LocalAdam, MOMENTS, Moments, Piece, Place, PlacedPiece, Role, Work};
use crate::rule::steps::{RunStep, StepSource};
use crate::stages::StageSteps;
use crate::update::{PartialUpdate, StepSlots, UpdateCoefficients};
use std::sync::Arc;

/// A run's steps, one after the other.
#[derive(Clone)]
pub struct HostRun {
    /// What the run itself needs, which may be less than its wave has room for.
    needs: Needs,
    made: u64,
    source: StepSource,
    /// What each stage of a pipeline does beside it; none where all parameters go together.
    stages: Option<StageSteps>,
    /// Steps of the parameters that are no hidden matrices, where the rule moves those as wholes, and its blocks.
    companion: Option<StepSource>,
    blocks: Vec<Block>,
    /// The latest gradient, and its updates, stage by stage.
    latest: GradientStep,
    updates: Vec<PartialUpdate>,
    /// Coefficients of the rule at the delay that is latest, where stages have coefficients of their own.
    coefficients: UpdateCoefficients,
    work: Work,
    /// Weight decay of local AdamW.
    local_decay: f64,
    /// Local steps so far, for each pair of moments that they keep.
    local_steps: Vec<u64>,
    /// Slots of the update under way, and its gradients so far.
    present: StepSlots,
    done: usize,
    /// Order of the minibatches; none where the batch is full.
    order: Option<BatchOrder>,
    reseeds: Vec<Reseed>,
}

/// One gradient of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientStep {
    /// Those of its update, of the stage that is latest; what it reads is where its worker began.
    pub slots: StepSlots,
    /// Updates made between reading the weights and now, of the stage that is latest.
    pub age: u64,
    /// The slot that the gradient is taken at.
    pub at: usize,
    /// The slot that its backward pass reads, where that is another one.
    pub backward: Option<usize>,
    /// What it is for, where it is not an update by itself.
    pub placed: Option<PlacedPiece>,
}

impl GradientStep {
    /// Whether the server moves after it.
    pub fn ends_update(&self) -> bool {
        self.placed.is_none_or(|placed| placed.piece.role == Role::Apply)
    }
}

/// Table that the rows of a minibatch lie in, with the index of the first of them.
pub type RowsInTable<'a> = (&'a Arc<[u32]>, usize);

/// A change of the seed that later draws come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reseed {
    /// Updates made before it.
    pub made: u64,
    pub seed: u64,
}

impl HostRun {
    /// `rows` are those of the wave.
    pub fn new(run: &Run, spec: &WaveSpec, rows: Option<&Arc<RowTables>>) -> Self {
        let work = run.work(spec.batch.is_some());
        let batches = work.batches;
        Self {
            needs: run.needs(spec.batch.is_some()),
            made: 0,
            source: run.steps(spec),
            stages: run.stage_steps(spec),
            companion: run.companion_steps(spec),
            blocks: run.blocks(spec),
            latest: GradientStep::default(),
            updates: Vec::new(),
            coefficients: UpdateCoefficients::default(),
            local_steps: vec![0; work.moments.pairs()],
            local_decay: spec.problem.weight_decay(),
            work,
            present: StepSlots::default(),
            done: 0,
            order: rows.map(|rows| BatchOrder::new(rows, run.seed).going_back(batches)),
            reseeds: Vec::new(),
        }
    }

    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Number of updates made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Changes of the seed so far, in their order.
    pub fn reseeds(&self) -> &[Reseed] {
        &self.reseeds
    }

    /// Gradients of an update.
    pub fn gradients(&self) -> usize {
        self.work.pieces.len()
    }

    /// The updates that the latest gradient makes, stage by stage.
    pub fn updates(&self) -> &[PartialUpdate] {
        &self.updates
    }

    /// Coefficients of the latest gradient's update, of the stage that is latest.
    pub fn coefficients(&self) -> &UpdateCoefficients {
        if self.stages.is_some() { &self.coefficients } else { &self.updates[0].coefficients }
    }

    /// The next gradient, and the rows of its minibatch.
    pub fn next_with_rows(&mut self) -> (&GradientStep, Option<&[u32]>) {
        let batch = self.advance();
        (&self.latest, self.order.as_mut().map(|order| order.rows(batch)))
    }

    /// Returns the next gradient, and where the rows of its minibatch lie.
    pub fn next_with_table(&mut self) -> (&GradientStep, Option<RowsInTable<'_>>) {
        let batch = self.advance();
        (&self.latest, self.order.as_mut().map(|order| order.table(batch)))
    }

    /// Makes the next gradient the latest one; returns the number of its minibatch. Numbers are written where they stay: engines come
    /// by here for every step of every lane.
    fn advance(&mut self) -> u64 {
        if self.done == 0 {
            self.begin_update();
        }
        let Piece { role, batch, .. } = self.work.pieces[self.done];
        if role != Role::Plain {
            self.place();
        }
        let batch = self.made * self.work.batches + batch;
        self.done += 1;
        if self.done == self.work.pieces.len() {
            self.made += 1;
            self.done = 0;
        }
        batch
    }

    /// Makes a new update, and its gradient as if it were the only one.
    fn begin_update(&mut self) {
        let RunStep { slots, coefficients, age } = self.source.advance();
        let backward = match &mut self.stages {
            Some(stages) => {
                self.coefficients = coefficients;
                stages.advance(&slots, &mut self.updates)
            }
            None => {
                self.updates.clear();
                match &mut self.companion {
                    None => self.updates.push(PartialUpdate { slots, coefficients }),
                    Some(companion) => {
                        let other = companion.advance().coefficients;
                        self.updates.extend(self.blocks.iter().map(|Block { matrix, .. }| {
                            let coefficients = if matrix.is_some() { coefficients } else { other };
                            PartialUpdate { slots, coefficients }
                        }));
                    }
                }
                None
            }
        };
        self.present = slots;
        self.latest = GradientStep { slots, age, at: slots.read, backward, placed: None };
    }

    /// Says what the latest gradient is for, where an update takes several.
    fn place(&mut self) {
        let (slots, piece, local) = (self.present, self.work.pieces[self.done], self.needs.slots);
        let slot = |place: Place| match place {
            Place::Read => slots.read,
            Place::Newest => slots.newest,
            Place::Local => local,
        };
        let (at, base) = (slot(piece.at), slot(piece.base));
        let adam = self.count(&piece, slots.write).map(|(pair, step)| LocalAdam {
            moments: local + MOMENTS + 2 * pair,
            step,
            decay: piece.local_lr * self.local_decay,
        });
        let slots = StepSlots { read: base, velocity_read: base, ..slots };
        let placed = Some(PlacedPiece { piece, at, base, local, adam });
        self.updates[0].slots = slots;
        self.latest = GradientStep { slots, at, placed, ..self.latest };
    }

    /// Counts a local step; returns the number of its moments and how many steps they have seen, where it keeps some.
    fn count(&mut self, piece: &Piece, worker: usize) -> Option<(usize, u64)> {
        let pair = match self.work.moments {
            Moments::None => return None,
            Moments::ByPart(_) => piece.part,
            Moments::ByWorker(_) => worker,
        };
        self.local_steps[pair] += 1;
        Some((pair, self.local_steps[pair]))
    }

    /// The same past, another future: later draws come from `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.reseeds.push(Reseed { made: self.made, seed });
        self.source.reseed(seed);
        self.stages.iter_mut().for_each(|stages| stages.reseed(seed));
        self.companion.iter_mut().for_each(|companion| companion.reseed(seed));
        self.order.iter_mut().for_each(|order| order.reseed(seed));
    }

    /// Goes from the start of the run to where `made` steps are made, with changes of the seed on the way, whose steps rise and
    /// are at most `made`.
    pub fn replay(&mut self, made: u64, reseeds: &[Reseed]) {
        for Reseed { made, seed } in reseeds {
            self.pass(*made);
            if let (Some(order), Some(latest)) = (&mut self.order, (made * self.work.batches).checked_sub(1)) {
                // A new seed shuffles what the latest batch has left of its table.
                order.table(latest);
            }
            self.reseed(*seed);
        }
        self.pass(made);
    }

    fn pass(&mut self, made: u64) {
        while self.made < made {
            let slots = self.source.advance().slots;
            if let Some(stages) = &mut self.stages {
                stages.advance(&slots, &mut self.updates);
            }
            if let Some(companion) = &mut self.companion {
                companion.advance();
            }
            if self.work.moments != Moments::None {
                for place in 0..self.work.pieces.len() {
                    let piece = self.work.pieces[place];
                    self.count(&piece, slots.write);
                }
            }
            self.made += 1;
        }
    }
}
