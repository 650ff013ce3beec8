//! The runs that the cells' searches ask for, in waiting.

use super::estimate::{Estimate, Experience};
use super::{CellResult, PreparedSweep, StartedCell};
use crate::plan::SweepPlan;
use crate::session::progress::StepsLeft;
use crate::threshold::{Criterion, Request, Search, SearchStep, Trial};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A requested run: the cell's index, the round of its search and the request's place in it.
#[derive(Clone, Copy)]
pub struct Ticket {
    pub cell: usize,
    pub round: u32,
    pub place: usize,
    pub request: Request,
}

/// What a search in progress knows, as it stands in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SearchState {
    search: Search,
    /// What the current round asks for.
    requests: Vec<Request>,
    /// Trials of the current round, in the order of the requests.
    round: Vec<Option<Trial>>,
}

impl SearchState {
    /// A search that has asked for nothing yet.
    pub fn begin(plan: &SweepPlan, started: &StartedCell) -> Self {
        let StartedCell { cell, guess, known, .. } = started;
        let tolerance = plan.limits(cell.criterion).tolerance;
        // Without chance the statistical criteria are that of the mean.
        let certain = cell.criterion.is_statistical() && plan.members(cell) == 1;
        let criterion = if certain { Criterion::Mean } else { cell.criterion };
        let search = Search::new(*guess, tolerance, criterion).knowing(known.clone());
        Self { search, requests: Vec::new(), round: Vec::new() }
    }
}

/// Requests in waiting. Cells are opened longest delay first, because those take longest and would otherwise run alone
/// at the end; a search sees nothing but its own trials, so the order changes no result.
pub struct Queue<'a> {
    sweep: &'a PreparedSweep,
    /// Whether cells that stay undecided are measured again in f64.
    falls_back: bool,
    doubted: Vec<usize>,
    cells: &'a [StartedCell],
    unopened: Vec<usize>,
    open: Vec<Option<SearchState>>,
    tickets: VecDeque<Ticket>,
    /// Cells whose round is complete and whose search must be asked what is next.
    ready: VecDeque<usize>,
    experience: Experience,
}

impl<'a> Queue<'a> {
    /// `saved` hands over what the search of a cell knew when it was interrupted.
    pub fn new(
        sweep: &'a PreparedSweep,
        falls_back: bool,
        cells: &'a [StartedCell],
        mut saved: impl FnMut(&StartedCell) -> Option<SearchState>,
    ) -> Self {
        let mut unopened: Vec<usize> = (0..cells.len()).rev().collect();
        unopened.sort_by_key(|index| cells[*index].cell.schedule.slots());
        let open = cells.iter().map(&mut saved).collect();
        let (tickets, ready, experience) = (VecDeque::new(), VecDeque::new(), Experience::default());
        let doubted = Vec::new();
        let mut queue = Self { sweep, falls_back, doubted, cells, unopened, open, tickets, ready, experience };
        queue.unopened.retain(|index| queue.open[*index].is_none());
        for cell in 0..cells.len() {
            queue.go_on(cell);
        }
        queue
    }

    /// Goes on with a search that was interrupted.
    fn go_on(&mut self, cell: usize) {
        let Some(SearchState { search, requests, round }) = &self.open[cell] else { return };
        let waiting = requests.iter().zip(round).enumerate().filter(|(_, (_, trial))| trial.is_none());
        let tickets =
            waiting.map(|(place, (request, _))| Ticket { cell, round: search.rounds(), place, request: *request });
        self.tickets.extend(tickets);
        if round.iter().all(Option::is_some) {
            self.ready.push_back(cell);
        }
    }

    /// The next run to start, if any; searches that have ended on the way are reported to `finished`.
    pub fn pop(
        &mut self,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Ticket>> {
        loop {
            self.settle(finished)?;
            if let Some(ticket) = self.tickets.pop_front() {
                return Ok(Some(ticket));
            } else if let Some(cell) = self.unopened.pop() {
                self.open[cell] = Some(SearchState::begin(&self.sweep.plan, &self.cells[cell]));
                self.ready.push_back(cell);
            } else {
                return Ok(None);
            }
        }
    }

    /// Asks every search whose round is complete for its next one, or reports how it ended.
    pub fn settle(&mut self, finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(cell) = self.ready.pop_front() {
            let open = self.open[cell].as_mut().expect("a ready cell is open");
            open.round.drain(..).flatten().for_each(|trial| open.search.record(trial));
            match open.search.step() {
                SearchStep::Ask(requests) => {
                    let format = self.sweep.format;
                    let unmade = |request: &Request| (!format.holds(request.lr)).then(|| Trial::failed(request.lr));
                    open.round = requests.iter().map(unmade).collect();
                    open.requests = requests;
                    self.go_on(cell);
                }
                SearchStep::Done(outcome) => {
                    let trials = open.search.trials().to_vec();
                    self.open[cell] = None;
                    let result = CellResult { outcome, trials, format: self.sweep.format };
                    if self.falls_back && self.sweep.is_doubtful(&self.cells[cell].cell, &result) {
                        self.doubted.push(cell);
                    }
                    finished(cell, result)?;
                }
            }
        }
        Ok(())
    }

    /// Runs that were started and are in waiting again.
    pub fn put_back(&mut self, tickets: impl DoubleEndedIterator<Item = Ticket>) {
        tickets.rev().for_each(|ticket| self.tickets.push_front(ticket));
    }

    pub fn record(&mut self, ticket: Ticket, trial: Trial) {
        let open = self.open[ticket.cell].as_mut().expect("a cell with a run in flight is open");
        self.experience.add(&self.sweep.plan, &self.cells[ticket.cell].cell, ticket.round == 1, &trial);
        open.round[ticket.place] = Some(trial);
        if open.round.iter().all(Option::is_some) {
            self.ready.push_back(ticket.cell);
        }
    }

    /// Runs in waiting.
    pub fn waiting(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.iter()
    }

    /// The searches in progress, by cell.
    pub fn searches(&self) -> impl Iterator<Item = (usize, &SearchState)> {
        self.open.iter().enumerate().filter_map(|(cell, open)| Some((cell, open.as_ref()?)))
    }

    /// The searches in f64 of cells that have stayed undecided, by their names in checkpoints.
    pub fn doubted(&self) -> impl Iterator<Item = (String, SearchState)> {
        self.doubted.iter().map(|cell| self.sweep.search_in_f64(&self.cells[*cell]))
    }

    /// Steps still to come, where each member of the runs in flight has made so many.
    pub fn left(&self, in_flight: impl Iterator<Item = (Ticket, u64)>) -> StepsLeft {
        let mut estimate = Estimate::new(&self.sweep.plan, &self.experience);
        let cell = |index: usize| &self.cells[index].cell;
        for (ticket, made) in in_flight.chain(self.tickets.iter().map(|ticket| (*ticket, 0))) {
            estimate.run(cell(ticket.cell), ticket.round == 1, made);
        }
        self.searches().for_each(|(index, state)| estimate.rounds(cell(index), state.search.rounds()));
        self.unopened.iter().for_each(|index| estimate.unopened(cell(*index)));
        estimate.left()
    }
}
