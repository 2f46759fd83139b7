//! Postgres copies some batches instead of inserting them, and the answers do not show it.

use serde_json::{Value, json};

use crate::harness::{Environment, NOW, PgDatabase, Service, TableLock, candle, plain_server, run};

/// Records the command that stores candles.
const WATCH: &str = "
    create table commands (position serial, command text);
    create function note_command() returns trigger language plpgsql as $$
    begin
        insert into commands (command) values (split_part(ltrim(current_query(), E' \\n'), ' ', 1));
        return null;
    end $$;
    create trigger watch after insert on market_data_candles for each statement execute function note_command()";

/// `count` hours, oldest first, the first of which began `ago` hours ago.
fn hours(ago: i64, count: i64) -> Vec<Value> {
    (0..count).map(|n| candle(NOW - (ago - n) * 3600)).collect()
}

struct Watched {
    database: PgDatabase,
    service: Service,
}

impl Watched {
    async fn start() -> Self {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url)).await;
        database.execute(WATCH).await;
        Self { database, service }
    }

    /// Posts candles; returns the number of new ones and the commands that stored them.
    async fn post(&self, candles: &[Value]) -> (u64, String) {
        let (added, duplicate, live) = self.service.ingest(candles).await;
        assert_eq!(added + duplicate + live, candles.len() as u64);
        let commands = "with taken as (delete from commands returning *)
            select coalesce(string_agg(command, ' ' order by position), '') from taken";
        (added, sqlx::query_scalar(commands).fetch_one(&mut self.database.connect().await).await.unwrap())
    }

    /// Deletes the commands that were recorded so far.
    async fn forget(&self) {
        self.database.execute("truncate commands").await;
    }

    async fn stored(&self) -> i64 {
        let count = "select count(*) from market_data_candles";
        sqlx::query_scalar(count).fetch_one(&mut self.database.connect().await).await.unwrap()
    }
}

#[test]
fn batches_next_to_the_written_range_are_copied() {
    run(async {
        let watched = Watched::start().await;
        let insert = |added: u64| (added, "insert".to_owned());
        let copy = |added: u64| (added, "copy".to_owned());
        assert_eq!(watched.post(&hours(5000, 300)).await, insert(300), "nothing is known of the series yet");
        assert_eq!(watched.post(&hours(4700, 300)).await, copy(300), "newer");
        assert_eq!(watched.post(&hours(5300, 300)).await, copy(300), "older: a terminal walks back into history");
        assert_eq!(watched.post(&hours(4400, 100)).await, insert(100), "few");
        let other = |mut candle: Value| {
            candle["symbol"] = "GBPUSD".into();
            candle
        };
        let both: Vec<_> = hours(4300, 300).into_iter().chain(hours(4300, 300).into_iter().map(other)).collect();
        assert_eq!(watched.post(&both).await, insert(600), "one of two series is not known");
        let forming: Vec<_> = hours(299, 300);
        assert_eq!(watched.post(&forming).await.1, "with", "one is still forming");
        assert_eq!(watched.post(&hours(4001, 300)).await, insert(299), "the first one is stored");
        assert_eq!(
            watched.post(&hours(3701, 300)).await,
            insert(300),
            "after a duplicate nothing is expected for a while"
        );
        assert_eq!(watched.stored().await, 300 * 3 + 100 + 600 + 299 + 299 + 300);
        let digits = "select distinct concat_ws(' ', open, high, low, close, volume) from market_data_candles";
        let digits: String = sqlx::query_scalar(digits).fetch_one(&mut watched.database.connect().await).await.unwrap();
        assert_eq!(digits, "1.08500 1.08650 1.08480 1.08620 1200", "copied or inserted");
    });
}

/// Prices of every form and the stored form of each.
const PRICES: [(&str, &str); 14] = [
    ("0", "0"),
    ("0.00", "0.00"),
    ("-0.0", "0.0"),
    ("-37.63", "-37.63"),
    ("1.08500", "1.08500"),
    ("10000", "10000"),
    ("99990000", "99990000"),
    ("10000.0001", "10000.0001"),
    ("-0.00010", "-0.00010"),
    ("1.5e-7", "0.00000015"),
    ("12e3", "12000"),
    ("18446744073709551616.5", "18446744073709551616.5"),
    ("-9999999999999999999999999999", "-9999999999999999999999999999"),
    ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
];

