//! Research on stored candles. The crate [`research`] computes; here are the requests, the candles and the threads.
//!
//! 1. [`strategies`]: those of the catalogue and of a folder.
//! 2. [`threads`]: where everything is computed.
//! 3. [`body`] and [`requests`]: the fields that requests have in common, and everything that is wrong with them.
//! 4. [`columns`]: the candles of a series, read so that candles come first.
//! 5. [`numbers`]: how numbers are written.
//! 6. [`pages`]: the answers about strategies.
//! 7. [`mod@backtest`] and [`mod@signals`]: one run, and the view of today, kept for a moment by [`answers`].
//! 8. [`signal_watch`] and [`signal_history`]: the signals that are watched, and pages of their history.
//! 9. [`viewer`]: whose jobs a caller sees.
//! 10. [`jobs`]: searches that go on in the background.
//! 11. [`command`]: the commands that list, print and test strategies.

mod answers;
mod backtest;
pub(crate) mod body;
pub(crate) mod columns;
mod command;
mod jobs;
pub(crate) mod numbers;
mod pages;
pub(crate) mod requests;
mod signal_history;
mod signal_watch;
mod signals;
mod strategies;
mod threads;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rayon::ThreadPoolBuildError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::ResearchConfig;
use crate::query::QueryError;
use crate::store::{SeriesKey, Store, StoreError};
use crate::validation::FieldError;
use candle::Timeframe;

use answers::{Answer, AnswerKey, Answers};
use backtest::BacktestRequest;
use columns::Columns;
use pages::StrategyPages;
use signal_watch::SignalWatch;
use signals::{Signals, SignalsRequest, SymbolError, SymbolSignal};

pub(crate) use command::{BacktestFlags, PineFlags, StrategiesFlags, backtest, pine, strategies as list};
pub(crate) use jobs::{Jobs, JobsError, JobsQuery, JobsState, ResultsFormat, Started};
pub(crate) use pages::StrategyPage;
pub(crate) use signal_history::SignalsPage;
pub(crate) use signal_watch::watched_signals;
pub(crate) use strategies::Strategies;
pub(crate) use threads::Threads;
pub(crate) use viewer::Viewer;

/// The maximum time that a backtest computes while its request waits.
const COMPUTING_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum time that a backtest reads candles while its request waits.
const LOADING_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time that a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// The requests that are worked on at once for each thread, so that one reads candles while another computes.
const REQUESTS_A_THREAD: usize = 2;

/// The reason for which a request was not answered, or a command failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ResearchError {
    /// A value that was given is not valid, or files of strategies are not; the text has a line for each.
    #[error("{0}")]
    Invalid(String),
    /// Values of a request break rules.
    #[error("the request is not valid: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Fields(Vec<FieldError>),
    /// The body is not a JSON object.
    #[error("{0}")]
    Malformed(String),
    /// There is no such strategy.
    #[error("there is no strategy {id}; the nearest are {nearest}")]
    UnknownStrategy {
        /// The id, cut to a length fit for an answer.
        id: String,
        /// The three that are most alike.
        nearest: String,
    },
    /// Nothing is stored of a series.
    #[error("no candle of {} {} is stored; the list of series shows what is", .0.symbol, .0.timeframe)]
    UnknownSeries(SeriesKey),
    /// No symbol of a request has a signal.
    #[error(
        "none of the symbols has a signal: {}",
        .0.iter().take(10).map(|error| format!("{} ({})", error.symbol, error.code)).collect::<Vec<_>>().join(", ")
    )]
    NoSignals(Vec<SymbolError>),
    /// There are more candles than a request may compute with at once.
    #[error(
        "there are more than {0} candles in that span, which is the most for an answer at once; shorten the span, or start a job"
    )]
    TooManyCandles(usize),
    /// A computation took longer than a request may.
    #[error("this takes longer than the 2 s that are left for an answer at once; shorten the span, or start a job")]
    TooLong,
    /// Reading candles took longer than a request may.
    #[error(
        "reading the candles takes longer than the {} s that are left for an answer at once; shorten the span, or start a job",
        LOADING_TIMEOUT.as_secs()
    )]
    TooLongToRead,
    /// More series are stored than one answer has signals for.
    #[error("more than {0} symbols are stored; name those that are wanted in symbols")]
    TooManySymbols(usize),
    /// There are too few candles.
    #[error("{0}")]
    TooFewCandles(String),
    /// A stored candle, which another program has written, breaks a rule.
    #[error(
        "the candle of {} {} at {} cannot be used, because {fault}; choose a span without it, or ask the operator to correct it",
        .series.symbol, .series.timeframe, .time
    )]
    UnusableCandle {
        /// The series that was asked for.
        series: SeriesKey,
        /// The candle's opening time, as people read it.
        time: String,
        /// The rule that it breaks, as in "its low is above its high".
        fault: String,
    },
    /// A session rule on candles that have no hours.
    #[error("{0} reads the hour, so it needs a timeframe below D1, and {1} is not")]
    IntradayOnly(String, Timeframe),
    /// This replica computes nothing.
    #[error("this replica computes nothing, because RESEARCH_THREADS is 0; ask another one")]
    Off,
    /// A computation panicked with this message, which is for the log alone.
    #[error("the computation broke off, which is a fault of the service; its log says more")]
    Panicked(String),
    /// Too many requests compute.
    #[error("all threads of research are busy; send the request again after Retry-After")]
    Busy,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Candles could not be built.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// The reason for which research cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Files of strategies cannot be used; the text has a line for each fault.
    #[error("{0}")]
    Strategies(String),
    /// The setting of the signals that are watched cannot be used; the text shows one that can.
    #[error("{0}")]
    Signals(String),
    /// The system starts no more threads.
    #[error("cannot start the threads of research")]
    Threads(#[from] ThreadPoolBuildError),
}

