//! Ctrl-C and SIGTERM: the first asks for a halt at the next safe place, a second one ends the process at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Notes signals from its making on; until then, and for any other signal, the system's default holds.
#[derive(Clone, Debug)]
pub struct Interrupt {
    received: Arc<AtomicUsize>,
}

impl Interrupt {
    /// # Errors
    /// Where the system does not let signals be handled.
    pub fn watch() -> io::Result<Self> {
        let (received, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal arms the second's exit after it was asked whether to exit.
            flag::register_conditional_shutdown(signal, code(signal as usize).into(), Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&received), signal as usize)?;
        }
        // A file that may not grow (`ulimit -f`) is an error of the write, with a message, and not the end of the process.
        #[cfg(unix)]
        flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        Ok(Self { received })
    }

    /// The signal that arrived.
    pub fn received(&self) -> Option<usize> {
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
