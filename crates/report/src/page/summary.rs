//! The first page: the result in a few numbers, the warnings, and what was tested.

use super::{magnitude, percent_1, period, ratio, share_1, times, verdict, warnings};
use crate::{
    input::{Report, Search},
    number::{UNDEFINED, count, counted, minute, money, optional, percent, span},
    pen::{BOTTOM, GUTTER, LEFT, Pen, WIDTH},
    sheet::{ACCENT, Area, HAIRLINE, LOSS, LOSS_PALE, MUTED, PALE, Style},
};

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    pen.page("Summary");
    head(pen, report);
    pen.paragraph(LEFT, WIDTH, &verdict::of(report), Style { size: 10.0, ..Style::BODY });
    pen.y += 10.0;
    tiles(pen, &figures(report));
    let own = warnings::of(report);
    draw_warnings(pen, &report.warnings.iter().cloned().chain(own).collect::<Vec<String>>());
    facts(pen, report);
    let room = BOTTOM - pen.y - 18.0;
    if pen.pages() == 1 && room >= MIN_CHART_HEIGHT {
        pen.y += 18.0;
        super::performance::small(pen, report, room.min(MAX_CHART_HEIGHT));
    }
}

/// The heights between which the equity is drawn below everything else.
const MIN_CHART_HEIGHT: f32 = 110.0;
const MAX_CHART_HEIGHT: f32 = 230.0;

/// The maximum number of lines of a title, which a user may make of any length.
const MAX_TITLE_LINES: usize = 3;

fn head(pen: &mut Pen<'_>, report: &Report<'_>) {
    pen.y = 52.0;
    let kind = if report.search.is_some() { "OPTIMIZATION REPORT" } else { "BACKTEST REPORT" };
    pen.text(LEFT, pen.y, kind, Style::LABEL.bold().colored(ACCENT));
    pen.sheet().rule(LEFT, LEFT + 36.0, 58.0, ACCENT, 2.0);
    pen.y += 12.0;
    excerpt(pen, report.strategy.title(), Style::TITLE, MAX_TITLE_LINES);
    let series = format!("{} · {} · {}", report.symbol, report.timeframe, period(report));
    excerpt(pen, &series, Style { size: 11.0, ..Style::BODY }, 2);
    if !report.name.trim().is_empty() {
        excerpt(pen, report.name, Style::NOTE, 2);
    }
    pen.y += 8.0;
}

/// The first lines of a text.
fn excerpt(pen: &mut Pen<'_>, text: &str, style: Style, max_lines: usize) {
    let mut lines = pen.lines(text, WIDTH, style);
    if lines.len() > max_lines {
        let rest = lines.split_off(max_lines - 1).join(" ");
        lines.push(pen.cut(&rest, WIDTH, style));
    }
    for line in lines {
        pen.y += style.size * 1.25;
        pen.text(LEFT, pen.y, &line, style);
    }
    pen.y += 3.0;
}

struct Tile {
    label: &'static str,
    figure: String,
    below: String,
    is_bad: bool,
}

