//! The names of all metrics, and the recorder that collects them.
//!
//! Names follow OpenTelemetry's semantic conventions in Prometheus' spelling, and start with `candlewick_` if those
//! have none. No label holds a symbol, a path or an address, so the number of series is bounded.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::ErrorCounter;

use super::REVISION;

/// Time until the head of the answer, by `http_request_method`, `http_route` and `http_response_status_code`, which is
/// 499 if the client disconnected before.
pub const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Requests in progress.
pub const ACTIVE_REQUESTS: &str = "http_server_active_requests";
/// Duration of store operations, by `db_operation_name` and, if they failed, `error_type`.
pub const OPERATION_DURATION: &str = "db_client_operation_duration_seconds";
/// Connections to the store, by `state`: `idle` or `used`.
pub const POOL_CONNECTIONS: &str = "db_client_connection_count";
/// Maximum number of connections to the store.
pub const POOL_MAX: &str = "db_client_connection_max";
/// Requests waiting for a connection.
pub const POOL_PENDING: &str = "db_client_connection_pending_requests";
/// Requests that timed out waiting for a connection.
pub const POOL_TIMEOUTS: &str = "db_client_connection_timeouts_total";
/// Time that requests waited for a connection.
pub const POOL_WAIT: &str = "db_client_connection_wait_time_seconds";
/// 1 if the last write to the store failed, else 0.
pub const WRITE_FAILING: &str = "candlewick_write_failing";
/// Time of the last failed write in epoch seconds, by `error_type`. Absent until a write fails.
pub const WRITE_ERROR_TIME: &str = "candlewick_last_write_error_timestamp_seconds";
/// Candles rejected, by `reason`: the first [`Rule`](candle::Rule) that each broke.
pub const REJECTED: &str = "candlewick_candles_rejected_total";
/// Closed candles posted again with values other than the stored ones.
pub const CONFLICTS: &str = "candlewick_candles_conflicting_total";
/// Groups of coalesced posts, each written in one statement or transaction unless one of its candles was refused.
pub const FLUSHES: &str = "candlewick_flushes_total";
/// Posts in these groups.
pub const FLUSHED_POSTS: &str = "candlewick_flushed_posts_total";
/// Stored candles that were added up into candles of a longer timeframe.
pub const RESAMPLED: &str = "candlewick_resampled_source_candles_total";
/// Candles of posts that wait for a group.
pub const WAITING_CANDLES: &str = "candlewick_waiting_candles";
/// Age of the newest closed candle by `timeframe`: seconds since it opened.
pub const NEWEST_AGE: &str = "candlewick_newest_candle_age_seconds";
/// Seconds since the moment of which the standby is known to hold everything. Absent without DATABASE_READ_URL.
pub const STANDBY_AGE: &str = "candlewick_standby_age_seconds";
/// Client addresses that the rate limiter tracks.
pub const LIMITER_ADDRESSES: &str = "candlewick_rate_limiter_addresses";
/// 1 while replicas share rate limits by Redis, 0 while this one limits alone. Absent where no Redis is configured.
pub const LIMITER_SHARED: &str = "candlewick_rate_limiter_shared";
/// Requests that this replica decided alone because Redis did not.
pub const LIMITER_FALLBACKS: &str = "candlewick_rate_limiter_fallbacks_total";
/// Open client connections, by `listener`: `public` or `admin`.
pub const CONNECTIONS: &str = "candlewick_connections_open";
/// Exports and reports under way.
pub const EXPORTS_ACTIVE: &str = "candlewick_exports_active";
/// Live streams that are open.
pub const STREAMS_ACTIVE: &str = "candlewick_live_streams";
/// Series that live streams follow.
pub const SERIES_WATCHED: &str = "candlewick_live_series";
/// Looks at the newest candles of the series that streams follow.
pub const LOOKS: &str = "candlewick_live_looks_total";
/// Streams that went on from the position of an earlier one.
pub const RESUMES: &str = "candlewick_live_resumes_total";
/// Jobs that this process works on.
pub const JOBS_RUNNING: &str = "candlewick_research_jobs_running";
/// Queued jobs in the database.
pub const JOBS_QUEUED: &str = "candlewick_research_jobs_queued";
/// Exported files in the database.
pub const FILES: &str = "candlewick_research_files";
/// Bytes of the exported files in the database.
pub const FILE_BYTES: &str = "candlewick_research_file_bytes";
/// Evaluations of the items that this process has finished.
pub const EVALUATIONS: &str = "candlewick_research_evaluations_total";
/// Jobs that were taken back from a process that no longer renewed its leases.
pub const JOBS_REQUEUED: &str = "candlewick_research_jobs_requeued_total";
/// Events that wait for their delivery to the webhook.
pub const WEBHOOK_WAITING: &str = "candlewick_webhook_events_waiting";
/// 1 while hints of other services arrive, else 0. Absent without LIVE_HINTS.
pub const HINTS_LISTENING: &str = "candlewick_live_hints_listening";
/// Log lines dropped because they were not read in time.
pub const LOG_LINES_DROPPED: &str = "candlewick_log_lines_dropped_total";
/// Always 1; its labels are the build's `version` and `revision`.
pub const BUILD_INFO: &str = "candlewick_build_info";

