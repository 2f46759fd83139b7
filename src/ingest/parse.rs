//! Parses the bytes of a posted batch without validating them: every value stays the text that was sent, and each
//! candle is passed on before the next is read.
//!
//! The visitors are written by hand, because a derived batch whose `candles: &RawValue` is streamed once all defaults
//! are known reads the list twice: 439 µs instead of 376 for 1,000 candles of the Expert Advisor, and 4.43 ms instead
//! of 3.75 for 10,000. It is faster if the defaults follow the list (368 µs instead of 604), but few senders write them
//! there, and its first reading reports a trailing comma as a missing value, and a syntax error before a duplicate
//! field that precedes it.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::malformed::Malformed;
use crate::schema;

/// A value exactly as it was sent; `None` if the field is absent.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// One element of `candles`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = PostedCandle)]
pub struct CandleFields<'a> {
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::symbol, required = false)]
    pub(super) symbol: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::timeframe, required = false)]
    pub(super) timeframe: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::timestamp, required = false)]
    pub(super) timestamp: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::time, required = false)]
    pub(super) time: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::unit, required = false)]
    pub(super) unit: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::utc_offset, required = false)]
    pub(super) utc_offset: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::open, required = true)]
    pub(super) open: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::high, required = true)]
    pub(super) high: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::low, required = true)]
    pub(super) low: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::close, required = true)]
    pub(super) close: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::volume, required = false)]
    pub(super) volume: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::tick_volume, required = false)]
    pub(super) tick_volume: Raw<'a>,
    #[serde(borrow, deserialize_with = "as_sent")]
    #[schema(schema_with = schema::complete, required = false)]
    pub(super) complete: Raw<'a>,
}

/// A batch of candles. Unknown fields are ignored; a field given twice is malformed.
#[derive(Debug, Default, ToSchema)]
#[schema(as = Batch)]
pub struct BatchFields<'a> {
    #[schema(schema_with = schema::symbol, required = false)]
    pub(super) symbol: Raw<'a>,
    #[schema(schema_with = schema::timeframe, required = false)]
    pub(super) timeframe: Raw<'a>,
    #[schema(schema_with = schema::unit, required = false)]
    pub(super) unit: Raw<'a>,
    #[schema(schema_with = schema::utc_offset, required = false)]
    pub(super) utc_offset: Raw<'a>,
    /// 1 to `MAX_BATCH` candles.
    #[schema(value_type = Vec<CandleFields<'_>>, min_items = 1)]
    pub(super) candles: Shape<Count>,
}

impl<'a> BatchFields<'a> {
    /// The values for candles that do not have their own.
    pub(super) fn defaults(&self) -> [Raw<'a>; 4] {
        [self.symbol, self.timeframe, self.unit, self.utc_offset]
    }
}

/// The number of elements of `candles`.
type Count = usize;

/// A value that may be absent or of the wrong type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Shape<T> {
    #[default]
    Absent,
    Wrong,
    Right(T),
}

impl<T> Shape<T> {
    /// This value, or the other one if it is absent.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Absent => other,
            own => own,
        }
    }

    pub(super) fn right(self) -> Option<T> {
        match self {
            Self::Right(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }
}

/// The text of a body, without the bytes that terminals add around it.
pub(crate) fn text(body: &[u8]) -> Result<&str, Malformed> {
    let body = trim(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to();
        if error.error_len().is_none() {
            return Malformed(format!(
                "the body is truncated: it ends at byte {offset}, inside a character; \
                 send all of its bytes (StringLen counts characters, not bytes)"
            ));
        }
        Malformed(format!("the body is not UTF-8 at byte {offset}; convert it with CP_UTF8 before sending"))
    })?;
    if text.is_empty() {
        return Err(Malformed("the body is empty; send a JSON object with a list named candles".into()));
    }
    Ok(text)
}

