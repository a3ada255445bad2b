//! The origin's own listener: the same logins, the same pipeline.

use headstart_protocol::{limits::MAX_LOGIN_BODY_BYTES, stamps::Point};
use headstart_tests::{
    client::{Client, ticket_of},
    edge::Edge,
    edge_config::EdgeConfig,
    keys::{foreign_key, login_key, now_ms},
    kv::Kv,
    origin::{Origin, OriginConfig},
    shared::shop,
    wait::until,
};
use serde_json::json;
use uuid::Uuid;

const CUSTOMER: &str = "17850";

#[tokio::test]
async fn a_login_at_the_origin_brings_its_offer_to_the_edge() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    let answer = listener.login_call(CUSTOMER, &json!({})).send().await;
    let ticket = ticket_of(&answer.expect_status(202));
    let answer = shop
        .client()
        .offer_within(&ticket, 50)
        .await
        .expect_status(200);
    assert_eq!(answer.json()["user"], CUSTOMER);
    assert!(answer.stamps().between(Point::Login, Point::Started) >= Some(0));
    assert_eq!(Kv::of(&shop).await_offer(&ticket).await, answer.body);
}

#[tokio::test]
async fn an_offer_can_be_waited_for_at_the_origin_itself() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    let body = json!({ "user": CUSTOMER }).to_string();
    let call = listener.post("/offers", "application/json", body);
    let answer = call.signed(&login_key()).send().await.expect_status(200);
    assert_eq!(answer.json()["user"], CUSTOMER);
    assert!(answer.stamps().between(Point::Started, Point::Generated) >= Some(0));
}

#[tokio::test]
async fn a_login_that_the_origin_took_outlives_its_death() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").edge(&edge).slow();
    let mut origin = Origin::start(config);
    let login = origin
        .listener()
        .await
        .login_call(CUSTOMER, &json!({}))
        .send()
        .await;
    let ticket = ticket_of(&login.expect_status(202));
    let stream = edge.client().events(&ticket).await;
    origin.generates(1).await;
    origin.kill();
    let killed_at = now_ms();
    origin.start_again();
    let told = stream.only().await;
    assert_eq!(told.name, "offer");
    let begun_at = headstart_protocol::stamps::Stamps::of_event(&told.event).get(Point::Started);
    assert!(
        begun_at > Some(killed_at),
        "the kill came before the end of generation"
    );
}

async fn refused(listener: &Client, body: impl Into<Vec<u8>>, status: u16) {
    let body = body.into();
    for path in ["/login", "/offers"] {
        let call = listener.post(path, "application/json", body.clone());
        let answer = call.signed(&login_key()).send().await;
        let _ = answer.expect_problem(status);
    }
}

#[tokio::test]
async fn a_login_that_is_malformed_or_too_large_is_refused() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    for body in [
        &b""[..],
        b"[]",
        b"{}",
        b"{\"user\":\"\"}",
        b"{\"user\":\"\xFF\"}",
        b"{\"user\":\"1\",\"x\":1}",
    ] {
        refused(&listener, body, 400).await;
    }
    refused(&listener, vec![b' '; MAX_LOGIN_BODY_BYTES + 1], 413).await;
    refused(&listener, vec![b' '; 20 * MAX_LOGIN_BODY_BYTES], 413).await;
    let _ = listener.get("/nowhere").send().await.expect_problem(404);
    let _ = listener.get("/login").send().await.expect_problem(405);
    let _ = listener.get("/healthz").send().await.expect_status(200);
}

#[tokio::test]
async fn a_login_with_a_bad_signature_is_refused() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    for path in ["/login", "/offers"] {
        let body = json!({ "user": CUSTOMER }).to_string();
        let good = listener.post(path, "application/json", body);
        for bad in [
            good.clone(),
            good.clone().signed(&foreign_key()),
            good.clone()
                .signed_at(&login_key(), "old", now_ms() - 400_000),
            good.clone()
                .signed(&login_key())
                .with_body(r#"{"user":"13047"}"#),
        ] {
            let _ = bad.send().await.expect_problem(401);
        }
    }
}

