//! Nobody waits for ever: a generation that fails reaches every way of waiting.

use futures_util::stream::{self, StreamExt};
use headstart_protocol::event::TYPE_OFFER_FAILED;
use headstart_protocol::ticket::Ticket;
use headstart_tests::{
    client::Client,
    edge::Edge,
    edge_config::EdgeConfig,
    events::{SOURCE, failed, ready},
    keys::{foreign_key, fresh_ticket, ticket_of_age},
    origin::{Origin, OriginConfig},
    shared::{TTL_SECONDS, YOUNG_SECONDS, edge, shop},
    sse::Sse,
    wait::until,
    ws::Ws,
};
use serde_json::{Value, json};

/// The reason that each way of waiting gives for a failure.
async fn reasons(client: &Client, ticket: &Ticket, stream: Sse, ws: Ws) -> Vec<String> {
    let told = stream.only().await;
    assert_eq!(told.name, "failed");
    assert_eq!(told.event.kind, TYPE_OFFER_FAILED);
    let message = ws.only().await;
    assert_eq!(message.kind, TYPE_OFFER_FAILED);
    let poll = client.offer_within(ticket, 50).await;
    let get = client.offer(ticket).await;
    assert_eq!(get.header("headstart-event-id"), told.id);
    let reason = |data: Option<Value>| data.unwrap()["reason"].as_str().unwrap().to_owned();
    vec![
        reason(told.event.json_data()),
        reason(message.json_data()),
        poll.expect_problem(502).detail,
        get.expect_problem(502).detail,
    ]
}

#[tokio::test]
async fn a_failed_generation_reaches_every_way_of_waiting() {
    let edge = edge().await;
    let client = edge.client();
    for age_ms in [0, (YOUNG_SECONDS + 1) * 1000] {
        let ticket = ticket_of_age(age_ms);
        let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
        client.settle(&failed(&ticket, "no such customer")).await;
        let reasons = reasons(&client, &ticket, stream, ws).await;
        assert_eq!(reasons, ["no such customer"; 4]);
    }
}

#[tokio::test]
async fn a_login_that_no_origin_takes_fails_every_way_of_waiting() {
    let edge = edge().await;
    let client = edge.client();
    let ticket = client.login("12431").await;
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    let reasons = reasons(&client, &ticket, stream, ws).await;
    assert!(!reasons[0].is_empty());
    assert!(
        reasons.iter().all(|reason| *reason == reasons[0]),
        "{reasons:?}"
    );
}

/// A desk whose alarm is lost fails nobody any more. The platform loses one that is set, while another
/// rings, for no later time than that one's; which needs an alarm that rings in the very millisecond that
/// it was set for, so there are many of them.
#[tokio::test]
async fn every_login_of_many_that_no_origin_takes_fails_in_time() {
    const LOGINS: usize = 200;
    let config = EdgeConfig::default()
        .var("LOGIN_TIMEOUT_SECONDS", 1)
        .var("LOGIN_DESKS", 16);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let logins = stream::iter(0..LOGINS).map(|user| {
        let client = &client;
        async move {
            let ticket = client.login(&user.to_string()).await;
            client.offer_within(&ticket, 50).await
        }
    });
    let mut answers = logins.buffer_unordered(20);
    while let Some(answer) = answers.next().await {
        assert!(!answer.expect_problem(502).detail.is_empty());
    }
}

#[tokio::test]
async fn a_login_whose_ticket_is_of_a_key_that_is_gone_leaves_its_desk() {
    let config = EdgeConfig::default().var("LOGIN_TIMEOUT_SECONDS", 1);
    let mut edge = Edge::start(config.clone()).await;
    let ticket = edge.client().login("17850").await;
    edge.kill().await;
    let replaced = config.keys("TICKET_KEY", &[foreign_key()]);
    edge.start_again_with(replaced).await;
    let dropped = format!("login {} is dropped", ticket.uuid());
    until("the login to leave", async || {
        edge.log().contains(&dropped).then_some(())
    })
    .await;
    assert_eq!(edge.log().matches(&dropped).count(), 1);
}

#[tokio::test]
async fn an_offer_that_cannot_be_generated_fails_every_way_of_waiting() {
    let shop = shop().await;
    let client = shop.client();
    let attributes = json!({ "max_items": "many" });
    let ticket = client.login_with("17850", &attributes).await;
    let (stream, ws) = tokio::join!(client.events(&ticket), client.ws(&ticket));
    let reasons = reasons(&client, &ticket, stream, ws).await;
    assert!(reasons[0].contains("max_items"), "{reasons:?}");
    assert!(
        reasons.iter().all(|reason| *reason == reasons[0]),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn an_offer_that_is_not_generated_in_time_fails_every_way_of_waiting() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let origin = OriginConfig::new("slow")
        .edge(&edge)
        .endless()
        .set("generate.timeout_ms", 500);
    let _origin = Origin::start(origin);
    let client = edge.client();
    let ticket = client.login("17850").await;
    let (stream, ws) = tokio::join!(client.events(&ticket), client.ws(&ticket));
    let reasons = reasons(&client, &ticket, stream, ws).await;
    assert!(reasons[0].contains("in time"), "{reasons:?}");
    assert!(
        reasons.iter().all(|reason| *reason == reasons[0]),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_failure_is_settled_and_no_later_offer_changes_it() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&failed(&ticket, "first")).await;
    let _ = client.publish(&ready(&ticket, &json!([1]))).await;
    assert_eq!(
        client.offer(&ticket).await.expect_problem(502).detail,
        "first"
    );
}

#[tokio::test]
async fn a_ticket_that_expires_fails_whoever_still_waits() {
    let edge = edge().await;
    let client = edge.client();
    let ticket = ticket_of_age((TTL_SECONDS - 4) * 1000);
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    let told = stream.only().await;
    assert_eq!(told.name, "failed");
    assert_ne!(told.event.source, SOURCE);
    assert_eq!(ws.only().await.kind, TYPE_OFFER_FAILED);
    let _ = client.offer(&ticket).await.expect_problem(410);
}
