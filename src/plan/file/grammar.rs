//! The flags of a command, asked of clap itself: their names, whether they are lists or switches, and the grammar of
//! their values.

use super::entry::{Entry, Value};
use super::{Fault, PlanArgs};
use crate::config::{Delays, Momenta, Rates, plain};
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;

/// How alike an unknown key and a known one must be (1: the same) for the known one to be offered.
const ALIKE: f64 = 0.5;

/// The tables of axes that a plan may hold.
const TABLES: [&str; 3] = ["grid", "zip", "cell"];

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Switch,
    One,
    /// Several, in one text separated by this character.
    List(Option<char>),
}

/// A flag as it stands on the command line.
#[derive(Clone, Debug)]
pub struct Token {
    pub key: String,
    text: OsString,
}

/// The flags of a command.
pub struct Grammar {
    /// Keys that may stand in tables.
    pub axes: &'static [&'static str],
    command: Command,
    /// The same without defaults: what is not said stays as it was.
    changes: Command,
    kinds: BTreeMap<String, Kind>,
}

impl Grammar {
    pub fn of<A: PlanArgs>() -> Self {
        let command = A::augment_args(Command::new("plan")).no_binary_name(true);
        let kind = |action: &ArgAction, delimiter| match action {
            ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count => Kind::Switch,
            ArgAction::Append => Kind::List(delimiter),
            _ => Kind::One,
        };
        let kinds = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_long()?.to_owned(), kind(arg.get_action(), arg.get_value_delimiter()))))
            .collect();
        // A switch has a default of its own, unless it is made an ordinary flag; axes are none.
        let changes = command.clone().mut_args(|arg| {
            let action = match arg.get_action() {
                ArgAction::SetTrue | ArgAction::SetFalse => ArgAction::Set,
                other => other.clone(),
            };
            arg.default_value(Resettable::Reset).action(action)
        });
        Self { axes: A::AXES, command, changes, kinds }
    }

    pub fn kind(&self, key: &str) -> Option<Kind> {
        self.kinds.get(key).copied()
    }

    /// What to say of a key that no flag has.
    pub fn unknown(&self, key: &str) -> String {
        let known = self.kinds.keys().map(String::as_str).chain(TABLES);
        match nearest(key, known) {
            Some(table) if TABLES.contains(&table) => format!("unknown key '{key}'; nearest: '[[{table}]]'"),
            Some(nearest) => format!("unknown key '{key}'; nearest: '{nearest}'"),
            None => {
                let known: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
                format!("unknown key '{key}'; accepted: {}", known.join(", "))
            }
        }
    }

    /// The flags that were really typed, not their defaults.
    pub fn given(&mut self, matches: &ArgMatches) -> Vec<Token> {
        let mut tokens = Vec::new();
        for arg in self.command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let token = |text: OsString| Token { key: long.to_owned(), text };
            if self.kinds.get(long) == Some(&Kind::Switch) {
                tokens.push(token(format!("--{long}").into()));
            } else {
                for value in matches.get_raw(id).into_iter().flatten() {
                    let mut text = OsString::from(format!("--{long}="));
                    text.push(value);
                    tokens.push(token(text));
                }
            }
        }
        tokens
    }

    /// The flags of the command, from a file's keys and what was typed besides.
    ///
    /// # Errors
    /// What clap has to say of them, in one line, and the line of the file where that is about one of its keys.
    pub fn parse<A: PlanArgs>(&mut self, entries: &[Entry], given: &[Token], path: Option<&Path>) -> Result<A, Fault> {
        let mut words = words(entries);
        words.extend(given.iter().map(|token| token.text.clone()));
        words.extend(path.iter().flat_map(|path| [OsString::from("--"), path.into()]));
        let matches = self.command.try_get_matches_from_mut(words);
        matches.and_then(|matches| A::from_arg_matches(&matches)).map_err(|error| fault(&error, entries))
    }

    /// The flags of a row that differs from another in these keys. A file can have 100,000 of them, and defaults are most
    /// of what [`Grammar::parse`] spends its time on.
    ///
    /// # Errors
    /// As [`Grammar::parse`].
    pub fn change<A: PlanArgs>(&mut self, args: &A, entries: &[Entry]) -> Result<A, Fault> {
        let mut args = args.clone();
        let matches = self.changes.try_get_matches_from_mut(words(entries));
        let changed = matches.and_then(|matches| args.update_from_arg_matches(&matches));
        changed.map(|()| args).map_err(|error| fault(&error, entries))
    }

    /// The single values of an axis: a text that stands for many becomes the text of each.
    ///
    /// # Errors
    /// Where the text is none that the axis takes.
    pub fn expand(&self, key: &str, text: &str) -> Result<Vec<String>, String> {
        let parts: Vec<&str> = match self.kind(key) {
            Some(Kind::List(Some(delimiter))) => text.split(delimiter).collect(),
            _ => vec![text],
        };
        let mut values = Vec::new();
        for part in parts {
            let refused = |reason: String| format!("'{part}': {reason}");
            match key {
                "delays" => values.extend(part.parse::<Delays>().map_err(refused)?.0.iter().map(ToString::to_string)),
                "momentum" => {
                    values.extend(part.parse::<Momenta>().map_err(refused)?.0.iter().map(ToString::to_string))
                }
                "lr" => values.extend(part.parse::<Rates>().map_err(refused)?.0.iter().map(ToString::to_string)),
                _ => values.push(part.to_owned()),
            }
        }
        Ok(values)
    }
}

