//! Statements for a volume that `bigint` would round or cannot hold: its column keeps its values under another name,
//! and a new `volume` is filled from it.
//!
//! They alter the table rather than update its rows, because an update would fire triggers that the table's owner
//! added.

use std::iter;

const NAME: &str = "exact_volume";

/// The part of the advice about values that have no whole number of their own.
pub(super) const SUBSTITUTE: &str = "volume gets 0 for nulls and for values that bigint cannot hold, such as NaN, \
     infinity or a number that is too large; to use another number, replace the 0 after \"else\"";

/// True if a column of this type may hold such volumes.
pub(super) fn is_type(base_type: &str) -> bool {
    matches!(base_type, "numeric" | "real" | "double precision" | "money")
}

/// A SQL expression for the value of a column of such a type, as a number.
pub(super) fn number(column: &str, base_type: &str) -> String {
    let cast = if base_type == "money" { "::numeric" } else { "" };
    format!("\"{column}\"{cast}")
}

/// The first free name for the column that keeps the values.
pub(super) fn free_name(is_taken: impl Fn(&str) -> bool) -> String {
    names().find(|name| !is_taken(name)).unwrap_or_default()
}

/// The names that [`free_name`] returned before.
pub(super) fn taken_names(is_taken: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    names().take_while(move |name| is_taken(name))
}

fn names() -> impl Iterator<Item = String> {
    iter::once(NAME.to_owned()).chain((2..).map(|number: u64| format!("{NAME}_{number}")))
}

/// Renames `volume` to `exact`, and adds a new `volume`.
pub(super) fn replace_volume(exact: &str, base_type: &str) -> String {
    let rename = format!("alter table market_data_candles rename column \"volume\" to \"{exact}\"");
    format!("begin; {rename}; {}; {}; commit;", add_volume(exact), fill_volume(exact, base_type))
}

/// Adds the `volume` that is missing beside `exact`.
pub(super) fn restore_volume(exact: &str, base_type: &str) -> String {
    format!("begin; {}; {}; commit;", add_volume(exact), fill_volume(exact, base_type))
}

/// Adds `volume`, and drops the not-null constraint and the default of `exact`, because later candles have no value for
/// it.
fn add_volume(exact: &str) -> String {
    format!(
        "alter table market_data_candles alter column \"{exact}\" drop not null, alter column \"{exact}\" drop default, \
         add column \"volume\" bigint"
    )
}

/// Fills the nulls of a `volume` that is `bigint`. Every number is rounded in its own type, because a cast from a
/// binary type to `numeric` keeps only the digits that the type holds for certain.
pub(super) fn fill_volume(exact: &str, base_type: &str) -> String {
    let rounded = format!("round({})", number(exact, base_type));
    format!(
        "alter table market_data_candles alter column \"volume\" type bigint using coalesce(\"volume\", \
         case when {rounded} >= -9223372036854775808 and {rounded} < 9223372036854775808 then {rounded}::bigint else 0 end), \
         alter column \"volume\" set not null"
    )
}
