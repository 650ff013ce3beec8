//! A line as serde sees it: a map from column names to cells. The csv crate has this too, but its errors do not say
//! in which column a value was refused, nor which values would be accepted.

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// The names of the fields of struct `T`, in their order.
///
/// # Panics
/// Where `T` is not a struct with named fields.
pub fn columns<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut columns: Option<&'static [&'static str]> = None;
    let _ = T::deserialize(Introspect(&mut columns));
    columns.expect("a row is a struct with named fields")
}

/// One row from its cells. `columns` are the names of the fields that they belong to, as far as they belong to any.
///
/// # Errors
/// Where a cell does not hold what its field needs; the message names the column and the value.
pub fn row<T: DeserializeOwned>(columns: &[Option<&'static str>], record: &csv::StringRecord) -> Result<T, Error> {
    let cells =
        columns.iter().zip(record).filter_map(|(column, text)| Some(((*column)?, Cell { column: (*column)?, text })));
    T::deserialize(MapDeserializer::new(cells))
}

/// Checks that a row can be made of these columns alone.
///
/// # Errors
/// Where a needed one is missing; the message names it.
pub fn check_columns<T: DeserializeOwned>(columns: &[&'static str]) -> Result<(), Error> {
    let cells = columns.iter().map(|column| (*column, Anything));
    T::deserialize(MapDeserializer::new(cells)).map(|_: T| ())
}

/// What is wrong with a cell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl de::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("no column `{field}`"))
    }
}

/// A cell of which nothing is known but that it is there: some value of the kind that its field asks for.
#[derive(Clone, Copy)]
struct Anything;

impl IntoDeserializer<'_, Error> for Anything {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Anything {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(0)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(0.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant: StrDeserializer<'_, Error> = variants[0].into_deserializer();
        variant.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Holds no data: asked for a struct, it notes the names of the fields and gives up.
struct Introspect<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Introspect<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        Err(Error("asked for the fields only".into()))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error("not a struct".into()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The text in one column of one line.
#[derive(Clone, Copy)]
struct Cell<'a> {
    column: &'static str,
    text: &'a str,
}

impl Cell<'_> {
    fn parse<T: std::str::FromStr>(self, expected: impl fmt::Display) -> Result<T, Error> {
        self.text.parse().map_err(|_| self.refuse(format_args!("`{}`, expected {expected}", self.text)))
    }

    fn refuse(self, problem: impl fmt::Display) -> Error {
        Error(format!("column `{}`: {problem}", self.column))
    }
}

impl IntoDeserializer<'_, Error> for Cell<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.parse(format_args!("a whole number from 0 to {}", <$type>::MAX))?)
        }
    )*};
}

/// Only the kinds of fields that rows have are spelt out; anything else is read as text, and serde refuses it.
impl<'de> Deserializer<'de> for Cell<'_> {
    type Error = Error;

    whole_numbers! { deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64 }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.parse("a number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.text.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !variants.contains(&self.text) {
            return Err(self.refuse(format_args!("`{}`, expected one of {}", self.text, variants.join(", "))));
        }
        let variant: StrDeserializer<'_, Error> = self.text.into_deserializer();
        variant.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text).map_err(|error: Error| self.refuse(error))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