/// The flags that a message names, without their dashes.
pub fn keys_in(message: &str) -> impl Iterator<Item = &str> {
    message.match_indices("--").map(|(place, dashes)| {
        let rest = &message[place + dashes.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Keys as they would be typed.
fn words(entries: &[Entry]) -> Vec<OsString> {
    let mut words = Vec::new();
    for Entry { key, value, .. } in entries {
        match value {
            Value::Switch(true) => words.push(format!("--{key}").into()),
            Value::Switch(false) => {}
            Value::One(item) => words.push(format!("--{key}={}", item.text).into()),
            Value::Many(items) => words.extend(items.iter().map(|item| format!("--{key}={}", item.text).into())),
        }
    }
    words
}

/// clap's error in one line, and its place in the file.
fn fault(error: &clap::Error, entries: &[Entry]) -> Fault {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let about = text(ContextKind::InvalidArg).unwrap_or_default();
    let key = keys_in(&about).next().unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.key == key);
    let Some(value) = text(ContextKind::InvalidValue) else {
        // A conflict, or a flag that is missing: clap's own sentence.
        let rendered = error.render().to_string();
        let sentence = rendered.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = keys_in(&sentence).find_map(|key| entries.iter().find(|entry| entry.key == key));
        return Fault::at(line.map(|entry| entry.line), sentence);
    };
    let mut problem = format!("{key}: '{value}'");
    if let Some(reason) = error.source() {
        problem += &format!(": {}", plain(&reason.to_string()));
    }
    if let Some(accepted) = text(ContextKind::ValidValue) {
        problem += &format!("; accepted: {accepted}");
    }
    // Where what is accepted is a list of words, some have options behind them.
    let words = problem.split_once("accepted: ").map_or("", |(_, words)| words).split(", ");
    let words = words.map(|word| word.split(['[', ':']).next().unwrap_or_default());
    let words = words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(' '));
    if let Some(word) = nearest(&value, words).filter(|word| *word != value) {
        problem = format!("{problem}; nearest: '{word}'");
    }
    Fault::at(entry.map(|entry| entry.line_with(&value)), problem)
}

/// The word that is most like `text`, if one is like it at all.
fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &&str| strsim::normalized_damerau_levenshtein(text, word);
    words.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|word| likeness(word) >= ALIKE)
}
