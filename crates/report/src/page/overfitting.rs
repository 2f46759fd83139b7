//! Checks of the trust that the winner of a search deserves.

use super::{objective_name, objective_value, ratio};
use crate::{
    chart::{Histogram, gauge, histogram},
    input::Search,
    number::{count, counted, fixed, optional},
    pen::{GUTTER, LEFT, Pen, WIDTH},
    sheet::{Area, Style},
};

/// A deflated Sharpe ratio above this is convincing.
const CONVINCING: f64 = 0.95;
/// A probability of overfitting below this is acceptable.
const OVERFITTED: f64 = 0.5;
/// The share of the winner's objective from which on its neighbours count as good as well.
const STABLE: f64 = 0.5;

pub(super) fn draw(pen: &mut Pen<'_>, search: &Search) {
    let introduction = format!(
        "A search that tries {} will find one that fits the past, also where there is nothing to find. These three checks \
         measure how likely that is here. None of them can prove that the strategy will work.",
        counted(search.trials, "set")
    );
    pen.section("Is it skill or luck?", &introduction);
    deflated_sharpe(pen, search);
    pbo(pen, search);
    stability(pen, search);
    let window = if search.is_walk_forward() { " in all windows" } else { "" };
    pen.part(&format!("Results of {}{window}", counted(search.objectives.len(), "evaluated set")), 190.0);
    let name = objective_name(search.objective);
    let finite: Vec<f64> = search.objectives.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.is_empty() {
        pen.paragraph(LEFT, WIDTH, &format!("No set has a {name}."), Style::BODY);
        return;
    }
    let chosen = search.objective.of(&search.in_sample).filter(|value| value.is_finite());
    let area = pen.area(170.0);
    let marked = chosen.map(|value| (value, "this report"));
    histogram(pen, area, &Histogram { title: name, values: &finite, marked });
    pen.y += 4.0;
    let note = match chosen {
        Some(value) => format!(
            "This report's set has a {name} of {} in sample, as good as or better than {} of {}. If most sets lose, a winner far \
             from the others is more likely to be an accident.",
            objective_value(Some(value)),
            count(finite.iter().filter(|other| **other <= value).count()),
            count(finite.len()),
        ),
        None => format!("This report's set has no {name}, so that it is not marked."),
    };
    pen.paragraph(LEFT, WIDTH, &note, Style::NOTE);
}

fn deflated_sharpe(pen: &mut Pen<'_>, search: &Search) {
    let value = search.deflated_sharpe;
    let verdict = match value {
        None => "It is not defined here, because the winner has too few daily returns or they do not vary.".to_owned(),
        Some(value) if value >= CONVINCING => format!(
            "At {} the winner's Sharpe ratio of {} is better than luck among so many tries explains.",
            probability(value),
            ratio(search.in_sample.sharpe)
        ),
        Some(value) => format!(
            "At {} the winner's Sharpe ratio of {} is what luck among so many tries can explain.",
            probability(value),
            ratio(search.in_sample.sharpe)
        ),
    };
    let text = format!(
        "The more sets are tried, the better the best of them looks by chance. This is the probability that the winner's true Sharpe \
         ratio is above the one that the best of {} without any skill would show. Above 0.95 is convincing. {verdict}",
        counted(search.trials, "set")
    );
    let is_good = value.is_some_and(|value| value >= CONVINCING);
    check(pen, "Deflated Sharpe ratio", (value, optional(value, probability)), (1.0, CONVINCING, is_good), &text);
}

fn pbo(pen: &mut Pen<'_>, search: &Search) {
    let value = search.pbo;
    let verdict = match value {
        None => "It is not defined here, because there are too few sets or days.".to_owned(),
        Some(value) => format!(
            "Here that happened in {:.0} % of the divisions, which is {}.",
            100.0 * value,
            if value < OVERFITTED { "acceptable" } else { "as bad as choosing blindly, or worse" }
        ),
    };
    let text = format!(
        "The days are divided into halves in many ways. Each time, the best set of one half is looked up in the other half: if it \
         falls below the middle of all sets there, choosing the best was worth nothing. Below 0.5 is acceptable, and near 0 is good. {verdict}"
    );
    let is_good = value.is_some_and(|value| value < OVERFITTED);
    check(pen, "Probability of backtest overfitting (PBO)", (value, ratio(value)), (1.0, OVERFITTED, is_good), &text);
}

fn stability(pen: &mut Pen<'_>, search: &Search) {
    let value = search.stability;
    let verdict = match value {
        None => {
            "It is not defined here, because there are no neighbours or the winner's result is not above 0.".to_owned()
        }
        Some(value) if value >= STABLE => "The winner's neighbours are good as well.".to_owned(),
        Some(value) if value <= 0.0 => "The winner stands alone: half of its neighbours earn nothing.".to_owned(),
        Some(_) => "The winner stands alone: its neighbours are much worse.".to_owned(),
    };
    let text = format!(
        "Each parameter is moved by one step up and down. This is the median {} of these neighbours, as a part of the winner's. A rule \
         that finds something real does not depend on an exact number. Above 0.5 is acceptable. {verdict}",
        objective_name(search.objective)
    );
    let is_good = value.is_some_and(|value| value >= STABLE);
    check(pen, "Stability of the parameters", (value, ratio(value)), (1.0, STABLE, is_good), &text);
}

/// A probability that is never quite 1.
fn probability(value: f64) -> String {
    if value > 0.995 { "> 0.99".into() } else { fixed(value, 2) }
}

/// A check: its number and a gauge to the left, its meaning to the right. The numbers are the end of the gauge and its threshold.
fn check(
    pen: &mut Pen<'_>,
    title: &str,
    (value, figure): (Option<f64>, String),
    (most, threshold, is_good): (f64, f64, bool),
    text: &str,
) {
    const FIGURE_WIDTH: f32 = 128.0;
    pen.part(title, 70.0);
    let top = pen.y;
    pen.text(LEFT, top + 17.0, &figure, Style { size: 20.0, ..Style::FIGURE });
    gauge(pen, Area { x: LEFT, y: top + 22.0, width: FIGURE_WIDTH, height: 30.0 }, value, most, threshold, is_good);
    let left = LEFT + FIGURE_WIDTH + GUTTER;
    pen.paragraph(left, WIDTH - FIGURE_WIDTH - GUTTER, text, Style::BODY);
    pen.y = pen.y.max(top + 50.0);
}
