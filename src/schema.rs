//! What the values of a request may be, for the OpenAPI document.

use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A JSON number, as a string may hold one. Not `\d`, which to some engines is any script's digit.
const NUMBER: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$";
/// No outer blank; which characters are printable is more than a pattern can say.
const SYMBOL: &str = r"^\S(.*\S)?$";
/// What `Timeframe::parse` takes.
const TIMEFRAME: &str = "^([Pp][Ee][Rr][Ii][Oo][Dd]_)?([Mm]([1-6]|10|12|15|20|30)|[Hh]([1-468]|12)|[Dd]1|[Ww]1|[Mm][Nn]1)$\
                         |^([1-6]|10|12|15|20|30)m$|^([1-468]|12)[hH]$|^1[dDwW]$";
/// ISO 8601 beyond RFC 3339: without seconds, with a short zone or with none.
const ISO_TIME: &str =
    r"^[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9](:[0-5][0-9])?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$";
const DATE: &str = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]$";
const BROKER_DATE: &str = r"^[0-9]{4}\.[01][0-9]\.[0-3][0-9]$";
/// A stored timeframe and a symbol; `Timeframe::parse` takes more.
const SERIES: &str = r"^(M([1-6]|10|12|15|20|30)|H([1-468]|12)|D1|W1|MN1):\S(.{0,62}\S)?$";
const BROKER_TIME: &str = r"^[0-9]{4}\.[01][0-9]\.[0-3][0-9] [0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$";

/// First second of the year 1, of the year 1700, last of the year 9999, and where an epoch number begins to count milliseconds.
const FIRST_SECOND: i64 = -62_135_596_800;
const FIRST_OPENING_SECOND: i64 = -8_520_336_000;
const LAST_SECOND: i64 = 253_402_300_799;
const FIRST_MILLISECONDS: i64 = 10_000_000_000;

/// The parameter `symbol` of a query.
#[derive(Debug)]
pub struct SymbolParameter;

/// The parameter `timeframe` of a query.
#[derive(Debug)]
pub struct TimeframeParameter;

/// A bound in time of a query.
#[derive(Debug)]
pub struct Bound;

/// The unit of the numbers of a query.
#[derive(Debug)]
pub struct UnitParameter;
/// The parameter `after` of the list of series.
#[derive(Debug)]
pub struct SeriesAfter;

impl PartialSchema for SeriesAfter {
    fn schema() -> RefOr<Schema> {
        string().pattern(Some(SERIES)).into()
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

impl ToSchema for SeriesAfter {}
impl ToSchema for SymbolParameter {}
impl ToSchema for TimeframeParameter {}
impl ToSchema for Bound {}
impl ToSchema for UnitParameter {}

pub(crate) fn symbol() -> RefOr<Schema> {
    let meaning =
        "1 to 64 printable characters, kept verbatim. In the candle, or beside `candles` for all without one.";
    symbol_text().description(Some(meaning)).examples(["EURUSD"]).into()
}

pub(crate) fn timeframe() -> RefOr<Schema> {
    let meaning = "A MetaTrader name (`H1`, `PERIOD_H1`) or `1m` `5m` `1h` `4h` `1d` `1w`. In the candle, or beside \
                   `candles` for all without one.";
    string().pattern(Some(TIMEFRAME)).description(Some(meaning)).examples(["H1"]).into()
}

pub(crate) fn timestamp() -> RefOr<Schema> {
    let meaning = "When the candle opened: RFC 3339 with its zone (`+0300` and `+03` too); epoch seconds or (from 10^10, or by \
                   `unit`) milliseconds; `2025.08.03 10:00[:00]`; or, beside `utc_offset`, RFC 3339 without a zone. For D1, W1 \
                   and MN1 also a date: `2025.08.03`, or beside `utc_offset` `2025-08-03`. Forms without a zone are shifted \
                   by `utc_offset`. In UTC below H1 a multiple of 1, 3, 5 or 15 minutes, as divides the timeframe, from H1 to \
                   H12 of 5 minutes, and else a whole minute; from 1700 on and not in the future; not 0 below D1. Required, here or as \
                   `time`.";
    let forms = any_of(opening_times());
    forms.description(Some(meaning)).examples(["2025.08.03 13:00"]).into()
}

pub(crate) fn time() -> RefOr<Schema> {
    let meaning = "`MqlRates`' name of `timestamp`; send one of the two.";
    any_of(opening_times()).description(Some(meaning)).into()
}

pub(crate) fn unit() -> RefOr<Schema> {
    let meaning = "What `timestamp` counts where it is a number: seconds or milliseconds, as this API answers them. In the candle, \
                   or beside `candles` for all without one.";
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
    let meaning = "Seconds that the broker's clock is ahead of UTC, a multiple of 900; not beside a time that names its zone. In the candle, \
                   or beside `candles` for all without one.";
    let offset = whole().minimum(Some(-50_400)).maximum(Some(50_400)).multiple_of(Some(900));
    any_of([offset, number_in_a_string()]).description(Some(meaning)).examples([10_800]).into()
}

pub(crate) fn open() -> RefOr<Schema> {
    price("First price of the period.")
}

pub(crate) fn high() -> RefOr<Schema> {
    price("Highest price of the period: no other is above it.")
}

pub(crate) fn low() -> RefOr<Schema> {
    price("Lowest price of the period: no other is below it.")
}

pub(crate) fn close() -> RefOr<Schema> {
    price("Last price of the period.")
}

pub(crate) fn volume() -> RefOr<Schema> {
    let meaning = "Ticks in the period, a whole number; `1200.0` and `1.2E+03` are taken too. Required, here or as `tick_volume`.";
    any_of(ticks()).description(Some(meaning)).examples([1200]).into()
}

pub(crate) fn tick_volume() -> RefOr<Schema> {
    let meaning = "`MqlRates`' name of `volume`; send one of the two.";
    any_of(ticks()).description(Some(meaning)).into()
}

fn ticks() -> [ObjectBuilder; 2] {
    [whole().minimum(Some(0)).maximum(Some(i64::MAX)), number_in_a_string()]
}

pub(crate) fn complete() -> RefOr<Schema> {
    let meaning = "Whether the period is over. `true` is refused before the period has begun; long before its end the \
                   candle is kept as forming and listed in `early`. Where absent, the period is over if the batch holds a \
                   newer candle of the series or the period has certainly ended by the server's clock.";
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(meaning)).into()
}

fn price(meaning: &str) -> RefOr<Schema> {
    const PRICE_LIMIT: f64 = 1e28;
    let decimal = SchemaFormat::Custom("decimal".to_owned());
    let number = ObjectBuilder::new().schema_type(Type::Number).format(Some(decimal));
    let number = number.exclusive_minimum(Some(-PRICE_LIMIT)).exclusive_maximum(Some(PRICE_LIMIT));
    let price = any_of([number, number_in_a_string()]);
    price.description(Some(format!("{meaning} At most 28 digits in all and behind the point."))).into()
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
