//! Other programs' tables on Postgres that cannot hold every candle: the refusal reports all problems at once, and
//! these tests run its advice as it is printed.

use sqlx::Executor;

use crate::harness::{Environment, NOW, PgDatabase, Service, TableLock, candle, plain_server, run};
use crate::postgres::{ADOPTED, prepare, scalar, unfit};
use crate::program::{Serving, folder};

const LOSSLESS: &str = "This mends it without losing anything: run: ";

/// A database whose table was made by `table`, a complete statement, and then changed.
async fn database(table: &str, changes: &str) -> PgDatabase {
    let database = PgDatabase::create(&plain_server()).await;
    database.execute(table).await;
    database.execute(changes).await;
    database
}

/// The statement that loses nothing according to the refusal.
fn lossless(refusal: &str) -> Option<&str> {
    refusal.lines().find_map(|line| line.strip_prefix(LOSSLESS))
}

/// The decisions that the refusal asks for.
fn questions(refusal: &str) -> Vec<&str> {
    refusal.lines().filter_map(|line| line.strip_prefix("Decide first: ")).collect()
}

/// The query that shows the rows in the way.
fn select(question: &str) -> &str {
    question.split("see them: ").nth(1).unwrap().trim_end_matches('.')
}

/// The statements that a question about volumes advises.
fn steps(question: &str) -> &str {
    question.split("run: ").nth(1).unwrap().split(" Rows in the way").next().unwrap()
}

/// Runs statements one by one on one connection, like a user who pastes them singly and ignores errors.
async fn execute_singly(database: &PgDatabase, steps: &str) {
    let mut connection = database.connect().await;
    for statement in steps.split_inclusive(';') {
        let _ = connection.execute(statement).await;
    }
}

/// Follows the advice that loses nothing, and checks that the table is accepted then.
async fn mended(database: &PgDatabase) -> String {
    let refusal = unfit(&database.url).await;
    assert!(questions(&refusal).is_empty(), "{refusal}");
    database.execute(lossless(&refusal).unwrap_or_else(|| panic!("{refusal}"))).await;
    is_taken(database).await;
    refusal
}

async fn is_taken(database: &PgDatabase) {
    let mut app = Service::start(&Environment::new(&database.url)).await;
    let is_new = app.ingest(&[candle(NOW - 3600), candle(NOW)]).await;
    assert_eq!(is_new, (1, 0, 1));
    assert_eq!(app.candles(&format!("&from={}", NOW - 3600)).await.json().as_array().unwrap().len(), 2);
    app.stop().await.unwrap();
}

const ROWS: &str =
    "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume) values
    ('EURUSD', 'H1', '2025-08-03T10:00:00Z', 1.08500, 1.08650, 1.08480, 1.08620, 1200),
    ('USDJPY', 'M1', '2025-08-03T11:00:00Z', 147.1, 147.25, 147, 147.2, 7);";

async fn rows(database: &PgDatabase) -> String {
    let rows = "select string_agg(concat_ws(' ', symbol, timeframe, extract(epoch from timestamp)::bigint, open, high, low, close,
        volume), '; ' order by timestamp) from market_data_candles where timestamp < '2025-09-01'";
    scalar(database, rows).await
}

#[test]
fn all_misfits_are_reported_at_once_with_one_statement_that_fixes_them() {
    run(async {
        let database = database(
            "create table market_data_candles (
                id integer primary key, symbol varchar(10), timeframe char(4) not null, timestamp timestamptz(3) not null,
                open numeric(18,8) not null, high numeric(18,8) not null, low numeric(18,8), close money not null,
                volume integer not null, spread double precision, broker text not null)",
            "insert into market_data_candles values
                (1, 'EURUSD', 'H1', '2025-08-03T10:00:00Z', 1.085, 1.0865, 1.0848, 1.08, 1200, 0.5, 'one'),
                (2, 'EURUSD', 'H1', '2025-08-03T11:00:00Z', 1.085, 1.0865, 1.0848, 1.08, 7, null, 'two')",
        )
        .await;
        let refusal = mended(&database).await;
        for misfit in [
            "symbol is character varying(10), not text",
            "symbol may be null",
            "timeframe is character(4), not text",
            "timestamp is timestamp(3) with time zone",
            "open is numeric(18,8), not numeric",
            "high is numeric(18,8)",
            "low is numeric(18,8)",
            "low may be null",
            "close is money",
            "volume is integer, not bigint",
            "the column id must be given",
            "the column broker must be given",
            "no unique key on (symbol, timeframe, timestamp)",
        ] {
            assert!(refusal.contains(misfit), "{misfit}: {refusal}");
        }
        assert_eq!(
            rows(&database).await,
            "EURUSD H1 1754215200 1.08500000 1.08650000 1.08480000 1.08 1200; \
             EURUSD H1 1754218800 1.08500000 1.08650000 1.08480000 1.08 7"
        );
    });
}

