//! Reads the JSON body of a request field by field, and collects everything that is wrong with it.
//!
//! A field that is null counts as absent. A field that is not known is refused, because a mistyped one must not fall back to a
//! default.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ResearchError;
use crate::validation::{FieldError, MAX_REPORTED_ERRORS, PathSegment};
use candle::{Rule, ValueError};

/// The faults of a request so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldError>);

impl From<Vec<FieldError>> for Faults {
    fn from(faults: Vec<FieldError>) -> Self {
        Self(faults)
    }
}

impl Faults {
    pub(crate) fn add(&mut self, loc: Vec<PathSegment>, kind: &'static str, msg: impl Into<String>) {
        self.0.push(FieldError { loc, msg: msg.into(), kind });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if something is wrong at this place already.
    pub(crate) fn is_at(&self, loc: &[PathSegment]) -> bool {
        self.0.iter().any(|fault| fault.loc == loc)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The refusal of a request with faults.
    pub(crate) fn refusal(mut self) -> ResearchError {
        self.0.truncate(MAX_REPORTED_ERRORS);
        ResearchError::Fields(self.0)
    }
}

/// Parses a body that has to be a JSON object.
///
/// # Errors
/// [`ResearchError::Malformed`] when it is not.
pub(crate) fn parse(body: &[u8]) -> Result<Value, ResearchError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ResearchError::Malformed(format!("the body is not valid JSON: {error}; correct it and send it again"))
    })?;
    if value.is_object() {
        return Ok(value);
    }
    Err(ResearchError::Malformed(
        r#"the body is not an object; send one, such as {"strategy":"sma-cross",…}"#.to_owned(),
    ))
}

/// An object of a body, and its place.
#[derive(Debug, Clone)]
pub(crate) struct Object<'v> {
    fields: &'v Map<String, Value>,
    place: Vec<PathSegment>,
}

impl<'v> Object<'v> {
    /// Takes an object that may have the fields `known`.
    pub(crate) fn of(value: &'v Value, place: Vec<PathSegment>, known: &[&str], faults: &mut Faults) -> Option<Self> {
        let object = Self::open(value, place, faults)?;
        for name in object.fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let message = format!("is not a field of this request, which takes {}", known.join(", "));
            faults.add(object.place(name), "unknown_field", message);
        }
        Some(object)
    }

    /// Takes an object whose fields have any names.
    pub(crate) fn open(value: &'v Value, place: Vec<PathSegment>, faults: &mut Faults) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            faults.add(place, Rule::WrongType.name(), format!("is {}; send an object", kind(value)));
            return None;
        };
        Some(Self { fields, place })
    }

    /// The place of one of its fields.
    pub(crate) fn place(&self, name: &str) -> Vec<PathSegment> {
        self.place.iter().cloned().chain([name.into()]).collect()
    }

    /// The value of a field, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// All fields that are there, with their names.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'v str, &'v Value)> + use<'v> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Parses a field, if it is there.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        faults: &mut Faults,
        parse: impl FnOnce(&'v Value) -> Result<T, ValueError>,
    ) -> Option<T> {
        let parsed = parse(self.get(name)?);
        parsed.map_err(|error| faults.add(self.place(name), error.rule.name(), error.message)).ok()
    }

    /// Parses a field that must be there.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        faults: &mut Faults,
        parse: impl FnOnce(&'v Value) -> Result<T, ValueError>,
    ) -> Option<T> {
        if self.get(name).is_none() {
            faults.add(self.place(name), Rule::Missing.name(), "is missing");
        }
        self.optional(name, faults, parse)
    }

    /// A field that is an object with the fields `known`, if it is there.
    pub(crate) fn object(&self, name: &str, known: &[&str], faults: &mut Faults) -> Option<Self> {
        Self::of(self.get(name)?, self.place(name), known, faults)
    }

    /// A field that is a list of at most `max` values, if it is there. `parse` gets each of them.
    pub(crate) fn list<T>(
        &self,
        name: &str,
        lengths: RangeInclusive<usize>,
        faults: &mut Faults,
        mut parse: impl FnMut(&'v Value) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let value = self.get(name)?;
        let Some(values) = value.as_array().filter(|values| lengths.contains(&values.len())) else {
            let (least, most) = (lengths.start(), lengths.end());
            let message = match value.as_array() {
                Some(values) => format!("has {} values; send from {least} to {most}", values.len()),
                None => format!("is {}; send a list", kind(value)),
            };
            let rule = if value.is_array() { Rule::OutOfRange } else { Rule::WrongType };
            faults.add(self.place(name), rule.name(), message);
            return None;
        };
        let mut parsed = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            match parse(value) {
                Ok(value) => parsed.push(value),
                Err(error) => {
                    let place = self.place(name).into_iter().chain([index.into()]).collect();
                    faults.add(place, error.rule.name(), error.message);
                }
            }
        }
        Some(parsed)
    }
}

/// A text.
pub(crate) fn text(value: &Value) -> Result<&str, ValueError> {
    value.as_str().ok_or_else(|| wrong_type(value, "a string"))
}

/// The text of a number or of a string that may hold one.
pub(crate) fn scalar(value: &Value) -> Result<String, ValueError> {
    match value {
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(wrong_type(value, "a number or a string")),
    }
}

/// A finite number, or a string that holds one.
pub(crate) fn number(value: &Value) -> Result<f64, ValueError> {
    parse_number(&scalar(value)?)
}

/// The number in a text.
pub(crate) fn parse_number(text: &str) -> Result<f64, ValueError> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = Some(text).filter(|text| is_plain(text)).and_then(|text| text.parse::<f64>().ok());
    let number = number.filter(|number| number.is_finite());
    number.ok_or_else(|| ValueError::new(Rule::NotANumber, "is not a number; send digits, such as 12 or 0.5"))
}

/// A whole number within bounds.
pub(crate) fn whole(value: &Value, bounds: RangeInclusive<u64>) -> Result<u64, ValueError> {
    parse_whole(&scalar(value)?, bounds)
}

/// The whole number in a text.
pub(crate) fn parse_whole(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, ValueError> {
    text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let message = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
        ValueError::new(Rule::OutOfRange, message)
    })
}

pub(crate) fn wrong_type(value: &Value, wanted: &str) -> ValueError {
    ValueError::new(Rule::WrongType, format!("is {}; send {wanted}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
