//! SweepPlan files: the flags of a sweep in a TOML file, and what a command line cannot say: several grids, lists that advance
//! together, explicit cells.
//!
//! Every key is the name of a long flag of `tauscope sweep`, and its value is read as that flag's text, by the same
//! grammar: a flag that is added tomorrow is a key tomorrow. Beside the keys a file may hold tables of axes:
//!
//! - `[[grid]]`: its keys replace those at the top of the file; the full product of all axes is measured;
//! - `[[zip]]`: its lists advance together, a single value stays; axes that only the top of the file has are multiplied in;
//! - `[[cell]]`: one value for every axis.
//!
//! Without any of these the top of the file is the one grid. A flag on the command line replaces its key everywhere.
//! What comes out is one complete [`SweepArgs`] for each grid, row of a zip, or cell. Not here: what the values mean
//! ([`crate::plan`]), nor any of their grammars ([`crate::config`]).

mod document;
mod grammar;
mod rows;

use crate::config::SweepArgs;
use crate::plan::SweepPlan;
use clap::ArgMatches;
use document::{Document, Entry};
use grammar::{Grammar, Token};
use rows::Row;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What is wrong with a plan file, in one line: the file, the line, the key, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}{fault}")]
pub struct PlanFileError {
    name: String,
    fault: Fault,
}

/// What is wrong and where, but for the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    line: Option<usize>,
    column: Option<usize>,
    problem: String,
}

impl Fault {
    fn at(line: impl Into<Option<usize>>, problem: impl Into<String>) -> Self {
        // A text of several lines may be what is wrong; the message stays one.
        let problem = problem.into().replace(char::is_control, " ");
        Self { line: line.into(), column: None, problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let part = |name, number: Option<usize>| number.map_or(String::new(), |number| format!(", {name} {number}"));
        write!(f, "{}{}: {}", part("line", self.line), part("column", self.column), self.problem)
    }
}

/// The sweep of a command line: its own flags and, where it names a plan file, what stands there. `matches` are those that
/// `args` were made from; they know which flags were really given.
///
/// # Errors
/// Where the file cannot be read, or makes no plan.
pub fn complete(args: SweepArgs, matches: &ArgMatches) -> Result<Vec<SweepArgs>, PlanFileError> {
    let Some(path) = &args.job.plan else { return Ok(vec![args]) };
    let name = path.display().to_string();
    let refused = |fault| PlanFileError { name: name.clone(), fault };
    let bytes =
        std::fs::read(path).map_err(|error| refused(Fault::at(None, format!("cannot read this plan: {error}"))))?;
    let mut grammar = Grammar::new();
    let given = grammar.given(matches);
    Reader { name: name.clone(), path: Some(path), grammar, given }.read(&bytes)
}

/// The sweep that a plan file's text describes. `name` stands for the file in messages.
///
/// # Errors
/// Where the text makes no plan.
pub fn parse(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<SweepArgs>, PlanFileError> {
    Reader { name: name.into(), path: None, grammar: Grammar::new(), given: Vec::new() }.read(text.as_ref())
}

struct Reader<'a> {
    name: String,
    /// The file, where there is one.
    path: Option<&'a Path>,
    grammar: Grammar,
    /// What stands on the command line.
    given: Vec<Token>,
}

impl Reader<'_> {
    fn read(mut self, bytes: &[u8]) -> Result<Vec<SweepArgs>, PlanFileError> {
        let sweeps = match str::from_utf8(bytes) {
            Ok(text) => self.sweeps(text),
            Err(error) => {
                let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                Err(Fault::at(before + 1, "not UTF-8 text"))
            }
        };
        sweeps.map_err(|fault| PlanFileError { name: self.name, fault })
    }

    fn sweeps(&mut self, text: &str) -> Result<Vec<SweepArgs>, Fault> {
        let mut document = Document::read(text, &self.grammar)?;
        let given = |key: &str| self.given.iter().any(|token| token.key == key);
        document.forget(given);
        let rows = rows::of(document, &self.grammar)?;
        let mut sweeps: Vec<SweepArgs> = Vec::with_capacity(rows.len());
        let mut shared: Option<(&Arc<Vec<Entry>>, SweepArgs)> = None;
        for row in &rows {
            let base = match shared.take() {
                Some(shared) if Arc::ptr_eq(shared.0, &row.shared) => shared.1,
                _ => self.grammar.parse(&row.shared, &self.given, self.path)?,
            };
            sweeps.push(self.sweep(&base, row)?);
            shared = Some((&row.shared, base));
        }
        if let Err(error) = SweepPlan::resolve(&sweeps) {
            return Err(self.blame(&rows, &sweeps, &error.to_string()));
        }
        Ok(sweeps)
    }

    /// One row: what its own keys make of the sweep that it shares with others.
    fn sweep(&mut self, base: &SweepArgs, row: &Row) -> Result<SweepArgs, Fault> {
        let sweep = self.grammar.change(base, &row.own);
        let sweep = sweep.map_err(|fault| Fault { line: fault.line.or(row.line), ..fault })?;
        if row.single
            && let Ok(plan) = SweepPlan::resolve(std::slice::from_ref(&sweep))
            && let [first, second, ..] = &plan.cells()[..]
        {
            let axes = self.grammar.axes().join(", ");
            let problem = format!(
                "this [[cell]] is more than one, {} and {}; accepted: one value for each of {axes}",
                first.name(),
                second.name()
            );
            return Err(Fault::at(row.line, problem));
        }
        Ok(sweep)
    }

    /// Where in the file a plan was refused: the first row that does not go with those before it, and in it the key that the
    /// message names.
    fn blame(&self, rows: &[Row], sweeps: &[SweepArgs], problem: &str) -> Fault {
        let alone = |sweep: &SweepArgs| SweepPlan::resolve(std::slice::from_ref(sweep));
        if let Some((row, error)) = rows.iter().zip(sweeps).find_map(|(row, sweep)| Some((row, alone(sweep).err()?))) {
            let problem = error.to_string();
            let line = grammar::keys_in(&problem).find_map(|key| row.line_of(key));
            return Fault::at(line.or(row.line), problem);
        }
        // Each is a plan, and together they are none: halving finds the first that is one too many.
        let (mut good, mut bad) = (0, sweeps.len());
        while bad - good > 1 {
            let half = good.midpoint(bad);
            if SweepPlan::resolve(&sweeps[..half]).is_ok() { good = half } else { bad = half }
        }
        Fault::at(rows.get(good).and_then(|row| row.line), problem)
    }
}
