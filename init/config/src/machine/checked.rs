//! Tables and lists, read so that an error has the place of the key, value or element that is wrong.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use toml::{Table, Value};

/// Reads a table whose keys `is_key` accepts and whose values, by their key, `is_value`.
///
/// # Errors
/// It is not a table, or something in it is refused.
pub(super) fn table<'de, D: Deserializer<'de>>(
    from: D,
    is_key: fn(&str) -> Result<(), String>,
    is_value: fn(&str, &Value) -> Result<(), String>,
) -> Result<Table, D::Error> {
    from.deserialize_map(Checked { is_key, is_value })
}

struct Checked {
    is_key: fn(&str) -> Result<(), String>,
    is_value: fn(&str, &Value) -> Result<(), String>,
}

impl<'de> Visitor<'de> for Checked {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut table = Table::new();
        while let Some(key) =
            map.next_key_seed(Accepted::<_, String>::by(|key: &String| (self.is_key)(key)))?
        {
            let value = map.next_value_seed(Accepted::by(|value| (self.is_value)(&key, value)))?;
            table.insert(key, value);
        }
        Ok(table)
    }
}

/// Something that a function accepts.
struct Accepted<F, T>(F, PhantomData<T>);

impl<T, F: FnOnce(&T) -> Result<(), String>> Accepted<F, T> {
    fn by(accepts: F) -> Self {
        Self(accepts, PhantomData)
    }
}

impl<'de, T, F> DeserializeSeed<'de> for Accepted<F, T>
where
    T: Deserialize<'de>,
    F: FnOnce(&T) -> Result<(), String>,
{
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        let read = T::deserialize(from)?;
        (self.0)(&read).map_err(D::Error::custom)?;
        Ok(read)
    }
}

/// Reads a list of texts that are each a `T`.
///
/// # Errors
/// It is not a list, or an element of it is not a `T`.
pub(super) fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = String>,
{
    let elements = Vec::<Element<T>>::deserialize(from)?;
    Ok(elements
        .into_iter()
        .map(|Element(element)| element)
        .collect())
}

struct Element<T>(T);

impl<'de, T: TryFrom<String, Error = String>> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // What a visitor refuses has the place of the text.
        from.deserialize_str(Text(PhantomData))
    }
}

struct Text<T>(PhantomData<T>);

impl<T: TryFrom<String, Error = String>> Visitor<'_> for Text<T> {
    type Value = Element<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Element<T>, E> {
        T::try_from(text.to_owned()).map(Element).map_err(E::custom)
    }
}
