//! Failures of a device, kept until they are asked for: wgpu reports them to callbacks, by panics, and in results.

use crate::engine::EngineError;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

/// How long a single submit may take. The largest take a tenth of a second on a small GPU and seconds on a processor.
const PATIENCE: Duration = Duration::from_secs(120);

/// The faults of one device.
#[derive(Debug)]
pub struct Fault {
    /// The first since the last check.
    first: Mutex<Option<EngineError>>,
    /// Why the device is gone, for good.
    lost: OnceLock<String>,
    /// Whether a submit hangs.
    hangs: AtomicBool,
    abandoned: Once,
}

impl Default for Fault {
    fn default() -> Self {
        let (first, lost) = (Mutex::default(), OnceLock::new());
        Self { first, lost, hangs: AtomicBool::new(false), abandoned: Once::new() }
    }
}

impl Fault {
    /// Receives every error that wgpu would otherwise panic about.
    pub fn listen(handle: &wgpu::Device) -> Arc<Self> {
        let fault = Arc::new(Self::default());
        let uncaptured = Arc::clone(&fault);
        handle.on_uncaptured_error(Arc::new(move |error| {
            uncaptured.keep(match error {
                wgpu::Error::OutOfMemory { .. } => EngineError::OutOfMemory("a buffer could not be made".into()),
                error => EngineError::Device(error.to_string()),
            });
        }));
        let lost = Arc::clone(&fault);
        // Dropping the device calls this too; then it is never asked for.
        handle.set_device_lost_callback(move |_, message| lost.lose(message));
        fault
    }

    /// Keeps a failure until it is asked for.
    pub fn keep(&self, error: EngineError) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Whatever else was heard follows from this. A submit that runs out of memory costs the device as well.
    fn lose(&self, why: String) {
        if why.to_lowercase().contains("memory") {
            self.keep(EngineError::OutOfMemory(why.clone()));
        } else {
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let _ = self.lost.set(why);
    }

    /// # Errors
    /// The first fault since the last check; [`EngineError::Lost`] from then on where the device is gone.
    pub fn check(&self) -> Result<(), EngineError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (first, self.lost.get()) {
            (Some(error), _) => Err(error),
            (None, Some(why)) => Err(EngineError::Lost(why.clone())),
            (None, None) => Ok(()),
        }
    }

    /// Keeps a device that is lost or hangs from ever being dropped: wgpu then waits for it without end, or panics.
    pub fn abandon_if_dead(&self, handle: &wgpu::Device, queue: &wgpu::Queue) {
        if self.lost.get().is_some() || self.hangs.load(Ordering::Relaxed) {
            self.abandoned.call_once(|| std::mem::forget((handle.clone(), queue.clone())));
        }
    }

    fn hang(&self, what: &str, patience: Duration) -> EngineError {
        self.hangs.store(true, Ordering::Relaxed);
        EngineError::Device(format!("it has not answered for {} s; it was given {what}", patience.as_secs_f64()))
    }

    /// The fault behind a call that failed with `error`.
    pub fn behind(&self, error: impl std::fmt::Display) -> EngineError {
        self.check().err().unwrap_or_else(|| EngineError::Device(error.to_string()))
    }
}

/// Submits that may not be done, each with a description, so that a message can say what hangs.
#[derive(Debug)]
pub struct Watchdog {
    submitted: Mutex<Submitted>,
    patience: Mutex<Duration>,
}

#[derive(Debug, Default)]
struct Submitted {
    /// Those that may not be done, oldest first, each with what it does.
    open: VecDeque<(Submission, Arc<str>)>,
    /// How many there were altogether.
    count: u64,
}

/// Commands that were given to a device, to be waited for.
#[derive(Clone, Debug)]
pub struct Submission {
    number: u64,
    index: wgpu::SubmissionIndex,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { submitted: Mutex::default(), patience: Mutex::new(PATIENCE) }
    }
}

impl Watchdog {
    fn submitted(&self) -> MutexGuard<'_, Submitted> {
        self.submitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a submit, to be waited for. `what` names its kernels and its wave.
    pub fn watch(&self, index: wgpu::SubmissionIndex, what: Arc<str>) -> Submission {
        let mut submitted = self.submitted();
        submitted.count += 1;
        let submission = Submission { number: submitted.count, index };
        submitted.open.push_back((submission.clone(), what));
        submission
    }

