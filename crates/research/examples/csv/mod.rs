//! Bars from CSV on standard input: `time,open,high,low,close,volume` with a header, times in epoch milliseconds.

use std::{error::Error, io};

use research::{Bars, Columns, TickGrid};

pub(crate) fn bars_from_stdin() -> Result<Bars, Box<dyn Error>> {
    let mut columns = Columns::default();
    for (place, line) in io::stdin().lines().enumerate().skip(1) {
        let line = line?;
        let cells: Vec<&str> = line.split(',').collect();
        let [time, open, high, low, close, volume] = cells[..] else {
            return Err(format!("line {}: expected 6 cells, but found {}", place + 1, cells.len()).into());
        };
        columns.time.push(time.parse()?);
        columns.open.push(open.parse()?);
        columns.high.push(high.parse()?);
        columns.low.push(low.parse()?);
        columns.close.push(close.parse()?);
        columns.volume.push(volume.parse()?);
    }
    Ok(Bars::new(columns, TickGrid::of_digits(5)?, None)?)
}
