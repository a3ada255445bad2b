//! A desk keeps a login from its ticket to its offer: whatever its origin does, whatever its storage does,
//! however many wait.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use headstart_protocol::{report::Status, ticket::Ticket};
use headstart_tests::{
    client::{Client, ticket_of},
    edge::Edge,
    edge_config::EdgeConfig,
    events::{batch, ready, statuses},
    fake_origin::Link,
    keys::{fresh_ticket, login_key, now_ms},
    wait::until,
};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

const SETTLE_SECONDS: u64 = 2;

#[tokio::test]
async fn an_origin_that_acks_and_never_delivers_costs_no_more_than_the_time_to_settle() {
    let config = EdgeConfig::default().var("SETTLE_SECONDS", SETTLE_SECONDS);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let mut link = Link::open(&client, 1).await;
    let ticket = client.login("17850").await;
    let lease = link.lease().await;
    link.ack(&lease).await;
    let acked = Instant::now();
    let failed = client.offer_within(&ticket, 50).await.expect_problem(502);
    assert!(failed.detail.contains("did not deliver"), "{failed:?}");
    assert!(acked.elapsed() >= Duration::from_millis(SETTLE_SECONDS * 1000 - 100));
}

#[tokio::test]
async fn what_one_origin_acked_and_did_not_deliver_goes_to_another() {
    let config = EdgeConfig::default().var("SETTLE_SECONDS", SETTLE_SECONDS);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let mut first = Link::open_as(&client, "first", 1).await;
    let ticket = client.login("17850").await;
    let lease = first.lease().await;
    first.ack(&lease).await;
    let mut second = Link::open_as(&client, "second", 1).await;
    let again = second.lease().await;
    assert_eq!(again.login, lease.login);
    assert_ne!(again.name, lease.name);
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    let offer = client.offer(&ticket).await.expect_status(200);
    assert_eq!(offer.header("headstart-event-id"), event.id);
}

