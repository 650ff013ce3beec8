//! Which remedy helps, by how much, under which delay process? Rows of a results folder, each beside a baseline under the
//! same circumstances: [`thresholds`] and [`rates`] of a sweep, and the groups of a [`training`].
//!
//! What is compared with what is decided here, from the tables alone. Not here: how a comparison is drawn ([`crate::plot`])
//! or printed ([`crate::command::compare`]).

pub mod rates;
pub mod thresholds;
pub mod training;

use crate::table::distinct;
use anyhow::{Result, bail};

/// The name of the one series that `to` means, of `all` names with the rules that they belong to. `to` is such a name
/// (`heavy-ball m=0.9 ema`), or a rule (`heavy-ball`, `ringmaster:4`, `ringmaster`) where only one series has it. `others` are
/// further values that would be accepted.
fn meant<'a>(all: impl IntoIterator<Item = (String, &'a str)>, to: &str, others: &[&str]) -> Result<String> {
    let to = to.trim();
    let all = distinct(all);
    let list = |names: &[&(String, &str)]| {
        let names = names.iter().map(|(name, _)| name.as_str()).chain(others.iter().copied());
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    };
    if let Some((name, _)) = all.iter().find(|(name, _)| name == to) {
        return Ok(name.clone());
    }
    // A rule with a number may be named without it.
    let has_rule = |rule: &str| rule == to || rule.split_once(':').is_some_and(|(kind, _)| kind == to);
    let candidates: Vec<_> = all.iter().filter(|(_, rule)| has_rule(rule)).collect();
    match candidates[..] {
        [(name, _)] => Ok(name.clone()),
        [] if all.is_empty() => bail!("the table has no cells, so there is nothing to compare"),
        [] => bail!("--to \"{to}\": the table has no such rule; accepted: {}", list(&all.iter().collect::<Vec<_>>())),
        _ => bail!("--to \"{to}\" may mean {} series of the table; accepted: {}", candidates.len(), list(&candidates)),
    }
}