/// Parses the text of a body and passes each of the first `max_candles` elements to `take` as soon as it is read, with
/// the fields of the batch that precede `candles`. Candles are not kept, however many there are.
pub(super) fn parse<'a>(
    text: &'a str,
    max_candles: usize,
    take: impl FnMut(&BatchFields<'a>, &Shape<CandleFields<'a>>),
) -> Result<Shape<BatchFields<'a>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let batch = BatchSeed { max_candles, take }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(batch)
}

/// Drops the bytes that terminals add around the text: a byte-order mark before it, and after it the zero that
/// `StringToCharArray` copies along (MQL5 reference) or blanks.
fn trim(body: &[u8]) -> &[u8] {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let end = body.iter().rposition(|&byte| byte != 0 && !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    &body[..end]
}

fn as_sent<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Implements the visits that read and drop a JSON value of an unexpected type.
macro_rules! any_other_type_is_wrong {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> { Ok(Shape::Wrong) })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Shape::Wrong) }
    };
    (but a list) => {
        any_other_type_is_wrong!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Shape::Wrong)
        }
    };
    (but an object) => {
        any_other_type_is_wrong!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Shape::Wrong)
        }
    };
}

struct BatchSeed<F> {
    max_candles: usize,
    take: F,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum BatchField {
    Symbol,
    Timeframe,
    Unit,
    UtcOffset,
    Candles,
    #[serde(other)]
    Unknown,
}

impl<'de, F: FnMut(&BatchFields<'de>, &Shape<CandleFields<'de>>)> DeserializeSeed<'de> for BatchSeed<F> {
    type Value = Shape<BatchFields<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&BatchFields<'de>, &Shape<CandleFields<'de>>)> Visitor<'de> for BatchSeed<F> {
    type Value = Shape<BatchFields<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        fn once<'de, A: MapAccess<'de>>(slot: &mut Raw<'de>, map: &mut A, name: &'static str) -> Result<(), A::Error> {
            match slot.replace(map.next_value()?) {
                None => Ok(()),
                Some(_) => Err(serde::de::Error::duplicate_field(name)),
            }
        }
        let mut batch = BatchFields::default();
        while let Some(field) = map.next_key()? {
            match field {
                BatchField::Symbol => once(&mut batch.symbol, &mut map, "symbol")?,
                BatchField::Timeframe => once(&mut batch.timeframe, &mut map, "timeframe")?,
                BatchField::Unit => once(&mut batch.unit, &mut map, "unit")?,
                BatchField::UtcOffset => once(&mut batch.utc_offset, &mut map, "utc_offset")?,
                BatchField::Candles if matches!(batch.candles, Shape::Absent) => {
                    let take = |candle: &_| (self.take)(&batch, candle);
                    batch.candles = map.next_value_seed(CandlesSeed { max: self.max_candles, take })?;
                }
                BatchField::Candles => return Err(serde::de::Error::duplicate_field("candles")),
                BatchField::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Shape::Right(batch))
    }

    any_other_type_is_wrong!(but an object);
}

struct CandlesSeed<F> {
    max: usize,
    take: F,
}

impl<'de, F: FnMut(&Shape<CandleFields<'de>>)> DeserializeSeed<'de> for CandlesSeed<F> {
    type Value = Shape<Count>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&Shape<CandleFields<'de>>)> Visitor<'de> for CandlesSeed<F> {
    type Value = Shape<Count>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while count < self.max {
            let Some(candle) = list.next_element()? else { return Ok(Shape::Right(count)) };
            (self.take)(&candle);
            count += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Shape::Right(count))
    }

    any_other_type_is_wrong!(but a list);
}

impl<'de> Deserialize<'de> for Shape<CandleFields<'de>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CandleVisitor;

        impl<'de> Visitor<'de> for CandleVisitor {
            type Value = Shape<CandleFields<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                CandleFields::deserialize(MapAccessDeserializer::new(map)).map(Shape::Right)
            }

            any_other_type_is_wrong!(but an object);
        }

        deserializer.deserialize_any(CandleVisitor)
    }
}
