//! What publishing promises.

use std::sync::Arc;

use axum::http::StatusCode;
use headstart_client::{http_client, testing::TopicEdge};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::testing::key;

fn edge_at(name: &str, url: &str) -> (EdgeConfig, Key) {
    let edge = EdgeConfig {
        name: Some(name.to_owned()),
        url: url.parse().unwrap(),
        key_file: None,
        kv: None,
    };
    (edge, key(2))
}

fn plan(folder: &TempDir, edges: &[(&str, &str)]) -> Plan {
    Plan {
        edges: edges.iter().map(|(name, url)| edge_at(name, url)).collect(),
        outbox: folder.path().join("outbox.sqlite3"),
        source: "/origin/test".to_owned(),
        topic: TopicName::parse("scores/nba").unwrap(),
        ttl: Duration::from_mins(1),
        give_up: None,
    }
}

fn document(id: &str) -> Document {
    Document {
        name: format!("the document {id}"),
        id: Some(id.to_owned()),
        media_type: "application/json".to_owned(),
        content: b"1".to_vec(),
    }
}

fn documents(ids: &[&str]) -> mpsc::Receiver<Document> {
    let (send, documents) = mpsc::channel(1000);
    for id in ids {
        send.try_send(document(id)).unwrap();
    }
    documents
}

/// Publishes, and gives what was printed.
async fn run(
    plan: &Plan,
    documents: mpsc::Receiver<Document>,
    stop: impl Future<Output = ()>,
) -> (Result<Totals, PublishError>, Vec<String>) {
    let client = http_client::build().unwrap();
    let mut lines = Vec::new();
    let publishing = publish(plan, &client, documents, stop, |event| {
        lines.push(match event {
            PublishEvent::Ended(published) => published.to_string(),
            PublishEvent::Refused { document, .. } => format!("{document} refused"),
        });
    });
    let totals = tokio::time::timeout(Duration::from_secs(30), publishing)
        .await
        .expect("publishing ends");
    (totals, lines)
}

#[tokio::test]
async fn every_edge_has_every_update_in_order_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (london, paris) = (TopicEdge::start().await, TopicEdge::start().await);
    paris.state().failures = vec![StatusCode::BAD_GATEWAY];
    let plan = plan(&folder, &[("london", &london.url), ("paris", &paris.url)]);
    let ids = ["1", "2", "3"];
    let (totals, lines) = run(&plan, documents(&ids), std::future::pending()).await;
    let expected = Totals {
        published: 3,
        refused: 0,
    };
    assert_eq!(totals.unwrap(), expected);
    assert_eq!(lines, ["1 accepted", "2 accepted", "3 accepted"]);
    assert_eq!(
        (london.accepted("scores/nba"), paris.accepted("scores/nba")),
        (
            ids.map(str::to_owned).to_vec(),
            ids.map(str::to_owned).to_vec()
        )
    );
}

#[tokio::test]
async fn an_update_that_was_published_before_is_not_published_again() {
    let folder = tempfile::tempdir().unwrap();
    let edge = TopicEdge::start().await;
    let plan = plan(&folder, &[("london", &edge.url)]);
    for line in ["1 accepted", "1 duplicate"] {
        let (totals, lines) = run(&plan, documents(&["1"]), std::future::pending()).await;
        assert_eq!(
            (totals.unwrap().published, lines),
            (1, vec![line.to_owned()])
        );
    }
    assert_eq!(edge.accepted("scores/nba"), ["1"]);
}

#[tokio::test]
async fn what_is_refused_is_told_and_does_not_keep_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let edge = TopicEdge::start().await;
    edge.state().rejected = vec!["1".to_owned()];
    let plan = plan(&folder, &[("london", &edge.url)]);
    let (send, receive) = mpsc::channel(3);
    for mut one in [document("0"), document("1"), document("2")] {
        if one.id.as_deref() == Some("0") {
            one.content = b"no JSON".to_vec();
        }
        send.try_send(one).unwrap();
    }
    drop(send);
    let (totals, lines) = run(&plan, receive, std::future::pending()).await;
    let expected = Totals {
        published: 1,
        refused: 2,
    };
    assert_eq!(totals.unwrap(), expected);
    assert_eq!(
        lines,
        [
            "the document 0 refused",
            "1 rejected (not wanted)",
            "2 accepted"
        ]
    );
}

#[tokio::test]
async fn an_endless_input_is_published_as_it_comes_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Arc::new(TopicEdge::start().await);
    let plan = plan(&folder, &[("london", &edge.url)]);
    let (send, receive) = mpsc::channel(3);
    let (stop, stopped) = oneshot::channel();
    let watched = Arc::clone(&edge);
    tokio::spawn(async move {
        for id in ["1", "2"] {
            send.send(document(id)).await.unwrap();
            while !watched.accepted("scores/nba").contains(&id.to_owned()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        stop.send(()).unwrap();
        // The input is open all the while.
        send.closed().await;
    });
    let stop = async { stopped.await.unwrap() };
    let (totals, lines) = run(&plan, receive, stop).await;
    assert_eq!(totals.unwrap().published, 2);
    assert_eq!(lines, ["1 accepted", "2 accepted"]);
}

#[tokio::test]
async fn what_an_interrupted_publisher_kept_the_next_one_delivers_first() {
    let folder = tempfile::tempdir().unwrap();
    let edge = TopicEdge::start().await;
    edge.state().is_down = true;
    let plan = plan(&folder, &[("london", &edge.url)]);
    let (interrupted, lines) = run(&plan, documents(&["1", "2"]), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    let error = interrupted.unwrap_err();
    assert!(
        matches!(error, PublishError::NotDelivered { waiting: 2, .. }),
        "{error}"
    );
    assert_eq!(lines, [""; 0]);
    edge.state().is_down = false;
    let (totals, lines) = run(&plan, documents(&["3"]), std::future::pending()).await;
    assert_eq!(totals.unwrap().published, 1);
    assert_eq!(lines, ["3 accepted"], "it speaks of its own");
    assert_eq!(edge.accepted("scores/nba"), ["1", "2", "3"]);
}

#[tokio::test]
async fn publishers_with_other_edges_leave_each_others_updates_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (london, paris) = (TopicEdge::start().await, TopicEdge::start().await);
    london.state().is_down = true;
    let to_london = plan(&folder, &[("london", &london.url)]);
    let to_paris = plan(&folder, &[("paris", &paris.url)]);
    let (result, _) = run(&to_london, documents(&["1"]), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
    })
    .await;
    assert!(result.is_err());
    let (result, _) = run(&to_paris, documents(&["2"]), std::future::pending()).await;
    assert_eq!(result.unwrap().published, 1);
    assert_eq!(paris.accepted("scores/nba"), ["2"]);
    london.state().is_down = false;
    let (result, _) = run(&to_london, documents(&[]), std::future::pending()).await;
    result.unwrap();
    assert_eq!(london.accepted("scores/nba"), ["1"]);
}

#[tokio::test]
async fn an_update_that_no_edge_took_in_its_time_is_told_as_refused() {
    let folder = tempfile::tempdir().unwrap();
    let edge = TopicEdge::start().await;
    let mut plan = plan(&folder, &[("london", &edge.url)]);
    plan.ttl = Duration::ZERO;
    let (totals, lines) = run(&plan, documents(&["1"]), std::future::pending()).await;
    assert_eq!(totals.unwrap().refused, 1);
    assert_eq!(lines, ["1 rejected (it expired before the edge took it)"]);
}
