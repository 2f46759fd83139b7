//! Streams of what happens to a job.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{begin, over, small, start, with_key};
use crate::harness::{Service, StoreKind, both_store_kinds, run, with};

/// An event: its id, its name and its data.
type Event = (u64, String, Value);

/// Reads a stream to its end.
async fn events(service: &Service, id: &str, last_event_id: Option<u64>) -> (u16, Vec<Event>) {
    let mut request = with_key(service.request(Method::GET, &format!("/api/v1/jobs/{id}/events")));
    if let Some(last) = last_event_id {
        request = request.header("Last-Event-ID", last);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status == 200 {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
    }
    let text = response.text().await.unwrap();
    let parsed = text.split("\n\n").filter_map(|event| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let data = serde_json::from_str(field("data: ")?).unwrap();
        Some((field("id: ")?.parse().unwrap(), field("event: ")?.to_owned(), data))
    });
    (status, parsed.collect())
}

fn two_items() -> Value {
    let item = |slow: u32| with(small()["items"][0].clone(), json!({"ranges": {"fast": [5, 10], "slow": [slow]}}));
    with(small(), json!({"items": [item(40), item(60)]}))
}

#[apply(both_store_kinds)]
fn a_stream_follows_a_job_to_its_end(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &two_items()).await;
        let (_, seen) = events(&app, &id, None).await;
        assert!(seen.is_sorted_by(|one, next| one.0 < next.0), "{seen:?}");
        let items: Vec<_> = seen.iter().filter(|(_, name, _)| name == "item").map(|(.., data)| data.clone()).collect();
        let job = over(&app, &id).await;
        assert_eq!(json!(items), job["items"]);
        let (_, last, data) = seen.last().unwrap();
        assert_eq!((last.as_str(), &data["state"]), ("done", &json!("done")));
        let progress = seen.iter().rfind(|(_, name, _)| name == "progress").unwrap();
        assert_eq!((&progress.2["done"], &progress.2["items_done"]), (&json!(4), &json!(2)));
    });
}

#[apply(both_store_kinds)]
fn a_client_that_was_away_gets_the_items_that_it_missed(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &two_items()).await;
        over(&app, &id).await;
        let (_, all) = events(&app, &id, None).await;
        let ids: Vec<u64> = all.iter().filter(|(_, name, _)| name == "item").map(|(id, ..)| *id).collect();
        let (_, rest) = events(&app, &id, Some(ids[0])).await;
        let items: Vec<_> = rest.iter().filter(|(_, name, _)| name == "item").map(|(.., data)| &data["item"]).collect();
        assert_eq!(items, [&json!(1)]);
        assert_eq!(rest.last().unwrap().1, "done");
        let done = all.last().unwrap().0;
        assert_eq!(events(&app, &id, Some(done)).await, (204, Vec::new()));
    });
}