#[test]
fn lossless_changes_are_advised_as_one_statement() {
    run(async {
        let key = "alter table market_data_candles drop constraint market_data_candles_symbol_timeframe_timestamp_key";
        for (change, misfit) in [
            ("alter table market_data_candles alter column open type numeric(18, 5)", "open is numeric(18,5)"),
            ("alter table market_data_candles alter column close type double precision", "close is double precision"),
            ("alter table market_data_candles alter column close type real", "close is real"),
            ("alter table market_data_candles alter column high type text", "high is text"),
            ("alter table market_data_candles alter column symbol type varchar(10)", "character varying(10)"),
            ("alter table market_data_candles alter column timeframe type char(5)", "character(5)"),
            ("alter table market_data_candles alter column timeframe type name", "timeframe is name"),
            ("alter table market_data_candles alter column volume type smallint", "is smallint"),
            ("alter table market_data_candles alter column volume type numeric(20, 2)", "is numeric(20,2)"),
            ("alter table market_data_candles alter column volume type double precision", "is double precision"),
            ("alter table market_data_candles alter column volume type text", "volume is text"),
            (
                "alter table market_data_candles alter column timestamp type timestamptz(0)",
                "timestamp(0) with time zone",
            ),
            ("alter table market_data_candles alter column close drop not null", "close may be null"),
            (
                "alter table market_data_candles add column broker text not null default 'x';
              alter table market_data_candles alter column broker drop default",
                "column broker must be given",
            ),
            ("alter table market_data_candles alter column id drop default", "column id must be given"),
            (key, "no unique key"),
            (
                &format!("{key}; create unique index on market_data_candles (timestamp, symbol, timeframe)"),
                "no unique key",
            ),
            (
                &format!("{key}; alter table market_data_candles add unique (symbol, timeframe, timestamp) deferrable"),
                "no unique key",
            ),
            (
                "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 alter table market_data_candles alter column symbol type text collate blind",
                "the collation of symbol treats different texts as equal",
            ),
            (
                &format!(
                    "{key}; alter table market_data_candles drop column volume;
                     alter table market_data_candles add column volume bigint not null generated always as (7) stored;
                     alter table market_data_candles add unique (symbol, timeframe, timestamp)"
                ),
                "volume is generated",
            ),
        ] {
            let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
            let before = rows(&database).await;
            let tables = "select count(*)::text from pg_tables where schemaname = 'public'";
            assert!(unfit(&database.url).await.contains(misfit), "{change}");
            assert_eq!(scalar(&database, tables).await, "1", "nothing was made");
            mended(&database).await;
            assert_eq!(plain(&rows(&database).await), plain(&before), "{change}");
        }
    });
}

