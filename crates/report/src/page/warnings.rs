//! Warnings that follow from the backtest itself. Those about the search come with the report.

use research::Commission;

use super::time_of;
use crate::{
    input::{OutOfSample, Report},
    number::{count, counted, date},
};

/// Below this number a few lucky trades decide every figure.
const MIN_TRADES: usize = 30;

/// One sentence each.
pub(super) fn of(report: &Report<'_>) -> Vec<String> {
    let backtest = report.backtest;
    let mut sentences = Vec::new();
    if let Some(bar) = backtest.account.ruined {
        let day = time_of(report, bar).map_or_else(String::new, |time| format!(" on {}", date(time)));
        sentences.push(format!("The account was used up{day}; nobody could have traded on."));
    }
    let trades = backtest.metrics.trades.trades;
    if trades == 0 {
        sentences.push("The backtest closed no trade, so that it says nothing about the strategy.".into());
    } else if trades < MIN_TRADES {
        sentences.push(format!(
            "The backtest has {}, and below {MIN_TRADES} a few lucky ones decide every figure.",
            counted(trades, "closed trade")
        ));
    }
    sentences.extend(costs(report));
    if backtest.warmup_missing > 0 {
        sentences.push(format!(
            "The indicators should see {} before the first trade, and {} of them are missing: early signals may differ from a \
             run with more history.",
            counted(backtest.warmup_bars, "candle"),
            count(backtest.warmup_missing)
        ));
    }
    if backtest.account.dropped > 0 {
        sentences.push(format!(
            "{} not placed, because the size came to less than the smallest lot.",
            match backtest.account.dropped {
                1 => "1 order was".to_owned(),
                dropped => format!("{} orders were", count(dropped)),
            }
        ));
    }
    if report.search.is_some_and(|search| search.out_of_sample == OutOfSample::None) {
        sentences.push(
            "The parameters were chosen on all of these candles, so that nothing shows how they do on others.".into(),
        );
    }
    sentences
}

fn costs(report: &Report<'_>) -> Option<String> {
    let (Commission::Percent(commission) | Commission::PerContract(commission) | Commission::PerOrder(commission)) =
        report.settings.commission();
    let missing = match (commission > 0.0, report.settings.slippage_ticks() > 0) {
        (true, true) => return None,
        (true, false) => "slippage",
        (false, true) => "commission",
        (false, false) => "commission or slippage",
    };
    Some(format!(
        "The backtest charges no {missing}; real trading costs more than that, the more so the more it trades."
    ))
}
