//! Schemas of the values of requests, for the OpenAPI document.

use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A JSON number in a string. Written without `\d`, because that matches the digits of any script in some engines.
const NUMBER: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$";
/// Text without a leading or trailing blank. A pattern cannot say which characters are printable.
const SYMBOL: &str = r"^\S(.*\S)?$";
/// The spellings that `Timeframe::parse` accepts.
const TIMEFRAME: &str = "^([Pp][Ee][Rr][Ii][Oo][Dd]_)?([Mm]([1-6]|10|12|15|20|30)|[Hh]([1-468]|12)|[Dd]1|[Ww]1|[Mm][Nn]1)$\
                         |^([1-6]|10|12|15|20|30)m$|^([1-468]|12)[hH]$|^1[dDwW]$";
/// RFC 3339, and ISO 8601 without seconds, with a short zone or without one.
const ISO_TIME: &str =
    r"^[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9](:[0-5][0-9])?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$";
const DATE: &str = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]$";
const BROKER_DATE: &str = r"^[0-9]{4}\.[01][0-9]\.[0-3][0-9]$";
/// A timeframe's name and a symbol. `Timeframe::parse` accepts other spellings too.
const SERIES: &str = r"^(M([1-6]|10|12|15|20|30)|H([1-468]|12)|D1|W1|MN1):\S(.{0,62}\S)?$";
/// An opening time in epoch milliseconds and a series.
const PLACE: &str = r"^-?[0-9]{1,13}:(M([1-6]|10|12|15|20|30)|H([1-468]|12)|D1|W1|MN1):\S(.{0,62}\S)?$";
/// A zone or an offset, with or without a time of day. A pattern cannot say which zones there are.
const ALIGNMENT: &str =
    r"^([A-Za-z][A-Za-z0-9_+/-]*|[+-](0[0-9]|1[0-3]):(00|15|30|45)|[+-]14:00)(@([01][0-9]|2[0-3]):[0-5][0-9])?$";
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const BROKER_TIME: &str = r"^[0-9]{4}\.[01][0-9]\.[0-3][0-9] [0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$";

/// The first second of the year 1.
const FIRST_SECOND: i64 = -62_135_596_800;
/// The first second of the year 1700.
const FIRST_OPENING_SECOND: i64 = -8_520_336_000;
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// The first epoch number that counts milliseconds if no unit is given.
const FIRST_MILLISECONDS: i64 = 10_000_000_000;

/// The parameter `symbol` of a query.
#[derive(Debug)]
pub struct SymbolParameter;

/// The parameter `timeframe` of a query.
#[derive(Debug)]
pub struct TimeframeParameter;

/// A time bound of a query.
#[derive(Debug)]
pub struct Bound;

/// The parameter `unit` of a query.
#[derive(Debug)]
pub struct UnitParameter;

/// The parameter `align` of a query.
#[derive(Debug)]
pub struct AlignParameter;

/// The parameter `week` of a query.
#[derive(Debug)]
pub struct WeekParameter;

/// The parameter `after` of the list of series.
#[derive(Debug)]
pub struct SeriesAfter;

/// The parameter `after` of the history of signals.
#[derive(Debug)]
pub struct SignalAfter;

/// A parameter that is `true` or `false`.
#[derive(Debug)]
pub struct Switch;

impl PartialSchema for Switch {
    fn schema() -> RefOr<Schema> {
        string().enum_values(Some(["true", "false"])).into()
    }
}

impl PartialSchema for SeriesAfter {
    fn schema() -> RefOr<Schema> {
        string().pattern(Some(SERIES)).into()
    }
}

impl PartialSchema for SignalAfter {
    fn schema() -> RefOr<Schema> {
        string().pattern(Some(PLACE)).into()
    }
}

impl PartialSchema for SymbolParameter {
    fn schema() -> RefOr<Schema> {
        symbol_text().into()
    }
}

impl PartialSchema for TimeframeParameter {
    fn schema() -> RefOr<Schema> {
        string().pattern(Some(TIMEFRAME)).into()
    }
}

impl PartialSchema for Bound {
    fn schema() -> RefOr<Schema> {
        let epoch = whole().minimum(Some(FIRST_SECOND * 1000)).maximum(Some(LAST_SECOND * 1000 + 999));
        any_of([epoch, rfc3339(), string().pattern(Some(DATE))]).into()
    }
}

impl PartialSchema for UnitParameter {
    fn schema() -> RefOr<Schema> {
        epoch_unit().into()
    }
}

impl PartialSchema for AlignParameter {
    fn schema() -> RefOr<Schema> {
        string().pattern(Some(ALIGNMENT)).into()
    }
}

impl PartialSchema for WeekParameter {
    fn schema() -> RefOr<Schema> {
        string().enum_values(Some(WEEKDAYS)).into()
    }
}

impl ToSchema for AlignParameter {}
impl ToSchema for WeekParameter {}
impl ToSchema for SeriesAfter {}
impl ToSchema for SignalAfter {}
impl ToSchema for Switch {}
impl ToSchema for SymbolParameter {}
impl ToSchema for TimeframeParameter {}
impl ToSchema for Bound {}
impl ToSchema for UnitParameter {}

pub(crate) fn symbol() -> RefOr<Schema> {
    let meaning =
        "1 to 64 printable characters, kept verbatim. In the candle, or beside `candles` for all candles without one.";
    symbol_text().description(Some(meaning)).examples(["EURUSD"]).into()
}

