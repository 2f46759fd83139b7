//! The table: medians, ratios with their spread, targets, and whether they are met.

use std::fmt::Write as _;

/// The name of the peer in the table.
pub const PEER: &str = "FastAPI peer";
/// The name of InfluxDB in the table.
pub const INFLUX: &str = "InfluxDB 1.6";

/// A line of the table.
pub struct Line {
    name: String,
    ours: String,
    against: String,
    ratio: String,
    target: String,
    verdict: String,
    memory: String,
}

impl Line {
    /// Sets the service's peak memory, in MiB.
    pub fn with_memory(self, most: f64) -> Self {
        Self { memory: format!("{most:.1} MiB"), ..self }
    }
}

/// The figures that the service is compared with.
pub struct Reference {
    pub name: &'static str,
    /// The minimum ratio, if there is one.
    pub target: Option<f64>,
    pub rates: Vec<f64>,
}

/// Compares rates that were measured in turn, round by round.
pub fn compared(name: &str, unit: &str, ours: &[f64], reference: &Reference) -> Line {
    let ratios: Vec<f64> = ours.iter().zip(&reference.rates).map(|(ours, theirs)| ours / theirs).collect();
    let (least, middle, most) = spread(&ratios);
    Line {
        name: name.to_owned(),
        ours: format!("{} {unit}", thousands(spread(ours).1)),
        against: format!("{}: {}", reference.name, thousands(spread(&reference.rates).1)),
        ratio: format!("{middle:.2} ({least:.2}–{most:.2})"),
        target: reference.target.map(|target| format!("≥ {target}")).unwrap_or_default(),
        verdict: verdict(reference.target.map(|target| middle >= target)),
        memory: String::new(),
    }
}

/// A figure on its own, with an upper limit if there is one.
pub fn measured(name: &str, unit: &str, figures: &[f64], limit: Option<f64>) -> Line {
    let (least, middle, most) = spread(figures);
    let alone = figures.len() == 1;
    let range = if alone { String::new() } else { format!(" ({least:.1}–{most:.1})") };
    Line {
        name: name.to_owned(),
        ours: format!("{middle:.1}{range} {unit}"),
        against: String::new(),
        ratio: String::new(),
        target: limit.map(|limit| format!("≤ {limit} {unit}")).unwrap_or_default(),
        verdict: verdict(limit.map(|limit| middle <= limit)),
        memory: String::new(),
    }
}

/// A figure of which less is better, beside the peer's: the ratio is the peer's figure divided by ours, round by round.
pub fn beside_peer(name: &str, unit: &str, ours: &[f64], peer: &[f64]) -> Line {
    let times: Vec<f64> = ours.iter().zip(peer).map(|(ours, theirs)| theirs / ours).collect();
    let (least, middle, most) = spread(&times);
    Line {
        against: format!("{PEER}: {:.1}", spread(peer).1),
        ratio: format!("{middle:.2} ({least:.2}–{most:.2})"),
        ..measured(name, unit, ours, None)
    }
}

fn verdict(met: Option<bool>) -> String {
    match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
    .to_owned()
}

/// The lines as a Markdown table with aligned columns.
pub fn table(lines: &[Line]) -> String {
    let head = ["row", "ours", "against", "ratio (spread)", "target", "", "most memory"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(lines.iter().map(|line| {
        let Line { name, ours, against, ratio, target, verdict, memory } = line;
        [name, ours, against, ratio, target, verdict, memory].map(String::clone)
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "| {cell:width$} ").unwrap();
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                write!(text, "|{}", "-".repeat(width + 2)).unwrap();
            }
            text.push_str("|\n");
        }
    }
    text
}

/// The minimum, the median and the maximum.
fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
    (sorted[0], median, sorted[sorted.len() - 1])
}

/// A number without its fraction, with commas between the thousands.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
