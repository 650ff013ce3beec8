//! How far a job has come: units finished, runs alive, steps per second, time left, in one line, and the event of `--json`.
//!
//! A terminal gets a bar; where stderr is none, a plain line at the start, every 30 s and at the end. Time comes in as an
//! argument, never from a clock. Not here: how many steps are left ([`Progress::left`] asks the job), or any result.

use super::kind::Kind;
use crate::streams::{stderr_is_terminal, to_stderr, warn};
use crate::text::counted;
use indicatif::{BinaryBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Time between two plain lines.
const LINES: Duration = Duration::from_secs(30);

/// Time between two progress events.
const EVENTS: Duration = Duration::from_secs(1);

/// The speed shown is that of this much time.
const WINDOW: Duration = Duration::from_secs(30);

/// Time between two readings that are kept.
const GRAIN: Duration = Duration::from_millis(100);

/// Time between two drawings of the bar.
const DRAWINGS: Duration = Duration::from_millis(200);

/// Steps of single runs that are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct StepsLeft {
    /// The true number lies between these, more likely than not.
    pub low: f64,
    pub high: f64,
    pub likely: f64,
}

impl StepsLeft {
    /// A number that is known.
    pub fn exactly(steps: u64) -> Self {
        let likely = steps as f64;
        Self { low: likely, likely, high: likely }
    }
}

impl Add for StepsLeft {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { low, likely, high } = other;
        Self { low: self.low + low, likely: self.likely + likely, high: self.high + high }
    }
}

