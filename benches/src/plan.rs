//! The environment variables that decide what is measured, and for how long.

use std::fmt;
use std::time::Duration;

pub struct Plan {
    /// The number of measurements of each side of a row. One more is made first and not counted.
    pub rounds: usize,
    /// The length of a measurement.
    pub length: Duration,
    /// The maximum number of candles that are stored to measure the cost of growth.
    pub growth: usize,
    /// The number of candles of an export.
    pub export: usize,
    only: Vec<String>,
}

impl Plan {
    pub fn from_environment() -> Self {
        let only = std::env::var("ONLY").unwrap_or_default();
        Self {
            rounds: number("ROUNDS", 5.0) as usize,
            length: Duration::from_secs_f64(number("LENGTH", 2.0)),
            growth: number("GROWTH", 1_000_000.0) as usize,
            export: number("EXPORT", 10_000_000.0) as usize,
            only: only.split([',', ' ']).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
        }
    }

    /// The `names` to measure: those in `ONLY`, or all if it is empty.
    pub fn chosen(&self, names: &[&'static str]) -> Vec<&'static str> {
        if let Some(unknown) = self.only.iter().find(|name| !names.contains(&name.as_str())) {
            refuse(&format!("ONLY names {unknown}, which is none of: {}", names.join(", ")));
        }
        let wanted = |name: &&&str| self.only.is_empty() || self.only.iter().any(|only| only == **name);
        names.iter().filter(wanted).copied().collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rounds of {} s after one that is not counted.", self.rounds, self.length.as_secs_f64())
    }
}

fn number(variable: &str, default: f64) -> f64 {
    let Ok(text) = std::env::var(variable) else { return default };
    match text.parse() {
        Ok(number) if number > 0.0 => number,
        _ => refuse(&format!("{variable} is {text}, which is not a number above 0")),
    }
}

#[expect(clippy::exit, reason = "nothing has been started yet")]
fn refuse(problem: &str) -> ! {
    eprintln!("bench: {problem}");
    std::process::exit(2);
}