fn figures(report: &Report<'_>) -> [Tile; 8] {
    let metrics = &report.backtest.metrics;
    let outside = report.search.map(Search::outside);
    // The line below a figure: the same figure out of sample, or else something that goes with it.
    let below = |print: &dyn Fn(&research::Metrics) -> String, otherwise: String| match outside {
        Some(Some(metrics)) => format!("out of sample {}", print(metrics)),
        Some(None) => "not tested out of sample".to_owned(),
        None => otherwise,
    };
    let tile = |label, figure, below, is_bad| Tile { label, figure, below, is_bad };
    let trades = &metrics.trades;
    let held = optional(metrics.buy_and_hold_percent, |value| percent(value, 1));
    [
        tile(
            "Net profit of closed trades",
            percent(metrics.net_profit_percent, 1),
            below(&|metrics| percent(metrics.net_profit_percent, 1), money(trades.net_profit)),
            metrics.net_profit_percent < 0.0,
        ),
        tile(
            "Yearly growth",
            percent_1(metrics.cagr.map(|growth| 100.0 * growth)),
            below(
                &|metrics| percent_1(metrics.cagr.map(|growth| 100.0 * growth)),
                format!("price itself {held} in all"),
            ),
            metrics.cagr.is_some_and(|growth| growth < 0.0),
        ),
        tile(
            "Sharpe ratio",
            ratio(metrics.sharpe),
            below(&|metrics| ratio(metrics.sharpe), format!("Sortino ratio {}", ratio(metrics.sortino))),
            metrics.sharpe.is_some_and(|sharpe| sharpe < 0.0),
        ),
        tile(
            "Largest drawdown",
            magnitude(metrics.max_drawdown_percent),
            below(
                &|metrics| magnitude(metrics.max_drawdown_percent),
                format!("longest {}", span(metrics.max_drawdown_ms)),
            ),
            false,
        ),
        tile(
            "Profit factor",
            ratio(trades.profit_factor),
            below(&|metrics| ratio(metrics.trades.profit_factor), "gross profit by gross loss".into()),
            trades.profit_factor.is_some_and(|factor| factor < 1.0),
        ),
        tile(
            "Closed trades",
            count(trades.trades),
            below(
                &|metrics| count(metrics.trades.trades),
                format!("{} long, {} short", count(trades.long.trades), count(trades.short.trades)),
            ),
            false,
        ),
        tile(
            "Trades that won",
            share_1(trades.win_rate),
            below(
                &|metrics| share_1(metrics.trades.win_rate),
                format!("{} of {}", count(trades.wins), count(trades.trades)),
            ),
            false,
        ),
        tile(
            "Time in the market",
            share_1(Some(metrics.exposure)),
            below(&|metrics| share_1(Some(metrics.exposure)), "of all closes".into()),
            false,
        ),
    ]
}

fn tiles(pen: &mut Pen<'_>, tiles: &[Tile; 8]) {
    const HEIGHT: f32 = 54.0;
    const GAP: f32 = 7.0;
    let width = (WIDTH - 3.0 * GAP) / 4.0;
    for row in tiles.chunks(4) {
        let mut x = LEFT;
        for tile in row {
            let y = pen.y;
            pen.sheet().fill(Area { x, y, width, height: HEIGHT }, PALE);
            pen.text_within(x + 8.0, y + 13.0, width - 16.0, tile.label, Style::LABEL);
            let style = Style::FIGURE.colored(if tile.is_bad { LOSS } else { Style::FIGURE.color });
            pen.text_within(x + 8.0, y + 32.5, width - 16.0, &tile.figure, style);
            pen.text_within(x + 8.0, y + 46.0, width - 16.0, &tile.below, Style::LABEL);
            x += width + GAP;
        }
        pen.y += HEIGHT + GAP;
    }
    pen.y += 6.0;
}

/// A list of warnings, as long as the page has room for it.
fn draw_warnings(pen: &mut Pen<'_>, warnings: &[String]) {
    const PADDING: f32 = 32.0;
    let style = Style::BODY;
    let inner = WIDTH - 24.0;
    #[expect(clippy::cast_precision_loss, reason = "few lines")]
    let height_of =
        |pen: &Pen<'_>, text: &str| pen.lines(text, inner - 16.0, style).len() as f32 * style.leading() + 3.0;
    let one_line = style.leading() + 3.0;
    let room = BOTTOM - pen.y - PADDING;
    let mut shown: Vec<String> = Vec::new();
    let mut height = 0.0;
    for (place, warning) in warnings.iter().enumerate() {
        let more = height_of(pen, warning);
        // The last warning needs no line below it that counts the others.
        let reserve = if place + 1 == warnings.len() { 0.0 } else { one_line };
        if height + more + reserve > room {
            let others = counted(warnings.len() - place, "more warning");
            shown.push(format!("The page has no room for {others}; the job's results hold them all."));
            height += one_line;
            break;
        }
        height += more;
        shown.push(warning.clone());
    }
    if shown.is_empty() {
        let sentence = "Costs that are too low and markets that change can still make these figures worthless.";
        height += height_of(pen, sentence);
        shown.push(sentence.into());
    }
    let (heading, background, edge) = match warnings.len() {
        0 => ("No check raised a warning", PALE, MUTED),
        _ => ("Read this first", LOSS_PALE, LOSS),
    };
    let area = Area { x: LEFT, y: pen.y, width: WIDTH, height: height + PADDING };
    pen.sheet().fill(area, background);
    pen.sheet().fill(Area { width: 3.0, ..area }, edge);
    pen.text(LEFT + 14.0, pen.y + 16.0, heading, Style::SUBHEADING);
    pen.y += 22.0;
    pen.list(LEFT + 14.0, inner, &shown, style);
    pen.y = area.bottom() + 14.0;
}

