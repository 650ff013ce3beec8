//! Entries of a plan file: keys and the texts of their flags, each with its line.
//!
//! Not here: how they are read from TOML ([`super::document`]), and which keys there are ([`super::grammar`]).

/// Text of a flag, with its line.
#[derive(Clone, Debug)]
pub struct Item {
    pub text: String,
    pub line: usize,
}

/// Value of a key: what stands after its `=`.
#[derive(Clone, Debug)]
pub enum Value {
    Switch(bool),
    One(Item),
    Many(Vec<Item>),
}

/// Key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Value,
}

impl Entry {
    /// Returns the line of the first text that contains `value`.
    pub fn line_with(&self, value: &str) -> usize {
        match &self.value {
            Value::Many(items) => {
                items.iter().find(|item| item.text.contains(value)).map_or(self.line, |item| item.line)
            }
            Value::One(item) => item.line,
            Value::Switch(_) => self.line,
        }
    }

    /// Returns the texts of the value.
    pub fn items(&self) -> &[Item] {
        match &self.value {
            Value::Many(items) => items,
            Value::One(item) => std::slice::from_ref(item),
            Value::Switch(_) => &[],
        }
    }
}
