//! How far a job has come: units finished, runs alive, steps per second, time left, in one line, and the event of `--json`.
//!
//! A terminal gets a bar; where stderr is none, a plain line at the start, every 30 s and at the end. Time comes in as an
//! argument, never from a clock. Not here: what a unit should cost ([`super::Job::cost`]), or any result.

use super::kind::Kind;
use crate::streams::{to_stderr, warn};
use indicatif::{BinaryBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// Time between two plain lines.
const LINES: Duration = Duration::from_secs(30);

/// Time between two progress events.
const EVENTS: Duration = Duration::from_secs(1);

/// The speed shown is that of this much time.
const WINDOW: Duration = Duration::from_secs(30);

/// Time between two readings that are kept.
const GRAIN: Duration = Duration::from_millis(100);

/// Least share of the cost of unfinished units that is still to come, whatever their runs have cost already.
const STILL: f64 = 0.05;

/// What a job tells after every block of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress<'a> {
    /// Runs that were alive in the last block.
    pub alive: usize,
    /// Steps of single runs so far, those that had to be made again counted twice.
    pub config_steps: u64,
    /// Steps of single runs still to come, where they are known; else they are estimated from the units' costs.
    pub left: Option<u64>,
    /// Epochs that the runs have made, of how many, where they advance together.
    pub epoch: Option<(u64, u64)>,
    /// What the device failed at, and what was done about it.
    pub mended: &'a [String],
    /// What a user should know of the checkpoints: files that are damaged, a disk that is full.
    pub warnings: &'a [String],
}

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Now {
    kind: Kind,
    done: usize,
    units: usize,
    alive: usize,
    epoch: Option<(u64, u64)>,
    config_steps: u64,
    rate: Option<f64>,
    seconds: f64,
    seconds_left: Option<f64>,
}

impl Now {
    fn event(&self) -> Value {
        let Self { kind, done, units, alive, epoch, config_steps, rate, seconds, seconds_left } = self;
        let mut event = super::as_map(json!({"event": "progress"}));
        event.insert(format!("{}_done", kind.units), (*done).into());
        event.insert(kind.units.into(), (*units).into());
        event.insert("runs_alive".into(), (*alive).into());
        if let Some((epoch, epochs)) = epoch {
            event.insert("epoch".into(), (*epoch).into());
            event.insert("epochs".into(), (*epochs).into());
        }
        event.insert("config_steps".into(), (*config_steps).into());
        event.insert("config_steps_per_second".into(), (*rate).into());
        event.insert("seconds".into(), (*seconds).into());
        event.insert("seconds_left".into(), (*seconds_left).into());
        Value::Object(event)
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (done, units) = (HumanCount(self.done as u64), HumanCount(self.units as u64));
        write!(f, "{done}/{units} {}, {} runs alive", self.kind.units, self.alive)?;
        if let Some((epoch, epochs)) = self.epoch {
            write!(f, " in epoch {epoch} of {epochs}")?;
        }
        if let Some(rate) = self.rate {
            write!(f, ", {} config-steps/s", HumanCount(rate as u64))?;
        }
        match self.seconds_left {
            Some(left) if self.done < self.units => write!(f, ", about {} left", duration(left)),
            _ => Ok(()),
        }
    }
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    // A job of longer than this has other problems than its progress.
    let seconds = Duration::try_from_secs_f64(seconds.clamp(0.0, 1e10)).unwrap_or_default();
    if seconds < Duration::from_secs(1) { "1 second".into() } else { HumanDuration(seconds).to_string() }
}

/// Bytes as a person says them.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Counts a job's units against what they were expected to cost.
#[derive(Clone, Debug)]
struct Tracker {
    kind: Kind,
    units: usize,
    done: usize,
    /// Expected steps of the units finished by this process, and of those still to come.
    cost_done: f64,
    cost_left: f64,
    /// Expected steps of one unit: the weight of the expectation against what is seen.
    cost_of_one: f64,
    /// Steps that the finished units really took.
    spent: u64,
    alive: usize,
    epoch: Option<(u64, u64)>,
    /// Steps still to come, where the job knows them.
    left: Option<u64>,
    /// Time and steps, of the last `WINDOW` and one reading before it.
    seen: VecDeque<(Duration, u64)>,
}

