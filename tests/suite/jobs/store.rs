//! Jobs in the store itself: claims, leases, the queue and the sweep.

use std::time::Duration;

use candlewick::store::{
    Expired, JobAdded, JobEnd, JobProgress, JobState, JobsSelection, Lease, NewFile, NewJob, Store,
};
use rstest_reuse::apply;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::harness::{Database, Environment, StoreKind, both_store_kinds, run};

const DAY: Duration = Duration::from_hours(24);

async fn begin(kind: StoreKind) -> (Database, Store) {
    let database = kind.database().await;
    let store = Store::open(&Environment::new(&database.url()).config().database).unwrap();
    store.prepare(true).await.unwrap();
    (database, store)
}

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

/// An expression for the time this many seconds ago.
fn ago(database: &Database, seconds: i64) -> String {
    match database {
        Database::Sqlite(_) => format!("cast(unixepoch('subsec') * 1000 as integer) - {seconds} * 1000"),
        Database::Postgres(_) => format!("now() - interval '{seconds} seconds'"),
    }
}

async fn expire_leases(database: &Database) {
    execute(database, &format!("update research_jobs set lease_until = {}", ago(database, 1))).await;
}

fn job(id: &str, owner: &str, priority: i32) -> NewJob {
    NewJob {
        id: id.to_owned(),
        owner: owner.to_owned(),
        name: None,
        idempotency: None,
        priority,
        request: b"request".to_vec(),
        request_hash: vec![7; 32],
        total: 10,
        max_queued: 100,
    }
}

async fn claim(store: &Store, token: &str) -> Option<Lease> {
    let job = store.claim_job(token.to_owned(), Vec::new()).await.unwrap()?;
    assert_eq!(job.state, JobState::Running);
    Some(Lease { job: job.id, token: token.to_owned() })
}

async fn state(store: &Store, id: &str) -> JobState {
    store.job(id.to_owned(), None).await.unwrap().unwrap().state
}

fn done() -> JobEnd {
    JobEnd { state: JobState::Done, error: None, progress: JobProgress::default(), retention: DAY }
}

