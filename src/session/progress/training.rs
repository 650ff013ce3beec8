//! How far a training has come: epochs of the present wave, runs done and alive, config-steps/s, time left, in one line, and
//! the events of `tauscope train --json`.

use super::{EVENTS, Every, Show, duration};
use crate::engine::EngineInfo;
use crate::table::TrainRow;
use crate::train::Progress as Reach;
use indicatif::HumanCount;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What the machine behind `--json` is told, one JSON object a line.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// First of all.
    Start {
        plan_hash: &'a str,
        runs: usize,
        groups: usize,
        #[serde(flatten)]
        engine: &'a EngineInfo,
    },
    /// A run that has ended: its row of runs.csv.
    Run(Box<TrainRow>),
    Progress(Now),
    /// Last of all, once the results folder is there.
    End {
        runs: usize,
        diverged: usize,
        config_steps: u64,
        seconds: f64,
        folder: &'a str,
    },
}

/// A look at a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Now {
    pub runs_done: usize,
    pub runs: usize,
    pub runs_alive: usize,
    /// Of the present wave.
    pub epoch: u64,
    pub epochs: u64,
    /// Steps of single runs so far.
    pub config_steps: u64,
    pub config_steps_per_second: Option<f64>,
    pub seconds: f64,
    pub seconds_left: Option<f64>,
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { runs_done, runs, runs_alive, epoch, epochs, .. } = self;
        write!(f, "{runs_done}/{runs} runs, {runs_alive} alive in epoch {epoch} of {epochs}")?;
        if let Some(rate) = self.config_steps_per_second {
            write!(f, ", {} config-steps/s", HumanCount(rate as u64))?;
        }
        match self.seconds_left {
            Some(left) if runs_done < runs => write!(f, ", about {} left", duration(left)),
            _ => Ok(()),
        }
    }
}

/// Shows how far a training has come to whoever watches.
#[derive(Debug)]
pub struct Progress {
    now: Now,
    show: Show,
    /// Where events are wanted.
    events: Option<Every>,
}

impl Progress {
    /// Of `runs` runs of `epochs` epochs that make `steps` steps in all, if none diverges.
    pub fn new(runs: usize, epochs: u64, steps: u64, quiet: bool, json: bool) -> Self {
        let now = Now {
            runs_done: 0,
            runs,
            runs_alive: 0,
            epoch: 0,
            epochs,
            config_steps: 0,
            config_steps_per_second: None,
            seconds: 0.0,
            seconds_left: None,
        };
        Self { now, show: Show::new(steps, quiet), events: json.then(|| Every::new(EVENTS)) }
    }

    /// A run has ended.
    pub fn run(&mut self) {
        self.now.runs_done += 1;
    }

    /// Another block of steps is done. Gives back what the machine is to be told, if anything is due.
    pub fn advance(&mut self, elapsed: Duration, reach: &Reach) -> Option<Event<'static>> {
        let seconds = elapsed.as_secs_f64();
        // Evaluations are in it: they go on at the same pace.
        let rate = reach.config_steps as f64 / seconds;
        let rate = (rate.is_finite() && rate > 0.0).then_some(rate);
        let Reach { lanes, epoch, config_steps, left, .. } = *reach;
        let now = Now {
            runs_alive: lanes,
            epoch,
            config_steps,
            config_steps_per_second: rate,
            seconds,
            seconds_left: rate.map(|rate| left as f64 / rate),
            ..self.now
        };
        self.now = now;
        self.show.update(elapsed, || (config_steps, now.to_string()));
        let due = self.events.as_mut().is_some_and(|every| every.is_due(elapsed));
        due.then_some(Event::Progress(now))
    }

    /// See [`super::Progress::warn`].
    pub fn warn(&self, line: &str) {
        self.show.warn(line);
    }

    /// The last look. Nothing is alive any more.
    pub fn finish(self) -> Now {
        let now = Now { runs_alive: 0, ..self.now };
        self.show.finish(&now.to_string());
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_that_of_the_steps_to_come() {
        let mut progress = Progress::new(3, 40, 3000, true, false);
        progress.run();
        let reach = Reach { lanes: 2, epoch: 10, config_steps: 1000, left: 500, mended: &[] };
        assert!(progress.advance(Duration::from_secs(10), &reach).is_none());
        assert_eq!(
            progress.now.to_string(),
            "1/3 runs, 2 alive in epoch 10 of 40, 100 config-steps/s, about 5 seconds left"
        );
        assert_eq!(progress.finish().runs_alive, 0);
    }
}
