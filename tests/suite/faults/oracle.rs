//! Checks the service's guarantees: acknowledged candles are stored, a batch is whole or absent, every value is right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::batch::Batch;
use super::jobs::is_of_jobs;
use super::load::{Answer, Attempt, DEADLINE, client, post};
use super::report::Figures;
use crate::harness::{Database, eventually};

/// The possible effects of a request whose connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No connection may break: every request gets its answer.
    Never,
    /// The request was not accepted, so nothing of it is stored.
    NotAccepted,
    /// Any effect, because the service itself is killed.
    Anything,
}

/// The facts about a batch that follow from its answers.
#[derive(Debug, Default)]
struct Known {
    batch: Option<Batch>,
    acknowledged: usize,
    added: usize,
    /// Attempts whose counts are unknown.
    unanswered: usize,
    left: bool,
    /// True if no attempt can have stored it.
    impossible: bool,
}

/// Every violation, as a sentence.
#[derive(Debug, Default)]
pub struct Complaints(Vec<String>);

impl Complaints {
    pub(super) fn add(&mut self, complaint: String) {
        self.0.push(complaint);
    }

    #[track_caller]
    pub fn are_none(self, scenario: &str) {
        let first: Vec<_> = self.0.iter().take(10).collect();
        assert!(self.0.is_empty(), "{scenario}: {} complaints, the first of them {first:#?}", self.0.len());
    }
}

/// Compares every attempt with the database, then sends unacknowledged batches again and compares once more.
pub async fn judge(
    attempts: Vec<Attempt>,
    database: &Database,
    url: &str,
    broken: Broken,
    figures: &mut Figures,
) -> Complaints {
    let mut complaints = Complaints::default();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for attempt in &attempts {
        weigh(attempt, broken, known.entry(attempt.batch.symbol()).or_default(), figures, &mut complaints);
    }
    figures.longest_gap = longest_gap(&attempts);

    is_still(database).await;
    let mut stored = by_symbol(database.closed().await);
    for (symbol, known) in &known {
        let rows = stored.remove(symbol).unwrap_or_default();
        compare(known, &rows, figures, &mut complaints);
    }
    for (symbol, rows) in stored {
        figures.phantom += rows.len();
        complaints.add(format!("{symbol} was never sent, and {} candles of it are stored", rows.len()));
    }
    let forming = database.forming().await.len();
    figures.phantom += forming;
    if forming > 0 {
        complaints.add(format!("{forming} forming candles are stored, and none was sent"));
    }
    send_again(&known, database, url, &mut complaints).await;
    complaints
}

fn weigh(attempt: &Attempt, broken: Broken, known: &mut Known, figures: &mut Figures, complaints: &mut Complaints) {
    let took = attempt.ended - attempt.began;
    figures.requests += 1;
    figures.longest_request = figures.longest_request.max(took);
    known.batch = Some(attempt.batch);
    if took >= DEADLINE {
        complaints.add(format!("a request took {took:?}: {attempt:?}"));
    }
    match &attempt.answer {
        Answer::Stored(added) => {
            figures.acknowledged += 1;
            known.acknowledged += 1;
            known.added += added;
            return;
        }
        Answer::Unavailable => figures.refused += 1,
        Answer::Wrong(answer) => {
            figures.refused += 1;
            complaints.add(format!("neither a 201 nor a 503 of the contract, but {answer}"));
        }
        Answer::Broken(error) => {
            figures.unknown += 1;
            known.impossible = broken == Broken::NotAccepted;
            if broken == Broken::Never {
                complaints.add(format!("a request got no answer but {error}"));
            }
        }
        Answer::Left { sent_all } => {
            figures.unknown += 1;
            known.left = true;
            known.impossible = !sent_all;
        }
    }
    known.unanswered += 1;
}

/// Returns once no statement of a killed service or a disconnected client is still running.
async fn is_still(database: &Database) {
    const ACTIVE: &str = "select count(*)::text from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'";
    if let Database::Postgres(_) = database {
        eventually(async || database.rows(ACTIVE).await == ["0"]).await;
    }
}

