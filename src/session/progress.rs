//! How far a sweep has come: cells done, runs alive, config-steps/s, time left, in one line, and the events of `--json`.
//!
//! A terminal gets a bar; where stderr is none, a plain line at the start, every 30 s and at the end. Time comes in as an
//! argument, never from a clock. Not here: what a cell should cost ([`crate::cost`]), or any result; nor how far a training
//! has come, which looks the same but counts runs and epochs ([`training`]).

pub mod training;

use crate::engine::EngineInfo;
use crate::table::ThresholdRow;
use indicatif::{BinaryBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// Between two plain lines.
const LINES: Duration = Duration::from_secs(30);

/// Between two progress events.
const EVENTS: Duration = Duration::from_secs(1);

/// The speed shown is that of this much time.
const WINDOW: Duration = Duration::from_secs(30);

/// Between two looks that are kept.
const GRAIN: Duration = Duration::from_millis(100);

/// Least share of the cost of unfinished cells that is still to come, whatever their runs have cost already.
const STILL: f64 = 0.05;

/// What the machine behind `--json` is told, one JSON object a line.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// First of all.
    Start {
        plan_hash: &'a str,
        cells: usize,
        /// Cells that an interrupted sweep had finished; their events follow at once.
        cells_done: usize,
        #[serde(flatten)]
        engine: &'a EngineInfo,
    },
    /// A finished cell: its row of thresholds.csv.
    Cell(&'a ThresholdRow),
    Progress(Now),
    /// Last of all, once the results folder is there.
    End {
        cells: usize,
        measured: usize,
        runs: usize,
        config_steps: u64,
        seconds: f64,
        folder: &'a str,
    },
}

/// A look at a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Now {
    pub cells_done: usize,
    pub cells: usize,
    pub runs_alive: usize,
    /// Steps of single runs so far.
    pub config_steps: u64,
    pub config_steps_per_second: Option<f64>,
    pub seconds: f64,
    pub seconds_left: Option<f64>,
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{}/{} cells, {} runs",
            HumanCount(self.cells_done as u64),
            HumanCount(self.cells as u64),
            self.runs_alive
        )?;
        if let Some(rate) = self.config_steps_per_second {
            write!(f, ", {} config-steps/s", HumanCount(rate as u64))?;
        }
        match self.seconds_left {
            Some(left) if self.cells_done < self.cells => write!(f, ", about {} left", duration(left)),
            _ => Ok(()),
        }
    }
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    // A sweep of longer than this has other problems than its progress.
    let seconds = Duration::try_from_secs_f64(seconds.clamp(0.0, 1e10)).unwrap_or_default();
    if seconds < Duration::from_secs(1) { "1 second".into() } else { HumanDuration(seconds).to_string() }
}

/// Bytes as a person says them.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Counts a sweep's cells against what they were expected to cost.
#[derive(Clone, Debug)]
pub struct Tracker {
    cells: usize,
    cells_done: usize,
    /// Expected config-steps of the cells finished in this session, and of those still to come.
    cost_done: f64,
    cost_left: f64,
    /// What one cell is expected to cost: the weight of the expectation against what is seen.
    cost_of_one: f64,
    /// Config-steps that the finished cells really took.
    spent: u64,
    runs_alive: usize,
    /// Time and config-steps, of the last `WINDOW` and one before it.
    seen: VecDeque<(Duration, u64)>,
}

