//! The text of one layer, taken apart: `conv(16,3,pad=1)` has a name, numbers and options.
//!
//! Not here: which layers there are (every layer knows its own text), nor lists of them ([`crate::model::layers`]).

/// Largest number in the text of a layer.
const MOST: usize = 1 << 20;

/// One layer as typed, not yet known to be one.
#[derive(Debug)]
pub struct Call<'a> {
    name: &'a str,
    numbers: Vec<usize>,
    /// `KEY=VALUE` and `KEY`.
    options: Vec<(&'a str, Option<usize>)>,
}

impl<'a> Call<'a> {
    /// `inside` is what stands in the parentheses, if there are any.
    ///
    /// # Errors
    /// Numbers that are too large or too small, empty parts, and options that are given twice.
    pub fn parse(name: &'a str, inside: Option<&'a str>) -> Result<Self, String> {
        let mut call = Self { name, numbers: Vec::new(), options: Vec::new() };
        for part in inside.into_iter().flat_map(|inside| inside.split(',')).map(str::trim) {
            let number = |text: &str, least: usize| match text.parse() {
                Ok(number) if (least..=MOST).contains(&number) => Ok(number),
                _ => Err(format!("'{part}' is no whole number from {least} to {MOST}")),
            };
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(number(value, 0)?)),
                None if part.starts_with(|first: char| first.is_ascii_alphabetic()) => (part, None),
                None => {
                    call.numbers.push(number(part, 1)?);
                    continue;
                }
            };
            if call.options.iter().any(|(before, _)| *before == key) {
                return Err(format!("{key} is given twice"));
            }
            call.options.push((key, value));
        }
        Ok(call)
    }

    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The numbers, where no option stands but those of `options`: `KEY=` for one with a value, `KEY` for one without.
    pub fn numbers(&self, options: &[&str]) -> Option<&[usize]> {
        let known = |(key, value): &(&str, Option<usize>)| {
            options.iter().any(|option| match option.strip_suffix('=') {
                Some(option) => option == *key && value.is_some(),
                None => option == key && value.is_none(),
            })
        };
        self.options.iter().all(known).then_some(&self.numbers)
    }

    /// The value of an option, where it is given.
    pub fn option(&self, key: &str) -> Option<usize> {
        self.options.iter().find(|(option, _)| *option == key).and_then(|(_, value)| *value)
    }

    /// Whether an option without a value is given.
    pub fn has(&self, key: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == key)
    }
}

/// `name(PARTS)`, or the name alone where there are no parts.
pub fn show(name: &str, parts: &[String]) -> String {
    if parts.is_empty() { name.into() } else { format!("{name}({})", parts.join(",")) }
}
