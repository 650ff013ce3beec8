//! The runs that the cells' searches ask for, in waiting.

use super::CellResult;
use crate::plan::{Cell, SweepPlan};
use crate::threshold::{Request, Search, SearchStep, Trial};
use std::collections::VecDeque;

/// A requested run: the cell's index and the request's place in its round.
#[derive(Clone, Copy)]
pub struct Ticket {
    pub cell: usize,
    place: usize,
    pub request: Request,
}

/// A cell whose search has begun.
struct Open {
    search: Search,
    /// Trials of the current round, in the order of the requests.
    round: Vec<Option<Trial>>,
}

/// Requests in waiting. Cells are opened longest delay first, because those take longest and would otherwise run alone
/// at the end; a search sees nothing but its own trials, so the order changes no result.
pub struct Queue<'a> {
    plan: &'a SweepPlan,
    cells: &'a [(Cell, f64)],
    unopened: Vec<usize>,
    open: Vec<Option<Open>>,
    tickets: VecDeque<Ticket>,
    /// Cells whose round is complete and whose search must be asked what is next.
    ready: VecDeque<usize>,
}

impl<'a> Queue<'a> {
    pub fn new(plan: &'a SweepPlan, cells: &'a [(Cell, f64)]) -> Self {
        let mut unopened: Vec<usize> = (0..cells.len()).rev().collect();
        unopened.sort_by_key(|index| cells[*index].0.schedule.slots());
        let open = cells.iter().map(|_| None).collect();
        Self { plan, cells, unopened, open, tickets: VecDeque::new(), ready: VecDeque::new() }
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
                let (of, guess) = &self.cells[cell];
                let search = Search::new(*guess, self.plan.limits(of.criterion).tolerance, of.criterion);
                self.open[cell] = Some(Open { search, round: Vec::new() });
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
            match open.search.step() {
                SearchStep::Ask(requests) => {
                    open.round = requests.iter().map(|_| None).collect();
                    let tickets = requests.into_iter().enumerate();
                    self.tickets.extend(tickets.map(|(place, request)| Ticket { cell, place, request }));
                }
                SearchStep::Done(outcome) => {
                    let trials = open.search.trials().to_vec();
                    self.open[cell] = None;
                    finished(cell, CellResult { outcome, trials })?;
                }
            }
        }
        Ok(())
    }

    /// Runs that must be made from their start.
    pub fn put_back(&mut self, tickets: impl DoubleEndedIterator<Item = Ticket>) {
        tickets.rev().for_each(|ticket| self.tickets.push_front(ticket));
    }

    pub fn record(&mut self, ticket: Ticket, trial: Trial) {
        let open = self.open[ticket.cell].as_mut().expect("a cell with a run in flight is open");
        open.round[ticket.place] = Some(trial);
        if open.round.iter().all(Option::is_some) {
            open.round.drain(..).flatten().for_each(|trial| open.search.record(trial));
            self.ready.push_back(ticket.cell);
        }
    }
}
