//! Returns of each month.

use std::collections::BTreeMap;

use super::equity;
use crate::{
    input::Report,
    number::{fixed, month},
    pen::{LEFT, Pen, WIDTH},
    sheet::{ACCENT_PALE, LOSS_PALE, Style, WHITE},
    table::{self, Cell, HEAD_HEIGHT, ROW_HEIGHT, left, right},
};

/// The maximum number of years that a page has room for.
const MAX_YEARS: usize = 36;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    let years = years(&equity(report), report.settings.capital());
    if years.is_empty() {
        return;
    }
    let shown = years.len().min(MAX_YEARS);
    #[expect(clippy::cast_precision_loss, reason = "few years")]
    let height = HEAD_HEIGHT + ROW_HEIGHT * shown as f32 + 40.0;
    pen.part("Monthly returns, %", height);
    let largest =
        years.iter().flat_map(|(_, year)| &year.months).flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
    let digits = if largest < 2.0 { 2 } else { 1 };
    let mut columns = vec![left("Year", 1.1)];
    columns.extend(MONTHS.map(|month| right(month, 1.0)));
    columns.push(right("Year", 1.25));
    let rows: Vec<Vec<Cell>> = years[years.len() - shown..]
        .iter()
        .map(|(year, returns)| {
            let mut row = vec![Cell::new(year.to_string()).bold()];
            row.extend(returns.months.iter().map(|value| cell(*value, largest, digits)));
            row.push(Cell::new(returns.whole.map_or_else(String::new, |value| print(value, digits))).bold());
            row
        })
        .collect();
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
    pen.y += 4.0;
    let note = "Each return compares the equity at the last close of a month (UTC) with that of the month before; the first and the \
                last month may be parts. Darker means larger; losses have a minus.";
    pen.paragraph(LEFT, WIDTH, note, Style::NOTE);
    if shown < years.len() {
        let note = format!("The table shows the last {shown} of {} years.", years.len());
        pen.paragraph(LEFT, WIDTH, &note, Style::NOTE);
    }
}

/// Returns of a year in percent; `None` for months without candles, and where the equity before was not above 0.
#[derive(Debug, Default, PartialEq)]
struct Year {
    months: [Option<f64>; 12],
    whole: Option<f64>,
}

fn years(equity: &[(i64, f64)], capital: f64) -> Vec<(i32, Year)> {
    let mut ends: BTreeMap<(i32, u32), f64> = BTreeMap::new();
    for (time, equity) in equity {
        ends.insert(month(*time), *equity);
    }
    let change = |from: f64, to: f64| (from > 0.0).then(|| 100.0 * (to - from) / from);
    let mut years: BTreeMap<i32, Year> = BTreeMap::new();
    let (mut month_before, mut year_before, mut last_year) = (capital, capital, None);
    for ((year, month), end) in ends {
        if last_year.is_some_and(|last| last != year) {
            year_before = month_before;
        }
        last_year = Some(year);
        let entry = years.entry(year).or_default();
        entry.months[month as usize - 1] = change(month_before, end);
        entry.whole = change(year_before, end);
        month_before = end;
    }
    years.into_iter().collect()
}

fn cell(value: Option<f64>, largest: f64, digits: usize) -> Cell {
    let Some(value) = value else { return Cell::new("") };
    let strength = if largest > 0.0 { 0.25 + 0.75 * value.abs() / largest } else { 0.0 };
    let text = print(value, digits);
    match value {
        value if value > 0.0 => Cell::new(text).on(WHITE.mix(ACCENT_PALE, strength)),
        value if value < 0.0 => Cell::new(text).on(WHITE.mix(LOSS_PALE, strength)),
        _ => Cell::new(text),
    }
}

fn print(value: f64, digits: usize) -> String {
    fixed(value, if value.abs() < 100.0 { digits } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::DAY_MS;

    #[test]
    fn months_are_chained_from_the_capital() {
        // 1 December 2023, 31 December 2023, 15 January 2024, 1 March 2024.
        let days = [(19_692, 110.0), (19_722, 120.0), (19_737, 60.0), (19_783, 90.0)];
        let equity: Vec<(i64, f64)> = days.iter().map(|(day, equity)| (day * DAY_MS, *equity)).collect();
        let years = years(&equity, 100.0);
        assert_eq!(years.iter().map(|(year, _)| *year).collect::<Vec<_>>(), [2023, 2024]);
        assert_eq!((years[0].1.months[11], years[0].1.whole), (Some(20.0), Some(20.0)));
        assert_eq!((years[1].1.months[0], years[1].1.months[1]), (Some(-50.0), None));
        assert_eq!((years[1].1.months[2], years[1].1.whole), (Some(50.0), Some(-25.0)));
    }

    #[test]
    fn nothing_is_compared_with_an_equity_that_was_used_up() {
        let years = years(&[(0, -10.0), (40 * DAY_MS, -10.0)], 100.0);
        assert_eq!((years[0].1.months[0], years[0].1.months[1]), (Some(-110.0), None));
    }
}
