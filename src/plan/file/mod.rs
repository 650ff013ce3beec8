//! Plan files: the flags of a sweep or a training in a TOML file, and what a command line cannot say: several grids, lists
//! that advance together, explicit cells.
//!
//! Every key is the name of a long flag of the command, and its value is read as that flag's text, by the same grammar: a
//! flag that is added tomorrow is a key tomorrow. Beside the keys a file may hold tables of axes:
//!
//! - `[[grid]]`: its keys replace those at the top of the file; the full product of all axes is run;
//! - `[[zip]]`: its lists advance together, a single value stays; axes that only the top of the file has are multiplied in;
//! - `[[cell]]`: one value for every axis.
//!
//! Without any of these the top of the file is the one grid. A flag on the command line replaces its key everywhere.
//! What comes out is one complete argument struct for each grid, row of a zip, or cell. Not here: what the values mean
//! ([`super::SweepPlan`], [`super::TrainPlan`]), nor any of their grammars ([`crate::config`]).

mod document;
mod entry;
mod grammar;
mod rows;

use super::{Cell, Group, PlanError, SweepPlan, TrainPlan};
use crate::config::{GridArgs, JobArgs, SweepArgs, TrainArgs};
use crate::delay::ScheduleSpec;
use crate::files::read_input;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use document::Document;
use entry::Entry;
use grammar::{Grammar, Token};
use rows::Row;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The flags of a command that takes plan files.
pub trait PlanArgs: Args + Clone {
    /// Keys that may stand in `[[grid]]`, `[[zip]]` and `[[cell]]`. All of a plan shares the others.
    const AXES: &'static [&'static str];

    /// The resolved plan.
    type Plan;

    fn job(&self) -> &JobArgs;

    fn axes(&self) -> &GridArgs;

    /// Resolves all grids to one plan.
    ///
    /// # Errors
    /// The first flag that is out of range, or contradicts another.
    fn resolve(grids: &[Self]) -> Result<Self::Plan, PlanError>;

    /// Names of what the plan runs, one for each cell of its grids.
    fn names(plan: &Self::Plan) -> Vec<String>;
}

impl PlanArgs for SweepArgs {
    const AXES: &'static [&'static str] = &[
        "rules",
        "momentum",
        "dampening",
        "eps",
        "extrapolate",
        "clip",
        "muon-adam-lr",
        "delays",
        "schedule",
        "batch",
        "criterion",
        "local-steps",
        "local-lr",
        "local-rule",
        "replicas",
        "fresh-share",
        "overlap",
        "overlap-weight",
        "arrivals",
        "stages",
        "stage-delays",
        "stage-lr",
        "stage-momentum",
        "stage-cuts",
        "stashing",
        "backward-delays",
    ];
    type Plan = SweepPlan;

    fn job(&self) -> &JobArgs {
        &self.job
    }

    fn axes(&self) -> &GridArgs {
        &self.grid
    }

    fn resolve(grids: &[Self]) -> Result<SweepPlan, PlanError> {
        SweepPlan::resolve(grids)
    }

    fn names(plan: &SweepPlan) -> Vec<String> {
        plan.cells().iter().map(Cell::name).collect()
    }
}

impl PlanArgs for TrainArgs {
    const AXES: &'static [&'static str] = &[
        "rules",
        "momentum",
        "dampening",
        "eps",
        "extrapolate",
        "clip",
        "muon-adam-lr",
        "delays",
        "schedule",
        "batch",
        "lr",
        "lr-scaling",
        "lr-reference",
        "local-steps",
        "local-lr",
        "local-rule",
        "replicas",
        "fresh-share",
        "overlap",
        "overlap-weight",
        "arrivals",
        "stages",
        "stage-delays",
        "stage-lr",
        "stage-momentum",
        "stage-cuts",
        "stashing",
        "backward-delays",
    ];
    type Plan = TrainPlan;

    fn job(&self) -> &JobArgs {
        &self.job
    }

    fn axes(&self) -> &GridArgs {
        &self.grid
    }

    fn resolve(grids: &[Self]) -> Result<TrainPlan, PlanError> {
        TrainPlan::resolve(grids)
    }

    fn names(plan: &TrainPlan) -> Vec<String> {
        plan.groups.iter().map(Group::name).collect()
    }
}

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

