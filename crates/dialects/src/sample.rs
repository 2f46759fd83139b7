//! A look at the first lines of a file, before all of it is read.

use std::collections::HashMap;

use crate::detect::lines;
use crate::rows::{LineContent, RowReader};
use crate::steps::Steps;
use crate::times::day_and_month;
use crate::{DayMonth, Fields, Layout};

/// The first lines of a file.
#[derive(Debug, Default, Clone)]
pub struct Sample {
    /// The steps between candles.
    pub steps: Steps,
    /// True if the newest candle comes first.
    pub falling: bool,
    /// The first time: as it is written, and its reading with the offset that it says.
    pub first_time: Option<(String, i64, Option<i64>)>,
    /// The timeframe, if a column of the file says it.
    pub timeframe: Option<candle::Timeframe>,
}

impl Sample {
    /// Reads the lines of `head`, of which the last may be cut off.
    #[must_use]
    pub fn read(head: &[u8], rows: &RowReader) -> Self {
        let mut rows = rows.for_times();
        let mut sample = Self::default();
        let mut before: HashMap<Vec<u8>, i64> = HashMap::new();
        let (mut rises, mut falls) = (0_u32, 0_u32);
        let skipped = rows.layout().head_lines;
        for line in lines(head).skip(skipped) {
            let Ok(LineContent::Row(row)) = rows.read(line) else { continue };
            if sample.first_time.is_none() {
                sample.first_time = Some((written_time(line, rows.layout()), row.reading, row.offset));
                sample.timeframe = row.timeframe;
            }
            let instant = row.reading - row.offset.unwrap_or(0);
            if let Some(last) = before.insert(row.ticker.to_vec(), instant) {
                match instant - last {
                    0 => {}
                    step => {
                        sample.steps.add(step.abs());
                        rises += u32::from(step > 0);
                        falls += u32::from(step < 0);
                    }
                }
            }
        }
        sample.falling = falls > rises;
        sample
    }
}

fn written_time(line: &[u8], layout: &Layout) -> String {
    let Ok(fields) = Fields::split(line, layout.delimiter) else { return String::new() };
    let date = String::from_utf8_lossy(fields.get(layout.columns.date)).into_owned();
    match layout.columns.time {
        Some(time) => format!("{date} {}", String::from_utf8_lossy(fields.get(time))),
        None => date,
    }
}

/// Settles which number of a date is the day, by the dates of a whole file.
#[derive(Debug, Default, Clone, Copy)]
pub struct DayMonthVotes {
    first: i64,
    second: i64,
}

impl DayMonthVotes {
    /// Looks at a line.
    pub fn look_at(&mut self, line: &[u8], layout: &Layout) {
        let Ok(fields) = Fields::split(line, layout.delimiter) else { return };
        if let Some((first, second)) = day_and_month(fields.get(layout.columns.date)) {
            self.first = self.first.max(first);
            self.second = self.second.max(second);
        }
    }

    /// The order, if the dates settle it.
    #[must_use]
    pub fn order(&self) -> Option<DayMonth> {
        match (self.first > 12, self.second > 12) {
            (true, false) => Some(DayMonth::DayFirst),
            (false, true) => Some(DayMonth::MonthFirst),
            _ => None,
        }
    }
}
