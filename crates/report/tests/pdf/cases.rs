//! The kinds of reports that are looked at.

use report::OutOfSample as Outside;
use research::{
    Objective, Settings, Size, Strategy, catalogue,
    optimization::Range,
    search::{Method, OutOfSample, WalkForward},
};

use crate::case::{Case, SearchRequest, settings, walk};

const BARS: usize = 6_000;
const WARM_UP: usize = 400;

pub(crate) fn strategy(id: &str) -> &'static Strategy {
    catalogue::find(id).unwrap()
}

pub(crate) fn request(evaluations: usize) -> SearchRequest {
    SearchRequest {
        ranges: Vec::new(),
        bars: WARM_UP..BARS,
        method: Method::Sobol,
        max_evaluations: evaluations,
        objective: Objective::Sharpe,
        out_of_sample: OutOfSample::Forward { from: 4_500 },
    }
}

/// All kinds, with names.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("forward", forward()),
        ("walk_forward", walk_forward()),
        ("one_parameter", one_parameter()),
        ("many_parameters", many_parameters()),
        ("no_search", no_search()),
        ("no_trades", no_trades()),
        ("no_candles", no_candles()),
        ("ruin", ruin()),
        ("long_names", long_names()),
        ("kept_few", kept_few()),
    ]
}

pub(crate) fn forward() -> Case {
    let mut case = Case::optimized(&walk(3, BARS), strategy("donchian"), &request(300));
    case.name = "First try, hours of two years".into();
    case
}

fn walk_forward() -> Case {
    let windows = WalkForward { in_bars: 1_500, out_bars: 400, anchored: false };
    let out_of_sample = OutOfSample::WalkForward(windows);
    let request = SearchRequest { out_of_sample, method: Method::Genetic, ..request(64) };
    Case::optimized(&walk(5, BARS), strategy("sma-cross"), &request)
}

pub(crate) fn one_parameter() -> Case {
    let ranges = vec![("slow".to_owned(), Range::Steps { min: 20.0, max: 200.0, step: 10.0 })];
    let request = SearchRequest {
        ranges,
        out_of_sample: OutOfSample::None,
        method: Method::Grid,
        objective: Objective::NetProfit,
        ..request(1_000)
    };
    Case::optimized(&walk(7, BARS), strategy("sma-cross"), &request)
}

fn many_parameters() -> Case {
    let most = catalogue::all().iter().max_by_key(|strategy| strategy.parameters().len()).unwrap();
    Case::optimized(&walk(9, BARS), most, &request(200))
}

fn no_search() -> Case {
    Case::backtest(walk(11, 40_000), strategy("ema-cross"), WARM_UP..40_000, settings())
}

fn no_trades() -> Case {
    Case::backtest(walk(13, 500), strategy("sma-cross"), 495..500, settings())
}

fn no_candles() -> Case {
    Case::backtest(walk(13, 500), strategy("sma-cross"), 500..500, settings())
}

/// A quantity that the capital can never pay.
fn ruin() -> Case {
    let settings = Settings::default().with_size(Size::Fixed(2_000_000.0)).unwrap().with_slippage_ticks(20).unwrap();
    Case::backtest(walk(15, BARS), strategy("ema-cross"), WARM_UP..BARS, settings)
}

fn long_names() -> Case {
    let definition = r#"
id = "long"
title = "Überlange Bezeichnung ΑΒΓ ЖЗИ 日本語 one_word_that_is_longer_than_any_line_of_the_page_would_hold"
family = "trend"
about = "Enters at a cross."
source = "nobody"
lets = ["f = ta.sma(close, a_parameter_with_a_very_long_name_indeed)"]
enter_long = "ta.crossover(close, f)"
enter_short = "ta.crossunder(close, f)"

[[parameters]]
name = "a_parameter_with_a_very_long_name_indeed"
type = "int"
default = 10
min = 2
max = 50
about = "bars of the average that is watched, with a description that goes on for a while"
"#;
    let strategy = Strategy::from_toml(definition).unwrap();
    let mut case = Case::optimized(&walk(17, BARS), &strategy, &request(40));
    case.symbol = "日経225.cash#Ω\u{202e}evil\u{7}🚀".into();
    case.name = "name ".repeat(60);
    case.warnings =
        (0..40).map(|place| format!("Warning {place}: {}", "something is not as it should be. ".repeat(3))).collect();
    case
}

/// A search of which only the best sets were kept.
fn kept_few() -> Case {
    let mut case = forward();
    let search = case.search.as_mut().unwrap();
    search.ranked.truncate(40);
    (search.deflated_sharpe, search.pbo, search.stability) = (None, None, None);
    search.out_of_sample = Outside::Forward { from: 4_500, metrics: None };
    case
}