/// Defines counters with one label whose values are the variants of an enum, so that no other value can be counted and
/// all of them are registered at the start. `rate()` needs a previous sample, so a series born with its first event
/// would hide it.
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
                /// Adds `more` to the counter.
                pub fn count(self, more: u64) {
                    match self {
                        // One call for each variant, because constant labels cost nothing to make.
                        $(Self::$variant => counter!($metric, $label => $value).increment(more)),+
                    }
                }
            }
        )+

        fn register_labelled_counters() {
            $(
                describe_counter!($metric, $help.trim_start());
                $($counter::$variant.count(0);)+
            )+
        }
    };
}

counters! {
    /// Rows that this process added to the record of changes, by kind.
    Changes = "candlewick_changes_total" by "kind" {
        Correction = "correction",
        Deletion = "deletion",
        Retention = "retention",
    }
    /// Candles posted, by result.
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
    /// Requests refused by a rate limit.
    RateLimited = "candlewick_rate_limited_total" by "scope" {
        Ingest = "ingest",
        Query = "query",
        Research = "research",
        Anonymous = "anonymous",
        WrongKey = "wrong_key",
    }
    /// Reads that went to the standby, by whether it answered. The primary answers the others.
    StandbyReads = "candlewick_standby_reads_total" by "outcome" {
        Answered = "answered",
        Failed = "failed",
    }
    /// Requests refused for lack of capacity.
    Shed = "candlewick_load_shed_total" by "reason" {
        Requests = "requests",
        BodyMemory = "body_memory",
        AnswerMemory = "answer_memory",
        Exports = "exports",
        Streams = "streams",
        WriteQueue = "write_queue",
    }
    /// Exports that ended: whole, broken off by a failure, or left by the client or by a stop of the service.
    ExportsEnded = "candlewick_exports_total" by "result" {
        Finished = "finished",
        BrokenOff = "broken_off",
        Left = "left",
    }
    /// Jobs of research that ended in this process, by state.
    JobsEnded = "candlewick_research_jobs_total" by "state" {
        Done = "done",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    /// Events written to live streams.
    LiveEvents = "candlewick_live_events_total" by "event" {
        Candle = "candle",
        History = "history",
    }
    /// Events for the webhook: stored, delivered, attempts that failed, and events given up after three days.
    WebhookEvents = "candlewick_webhook_events_total" by "result" {
        Queued = "queued",
        Delivered = "delivered",
        Failed = "failed",
        GivenUp = "given_up",
    }
    /// Payloads of hints between services on one database, by whether they were sent, received, not sent, or no hints.
    Hints = "candlewick_live_hints_total" by "outcome" {
        Sent = "sent",
        Received = "received",
        Lost = "lost",
        Ignored = "ignored",
    }
    /// Client connections closed at once because there were too many.
    ConnectionsRefused = "candlewick_connections_refused_total" by "reason" {
        All = "all",
        Address = "address",
    }
    /// Client connections closed because the client was too slow.
    ConnectionsTimedOut = "candlewick_connections_timed_out_total" by "phase" {
        Head = "head",
        Answer = "answer",
    }
}

/// OpenTelemetry's buckets for request durations, and two below them, because most answers take less than 5 ms.
const DURATION_BUCKETS_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The interval at which samples are folded into buckets if there are no scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// All metrics since the start. Clones share them.
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
    /// Installs the recorder. The log counts `dropped_lines` itself. Without a recorder, counting costs nothing.
    ///
    /// # Errors
    /// When the process already has a recorder.
    pub fn install(dropped_lines: ErrorCounter) -> Result<Self, BuildError> {
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS_SECONDS)?
            .install_recorder()?;
        describe();
        register_at_zero();
        let process = metrics_process::Collector::default();
        process.describe();
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "revision" => REVISION).set(1.0);
        Ok(Self { prometheus, process, dropped_lines })
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        counter!(LOG_LINES_DROPPED).absolute(self.dropped_lines.dropped_lines() as u64);
        self.prometheus.render()
    }

    /// Bounds the memory of samples if there are no scrapes. Never returns.
    pub async fn maintain(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.prometheus.run_upkeep();
        }
    }
}

