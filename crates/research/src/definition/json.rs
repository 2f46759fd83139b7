//! JSON as a tree of values that know their places.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::read::{Datum, Located};

/// Parses JSON. The error is the byte of the first mistake, and the reason.
pub(super) fn parse(text: &str) -> Result<Located<'_>, (usize, String)> {
    let refuse = |error: serde_json::Error| {
        let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let message = error.to_string();
        // The caller adds the place.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        let mut offset = (before + error.column().saturating_sub(1)).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        (offset, message)
    };
    let root = serde_json::from_str::<&RawValue>(text).map_err(refuse)?;
    of_raw(text, root).map_err(refuse)
}

fn of_raw<'a>(text: &'a str, raw: &'a RawValue) -> Result<Located<'a>, serde_json::Error> {
    let json = raw.get();
    // The raw value borrows from the text, so its distance from the start of the text is its place.
    let offset = json.as_ptr().addr() - text.as_ptr().addr();
    let datum = match json.as_bytes().first() {
        Some(b'"') => {
            let string: String = serde_json::from_str(json)?;
            let inside = (json[1..json.len() - 1] == string).then_some(offset + 1);
            Datum::Text { text: Cow::Owned(string), inside }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            Datum::List(items.into_iter().map(|item| of_raw(text, item)).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let Entries(entries) = serde_json::from_str(json)?;
            let entries = entries.into_iter().map(|(key, value)| {
                let value = of_raw(text, value)?;
                Ok((Cow::Owned(key), value.offset, value))
            });
            Datum::Table(entries.collect::<Result<_, serde_json::Error>>()?)
        }
        Some(b't' | b'f') => Datum::Other("true or false"),
        Some(b'n') => Datum::Other("null"),
        _ => match (json.parse(), json.parse()) {
            (Ok(int), _) => Datum::Int(int),
            (_, Ok(float)) if f64::is_finite(float) => Datum::Float(float),
            _ => Datum::Other("a number that is too large"),
        },
    };
    Ok(Located { offset, datum })
}

/// The entries of an object in order, repeated keys included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
