//! The commands `strategies`, `pine` and `backtest`.

use std::fmt::Write as _;

use clap::Args;
use research::{Commission, Family, Parameters, Settings, SettingsError, Size, Strategy, describe, pine as script};

use super::backtest::{BacktestRequest, Include, StrategyRun, Tested};
use super::columns::{Columns, ColumnsRequest};
use super::numbers::significant;
use super::requests::{SeriesRequest, Span, check_timeframe};
use super::{ResearchError, Strategies};
use crate::store::{SeriesKey, Store, StoreError};
use candle::{Symbol, Timeframe, ValueError, format_millis, parse_bound};

/// The characters of a sparkline, lowest first, and their number in a line.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARKS: usize = 72;

/// The flags of `strategies`.
#[derive(Debug, Args)]
pub(crate) struct StrategiesFlags {
    /// Describe this strategy: its rules in words, its parameters and its definition
    id: Option<String>,
    /// List only one family: trend, reversion, breakout, momentum, volatility, volume, pattern, several, session or
    /// statistical
    #[arg(long, conflicts_with = "id")]
    family: Option<String>,
}

/// The flags of `pine`.
#[derive(Debug, Args)]
pub(crate) struct PineFlags {
    /// The strategy, as candlewick strategies lists it
    id: String,
    /// Values of its parameters, such as fast=12
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    settings: SettingsFlags,
}

/// The flags of `backtest`.
#[derive(Debug, Args)]
pub(crate) struct BacktestFlags {
    /// The strategy, as candlewick strategies lists it
    id: String,
    /// Instrument, exactly as it is stored
    symbol: String,
    /// Timeframe, such as M1 or H1
    timeframe: String,
    /// Values of its parameters, such as fast=12
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// First opening time to trade: RFC 3339, a date for its midnight in UTC, or epoch seconds or milliseconds [default: all
    /// that is stored]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Last opening time to trade
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Print the result as JSON, with trades and equity
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsFlags,
}

/// Capital, sizes and costs.
#[derive(Debug, Args)]
struct SettingsFlags {
    /// Money at the start [default: 10000]
    #[arg(long)]
    capital: Option<f64>,
    /// Percent of the equity for each entry, above 0 and at most 100 [default: 10]
    #[arg(long, value_name = "PERCENT")]
    size: Option<f64>,
    /// Commission of each fill in percent of its value [default: 0]
    #[arg(long, value_name = "PERCENT")]
    commission: Option<f64>,
    /// Slippage of market and stop fills in ticks [default: 0]
    #[arg(long, value_name = "TICKS")]
    slippage: Option<u32>,
}

impl SettingsFlags {
    fn settings(&self) -> Result<Settings, ResearchError> {
        let read = || -> Result<Settings, SettingsError> {
            let mut settings = Settings::default();
            if let Some(capital) = self.capital {
                settings = settings.with_capital(capital)?;
            }
            if let Some(percent) = self.size {
                settings = settings.with_size(Size::PercentOfEquity(percent))?;
            }
            if let Some(percent) = self.commission {
                settings = settings.with_commission(Commission::Percent(percent))?;
            }
            if let Some(ticks) = self.slippage {
                settings = settings.with_slippage_ticks(ticks)?;
            }
            Ok(settings)
        };
        read().map_err(|error| ResearchError::Invalid(error.to_string()))
    }
}

/// Lists strategies, or describes one.
pub(crate) fn strategies(known: &Strategies, flags: &StrategiesFlags) -> Result<String, ResearchError> {
    if let Some(id) = &flags.id {
        return Ok(description(known.find(id)?));
    }
    let family = flags.family.as_deref().map(family).transpose()?;
    let listed: Vec<_> =
        known.all().filter(|strategy| family.is_none_or(|family| family == strategy.family())).collect();
    let ids = listed.iter().map(|strategy| strategy.id().len()).max().unwrap_or_default();
    let mut text = String::new();
    for strategy in &listed {
        let family = strategy.family().name();
        let _ = writeln!(text, "{:ids$}  {family:<11}  {}", strategy.id(), strategy.title());
    }
    let _ = writeln!(text, "\n{} strategies; candlewick strategies ID describes one", listed.len());
    Ok(text)
}

fn family(name: &str) -> Result<Family, ResearchError> {
    let all: Vec<Family> = research::catalogue::all().iter().map(Strategy::family).collect();
    all.iter().copied().find(|family| family.name() == name).ok_or_else(|| {
        let mut names: Vec<_> = all.iter().map(|family| family.name()).collect();
        names.dedup();
        ResearchError::Invalid(format!("there is no family {name}; the families are {}", names.join(", ")))
    })
}

fn description(strategy: &Strategy) -> String {
    let mut text = format!(
        "{} ({}, {})\n{}\nSource: {}\n\n{}",
        strategy.title(),
        strategy.id(),
        strategy.family().name(),
        strategy.about(),
        strategy.source(),
        describe(strategy)
    );
    if !strategy.parameters().is_empty() {
        text.push_str("\nParameters\n");
        let names = strategy.parameters().iter().map(|parameter| parameter.name.len()).max().unwrap_or_default();
        for parameter in strategy.parameters() {
            let _ = writeln!(
                text,
                "  {:names$}  {:<8}  {}",
                parameter.name,
                parameter.print(parameter.default()),
                parameter.about
            );
        }
    }
    let constraints: Vec<_> = strategy.constraints().collect();
    if !constraints.is_empty() {
        let _ = writeln!(text, "  where {}", constraints.join(" and "));
    }
    text.push_str("\nDefinition\n");
    for binding in strategy.lets() {
        let _ = writeln!(text, "  {binding}");
    }
    for (name, rule) in strategy.rules() {
        let _ = writeln!(text, "  {name} = {rule}");
    }
    text
}

