//! The names of all metrics, and what counts where.
//!
//! Names follow OpenTelemetry's semantic conventions in Prometheus' spelling where those have one, and start with
//! `candlewick_` where not. No label holds a symbol, a path or an address: the number of series stays bounded.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::ErrorCounter;

use super::REVISION;

/// Requests: how long until the head of the answer, by `http_request_method`, `http_route` and `http_response_status_code`,
/// which is 499 where the client left before.
pub const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Requests being worked on.
pub const ACTIVE_REQUESTS: &str = "http_server_active_requests";
/// Operations of the store, by `db_operation_name` and, where they failed, `error_type`.
pub const OPERATION_DURATION: &str = "db_client_operation_duration_seconds";
/// Connections to the store, by `state`: `idle` or `used`.
pub const POOL_CONNECTIONS: &str = "db_client_connection_count";
/// Most connections to the store.
pub const POOL_MAX: &str = "db_client_connection_max";
/// Requests that wait for a connection.
pub const POOL_PENDING: &str = "db_client_connection_pending_requests";
/// Requests that got no connection in time.
pub const POOL_TIMEOUTS: &str = "db_client_connection_timeouts_total";
/// How long requests waited for a connection.
pub const POOL_WAIT: &str = "db_client_connection_wait_time_seconds";
/// 1 if the last write to the store failed, else 0.
pub const WRITE_FAILING: &str = "candlewick_write_failing";
/// The last time at which a write failed, in seconds since 1970, by `error_type`. None is there until one has.
pub const WRITE_ERROR_TIME: &str = "candlewick_last_write_error_timestamp_seconds";
/// Candles rejected, by `reason`: the first [`Rule`](candle::Rule) that each broke.
pub const REJECTED: &str = "candlewick_candles_rejected_total";
/// Closed candles posted again with other values than what is stored.
pub const CONFLICTS: &str = "candlewick_candles_conflicting_total";
/// Groups of posts of few candles that were written, each in one statement unless a candle of it was refused.
pub const FLUSHES: &str = "candlewick_flushes_total";
/// Posts in them.
pub const FLUSHED_POSTS: &str = "candlewick_flushed_posts_total";
/// Candles of such posts that wait for a statement.
pub const WAITING_CANDLES: &str = "candlewick_waiting_candles";
/// Age of the newest closed candle by `timeframe`: seconds since it opened.
pub const NEWEST_AGE: &str = "candlewick_newest_candle_age_seconds";
/// Client addresses that the limiter remembers.
pub const LIMITER_ADDRESSES: &str = "candlewick_rate_limiter_addresses";
/// Connections of clients that are open, by `listener`: `public` or `admin`.
pub const CONNECTIONS: &str = "candlewick_connections_open";
/// Lines of the log that nobody read in time.
pub const LOG_LINES_DROPPED: &str = "candlewick_log_lines_dropped_total";
/// Always 1; its labels tell `version` and `revision`.
pub const BUILD_INFO: &str = "candlewick_build_info";

/// Defines counters by one label, of which each value is a variant: nothing else can be counted, and all of them are there
/// from the start. Prometheus sees only by how much a series grows, so a first event that brought its series along would
/// never have happened.
macro_rules! counters {
    ($(
        #[doc = $help:literal]
        $counter:ident = $metric:literal by $label:literal { $($variant:ident = $value:literal),+ $(,)? }
    )+) => {
        $(
            #[doc = $help]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $counter {
                $(#[doc = concat!("`", $value, "`")] $variant),+
            }

            impl $counter {
                /// Counts so many more.
                pub fn count(self, more: u64) {
                    match self {
                        // Labels of constants cost nothing to make.
                        $(Self::$variant => counter!($metric, $label => $value).increment(more)),+
                    }
                }
            }
        )+

        fn begin_labelled_counters() {
            $(
                describe_counter!($metric, $help.trim_start());
                $($counter::$variant.count(0);)+
            )+
        }
    };
}

