//! The rules of the strategy in words, and the assumptions of the backtest.

use research::describe;

use crate::{
    input::Report,
    pen::{BOTTOM, LEFT, Pen, WIDTH},
    sheet::{Area, PALE, Style},
};

/// The room that the closing words need.
const CLOSING_HEIGHT: f32 = 74.0;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    let strategy = report.strategy;
    pen.section("Rules and assumptions", "");
    let about = format!("{} Source: {}.", strategy.about(), strategy.source());
    for text in limited(pen, &[about], 5) {
        pen.paragraph(LEFT, WIDTH, &text, Style::BODY);
    }
    let description = describe(strategy);
    pen.part("The rules in words", 40.0);
    let rules: Vec<String> = description.rules.into_iter().chain(description.terms).collect();
    let rules = limited(pen, &rules, 22);
    pen.list(LEFT, WIDTH, &rules, Style::BODY);
    pen.part("What the backtest assumes", 40.0);
    let assumptions = limited(pen, &report.backtest.assumptions, 26);
    pen.list(LEFT, WIDTH, &assumptions, Style::BODY);
    closing(pen);
}

/// The sentences that fit into a number of lines, and a last one that counts the others.
fn limited(pen: &Pen<'_>, sentences: &[String], max_lines: usize) -> Vec<String> {
    let mut lines = 0;
    let fits = |sentence: &&String| {
        lines += pen.lines(sentence, WIDTH - 16.0, Style::BODY).len();
        lines <= max_lines
    };
    let mut shown: Vec<String> = sentences.iter().take_while(fits).cloned().collect();
    if shown.len() < sentences.len() {
        shown.push(format!(
            "The page has no room for {} more; the strategy's page of the service has them all.",
            sentences.len() - shown.len()
        ));
    }
    shown
}

const CLOSING: &str = "This report describes what a rule would have done on past candles under the assumptions above. It is not \
    investment advice, an offer or a forecast, and nobody checked whether it suits your circumstances. Real trading has costs, delays \
    and prices that no candle shows, and a strategy that earned in the past can lose all of the money in the future. Anybody who trades \
    by it does so at their own risk.";

fn closing(pen: &mut Pen<'_>) {
    pen.keep(CLOSING_HEIGHT);
    let top = (pen.y + 8.0).min(BOTTOM - CLOSING_HEIGHT);
    pen.y = top + 6.0;
    let height = CLOSING_HEIGHT - 8.0;
    pen.sheet().fill(Area { x: LEFT, y: top, width: WIDTH, height }, PALE);
    pen.paragraph(LEFT + 12.0, WIDTH - 24.0, CLOSING, Style::BODY);
    pen.y = top + height;
}
