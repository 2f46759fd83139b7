//! What the fields of a batch may be, for the OpenAPI document.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

/// A JSON number, as a string may hold one.
const NUMBER: &str = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$";

pub(super) fn symbol() -> RefOr<Schema> {
    let meaning =
        "1 to 64 printable characters, kept verbatim. In the candle, or beside `candles` for all without one.";
    let symbol = string().min_length(Some(1)).max_length(Some(64));
    symbol.description(Some(meaning)).examples(["EURUSD"]).into()
}

pub(super) fn timeframe() -> RefOr<Schema> {
    let meaning = "A MetaTrader name (`H1`, `PERIOD_H1`) or `1m` `5m` `1h` `4h` `1d` `1w`. In the candle, or beside \
                   `candles` for all without one.";
    string().description(Some(meaning)).examples(["H1"]).into()
}

pub(super) fn timestamp() -> RefOr<Schema> {
    let meaning = "When the candle opened: RFC 3339 with its zone, epoch seconds or (from 10^11) milliseconds, or \
                   `2025.08.03 10:00[:00]`. Forms without a zone are shifted by `utc_offset`.";
    either(string(), integer()).description(Some(meaning)).examples(["2025-08-03T10:00:00Z"]).into()
}

pub(super) fn utc_offset() -> RefOr<Schema> {
    let meaning =
        "Seconds that the broker's clock is ahead of UTC. In the candle, or beside `candles` for all without one.";
    let offset = integer().minimum(Some(-50_400)).maximum(Some(50_400));
    either(offset, string().pattern(Some(NUMBER))).description(Some(meaning)).examples([10_800]).into()
}

pub(super) fn open() -> RefOr<Schema> {
    price("First price of the period.")
}

pub(super) fn high() -> RefOr<Schema> {
    price("Highest price of the period: no other is above it.")
}

pub(super) fn low() -> RefOr<Schema> {
    price("Lowest price of the period: no other is below it.")
}

pub(super) fn close() -> RefOr<Schema> {
    price("Last price of the period.")
}

pub(super) fn volume() -> RefOr<Schema> {
    let meaning = "Ticks in the period, a whole number; `1200.0` and `1.2E+03` are taken too.";
    let ticks = integer().minimum(Some(0));
    either(ticks, string().pattern(Some(NUMBER))).description(Some(meaning)).examples([1200]).into()
}

pub(super) fn complete() -> RefOr<Schema> {
    let meaning = "Whether the period is over. Where absent, it is if the batch holds a newer candle of the series or the \
                   period has ended by the server's clock.";
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(meaning)).into()
}

fn price(meaning: &str) -> RefOr<Schema> {
    let number =
        ObjectBuilder::new().schema_type(Type::Number).format(Some(SchemaFormat::Custom("decimal".to_owned())));
    let price = either(number, string().pattern(Some(NUMBER)));
    price.description(Some(format!("{meaning} At most 28 digits in all and behind the point."))).into()
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

fn either(one: ObjectBuilder, other: ObjectBuilder) -> OneOfBuilder {
    OneOfBuilder::new().item(one).item(other)
}
