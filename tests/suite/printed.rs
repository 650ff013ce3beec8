//! The program as it is typed, and what it prints.

use assert_cmd::Command;
use std::collections::HashMap;

/// The program with these arguments, which have no blanks in them.
pub fn tauscope(arguments: &str) -> Command {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.args(arguments.split_whitespace());
    command
}

/// What it prints where it succeeds.
pub fn stdout(arguments: &str) -> String {
    let output = tauscope(arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of the table that it prints, by column.
pub fn rows(arguments: &str) -> Vec<HashMap<String, String>> {
    let text = stdout(arguments);
    let rows: Result<Vec<_>, _> = csv::Reader::from_reader(text.as_bytes()).deserialize().collect();
    rows.unwrap()
}

/// The number in a column of a row.
pub fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}
