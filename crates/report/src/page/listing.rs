//! The strategy as Pine Script.

use crate::{
    MAX_PAGES,
    input::Report,
    number::{count, counted},
    pen::{BOTTOM, LEFT, Pen, WIDTH},
    sheet::{HAIRLINE, MUTED, Style},
};

const NUMBERS_WIDTH: f32 = 24.0;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    pen.section(
        "The script for TradingView",
        "Pine Script v6, with this report's parameters as the defaults of its inputs. On the same candles it makes the same trades. Copy \
         it from the Pine export rather than from this page, because a PDF does not keep all spaces.",
    );
    let lines: Vec<&str> = report.script.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let rows = broken(pen, line);
        #[expect(clippy::cast_precision_loss, reason = "few rows")]
        let height = Style::CODE.leading() * rows.len() as f32;
        if pen.y + height > BOTTOM - 14.0 {
            // A single line that is longer than a page is left to the export as well.
            if pen.pages() >= MAX_PAGES || height > BOTTOM / 2.0 {
                let rest = counted(lines.len() - place, "more line");
                let note = format!("The export has {rest} of {}.", count(lines.len()));
                pen.text(LEFT, BOTTOM - 3.0, &note, Style::NOTE);
                return;
            }
            pen.continued();
        }
        let top = pen.y;
        for (part, row) in rows.iter().enumerate() {
            pen.y += Style::CODE.leading();
            if part == 0 {
                let number = Style::CODE.colored(MUTED);
                pen.text_before(LEFT + NUMBERS_WIDTH - 8.0, pen.y - 2.0, &(place + 1).to_string(), number);
            }
            pen.text(LEFT + NUMBERS_WIDTH, pen.y - 2.0, row, Style::CODE);
        }
        let (x, bottom) = (LEFT + NUMBERS_WIDTH - 4.0, pen.y);
        pen.sheet().stroke(vec![(x, top), (x, bottom)], HAIRLINE, 0.5);
    }
}

/// A line of code in rows, which break after a space where there is one.
fn broken(pen: &Pen<'_>, line: &str) -> Vec<String> {
    let style = Style::CODE;
    let width = pen.line("0", style).width;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about 110")]
    let columns = ((WIDTH - NUMBERS_WIDTH) / width) as usize;
    let indent = line.len() - line.trim_start_matches(' ').len();
    // Two more than the line itself, so that a reader sees that a row goes on.
    let indent = " ".repeat((indent + 4).min(columns / 2));
    let mut rows = Vec::new();
    // A letter that the font lacks becomes its code, which is wider.
    let mut rest: Vec<char> = pen.line(line, style).text.chars().collect();
    while rest.len() > columns {
        let end = rest[..columns].iter().rposition(|letter| *letter == ' ').map_or(columns, |space| space + 1);
        let end = if end <= indent.len() { columns } else { end };
        let following = rest.split_off(end);
        rows.push(rest.into_iter().collect());
        rest = indent.chars().chain(following).collect();
    }
    rows.push(rest.into_iter().collect());
    rows
}
