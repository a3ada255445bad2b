//! The edge says who it is, and what is wrong with it.

use headstart_protocol::keys::Key;
use headstart_tests::{
    client::offer_path,
    edge::Edge,
    edge_config::EdgeConfig,
    keys::{fresh_ticket, now_ms},
    shared::{edge, open_edge},
};

/// How far the clocks of the test and of the edge, on one machine, may seem apart.
const CLOCK_MS: u64 = 60_000;

#[tokio::test]
async fn ping_tells_the_node_and_its_time() {
    let edge = edge().await;
    let answer = edge.client().get("/ping").send().await.expect_status(200);
    let json = answer.json();
    assert!(!json["node"].as_str().unwrap().is_empty());
    assert!(json["time"].as_u64().unwrap().abs_diff(now_ms()) < CLOCK_MS);
}

#[tokio::test]
async fn healthz_says_who_may_log_in_and_warns_of_an_open_door() {
    for (edge, login_auth, warnings) in
        [(edge().await, "signed", 0), (open_edge().await, "open", 1)]
    {
        let answer = edge
            .client()
            .get("/healthz")
            .send()
            .await
            .expect_status(200);
        let json = answer.json();
        assert_eq!(json["status"], "ok");
        assert_eq!(json["login_auth"], login_auth);
        assert_eq!(json["warnings"].as_array().unwrap().len(), warnings);
    }
}

#[tokio::test]
async fn a_misconfigured_edge_says_what_is_wrong_and_serves_nothing() {
    let config = EdgeConfig::default()
        .keys("TICKET_KEY", &[])
        .var("TICKET_TTL_SECONDS", "a while");
    let edge = Edge::start_unhealthy(config).await;
    let client = edge.client();
    let answer = client.get("/healthz").send().await.expect_status(503);
    assert!(answer.text().contains("TICKET_KEY"), "{answer:?}");
    assert!(answer.text().contains("TICKET_TTL_SECONDS"), "{answer:?}");
    let secret = Key::from_bytes(&[2; 32]).unwrap().expose();
    assert!(!answer.text().contains(&secret));
    let answer = client.get(&offer_path(&fresh_ticket())).send().await;
    let _ = answer.expect_problem(500);
}
