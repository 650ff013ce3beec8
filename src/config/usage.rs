//! What clap says of wrong flags, as one line: what, where, and what would be accepted.
//!
//! Not here: what the flags mean.

use clap::error::ErrorKind;

/// The message without `error:`, tips and the lines of usage; how to see the flags is said in the same line.
pub fn one_line(error: &clap::Error, command: &str) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return format!("no command is given; accepted: see `{command} --help`");
    }
    let text = error.render().to_string();
    let mut message = String::new();
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let bracketed = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let values = bracketed.and_then(|line| line.split_once(": "));
        if let Some((_, values)) = values.filter(|(what, _)| what.starts_with("possible")) {
            message += &format!("; accepted: {values}");
        } else if line.starts_with("tip: to pass ") {
            // The hint to write it behind `--` would make it a file name.
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            message += &format!("; {tip}");
        } else if !line.is_empty() {
            let joint = if message.is_empty() || message.ends_with(':') { "" } else { "," };
            message += &format!("{joint}{}{line}", if message.is_empty() { "" } else { " " });
        }
    }
    let message = with_range(&plain(&message));
    if message.contains("accepted: ") { message } else { format!("{message}; accepted: see `{command} --help`") }
}

/// `X is not in A..=B` as what would be accepted.
fn with_range(message: &str) -> String {
    let parts = message.split_once(" is not in ").and_then(|(said, range)| Some((said, range.split_once("..")?)));
    let Some((said, (least, most))) = parts else { return message.into() };
    let value = said.rsplit(' ').next().unwrap_or_default();
    let said = said.strip_suffix(value).unwrap_or(said).trim_end();
    let said = said.strip_suffix(':').unwrap_or(said);
    match most.strip_prefix('=') {
        Some(most) => format!("{said}; accepted: {least} to {most}"),
        None if most.is_empty() => format!("{said}; accepted: {least} or more"),
        None => format!("{said}; accepted: {least} to less than {most}"),
    }
}

/// What Rust says of a text that is no number, as what would be accepted.
pub fn plain(message: &str) -> String {
    let said = [
        ("invalid digit found in string", "accepted: a whole number"),
        ("cannot parse integer from empty string", "accepted: a whole number"),
        ("number too large to fit in target type", "accepted: a smaller whole number"),
        ("invalid float literal", "accepted: a number"),
        ("cannot parse float from empty string", "accepted: a number"),
    ];
    said.into_iter().fold(message.to_owned(), |text, (said, plain)| text.replace(said, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command, value_parser};

    fn told(words: &[&str]) -> String {
        let engine = Arg::new("engine").long("engine").value_parser(["cpu", "gpu"]);
        let count = Arg::new("count").long("count").value_parser(value_parser!(u32).range(1..=3));
        let (out, other) = (Arg::new("out").long("out").required(true), Arg::new("other").long("other").required(true));
        let command = Command::new("program").no_binary_name(true).args([engine, count, out, other]);
        one_line(&command.try_get_matches_from(words).unwrap_err(), "program")
    }

    #[test]
    fn every_kind_of_wrong_flag_is_one_line_with_what_would_be_accepted() {
        let both = ["--out", "a", "--other", "b"];
        for (flags, expected) in [
            (
                vec!["--engine", "tpu"],
                "invalid value 'tpu' for '--engine <engine>'; accepted: cpu, gpu; a similar value exists: 'gpu'",
            ),
            (
                vec!["--engin", "cpu"],
                "unexpected argument '--engin' found; a similar argument exists: '--engine'; accepted: see `program --help`",
            ),
            (vec!["--count", "many"], "invalid value 'many' for '--count <count>': accepted: a whole number"),
            (vec!["--count", "9"], "invalid value '9' for '--count <count>'; accepted: 1 to 3"),
        ] {
            assert_eq!(told(&[&both[..], &flags].concat()), expected);
        }
        assert_eq!(
            told(&[]),
            "the following required arguments were not provided: --out <out>, --other <other>; accepted: see `program --help`"
        );
    }
}