/// Answers requests about strategies. Clones share its threads and what it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Research(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Clock,
    strategies: Strategies,
    pages: StrategyPages,
    threads: Threads,
    columns: Columns,
    answers: Answers,
    /// One permit for each request that is worked on.
    turns: Semaphore,
    memory_bytes: u64,
}

impl Research {
    /// Reads the user's own strategies and starts the threads.
    ///
    /// # Errors
    /// When a file of a strategy is faulty, or the system starts no more threads.
    pub(crate) fn start(config: &ResearchConfig, store: Store, clock: Clock) -> Result<Self, StartError> {
        let strategies = Strategies::read(config.strategies_dir.as_deref());
        let strategies = strategies.map_err(|error| StartError::Strategies(error.to_string()))?;
        let threads = Threads::start(config.threads)?;
        // Candles that are kept for a moment take at most half. Those of jobs leave less for the indicators of jobs.
        let columns = Columns::new(store.clone(), threads.clone(), config.memory_bytes / 2);
        Ok(Self(Arc::new(Parts {
            store,
            clock,
            pages: StrategyPages::new(strategies.clone()),
            strategies,
            turns: Semaphore::new(threads.count() * REQUESTS_A_THREAD),
            threads,
            columns,
            answers: Answers::default(),
            memory_bytes: config.memory_bytes,
        })))
    }

    /// The watch of the signals that a setting names.
    ///
    /// # Errors
    /// [`StartError::Signals`] when it names none, or an unknown strategy.
    pub(crate) fn watch(&self, setting: &str) -> Result<SignalWatch, StartError> {
        SignalWatch::new(setting, self.clone()).map_err(StartError::Signals)
    }

    /// Removes what is too old to answer a request. Never returns.
    pub(crate) async fn maintain(self) {
        tokio::join!(self.0.columns.sweep(), self.0.answers.sweep());
    }

    /// The strategies that can be run.
    pub(crate) fn strategies(&self) -> &Strategies {
        &self.0.strategies
    }

    /// The threads that compute.
    pub(crate) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// The candles.
    pub(crate) fn columns(&self) -> &Columns {
        &self.0.columns
    }