    /// How long a single submit may take from now on.
    pub fn set_patience(&self, patience: Duration) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    fn patience(&self) -> Duration {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for everything, one submit after the other.
    ///
    /// # Errors
    /// Where one takes too long, named; or whatever `fault` knows of.
    pub fn wait(&self, handle: &wgpu::Device, fault: &Fault) -> Result<(), EngineError> {
        self.wait_in_order(u64::MAX, handle, fault)?;
        // Uploads and copies that are not on the list.
        self.wait_once(None, handle, fault, "copies between host and device")?;
        fault.check()
    }

    /// Waits for a submit and those before it, one after the other. Returns whether there was anything to wait for.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_for(&self, last: Submission, handle: &wgpu::Device, fault: &Fault) -> Result<bool, EngineError> {
        let waited = self.wait_in_order(last.number, handle, fault)?;
        // Another thread may have seen it done before its buffers were to be mapped, which only a poll does.
        self.wait_once(Some(last.index), handle, fault, "a submit that was done before")?;
        Ok(waited)
    }

    /// Waits for the submits up to number `last`. Each stays noted until it is done: others may be waiting for it too.
    fn wait_in_order(&self, last: u64, handle: &wgpu::Device, fault: &Fault) -> Result<bool, EngineError> {
        let mut waited = false;
        let next = || self.submitted().open.front().filter(|(submission, _)| submission.number <= last).cloned();
        while let Some((Submission { number, index }, what)) = next() {
            match poll(handle, Some(index.clone()), Duration::ZERO) {
                Ok(()) => {}
                Err(Failed::Late) => {
                    waited = true;
                    self.wait_once(Some(index), handle, fault, &what)?;
                }
                Err(Failed::Other(error)) => return Err(fault.behind(error)),
            }
            self.submitted().open.retain(|(submission, _)| submission.number > number);
        }
        Ok(waited)
    }

    fn wait_once(
        &self,
        index: Option<wgpu::SubmissionIndex>,
        handle: &wgpu::Device,
        fault: &Fault,
        what: &str,
    ) -> Result<(), EngineError> {
        let patience = self.patience();
        poll(handle, index, patience).map_err(|failed| match failed {
            Failed::Late => fault.hang(what, patience),
            Failed::Other(error) => fault.behind(error),
        })
    }
}

enum Failed {
    Late,
    Other(String),
}

/// Held while submitting or polling: wgpu panics now and then where one thread polls a device while another submits to it.
pub fn queue_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// wgpu panics where a device is lost under a poll.
fn poll(
    handle: &wgpu::Device,
    submission_index: Option<wgpu::SubmissionIndex>,
    patience: Duration,
) -> Result<(), Failed> {
    let _lock = queue_lock();
    let wait = wgpu::PollType::Wait { submission_index, timeout: Some(patience) };
    match quietly(|| handle.poll(wait)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(wgpu::PollError::Timeout)) => Err(Failed::Late),
        Ok(Err(error)) => Err(Failed::Other(error.to_string())),
        Err(why) => Err(Failed::Other(format!("it failed while it was waited for: {why}"))),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it becomes an error, its message the error's and not on stderr.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    outcome.map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("a panic without words").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_an_error() {
        assert_eq!(quietly(|| 1), Ok(1));
        assert_eq!(quietly(|| -> i32 { panic!("this must not be seen") }), Err("this must not be seen".into()));
    }

    #[test]
    fn the_loss_of_the_device_outlasts_the_faults_that_follow_from_it() {
        let fault = Fault::default();
        fault.keep(EngineError::Device("invalid buffer".into()));
        fault.lose("unplugged".into());
        for _ in 0..2 {
            assert!(matches!(fault.check(), Err(EngineError::Lost(why)) if why == "unplugged"));
        }
        let starved = Fault::default();
        starved.lose("Not enough memory left.".into());
        assert!(matches!(starved.check(), Err(EngineError::OutOfMemory(_))));
        assert!(matches!(starved.check(), Err(EngineError::Lost(_))));
    }
}
