//! Signals of today: the positions of several strategies at the last close, and one signal from all of them.

use crate::{
    BindError, Cache, Market, Parameters, Settings, Side, Strategy,
    broker::{self, NextOrder, Window},
    metrics::Full,
};

/// The strategies that vote by default: two of each of six families.
pub const DEFAULT_STRATEGIES: [&str; 12] = [
    "ema-cross",
    "supertrend",
    "rsi-reversal",
    "bollinger-reversal",
    "donchian",
    "keltner-breakout",
    "time-series-momentum",
    "rsi-50",
    "obv-ma",
    "cmf",
    "macd-rsi",
    "elder-impulse",
];

/// The number of bars that a strategy trades before today, so that its position has a history.
pub const HISTORY_BARS: usize = 1_000;

/// The score from which on the advice is to buy. From its negative on, the advice is to sell.
const THRESHOLD: f64 = 0.25;

/// The advice of most strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// The score is 0.25 or more.
    Buy,
    /// The score is −0.25 or less.
    Sell,
    /// The score lies between.
    Hold,
}

impl Advice {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
            Self::Hold => "hold",
        }
    }
}

/// The view of one strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// The strategy's id.
    pub strategy: String,
    /// The position after `order`; `None` is flat.
    pub position: Option<Side>,
    /// The order that the last close asks for.
    pub order: Option<NextOrder>,
    /// The number of closes that the position has seen; 0 if it is only ordered, or flat.
    pub bars_in_position: usize,
    /// The opening time of the entry's bar, or of the last bar if the entry is only ordered, in epoch milliseconds.
    /// `None` if flat.
    pub since: Option<i64>,
    /// The number of bars that are missing of those that the indicators should see before the history.
    pub warmup_missing: usize,
}

/// The view of all strategies of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct TodaysSignal {
    /// The opening time of the last bar, in epoch milliseconds.
    pub candle: i64,
    /// Its close.
    pub close: f64,
    /// The advice.
    pub advice: Advice,
    /// The mean of the positions after the orders: 1 for long, −1 for short, 0 for flat.
    pub score: f64,
    /// The view of each strategy, in the order in which they were asked.
    pub votes: Vec<Vote>,
}

/// Asks strategies, with values for their parameters, about the last bar of a market. Each trades the newest [`HISTORY_BARS`] after
/// its warm-up. `None` without bars or strategies.
///
/// # Errors
/// When a strategy does not accept its values.
pub fn todays_signal(
    market: &Market,
    strategies: &[(&Strategy, Parameters)],
    settings: &Settings,
    cache: &Cache,
) -> Result<Option<TodaysSignal>, BindError> {
    let votes = strategies.iter().map(|(strategy, parameters)| vote(market, strategy, parameters, settings, cache));
    let votes: Vec<Vote> = votes.collect::<Result<_, _>>()?;
    let last = market.bars().time().last().copied().zip(market.bars().close().last().copied());
    let Some((candle, close)) = last.filter(|_| !votes.is_empty()) else { return Ok(None) };
    let score = score(&votes);
    let advice = if score >= THRESHOLD {
        Advice::Buy
    } else if score <= -THRESHOLD {
        Advice::Sell
    } else {
        Advice::Hold
    };
    Ok(Some(TodaysSignal { candle, close, advice, score, votes }))
}

#[expect(clippy::cast_precision_loss, reason = "there are few strategies")]
fn score(votes: &[Vote]) -> f64 {
    let positions: f64 = votes.iter().filter_map(|vote| vote.position).map(Side::sign).sum();
    positions / votes.len() as f64
}

