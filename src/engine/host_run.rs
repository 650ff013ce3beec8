//! The host's part of a run in a lane: the slots and the coefficients of every step, and the rows of its minibatch. Every
//! engine follows them.
//!
//! All that is random in them comes from seeds. The number of steps made, and the seeds that were given on the way, tell
//! therefore where a run is in each of its random streams: [`HostRun::replay`] goes there through the delay process and the
//! rule, without gradients. A million steps take less than 0.1 s (0.4 s where each of them draws among 256 workers by age), so
//! the streams' own state never has to be stored.
//!
//! Not here: the arithmetic of a step ([`crate::kernels`]), nor what a lane remembers of it ([`super::lane_state`]).

use super::{Needs, Run, WaveSpec};
use crate::batch::{BatchOrder, RowTables};
use crate::rule::steps::{RunStep, StepSource};
use std::sync::Arc;

/// A run's steps, one after the other.
#[derive(Clone)]
pub struct HostRun {
    /// What the run itself needs, which may be less than its wave has room for.
    needs: Needs,
    made: u64,
    source: StepSource,
    /// Order of the minibatches; none where the batch is full.
    order: Option<BatchOrder>,
    reseeds: Vec<Reseed>,
}

/// Table that the rows of a minibatch lie in, with the index of the first of them.
pub type RowsInTable<'a> = (&'a Arc<[u32]>, usize);

/// A change of the seed that later draws come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reseed {
    /// Steps made before it.
    pub made: u64,
    pub seed: u64,
}

impl HostRun {
    /// `rows` are those of the wave.
    pub fn new(run: &Run, spec: &WaveSpec, rows: Option<&Arc<RowTables>>) -> Self {
        Self {
            needs: Needs::of(&run.rule, &run.schedule, run.centred),
            made: 0,
            source: run.steps(spec),
            order: rows.map(|rows| BatchOrder::new(rows, run.seed)),
            reseeds: Vec::new(),
        }
    }

    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Number of steps made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Changes of the seed so far, in their order.
    pub fn reseeds(&self) -> &[Reseed] {
        &self.reseeds
    }

    /// The next step, and the rows of its minibatch.
    pub fn next_with_rows(&mut self) -> (RunStep, Option<&[u32]>) {
        let rows = self.order.as_mut().map(|order| order.rows(self.made));
        self.made += 1;
        (self.source.advance(), rows)
    }

    /// Returns the next step, and where the rows of its minibatch lie.
    pub fn next_with_table(&mut self) -> (RunStep, Option<RowsInTable<'_>>) {
        let table = self.order.as_mut().map(|order| order.table(self.made));
        self.made += 1;
        (self.source.advance(), table)
    }

    /// The same past, another future: later draws come from `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.reseeds.push(Reseed { made: self.made, seed });
        self.source.reseed(seed);
        self.order.iter_mut().for_each(|order| order.reseed(seed));
    }

    /// Goes from the start of the run to where `made` steps are made, with changes of the seed on the way, whose steps rise and
    /// are at most `made`.
    pub fn replay(&mut self, made: u64, reseeds: &[Reseed]) {
        for Reseed { made, seed } in reseeds {
            self.pass(*made);
            if let (Some(order), Some(latest)) = (&mut self.order, made.checked_sub(1)) {
                // A new seed shuffles what the latest step has left of its table.
                order.table(latest);
            }
            self.reseed(*seed);
        }
        self.pass(made);
    }

    fn pass(&mut self, made: u64) {
        while self.made < made {
            self.source.advance();
            self.made += 1;
        }
    }
}
