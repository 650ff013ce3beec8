//! What flags with a grammar of their own have in common: types that are typed, shown and stored as the same short text, and
//! `KEY=VALUE:KEY=VALUE:...`, the details of such a text.
//!
//! Not here: any of these grammars.

use std::str::FromStr;

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
