//! The live page: what comes, who is there, how far away, and what becomes of the connection. What a
//! browser does is in `tests/browser/live.mjs`, by the names that the tests here give.

use std::process::Command;

use headstart_protocol::event::{Event, TYPE_UPDATE};
use headstart_tests::{
    browser,
    edge::Edge,
    edge_config::{EdgeConfig, root},
    events::SOURCE,
    keys::now_ms,
    shared::edge,
    tokens::Token,
    topics::{fresh_private_topic, fresh_topic},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Largest page as it is sent, everything it loads included, in bytes: what issue 4 asks for.
const MOST_BYTES: usize = 120 * 1000;

/// How many updates a topic remembers in the test of gaps: `live.mjs` knows it.
const HISTORY: u64 = 10;

/// An update of `topic` with these attributes, as a script wants it.
fn event(topic: &str, attributes: &Value) -> Event {
    let mut event = json!({
        "specversion": "1.0",
        "id": Uuid::now_v7().to_string(),
        "source": SOURCE,
        "type": TYPE_UPDATE,
        "subject": topic,
        "publishedat": now_ms().to_string(),
    });
    for (name, value) in attributes.as_object().expect("attributes are an object") {
        event[name] = value.clone();
    }
    Event::from_json(event.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {event}"))
}

/// What a script asks of an edge that stays.
async fn answer(edge: &Edge, name: &str, values: &[Value]) -> Value {
    let topic = values[0].as_str().expect("a topic");
    match name {
        "publish" => {
            let updates = values[1].as_array().expect("a list");
            let events: Vec<_> = updates.iter().map(|update| event(topic, update)).collect();
            edge.client().publish_all(&events).await;
            Value::Null
        }
        "token" => json!(Token::reading(&[topic]).publishing(&[topic]).mint()),
        _ => panic!("{name}: nobody answers this"),
    }
}

/// Whether the page keeps this promise at an edge that tests share.
async fn keeps(promise: &str, topic: &str) {
    let edge = edge().await;
    keeps_at(promise, &edge, topic).await;
}

/// Whether the page keeps this promise at `edge`.
async fn keeps_at(promise: &str, edge: &Edge, topic: &str) {
    let arguments = [promise, &edge.url(), topic];
    let run = browser::run("live.mjs", &arguments, async |name, values| {
        answer(edge, name, values).await
    });
    Box::pin(run).await;
}

#[tokio::test]
async fn two_browsers_see_each_other_and_the_hops_of_an_update() {
    keeps("together", &fresh_topic()).await;
}

#[tokio::test]
async fn what_anybody_publishes_is_text_and_runs_nothing() {
    keeps("hostile", &fresh_topic()).await;
}

#[tokio::test]
async fn the_transport_is_switched_without_losing_an_update() {
    keeps("transports", &fresh_topic()).await;
}

#[tokio::test]
async fn a_restart_of_the_edge_is_shown_and_loses_nothing() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (url, topic) = (edge.url(), fresh_topic());
    let arguments = ["restart", &url, &topic];
    let run = browser::run("live.mjs", &arguments, async |name, values| {
        match name {
            "kill" => edge.kill().await,
            "start" => edge.start_again().await,
            _ => return answer(&edge, name, values).await,
        }
        Value::Null
    });
    Box::pin(run).await;
}

#[tokio::test]
async fn a_gap_is_shown() {
    let edge = Edge::start(EdgeConfig::default().var("HISTORY_COUNT", HISTORY)).await;
    keeps_at("gap", &edge, &fresh_topic()).await;
}

#[tokio::test]
async fn the_page_publishes_with_a_token_that_it_keeps_to_itself() {
    keeps("publish", &fresh_topic()).await;
}

#[tokio::test]
async fn a_private_topic_opens_with_its_token() {
    keeps("private", &fresh_private_topic()).await;
}

#[tokio::test]
async fn topics_are_picked_and_kept_in_the_address() {
    keeps("topics", &fresh_topic()).await;
}

#[tokio::test]
async fn the_feed_can_be_stopped_for_reading() {
    keeps("pause", &fresh_topic()).await;
}

#[tokio::test]
async fn everyone_can_use_the_page() {
    keeps("looks", &fresh_topic()).await;
}

#[tokio::test]
async fn the_rules_of_the_page_hold() {
    let run = browser::run("live_rules.mjs", &[], async |name, _| {
        panic!("{name}: nobody answers this")
    });
    Box::pin(run).await;
}

#[test]
fn the_page_is_small() {
    let pages = root().join("edge-worker/build/pages");
    let bytes: usize = ["live.html", "live.css", "live.js", "style.css", "icon.svg"]
        .map(|name| {
            let gzip = Command::new("gzip")
                .args(["-9", "-n", "-c"])
                .arg(pages.join(name))
                .output()
                .expect("gzip can be run");
            assert!(gzip.status.success(), "{gzip:?}");
            gzip.stdout.len()
        })
        .iter()
        .sum();
    assert!((10_000..MOST_BYTES).contains(&bytes), "{bytes} bytes");
}