impl Tracker {
    /// `costs` are those of the cells still to measure, in config-steps; `done` others were finished in an earlier session.
    pub fn new(costs: impl ExactSizeIterator<Item = f64>, done: usize) -> Self {
        let rest = costs.len();
        let cost_left: f64 = costs.sum();
        Self {
            cells: done + rest,
            cells_done: done,
            cost_done: 0.0,
            cost_left,
            cost_of_one: cost_left / rest.max(1) as f64,
            spent: 0,
            runs_alive: 0,
            seen: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    /// A cell is finished: what it should have cost, and what it did.
    pub fn cell(&mut self, cost: f64, steps: u64) {
        self.cells_done += 1;
        self.cost_done += cost;
        self.cost_left = (self.cost_left - cost).max(0.0);
        self.spent += steps;
    }

    /// Another block of steps is done.
    pub fn advance(&mut self, elapsed: Duration, runs_alive: usize, config_steps: u64) {
        self.runs_alive = runs_alive;
        // Looks that follow each other closely share a place: a fast device would fill the window with millions.
        if self.seen.len() > 1 && elapsed.saturating_sub(self.seen[self.seen.len() - 2].0) < GRAIN {
            self.seen.pop_back();
        }
        self.seen.push_back((elapsed, config_steps));
        while self.seen.len() > 2 && elapsed.saturating_sub(self.seen[1].0) >= WINDOW {
            self.seen.pop_front();
        }
    }

    pub fn now(&self) -> Now {
        let (first, last) = (self.seen[0], self.seen[self.seen.len() - 1]);
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        let rate = (last.1.saturating_sub(first.1)) as f64 / seconds;
        let rate = (rate.is_finite() && rate > 0.0).then_some(rate);
        Now {
            cells_done: self.cells_done,
            cells: self.cells,
            runs_alive: self.runs_alive,
            config_steps: last.1,
            config_steps_per_second: rate,
            seconds: last.0.as_secs_f64(),
            seconds_left: rate.map(|rate| self.steps_left(last.1) / rate),
        }
    }

    /// Config-steps still to come: the cost of unfinished cells, corrected by how much finished ones differed from theirs,
    /// less what their runs have taken already.
    fn steps_left(&self, config_steps: u64) -> f64 {
        if self.cells_done == self.cells {
            return 0.0;
        }
        let differed = (self.spent as f64 + self.cost_of_one) / (self.cost_done + self.cost_of_one);
        let cost = self.cost_left * differed;
        let begun = config_steps.saturating_sub(self.spent) as f64;
        (cost - begun).max(STILL * cost)
    }
}

/// Lets something through at most once in a period; the first at once.
#[derive(Clone, Debug)]
struct Every {
    period: Duration,
    last: Option<Duration>,
}

impl Every {
    fn new(period: Duration) -> Self {
        Self { period, last: None }
    }

    fn is_due(&mut self, elapsed: Duration) -> bool {
        let due = self.last.is_none_or(|last| elapsed.saturating_sub(last) >= self.period);
        if due {
            self.last = Some(elapsed);
        }
        due
    }
}

/// Where progress is shown.
#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines(Every),
    Nothing,
}

impl Show {
    /// Of `length` things, whatever they are.
    fn new(length: u64, quiet: bool) -> Self {
        if quiet {
            Self::Nothing
        } else if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {msg}").expect("the template is well-formed");
            Self::Bar(ProgressBar::new(length).with_style(style))
        } else {
            Self::Lines(Every::new(LINES))
        }
    }

    /// Shows how many of the things are done and the line about it, if it is time.
    fn update(&mut self, elapsed: Duration, now: impl Fn() -> (u64, String)) {
        match self {
            Self::Bar(bar) => {
                let (done, line) = now();
                bar.set_position(done);
                bar.set_message(line);
            }
            Self::Lines(every) => {
                if every.is_due(elapsed) {
                    eprintln!("progress {}", now().1);
                }
            }
            Self::Nothing => {}
        }
    }

    fn warn(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("warning: {line}")),
            Self::Lines(_) | Self::Nothing => eprintln!("warning: {line}"),
        }
    }

    fn finish(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines(_) => eprintln!("progress {line}"),
            Self::Nothing => {}
        }
    }
}

/// Shows a [`Tracker`] to whoever watches.
#[derive(Debug)]
pub struct Progress {
    tracker: Tracker,
    show: Show,
    /// Where events are wanted.
    events: Option<Every>,
}

impl Progress {
    pub fn new(tracker: Tracker, quiet: bool, json: bool) -> Self {
        let show = Show::new(tracker.cells as u64, quiet);
        Self { tracker, show, events: json.then(|| Every::new(EVENTS)) }
    }

    /// See [`Tracker::cell`].
    pub fn cell(&mut self, cost: f64, steps: u64) {
        self.tracker.cell(cost, steps);
    }