fn vote(
    market: &Market,
    strategy: &Strategy,
    parameters: &Parameters,
    settings: &Settings,
    cache: &Cache,
) -> Result<Vote, BindError> {
    let bound = strategy.bind(parameters)?;
    let bars = market.bars();
    let history = bars.len().saturating_sub(HISTORY_BARS);
    let loaded = history.saturating_sub(bound.warm_up());
    // Bars before the warm-up are left out, because they would change recursive averages a little.
    let read = bars.slice(loaded..bars.len());
    let market = Market::new(read.clone(), settings.tick());
    let mut full = Full::new(&market, settings.capital(), history - loaded);
    let window = Window { bars: history - loaded..read.len(), closes_at_end: false };
    let account = broker::run_fitting(&market, &bound.evaluate(&read, cache), settings, &window, &mut full);
    let held = account.open.map(|open| (open.side, open.entry_bar));
    let (position, since) = match account.next_order {
        None => (held.map(|(side, _)| side), held.map(|(_, entry_bar)| entry_bar)),
        Some(NextOrder::EnterLong) => (Some(Side::Long), read.len().checked_sub(1)),
        Some(NextOrder::EnterShort) => (Some(Side::Short), read.len().checked_sub(1)),
        Some(NextOrder::ExitLong | NextOrder::ExitShort) => (None, None),
    };
    let closes = held.filter(|_| account.next_order.is_none()).map_or(0, |(_, entry_bar)| read.len() - entry_bar);
    Ok(Vote {
        strategy: strategy.id().to_owned(),
        position,
        order: account.next_order,
        bars_in_position: closes,
        since: since.map(|bar| read.time()[bar]),
        warmup_missing: bound.warm_up().saturating_sub(history - loaded),
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the cases are chosen so that no number is rounded")]
mod tests {
    use super::*;
    use crate::{Bars, Columns, TickGrid, catalogue};

    fn market(prices: &[f64]) -> Market {
        let columns = Columns {
            time: (0..).map(|day| day * 86_400_000).take(prices.len()).collect(),
            open: prices.to_vec(),
            high: prices.iter().map(|price| price + 0.5).collect(),
            low: prices.iter().map(|price| price - 0.5).collect(),
            close: prices.to_vec(),
            volume: vec![1_000.0; prices.len()],
        };
        Market::new(Bars::new(columns, TickGrid::of_digits(1).unwrap(), Some(86_400_000)).unwrap(), None)
    }

    fn ask(market: &Market, strategies: &[(&str, &[(&str, &str)])]) -> TodaysSignal {
        let strategies: Vec<(&Strategy, Parameters)> = strategies
            .iter()
            .map(|(id, values)| {
                let strategy = catalogue::find(id).unwrap();
                (strategy, strategy.parameters_of(values.iter().copied()).unwrap())
            })
            .collect();
        todays_signal(market, &strategies, &Settings::default(), &Cache::new(1 << 20)).unwrap().unwrap()
    }

    const CROSS: (&str, &[(&str, &str)]) = ("sma-cross", &[("fast", "2"), ("slow", "4")]);

    #[test]
    fn the_default_strategies_exist_and_come_from_six_families_in_pairs() {
        let families: Vec<_> =
            DEFAULT_STRATEGIES.iter().map(|id| catalogue::find(id).unwrap().family().name()).collect();
        let mut distinct = families.clone();
        distinct.dedup();
        assert!(families.chunks(2).all(|pair| pair[0] == pair[1]), "{families:?}");
        assert_eq!(distinct.len(), 6);
    }

    #[test]
    fn a_position_and_its_history_are_told() {
        // Prices fall, then rise: the averages cross at the close of bar 12 or 13, and never again.
        let mut prices: Vec<f64> = (0..11).map(|bar| 50.0 - f64::from(bar)).collect();
        prices.extend((1..10).map(|bar| 40.0 + f64::from(bar)));
        let crossed =
            (5..prices.len()).find(|&last| ask(&market(&prices[..=last]), &[CROSS]).votes[0].order.is_some()).unwrap();
        let ordered = ask(&market(&prices[..=crossed]), &[CROSS]);
        let vote = &ordered.votes[0];
        assert_eq!(
            (vote.order, vote.position, vote.bars_in_position),
            (Some(NextOrder::EnterLong), Some(Side::Long), 0)
        );
        assert_eq!((vote.since, ordered.candle), (Some(ordered.candle), i64::try_from(crossed).unwrap() * 86_400_000));
        let later = ask(&market(&prices), &[CROSS]);
        let vote = &later.votes[0];
        assert_eq!((vote.order, vote.position), (None, Some(Side::Long)));
        assert_eq!(vote.bars_in_position, prices.len() - crossed - 1);
        assert_eq!(vote.since, Some(i64::try_from(crossed + 1).unwrap() * 86_400_000));
        assert_eq!((later.advice, later.score, later.close), (Advice::Buy, 1.0, 49.0));
    }

    #[test]
    fn the_score_is_the_mean_of_the_positions() {
        let side = |position| Vote {
            strategy: String::new(),
            position,
            order: None,
            bars_in_position: 0,
            since: None,
            warmup_missing: 0,
        };
        let votes = [side(Some(Side::Long)), side(Some(Side::Long)), side(Some(Side::Short)), side(None)];
        assert_eq!(score(&votes), 0.25);
    }

    #[test]
    fn bars_before_the_warm_up_change_nothing_and_missing_ones_are_told() {
        let prices: Vec<f64> = (0..1_600_i32).map(|bar| f64::from(bar * bar % 997) / 10.0 + 100.0).collect();
        let all: Vec<(&str, &[(&str, &str)])> = DEFAULT_STRATEGIES.iter().map(|id| (*id, &[][..])).collect();
        let long = ask(&market(&prices), &all);
        assert_eq!(long.votes.len(), 12);
        let warm_up =
            catalogue::find("donchian").map(|strategy| strategy.warm_up(&strategy.defaults()).unwrap()).unwrap();
        let short = ask(&market(&prices[1_600 - 1_000 - warm_up..]), &[("donchian", &[])]);
        let same = long.votes.iter().find(|vote| vote.strategy == "donchian").unwrap();
        assert_eq!((short.votes[0].position, short.votes[0].order), (same.position, same.order));
        assert_eq!((short.votes[0].bars_in_position, short.votes[0].warmup_missing), (same.bars_in_position, 0));
        assert_eq!(ask(&market(&prices[..50]), &[("donchian", &[])]).votes[0].warmup_missing, warm_up);
    }

    #[test]
    fn nothing_is_said_without_bars_or_strategies() {
        let (settings, cache) = (Settings::default(), Cache::new(0));
        let some = [(catalogue::find("sma-cross").unwrap(), catalogue::find("sma-cross").unwrap().defaults())];
        assert_eq!(todays_signal(&market(&[]), &some, &settings, &cache), Ok(None));
        assert_eq!(todays_signal(&market(&[10.0]), &[], &settings, &cache), Ok(None));
    }
}