#[tokio::test]
async fn a_replayed_login_gets_the_same_ticket() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    let call = listener.login_call(CUSTOMER, &json!({}));
    let first = ticket_of(&call.clone().send().await.expect_status(202));
    assert_eq!(ticket_of(&call.send().await.expect_status(202)), first);
}

#[tokio::test]
async fn another_login_under_a_used_id_is_a_conflict() {
    let shop = shop().await;
    let listener = shop.origin().listener().await;
    let (id, now) = (Uuid::now_v7().to_string(), now_ms());
    let login = |user: &str| {
        let body = json!({ "user": user }).to_string();
        let call = listener.post("/login", "application/json", body);
        call.signed_at(&login_key(), &id, now)
    };
    let first = ticket_of(&login(CUSTOMER).send().await.expect_status(202));
    let _ = login("13047").send().await.expect_problem(409);
    let again = login(CUSTOMER).send().await.expect_status(202);
    assert_eq!(ticket_of(&again), first);
}

/// The value of a metric with its labels, as Prometheus reads it; nothing where it is not there.
fn metric(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.parse().ok()
    })
}

#[tokio::test]
async fn metrics_count_what_becomes_of_logins() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let origin = Origin::start(OriginConfig::new("one").edge(&edge));
    origin.logged("linked", 1).await;
    let (client, listener) = (edge.client(), origin.listener().await);
    let by_link = client.login(CUSTOMER).await;
    let answer = listener.login_call(CUSTOMER, &json!({})).send().await;
    let by_listener = ticket_of(&answer.expect_status(202));
    let attributes = json!({ "max_items": "many" });
    let bad = client.login_with(CUSTOMER, &attributes).await;
    for ticket in [&by_link, &by_listener] {
        let _ = client.offer_within(ticket, 50).await.expect_status(200);
    }
    let _ = client.offer_within(&bad, 50).await.expect_problem(502);
    for ticket in [&by_link, &by_listener] {
        let _ = Kv::of(&edge).await_offer(ticket).await;
    }
    let expected = [
        (r#"headstart_logins_total{from="link"}"#, 2.0),
        (r#"headstart_logins_total{from="listener"}"#, 1.0),
        (r#"headstart_settlements_total{outcome="ready"}"#, 2.0),
        (r#"headstart_settlements_total{outcome="failed"}"#, 1.0),
        ("headstart_generation_seconds_count", 2.0),
        ("headstart_generating", 0.0),
        ("headstart_queued", 0.0),
        (r#"headstart_outbox_rows{edge="edge-0",lane="event"}"#, 0.0),
        (r#"headstart_outbox_rows{edge="edge-0",lane="kv"}"#, 0.0),
        (
            r#"headstart_deliveries_total{edge="edge-0",lane="event",outcome="delivered"}"#,
            3.0,
        ),
        (
            r#"headstart_deliveries_total{edge="edge-0",lane="kv",outcome="delivered"}"#,
            2.0,
        ),
        (
            r#"headstart_deliveries_total{edge="edge-0",lane="update",outcome="refused"}"#,
            0.0,
        ),
    ];
    until("the metrics to say so", async || {
        let answer = listener.get("/metrics").send().await.expect_status(200);
        let text = String::from_utf8(answer.body).expect("text");
        let calls = metric(
            &text,
            r#"headstart_kv_calls_total{edge="edge-0",outcome="ok"}"#,
        );
        let links = metric(&text, r#"headstart_links_open{edge="edge-0"}"#);
        let told = expected
            .iter()
            .all(|(name, value)| metric(&text, name) == Some(*value));
        (told && calls >= Some(1.0) && links >= Some(1.0) && text.ends_with("# EOF\n"))
            .then_some(())
    })
    .await;
}
