//! The program that runs commands within its own process, where that is another one than `tauscope`: what a command is
//! called there, where its text goes, and whether it is to stop.
//!
//! It holds for the thread that calls. Not here: what is written ([`crate::streams`]), nor signals, which a process that is
//! `tauscope` itself watches ([`crate::session::signals`]).

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

/// Where a text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// Takes a text; where it cannot, that is an error as of a stream that is closed.
type Write = Box<dyn Fn(Stream, &str) -> io::Result<()>>;

/// What a program says of itself. What it leaves out is as in a process of `tauscope`.
#[derive(Default)]
pub struct Host {
    /// The command line, for run.json.
    pub command: Option<Vec<String>>,
    /// The program that jobs of a scheduler start.
    pub program: Option<PathBuf>,
    /// Takes what would go to stdout and stderr.
    pub write: Option<Write>,
    /// Whether a job is to stop at its next safe place. Asked often, so it must be quick.
    pub stop: Option<Box<dyn Fn() -> bool>>,
}

thread_local! {
    static HOST: RefCell<Option<Rc<Host>>> = const { RefCell::new(None) };
}

impl Host {
    /// The host of this thread.
    pub fn current() -> Option<Rc<Self>> {
        HOST.with_borrow(Clone::clone)
    }

    /// Does `work` under this host.
    pub fn around<T>(self, work: impl FnOnce() -> T) -> T {
        struct Before(Option<Rc<Host>>);
        impl Drop for Before {
            fn drop(&mut self) {
                HOST.set(self.0.take());
            }
        }
        let _before = Before(HOST.replace(Some(Rc::new(self))));
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_ends_with_its_work_even_where_that_panics() {
        let named = |name: &str| Host { command: Some(vec![name.into()]), ..Host::default() };
        let command = || Host::current().and_then(|host| host.command.clone()).map(|command| command[0].clone());
        named("outer").around(|| {
            assert_eq!(named("inner").around(command).as_deref(), Some("inner"));
            let panicked = std::panic::catch_unwind(|| named("inner").around(|| panic!("planted")));
            assert!(panicked.is_err());
            assert_eq!(command().as_deref(), Some("outer"));
            assert_eq!(std::thread::spawn(move || Host::current().is_none()).join().ok(), Some(true));
        });
        assert_eq!(command(), None);
    }
}
