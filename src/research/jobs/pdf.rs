//! A report on a ranked evaluation, to print. It is made from what the job has stored, and from one more run on the item's candles.

use std::ops::Range;

use report::{OutOfSample, Ranked, Report, Search, WalkForward, Window};
use research::run::{Backtest, fingerprint};
use research::{Cache, Market, Metrics, search};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::JobsError;
use super::answer::unreadable;
use super::exports::{Export, parameters};
use super::item;
use super::results::Evaluated;
use crate::research::columns::Loaded;

/// A walk-forward run, as it is stored in the summary of an item.
#[derive(Debug, Deserialize)]
struct StoredWalk {
    efficiency: Option<f64>,
    metrics: Map<String, Value>,
    windows: Vec<StoredWindow>,
}

#[derive(Debug, Deserialize)]
struct StoredWindow {
    in_sample: StoredSide,
    out_of_sample: StoredSide,
    parameters: Map<String, Value>,
    net_profit_percent: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct StoredSide {
    /// The opening times of the first and the last candle.
    span: (Option<i64>, Option<i64>),
    objective: Option<f64>,
    trades: usize,
}

/// The report as a file.
///
/// # Errors
/// When the item has no evaluation of that rank, or what is stored of it cannot be read.
pub(super) fn report(export: &Export, loaded: &Loaded) -> Result<Vec<u8>, JobsError> {
    let (item, settings) = (&export.item, &export.search.settings);
    let ranked = export.ranked()?;
    let parameters = parameters(item.strategy, &ranked.parameters)?;
    let market = item::market(loaded, settings);
    let bars = loaded.first..market.len();
    let run =
        Backtest { strategy: item.strategy, parameters: &parameters, market: &market, bars: bars.clone(), settings };
    // Nothing is kept, because equal parts of one run are computed once anyway.
    let run = run.run_with_equity(&Cache::new(0));
    let (backtest, equity) = run.map_err(|error| JobsError::Unreadable(error.to_string().into()))?;
    let key = &item.series.key;
    let mut warnings = export.warnings();
    if export.summary["fingerprint"] != format!("{:016x}", fingerprint(market.bars())) {
        let warning = format!(
            "Candles of {} {} were corrected, added or deleted after the search, so that the backtest of this report may differ from \
             the figures of the search.",
            key.symbol, key.timeframe
        );
        warnings.insert(0, warning);
    }
    let found = search_of(export, ranked, &market, &bars)?;
    let script = export.script()?;
    Ok(report::pdf(&Report {
        name: export.job_name.as_deref().unwrap_or_default(),
        symbol: key.symbol.as_str(),
        timeframe: key.timeframe.name(),
        strategy: item.strategy,
        parameters: &parameters,
        settings,
        market: &market,
        backtest: &backtest,
        equity: &equity,
        search: Some(&found),
        warnings: &warnings,
        script: &script,
    }))
}

fn search_of(export: &Export, chosen: &Evaluated, market: &Market, bars: &Range<usize>) -> Result<Search, JobsError> {
    let Export { search, item, evaluations, summary, .. } = export;
    let ranked = evaluations.best.iter().map(|best| -> Result<Ranked, JobsError> {
        Ok(Ranked {
            values: parameters(item.strategy, &best.parameters)?.values().to_vec(),
            objective: best.objective,
            trades: usize::try_from(best.trades).unwrap_or(usize::MAX),
            out_of_sample: best.out_of_sample.as_ref().and_then(|figures| search.objective.of(&metrics(figures))),
        })
    });
    let count = |name: &str| summary[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    Ok(Search {
        method: search.method.name().to_owned(),
        objective: search.objective,
        seed: search.seed,
        min_trades: search.min_trades,
        rank: export.rank,
        trials: count("trials"),
        evaluations: count("evaluations"),
        ranked: ranked.collect::<Result<_, _>>()?,
        objectives: evaluations.objectives.iter().copied().flatten().collect(),
        deflated_sharpe: summary["deflated_sharpe"].as_f64(),
        pbo: summary["pbo"].as_f64(),
        stability: summary["stability"].as_f64(),
        in_sample: metrics(&chosen.in_sample),
        out_of_sample: match item::kept_out(search.out_of_sample, market, bars) {
            search::OutOfSample::None => OutOfSample::None,
            search::OutOfSample::Forward { from } => OutOfSample::Forward {
                from,
                metrics: chosen.out_of_sample.as_ref().map(|figures| Box::new(metrics(figures))),
            },
            search::OutOfSample::WalkForward(_) => walk_forward(export, market)?,
        },
    })
}

/// The windows of a walk-forward run; none if the search ended before its first window did.
fn walk_forward(export: &Export, market: &Market) -> Result<OutOfSample, JobsError> {
    let stored = &export.summary["walk_forward"];
    if stored.is_null() {
        return Ok(OutOfSample::None);
    }
    let stored = StoredWalk::deserialize(stored).map_err(unreadable)?;
    let times = market.bars().time();
    let bars = |side: &StoredSide| {
        let (first, last) = side.span;
        let start = times.partition_point(|time| first.is_some_and(|first| *time < first));
        start..times.partition_point(|time| last.is_some_and(|last| *time <= last)).max(start)
    };
    let windows = stored.windows.iter().map(|window| -> Result<Window, JobsError> {
        Ok(Window {
            in_sample: bars(&window.in_sample),
            out_of_sample: bars(&window.out_of_sample),
            values: parameters(export.item.strategy, &window.parameters)?.values().to_vec(),
            objectives: [window.in_sample.objective, window.out_of_sample.objective],
            net_profit_percent: window.net_profit_percent,
            trades: window.out_of_sample.trades,
        })
    });
    Ok(OutOfSample::WalkForward(Box::new(WalkForward {
        windows: windows.collect::<Result<_, _>>()?,
        equity: export.evaluations.curve.clone().unwrap_or_default(),
        metrics: metrics(&stored.metrics),
        efficiency: stored.efficiency,
    })))
}

/// Figures from their names.
fn metrics(figures: &Map<String, Value>) -> Metrics {
    Metrics::from_named(|name| figures.get(name).and_then(Value::as_f64))
}
