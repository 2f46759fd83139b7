//! The positions of the fields of a candle in the lines of one file.

use std::fmt::Write as _;

use crate::dialect::{Dialect, Role, VolumeKind};
use crate::times::{DayMonth, TimeForm};

/// The layout of a file, as [`crate::detect()`] finds it or the user gives it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The dialect, or `None` for columns that the user named.
    pub dialect: Option<&'static Dialect>,
    /// The byte between two fields.
    pub delimiter: u8,
    /// The mark before the fraction of a number.
    pub decimal: u8,
    /// The number of lines before the first candle: notes and the header.
    pub head_lines: usize,
    /// The columns.
    pub columns: Columns,
    /// The form of its times, of the first line that has one.
    pub form: Option<TimeForm>,
    /// The order of day and month, where the file or the user says it.
    pub order: Option<DayMonth>,
    /// A form of times that the user gave.
    pub time_format: Option<String>,
    /// The zone of its times, where their text has none.
    pub zone: ZoneOfFile,
}

/// The zone of a file, as far as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneOfFile {
    /// Each time says it: it has an offset or counts from 1970 in UTC.
    InValue,
    /// All of it has this zone.
    Says(String),
    /// Nothing: the user has to say it.
    Unsaid,
}

/// The positions of the columns, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Date, with the time of day if `time` is `None`.
    pub date: usize,
    /// Time of day.
    pub time: Option<usize>,
    /// Open, high, low and close.
    pub prices: [usize; 4],
    /// Volume.
    pub volume: Option<usize>,
    /// Number of trades.
    pub trades: Option<usize>,
    /// Instrument.
    pub ticker: Option<usize>,
    /// Timeframe.
    pub period: Option<usize>,
    /// The names of all columns, in the order of the file.
    pub names: Vec<String>,
    /// The number of columns that a line has, if it is known.
    pub count: Option<usize>,
}

impl Columns {
    /// Puts a column into its role. Returns false if another column has that role.
    pub(crate) fn put(&mut self, role: Role, at: usize, taken: &mut Vec<Role>) -> bool {
        if role != Role::Ignored && taken.contains(&role) {
            return false;
        }
        taken.push(role);
        match role {
            Role::Date => self.date = at,
            Role::Time => self.time = Some(at),
            Role::Open => self.prices[0] = at,
            Role::High => self.prices[1] = at,
            Role::Low => self.prices[2] = at,
            Role::Close => self.prices[3] = at,
            Role::Volume => self.volume = Some(at),
            Role::Trades => self.trades = Some(at),
            Role::Ticker => self.ticker = Some(at),
            Role::Period => self.period = Some(at),
            Role::Ignored => {}
        }
        true
    }

    fn name(&self, at: usize) -> String {
        self.names.get(at).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| format!("column {at}"))
    }
}

impl Layout {
    /// The layout of a binary file, which has no lines.
    #[must_use]
    pub fn binary(dialect: &'static Dialect) -> Self {
        Self {
            dialect: Some(dialect),
            delimiter: 0,
            decimal: b'.',
            head_lines: 0,
            columns: Columns::default(),
            form: None,
            order: None,
            time_format: None,
            zone: ZoneOfFile::Unsaid,
        }
    }

    /// The name of the dialect for people.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.dialect.map_or("columns as given", |dialect| dialect.title)
    }

    /// The name of the dialect for `--dialect`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.dialect.map_or("columns", |dialect| dialect.name)
    }

    /// The name of the delimiter for people.
    #[must_use]
    pub fn delimiter_name(&self) -> String {
        match self.delimiter {
            b'\t' => "tab".to_owned(),
            b',' => "comma".to_owned(),
            b';' => "semicolon".to_owned(),
            other => format!("{:?}", char::from(other)),
        }
    }

    /// The unit of the volume column.
    #[must_use]
    pub fn volume_kind(&self) -> VolumeKind {
        self.dialect.map_or(VolumeKind::Whole, |dialect| dialect.volume)
    }

    /// The columns with their roles, and those that are left out, for people. `volume` is the column that becomes the volume.
    #[must_use]
    pub fn columns_text(&self, volume: Option<usize>) -> String {
        let columns = &self.columns;
        let mut text = columns.name(columns.date);
        if let Some(time) = columns.time {
            let _ = write!(text, " {}", columns.name(time));
        }
        let prices: Vec<_> = columns.prices.iter().map(|&at| columns.name(at)).collect();
        let _ = write!(text, " → time, {}", prices.join(" "));
        if prices.iter().zip(["open", "high", "low", "close"]).any(|(name, field)| !name.to_lowercase().contains(field))
        {
            text.push_str(" → open high low close");
        }
        for (at, field) in [(volume, "volume"), (columns.ticker, "symbol"), (columns.period, "timeframe")] {
            if let Some(at) = at {
                let _ = write!(text, ", {} → {field}", columns.name(at));
            }
        }
        let used = |at: &usize| {
            *at == columns.date
                || columns.prices.contains(at)
                || [columns.time, volume, columns.ticker, columns.period].contains(&Some(*at))
        };
        let left_out: Vec<_> = (0..columns.names.len())
            .filter(|at| !used(at) && !columns.names[*at].is_empty())
            .map(|at| columns.name(at))
            .collect();
        if !left_out.is_empty() {
            let _ = write!(text, "; left out: {}", left_out.join(" "));
        }
        text
    }
}
