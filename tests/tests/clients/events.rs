//! CloudEvents by other people's libraries: what they make is taken in every content mode, and what the edge sends
//! of it they read.

use headstart_tests::{shared::brief_edge, topics::fresh_topic};
use serde_json::{Value, json};

use crate::signatures::signing;

async fn exchange(script: &str) {
    let edge = brief_edge().await;
    let topic = fresh_topic();
    let told = signing(script, &edge.url(), &topic).told().await;
    let (posted, read) = told.split_at(4);
    for ((_, posted), mode) in posted
        .iter()
        .zip(["structured", "binary", "batch", "bytes"])
    {
        assert_eq!(posted[..2], [json!(mode), json!(200)], "{posted:?}");
        let results = posted[2]["results"].as_array().expect("a list");
        assert_eq!(results.len(), if mode == "batch" { 2 } else { 1 });
        assert!(
            results.iter().all(|result| result["status"] == "accepted"),
            "{posted:?}"
        );
    }
    let event = |number: u32, data: Value| {
        let number = number.to_string();
        json!([true, "dev.headstart.update", topic, number, "kept", data])
    };
    let all: Vec<_> = (1..=4)
        .map(|n| event(n, json!({ "n": n })))
        .chain([event(5, json!("five"))])
        .collect();
    let latest = all[4].as_array().expect("a list").clone();
    let expected = [
        ("latest", latest),
        ("since", all.clone()),
        ("streamed", all),
    ]
    .map(|(name, values)| (name.to_owned(), values));
    assert_eq!(read, expected);
}

#[tokio::test]
async fn cloudevents_of_npm_go_to_the_edge_and_come_back() {
    exchange("clients/with_cloudevents.mjs").await;
}

#[tokio::test]
async fn cloudevents_of_pypi_go_to_the_edge_and_come_back() {
    exchange("clients/with_cloudevents.py").await;
}