/// Completes a command line with the plan file that it names, if any. `matches` are those that `args` were made from; they
/// know which flags were really given.
///
/// # Errors
/// Where the file cannot be read, or makes no plan.
pub fn complete<A: PlanArgs>(args: A, matches: &ArgMatches) -> Result<Vec<A>, PlanFileError> {
    let grids = read(args, matches)?;
    let given = matches.value_source("delays") == Some(ValueSource::CommandLine);
    let takes_delay = |grid: &A| grid.axes().schedule.iter().any(ScheduleSpec::takes_delay);
    if given && !grids.iter().any(takes_delay) {
        let names: Vec<String> = grids[0].axes().schedule.iter().map(ToString::to_string).collect();
        let problem =
            format!("beside --schedule {}: it brings its own delays; accepted: without --delays", names.join(","));
        return Err(PlanFileError { name: "--delays".into(), fault: Fault::at(None, problem) });
    }
    Ok(grids)
}

fn read<A: PlanArgs>(args: A, matches: &ArgMatches) -> Result<Vec<A>, PlanFileError> {
    let Some(path) = &args.job().plan else { return Ok(vec![args]) };
    let name = path.display().to_string();
    let refused = |fault| PlanFileError { name: name.clone(), fault };
    let bytes =
        read_input(path).map_err(|error| refused(Fault::at(None, format!("cannot read this plan: {error}"))))?;
    let mut grammar = Grammar::of::<A>();
    let given = grammar.given(matches);
    Reader { name: name.clone(), path: Some(path), grammar, given }.read(&bytes)
}

/// Reads the text of a plan file into one struct for each of its grids. `name` stands for the file in messages.
///
/// # Errors
/// Where the text makes no plan.
pub fn parse<A: PlanArgs>(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<A>, PlanFileError> {
    Reader { name: name.into(), path: None, grammar: Grammar::of::<A>(), given: Vec::new() }.read(text.as_ref())
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
    fn read<A: PlanArgs>(mut self, bytes: &[u8]) -> Result<Vec<A>, PlanFileError> {
        let grids = match str::from_utf8(bytes) {
            Ok(text) => self.grids(text),
            Err(error) => {
                let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                Err(Fault::at(before + 1, "not UTF-8 text"))
            }
        };
        grids.map_err(|fault| PlanFileError { name: self.name, fault })
    }

    fn grids<A: PlanArgs>(&mut self, text: &str) -> Result<Vec<A>, Fault> {
        let mut document = Document::read(text, &self.grammar)?;
        let given = |key: &str| self.given.iter().any(|token| token.key == key);
        document.forget(given);
        let rows = rows::of(document, &self.grammar)?;
        let mut grids: Vec<A> = Vec::with_capacity(rows.len());
        let mut shared: Option<(&Arc<Vec<Entry>>, A)> = None;
        for row in &rows {
            let base = match shared.take() {
                Some(shared) if Arc::ptr_eq(shared.0, &row.shared) => shared.1,
                _ => self.grammar.parse(&row.shared, &self.given, self.path)?,
            };
            grids.push(self.grid(&base, row)?);
            shared = Some((&row.shared, base));
        }
        if let Err(error) = A::resolve(&grids) {
            return Err(blame(&rows, &grids, &error.to_string()));
        }
        Ok(grids)
    }

    /// Changes what a row shares with others as its own keys say.
    fn grid<A: PlanArgs>(&mut self, base: &A, row: &Row) -> Result<A, Fault> {
        let grid = self.grammar.change(base, &row.own);
        let grid = grid.map_err(|fault| Fault { line: fault.line.or(row.line), ..fault })?;
        if row.single
            && let Ok(plan) = A::resolve(std::slice::from_ref(&grid))
            && let [first, second, ..] = &A::names(&plan)[..]
        {
            let axes = A::AXES.join(", ");
            let problem =
                format!("this [[cell]] is more than one, {first} and {second}; accepted: one value for each of {axes}");
            return Err(Fault::at(row.line, problem));
        }
        Ok(grid)
    }
}

/// Finds where in the file a plan is wrong: the first row that does not go with those before it, and in it the key that the
/// message names.
fn blame<A: PlanArgs>(rows: &[Row], grids: &[A], problem: &str) -> Fault {
    let alone = |grid: &A| A::resolve(std::slice::from_ref(grid));
    if let Some((row, error)) = rows.iter().zip(grids).find_map(|(row, grid)| Some((row, alone(grid).err()?))) {
        let problem = error.to_string();
        let line = grammar::keys_in(&problem).find_map(|key| row.line_of(key));
        return Fault::at(line.or(row.line), problem);
    }
    // Each is a plan, and together they are none: halving finds the first that is one too many.
    let (mut good, mut bad) = (0, grids.len());
    while bad - good > 1 {
        let half = good.midpoint(bad);
        if A::resolve(&grids[..half]).is_ok() { good = half } else { bad = half }
    }
    Fault::at(rows.get(good).and_then(|row| row.line), problem)
}
