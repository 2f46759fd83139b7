//! The progress of a command: a bar on a terminal, elsewhere a line every ten seconds.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::grouped;
use super::reading::Position;

/// The time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// The time before anything is shown, because most files are read within it.
const QUIET_TIME: Duration = Duration::from_millis(300);
/// The number of parts that a bar distinguishes.
const BAR_PARTS: u64 = 10_000;

/// Shows the progress of one reading of a file.
pub(super) struct Progress {
    shown: Shown,
    label: &'static str,
    started: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Instant),
    Nothing,
}

impl Progress {
    /// Begins to show `label`, such as `importing`, unless the output is for programs.
    pub(super) fn start(label: &'static str, is_silent: bool) -> Self {
        let started = Instant::now();
        let shown = if is_silent {
            Shown::Nothing
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(BAR_PARTS), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:11} {bar:30.green/dim} {percent:>4} %   {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━"));
            bar.set_prefix(label);
            Shown::Bar(bar)
        } else {
            Shown::Lines(started)
        };
        Self { shown, label, started }
    }

    /// Shows the position. `total` is the number of candles, if it is known.
    pub(super) fn show(&mut self, position: Position, total: Option<u64>) {
        let elapsed = self.started.elapsed();
        if elapsed < QUIET_TIME {
            return;
        }
        match &mut self.shown {
            Shown::Bar(bar) => {
                if let Some(length) = position.length.filter(|length| *length > 0) {
                    bar.set_position(position.bytes.saturating_mul(BAR_PARTS) / length);
                }
                bar.set_message(message(position, total, elapsed));
            }
            Shown::Lines(last) if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                let percent = position.length.filter(|length| *length > 0).map_or(String::new(), |length| {
                    format!("{} %   ", (position.bytes.saturating_mul(100) / length).min(100))
                });
                let _ = writeln!(io::stderr(), "{:11} {percent}{}", self.label, message(position, total, elapsed));
            }
            Shown::Lines(_) | Shown::Nothing => {}
        }
    }

    /// Removes the bar.
    pub(super) fn end(self) -> Duration {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

/// The number of candles, their rate, and the time that is left.
fn message(position: Position, total: Option<u64>, elapsed: Duration) -> String {
    let of = total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = position.candles.saturating_mul(1000) / millis;
    let left = position.length.filter(|_| position.bytes > 0).map(|length| {
        let rest = length.saturating_sub(position.bytes);
        let seconds = u128::from(millis) * u128::from(rest) / u128::from(position.bytes) / 1000;
        format!("   {} left", span(u64::try_from(seconds).unwrap_or(u64::MAX)))
    });
    format!("{}{of} candles   {}/s{}", grouped(position.candles), grouped(rate), left.unwrap_or_default())
}

/// A number of seconds for people: `9 s`, `2 min 5 s`, `1 h 10 min`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_rate_and_rest() {
        let position = Position { bytes: 750, length: Some(1000), candles: 1500 };
        let shown = message(position, Some(2000), Duration::from_secs(3));
        assert_eq!(shown, "1,500 of 2,000 candles   500/s   1 s left");
        let unknown = Position { length: None, ..position };
        assert_eq!(message(unknown, None, Duration::from_secs(3)), "1,500 candles   500/s");
        assert_eq!([59, 125, 4200].map(span), ["59 s", "2 min 5 s", "1 h 10 min"]);
    }
}