    /// The answers that are kept for a moment.
    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// The bytes of memory that candles and the indicators of all jobs may take together.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes
    }

    /// The list of strategies that a query string selects.
    ///
    /// # Errors
    /// When the parameters are invalid.
    pub(crate) fn list(&self, query: &str) -> Result<StrategyPage, ResearchError> {
        self.0.pages.list(query)
    }

    /// The page of one strategy.
    ///
    /// # Errors
    /// When there is no strategy of that id.
    pub(crate) fn page(&self, id: &str) -> Result<StrategyPage, ResearchError> {
        self.0.pages.page(id)
    }

    /// The Pine script of a strategy with the parameters and settings in a query string.
    ///
    /// # Errors
    /// When there is no such strategy, or else with everything that is wrong with the query.
    pub(crate) fn pine(&self, id: &str, query: &str) -> Result<String, ResearchError> {
        pages::pine(&self.0.strategies, id, query)
    }

    /// Runs a backtest, and returns the bytes of the answer.
    ///
    /// # Errors
    /// When the request is invalid, this replica computes nothing, there are too few or too many candles, or the store cannot be
    /// read.
    pub(crate) async fn backtest(&self, body: &[u8]) -> Result<Answer, ResearchError> {
        let request = BacktestRequest::parse(body, &self.0.strategies)?;
        let key = &request.series.key;
        let version = self.0.store.series_version(&key.symbol, request.series.stored());
        let canonical = request.canonical();
        self.0.answers.get(AnswerKey::Computed(canonical, version), Box::pin(self.test(request))).await
    }

    async fn test(&self, request: BacktestRequest) -> Result<Answer, ResearchError> {
        let _turn = self.turn().await?;
        let loading = timeout(LOADING_TIMEOUT, self.0.columns.load(request.columns()?));
        let loaded = loading.await.map_err(|_| ResearchError::TooLongToRead)??;
        let computed = self.0.threads.run(move || -> Result<Answer, ResearchError> {
            let body = request.test(&loaded)?.json().map_err(StoreError::internal)?;
            Ok(Answer { body: body.into(), skipped: None })
        });
        timeout(COMPUTING_TIMEOUT, computed).await.map_err(|_| ResearchError::TooLong)??
    }

    /// The signals that the body of a request asks for, as JSON.
    ///
    /// # Errors
    /// When the request is invalid, this replica computes nothing, no symbol has a signal, or the store cannot be read.
    pub(crate) async fn signals(&self, body: &[u8]) -> Result<Answer, ResearchError> {
        let request = SignalsRequest::parse(body, &self.0.strategies)?;
        let json = async {
            let signals = self.ask(&request).await?;
            let body = serde_json::to_vec(&signals).map_err(StoreError::internal)?;
            Ok(Answer { body: body.into(), skipped: None })
        };
        let key = AnswerKey::Computed(format!("json {}", request.canonical()), self.version_of(&request));
        self.0.answers.get(key, Box::pin(json)).await
    }

    /// The signals that a query string asks for, as CSV. Symbols that have none are skipped.
    ///
    /// # Errors
    /// As [`Self::signals`], and when more symbols are stored than one answer has signals for.
    pub(crate) async fn signals_csv(&self, query: &str) -> Result<Answer, ResearchError> {
        let request = SignalsRequest::parse_query(query, &self.0.strategies)?;
        let csv = async {
            let signals = self.ask(&request).await?;
            Ok(Answer { body: signals.csv().into(), skipped: skipped(signals.errors()) })
        };
        let key = AnswerKey::Computed(format!("csv {}", request.canonical()), self.version_of(&request));
        self.0.answers.get(key, Box::pin(csv)).await
    }

    /// A page of the history of the signals that are watched.
    ///
    /// # Errors
    /// When the parameters are invalid, or the store cannot be read.
    pub(crate) async fn signal_history(&self, query: &str) -> Result<SignalsPage, ResearchError> {
        signal_history::page(query, &self.0.store).await
    }

    /// The signals of the symbols of a request, and the symbols that have none.
    async fn outcomes(&self, request: &SignalsRequest) -> Result<(Vec<SymbolSignal>, Vec<SymbolError>), ResearchError> {
        let _turn = self.turn().await?;
        let parts = (&self.0.store, &self.0.columns, &self.0.threads);
        signals::outcomes(request, parts, self.0.clock.now().millis()).await
    }

    async fn ask(&self, request: &SignalsRequest) -> Result<Signals, ResearchError> {
        let _turn = self.turn().await?;
        let parts = (&self.0.store, &self.0.columns, &self.0.threads);
        Signals::ask(request, parts, self.0.clock.now().millis()).await
    }

    fn version_of(&self, request: &SignalsRequest) -> crate::store::SeriesVersion {
        self.0.store.series_version_of(request.symbols(), request.timeframe())
    }

    /// Waits for a turn to be worked on.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, ResearchError> {
        if self.0.threads.count() == 0 {
            return Err(ResearchError::Off);
        }
        let turn = timeout(TURN_TIMEOUT, self.0.turns.acquire()).await.map_err(|_| ResearchError::Busy)?;
        Ok(turn.map_err(StoreError::internal)?)
    }
}

/// The characters of a symbol that a header may hold.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// The symbols without a signal and why, for a header.
fn skipped(errors: &[SymbolError]) -> Option<String> {
    let shown = |error: &SymbolError| format!("{} {}", utf8_percent_encode(&error.symbol, KEPT), error.code);
    (!errors.is_empty()).then(|| errors.iter().map(shown).collect::<Vec<_>>().join(", "))
}
