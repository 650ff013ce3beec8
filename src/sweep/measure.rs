//! Cells on an engine, in waves of those whose gradients have equally many rows. Where `--precision auto` allows it, cells that
//! f32 leaves undecided are measured again in f64 on the processor.
//!
//! Not here: one wave ([`super::search_wave`]), nor what leaves a cell undecided ([`crate::threshold`]).

use super::checkpoint::SearchCheckpoints;
use super::estimate::{Estimate, Experience};
use super::queue::{Queue, SearchState};
use super::{CellResult, PreparedSweep, StartedCell, by_kind, lanes, search_wave, wave_spec};
use crate::engine::cpu::Cpu;
use crate::engine::{Engine, EngineInfo, WaveSpec};
use crate::math::FloatFormat;
use crate::plan::Cell;
use crate::session::checkpoint::Checkpoints;
use crate::session::progress::{Progress, StepsLeft};
use crate::session::recovery::Recovery;
use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Whoever is told how a measurement goes.
struct Listener<'a> {
    watched: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    config_steps: u64,
    /// What failed and was mended on engines that are done.
    mended: Vec<String>,
}

/// Cells that are to be measured again in f64, by index, each with what f32 made of it where that is known.
type Doubtful = Vec<(usize, Option<CellResult>)>;

/// Cells that can share a wave.
struct Group {
    /// Rows of their gradients.
    rows: Option<usize>,
    /// Their indices.
    members: Vec<usize>,
    /// Unit vector that displacements are projected on, P.
    direction: Arc<Vec<f64>>,
}

impl PreparedSweep {
    /// Measures `cells` on `engine`. `finished` is called once for every cell, in the order in which they end, with its index
    /// in `cells`. `watched` is called after every block; where it breaks, cells that are decided are still reported, and the
    /// rest is left.
    ///
    /// With `checkpoints`, searches and their runs go on from the newest checkpoint that there is, as far as it holds them;
    /// another one is made whenever it is due, and when `watched` breaks. After a device has failed, runs go on from the newest
    /// one too. Whoever keeps the results leaves finished cells out of `cells` when a sweep is resumed.
    ///
    /// # Errors
    /// Where the cells do not fit the device, the device fails, or `finished` does; where a checkpoint cannot be read, or
    /// belongs to something else.
    pub fn measure(
        &self,
        engine: &dyn Engine,
        cells: &[StartedCell],
        checkpoints: Option<&mut Checkpoints>,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let processor = Cpu::<f64>::default();
        let engine = if self.is_on_processor(engine.info()) { &processor } else { engine };
        let double = self.falls_back(engine.info()).then(|| self.in_f64());
        let ids_of =
            |sweep: &Self| -> Vec<String> { cells.iter().map(|started| sweep.search_id(&started.cell)).collect() };
        let ids: BTreeSet<String> = ids_of(self).into_iter().chain(double.map(ids_of).into_iter().flatten()).collect();
        let mut checkpoints = SearchCheckpoints::read(checkpoints, |cell| ids.contains(cell))?;
        let mut listener = Listener { watched, config_steps: 0, mended: Vec::new() };
        let known_doubtful = |index: &usize| {
            let started = &cells[*index];
            double.is_some_and(|double| {
                started.known_in == Some(FloatFormat::F64) || checkpoints.holds(&double.search_id(&started.cell))
            })
        };
        let (later, first): (Vec<usize>, Vec<usize>) = (0..cells.len()).partition(known_doubtful);
        let mut doubtful: Doubtful = later.into_iter().map(|index| (index, None)).collect();
        let mut sorted = |index: usize, result: CellResult| match double {
            Some(_) if self.is_doubtful(&cells[index].cell, &result) => {
                doubtful.push((index, Some(result)));
                Ok(())
            }
            _ => finished(index, result),
        };
        if self.pass(engine, (cells, first), &mut checkpoints, &mut sorted, &mut listener)?.is_break() {
            return Ok(());
        }
        let Some(double) = double else { return Ok(()) };
        let mut again = Vec::new();
        for (index, result) in doubtful {
            let alone = wave_spec(
                &self.plan,
                &self.problem,
                self.plan.rows(&cells[index].cell),
                std::iter::once(&cells[index].cell),
            );
            match (processor.capacity(&alone), result) {
                (Err(_), Some(result)) => finished(index, result)?,
                _ => again.push(index),
            }
        }
        double.pass(&processor, (cells, again), &mut checkpoints, finished, &mut listener).map(drop)
    }

