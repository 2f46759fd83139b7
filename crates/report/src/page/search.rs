//! The search: its best sets, and the objective over two of the parameters.

use super::{capital, method_name, objective_name, objective_value, parameters_in_words};
use crate::{
    chart::{Pair, heat_map, pairs},
    input::{Report, Search},
    number::{count, counted},
    pen::{LEFT, Pen, WIDTH},
    sheet::Style,
    surface::{self, Groups},
    table::{self, Cell, left, right},
};

/// The maximum number of sets in the table, and of sets whose parameters take two lines each.
const MAX_SETS: usize = 10;
const MAX_WORDY_SETS: usize = 8;
/// Bars in the chart of a single parameter.
const MAX_BARS: usize = 24;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>, search: &Search) {
    let introduction = format!(
        "The search tried {}{} by {} and ranked them by {} on the candles in sample, those with fewer than {} after all others. \
         Random numbers come from the seed {}, so that the same search finds the same sets.",
        counted(search.trials, "parameter set"),
        if search.is_walk_forward() { " in all windows" } else { "" },
        method_name(&search.method),
        objective_name(search.objective),
        counted(search.min_trades, "trade"),
        search.seed,
    );
    pen.section("Parameter search", &introduction);
    let varied = surface::by_influence(&search.ranked, report.strategy.parameters().len());
    match varied.as_slice() {
        [] => pen.paragraph(
            LEFT,
            WIDTH,
            "No parameter had more than one value, so that there is no map of them.",
            Style::BODY,
        ),
        [only] => one_parameter(pen, report, search, *only),
        [first, second, ..] => two_parameters(pen, report, search, [*first, *second], varied.len()),
    }
    sets(pen, report, search, &varied);
}

fn one_parameter(pen: &mut Pen<'_>, report: &Report<'_>, search: &Search, place: usize) {
    let groups = Groups::of(&search.ranked, place, MAX_BARS);
    let parameter = &report.strategy.parameters()[place];
    let bars = groups.labels(parameter).into_iter().zip(groups.best(&search.ranked));
    let bars: Vec<Pair> = bars.map(|(label, best)| Pair { label, values: [None, best] }).collect();
    let title = format!("{} by {}", capital(objective_name(search.objective)), parameter.name);
    let area = pen.area(220.0);
    pairs(pen, area, &title, ["", ""], &bars);
    pen.y += 6.0;
    let chosen = parameter.print(report.parameters.values().get(place).copied().unwrap_or_default());
    let note = format!("Only {} was varied; this report is about {chosen}. {}", parameter.name, ADVICE);
    pen.paragraph(LEFT, WIDTH, &note, Style::NOTE);
}

const ADVICE: &str =
    "A good choice lies on a broad plateau: where a small step changes the result much, the result is luck.";

fn two_parameters(pen: &mut Pen<'_>, report: &Report<'_>, search: &Search, places: [usize; 2], varied: usize) {
    let parameters = report.strategy.parameters();
    let map = surface::heat_map(&search.ranked, parameters, places, report.parameters.values());
    let title = format!("{} by {} and {}", capital(objective_name(search.objective)), map.names[0], map.names[1]);
    pen.part(&title, 300.0);
    let area = pen.area(290.0);
    heat_map(pen, area, &map);
    pen.y += 2.0;
    let others = match varied {
        2 => String::new(),
        _ => format!(
            " These two of {varied} varied parameters change the mean result most; a cell holds the best set of all values of the others."
        ),
    };
    let kept = match search.ranked.len() {
        _ if search.is_walk_forward() => " It shows the search of the last window.".to_owned(),
        all if all >= search.evaluations => String::new(),
        kept => format!(" It shows the {} sets that were kept of {}.", count(kept), count(search.evaluations)),
    };
    let framed = if map.marked.is_some() { "The frame is the set of this report. " } else { "" };
    let note = format!("{framed}{ADVICE}{others}{kept}");
    pen.paragraph(LEFT, WIDTH, &note, Style::NOTE);
}

fn sets(pen: &mut Pen<'_>, report: &Report<'_>, search: &Search, varied: &[usize]) {
    let words_of = |values: &[f64]| parameters_in_words(report, values, |place| varied.contains(&place));
    let first = search.ranked.first().map_or_else(String::new, |set| words_of(&set.values));
    let is_wordy = pen.line(&first, Style::CELL.bold()).width > WIDTH * 0.5;
    let shown = search.ranked.len().min(if is_wordy { MAX_WORDY_SETS } else { MAX_SETS });
    let name = objective_name(search.objective);
    let window = if search.is_walk_forward() { " in the last window" } else { "" };
    pen.part(&format!("The best {shown} sets by {name}{window}"), 60.0);
    let columns = [
        right("Rank", 0.7),
        left("Parameters that were varied", 5.0),
        right("In sample", 1.3),
        right("Out of sample", 1.3),
        right("Trades", 1.0),
    ];
    let rows = search.ranked[..shown].iter().enumerate().map(|(place, set)| {
        let words = words_of(&set.values);
        let cells: Vec<Cell> = vec![
            count(place + 1).into(),
            // At most two lines.
            pen.cut(&words, WIDTH * 0.98, Style::CELL).into(),
            objective_value(set.objective).into(),
            objective_value(set.out_of_sample).into(),
            count(set.trades).into(),
        ];
        if place + 1 == search.rank { cells.into_iter().map(Cell::bold).collect() } else { cells }
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
}