counters! {
    /// Candles posted, by what became of them.
    Candles = "candlewick_candles_total" by "result" {
        Added = "added",
        Duplicate = "duplicate",
        Forming = "live",
        Rejected = "rejected",
    }
    /// Requests without a valid key for their route.
    AuthFailures = "candlewick_auth_failures_total" by "kind" {
        Missing = "missing",
        Unknown = "unknown",
        Several = "several",
        Misplaced = "misplaced",
        WrongScope = "wrong_scope",
    }
    /// Requests refused for coming too often.
    RateLimited = "candlewick_rate_limited_total" by "scope" {
        Ingest = "ingest",
        Query = "query",
        Anonymous = "anonymous",
        WrongKey = "wrong_key",
    }
    /// Requests refused for lack of room.
    Shed = "candlewick_load_shed_total" by "reason" {
        Requests = "requests",
        BodyMemory = "body_memory",
        AnswerMemory = "answer_memory",
        WriteQueue = "write_queue",
    }
    /// Connections of clients that were closed at once, because there were too many.
    ConnectionsRefused = "candlewick_connections_refused_total" by "reason" {
        All = "all",
        Address = "address",
    }
    /// Connections of clients that were closed for being too slow.
    ConnectionsTimedOut = "candlewick_connections_timed_out_total" by "phase" {
        Head = "head",
        Answer = "answer",
    }
}

/// OpenTelemetry's buckets for request durations, and two below them: most answers take less than 5 ms.
const DURATION_BUCKETS_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// How often what is counted is folded into buckets when nobody asks for it.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What has been counted since the start. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    prometheus: PrometheusHandle,
    process: metrics_process::Collector,
    dropped_lines: ErrorCounter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Starts to count; the log counts `dropped_lines` itself. In processes that never call this, counting costs nothing.
    ///
    /// # Errors
    /// When the process counts already.
    pub fn install(dropped_lines: ErrorCounter) -> Result<Self, BuildError> {
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS_SECONDS)?
            .install_recorder()?;
        describe();
        begin();
        let process = metrics_process::Collector::default();
        process.describe();
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "revision" => REVISION).set(1.0);
        Ok(Self { prometheus, process, dropped_lines })
    }

    /// Everything counted, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        counter!(LOG_LINES_DROPPED).absolute(self.dropped_lines.dropped_lines() as u64);
        self.prometheus.render()
    }

    /// Keeps the memory of what nobody asks for bounded. Never ends.
    pub async fn maintain(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.prometheus.run_upkeep();
        }
    }
}

/// Has everything in the first scrape that can be there before it happens.
fn begin() {
    begin_labelled_counters();
    counter!(POOL_TIMEOUTS).increment(0);
    counter!(CONFLICTS).increment(0);
    counter!(FLUSHES).increment(0);
    counter!(FLUSHED_POSTS).increment(0);
    gauge!(WAITING_CANDLES).set(0);
    gauge!(ACTIVE_REQUESTS).set(0);
    gauge!(POOL_PENDING).set(0);
    gauge!(WRITE_FAILING).set(0);
    drop(histogram!(POOL_WAIT));
}

fn describe() {
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time until the head of the answer.");
    describe_gauge!(ACTIVE_REQUESTS, "Requests being worked on.");
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "Time of operations of the store, waiting included.");
    describe_gauge!(POOL_CONNECTIONS, "Connections to the store.");
    describe_gauge!(POOL_MAX, "Most connections to the store.");
    describe_gauge!(POOL_PENDING, "Requests that wait for a connection to the store.");
    describe_counter!(POOL_TIMEOUTS, "Requests that got no connection to the store in time.");
    describe_histogram!(POOL_WAIT, Unit::Seconds, "Time that requests waited for a connection to the store.");
    describe_gauge!(WRITE_FAILING, "Whether the last write to the store failed.");
    describe_gauge!(WRITE_ERROR_TIME, Unit::Seconds, "When a write to the store last failed, in seconds since 1970.");
    describe_counter!(REJECTED, "Candles rejected, by the first rule that each broke.");
    describe_counter!(CONFLICTS, "Closed candles posted again with other values than what is stored.");
    describe_counter!(FLUSHES, "Groups of posts of few candles, each of which shares a statement.");
    describe_counter!(FLUSHED_POSTS, "Posts of few candles that were written in groups.");
    describe_gauge!(WAITING_CANDLES, "Candles of small posts that wait for a statement.");
    describe_gauge!(NEWEST_AGE, Unit::Seconds, "Seconds since the newest closed candle of a timeframe opened.");
    describe_gauge!(LIMITER_ADDRESSES, "Client addresses that the rate limiter remembers.");
    describe_gauge!(CONNECTIONS, "Connections of clients that are open.");
    describe_counter!(LOG_LINES_DROPPED, "Lines of the log that nobody read in time.");
    describe_gauge!(BUILD_INFO, "Always 1; the labels tell the build.");
}
