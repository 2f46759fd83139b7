//! Columns that the user names, for files of no known dialect.

use crate::dialect::Role;
use crate::fields::Fields;
use crate::layout::{Columns, Layout, ZoneOfFile};
use crate::rows::time_items;
use crate::times::{DateForm, DayMonth, TimeForm};

/// The options for a file of no known dialect.
#[derive(Debug, Clone, Default)]
pub struct GivenColumns {
    /// `time=0+1,open=2,high=3,low=4,close=5,volume=6`, from 0.
    pub columns: String,
    /// `%d/%m/%Y %H:%M`; without it times may have any known form.
    pub time_format: Option<String>,
    /// The byte between two fields; by default the one that the first line has most.
    pub delimiter: Option<u8>,
    /// The mark before fractions.
    pub decimal: Option<u8>,
}

const EXAMPLE: &str = "give it such as time=0,open=1,high=2,low=3,close=4,volume=5, counted from 0, with time=0+1 for a date \
                       and a time of day";

impl GivenColumns {
    /// The layout of a file that begins with `head`. A first line whose prices are not numbers is a header.
    ///
    /// # Errors
    /// The mistake in the options, as a clause that begins with the option's name.
    pub fn layout(&self, head: &[u8]) -> Result<Layout, String> {
        if let Some(format) = &self.time_format {
            time_items(format).map_err(|error| format!("--time-format {error}"))?;
        }
        let mut columns = parse(&self.columns).map_err(|error| format!("--columns {error}; {EXAMPLE}"))?;
        let mut lines = crate::detect::lines(head).filter(|line| !line.trim_ascii().is_empty());
        let first = lines.next().unwrap_or_default();
        let delimiter = self.delimiter.unwrap_or_else(|| most_frequent(first));
        let sample = || crate::detect::lines(head).filter_map(|line| Fields::split(line, delimiter).ok()).take(50);
        let is_number = |fields: &Fields<'_>| {
            columns.prices.iter().all(|&at| fields.get(at).first().is_some_and(|first| b"-.0123456789".contains(first)))
        };
        let has_header = sample().next().is_some_and(|fields| !is_number(&fields));
        if has_header && let Some(fields) = sample().next() {
            columns.names =
                fields.without_empty_end().iter().map(|name| crate::fields::text(name).into_owned()).collect();
        }
        let rows = || sample().skip(usize::from(has_header)).filter(|fields| fields.as_slice().len() > 1);
        let decimal = self.decimal.unwrap_or_else(|| crate::detect::decimal_mark(delimiter, &columns, rows()));
        let time = match &self.time_format {
            Some(_) => None,
            None => rows().next().and_then(|fields| crate::detect::first_time(&columns, &fields)),
        };
        let in_value = match &self.time_format {
            Some(format) => format.contains("%z") || format.contains("%:z") || format.contains("%s"),
            None => time.is_some_and(|time| time.offset.is_some()),
        };
        let form = match &self.time_format {
            Some(_) => Some(TimeForm { date: DateForm::Compact, has_time: true, has_zone: in_value }),
            None => time.map(|time| time.form),
        };
        Ok(Layout {
            dialect: None,
            delimiter,
            decimal,
            head_lines: usize::from(has_header),
            columns,
            form,
            order: self.time_format.as_ref().map(|_| DayMonth::DayFirst),
            time_format: self.time_format.clone(),
            zone: if in_value { ZoneOfFile::InValue } else { ZoneOfFile::Unsaid },
        })
    }
}

fn most_frequent(line: &[u8]) -> u8 {
    let count = |mark: u8| memchr::memchr_iter(mark, line).count();
    [b'\t', b';', b','].into_iter().max_by_key(|&mark| count(mark)).unwrap_or(b',')
}

fn parse(text: &str) -> Result<Columns, String> {
    let mut columns = Columns::default();
    let mut taken = Vec::new();
    for part in text.split(',') {
        let (name, place) = part.split_once('=').ok_or_else(|| format!("has {part:?} without a column"))?;
        let role = match name.trim() {
            "time" => Role::Date,
            "open" => Role::Open,
            "high" => Role::High,
            "low" => Role::Low,
            "close" => Role::Close,
            "volume" => Role::Volume,
            "trades" => Role::Trades,
            "symbol" => Role::Ticker,
            other => {
                return Err(format!("names {other:?}, which is none of time open high low close volume trades symbol"));
            }
        };
        let number = |place: &str| -> Result<usize, String> {
            let number = place.trim().parse().ok().filter(|&at: &usize| at < crate::fields::MAX_FIELDS);
            number.ok_or_else(|| format!("has {place:?} in place of a column's number"))
        };
        let (first, second) = match place.split_once('+') {
            Some((first, second)) if role == Role::Date => (number(first)?, Some(number(second)?)),
            _ => (number(place)?, None),
        };
        if !columns.put(role, first, &mut taken) {
            return Err(format!("names {name} twice"));
        }
        if let Some(second) = second {
            columns.put(Role::Time, second, &mut taken);
        }
    }
    for (role, name) in
        [(Role::Date, "time"), (Role::Open, "open"), (Role::High, "high"), (Role::Low, "low"), (Role::Close, "close")]
    {
        if !taken.contains(&role) {
            return Err(format!("does not name {name}"));
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(columns: &str) -> GivenColumns {
        GivenColumns { columns: columns.to_owned(), ..GivenColumns::default() }
    }

    #[test]
    fn columns_stand_where_they_are_given() {
        let layout = given("time=0+1,close=2,open=3,high=4,low=5")
            .layout(b"day;hour;c;o;h;l\r\n04.08.2025;0:01;1,5;1,4;1,6;1,3\r\n")
            .unwrap();
        assert_eq!((layout.delimiter, layout.decimal, layout.head_lines), (b';', b',', 1));
        assert_eq!((layout.columns.date, layout.columns.time, layout.columns.prices), (0, Some(1), [3, 4, 5, 2]));
        assert_eq!(layout.columns.volume, None);
        assert_eq!(layout.zone, ZoneOfFile::Unsaid);
    }

    #[test]
    fn mistakes_are_named() {
        for (columns, said) in [
            ("time=0", "does not name open"),
            ("time", "without a column"),
            ("time=x,open=1,high=2,low=3,close=4", "in place of a column's number"),
            ("time=0,time=1,open=1,high=2,low=3,close=4", "names time twice"),
            ("date=0", "none of time open"),
        ] {
            let error = given(columns).layout(b"1,2,3,4,5\n").unwrap_err();
            assert!(error.starts_with("--columns ") && error.contains(said), "{error}");
        }
        let format = GivenColumns { time_format: Some("%Q".to_owned()), ..given("time=0,open=1,high=2,low=3,close=4") };
        assert!(format.layout(b"").unwrap_err().starts_with("--time-format "));
    }
}