fn longest_gap(attempts: &[Attempt]) -> Duration {
    let stored = attempts.iter().filter(|attempt| matches!(attempt.answer, Answer::Stored(_)));
    let mut ends: Vec<Instant> = stored.map(|attempt| attempt.ended).collect();
    ends.sort();
    ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// The candles of the load.
fn by_symbol(rows: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let mut symbols: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| !is_of_jobs(row)) {
        let symbol = row.split(' ').next().unwrap_or_default();
        symbols.entry(symbol.to_owned()).or_default().push(row);
    }
    symbols
}

fn compare(known: &Known, rows: &[String], figures: &mut Figures, complaints: &mut Complaints) {
    let batch = known.batch.expect("it was sent");
    let expected = batch.rows();
    if rows.is_empty() {
        if known.acknowledged > 0 {
            figures.lost += batch.size;
            complaints.add(format!("{batch:?} was acknowledged and is not stored"));
        }
    } else if rows != expected {
        // Symbol, timeframe and time identify a candle; the rest of a row is values.
        let key = |row: &str| row.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let sent: BTreeMap<_, _> = expected.iter().map(|row| (key(row), row)).collect();
        let stored: BTreeMap<_, _> = rows.iter().map(|row| (key(row), row)).collect();
        let missing = sent.keys().filter(|key| !stored.contains_key(*key)).count();
        figures.partial += usize::from(missing > 0);
        figures.lost += if known.acknowledged > 0 { missing } else { 0 };
        figures.phantom += stored.keys().filter(|key| !sent.contains_key(*key)).count();
        figures.wrong += stored.iter().filter(|(key, row)| sent.get(*key).is_some_and(|sent| sent != *row)).count();
        complaints.add(format!("{batch:?} is stored as {} other rows: {:?}", rows.len(), rows.first()));
    } else if known.impossible && known.acknowledged == 0 {
        complaints.add(format!("{batch:?} is stored, and its request was never answered"));
    } else if known.acknowledged == 0 {
        figures.stored_all_the_same += 1;
    }
    if known.added > batch.size || (known.unanswered == 0 && known.added != batch.size) {
        complaints.add(format!("{batch:?} was counted as {} added candles", known.added));
    }
}

/// Sends every unacknowledged batch again, which must store exactly the missing candles.
async fn send_again(known: &BTreeMap<String, Known>, database: &Database, url: &str, complaints: &mut Complaints) {
    const AT_ONCE: usize = 4;
    const PATIENCE: Duration = Duration::from_secs(10);
    let before = by_symbol(database.closed().await);
    let client = client();
    let mut posts: JoinSet<(Batch, Option<usize>)> = JoinSet::new();
    let mut answers = Vec::new();
    for batch in known.values().filter(|known| known.acknowledged == 0).filter_map(|known| known.batch) {
        if posts.len() == AT_ONCE {
            answers.push(posts.join_next().await.expect("there are some").unwrap());
        }
        let (client, url) = (client.clone(), url.to_owned());
        posts.spawn(async move {
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                if let Answer::Stored(added) = post(&client, &url, batch).await.answer {
                    return (batch, Some(added));
                }
            }
            (batch, None)
        });
    }
    answers.extend(posts.join_all().await);
    for (batch, added) in answers {
        let symbol = batch.symbol();
        let missing = batch.size - before.get(&symbol).map_or(0, Vec::len).min(batch.size);
        match added {
            Some(added) if added == missing => {}
            // A batch whose client disconnected may have been stored a moment later.
            Some(0) if known[&symbol].left => {}
            Some(added) => complaints.add(format!("{batch:?} lacked {missing} candles, and {added} were added")),
            None => complaints.add(format!("{batch:?} could not be sent again")),
        }
    }
    let sent: Vec<Batch> = known.values().filter_map(|known| known.batch).collect();
    let stored = by_symbol(database.closed().await);
    for batch in &sent {
        if stored.get(&batch.symbol()).is_none_or(|rows| *rows != batch.rows()) {
            complaints.add(format!("{batch:?} is not stored as it was sent, after it was sent again"));
        }
    }
    let (rows, candles) =
        (stored.values().map(Vec::len).sum::<usize>(), sent.iter().map(|batch| batch.size).sum::<usize>());
    if rows != candles {
        complaints.add(format!("{candles} candles were sent, and {rows} are stored"));
    }
}