#[apply(both_store_kinds)]
fn jobs_are_claimed_by_priority_then_age_and_none_twice(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        for (id, priority, age) in [("a", 0, 9), ("b", 5, 3), ("c", 5, 4), ("d", -1, 20), ("e", 0, 9)] {
            assert_eq!(store.add_job(job(id, "ana", priority)).await.unwrap(), JobAdded::Queued);
            let created = ago(&database, age);
            execute(&database, &format!("update research_jobs set created_at = {created} where id = '{id}'")).await;
        }
        let mut positions = Vec::new();
        for id in ["a", "b", "c", "d", "e"] {
            positions.push(store.job(id.to_owned(), None).await.unwrap().unwrap().position);
        }
        // Ages are those of two statements, so that a and e may differ by little.
        assert_eq!((positions[1], positions[2], positions[3]), (Some(2), Some(1), Some(5)));
        let claims = futures_util::future::join_all((0..8).map(|n| {
            let store = store.clone();
            async move { claim(&store, &format!("token{n}")).await.map(|lease| lease.job) }
        }));
        let mut claimed: Vec<String> = claims.await.into_iter().flatten().collect();
        claimed.sort();
        assert_eq!(claimed, ["a", "b", "c", "d", "e"]);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn the_next_job_is_the_one_of_position_1(#[case] kind: StoreKind) {
    run(async move {
        let (_database, store) = begin(kind).await;
        for (id, priority) in [("a", -3), ("b", 2), ("c", 0)] {
            store.add_job(job(id, "ana", priority)).await.unwrap();
        }
        for expected in ["b", "c", "a"] {
            let first = store.job(expected.to_owned(), None).await.unwrap().unwrap();
            assert_eq!((first.position, first.attempts, first.started), (Some(1), 0, None));
            assert_eq!(claim(&store, expected).await.unwrap().job, expected);
        }
        assert_eq!(claim(&store, "none").await, None);
        for id in ["d", "e"] {
            store.add_job(job(id, "ana", 0)).await.unwrap();
        }
        let others = async |except: &[&str]| {
            let except = except.iter().map(|id| (*id).to_owned()).collect();
            store.claim_job("others".to_owned(), except).await.unwrap().map(|job| job.id)
        };
        assert_eq!(others(&["d", "e"]).await, None);
        assert_eq!(others(&["d"]).await.as_deref(), Some("e"));
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn an_expired_lease_cannot_write_and_its_job_is_queued_again(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        store.add_job(job("a", "ana", 0)).await.unwrap();
        let first = claim(&store, "first").await.unwrap();
        assert!(store.begin_item(first.clone(), 0, b"began".to_vec()).await.unwrap());
        assert!(store.end_item(first.clone(), 0, b"over".to_vec(), b"all".to_vec()).await.unwrap());
        expire_leases(&database).await;
        assert!(!store.begin_item(first.clone(), 1, b"late".to_vec()).await.unwrap());
        assert!(!store.end_item(first.clone(), 0, b"late".to_vec(), b"late".to_vec()).await.unwrap());
        assert!(!store.end_job(first.clone(), done()).await.unwrap());
        // A process does not take its own job away from itself, and may renew what nobody has taken.
        assert_eq!(store.requeue_expired(vec!["first".to_owned()], DAY).await.unwrap(), 0);
        assert_eq!(store.renew_lease(first.clone(), JobProgress::default()).await.unwrap(), Some(false));
        assert!(store.begin_item(first.clone(), 1, b"began".to_vec()).await.unwrap());
        expire_leases(&database).await;
        assert_eq!(store.requeue_expired(vec!["other".to_owned()], DAY).await.unwrap(), 1);
        assert_eq!(state(&store, "a").await, JobState::Queued);
        let second = claim(&store, "second").await.unwrap();
        assert_eq!(store.renew_lease(first.clone(), JobProgress::default()).await.unwrap(), None);
        assert!(!store.end_item(first.clone(), 1, b"late".to_vec(), b"late".to_vec()).await.unwrap());
        assert!(!store.end_job(first, done()).await.unwrap());
        let items = store.job_items("a".to_owned()).await.unwrap();
        let items: Vec<_> = items.iter().map(|item| (item.item, &item.summary[..], item.is_over)).collect();
        assert_eq!(items, [(0, &b"over"[..], true), (1, &b"began"[..], false)]);
        assert_eq!(store.evaluations("a".to_owned(), 0).await.unwrap().unwrap(), b"all");
        assert_eq!(store.evaluations("a".to_owned(), 1).await.unwrap(), None);
        assert!(store.end_job(second, done()).await.unwrap());
        let over = store.job("a".to_owned(), None).await.unwrap().unwrap();
        assert_eq!((over.state, over.attempts), (JobState::Done, 2));
        assert_eq!(over.expires.unwrap() - over.finished.unwrap(), 86_400_000);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn a_job_that_never_ends_fails_after_three_attempts(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        store.add_job(job("a", "ana", 0)).await.unwrap();
        // An orderly stop is not an attempt.
        for _ in 0..4 {
            let lease = claim(&store, "stopped").await.unwrap();
            store.release_lease(lease).await.unwrap();
        }
        for attempt in 1..=3 {
            claim(&store, &format!("attempt{attempt}")).await.unwrap();
            expire_leases(&database).await;
            assert_eq!(store.requeue_expired(Vec::new(), DAY).await.unwrap(), 1);
        }
        let over = store.job("a".to_owned(), None).await.unwrap().unwrap();
        assert_eq!((over.state, over.attempts), (JobState::Failed, 3));
        assert!(over.error.unwrap().contains("3 times"));
        assert!(over.expires > over.finished);
        assert_eq!(claim(&store, "fourth").await, None);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn a_queued_job_is_cancelled_at_once_and_a_running_one_when_its_process_sees_it(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        for id in ["a", "b", "c"] {
            store.add_job(job(id, "ana", 0)).await.unwrap();
        }
        let cancel =
            async |id: &str, owner: &str| store.cancel_job(id.to_owned(), owner.to_owned(), DAY).await.unwrap();
        assert_eq!(cancel("a", "bob").await, None);
        assert_eq!(cancel("a", "ana").await, Some(JobState::Cancelled));
        assert_eq!(cancel("a", "ana").await, Some(JobState::Cancelled));
        assert!(store.job("a".to_owned(), None).await.unwrap().unwrap().expires.is_some());
        let lease = claim(&store, "token").await.unwrap();
        assert_eq!(cancel(&lease.job, "ana").await, Some(JobState::Running));
        assert_eq!(store.renew_lease(lease.clone(), JobProgress::default()).await.unwrap(), Some(true));
        let end = JobEnd { state: JobState::Cancelled, ..done() };
        assert!(store.end_job(lease.clone(), end).await.unwrap());
        assert_eq!(cancel(&lease.job, "ana").await, Some(JobState::Cancelled));
        // One whose process has died is not begun again.
        let lost = claim(&store, "lost").await.unwrap();
        cancel(&lost.job, "ana").await;
        expire_leases(&database).await;
        store.requeue_expired(Vec::new(), DAY).await.unwrap();
        assert_eq!(state(&store, &lost.job).await, JobState::Cancelled);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn an_idempotency_key_means_one_job_for_a_day(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        let with_key = |id: &str, owner: &str, hash: u8| NewJob {
            idempotency: Some("key".to_owned()),
            request_hash: vec![hash; 32],
            max_queued: 2,
            ..job(id, owner, 0)
        };
        assert_eq!(store.add_job(with_key("a", "ana", 1)).await.unwrap(), JobAdded::Queued);
        let known = |is_same| JobAdded::Known { id: "a".to_owned(), is_same };
        assert_eq!(store.add_job(with_key("b", "ana", 1)).await.unwrap(), known(true));
        assert_eq!(store.add_job(with_key("b", "ana", 2)).await.unwrap(), known(false));
        assert_eq!(store.add_job(with_key("b", "bob", 2)).await.unwrap(), JobAdded::Queued);
        assert_eq!(store.add_job(NewJob { max_queued: 2, ..job("c", "ana", 0) }).await.unwrap(), JobAdded::Queued);
        assert_eq!(store.add_job(NewJob { max_queued: 2, ..job("d", "ana", 0) }).await.unwrap(), JobAdded::Full);
        // The known job is answered even if the queue is full.
        assert_eq!(store.add_job(with_key("d", "ana", 1)).await.unwrap(), known(true));
        let created = ago(&database, 86_401);
        execute(&database, &format!("update research_jobs set created_at = {created} where id = 'a'")).await;
        assert_eq!(store.add_job(NewJob { max_queued: 9, ..with_key("e", "ana", 2) }).await.unwrap(), JobAdded::Queued);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn lists_are_newest_first_and_owners_see_their_own(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        for (id, owner, age) in [("a", "ana", 50), ("b", "bob", 40), ("c", "ana", 30), ("d", "ana", 20)] {
            store.add_job(job(id, owner, 0)).await.unwrap();
            let created = ago(&database, age);
            execute(&database, &format!("update research_jobs set created_at = {created} where id = '{id}'")).await;
        }
        let list = async |owner: Option<&str>, state: Option<JobState>, before: Option<&str>, limit: usize| {
            let (owner, before) = (owner.map(str::to_owned), before.map(str::to_owned));
            let jobs = store.jobs(JobsSelection { owner, state, before, limit }).await.unwrap();
            assert!(jobs.iter().all(|job| job.request.is_none()));
            jobs.into_iter().map(|job| job.id).collect::<String>()
        };
        assert_eq!(list(None, None, None, 9).await, "dcba");
        assert_eq!(list(Some("ana"), None, None, 2).await, "dc");
        assert_eq!(list(Some("ana"), None, Some("c"), 2).await, "a");
        claim(&store, "token").await.unwrap();
        assert_eq!(list(Some("ana"), Some(JobState::Queued), None, 9).await, "dc");
        assert_eq!(list(None, Some(JobState::Running), None, 9).await, "a");
        assert_eq!(store.job("b".to_owned(), Some("ana".to_owned())).await.unwrap(), None);
        let own = store.job("b".to_owned(), Some("bob".to_owned())).await.unwrap().unwrap();
        assert_eq!(own.request.as_deref(), Some(&b"request"[..]));
        store.close().await;
    });
}

fn file_of(job: &str) -> NewFile {
    NewFile {
        id: format!("file-of-{job}"),
        job: job.to_owned(),
        owner: "ana".to_owned(),
        name: "a.pine".to_owned(),
        mime: "text/plain".to_owned(),
        sha256: vec![1; 32],
        body: b"strategy".to_vec(),
        retention: DAY,
    }
}

#[apply(both_store_kinds)]
fn what_has_expired_is_swept_in_parts(#[case] kind: StoreKind) {
    run(async move {
        let (database, store) = begin(kind).await;
        for id in ["old", "new"] {
            store.add_job(job(id, "ana", 0)).await.unwrap();
            let lease = claim(&store, id).await.unwrap();
            for item in 0..(if id == "old" { 600 } else { 3 }) {
                assert!(store.end_item(lease.clone(), item, b"s".to_vec(), b"e".to_vec()).await.unwrap());
            }
            let file = file_of(id);
            assert!(store.add_file(file.clone()).await.unwrap());
            assert!(!store.add_file(file).await.unwrap(), "it is there");
            assert!(store.end_job(lease, done()).await.unwrap());
        }
        let file = async |id: &str, owner: Option<&str>| {
            let found = store.file(id.to_owned(), owner.map(str::to_owned)).await.unwrap();
            found.map(|file| file.body)
        };
        assert_eq!(file("file-of-old", Some("ana")).await.unwrap(), b"strategy");
        assert_eq!(file("file-of-old", Some("bob")).await, None);
        let counts = store.job_counts().await.unwrap();
        assert_eq!((counts.queued, counts.running, counts.files, counts.bytes), (0, 0, 2, 16));
        let past = ago(&database, 1);
        execute(&database, &format!("update research_jobs set expires_at = {past} where id = 'old'")).await;
        let sweep = async |expired| store.delete_expired(expired).await.unwrap();
        let of_old = NewFile { id: "late".to_owned(), ..file_of("old") };
        assert!(!store.add_file(of_old).await.unwrap(), "its job has expired");
        assert_eq!(sweep(Expired::Jobs).await, 0, "a job goes after what belongs to it");
        assert_eq!(
            (sweep(Expired::Items).await, sweep(Expired::Items).await, sweep(Expired::Items).await),
            (500, 100, 0)
        );
        assert_eq!((sweep(Expired::Files).await, sweep(Expired::Files).await), (1, 0));
        assert_eq!((sweep(Expired::Jobs).await, sweep(Expired::Jobs).await), (1, 0));
        assert_eq!(database.rows("select id from research_jobs").await, ["new"]);
        assert_eq!(store.job_items("new".to_owned()).await.unwrap().len(), 3);
        // A file may expire before its job.
        execute(&database, &format!("update research_files set expires_at = {past}")).await;
        assert_eq!(file("file-of-new", None).await, None);
        assert!(store.add_file(file_of("new")).await.unwrap(), "it takes the place of the one that has expired");
        execute(&database, &format!("update research_files set expires_at = {past}")).await;
        assert_eq!(sweep(Expired::Files).await, 1);
        store.close().await;
    });
}
