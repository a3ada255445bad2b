//! What opens something never reaches a log.

use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    keys::{login_key, origin_key, ticket_key},
    kv::Kv,
    origin::{Origin, OriginConfig},
};
use serde_json::json;

#[tokio::test]
async fn neither_log_shows_a_key_or_what_opens_a_ticket() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").env("HEADSTART_LOG", "debug");
    let mut origin = Origin::start(config.edge(&edge));
    let client = edge.client();
    let listener = origin.listener().await;
    let mut tickets = vec![client.login("17850").await];
    let answer = listener.login_call("17850", &json!({})).send().await;
    tickets.push(headstart_tests::client::ticket_of(
        &answer.expect_status(202),
    ));
    // One that fails, and one that comes while the edge is gone.
    let many = json!({ "max_items": "many" });
    tickets.push(client.login_with("17850", &many).await);
    for ticket in &tickets {
        assert_ne!(client.offer_within(ticket, 50).await.status, 202);
    }
    Kv::of(&edge).await_offer(&tickets[1]).await;
    let mut edge = edge;
    edge.kill().await;
    let answer = listener.login_call("17850", &json!({})).send().await;
    tickets.push(headstart_tests::client::ticket_of(
        &answer.expect_status(202),
    ));
    origin.logged("settled", 4).await;
    origin.kill();

    let by_wrangler = "[wrangler:info]";
    let edge_log = edge.log();
    // wrangler itself writes the path of each request; the platform does not.
    let edge_lines = edge_log.lines().filter(|line| !line.contains(by_wrangler));
    let lines: Vec<_> = edge_lines.map(str::to_owned).collect();
    for log in [lines.join("\n"), origin.log()] {
        for ticket in &tickets {
            let (_, tag) = ticket.as_str().split_once('.').unwrap();
            assert!(!log.contains(tag), "{log}");
        }
        for key in [ticket_key(), origin_key(), login_key()] {
            assert!(!log.contains(&key.expose()), "{log}");
        }
    }
}