/// Without the blanks and zeros that fixed lengths and scales pad with.
fn plain(rows: &str) -> String {
    rows.split_whitespace()
        .map(|field| field.trim_end_matches(';').trim_end_matches(".00").to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn fractional_volumes_are_never_advised_to_be_rounded() {
    run(async {
        let change = "alter table market_data_candles alter column volume type numeric;
            update market_data_candles set volume = 1.5 where symbol = 'EURUSD';
            alter table market_data_candles alter column open type numeric(20, 10)";
        let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
        let refusal = unfit(&database.url).await;
        let statement = lossless(&refusal).unwrap();
        assert!(statement.contains("\"open\"") && !statement.contains("volume"), "{refusal}");
        let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
        assert!(question.contains("Rows in the way: 1, such as (1,EURUSD,H1,"), "{question}");
        assert_eq!(database.connect().await.fetch_all(select(question)).await.unwrap().len(), 1);
        database.execute(statement).await;
        // After the advised statements, the exact volume remains under another name.
        database.execute(steps(question)).await;
        is_taken(&database).await;
        let kept = "select string_agg(exact_volume || ' ' || volume, ', ' order by symbol) from market_data_candles
            where exact_volume is not null";
        assert_eq!(scalar(&database, kept).await, "1.5 2, 7 7");

        for value in ["'NaN'", "1e20", "-1e20", "9223372036854775808"] {
            let beyond = crate::adopting::database(
                ADOPTED,
                &format!(
                    "{ROWS} alter table market_data_candles alter column volume type numeric;
                     update market_data_candles set volume = {value} where symbol = 'EURUSD'"
                ),
            )
            .await;
            let refusal = unfit(&beyond.url).await;
            assert!(lossless(&refusal).is_none() && refusal.contains("Rows in the way: 1"), "{value}: {refusal}");
        }
    });
}

/// Volumes as `exact -> volume`, by symbol.
async fn volumes(database: &PgDatabase, exact: &str) -> String {
    let volumes = format!(
        "select string_agg(coalesce({exact}::text, 'null') || ' -> ' || coalesce(volume::text, 'null'), ', ' order by symbol)
         from market_data_candles where symbol like 'X%'"
    );
    scalar(database, &volumes).await
}

#[test]
fn volumes_that_are_not_whole_numbers_survive_the_advised_statements() {
    run(async {
        let not_whole =
            ["1.5", "2", "'NaN'", "null", "'Infinity'", "'-Infinity'", "1e19", "9223372036854775807.6", "-2.5"];
        let numeric = "1.5 -> 2, 2 -> 2, NaN -> 0, null -> 0, Infinity -> 0, -Infinity -> 0, 10000000000000000000 -> 0, \
                       9223372036854775807.6 -> 0, -2.5 -> -3";
        let binary = "1.5 -> 2, 2 -> 2, NaN -> 0, null -> 0, Infinity -> 0, -Infinity -> 0, 1e+19 -> 0, \
                      9.223372036854776e+18 -> 0, -2.5 -> -2";
        let single = "1.5 -> 2, 1.6777216e+07 -> 16777216, null -> 0";
        for (kind, values, expected) in [
            ("numeric default 0", &not_whole[..], numeric),
            ("double precision", &not_whole, binary),
            // More digits than a cast to numeric keeps.
            ("real", &["1.5", "16777216", "null"], single),
            ("money", &["1.5", "null"], "$1.50 -> 2, null -> 0"),
        ] {
            for is_singly in [false, true] {
                let table = ADOPTED.replace("volume bigint not null", &format!("volume {kind}"));
                let row = |(n, value): (usize, &&str)| {
                    format!(
                        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                         values ('X{n}', 'H1', '2025-08-03T10:00:00Z', 1, 1, 1, 1, {value});"
                    )
                };
                let rows: String = values.iter().enumerate().map(row).collect();
                let database = database(&table, &rows).await;
                let refusal = unfit(&database.url).await;
                let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
                if is_singly {
                    execute_singly(&database, steps(question)).await;
                } else {
                    database.execute(steps(question)).await;
                }
                is_taken(&database).await;
                assert_eq!(volumes(&database, "exact_volume").await, expected, "{kind}");
                let invented = "select count(exact_volume)::text from market_data_candles where symbol = 'EURUSD'";
                assert_eq!(scalar(&database, invented).await, "0", "a default was taken for a candle's volume");
            }
        }
    });
}

#[test]
fn volume_advice_that_fails_halfway_changes_nothing() {
    run(async {
        // The trigger raises at the step that sets volume to not null.
        let change = "alter table market_data_candles alter column volume type numeric;
            update market_data_candles set volume = 1.5 where symbol = 'EURUSD';
            create function refuse() returns event_trigger language plpgsql as $$
                begin
                    if (select count(*) from pg_attribute where attrelid = 'market_data_candles'::regclass
                        and attname in ('volume', 'exact_volume') and attnotnull) = 1
                        and exists (select from pg_attribute where attrelid = 'market_data_candles'::regclass
                        and attname = 'exact_volume') then raise exception 'no'; end if;
                end $$;
            create event trigger refuse on ddl_command_end execute function refuse()";
        let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
        let before = rows(&database).await;
        let refusal = unfit(&database.url).await;
        let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
        execute_singly(&database, steps(question)).await;
        assert_eq!(rows(&database).await, before);
        assert_eq!(unfit(&database.url).await, refusal);
    });
}

#[test]
fn volumes_in_a_renamed_column_are_found_and_restored() {
    run(async {
        let renamed = "alter table market_data_candles alter column volume type numeric;
            update market_data_candles set volume = 'NaN' where symbol = 'USDJPY';
            alter table market_data_candles rename column volume to exact_volume;";
        let added =
            "alter table market_data_candles alter column exact_volume drop not null, add column volume bigint;";
        let in_part = "update market_data_candles set volume = 7 where symbol = 'USDJPY';";
        for (left, expected) in [
            (renamed.to_owned(), "1200 -> 1200, NaN -> 0"),
            (format!("{renamed} {added}"), "1200 -> 1200, NaN -> 0"),
            (format!("{renamed} {added} {in_part}"), "1200 -> 1200, NaN -> 7"),
        ] {
            let database = database(ADOPTED, &format!("{ROWS} {left}")).await;
            let refusal = unfit(&database.url).await;
            let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
            assert!(question.contains("exact_volume may hold"), "{question}");
            execute_singly(&database, steps(question)).await;
            is_taken(&database).await;
            database
                .execute("update market_data_candles set symbol = 'X' || symbol where timestamp < '2025-09-01'")
                .await;
            assert_eq!(volumes(&database, "exact_volume").await, expected, "{left}");
        }

        // An existing column of that name is not touched.
        let change =
            "alter table market_data_candles alter column volume type numeric, add column exact_volume numeric;
            update market_data_candles set volume = 1.5, symbol = 'X' || symbol";
        let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
        let refusal = unfit(&database.url).await;
        let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
        database.execute(steps(question)).await;
        is_taken(&database).await;
        assert_eq!(volumes(&database, "exact_volume").await, "null -> 2, null -> 2");
        assert_eq!(volumes(&database, "exact_volume_2").await, "1.5 -> 2, 1.5 -> 2");
    });
}

#[test]
fn binary_prices_that_are_not_numbers_are_kept_as_they_are() {
    run(async {
        for kind in ["double precision", "real"] {
            let change = format!(
                "alter table market_data_candles alter column close type {kind}, alter column high type {kind};
                 update market_data_candles set close = 'NaN', high = 'Infinity' where symbol = 'EURUSD'"
            );
            let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
            mended(&database).await;
            assert!(rows(&database).await.starts_with("EURUSD H1 1754215200 1.08500 Infinity 1.08480 NaN 1200;"));
        }
        // A text that no numeric can hold is not part of the statement that loses nothing.
        let change = "alter table market_data_candles alter column close type text using close::text;
            update market_data_candles set close = '1e999999' where symbol = 'EURUSD'";
        let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
        let refusal = unfit(&database.url).await;
        assert!(lossless(&refusal).is_none() && refusal.contains("Rows in the way: 1"), "{refusal}");
    });
}

#[test]
fn the_owner_chooses_whether_binary_prices_are_rounded() {
    run(async {
        for (using, expected) in [("::text::numeric", "1.0850000000000002"), ("\"close\"::numeric", "1.085")] {
            let change = "alter table market_data_candles alter column close type double precision;
                update market_data_candles set close = 1.0850000000000002 where symbol = 'EURUSD'";
            let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
            let refusal = unfit(&database.url).await;
            let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
            assert!(lossless(&refusal).is_none() && question.contains("Rows in the way: 1"), "{refusal}");
            let mut advised = question.split("run: ").skip(1);
            let statement = advised.find(|statement| statement.contains(using)).unwrap();
            database.execute(statement.split([';', '.']).next().unwrap()).await;
            is_taken(&database).await;
            let close =
                "select close::text from market_data_candles where symbol = 'EURUSD' and timestamp < '2025-09-01'";
            assert_eq!(scalar(&database, close).await, expected);
        }
    });
}

#[test]
fn the_owner_is_asked_for_the_zone_of_times_without_one() {
    run(async {
        for (kind, using, advised) in [
            ("timestamp", "timestamp at time zone 'UTC'", "at time zone 'UTC'"),
            ("timestamp(0)", "timestamp at time zone 'UTC'", "at time zone 'UTC'"),
            ("bigint", "extract(epoch from timestamp)::bigint", "to_timestamp(\"timestamp\")"),
            ("bigint", "(extract(epoch from timestamp) * 1000)::bigint", "/ 1000.0)"),
            (
                "text",
                "to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
                "::timestamp at time zone 'UTC'",
            ),
            ("text", "to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", "::timestamptz"),
        ] {
            let change = format!("alter table market_data_candles alter column timestamp type {kind} using {using}");
            let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
            let refusal = unfit(&database.url).await;
            let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
            assert!(lossless(&refusal).is_none() && question.contains("Its newest value is "), "{refusal}");
            let statements = question.split("run: ").skip(1);
            let statement = statements.map(|statement| statement.split([';']).next().unwrap());
            let statement =
                statement.map(|statement| statement.trim_end_matches('.')).find(|text| text.ends_with(advised));
            database.execute(statement.unwrap_or_else(|| panic!("{question}"))).await;
            is_taken(&database).await;
            assert!(rows(&database).await.starts_with("EURUSD H1 1754215200 "), "{kind}");
        }
        let change =
            "delete from market_data_candles; alter table market_data_candles alter column timestamp type date";
        let database = database(ADOPTED, change).await;
        assert!(unfit(&database.url).await.contains("has no time zone"));
    });
}

#[test]
fn conflicting_rows_are_counted_and_a_query_shows_them() {
    run(async {
        let key = "alter table market_data_candles drop constraint market_data_candles_symbol_timeframe_timestamp_key";
        let nulls = "alter table market_data_candles alter column close drop not null;
            update market_data_candles set close = null where symbol = 'EURUSD'";
        let twice = format!("{key}; {ROWS}");
        let words = "alter table market_data_candles alter column close type text using close::text;
            update market_data_candles set close = '#N/A' where symbol = 'EURUSD'";
        for (change, misfit, mend) in [
            (nulls, "close may be null", "delete from market_data_candles where close is null"),
            (&twice, "no unique key", "delete from market_data_candles where id > 2"),
            (words, "close is text", "delete from market_data_candles where close = '#N/A'"),
        ] {
            let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
            let refusal = unfit(&database.url).await;
            let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
            assert!(refusal.contains(misfit) && lossless(&refusal).is_none(), "{refusal}");
            let in_the_way = database.connect().await.fetch_all(select(question)).await.unwrap().len();
            assert!(
                in_the_way > 0 && question.contains(&format!("Rows in the way: {in_the_way}, such as (")),
                "{question}"
            );
            database.execute(mend).await;
            mended(&database).await;
        }
    });
}

#[test]
fn a_table_too_large_to_scan_in_time_is_refused_with_queries_to_run() {
    run(async {
        let change = "alter table market_data_candles alter column volume type numeric;
            alter table market_data_candles alter column close type double precision";
        let database = database(ADOPTED, &format!("{ROWS} {change}")).await;
        let lock = TableLock::take(&database).await;
        let refusal = unfit(&database.url).await;
        lock.release().await;
        assert_eq!(questions(&refusal).len(), 2, "{refusal}");
        for question in questions(&refusal) {
            assert!(question.contains("could not be looked through within 2 s"), "{question}");
            let found = select(question).split(". If there are none").next().unwrap();
            assert!(database.connect().await.fetch_all(found).await.unwrap().is_empty());
            database.execute(question.rsplit("run: ").next().unwrap().trim_end_matches('.')).await;
        }
        is_taken(&database).await;
    });
}

#[test]
fn a_missing_column_is_added_only_where_no_row_needs_a_value() {
    run(async {
        let drop = "alter table market_data_candles drop column volume";
        let empty = database(ADOPTED, drop).await;
        assert!(mended(&empty).await.contains("the column volume is missing"));
        let full =
            database(ADOPTED, &format!("{ROWS} alter table market_data_candles rename column volume to vol")).await;
        let refusal = unfit(&full.url).await;
        let [question] = questions(&refusal)[..] else { panic!("{refusal}") };
        assert!(question.starts_with("volume is missing"), "{refusal}");
        let rename = question.split("run: ").nth(1).unwrap().split(';').next().unwrap().replace("OTHER", "vol");
        full.execute(&rename).await;
        is_taken(&full).await;
    });
}

#[test]
fn views_and_policies_that_depend_on_a_column_are_named() {
    run(async {
        let change = "create view recent as select symbol from market_data_candles;
            create policy mine on market_data_candles for select using (symbol = 'EURUSD')";
        let table = ADOPTED.replace("symbol text", "symbol varchar(10)");
        let database = database(&table, change).await;
        let refusal = unfit(&database.url).await;
        assert!(
            refusal.contains("view recent") && refusal.contains("policy mine on table market_data_candles"),
            "{refusal}"
        );
        database.execute("drop view recent; drop policy mine on market_data_candles").await;
        mended(&database).await;
    });
}

#[test]
fn a_view_is_refused_as_a_table() {
    run(async {
        let table = ADOPTED.replace("market_data_candles", "mine");
        let database = database(&table, "create view market_data_candles as select * from mine").await;
        let refusal = unfit(&database.url).await;
        assert!(refusal.contains("is not a table"), "{refusal}");
        database.execute("alter view market_data_candles rename to candles_of_mine").await;
        prepare(&database.url, true).await.unwrap();
    });
}

#[test]
fn unreachable_series_are_reported_with_the_statements_that_fix_them() {
    run(async {
        let table = database(ADOPTED, ROWS).await;
        for (symbol, timeframe, hour) in [
            ("EURUSD", "1h", 10),
            ("EURUSD", "1h", 11),
            ("EURUSD", "h1", 12),
            ("GBPUSD", "60", 10),
            ("O''Neil", "1d", 10),
            (" AUDUSD", "H1", 10),
            ("NZDUSD", "fortnight", 10),
            ("AUDUSD\t", "D1", 10),
            ("A\u{200b}", "D1", 10),
            // After more series than one step reads.
            ("ZAR", "D", 10),
        ] {
            table
                .execute(&format!(
                    "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                     values ('{symbol}', '{timeframe}', '2025-08-03T{hour}:00:00Z', 1, 1, 1, 1, 1)"
                ))
                .await;
        }
        let others = "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            select 'S' || n, 'M1', '2025-08-03T10:00:00Z', 1, 1, 1, 1, 1 from generate_series(1, 1100) n";
        table.execute(others).await;
        let place = folder();
        let mut serving = Serving::on(place.path(), &table.url);
        serving.line_with("41e2808b");
        serving.signal("TERM");
        let (code, log) = serving.end();
        assert_eq!(code, Some(0), "{log}");
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("nobody can ask for")).collect();
        assert_eq!(warnings.len(), 9, "{log}");
        let (mended, unknown): (Vec<&str>, Vec<&str>) =
            warnings.into_iter().partition(|line| line.contains(": update "));
        assert_eq!(mended.len(), 7, "{log}");
        assert!(unknown[0].contains("'fortnight'") && unknown[1].contains("'41e2808b'"), "{unknown:?}");
        for warning in mended {
            assert!(warning.contains("as the table's owner"), "{warning}");
            table.execute(&warning[warning.find("update ").unwrap()..]).await;
        }
        let names = "select string_agg(symbol || ' ' || timeframe || ' ' || extract(hour from timestamp at time zone 'UTC'), ', '
            order by symbol collate \"C\", timeframe collate \"C\", timestamp) from market_data_candles where symbol !~ '^S[0-9]'";
        assert_eq!(
            scalar(&table, names).await,
            "AUDUSD D1 10, AUDUSD H1 10, A\u{200b} D1 10, EURUSD 1h 10, EURUSD H1 10, EURUSD H1 11, EURUSD H1 12, GBPUSD H1 10, NZDUSD fortnight 10, \
             O'Neil D1 10, USDJPY M1 11, ZAR D1 10",
            "what could collide stays as it is"
        );
    });
}

#[test]
fn the_scan_for_unreachable_series_times_out_and_delays_nothing() {
    run(async {
        let table = database(ADOPTED, ROWS).await;
        prepare(&table.url, true).await.unwrap();
        let lock = TableLock::take(&table).await;
        let place = folder();
        let mut serving = Serving::on(place.path(), &table.url);
        assert!(!serving.printed.contains("was cut after"));
        serving.line_with("nobody can ask for was cut");
        lock.release().await;
    });
}
