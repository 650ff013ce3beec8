//! What comes before the units of a job: a sweep's search for its minimum, shown to whoever watches and stopped by a signal.
//!
//! A terminal gets a line that changes; where stderr is none, a plain line after a few seconds and then every 30 s. Not here: the
//! search itself ([`crate::minimum`]), nor the progress of units ([`super::progress`]).

use super::folder::Folder;
use super::job::{EntryOf, Job, Stage};
use super::progress::duration;
use super::signals::{Interrupt, Interrupted};
use super::{Session, as_map};
use crate::minimum::{MinimumError, Seen};
use crate::streams::{stderr_is_terminal, to_stderr};
use crate::table::number::significant;
use anyhow::Result;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A search that is over before is not worth a line.
const FIRST_LINE: Duration = Duration::from_secs(3);

/// Time between two plain lines, two events, and two changes of the line on a terminal.
const LINES: Duration = Duration::from_secs(30);
const EVENTS: Duration = Duration::from_secs(1);
const CHANGES: Duration = Duration::from_millis(100);

/// When the next line and the next event are due, as times since the search began.
struct Shown {
    bar: Option<ProgressBar>,
    line: Duration,
    event: Duration,
}

impl Session {
    /// Lets a job settle what its units need. A folder in which nothing is worth keeping is not left behind by a failure.
    ///
    /// # Errors
    /// Where the job cannot settle it; [`Interrupted`] where a signal arrived first.
    pub(super) fn settle<J: Job>(
        &self,
        job: &J,
        folder: Folder<EntryOf<J>>,
        interrupt: &Interrupt,
    ) -> Result<Folder<EntryOf<J>>> {
        let since = Instant::now();
        let bar = (!self.quiet && stderr_is_terminal()).then(|| {
            ProgressBar::new_spinner()
                .with_style(ProgressStyle::with_template("{msg}").expect("the template is well-formed"))
        });
        let line = if bar.is_some() { CHANGES } else { FIRST_LINE };
        let shown = RefCell::new(Shown { bar, line, event: EVENTS });
        let dir = folder.dir().to_owned();
        let settled = job.settle(&mut Stage {
            dir: Some(&dir),
            say: &|line| {
                shown.borrow_mut().clear();
                self.say(line);
            },
            watch: &mut |seen| {
                if let Some(event) = shown.borrow_mut().show(self.quiet, since.elapsed(), seen) {
                    self.tell(&event);
                }
                match interrupt.received() {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            },
        });
        shown.borrow_mut().clear();
        match settled {
            Ok(ControlFlow::Continue(())) => Ok(folder),
            Ok(ControlFlow::Break(kept)) => {
                let signal = interrupt.received().unwrap_or_default();
                let target = self.target.display();
                let message = format!("interrupted: {kept}; the same command with --resume and --out {target} goes on");
                Err(Interrupted { signal, message }.into())
            }
            Err(error) => {
                if !error.downcast_ref().is_some_and(MinimumError::can_go_on) {
                    folder.withdraw()?;
                }
                Err(error)
            }
        }
    }
}

impl Shown {
    /// Shows what was seen, if it is time. Returns the event that is due, if any.
    fn show(&mut self, quiet: bool, elapsed: Duration, seen: &Seen) -> Option<Value> {
        if let Some(bar) = &self.bar {
            if elapsed >= self.line {
                self.line = elapsed + CHANGES;
                bar.set_message(line(elapsed, seen));
                bar.tick();
            }
        } else if !quiet && elapsed >= self.line {
            self.line = elapsed + LINES;
            to_stderr(&line(elapsed, seen));
        }
        if elapsed < self.event {
            return None;
        }
        self.event = elapsed + EVENTS;
        Some(event(elapsed, seen))
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn line(elapsed: Duration, seen: &Seen) -> String {
    let time = duration(elapsed.as_secs_f64());
    match seen {
        Seen::Descent { evaluations, gradient_max, loss } => format!(
            "minimum  {} evaluations, loss {}, max|gradient| {}, {time}",
            HumanCount(*evaluations),
            significant(*loss, 6),
            significant(*gradient_max, 2)
        ),
        Seen::Certificate { products } => {
            format!("minimum  eigenvalues of the Hessian, {} products, {time}", HumanCount(*products))
        }
    }
}

fn event(elapsed: Duration, seen: &Seen) -> Value {
    let mut event = as_map(json!({"event": "minimum"}));
    event.extend(as_map(match seen {
        Seen::Descent { evaluations, gradient_max, loss } => {
            json!({"evaluations": evaluations, "loss": loss, "gradient_max": gradient_max})
        }
        Seen::Certificate { products } => json!({"products": products}),
    }));
    event.insert("seconds".into(), elapsed.as_secs_f64().into());
    Value::Object(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_shown_after_three_seconds_and_then_every_half_minute() {
        let mut shown = Shown { bar: None, line: FIRST_LINE, event: EVENTS };
        let seen = Seen::Descent { evaluations: 1234, gradient_max: 1.25e-5, loss: 0.5 };
        let due = |shown: &mut Shown, second: u64| {
            let before = shown.line;
            let event = shown.show(false, Duration::from_secs(second), &seen);
            (shown.line != before, event.is_some())
        };
        assert_eq!(due(&mut shown, 0), (false, false));
        assert_eq!(due(&mut shown, 1), (false, true));
        assert_eq!(due(&mut shown, 3), (true, true));
        let lines: Vec<u64> = (4..100).filter(|second| due(&mut shown, *second).0).collect();
        assert_eq!(lines, [33, 63, 93]);
        assert_eq!(line(LINES, &seen), "minimum  1,234 evaluations, loss 0.5, max|gradient| 1.3e-5, 30 seconds");
        assert_eq!(
            event(LINES, &Seen::Certificate { products: 7 }).to_string(),
            r#"{"event":"minimum","products":7,"seconds":30.0}"#
        );
    }
}