    /// See [`Tracker::advance`]. Gives back what the machine is to be told, if anything is due.
    pub fn advance(&mut self, elapsed: Duration, runs_alive: usize, config_steps: u64) -> Option<Event<'static>> {
        self.tracker.advance(elapsed, runs_alive, config_steps);
        self.show.update(elapsed, || {
            let now = self.tracker.now();
            (now.cells_done as u64, now.to_string())
        });
        let due = self.events.as_mut().is_some_and(|every| every.is_due(elapsed));
        due.then(|| Event::Progress(self.tracker.now()))
    }

    /// Says what cannot wait, above the bar if there is one, whatever else is asked to be quiet.
    pub fn warn(&self, line: &str) {
        self.show.warn(line);
    }

    /// The last look. Nothing is alive any more.
    pub fn finish(mut self) -> Now {
        self.tracker.runs_alive = 0;
        let now = self.tracker.now();
        self.show.finish(&now.to_string());
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_left_follows_the_cost_of_cells_not_their_number() {
        // Nine short cells and one that costs as much as all of them: 100 config-steps a second.
        let costs = std::iter::repeat_n(100.0, 9).chain([900.0]).collect::<Vec<_>>();
        let mut tracker = Tracker::new(costs.iter().copied(), 0);
        assert_eq!(tracker.now().seconds_left, None, "no speed has been seen");
        tracker.advance(seconds(1), 4, 100);
        assert_eq!(tracker.now().seconds_left, Some(17.0));
        (0..9).for_each(|_| tracker.cell(100.0, 100));
        tracker.advance(seconds(9), 1, 900);
        let now = tracker.now();
        assert_eq!((now.cells_done, now.seconds_left), (9, Some(9.0)));
        assert_eq!(now.to_string(), "9/10 cells, 1 runs, 100 config-steps/s, about 9 seconds left");
        // The long cell takes longer than expected: something is always left.
        tracker.advance(seconds(30), 1, 3000);
        assert_eq!(tracker.now().seconds_left, Some(0.45));
        tracker.cell(900.0, 2100);
        assert_eq!(tracker.now().to_string(), "10/10 cells, 1 runs, 100 config-steps/s");
    }

    #[test]
    fn cells_that_cost_more_than_expected_make_the_rest_longer() {
        let mut tracker = Tracker::new([100.0; 101].into_iter(), 7);
        (0..50).for_each(|_| tracker.cell(100.0, 300));
        tracker.advance(seconds(15), 4, 15_000);
        let now = tracker.now();
        assert_eq!((now.cells_done, now.cells), (57, 108));
        let expected = 51.0 * 100.0 * (15_100.0 / 5_100.0) / 1000.0;
        assert!((now.seconds_left.unwrap() - expected).abs() < 1e-9, "{now:?}");
    }

    #[test]
    fn speed_is_that_of_the_last_half_minute() {
        let mut tracker = Tracker::new([1e6].into_iter(), 0);
        (1..=100).for_each(|second| tracker.advance(seconds(second), 1, 10 * second.min(60)));
        assert_eq!(tracker.now().config_steps_per_second, None, "it has stood still for longer than the window");
        (101..=130).for_each(|second| tracker.advance(seconds(second), 1, 600 + 7 * (second - 100)));
        assert_eq!(tracker.now().config_steps_per_second, Some(7.0));
        assert!(tracker.seen.len() < 40, "memory stays flat");
    }

    #[test]
    fn a_line_every_half_minute_and_the_first_at_once() {
        let mut every = Every::new(LINES);
        let due: Vec<u64> = (0..100).filter(|second| every.is_due(seconds(*second))).collect();
        assert_eq!(due, [0, 30, 60, 90]);
    }

    #[test]
    fn events_name_themselves() {
        let tracker = Tracker::new([1.0].into_iter(), 1);
        assert_eq!(
            serde_json::to_string(&Event::Progress(tracker.now())).unwrap(),
            r#"{"event":"progress","cells_done":1,"cells":2,"runs_alive":0,"config_steps":0,"config_steps_per_second":null,"seconds":0.0,"seconds_left":null}"#
        );
    }

    #[test]
    fn absurd_times_are_still_shown() {
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 0.3, 1e300] {
            assert!(!duration(seconds).is_empty());
        }
    }
}