/// What a job tells after every block of steps.
#[derive(Clone, Copy, Default)]
pub struct Progress<'a> {
    /// Runs that were alive in the last block.
    pub alive: usize,
    /// Steps of single runs so far, those that had to be made again counted twice.
    pub config_steps: u64,
    /// Counts or estimates the steps that are still to come; asked only where it is shown.
    pub left: Option<&'a dyn Fn() -> StepsLeft>,
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
    seconds_left: Option<StepsLeft>,
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
        event.insert("seconds_left".into(), seconds_left.map(|left| left.likely).into());
        event.insert("seconds_left_low".into(), seconds_left.map(|left| left.low).into());
        event.insert("seconds_left_high".into(), seconds_left.map(|left| left.high).into());
        Value::Object(event)
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (done, units) = (HumanCount(self.done as u64), HumanCount(self.units as u64));
        write!(f, "{done}/{units} {}, {} alive", self.kind.units, counted(self.alive, "run"))?;
        if let Some((epoch, epochs)) = self.epoch {
            write!(f, " in epoch {epoch} of {epochs}")?;
        }
        if let Some(rate) = self.rate {
            write!(f, ", {} config-steps/s", HumanCount(rate as u64))?;
        }
        match self.seconds_left {
            Some(left) if self.done < self.units => write!(f, ", about {} left", range(left.low, left.high)),
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

/// A range of seconds as a person says it: `2 to 5 minutes`.
fn range(low: f64, high: f64) -> String {
    let (low, high) = (duration(low), duration(high));
    match (low.split_once(' '), high.split_once(' ')) {
        _ if low == high => high,
        (Some((count, unit)), Some((_, same))) if unit.trim_end_matches('s') == same.trim_end_matches('s') => {
            format!("{count} to {high}")
        }
        _ => format!("{low} to {high}"),
    }
}

/// Bytes as a person says them.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Counts a job's units and steps.
#[derive(Clone, Debug)]
struct Tracker {
    kind: Kind,
    units: usize,
    done: usize,
    alive: usize,
    epoch: Option<(u64, u64)>,
    /// Time and steps, of the last `WINDOW` and one reading before it.
    seen: VecDeque<(Duration, u64)>,
}

impl Tracker {
    /// `done` of the `units` were finished by an earlier process.
    fn new(kind: Kind, units: usize, done: usize) -> Self {
        Self { kind, units, done, alive: 0, epoch: None, seen: VecDeque::from([(Duration::ZERO, 0)]) }
    }

    /// Another block of steps is done.
    fn advance(&mut self, elapsed: Duration, progress: &Progress) {
        let Progress { alive, config_steps, epoch, .. } = *progress;
        (self.alive, self.epoch) = (alive, epoch);
        // Readings that follow each other closely share a place: a fast device would fill the window with millions.
        if self.seen.len() > 1 && elapsed.saturating_sub(self.seen[self.seen.len() - 2].0) < GRAIN {
            self.seen.pop_back();
        }
        self.seen.push_back((elapsed, config_steps));
        while self.seen.len() > 2 && elapsed.saturating_sub(self.seen[1].0) >= WINDOW {
            self.seen.pop_front();
        }
    }

    /// A reading, where so many steps are left.
    fn now(&self, left: Option<StepsLeft>) -> Now {
        let (first, last) = (self.seen[0], self.seen[self.seen.len() - 1]);
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        let rate = (last.1.saturating_sub(first.1)) as f64 / seconds;
        let rate = (rate.is_finite() && rate > 0.0).then_some(rate);
        let left = if self.done == self.units { Some(StepsLeft::default()) } else { left };
        let in_time = |(StepsLeft { low, likely, high }, rate): (StepsLeft, f64)| StepsLeft {
            low: low / rate,
            likely: likely / rate,
            high: high / rate,
        };
        Now {
            kind: self.kind,
            done: self.done,
            units: self.units,
            alive: self.alive,
            epoch: self.epoch,
            config_steps: last.1,
            rate,
            seconds: last.0.as_secs_f64(),
            seconds_left: left.zip(rate).map(in_time),
        }
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
    Bar(ProgressBar, Every),
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
    /// `done` of the `units` were finished by an earlier process.
    pub fn new(kind: Kind, units: usize, done: usize, quiet: bool, json: bool) -> Self {
        let tracker = Tracker::new(kind, units, done);
        let show = if quiet {
            Show::Nothing
        } else if stderr_is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {msg}").expect("the template is well-formed");
            Show::Bar(ProgressBar::new(1000).with_style(style), Every::new(DRAWINGS))
        } else {
            Show::Lines(Every::new(LINES))
        };
        Self { tracker, show, events: json.then(|| Every::new(EVENTS)) }
    }

    /// A unit is finished.
    pub fn unit(&mut self) {
        self.tracker.done += 1;
    }

    /// Another block of steps is done. Returns the event that is due, if any.
    pub fn advance(&mut self, elapsed: Duration, progress: &Progress) -> Option<Value> {
        self.tracker.advance(elapsed, progress);
        let now = || self.tracker.now(progress.left.map(|left| left()));
        match &mut self.show {
            Show::Bar(bar, every) => {
                if every.is_due(elapsed) {
                    let now = now();
                    let share =
                        now.seconds_left.map_or(0.0, |left| now.seconds / (now.seconds + left.likely).max(1e-9));
                    bar.set_position((1000.0 * share) as u64);
                    bar.set_message(now.to_string());
                }
            }
            Show::Lines(every) => {
                if every.is_due(elapsed) {
                    to_stderr(&format!("progress {}", now()));
                }
            }
            Show::Nothing => {}
        }
        let due = self.events.as_mut().is_some_and(|every| every.is_due(elapsed));
        due.then(|| now().event())
    }

    /// Prints a warning, above the bar if there is one, whatever else is asked to be quiet.
    pub fn warn(&self, line: &str) {
        match &self.show {
            Show::Bar(bar, _) => bar.suspend(|| warn(line)),
            Show::Lines(_) | Show::Nothing => warn(line),
        }
    }

    /// The last line, and its event. Nothing is alive any more.
    pub fn finish(mut self) -> Value {
        self.tracker.alive = 0;
        let now = self.tracker.now(None);
        match &self.show {
            Show::Bar(bar, _) => bar.finish_and_clear(),
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
    fn time_left_is_that_of_the_steps_to_come_at_the_present_speed() {
        let mut tracker = Tracker::new(Kind::SWEEP, 10, 2);
        let left = StepsLeft { low: 6_000.0, likely: 9_000.0, high: 30_000.0 };
        assert_eq!(tracker.now(Some(left)).seconds_left, None, "no speed has been seen");
        tracker.advance(seconds(1), &steps(4, 100));
        let now = tracker.now(Some(left));
        assert_eq!(now.seconds_left, Some(StepsLeft { low: 60.0, likely: 90.0, high: 300.0 }));
        assert_eq!(now.to_string(), "2/10 cells, 4 runs alive, 100 config-steps/s, about 60 seconds to 5 minutes left");
        tracker.done = 10;
        assert_eq!(tracker.now(Some(left)).to_string(), "10/10 cells, 4 runs alive, 100 config-steps/s");

        let mut tracker = Tracker::new(Kind::TRAINING, 3, 1);
        tracker.advance(seconds(10), &Progress { epoch: Some((10, 40)), ..steps(2, 1000) });
        assert_eq!(
            tracker.now(Some(StepsLeft::exactly(500))).to_string(),
            "1/3 runs, 2 runs alive in epoch 10 of 40, 100 config-steps/s, about 5 seconds left"
        );
    }

    #[test]
    fn ranges_name_their_unit_once() {
        assert_eq!(range(120.0, 300.0), "2 to 5 minutes");
        assert_eq!(range(200.0, 201.0), "3 minutes");
        assert_eq!(range(1.0, 20.0), "1 to 20 seconds");
        assert_eq!(range(30.0, 3000.0), "30 seconds to 50 minutes");
    }

    #[test]
    fn speed_is_that_of_the_last_half_minute() {
        let mut tracker = Tracker::new(Kind::SWEEP, 1, 0);
        (1..=100).for_each(|second| tracker.advance(seconds(second), &steps(1, 10 * second.min(60))));
        assert_eq!(tracker.now(None).rate, None, "it has stood still for longer than the window");
        (101..=130).for_each(|second| tracker.advance(seconds(second), &steps(1, 600 + 7 * (second - 100))));
        assert_eq!(tracker.now(None).rate, Some(7.0));
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
        let tracker = Tracker::new(Kind::SWEEP, 2, 1);
        assert_eq!(
            tracker.now(None).event().to_string(),
            r#"{"event":"progress","cells_done":1,"cells":2,"runs_alive":0,"config_steps":0,"config_steps_per_second":null,"seconds":0.0,"seconds_left":null,"seconds_left_low":null,"seconds_left_high":null}"#
        );
    }

    #[test]
    fn absurd_times_are_still_shown() {
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 0.3, 1e300] {
            assert!(!duration(seconds).is_empty());
        }
    }
}
