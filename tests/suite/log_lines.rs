//! Every log line that is written while the service works on a request names the request, and gives a cause once.

use candlewick::config::LogFormat;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Executor as _, SqlitePool};
use tempfile::TempDir;

use crate::engine::{Engine, leave_out_on};
use crate::harness::{
    Database, KEY, NOW, PgDatabase, StoreKind, TOKEN, TableLock, both_store_kinds, candle, eventually, run, send, with,
};
use crate::program::{Serving, folder, output, program};

const HOUR: i64 = 3600;
const FORMATS: [LogFormat; 2] = [LogFormat::Text, LogFormat::Json];

/// A line of the log, in either format.
struct Line {
    text: String,
    /// The fields of a line in JSON.
    fields: Value,
}

impl Line {
    /// Checks that the line has a text field of this value, and contains its name once.
    #[track_caller]
    fn has(&self, field: &str, value: &str) {
        let name = if self.fields.is_null() { format!("{field}=") } else { format!("\"{field}\":") };
        assert_eq!(self.text.matches(&name).count(), 1, "{field} in {}", self.text);
        if self.fields.is_null() {
            assert!(self.text.contains(&format!("{field}={value:?}")), "{field} {value} in {}", self.text);
        } else {
            assert_eq!(self.fields[field], value, "{field} in {}", self.text);
        }
    }
}

/// A service in a process of its own that logs in `format`, down to the last retry.
struct Logging {
    serving: Serving,
    format: LogFormat,
    _folder: TempDir,
}

impl Logging {
    fn start(database: &Database, format: LogFormat) -> Self {
        let format_name = if format == LogFormat::Json { "json" } else { "text" };
        let url = database.url();
        let variables = [
            ("PORT", "0"),
            ("DATABASE_URL", &*url),
            ("MT5_API_KEY", KEY),
            ("INTERNAL_API_TOKEN", TOKEN),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("LOG_LEVEL", "debug"),
            ("LOG_FORMAT", format_name),
        ];
        let folder = folder();
        let mut serving = Serving::start(folder.path(), &variables);
        serving.is_ready();
        Self { serving, format, _folder: folder }
    }

    /// The next line that contains `text`.
    fn line_with(&mut self, text: &str) -> Line {
        let text = self.serving.line_with(text);
        let fields = match self.format {
            LogFormat::Json => serde_json::from_str(&text).unwrap(),
            LogFormat::Text => Value::Null,
        };
        Line { text, fields }
    }

    async fn metrics(&self) -> String {
        let (_, admin) = self.serving.printed.split_once("admin").unwrap();
        let address: String =
            admin.chars().skip_while(|c| !c.is_ascii_digit()).take_while(|c| "0123456789.:".contains(*c)).collect();
        send(reqwest::Client::new().get(format!("http://{address}/metrics"))).await.body
    }

    /// A post of candles with a request id.
    fn post(&self, id: &str, candles: &[Value]) -> reqwest::RequestBuilder {
        let post = reqwest::Client::new().post(format!("{}/api/v1/candles", self.serving.url));
        let body = json!({ "candles": candles }).to_string();
        post.header("X-API-KEY", KEY).header("x-request-id", id).body(body)
    }
}

/// Refuses one symbol by a foreign trigger.
async fn refuse_a_symbol(database: &Database) {
    match database {
        Database::Sqlite(_) => {
            let pool = SqlitePool::connect(&database.url()).await.unwrap();
            let trigger = "create trigger refuse before insert on market_data_candles
                when new.symbol = 'REFUSED' begin select raise(abort, 'not this one'); end";
            pool.execute(trigger).await.unwrap();
            pool.close().await;
        }
        Database::Postgres(database) => {
            let constraint = "alter table market_data_candles add constraint not_this_one check (symbol <> 'REFUSED')";
            database.execute(constraint).await;
        }
    }
}

/// Makes the server cancel the `number`th statement that inserts, as another transaction may.
async fn cancel_insert(database: &PgDatabase, number: u32) {
    let sql = format!(
        "create sequence inserts;
         create function cancel() returns trigger language plpgsql as $$ begin
             if nextval('inserts') = {number} then raise exception 'in the way' using errcode = '40001'; end if;
             return null;
         end $$;
         create trigger cancel before insert on market_data_candles for each statement execute function cancel()"
    );
    database.execute(&sql).await;
}

fn on_postgres(database: &Database) -> &PgDatabase {
    match database {
        Database::Postgres(database) => database,
        Database::Sqlite(_) => panic!("a test on Postgres"),
    }
}

#[apply(both_store_kinds)]
fn a_refusal_is_logged_once_with_its_cause(kind: StoreKind) {
    let parts = "the server names the chunk or the shard in place of the table";
    if kind == StoreKind::Postgres && leave_out_on(&[Engine::Timescale, Engine::Citus], parts) {
        return;
    }
    run(async {
        let cause = match kind {
            StoreKind::Sqlite => "the database refuses a candle: not this one (SQLite's code 1811)",
            StoreKind::Postgres => {
                "the database refuses a candle: error returned from database: new row for relation \
                 \"market_data_candles\" violates check constraint \"not_this_one\""
            }
        };
        let database = kind.database().await;
        for format in FORMATS {
            let mut service = Logging::start(&database, format);
            if format == LogFormat::Text {
                refuse_a_symbol(&database).await;
            }
            let refused = with(candle(NOW - 2 * HOUR), json!({"symbol": "REFUSED"}));
            send(service.post("refused-1", &[refused])).await.problem(422, "invalid_values");
            let line = service.line_with("refused-1");
            line.has("request_id", "refused-1");
            line.has("cause", cause);
        }
    });
}