/// Data to the left, parameters to the right.
fn facts(pen: &mut Pen<'_>, report: &Report<'_>) {
    let half = (WIDTH - GUTTER) / 2.0;
    let data = data(report);
    let parameters = parameters(report);
    let rows = data.len().max(parameters.len());
    #[expect(clippy::cast_precision_loss, reason = "few rows")]
    pen.keep(20.0 + 13.0 * rows as f32);
    let top = pen.y;
    column(pen, LEFT, half, "What was tested", &data);
    let bottom = pen.y;
    pen.y = top;
    column(pen, LEFT + half + GUTTER, half, "Parameters", &parameters);
    pen.y = pen.y.max(bottom);
}

fn column(pen: &mut Pen<'_>, x: f32, width: f32, title: &str, rows: &[(String, String)]) {
    pen.text(x, pen.y + 8.0, title, Style::SUBHEADING);
    pen.y += 14.0;
    for (label, value) in rows {
        let taken = pen.line(value, Style::CELL).width.min(width * 0.7);
        let label = pen.cut(label, width - taken - 8.0, Style::CELL.colored(MUTED));
        pen.text(x, pen.y + 9.0, &label, Style::CELL.colored(MUTED));
        let value = pen.cut(value, width * 0.7, Style::CELL);
        pen.text_before(x + width, pen.y + 9.0, &value, Style::CELL);
        pen.y += 13.0;
        let y = pen.y;
        pen.sheet().rule(x, x + width, y, HAIRLINE, 0.4);
    }
}

fn data(report: &Report<'_>) -> Vec<(String, String)> {
    let backtest = report.backtest;
    let row = |label: &str, value: String| (label.to_owned(), value);
    let ends = times(report).first().zip(times(report).last());
    let warm_up = match backtest.warmup_missing {
        0 => counted(backtest.warmup_bars, "candle"),
        missing => format!("{} of {} missing", count(missing), count(backtest.warmup_bars)),
    };
    vec![
        row("Series", format!("{} {}", report.symbol, report.timeframe)),
        row("First candle (UTC)", optional_time(ends.map(|ends| *ends.0))),
        row("Last candle (UTC)", optional_time(ends.map(|ends| *ends.1))),
        row("Candles", count(backtest.bars.len())),
        row("Gaps between candles", backtest.gaps.map_or_else(|| UNDEFINED.into(), count)),
        row("Warm-up of indicators", warm_up),
        row("Capital", money(report.settings.capital())),
        row("Commission paid", money(backtest.metrics.commission)),
        row("Fingerprint of the candles", format!("{:016x}", backtest.fingerprint)),
    ]
}

fn optional_time(time: Option<i64>) -> String {
    time.map_or_else(|| UNDEFINED.into(), minute)
}

/// The maximum number of parameters that the page has room for.
const MAX_PARAMETERS: usize = 14;

fn parameters(report: &Report<'_>) -> Vec<(String, String)> {
    let parameters = report.strategy.parameters();
    let rows = parameters.iter().zip(report.parameters.values());
    let rows =
        rows.map(|(parameter, value)| (format!("{}: {}", parameter.name, parameter.about), parameter.print(*value)));
    let mut rows: Vec<(String, String)> = rows.take(MAX_PARAMETERS).collect();
    if parameters.len() > MAX_PARAMETERS {
        rows.push((format!("{} more, in the listing of the script", parameters.len() - MAX_PARAMETERS), String::new()));
    }
    if rows.is_empty() {
        rows.push(("The strategy has none.".into(), String::new()));
    }
    rows
}
