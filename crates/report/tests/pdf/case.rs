//! Reports to test with: backtests and searches over bars, with everything that a report borrows.

use std::ops::Range;

use report::{Report, Search};
use research::{
    Bars, Cache, Columns, Commission, Market, Objective, Parameters, Settings, Strategy, TickGrid,
    optimization::{signals_of, space_of},
    pine,
    run::{Backtest, BacktestResult},
    search::{Item, Method, Options, OutOfSample, Seed, StopFlag, Threads, optimize},
};

/// Everything that a report is about.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    pub(crate) strategy: Strategy,
    pub(crate) parameters: Parameters,
    pub(crate) settings: Settings,
    pub(crate) market: Market,
    pub(crate) backtest: BacktestResult,
    pub(crate) equity: Vec<f64>,
    pub(crate) search: Option<Search>,
    pub(crate) warnings: Vec<String>,
    pub(crate) script: String,
}

/// Costs that a broker might ask.
pub(crate) fn settings() -> Settings {
    Settings::default().with_commission(Commission::Percent(0.01)).unwrap()
}

impl Case {
    /// A backtest with the parameters of an id's catalogue entry.
    pub(crate) fn backtest(bars: Bars, strategy: &Strategy, traded: Range<usize>, settings: Settings) -> Self {
        Self::with(bars, strategy, strategy.defaults(), traded, settings)
    }

    fn with(bars: Bars, strategy: &Strategy, parameters: Parameters, traded: Range<usize>, settings: Settings) -> Self {
        let market = Market::new(bars, settings.tick());
        let backtest =
            Backtest { strategy, parameters: &parameters, market: &market, bars: traded, settings: &settings };
        let (backtest, equity) = backtest.run_with_equity(&Cache::new(1 << 24)).unwrap();
        let script = pine::script(strategy, &parameters, &settings, &["An invented series"]).unwrap();
        Self {
            name: String::new(),
            symbol: "EURUSD".into(),
            timeframe: "H1".into(),
            strategy: strategy.clone(),
            parameters,
            settings,
            market,
            backtest,
            equity,
            search: None,
            warnings: Vec::new(),
            script,
        }
    }

    /// The winner of a search, traded over all of its bars.
    pub(crate) fn optimized(bars: &Bars, strategy: &Strategy, search: &SearchRequest) -> Self {
        let settings = settings();
        let market = Market::new(bars.clone(), None);
        let cache = Cache::new(1 << 26);
        let space = space_of(strategy, &search.ranges).unwrap();
        let item = Item {
            market: &market,
            settings: &settings,
            space: &space,
            signals: signals_of(strategy, bars, &cache),
            bars: search.bars.clone(),
            objective: search.objective,
            options: Options {
                method: search.method,
                max_evaluations: search.max_evaluations,
                min_trades: 20,
                seed: Seed::default(),
                keep: 1_000,
            },
            out_of_sample: search.out_of_sample,
        };
        let result = optimize(&item, Threads::Caller, &StopFlag::default(), &mut |_| {}).unwrap();
        let parameters = strategy.parameters_from(&result.best[0].values).unwrap();
        let found = Search::of(&item, &result, 1);
        let mut case = Self::with(bars.clone(), strategy, parameters, search.bars.clone(), settings);
        case.search = found;
        case.warnings = result.warnings;
        case
    }

    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            name: &self.name,
            symbol: &self.symbol,
            timeframe: &self.timeframe,
            strategy: &self.strategy,
            parameters: &self.parameters,
            settings: &self.settings,
            market: &self.market,
            backtest: &self.backtest,
            equity: &self.equity,
            search: self.search.as_ref(),
            warnings: &self.warnings,
            script: &self.script,
        }
    }
}

/// A search to run.
#[derive(Debug, Clone)]
pub(crate) struct SearchRequest {
    pub(crate) ranges: Vec<(String, research::optimization::Range)>,
    pub(crate) bars: Range<usize>,
    pub(crate) method: Method,
    pub(crate) max_evaluations: usize,
    pub(crate) objective: Objective,
    pub(crate) out_of_sample: OutOfSample,
}

/// A random walk in hours, the same for the same seed.
pub(crate) fn walk(seed: u64, count: usize) -> Bars {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 57).unwrap() - 63
    };
    let real = |price: i64| f64::from(i32::try_from(price).unwrap()) / 100_000.0;
    let mut price = 110_000_i64;
    let mut columns = Columns::default();
    for bar in 0..i64::try_from(count).unwrap() {
        let open = price;
        // Bends of a few weeks, so that trend followers find something.
        price = (price + random() + (bar / 400 % 3 - 1) * 3).max(20_000);
        let (high, low) = (open.max(price) + random().abs() / 3, open.min(price) - random().abs() / 3);
        columns.time.push(1_672_617_600_000 + bar * 3_600_000);
        columns.open.push(real(open));
        columns.high.push(real(high));
        columns.low.push(real(low));
        columns.close.push(real(price));
        columns.volume.push(100.0);
    }
    Bars::new(columns, TickGrid::of_digits(5).unwrap(), Some(3_600_000)).unwrap()
}