impl Tracker {
    /// `costs` are those of the units still to do, in steps; `done` others were finished by an earlier process.
    fn new(kind: Kind, costs: impl ExactSizeIterator<Item = f64>, done: usize) -> Self {
        let rest = costs.len();
        let cost_left: f64 = costs.sum();
        Self {
            kind,
            units: done + rest,
            done,
            cost_done: 0.0,
            cost_left,
            cost_of_one: cost_left / rest.max(1) as f64,
            spent: 0,
            alive: 0,
            epoch: None,
            left: None,
            seen: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    /// A unit is finished: what it should have cost, and what it did.
    fn unit(&mut self, cost: f64, steps: u64) {
        self.done += 1;
        self.cost_done += cost;
        self.cost_left = (self.cost_left - cost).max(0.0);
        self.spent += steps;
    }

    /// Another block of steps is done.
    fn advance(&mut self, elapsed: Duration, progress: &Progress) {
        let Progress { alive, config_steps, left, epoch, .. } = *progress;
        (self.alive, self.left, self.epoch) = (alive, left, epoch);
        // Readings that follow each other closely share a place: a fast device would fill the window with millions.
        if self.seen.len() > 1 && elapsed.saturating_sub(self.seen[self.seen.len() - 2].0) < GRAIN {
            self.seen.pop_back();
        }
        self.seen.push_back((elapsed, config_steps));
        while self.seen.len() > 2 && elapsed.saturating_sub(self.seen[1].0) >= WINDOW {
            self.seen.pop_front();
        }
    }

    fn now(&self) -> Now {
        let (first, last) = (self.seen[0], self.seen[self.seen.len() - 1]);
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        let rate = (last.1.saturating_sub(first.1)) as f64 / seconds;
        let rate = (rate.is_finite() && rate > 0.0).then_some(rate);
        Now {
            kind: self.kind,
            done: self.done,
            units: self.units,
            alive: self.alive,
            epoch: self.epoch,
            config_steps: last.1,
            rate,
            seconds: last.0.as_secs_f64(),
            seconds_left: rate.map(|rate| self.steps_left(last.1) / rate),
        }
    }

    /// Steps still to come: as the job says, else the cost of unfinished units, corrected by how much finished ones differed
    /// from theirs, less what their runs have taken already.
    fn steps_left(&self, config_steps: u64) -> f64 {
        if self.done == self.units {
            return 0.0;
        }
        if let Some(left) = self.left {
            return left as f64;
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

/// Shows progress to whoever watches.
#[derive(Debug)]
pub struct Display {
    tracker: Tracker,
    show: Show,
    /// Where events are wanted.
    events: Option<Every>,
}

impl Display {
    /// For units that cost so many steps each; `done` others were finished by an earlier process.
    pub fn new(kind: Kind, costs: impl ExactSizeIterator<Item = f64>, done: usize, quiet: bool, json: bool) -> Self {
        let tracker = Tracker::new(kind, costs, done);
        let show = if quiet {
            Show::Nothing
        } else if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {msg}").expect("the template is well-formed");
            Show::Bar(ProgressBar::new(1000).with_style(style))
        } else {
            Show::Lines(Every::new(LINES))
        };
        Self { tracker, show, events: json.then(|| Every::new(EVENTS)) }
    }

    /// A unit is finished: what it should have cost, and what it did.
    pub fn unit(&mut self, cost: f64, steps: u64) {
        self.tracker.unit(cost, steps);
    }

    /// Another block of steps is done. Returns the event that is due, if any.
    pub fn advance(&mut self, elapsed: Duration, progress: &Progress) -> Option<Value> {
        self.tracker.advance(elapsed, progress);
        match &mut self.show {
            Show::Bar(bar) => {
                let now = self.tracker.now();
                let left = self.tracker.steps_left(now.config_steps);
                let share = now.config_steps as f64 / (now.config_steps as f64 + left).max(1.0);
                bar.set_position((1000.0 * share) as u64);
                bar.set_message(now.to_string());
            }
            Show::Lines(every) => {
                if every.is_due(elapsed) {
                    to_stderr(&format!("progress {}", self.tracker.now()));
                }
            }
            Show::Nothing => {}
        }
        let due = self.events.as_mut().is_some_and(|every| every.is_due(elapsed));
        due.then(|| self.tracker.now().event())
    }

    /// Prints a warning, above the bar if there is one, whatever else is asked to be quiet.
    pub fn warn(&self, line: &str) {
        match &self.show {
            Show::Bar(bar) => bar.suspend(|| warn(line)),
            Show::Lines(_) | Show::Nothing => warn(line),
        }
    }

    /// The last line, and its event. Nothing is alive any more.
    pub fn finish(mut self) -> Value {
        self.tracker.alive = 0;
        let now = self.tracker.now();
        match &self.show {
            Show::Bar(bar) => bar.finish_and_clear(),
            Show::Lines(_) => to_stderr(&format!("progress {now}")),
            Show::Nothing => {}
        }
        now.event()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn steps(alive: usize, config_steps: u64) -> Progress<'static> {
        Progress { alive, config_steps, ..Progress::default() }
    }

    #[test]
    fn time_left_follows_the_cost_of_cells_not_their_number() {
        // Nine short cells and one that costs as much as all of them: 100 config-steps a second.
        let costs = std::iter::repeat_n(100.0, 9).chain([900.0]).collect::<Vec<_>>();
        let mut tracker = Tracker::new(Kind::SWEEP, costs.iter().copied(), 0);
        assert_eq!(tracker.now().seconds_left, None, "no speed has been seen");
        tracker.advance(seconds(1), &steps(4, 100));
        assert_eq!(tracker.now().seconds_left, Some(17.0));
        (0..9).for_each(|_| tracker.unit(100.0, 100));
        tracker.advance(seconds(9), &steps(1, 900));
        let now = tracker.now();
        assert_eq!((now.done, now.seconds_left), (9, Some(9.0)));
        assert_eq!(now.to_string(), "9/10 cells, 1 runs alive, 100 config-steps/s, about 9 seconds left");
        // The long cell takes longer than expected: something is always left.
        tracker.advance(seconds(30), &steps(1, 3000));
        assert_eq!(tracker.now().seconds_left, Some(0.45));
        tracker.unit(900.0, 2100);
        assert_eq!(tracker.now().to_string(), "10/10 cells, 1 runs alive, 100 config-steps/s");
    }

    #[test]
    fn cells_that_cost_more_than_expected_make_the_rest_longer() {
        let mut tracker = Tracker::new(Kind::SWEEP, [100.0; 101].into_iter(), 7);
        (0..50).for_each(|_| tracker.unit(100.0, 300));
        tracker.advance(seconds(15), &steps(4, 15_000));
        let now = tracker.now();
        assert_eq!((now.done, now.units), (57, 108));
        let expected = 51.0 * 100.0 * (15_100.0 / 5_100.0) / 1000.0;
        assert!((now.seconds_left.unwrap() - expected).abs() < 1e-9, "{now:?}");
    }

    #[test]
    fn time_left_of_a_training_is_that_of_the_steps_to_come() {
        let mut tracker = Tracker::new(Kind::TRAINING, [1000.0; 3].into_iter(), 0);
        tracker.unit(1000.0, 1000);
        let now = Progress { left: Some(500), epoch: Some((10, 40)), ..steps(2, 1000) };
        tracker.advance(seconds(10), &now);
        assert_eq!(
            tracker.now().to_string(),
            "1/3 runs, 2 runs alive in epoch 10 of 40, 100 config-steps/s, about 5 seconds left"
        );
    }

    #[test]
    fn speed_is_that_of_the_last_half_minute() {
        let mut tracker = Tracker::new(Kind::SWEEP, [1e6].into_iter(), 0);
        (1..=100).for_each(|second| tracker.advance(seconds(second), &steps(1, 10 * second.min(60))));
        assert_eq!(tracker.now().rate, None, "it has stood still for longer than the window");
        (101..=130).for_each(|second| tracker.advance(seconds(second), &steps(1, 600 + 7 * (second - 100))));
        assert_eq!(tracker.now().rate, Some(7.0));
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
        let tracker = Tracker::new(Kind::SWEEP, [1.0].into_iter(), 1);
        assert_eq!(
            tracker.now().event().to_string(),
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
