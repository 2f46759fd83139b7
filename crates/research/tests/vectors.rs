//! Functions against what TA-Lib, pandas-ta-classic, pandas and PyneCore made of the same invented bars. `make oracle` compares the files
//! with the oracles again.

#![expect(clippy::unwrap_used, reason = "files of these tests are complete")]

use research::{Bars, Cache, Columns, Formula, TickGrid, Value};

const FILES: [(&str, &str); 3] = [
    ("hours", include_str!("oracle/vectors/hours.csv")),
    ("flat", include_str!("oracle/vectors/flat.csv")),
    ("days", include_str!("oracle/vectors/days.csv")),
];

/// The columns of a file with their names; an empty cell is `None`.
fn columns(file: &str) -> Vec<(&str, Vec<Option<f64>>)> {
    let mut lines = file.lines();
    let mut columns: Vec<(&str, Vec<Option<f64>>)> =
        lines.next().unwrap().split(';').map(|name| (name, Vec::new())).collect();
    for line in lines {
        for (cell, (_, column)) in line.split(';').zip(&mut columns) {
            column.push(if cell.is_empty() { None } else { Some(cell.parse().unwrap()) });
        }
    }
    columns
}

fn bars(columns: &[(&str, Vec<Option<f64>>)]) -> Bars {
    let column = |name: &str| -> Vec<f64> {
        let (_, column) = columns.iter().find(|(known, _)| *known == name).unwrap();
        column.iter().map(|cell| cell.unwrap()).collect()
    };
    let columns = Columns {
        time: column("time").iter().map(|time| format!("{time}").parse().unwrap()).collect(),
        open: column("open"),
        high: column("high"),
        low: column("low"),
        close: column("close"),
        volume: column("volume"),
    };
    Bars::new(columns, TickGrid::of_digits(6).unwrap(), None).unwrap()
}

#[test]
fn functions_equal_their_oracles() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (file, text) in FILES {
        let columns = columns(text);
        let bars = bars(&columns);
        for (name, expected) in &columns[6..] {
            let [text, place, _] = name.split('|').collect::<Vec<_>>()[..] else { panic!("{name}") };
            let place: usize = place.parse().unwrap();
            let formula = Formula::parse(text).unwrap();
            let ours: Vec<f64> = match &formula.evaluate(&bars, &Cache::new(0))[place] {
                Value::Numbers(numbers) => numbers.to_vec(),
                Value::Flags(flags) => (0..flags.len()).map(|bar| f64::from(u8::from(flags.get(bar)))).collect(),
            };
            // Differences of large numbers are judged by the largest of the column.
            let largest = expected.iter().flatten().map(|number| number.abs()).fold(0.0, f64::max);
            // TradingView has a direction of Supertrend before there is one.
            for bar in formula.first()[place]..ours.len() {
                let Some(expected) = expected[bar] else { continue };
                compared += 1;
                if (ours[bar] - expected).abs() > 1e-9 * largest || ours[bar].is_nan() {
                    wrong.push(format!("{file}, {name}, bar {bar}: {} instead of {expected}", ours[bar]));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 30_000, "{compared} numbers were compared");
}