/// The Pine script of a strategy.
pub(crate) fn pine(known: &Strategies, flags: &PineFlags) -> Result<String, ResearchError> {
    let strategy = known.find(&flags.id)?;
    let parameters = parameters(strategy, &flags.parameters)?;
    let remark = "Equal trades need equal candles.";
    script::script(strategy, &parameters, &flags.settings.settings()?, &[remark])
        .map_err(|error| ResearchError::Invalid(error.to_string()))
}

fn parameters(strategy: &Strategy, given: &[String]) -> Result<Parameters, ResearchError> {
    let mut pairs = Vec::new();
    for text in given {
        let Some(pair) = text.split_once('=') else {
            return Err(ResearchError::Invalid(format!("{text} is not a parameter's value; write it as NAME=VALUE")));
        };
        pairs.push(pair);
    }
    strategy
        .parameters_of(pairs)
        .map_err(|errors| ResearchError::Invalid(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// Runs a strategy on stored candles, and returns the report.
pub(crate) async fn backtest(
    store: &Store,
    known: &Strategies,
    flags: &BacktestFlags,
) -> Result<String, ResearchError> {
    let strategy = known.find(&flags.id)?;
    let invalid = |name: &str, error: ValueError| ResearchError::Invalid(format!("{name} {error}"));
    let symbol = Symbol::parse(&flags.symbol).map_err(|error| invalid("the symbol", error))?;
    let timeframe = Timeframe::parse(&flags.timeframe).map_err(|error| invalid("the timeframe", error))?;
    let bound = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| parse_bound(text, None)).transpose().map_err(|error| invalid(name, error))
    };
    let span = Span { from: bound("--from", &flags.from)?, to: bound("--to", &flags.to)? };
    let parameters = parameters(strategy, &flags.parameters)?;
    strategy.bind(&parameters)?;
    check_timeframe(strategy, timeframe)?;
    let request = BacktestRequest {
        run: StrategyRun { strategy, parameters, settings: flags.settings.settings()? },
        series: SeriesRequest { key: SeriesKey { symbol, timeframe }, resampling: None },
        span,
        include: Include { trades: true, equity: true },
    };
    let columns = ColumnsRequest { max_bars: usize::MAX, ..request.columns()? };
    let loaded = Columns::for_command(store.clone()).load(columns).await?;
    let tested = request.test(&loaded)?;
    if flags.json {
        let json = tested.json().map_err(StoreError::internal)?;
        return Ok(String::from_utf8(json).map_err(StoreError::internal)?);
    }
    Ok(table(&tested))
}

/// The report on a backtest for people.
fn table(tested: &Tested) -> String {
    let (from, to) = tested.span();
    let (request, result) = (&tested.request, &tested.result);
    let StrategyRun { strategy, parameters, .. } = &request.run;
    let shown = |time| format_millis(time).unwrap_or_default();
    let values = strategy.parameters().iter().zip(parameters.values());
    let values = values.map(|(parameter, value)| format!("{}={}", parameter.name, parameter.print(*value)));
    let mut text = format!(
        "{} on {} {}\n{}\n{} candles from {} to {}\n\n",
        strategy.title(),
        request.series.key.symbol,
        request.series.key.timeframe,
        values.collect::<Vec<_>>().join(" "),
        result.bars.len(),
        shown(from),
        shown(to)
    );
    let equity: Vec<f64> = result.equity.points.iter().map(|(_, equity)| *equity).collect();
    let _ = writeln!(text, "  {}\n", sparkline(&equity));
    for (name, value) in result.metrics.named() {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{:.4}", significant(value)));
        let value = value.strip_suffix(".0000").map(str::to_owned).unwrap_or(value);
        let _ = writeln!(text, "  {:<22}{value:>18}", name.replace('_', " "));
    }
    text.push_str("\nAssumptions\n");
    for assumption in &result.assumptions {
        let _ = writeln!(text, "  {assumption}");
    }
    if result.warmup_missing > 0 {
        let _ = writeln!(
            text,
            "  {} of the {} candles that the indicators should see before the first one are not stored, so the first \
             signals may differ from those on a longer history.",
            result.warmup_missing, result.warmup_bars
        );
    }
    if result.account.ruined.is_some() {
        text.push_str("  The equity was used up, and the run ended there.\n");
    }
    text
}

/// A curve as a line of characters, each of which stands for the mean of its part.
fn sparkline(values: &[f64]) -> String {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let parts = SPARKS.min(values.len());
    let part = |number: usize| &values[number * values.len() / parts..(number + 1) * values.len() / parts];
    (0..parts)
        .map(|number| {
            let part = part(number);
            #[expect(clippy::cast_precision_loss, reason = "a curve has at most 2,000 points")]
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            let height = if high > low { (mean - low) / (high - low) * 7.0 } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
            BARS[(height.round() as usize).min(BARS.len() - 1)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_goes_from_the_lowest_to_the_highest() {
        assert_eq!(sparkline(&[1.0, 2.0, 3.0, 8.0]), "▁▂▃█");
        assert_eq!(sparkline(&[5.0, 5.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&vec![1.0; 1000]).chars().count(), SPARKS);
    }
}
