//! TOML as a tree of values that know their places.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::read::{Datum, Located};

/// Parses TOML. The error is the byte of the first mistake, and the reason.
pub(super) fn parse(text: &str) -> Result<Located<'_>, (usize, String)> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().replace('\n', "; ")))?;
    Ok(Located { offset: 0, datum: of_table(text, table.into_inner()) })
}

fn of_table<'a>(text: &'a str, table: DeTable<'a>) -> Datum<'a> {
    let entries = table.into_iter().map(|(key, value)| {
        let offset = key.span().start;
        (key.into_inner(), offset, of_value(text, value.span(), value.into_inner()))
    });
    Datum::Table(entries.collect())
}

fn of_value<'a>(text: &'a str, span: Range<usize>, value: DeValue<'a>) -> Located<'a> {
    let datum = match value {
        DeValue::String(string) => {
            let inside = ["\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"].iter().find_map(|quote| {
                let start = span.start + quote.len();
                let is_here = text[span.start..].starts_with(quote) && text.get(start..)?.starts_with(string.as_ref());
                is_here.then_some(start)
            });
            Datum::Text { text: string, inside }
        }
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Datum::Int(number),
            Err(_) => Datum::Other("a number that is too large"),
        },
        DeValue::Float(float) => float.as_str().parse().map_or(Datum::Other("not a number"), Datum::Float),
        DeValue::Boolean(_) => Datum::Other("true or false"),
        DeValue::Datetime(_) => Datum::Other("a time"),
        DeValue::Array(items) => {
            Datum::List(items.into_iter().map(|item| of_value(text, item.span(), item.into_inner())).collect())
        }
        DeValue::Table(table) => of_table(text, table),
    };
    Located { offset: span.start, datum }
}
