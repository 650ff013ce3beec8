//! Text that is not of one module alone: counts of things, and what flags with a grammar of their own have in common (types that are
//! typed, shown and stored as the same short text, and `KEY=VALUE:KEY=VALUE:...`, the details of such a text).
//!
//! Not here: any of these grammars; other numbers as text ([`crate::table::number`]).

use std::str::FromStr;

/// A count with commas between thousands: `1,234,567`.
pub(crate) fn grouped_digits(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

/// How many there are of a thing: `1 cell`, `2 cells`, `1,210 parameters`, `3 batches`.
pub(crate) fn counted(count: impl TryInto<usize>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(usize::MAX);
    let plural = match noun {
        _ if count == 1 => "",
        _ if noun.ends_with("tch") => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", grouped_digits(count))
}

/// A type that is typed, shown and stored as the same short text.
macro_rules! as_text {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    };
}
pub(crate) use as_text;

/// A type whose flag may name a file by any bytes: read by its `parse_os`.
macro_rules! as_flag_with_a_file {
    ($type:ty) => {
        impl clap::builder::ValueParserFactory for $type {
            type Parser = clap::builder::ValueParser;

            fn value_parser() -> Self::Parser {
                use clap::builder::TypedValueParser;
                let text = clap::builder::OsStringValueParser::new();
                text.try_map(|text| <$type>::parse_os(&text)).into()
            }
        }
    };
}
pub(crate) use as_flag_with_a_file;

/// Keys and values in the order given, each key once.
pub(crate) struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    /// # Errors
    /// What is no `KEY=VALUE`, a key that is none of `keys`, and one that is given twice; `of` is what the keys belong to.
    pub fn read(of: &str, text: Option<&'a str>, keys: &[&str]) -> Result<Self, String> {
        let accepted = || match keys {
            [] => format!("accepted: {of}, which has no options"),
            _ => format!("accepted: {}=VALUE", keys.join("=VALUE, ")),
        };
        let mut options: Vec<(&str, &str)> = vec![];
        for part in text.iter().flat_map(|text| text.split(':')) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("'{part}' of {of}; {}", accepted()))?;
            if !keys.contains(&key) {
                return Err(format!("unknown key '{key}' of {of}; {}", accepted()));
            }
            if options.iter().any(|(before, _)| *before == key) {
                return Err(format!("{key} is given twice; accepted: once"));
            }
            options.push((key, value));
        }
        Ok(Self(options))
    }

    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(of, _)| *of == key).map(|(_, value)| *value)
    }

    /// The value of `key`, where it is given.
    ///
    /// # Errors
    /// A text that is no T, or a T that is not usable; `accepted` says what would be.
    pub fn value<T: FromStr>(
        &self,
        key: &str,
        usable: impl Fn(&T) -> bool,
        accepted: &str,
    ) -> Result<Option<T>, String> {
        let value = |text: &str| {
            let value = text.parse().ok().filter(|value| usable(value));
            value.ok_or_else(|| format!("{key}={text}; accepted: {accepted}"))
        };
        self.get(key).map(value).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_grouped() {
        let counts = [0, 999, 1000, 100_000, 1_234_567];
        assert_eq!(counts.map(grouped_digits), ["0", "999", "1,000", "100,000", "1,234,567"]);
    }

    #[test]
    fn nouns_follow_their_count() {
        assert_eq!(["cell", "batch"].map(|noun| counted(1_u64, noun)), ["1 cell", "1 batch"]);
        assert_eq!(["cell", "batch", "epoch"].map(|noun| counted(0_u8, noun)), ["0 cells", "0 batches", "0 epochs"]);
        assert_eq!(counted(1210, "parameter"), "1,210 parameters");
    }
}
