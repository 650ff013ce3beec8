//! Ctrl-C and SIGTERM: the first asks for a halt at the next safe place, a second one ends the process at once.
//!
//! A process that is another program than `tauscope` handles signals itself, and is asked whether to halt
//! ([`crate::host`]).

use crate::host::Host;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Time between two questions to a host.
const QUESTIONS: Duration = Duration::from_millis(50);

/// Notes signals from its making on; until then, and for any other signal, the system's default holds.
#[derive(Clone, Debug)]
pub struct Interrupt {
    received: Arc<AtomicUsize>,
    /// When the host was asked last.
    asked: Cell<Option<Instant>>,
}

impl Interrupt {
    /// # Errors
    /// Where the system does not let signals be handled.
    pub fn watch() -> io::Result<Self> {
        let (received, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let interrupt = Self { received: Arc::clone(&received), asked: Cell::new(None) };
        if Host::current().is_some_and(|host| host.stop.is_some()) {
            return Ok(interrupt);
        }
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal arms the second's exit after it was asked whether to exit.
            flag::register_conditional_shutdown(signal, code(signal as usize).into(), Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&received), signal as usize)?;
        }
        // A file that may not grow (`ulimit -f`) is an error of the write, with a message, and not the end of the process.
        #[cfg(unix)]
        flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        Ok(interrupt)
    }

    /// The signal that arrived.
    pub fn received(&self) -> Option<usize> {
        if self.asked.get().is_none_or(|asked| asked.elapsed() >= QUESTIONS) {
            let host = Host::current();
            if host.is_some_and(|host| host.stop.as_ref().is_some_and(|stop| stop())) {
                self.received.store(SIGINT as usize, Ordering::Relaxed);
            }
            self.asked.set(Some(Instant::now()));
        }
        Some(self.received.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}

/// A sweep that ended because it was asked to. The message says how to go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Interrupted {
    pub signal: usize,
    pub message: String,
}

impl Interrupted {
    /// The exit code that a shell gives a process that the signal ended: 130 for Ctrl-C, 143 for SIGTERM.
    pub fn code(&self) -> u8 {
        code(self.signal)
    }
}

fn code(signal: usize) -> u8 {
    128 + signal as u8
}