/// Registers every fixed series at zero, so that the first scrape already contains it.
fn register_at_zero() {
    register_labelled_counters();
    counter!(POOL_TIMEOUTS).increment(0);
    counter!(CONFLICTS).increment(0);
    counter!(FLUSHES).increment(0);
    counter!(FLUSHED_POSTS).increment(0);
    counter!(LIMITER_FALLBACKS).increment(0);
    counter!(RESAMPLED).increment(0);
    gauge!(WAITING_CANDLES).set(0);
    gauge!(ACTIVE_REQUESTS).set(0);
    gauge!(EXPORTS_ACTIVE).set(0);
    gauge!(WEBHOOK_WAITING).set(0);
    gauge!(STREAMS_ACTIVE).set(0);
    gauge!(SERIES_WATCHED).set(0);
    gauge!(JOBS_RUNNING).set(0);
    gauge!(JOBS_QUEUED).set(0);
    gauge!(FILES).set(0);
    gauge!(FILE_BYTES).set(0);
    counter!(EVALUATIONS).increment(0);
    counter!(JOBS_REQUEUED).increment(0);
    counter!(LOOKS).increment(0);
    counter!(RESUMES).increment(0);
    gauge!(POOL_PENDING).set(0);
    gauge!(WRITE_FAILING).set(0);
    drop(histogram!(POOL_WAIT));
}

fn describe() {
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time until the head of the answer.");
    describe_gauge!(ACTIVE_REQUESTS, "Requests in progress.");
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "Duration of store operations, including waits.");
    describe_gauge!(POOL_CONNECTIONS, "Connections to the store.");
    describe_gauge!(POOL_MAX, "Maximum number of connections to the store.");
    describe_gauge!(POOL_PENDING, "Requests waiting for a connection to the store.");
    describe_counter!(POOL_TIMEOUTS, "Requests that timed out waiting for a connection to the store.");
    describe_histogram!(POOL_WAIT, Unit::Seconds, "Time that requests waited for a connection to the store.");
    describe_gauge!(WRITE_FAILING, "1 if the last write to the store failed, else 0.");
    describe_gauge!(WRITE_ERROR_TIME, Unit::Seconds, "Time of the last failed write to the store, in epoch seconds.");
    describe_counter!(REJECTED, "Candles rejected, by the first rule that each broke.");
    describe_counter!(CONFLICTS, "Closed candles posted again with values other than the stored ones.");
    describe_counter!(FLUSHES, "Groups of posts, each of which shares a statement or a transaction.");
    describe_counter!(FLUSHED_POSTS, "Posts that were written in groups.");
    describe_gauge!(WAITING_CANDLES, "Candles of posts that wait for a group.");
    describe_counter!(RESAMPLED, "Stored candles that were added up into candles of a longer timeframe.");
    describe_gauge!(NEWEST_AGE, Unit::Seconds, "Seconds since the newest closed candle of a timeframe opened.");
    describe_gauge!(
        STANDBY_AGE,
        Unit::Seconds,
        "Seconds since the moment of which the standby is known to hold everything."
    );
    describe_gauge!(LIMITER_ADDRESSES, "Client addresses that the rate limiter tracks.");
    describe_gauge!(LIMITER_SHARED, "1 while replicas share rate limits by Redis, 0 while this one limits alone.");
    describe_counter!(LIMITER_FALLBACKS, "Requests that this replica decided alone because Redis did not.");
    describe_gauge!(EXPORTS_ACTIVE, "Exports and reports under way.");
    describe_gauge!(STREAMS_ACTIVE, "Live streams that are open.");
    describe_gauge!(SERIES_WATCHED, "Series that live streams follow.");
    describe_counter!(LOOKS, "Looks at the newest candles of the series that streams follow.");
    describe_counter!(RESUMES, "Streams that went on from the position of an earlier one.");
    describe_gauge!(JOBS_RUNNING, "Jobs that this process works on.");
    describe_gauge!(JOBS_QUEUED, "Queued jobs in the database.");
    describe_gauge!(FILES, "Exported files in the database.");
    describe_gauge!(FILE_BYTES, Unit::Bytes, "Bytes of the exported files in the database.");
    describe_counter!(EVALUATIONS, "Evaluations of the items of jobs that this process has finished.");
    describe_counter!(JOBS_REQUEUED, "Jobs that were taken back from a process that no longer renewed its leases.");
    describe_gauge!(WEBHOOK_WAITING, "Events that wait for their delivery to the webhook.");
    describe_gauge!(HINTS_LISTENING, "1 while hints of other services arrive, else 0.");
    describe_gauge!(CONNECTIONS, "Open client connections.");
    describe_counter!(LOG_LINES_DROPPED, "Log lines dropped because they were not read in time.");
    describe_gauge!(BUILD_INFO, "Always 1; the labels identify the build.");
}