    /// One after the other every wave of the cells of these indices.
    fn pass(
        &self,
        engine: &dyn Engine,
        (cells, indices): (&[StartedCell], Vec<usize>),
        checkpoints: &mut SearchCheckpoints,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        listener: &mut Listener,
    ) -> anyhow::Result<ControlFlow<()>> {
        let mut recovery = Recovery::new(engine);
        let falls_back = self.falls_back(engine.info());
        let ids: BTreeSet<String> = cells.iter().map(|started| self.search_id(&started.cell)).collect();
        let groups = by_kind(&self.plan, indices.iter().map(|index| &cells[*index].cell));
        let mut groups: VecDeque<Group> = groups
            .into_iter()
            .flat_map(|((rows, _), members)| {
                self.by_direction(rows, members.into_iter().map(|place| indices[place]).collect(), cells)
            })
            .collect();
        while let Some(Group { rows, members, direction }) = groups.pop_front() {
            let asked: Vec<StartedCell> = members.iter().map(|index| self.of_this_format(&cells[*index])).collect();
            let spec = wave_spec(&self.plan, &self.problem, rows, asked.iter().map(|started| &started.cell));
            let mut report = |index: usize, result| finished(members[index], result);
            let later = self.left(groups.iter().flat_map(|group| &group.members).map(|index| &cells[*index].cell));
            let saved = |started: &StartedCell| checkpoints.search(&self.search_id(&started.cell));
            let mut queue = Queue::new(self, falls_back, &asked, saved);
            loop {
                let mut lanes = recovery.lanes(lanes(recovery.engine(), &spec)?, spec.together);
                if self.plan.trace_runs && lanes < spec.lanes {
                    // Traces are made beside the wave.
                    lanes = lanes.saturating_sub(spec.together).max(spec.together);
                }
                let (minimum, direction) = (Arc::new(self.minimum.weights.clone()), Arc::clone(&direction));
                let spec = WaveSpec { minimum, direction, lanes, ..spec.clone() };
                let gradients = spec.needs.work.gradients as u64;
                let mut watched = |now: search_wave::SearchProgress<'_>| {
                    listener.config_steps += now.steps * gradients;
                    let mended = [&listener.mended, recovery.mended()].concat();
                    (listener.watched)(Progress {
                        alive: now.lanes,
                        config_steps: listener.config_steps,
                        left: Some(&|| (now.left)() + later),
                        epoch: None,
                        mended: &mended,
                        warnings: now.warnings,
                    })
                };
                let together = spec.together;
                let engine = recovery.engine();
                match self.run_wave(engine, spec, &asked, &mut queue, checkpoints, &mut report, &mut watched) {
                    Ok(ControlFlow::Continue(())) => break,
                    Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                    Err(error) => {
                        recovery.mend(error, lanes, together)?;
                        checkpoints.read_again(|section| {
                            let here = asked.iter().position(|started| self.search_id(&started.cell) == section.cell());
                            let waits =
                                |cell| queue.waiting().any(|ticket| ticket.cell == cell && section.is_of(ticket));
                            here.map_or_else(|| ids.contains(section.cell()), waits)
                        })?;
                    }
                }
            }
            queue.doubted().for_each(|(id, state)| checkpoints.keep(id, state));
        }
        listener.mended.extend_from_slice(recovery.mended());
        Ok(ControlFlow::Continue(()))
    }

    /// The cells of one kind, those together that are looked at along the same direction.
    fn by_direction(&self, rows: Option<usize>, members: Vec<usize>, cells: &[StartedCell]) -> Vec<Group> {
        let top = self.direction();
        let mut groups = vec![Group { rows, members: Vec::new(), direction: top }];
        for index in members {
            match self.own_direction(&cells[index].cell) {
                None => groups[0].members.push(index),
                Some(direction) => groups.push(Group { rows, members: vec![index], direction }),
            }
        }
        groups.retain(|group| !group.members.is_empty());
        groups
    }

    /// Steps that cells are expected to take which no search has begun.
    fn left<'a>(&self, cells: impl Iterator<Item = &'a Cell>) -> StepsLeft {
        let experience = Experience::default();
        let mut estimate = Estimate::new(&self.plan, &experience);
        cells.for_each(|cell| estimate.unopened(cell));
        estimate.left()
    }

    /// Trials of another format say nothing of the runs in this one.
    fn of_this_format(&self, started: &StartedCell) -> StartedCell {
        let known = if started.known_in.is_none_or(|format| format == self.format) { &started.known[..] } else { &[] };
        StartedCell { known: known.to_vec(), ..started.clone() }
    }

    /// Whether cells that this engine leaves undecided are measured again in f64.
    pub(crate) fn falls_back(&self, engine: &EngineInfo) -> bool {
        self.plan.engine.falls_back() && self.format == FloatFormat::F32 && engine.precision == "f32"
    }

    /// Whether the runs are made on the processor in f64, whatever engine there is.
    pub(crate) fn is_on_processor(&self, engine: &EngineInfo) -> bool {
        self.plan.engine.falls_back() && self.format == FloatFormat::F64 && engine.precision == "f32"
    }

    /// Whether f64 may decide a cell that ended so.
    pub(super) fn is_doubtful(&self, cell: &Cell, result: &CellResult) -> bool {
        !result.outcome.measured && self.is_certain(cell)
    }

    /// The engine that has made the runs of this format, where `engine` is that of the sweep.
    pub(super) fn engine_of(&self, engine: &EngineInfo, format: FloatFormat) -> EngineInfo {
        let moved = self.plan.engine.falls_back() && format == FloatFormat::F64 && engine.precision == "f32";
        if moved { Cpu::<f64>::default().info().clone() } else { engine.clone() }
    }

    /// Name of a cell's search in checkpoints: f32 and f64 may both have one.
    pub(super) fn search_id(&self, cell: &Cell) -> String {
        let id = self.plan.cell_id(cell);
        let again = self.plan.engine.falls_back() && self.format == FloatFormat::F64;
        if again { format!("{id} in f64") } else { id }
    }

    /// What the search of a cell begins with that is measured again in f64, and its name in checkpoints.
    pub(super) fn search_in_f64(&self, started: &StartedCell) -> (String, SearchState) {
        let double = self.in_f64();
        (double.search_id(&started.cell), SearchState::begin(&double.plan, &double.of_this_format(started)))
    }
}