pub(crate) fn timeframe() -> RefOr<Schema> {
    let meaning = "A MetaTrader name (`H1`, `PERIOD_H1`) or `1m` `5m` `1h` `4h` `1d` `1w`. In the candle, or beside \
                   `candles` for all candles without one.";
    string().pattern(Some(TIMEFRAME)).description(Some(meaning)).examples(["H1"]).into()
}

pub(crate) fn timestamp() -> RefOr<Schema> {
    let meaning = "The time at which the candle opened: RFC 3339 with a zone (`+0300` and `+03` too); epoch seconds or \
                   (from 10^10, or by `unit`) milliseconds; `2025.08.03 10:00[:00]`; or, beside `utc_offset`, RFC 3339 \
                   without a zone. For D1, W1 and MN1 also a date: `2025.08.03`, or, beside `utc_offset`, `2025-08-03`. \
                   `utc_offset` is subtracted from the forms without a zone. In UTC, the time must be a multiple of 1, \
                   3, 5 or 15 minutes below H1 (the largest that divides the timeframe), of 5 minutes from H1 to H12, and \
                   of a minute from D1 on. It must lie in 1700 or later, but not in the future, and must not be 0 below \
                   D1. Required, here or as `time`.";
    let forms = any_of(opening_times());
    forms.description(Some(meaning)).examples(["2025.08.03 13:00"]).into()
}

pub(crate) fn time() -> RefOr<Schema> {
    let meaning = "The name of `timestamp` in `MqlRates`; send one of the two.";
    any_of(opening_times()).description(Some(meaning)).into()
}

pub(crate) fn unit() -> RefOr<Schema> {
    let meaning = "The unit of `timestamp` if it is a number: seconds, or milliseconds, which this API answers in. In the \
                   candle, or beside `candles` for all candles without one.";
    epoch_unit().description(Some(meaning)).examples(["ms"]).into()
}

fn opening_times() -> [ObjectBuilder; 9] {
    let seconds = whole().minimum(Some(FIRST_OPENING_SECOND)).maximum(Some(FIRST_MILLISECONDS - 1));
    let milliseconds = || whole().multiple_of(Some(1000));
    let late = milliseconds().minimum(Some(FIRST_MILLISECONDS)).maximum(Some(LAST_SECOND * 1000));
    let early = milliseconds().minimum(Some(FIRST_OPENING_SECOND * 1000)).maximum(Some(-FIRST_MILLISECONDS));
    let [iso, broker, date, broker_date] =
        [ISO_TIME, BROKER_TIME, DATE, BROKER_DATE].map(|form| string().pattern(Some(form)));
    [rfc3339(), seconds, late, early, iso, broker, date, broker_date, number_in_a_string()]
}

fn epoch_unit() -> ObjectBuilder {
    string().enum_values(Some(["s", "ms"]))
}

pub(crate) fn utc_offset() -> RefOr<Schema> {
    let meaning = "The number of seconds by which the broker's clock is ahead of UTC, a multiple of 900; not beside a time \
                   that names its zone. In the candle, or beside `candles` for all candles without one.";
    let offset = whole().minimum(Some(-50_400)).maximum(Some(50_400)).multiple_of(Some(900));
    any_of([offset, number_in_a_string()]).description(Some(meaning)).examples([10_800]).into()
}

pub(crate) fn open() -> RefOr<Schema> {
    price("First price of the period.")
}

pub(crate) fn high() -> RefOr<Schema> {
    price("Highest price of the period: no other price of the candle is above it.")
}

pub(crate) fn low() -> RefOr<Schema> {
    price("Lowest price of the period: no other price of the candle is below it.")
}

pub(crate) fn close() -> RefOr<Schema> {
    price("Last price of the period.")
}

pub(crate) fn volume() -> RefOr<Schema> {
    let meaning = "Number of ticks in the period, a whole number, also as `1200.0` or `1.2E+03`. Required, here or as \
                   `tick_volume`.";
    any_of(ticks()).description(Some(meaning)).examples([1200]).into()
}

pub(crate) fn tick_volume() -> RefOr<Schema> {
    let meaning = "The name of `volume` in `MqlRates`; send one of the two.";
    any_of(ticks()).description(Some(meaning)).into()
}

fn ticks() -> [ObjectBuilder; 2] {
    [whole().minimum(Some(0)).maximum(Some(i64::MAX)), number_in_a_string()]
}

pub(crate) fn complete() -> RefOr<Schema> {
    let meaning = "True if the period is over. `true` is refused before the period has begun; long before its end, the \
                   candle is kept as forming and listed in `early`. If absent, the period is over if the batch holds a newer \
                   candle of the series or the period has certainly ended by the server's clock.";
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(meaning)).into()
}

fn price(meaning: &str) -> RefOr<Schema> {
    const PRICE_LIMIT: f64 = 1e28;
    let decimal = SchemaFormat::Custom("decimal".to_owned());
    let number = ObjectBuilder::new().schema_type(Type::Number).format(Some(decimal));
    let number = number.exclusive_minimum(Some(-PRICE_LIMIT)).exclusive_maximum(Some(PRICE_LIMIT));
    let price = any_of([number, number_in_a_string()]);
    price.description(Some(format!("{meaning} At most 28 digits in total and at most 28 after the point."))).into()
}

fn symbol_text() -> ObjectBuilder {
    string().min_length(Some(1)).max_length(Some(64)).pattern(Some(SYMBOL))
}

fn rfc3339() -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn number_in_a_string() -> ObjectBuilder {
    string().pattern(Some(NUMBER))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn whole() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

fn any_of(forms: impl IntoIterator<Item = ObjectBuilder>) -> AnyOfBuilder {
    forms.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item)
}