#[test]
fn every_price_is_copied_with_its_digits() {
    run(async {
        let watched = Watched::start().await;
        watched.post(&hours(5000, 300)).await;
        let priced = |(mut candle, (price, _)): (Value, &(&str, &str))| {
            for side in ["open", "high", "low", "close"] {
                candle[side] = (*price).into();
            }
            candle
        };
        let candles: Vec<_> = hours(4700, 300).into_iter().zip(PRICES.iter().cycle()).map(priced).collect();
        assert_eq!(watched.post(&candles).await, (300, "copy".to_owned()));
        let stored =
            "select array[open, high, low, close]::text[] from market_data_candles order by timestamp offset 300";
        let stored: Vec<Vec<String>> =
            sqlx::query_scalar(stored).fetch_all(&mut watched.database.connect().await).await.unwrap();
        let page = watched.service.candles(&format!("&after={}&limit=1000", (NOW - 4701 * 3600) * 1000)).await.body;
        for ((row, candle), (_, digits)) in stored.iter().zip(page.split("},{")).zip(PRICES.iter().cycle()) {
            assert_eq!(*row, [*digits; 4]);
            assert!(
                candle.contains(&format!(r#""open":{digits},"high":{digits},"low":{digits},"close":{digits},"#)),
                "{candle}"
            );
        }
        assert_eq!(page.split("},{").count(), 300);
    });
}

#[test]
fn a_copy_that_times_out_stores_nothing_and_keeps_the_connection() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url).with("DATABASE_MAX_CONNECTIONS", 1)).await;
        service.ingest(&hours(5000, 300)).await;
        let lock = TableLock::take(&database).await;
        service.post(&json!({"candles": hours(4700, 300)})).await.problem(503, "unavailable");
        lock.release().await;
        assert_eq!(service.ingest(&hours(4700, 300)).await, (300, 0, 0));
        assert_eq!(service.candles("&limit=1000").await.json().as_array().unwrap().len(), 600);
    });
}

#[test]
fn a_copy_that_meets_a_stored_candle_falls_back_to_insert() {
    run(async {
        let watched = Watched::start().await;
        watched.post(&hours(5000, 300)).await;
        // Another process has written later candles than this one.
        let others = Service::start(&Environment::new(&watched.database.url)).await;
        others.ingest(&hours(4600, 2)).await;
        watched.forget().await;
        assert_eq!(watched.post(&hours(4700, 300)).await, (298, "insert".to_owned()), "the copy left no trace");
        assert_eq!(watched.stored().await, 600);
        assert_eq!(
            watched.post(&hours(4400, 300)).await,
            (300, "insert".to_owned()),
            "nothing is expected for a while"
        );
    });
}

#[test]
fn concurrent_copies_of_the_same_candles_store_each_once() {
    run(async {
        let watched = Watched::start().await;
        let others = Service::start(&Environment::new(&watched.database.url)).await;
        watched.service.ingest(&hours(9000, 300)).await;
        others.ingest(&hours(9000, 300)).await;
        let mut added = 300;
        for n in 1..20 {
            let batch = hours(9000 - n * 300, 300);
            let (one, other) = tokio::join!(watched.service.ingest(&batch), others.ingest(&batch));
            assert_eq!(one.0 + other.0, 300);
            assert_eq!(one.1 + other.1, 300);
            added += 300;
        }
        assert_eq!(watched.stored().await, added);
    });
}

#[test]
fn candles_are_inserted_where_row_security_forbids_copy() {
    run(async {
        let watched = Watched::start().await;
        let (login, url) = (watched.database.login(), watched.database.make_login().await);
        watched.database.execute(&format!("grant all on commands to {login}")).await;
        watched.database.execute(&format!("grant usage on sequence commands_position_seq to {login}")).await;
        let environment = Environment::new(&url).with("MIGRATE_ON_START", false);
        let insert = (300, "insert".to_owned());
        let secured = Watched { service: Service::start(&environment).await, ..watched };
        assert_eq!(secured.post(&hours(5000, 300)).await, insert);
        assert_eq!(secured.post(&hours(4700, 300)).await, insert);
        // Row security is turned on while a service runs that has found it off.
        secured.database.execute("alter table market_data_candles disable row level security").await;
        let surprised = Watched { service: Service::start(&environment).await, ..secured };
        assert_eq!(surprised.post(&hours(4400, 300)).await, insert);
        assert_eq!(surprised.post(&hours(4100, 300)).await, (300, "copy".to_owned()));
        surprised.database.execute("alter table market_data_candles enable row level security").await;
        assert_eq!(surprised.post(&hours(3800, 300)).await, insert);
        assert_eq!(surprised.stored().await, 1500);
    });
}
