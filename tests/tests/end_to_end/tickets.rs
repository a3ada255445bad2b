//! A ticket opens its offer, and nothing else does.

use headstart_protocol::{
    report::Status,
    ticket::{TICKET_CHARS, Ticket},
};
use headstart_tests::{
    client::Client,
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    keys::{foreign_key, fresh_ticket, now_ms, random, rotated_key, ticket_key, ticket_of_age},
    shared::{TTL_SECONDS, edge},
};
use serde_json::json;

/// Fails unless every route about tickets refuses `ticket` with this status.
async fn refused_everywhere(client: &Client, ticket: &str, status: u16) {
    for way in ["", "/events", "/ws"] {
        let path = format!("/tickets/{ticket}{way}");
        let answer = if way == "/ws" {
            client.get(&path).open_ws().await.expect_err("no WebSocket")
        } else {
            client.get(&path).header("prefer", "wait=5").send().await
        };
        let problem = answer.expect_problem(status);
        assert!(!problem.detail.contains(ticket), "{problem:?}");
    }
}

#[tokio::test]
async fn a_forged_ticket_is_refused_everywhere() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&ready(&ticket, &json!("secret"))).await;
    let good = ticket.as_str();
    // One character of the time, of the random part and of the tag.
    for at in [4, 30, 40, TICKET_CHARS - 1] {
        let other = if &good[at..=at] == "0" { "1" } else { "0" };
        let mut forged = good.to_owned();
        forged.replace_range(at..=at, other);
        refused_everywhere(&client, &forged, 404).await;
    }
}

#[tokio::test]
async fn a_truncated_or_misspelt_ticket_is_refused_everywhere() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&ready(&ticket, &json!("secret"))).await;
    let good = ticket.as_str();
    for bad in [
        good[..TICKET_CHARS - 1].to_owned(),
        good[..37].to_owned(),
        good[..36].to_owned(),
        format!("{good}A"),
        format!("{good}%00"),
        format!("{good}%20"),
        good.to_uppercase(),
        good.replace('.', "%2E"),
        "%F0%9F%8E%AB".to_owned(),
        "x".repeat(5000),
    ] {
        refused_everywhere(&client, &bad, 404).await;
    }
}

#[tokio::test]
async fn a_ticket_of_another_key_is_refused_everywhere() {
    let edge = edge().await;
    let foreign = Ticket::mint(now_ms(), 0, random(), &foreign_key());
    refused_everywhere(&edge.client(), foreign.as_str(), 404).await;
    let result = edge.client().publish(&ready(&foreign, &json!([1]))).await;
    assert_eq!(result.status, Status::Rejected);
}

#[tokio::test]
async fn an_expired_ticket_is_told_from_a_forged_one() {
    let edge = edge().await;
    let expired = ticket_of_age((TTL_SECONDS + 1) * 1000);
    refused_everywhere(&edge.client(), expired.as_str(), 410).await;
    let result = edge.client().publish(&ready(&expired, &json!([1]))).await;
    assert_eq!(result.status, Status::Ignored);
}

#[tokio::test]
async fn a_ticket_minted_elsewhere_with_a_known_key_is_taken() {
    let edge = edge().await;
    let client = edge.client();
    for key in [ticket_key(), rotated_key()] {
        let ticket = Ticket::mint(now_ms(), 0, random(), &key);
        client.settle(&ready(&ticket, &json!("yours"))).await;
        let answer = client.offer(&ticket).await.expect_status(200);
        assert_eq!(answer.json(), json!("yours"));
    }
}

#[tokio::test]
async fn a_ticket_outlives_the_rotation_of_its_key_until_the_old_key_is_removed() {
    let config = |keys: &[_]| EdgeConfig::default().keys("TICKET_KEY", keys);
    let mut edge = Edge::start(config(&[ticket_key()])).await;
    let ticket = fresh_ticket();
    edge.client().settle(&ready(&ticket, &json!("kept"))).await;

    edge.kill().await;
    edge.start_again_with(config(&[foreign_key(), ticket_key()]))
        .await;
    let answer = edge.client().offer(&ticket).await.expect_status(200);
    assert_eq!(answer.json(), json!("kept"));

    edge.kill().await;
    edge.start_again_with(config(&[foreign_key()])).await;
    refused_everywhere(&edge.client(), ticket.as_str(), 404).await;
}