/// The problem is found on a blocking thread, in a transaction that several waiting posts may share.
#[test]
fn a_line_about_the_file_names_the_post_that_met_it() {
    run(async {
        for format in FORMATS {
            let database = Database::sqlite();
            let mut service = Logging::start(&database, format);
            let Database::Sqlite(folder) = &database else { unreachable!() };
            let (path, elsewhere) = (folder.path().join("test.db"), folder.path().join("moved.db"));
            // Housekeeping checks the file too, and only the first check that misses it writes the line.
            for attempt in 1.. {
                send(service.post("stored", &[candle(NOW - 2 * HOUR)])).await.counts(1);
                let id = format!("lost-{attempt}");
                std::fs::rename(&path, &elsewhere).unwrap();
                send(service.post(&id, &[candle(NOW - 3 * HOUR)])).await.problem(503, "unavailable");
                let line = service.line_with("is not where it was");
                service.line_with("\"POST\"").has("request_id", &id);
                std::fs::rename(&elsewhere, &path).unwrap();
                if line.text.contains("request_id") {
                    line.has("request_id", &id);
                    line.has("operation", "append");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_retry_names_its_request_after_the_client_disconnected() {
    run(async {
        for format in FORMATS {
            let database = Database::postgres().await;
            let mut service = Logging::start(&database, format);
            cancel_insert(on_postgres(&database), 1).await;
            send(service.post("retry-1", &[candle(NOW - 2 * HOUR)])).await.counts(1);
            let line = service.line_with("trying the statement again");
            line.has("request_id", "retry-1");
            line.has("operation", "append");
            line.has("cause", "error returned from database: in the way");

            // More candles than share a statement with other posts.
            let many: Vec<_> = (3..153).map(|hours| candle(NOW - hours * HOUR)).collect();
            on_postgres(&database).execute("alter sequence inserts restart").await;
            let mut lock = TableLock::take(on_postgres(&database)).await;
            tokio::select! {
                answer = service.post("retry-2", &many).send() => panic!("{answer:?}"),
                () = lock.is_awaited() => {}
            }
            service.line_with("the client left before its answer").has("request_id", "retry-2");
            lock.release().await;
            let line = service.line_with("trying the statement again");
            line.has("request_id", "retry-2");
            line.has("operation", "append");
        }
    });
}

#[test]
fn a_statement_for_several_posts_names_all_of_them() {
    run(async {
        for format in FORMATS {
            // On a busy machine the first post may give up its wait for the lock before the others are in the queue.
            while !posts_of_one_statement_are_named(format).await {}
        }
    });
}

/// True once two posts have shared a statement behind one that waited for a lock.
async fn posts_of_one_statement_are_named(format: LogFormat) -> bool {
    let database = Database::postgres().await;
    let mut service = Logging::start(&database, format);
    cancel_insert(on_postgres(&database), 2).await;
    let mut lock = TableLock::take(on_postgres(&database)).await;
    let post = |id: &'static str, hours: i64| tokio::spawn(send(service.post(id, &[candle(NOW - hours * HOUR)])));
    let mut first = post("first", 2);
    lock.is_awaited().await;
    let others = [post("second", 3), post("third", 4)];
    tokio::select! {
        () = eventually(async || service.metrics().await.contains("\ncandlewick_waiting_candles 2\n")) => {}
        _ = &mut first => return false,
    }
    lock.release().await;
    for post in std::iter::once(first).chain(others) {
        post.await.unwrap().counts(1);
    }
    let line = service.line_with("trying the statement again");
    line.has("operation", "append");
    assert!(line.text.contains("request_ids"), "{}", line.text);
    assert!(line.text.contains("\"second\"") && line.text.contains("\"third\""), "{}", line.text);
    assert!(!line.text.contains("first"), "{}", line.text);
    true
}

#[test]
fn a_fatal_error_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = folder();
    let (code, _, errors) = output(&mut program(folder.path(), &[("PORT", &port)]));
    let start = format!("Cannot listen on 127.0.0.1:{port}: ");
    let end = "; free the port, or set BIND_ADDR and PORT to one of this machine.\n";
    assert!(code == 1 && errors.starts_with(&start) && errors.ends_with(end), "{errors}");
    assert_eq!(errors.matches("os error").count(), 1, "{errors}");

    let nobody = ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d");
    let (code, _, errors) = output(program(folder.path(), &[nobody]).arg("migrate"));
    let said = "The database is unavailable: 127.0.0.1:1 refuses connections; start the server, or correct host and port in \
                DATABASE_URL.\n";
    assert_eq!((code, &*errors), (1, said));
}