#[tokio::test]
async fn a_login_whose_offer_has_come_is_leased_no_more_though_it_was_never_acked() {
    let config = EdgeConfig::default().var("LEASE_SECONDS", 1);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let mut link = Link::open(&client, 1).await;
    let (first, _) = (client.login("17850").await, link.lease().await);
    client.settle(&ready(&first, &json!([1]))).await;
    // The place of its lease is free, too.
    let second = client.login("12583").await;
    assert_eq!(
        link.lease().await.login.subject.as_deref(),
        Some(second.as_str())
    );
    client.settle(&ready(&second, &json!([2]))).await;
    let more = timeout(Duration::from_secs(3), link.hear()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_ticket_stays_with_its_desk_when_there_are_fewer_of_them() {
    let config = EdgeConfig::default().var("LOGIN_DESKS", 8);
    let mut edge = Edge::start(config.clone()).await;
    let client = edge.client();
    let ticket = until("a login at another desk than the first", async || {
        let ticket = client.login("17850").await;
        (ticket.desk() > 0).then_some(ticket)
    })
    .await;
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    edge.kill().await;
    edge.start_again_with(config.var("LOGIN_DESKS", 1)).await;
    let offer = edge.client().offer(&ticket).await.expect_status(200);
    assert_eq!(offer.header("headstart-event-id"), event.id);
}

#[tokio::test]
async fn a_batch_settles_tickets_of_many_desks_each_by_itself() {
    let config = EdgeConfig::default().var("LOGIN_DESKS", 4);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let mut events = Vec::new();
    for user in 0..12 {
        let ticket = client.login(&user.to_string()).await;
        events.push(ready(&ticket, &json!([user])));
    }
    let again = events[3].clone();
    events.push(again);
    let answer = client.publish_batch(&batch(&events)).await;
    let mut expected = vec![Status::Accepted; 12];
    expected.push(Status::Duplicate);
    assert_eq!(statuses(&answer), expected);
}

#[tokio::test]
async fn tickets_have_no_objects_of_their_own() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let mut tickets = vec![fresh_ticket()];
    for user in 0..30 {
        tickets.push(client.login(&user.to_string()).await);
    }
    for ticket in &tickets {
        client.settle(&ready(ticket, &json!([1]))).await;
        let _ = client.offer(ticket).await.expect_status(200);
    }
    assert_eq!(edge.objects("DeskDo"), 1);
}

#[tokio::test]
async fn a_desk_where_as_many_wait_as_may_sends_others_away_to_poll() {
    let config = EdgeConfig::default().var("DESK_WAITERS", 2);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let [first, second, third] = [(); 3].map(|()| fresh_ticket());
    let stream = client.events(&first).await;
    let _second = client.events(&second).await;
    let full = client
        .get(&format!("/tickets/{}/events", third.as_str()))
        .open_sse()
        .await
        .err()
        .expect("there is no room");
    assert_eq!(full.header("retry-after"), "5");
    assert!(full.expect_problem(503).kind.ends_with("too-many-waiters"));
    let _ = client.offer_within(&third, 1).await.expect_problem(503);
    let _ = client.offer(&third).await.expect_status(202);
    // A WebSocket that waits costs hardly anything.
    let ws = client.ws(&third).await;
    client.settle(&ready(&first, &json!([1]))).await;
    let _ = stream.only().await;
    let _third = client.events(&third).await;
    let event = ready(&third, &json!([3]));
    client.settle(&event).await;
    assert_eq!(ws.only().await.id, event.id);
}

/// Logs in under a `webhook-id`.
async fn login_under(client: &Client, id: &str, user: &str) -> Option<Ticket> {
    let body = json!({ "user": user }).to_string();
    let call = client.post("/login", "application/json", body);
    let answer = call.signed_at(&login_key(), id, now_ms()).send().await;
    (answer.status == 202).then(|| ticket_of(&answer))
}

#[tokio::test]
async fn a_login_that_could_not_be_stored_is_new_when_it_is_sent_again() {
    let edge = Edge::start(EdgeConfig::default().around("faults/storage.mjs")).await;
    let client = edge.client();
    let mut link = Link::open(&client, 9).await;
    let [first, second] = [(); 2].map(|()| Uuid::now_v7().to_string());
    assert!(login_under(&client, &first, "faults/login").await.is_some());
    let _ = link.lease().await;
    assert!(login_under(&client, &second, "17850").await.is_none());
    let ticket = login_under(&client, &second, "17850").await.unwrap();
    let leased = link.lease().await.login;
    assert_eq!(leased.subject.as_deref(), Some(ticket.as_str()));
    assert_eq!(login_under(&client, &second, "17850").await, Some(ticket));
}

#[tokio::test]
async fn a_settlement_that_could_not_be_stored_is_taken_when_it_comes_again() {
    let edge = Edge::start(EdgeConfig::default().around("faults/storage.mjs")).await;
    let client = edge.client();
    let first = fresh_ticket();
    client
        .settle(&ready(&first, &json!(["faults/settled"])))
        .await;
    let mut link = Link::open(&client, 1).await;
    let ticket = client.login("17850").await;
    let (_lease, stream) = (link.lease().await, client.events(&ticket).await);
    let event = ready(&ticket, &json!([1]));
    assert_eq!(client.publish(&event).await.status, Status::Retry);
    let _ = client.offer(&ticket).await.expect_status(202);
    assert_eq!(client.publish(&event).await.status, Status::Accepted);
    assert_eq!(stream.only().await.id, event.id);
    assert_eq!(client.publish(&event).await.status, Status::Duplicate);
}

#[tokio::test]
async fn an_offer_is_told_over_a_stream_once_it_is_durable() {
    let edge = Edge::start(EdgeConfig::default().around("faults/storage.mjs")).await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let stream = client.events(&ticket).await;
    let begun = Instant::now();
    client
        .settle(&ready(&ticket, &json!(["faults/slow"])))
        .await;
    let _ = stream.only().await;
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn who_waits_when_the_ticket_expires_is_told_so_by_every_way() {
    let config = EdgeConfig::default().var("TICKET_TTL_SECONDS", 3);
    let edge = Edge::start(config).await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    let poll = client.offer_within(&ticket, 50);
    let (told, message, polled) = tokio::join!(stream.only(), ws.only(), poll);
    assert_eq!(told.name, "failed");
    let reason = |data: Option<serde_json::Value>| data.unwrap()["reason"].clone();
    assert_eq!(reason(told.event.json_data()), "expired");
    assert_eq!(reason(message.json_data()), "expired");
    let _ = polled.expect_problem(410);
}

#[tokio::test]
async fn a_desk_that_stores_as_much_as_it_may_takes_no_logins_until_tickets_have_expired() {
    let config = EdgeConfig::default()
        .var("DESK_BYTES", 1_000_000)
        .var("TICKET_TTL_SECONDS", 6);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let _ = client.login("17850").await;
    let offer = json!("x".repeat(200_000));
    for _ in 0..8 {
        client.settle(&ready(&fresh_ticket(), &offer)).await;
    }
    let full = client.login_call("17850", &json!({})).send().await;
    assert!(full.expect_problem(503).kind.ends_with("backlog-full"));
    until("the desk to have room", async || {
        let answer = client.login_call("17850", &json!({})).send().await;
        (answer.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn logins_that_are_too_many_at_a_time_are_refused_and_none_that_is_taken_is_lost() {
    let config = EdgeConfig::default()
        .var("LOGINS_UNDER_WAY", 4)
        .var("LOGIN_TIMEOUT_SECONDS", 2);
    let edge = Edge::start(config).await;
    let client = edge.client();
    let logins = (0..100).map(|user| {
        let call = client.login_call(&user.to_string(), &json!({}));
        async move { call.send().await }
    });
    let answers = join_all(logins).await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 202);
    assert!(taken.len() >= 4 && !refused.is_empty(), "{}", taken.len());
    for answer in refused {
        assert_eq!(answer.header("retry-after"), "5");
        assert!(answer.expect_problem(503).kind.ends_with("backlog-full"));
    }
    for answer in taken {
        let ticket = ticket_of(&answer);
        let _ = client.offer_within(&ticket, 50).await.expect_problem(502);
    }
    // Nothing is under way any more.
    let _ = client.login("17850").await;
}

#[tokio::test]
async fn after_a_panic_the_worker_begins_anew_and_nobodys_waiting_ends() {
    let edge = Edge::start(EdgeConfig::default().around("faults/panic.mjs")).await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    let ping = client.get("/ping").header("x-panic", "1").send().await;
    assert_eq!(ping.status, 200);
    until("the Worker to begin anew", async || {
        edge.log()
            .contains("Reinitializing Wasm application")
            .then_some(())
    })
    .await;
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(stream.only().await.id, event.id);
    assert_eq!(ws.only().await.id, event.id);
}
